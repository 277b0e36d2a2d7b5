//! Who uses what lies on the roots: mounts, open files, directories and mapped files of every
//! process, active swap files, and files behind loop devices.
//!
//! Nothing that a process has open is asked: on a dead FUSE or NFS server that would hang. What a
//! descriptor leads to is told by its link and the mount id in `fdinfo`, through the mount tables
//! of all namespaces. What can't be told makes the whole answer unknown.
//!
//! Seen from user space are not: files in flight on a socket, files that are only registered with
//! io_uring, and what was opened after the look.

mod mountings;
mod mounts;
mod task;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use mountings::Residents;
pub use mounts::Target;
use mounts::{Mounts, Namespace, Placed};
use task::{Unlisted, Viewer};

use super::mountinfo::{self, MountinfoError};
use super::places::Places;
use super::proc::{self, ListError, Look, Present, Task};
use super::read;
use crate::decide::facts::{FsLocation, Holder, HolderKind, Known, Mounting};
use crate::sys::ReadError;
use crate::units::{Raw, chain};

/// Why it could not be told who uses what.
#[derive(Debug, thiserror::Error)]
enum HoldersError {
    #[error("processes could not be listed")]
    List(#[from] ListError),
    #[error("{task} could not be looked at; this needs CAP_SYS_PTRACE")]
    Task {
        task: String,
        #[source]
        source: ReadError,
    },
    #[error("the mount table of {task} could not be read")]
    Table {
        task: String,
        #[source]
        source: MountinfoError,
    },
    #[error("{task} has {text} open, on a mount that no mount table shows; end it, or wait")]
    Unlisted { task: String, text: Raw },
    #[error("{task} uses {text} on the file system of a root, where exactly can't be told")]
    Unclear { task: String, text: Raw },
    #[error("{task} replaces its descriptor {fd} faster than it can be looked at")]
    Restless { task: String, fd: i32 },
    #[error("{file} could not be understood")]
    Format { file: Raw },
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Everything that uses a place at or below the targets: of each volume, trash entry or MOUNT
/// disk one holder of each kind, and each mount.
///
/// `Unknown` where `/proc` does not show all processes, where a live process may not be looked at,
/// or where something is in use on a target's file system and it can't be told what. Never
/// `Absent`. Open files of our own program are left out: it does not use volumes, it wipes them.
#[must_use]
pub fn observe(places: &Places, targets: &[Target]) -> Known<Vec<Holder>> {
    observe_uses(places, targets).map(|uses| uses.holders)
}

/// Who uses what, and by which mounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// See [`observe`].
    pub holders: Vec<Holder>,
    /// Every mounting of, and inside, the targets.
    pub mountings: Vec<Mounting>,
}

/// As [`observe`], with what the mounts of all namespaces tell besides.
#[must_use]
pub fn observe_uses(places: &Places, targets: &[Target]) -> Known<Uses> {
    let (places, targets) = (places.clone(), targets.to_vec());
    proc::look_at_all(move |present| {
        let scan = Scan {
            places: &places,
            present,
            own: own_program(&places),
            mounts: Mounts::new(&targets),
            read: HashSet::new(),
            found: HashMap::new(),
            commands: HashMap::new(),
            residents: HashMap::new(),
        };
        match scan.run() {
            Ok(uses) => Known::Known(uses),
            Err(error) => Known::unknown(chain(&error)),
        }
    })
}

/// The executable of this process, and its mount namespace.
fn own_program(places: &Places) -> Option<(Raw, Namespace)> {
    let own = places.proc.join("self");
    match (
        read::link(&own.join("exe")),
        read::link(&own.join("ns/mnt")),
    ) {
        (Ok(exe), Ok(namespace)) => Some((exe, namespace)),
        // Then our own files count like anybody's.
        (Err(_), _) | (_, Err(_)) => None,
    }
}

struct Scan<'a> {
    places: &'a Places,
    present: &'a Present,
    own: Option<(Raw, Namespace)>,
    mounts: Mounts,
    /// Namespaces and root directories whose table was read.
    read: HashSet<(Namespace, Raw)>,
    found: HashMap<(HolderKind, FsLocation, Option<Raw>), Holder>,
    commands: HashMap<i32, Raw>,
    /// The processes of each mount namespace.
    residents: HashMap<Namespace, Residents>,
}

impl Scan<'_> {
    fn run(mut self) -> Result<Uses, HoldersError> {
        if self.mounts.are_unwanted() {
            return Ok(Uses::default());
        }
        proc::in_rounds(self.places, |pids| {
            let viewers = self.viewers(pids)?;
            self.read_tables(&viewers)?;
            for viewer in &viewers {
                self.residents
                    .entry(viewer.namespace.clone())
                    .or_default()
                    .add(viewer.task.pid);
                self.look_at(viewer)?;
            }
            Ok::<(), HoldersError>(())
        })?;
        let uses = self.mounts.uses();
        let mountings = mountings::join(self.places, &uses, &self.mounts, &self.residents);
        for used in uses {
            let kind = if used.inside {
                HolderKind::MountPoint
            } else {
                HolderKind::MountOf
            };
            self.add(kind, used.location, Some(used.mount_point), used.pid);
        }
        self.swaps()?;
        self.loops()?;
        let mut holders: Vec<Holder> = self.found.into_values().collect();
        holders.sort_by(|a, b| {
            (&a.location, a.kind, &a.mount_point).cmp(&(&b.location, b.kind, &b.mount_point))
        });
        Ok(Uses { holders, mountings })
    }

    /// These processes, and every thread that sees other mounts or has other files than its process.
    fn viewers(&self, pids: Vec<i32>) -> Result<Vec<Viewer>, HoldersError> {
        let mut viewers = Vec::new();
        for pid in pids {
            self.present.at(pid);
            let process = Task::process(self.places, pid);
            Viewer::of_process(&process, &mut viewers).map_err(|source| HoldersError::Task {
                task: process.to_string(),
                source,
            })?;
        }
        Ok(viewers)
    }

    /// The table of each namespace; where a process lives in a changed root, that shows but a part
    /// of it, and is read besides.
    fn read_tables(&mut self, viewers: &[Viewer]) -> Result<(), HoldersError> {
        if let Some(first) = viewers.first() {
            // At first of the lowest pid: pid 1, unless its main thread has ended.
            self.mounts.set_host_once(&first.namespace);
        }
        let whole_first = viewers
            .iter()
            .filter(|viewer| viewer.sees_all())
            .chain(viewers.iter().filter(|viewer| !viewer.sees_all()));
        for viewer in whole_first {
            let key = (viewer.namespace.clone(), viewer.root.clone());
            if !self.read.contains(&key) && Self::read_table(&mut self.mounts, viewer, false)? {
                self.read.insert(key);
            }
        }
        Ok(())
    }

    /// Whether there was a table: a process that has ended shows none.
    fn read_table(mounts: &mut Mounts, viewer: &Viewer, again: bool) -> Result<bool, HoldersError> {
        match mountinfo::read_at(viewer.task.folder.join("mountinfo").as_path()) {
            Ok(entries) => {
                mounts.add(
                    &viewer.namespace,
                    &viewer.root,
                    viewer.task.pid,
                    entries,
                    again,
                );
                Ok(true)
            }
            Err(source) => {
                let ended = viewer.task.holds_nothing()? || ended_meanwhile(&source);
                if ended {
                    Ok(false)
                } else {
                    Err(HoldersError::Table {
                        task: viewer.task.to_string(),
                        source,
                    })
                }
            }
        }
    }

    fn look_at(&mut self, viewer: &Viewer) -> Result<(), HoldersError> {
        let failed = |source| HoldersError::Task {
            task: viewer.task.to_string(),
            source,
        };
        let pid = viewer.task.pid;
        self.present.at(pid);
        for text in viewer.directories() {
            if let Placed::Within(locations) = self.mounts.place_text(&viewer.namespace, &text) {
                self.add_all(HolderKind::WorkingDirectory, locations, pid);
            }
        }
        if viewer.own_memory {
            self.mapped(viewer)?;
        }
        if viewer.own_files && !self.is_own_program(viewer).map_err(failed)? {
            self.opened(viewer)?;
        }
        Ok(())
    }

    fn is_own_program(&self, viewer: &Viewer) -> Result<bool, ReadError> {
        let Some((exe, namespace)) = &self.own else {
            return Ok(false);
        };
        Ok(viewer.namespace == *namespace
            && match viewer.task.link("exe")? {
                Look::Seen(theirs) => theirs == *exe,
                Look::Gone => false,
            })
    }

    fn mapped(&mut self, viewer: &Viewer) -> Result<(), HoldersError> {
        let failed = |source| HoldersError::Task {
            task: viewer.task.to_string(),
            source,
        };
        let pid = viewer.task.pid;
        if let Look::Seen(exe) = viewer.task.link("exe").map_err(failed)?
            && let Placed::Within(locations) = self.mounts.place_text(&viewer.namespace, &exe)
        {
            self.add_all(HolderKind::Mapping, locations, pid);
        }
        let mounts = &self.mounts;
        let maps = viewer
            .maps(|device| mounts.may_be_target(device))
            .map_err(failed)?;
        for (device, text) in maps {
            match self.mounts.place_mapped(&viewer.namespace, device, &text) {
                Placed::Within(locations) => self.add_all(HolderKind::Mapping, locations, pid),
                Placed::Elsewhere => {}
                Placed::Unlisted | Placed::Unclear => {
                    return Err(HoldersError::Unclear {
                        task: viewer.task.to_string(),
                        text,
                    });
                }
            }
        }
        Ok(())
    }

    fn opened(&mut self, viewer: &Viewer) -> Result<(), HoldersError> {
        let failed = |source| HoldersError::Task {
            task: viewer.task.to_string(),
            source,
        };
        let Look::Seen(files) = viewer.files().map_err(failed)? else {
            return Ok(());
        };
        let mut read_again = false;
        for fd in files.numbers() {
            let opened = match files.look(*fd).map_err(failed)? {
                task::Opened::Path { mount_id, text } => (mount_id, text),
                task::Opened::NoPath | task::Opened::Closed => continue,
                task::Opened::Restless => {
                    return Err(HoldersError::Restless {
                        task: viewer.task.to_string(),
                        fd: *fd,
                    });
                }
            };
            let (mount_id, text) = opened;
            let mut placed = self.mounts.place_opened(mount_id, &text);
            if matches!(placed, Placed::Unlisted | Placed::Unclear) && !read_again {
                // It may have been mounted, or moved, after the tables were read.
                read_again = true;
                Self::read_table(&mut self.mounts, viewer, true)?;
                placed = self.mounts.place_opened(mount_id, &text);
            }
            match placed {
                Placed::Within(locations) => {
                    self.add_all(HolderKind::OpenFile, locations, viewer.task.pid);
                }
                Placed::Elsewhere => {}
                Placed::Unlisted => {
                    let harmless = task::is_kernel_made(&text)
                        || match files.unlisted(self.places, *fd).map_err(failed)? {
                            Look::Seen(Unlisted::On(device)) => !self.mounts.may_be_target(device),
                            Look::Seen(Unlisted::NotAsked) => false,
                            Look::Seen(Unlisted::NoData) | Look::Gone => true,
                        };
                    if !harmless {
                        return Err(HoldersError::Unlisted {
                            task: viewer.task.to_string(),
                            text,
                        });
                    }
                }
                Placed::Unclear => {
                    return Err(HoldersError::Unclear {
                        task: viewer.task.to_string(),
                        text,
                    });
                }
            }
        }
        Ok(())
    }

    /// Active swap files (proc_swaps(5)), told as the namespace of pid 1 sees them.
    fn swaps(&mut self) -> Result<(), HoldersError> {
        let file = self.places.proc.join("swaps");
        let table = match read::whole(&file, 1 << 20) {
            Ok(table) => table,
            // A kernel without swapping.
            Err(error) if read::is_absent(&error) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for line in table.split(|&byte| byte == b'\n').skip(1) {
            if line.is_empty() {
                continue;
            }
            let mut fields = line
                .split(u8::is_ascii_whitespace)
                .filter(|field| !field.is_empty());
            let (Some(name), Some(kind)) = (fields.next(), fields.next()) else {
                return Err(HoldersError::Format { file });
            };
            if kind == b"file" {
                let text = Raw::new(mountinfo::unescape(name));
                self.kernels_own(HolderKind::Swap, &text, "swap");
            }
        }
        Ok(())
    }

    /// Files behind loop devices, which no process need have open.
    fn loops(&mut self) -> Result<(), HoldersError> {
        let block = self.places.sys.join("block");
        let devices = match read::names(&block) {
            Ok(devices) => devices,
            Err(error) if read::is_absent(&error) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for device in devices {
            if !device.as_bytes().starts_with(b"loop") {
                continue;
            }
            match read::whole(&block.join(&device).join("loop/backing_file"), 1 << 16) {
                Ok(text) => {
                    let text = text.strip_suffix(b"\n").unwrap_or(&text);
                    self.kernels_own(HolderKind::OpenFile, &text.into(), &device.to_string());
                }
                // Not in use, or given back meanwhile.
                Err(error) if proc::means_gone(&error) || no_device(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn kernels_own(&mut self, kind: HolderKind, text: &Raw, command: &str) {
        if let Placed::Within(locations) = self.mounts.place_on_host(text) {
            self.commands.insert(0, Raw::from(command));
            self.add_all(kind, locations, 0);
            self.commands.remove(&0);
        }
    }

    fn add_all(&mut self, kind: HolderKind, locations: Vec<FsLocation>, pid: i32) {
        for location in locations {
            self.add(kind, location, None, pid);
        }
    }

    fn add(&mut self, kind: HolderKind, location: FsLocation, mount_point: Option<Raw>, pid: i32) {
        let unit = match &mount_point {
            Some(_) => location.clone(),
            None => self.mounts.unit(&location),
        };
        let key = (kind, unit, mount_point.clone());
        if self.found.contains_key(&key) {
            return;
        }
        let command = self
            .commands
            .entry(pid)
            .or_insert_with(|| Task::process(self.places, pid).command())
            .clone();
        self.found.insert(
            key,
            Holder {
                kind,
                location,
                mount_point,
                pid,
                command,
            },
        );
    }
}

/// `EINVAL` is what a process gives that is about to end (fs/proc_namespace.c).
fn ended_meanwhile(error: &MountinfoError) -> bool {
    match error {
        MountinfoError::Read { source, .. } => {
            source.kind() == std::io::ErrorKind::NotFound
                || matches!(source.raw_os_error(), Some(3 | 22))
        }
        MountinfoError::Restless { .. } | MountinfoError::Parse { .. } => false,
    }
}

fn no_device(error: &ReadError) -> bool {
    matches!(
        read::errno(error),
        Some(rustix::io::Errno::NXIO | rustix::io::Errno::NODEV)
    )
}

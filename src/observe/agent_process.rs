//! Agent processes on this host, and which of them are ours.
//!
//! An agent is a process whose executable or `argv[0]` is called `mesos-agent` or `mesos-slave`,
//! or an `lt-` form of these, which libtool gives a program that runs from its build tree.

use std::collections::BTreeSet;

use super::mountinfo;
use super::places::Places;
use super::proc::{self, ListError, Look, Present, Task};
use super::read;
use super::walk::{Found, Viewpoint, WalkError, normal};
use crate::decide::facts::{AgentProcess, DeviceNumber, Known, MountTable};
use crate::mesos::agent_state;
use crate::mesos::checkpoint::{Content, decode_slave_info};
use crate::mesos::paths;
use crate::sys::{self, ReadError};
use crate::units::{Raw, chain};

const NAMES: [&[u8]; 4] = [
    b"mesos-agent",
    b"mesos-slave",
    b"lt-mesos-agent",
    b"lt-mesos-slave",
];

/// The kernel allows 6 MiB for arguments and environment together (execve(2)).
const ARGUMENTS: usize = 8 << 20;
/// A `slave.info` or a file behind `--resources=file://…`.
const FILE: usize = 16 << 20;

/// Every agent process on the host: an empty list means that none runs.
///
/// `Unknown` where `/proc` does not show all processes, or where a live process may not be looked
/// at. Never `Absent`.
#[must_use]
pub fn observe(places: &Places, work_dir: &Raw) -> Known<Vec<AgentProcess>> {
    let (places, work_dir) = (places.clone(), work_dir.clone());
    proc::look_at_all(move |present| match scan(&places, &work_dir, present) {
        Ok(processes) => Known::Known(processes),
        Err(error) => Known::unknown(chain(&error)),
    })
}

/// Why the agents of this host could not be found.
#[derive(Debug, thiserror::Error)]
enum ScanError {
    #[error("processes could not be listed")]
    List(#[from] ListError),
    #[error("{task} may be an agent and could not be looked at; this needs CAP_SYS_PTRACE")]
    Process {
        task: String,
        #[source]
        source: ReadError,
    },
}

fn scan(
    places: &Places,
    work_dir: &Raw,
    present: &Present,
) -> Result<Vec<AgentProcess>, ScanError> {
    let mut agents = Vec::new();
    proc::in_rounds(places, |pids| {
        for pid in pids {
            present.at(pid);
            let process = Task::process(places, pid);
            let task = agent_task(&process).map_err(|source| ScanError::Process {
                task: process.to_string(),
                source,
            })?;
            agents.extend(task.map(|task| describe(places, &task, work_dir)));
        }
        Ok::<(), ScanError>(())
    })?;
    agents.sort_by_key(|agent| agent.pid);
    Ok(agents)
}

/// The process where it is an agent; where its main thread has ended, another thread of it.
fn agent_task(process: &Task) -> Result<Option<Task>, ReadError> {
    match names(process)? {
        Named::Agent => Ok(Some(process.clone())),
        Named::Other => Ok(None),
        Named::Nothing => {
            let Look::Seen(threads) = process.threads()? else {
                return Ok(None);
            };
            for tid in threads.into_iter().filter(|tid| *tid != process.pid) {
                let thread = process.thread(tid);
                match names(&thread)? {
                    Named::Agent => return Ok(Some(thread)),
                    Named::Other => return Ok(None),
                    Named::Nothing => {}
                }
            }
            Ok(None)
        }
    }
}

enum Named {
    Agent,
    Other,
    /// No program runs in it: it has ended, or is a thread of the kernel.
    Nothing,
}

fn names(task: &Task) -> Result<Named, ReadError> {
    let exe = match task.link("exe") {
        Ok(exe) => exe,
        Err(error) => {
            return if task.holds_nothing()? {
                Ok(Named::Nothing)
            } else {
                Err(error)
            };
        }
    };
    let Look::Seen(cmdline) = task.file("cmdline", ARGUMENTS)? else {
        return Ok(Named::Nothing);
    };
    let exe = match exe {
        Look::Seen(exe) => exe,
        Look::Gone if cmdline.is_empty() => return Ok(Named::Nothing),
        Look::Gone => Raw::default(),
    };
    let exe = exe.as_bytes();
    let exe = exe.strip_suffix(b" (deleted)").unwrap_or(exe);
    let argv0 = cmdline.split(|&byte| byte == 0).next().unwrap_or_default();
    let is_agent = |path: &[u8]| {
        path.rsplit(|&byte| byte == b'/')
            .next()
            .is_some_and(|name| NAMES.contains(&name))
    };
    Ok(if is_agent(exe) || is_agent(argv0) {
        Named::Agent
    } else {
        Named::Other
    })
}

fn describe(places: &Places, task: &Task, own_work_dir: &Raw) -> AgentProcess {
    let flags = Flags::read(task);
    let work_dir = flags.value("work_dir");
    let place = match &work_dir {
        Known::Known(theirs) => same_place(places, task.pid, own_work_dir, theirs),
        Known::Absent | Known::Unknown(_) => Place::Unclear,
    };
    let (roots, filesystems) = match place {
        Place::Same => (Known::Absent, Known::Absent),
        Place::Other | Place::Unclear => used_by(places, task.pid, &flags, &work_dir),
    };
    AgentProcess {
        pid: task.pid,
        work_dir,
        ours: match place {
            Place::Same | Place::Unclear => true,
            Place::Other => false,
        },
        roots,
        filesystems,
    }
}

enum Place {
    Same,
    Other,
    /// Counts as ours: an agent too many keeps everything, one too few could lose it.
    Unclear,
}

/// Whether their work_dir is ours: by text, or as the same directory under another name.
fn same_place(places: &Places, pid: i32, ours: &Raw, theirs: &Raw) -> Place {
    if normal(ours) == normal(theirs) {
        return Place::Same;
    }
    if theirs.as_bytes().first() != Some(&b'/') {
        // Relative to the directory that it was started in.
        return Place::Unclear;
    }
    let own = mountinfo::read_self()
        .map_err(WalkError::from)
        .and_then(|entries| Viewpoint::own(MountTable::new(entries)))
        .and_then(|view| view.follow(ours));
    let other = Viewpoint::of(places, pid).and_then(|view| view.follow(theirs));
    match (own, other) {
        (Ok(own), Ok(other)) => match (sys::node(&own.fd), sys::node(&other.fd)) {
            (Ok(own), Ok(other)) => {
                if (own.device, own.inode) == (other.device, other.inode) {
                    Place::Same
                } else {
                    Place::Other
                }
            }
            _ => Place::Unclear,
        },
        (Err(WalkError::Missing { .. }), Ok(_))
        | (Ok(_) | Err(WalkError::Missing { .. }), Err(WalkError::Missing { .. })) => Place::Other,
        (Err(_), _) | (_, Err(_)) => Place::Unclear,
    }
}

/// Its work_dir with the roots that it names, and the file systems on which they lie.
fn used_by(
    places: &Places,
    pid: i32,
    flags: &Flags,
    work_dir: &Known<Raw>,
) -> (Known<Vec<Raw>>, Known<BTreeSet<DeviceNumber>>) {
    let found = match work_dir {
        Known::Known(work_dir) => Viewpoint::of(places, pid)
            .map_err(|error| chain(&error))
            .and_then(|view| {
                let roots = named_roots(&view, flags, work_dir)?;
                let filesystems = filesystems(&view, &roots)?;
                Ok((roots, filesystems))
            }),
        Known::Absent => Err("it was started without --work_dir".to_owned()),
        Known::Unknown(why) => Err(why.to_string()),
    };
    match found {
        Ok((roots, filesystems)) => (Known::Known(roots), Known::Known(filesystems)),
        Err(why) => {
            let why = format!("what the agent with pid {pid} uses could not be told: {why}");
            (Known::unknown(&why), Known::unknown(why))
        }
    }
}

fn named_roots(view: &Viewpoint, flags: &Flags, work_dir: &Raw) -> Result<Vec<Raw>, String> {
    let mut roots = vec![work_dir.clone()];
    match flags.value("resources") {
        Known::Absent => {}
        Known::Unknown(why) => return Err(why.to_string()),
        Known::Known(text) => {
            let text = match text.as_bytes().strip_prefix(b"file://") {
                None => text.as_bytes().to_vec(),
                Some(file) => read_file(view, &Raw::from(file))?
                    .ok_or_else(|| format!("{} is not there", Raw::from(file)))?,
            };
            roots.extend(resource_roots(&text)?);
        }
    }
    let info = work_dir.join(paths::LATEST).join("slave.info");
    if let Some(bytes) = read_file(view, &info)? {
        match decode_slave_info(&bytes) {
            Ok(Content::Whole(info)) => roots.extend(
                info.resources
                    .iter()
                    .filter_map(|resource| resource.disk(work_dir))
                    .map(|disk| disk.root),
            ),
            Ok(Content::Empty) => return Err(format!("{info} is empty")),
            Err(error) => return Err(format!("{info}: {}", chain(&error))),
        }
    }
    roots.sort();
    roots.dedup();
    Ok(roots)
}

/// A file as that process sees it; `None` where it is not there.
pub(super) fn read_file(view: &Viewpoint, path: &Raw) -> Result<Option<Vec<u8>>, String> {
    let found = match view.follow(path) {
        Ok(found) => found,
        Err(WalkError::Missing { .. }) => return Ok(None),
        Err(error) => return Err(chain(&error)),
    };
    // The path without links, in our own namespace, may be another file: through the descriptor.
    let opened = Raw::from("/proc/self/fd").join(descriptor(&found).to_string());
    read::whole(&opened, FILE)
        .map(Some)
        .map_err(|error| format!("{path}: {}", chain(&error)))
}

fn descriptor(found: &Found) -> i32 {
    use std::os::fd::AsRawFd as _;
    found.fd.as_raw_fd()
}

fn filesystems(view: &Viewpoint, roots: &[Raw]) -> Result<BTreeSet<DeviceNumber>, String> {
    roots
        .iter()
        .map(|root| match view.follow(root) {
            Ok(found) => Ok(found.location.device),
            Err(WalkError::NotAsked { device, .. }) => Ok(device),
            // Mesos would make a missing PATH root there.
            Err(WalkError::Missing { path }) => match view.table.mount_of(&path) {
                Some(mount) => Ok(mount.device),
                None => Err(format!("no mount table shows where {path} would lie")),
            },
            Err(error) => Err(chain(&error)),
        })
        .collect()
}

/// The roots of PATH and MOUNT entries in a `--resources` text.
fn resource_roots(text: &[u8]) -> Result<Vec<Raw>, String> {
    let why = |error: &dyn std::error::Error| format!("its --resources: {}", chain(error));
    let text = std::str::from_utf8(text).map_err(|error| why(&error))?;
    agent_state::roots(text).map_err(|error| why(&error))
}

/// An agent's flags: argv, and for what is not there its environment (stout's flags.hpp).
pub(super) struct Flags {
    argv: Known<Vec<Raw>>,
    environ: Known<Vec<Raw>>,
}

impl Flags {
    pub(super) fn read(task: &Task) -> Self {
        let strings = |name| match task.file(name, ARGUMENTS) {
            Ok(Look::Seen(bytes)) => Known::Known(
                bytes
                    .split(|&byte| byte == 0)
                    .map(Raw::from)
                    .collect::<Vec<Raw>>(),
            ),
            Ok(Look::Gone) => Known::unknown(format!("process {} has ended", task.pid)),
            Err(error) => Known::unknown(chain(&error)),
        };
        Self {
            argv: strings("cmdline"),
            environ: strings("environ"),
        }
    }

    /// The value of a flag. `Absent`: it was not given. `Unknown`: unreadable, given twice with
    /// different values, or without one.
    pub(super) fn value(&self, name: &str) -> Known<Raw> {
        let argv = match &self.argv {
            Known::Known(argv) => argv,
            Known::Absent => return Known::Absent,
            Known::Unknown(why) => return Known::Unknown(why.clone()),
        };
        match one(from_arguments(argv, name), name) {
            Known::Absent => {}
            found @ (Known::Known(_) | Known::Unknown(_)) => return found,
        }
        match &self.environ {
            Known::Known(environ) => one(from_environment(environ, name), name),
            Known::Absent => Known::Absent,
            Known::Unknown(why) => Known::Unknown(why.clone()),
        }
    }

    /// As [`Self::value`], for a flag that may be given as nothing.
    pub(super) fn value_or_nothing(&self, name: &str) -> Known<Raw> {
        let is_nothing =
            |values: &BTreeSet<Raw>| values.len() == 1 && values.contains(&Raw::default());
        let given = self.argv.known().map(|argv| from_arguments(argv, name));
        let set = self
            .environ
            .known()
            .map(|environ| from_environment(environ, name));
        match (given, set) {
            (Some(given), _) if is_nothing(&given) => Known::Known(Raw::default()),
            (Some(given), Some(set)) if given.is_empty() && is_nothing(&set) => {
                Known::Known(Raw::default())
            }
            _ => self.value(name),
        }
    }
}

fn one(values: BTreeSet<Raw>, name: &str) -> Known<Raw> {
    let mut values = values.into_iter();
    match (values.next(), values.next()) {
        (None, _) => Known::Absent,
        (Some(value), None) if !value.is_empty() => Known::Known(value),
        (Some(_), None) => Known::unknown(format!("its --{name} is empty")),
        (Some(_), Some(_)) => Known::unknown(format!("its --{name} was given more than once")),
    }
}

/// `--name=value`, and `--name value` for starters that were written so.
fn from_arguments(argv: &[Raw], name: &str) -> BTreeSet<Raw> {
    let mut values = BTreeSet::new();
    let mut arguments = argv.iter().skip(1).map(|arg| arg.as_bytes().trim_ascii());
    while let Some(argument) = arguments.next() {
        let Some(flag) = argument.strip_prefix(b"--") else {
            continue;
        };
        if flag.is_empty() {
            break;
        }
        let mut halves = flag.splitn(2, |&byte| byte == b'=');
        let key = halves.next().unwrap_or_default();
        if key.eq_ignore_ascii_case(name.as_bytes()) {
            let value = match halves.next() {
                Some(value) => value,
                None => arguments.next().unwrap_or_default(),
            };
            values.insert(Raw::from(value));
        }
    }
    values
}

/// `MESOS_<NAME>` in any case.
fn from_environment(environ: &[Raw], name: &str) -> BTreeSet<Raw> {
    let wanted = format!("mesos_{name}");
    environ
        .iter()
        .filter_map(|variable| {
            let mut halves = variable.as_bytes().splitn(2, |&byte| byte == b'=');
            let key = halves.next()?;
            let value = halves.next()?;
            key.eq_ignore_ascii_case(wanted.as_bytes())
                .then(|| Raw::from(value))
        })
        .collect()
}

#[cfg(test)]
mod tests;

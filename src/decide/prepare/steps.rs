//! What is done to a disk, step by step. Each can be done again: what is so already stays.

use serde::Serialize;

use super::{FOLDER_MODE, RESERVE, RESERVE_BYTES, VOLUME, units};
use crate::decide::facts::{
    BlockDevice, DeviceNumber, MountPoint, PrepareFacts, PreparedDisk, PreparedFs, Stage,
};
use crate::decide::manifest::OURS;
use crate::mesos::disk::{DiskRef, DiskType};
use crate::units::Raw;

/// A program with its arguments, run as it is printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Command {
    /// The program, by its whole path.
    pub program: Raw,
    /// The arguments.
    pub arguments: Vec<Raw>,
}

/// A program with words as arguments.
pub(super) fn command(program: &Raw, arguments: &[&str]) -> Command {
    Command {
        program: program.clone(),
        arguments: arguments.iter().map(|&word| Raw::from(word)).collect(),
    }
}

impl Command {
    fn new(program: &Raw, arguments: &[&Raw]) -> Self {
        Self {
            program: program.clone(),
            arguments: arguments.iter().map(|&one| one.clone()).collect(),
        }
    }

    /// As one would type it in a shell.
    #[must_use]
    pub fn typed(&self) -> String {
        std::iter::once(&self.program)
            .chain(&self.arguments)
            .map(quoted)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// A word for a shell.
fn quoted(word: &Raw) -> String {
    let text = word.to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum DiskStep {
    /// Write the record in `state_dir`, durably.
    Record {
        /// As it is written.
        record: Box<PreparedDisk>,
    },
    /// Make the file system. Before it the device is opened exclusively and looked at once more.
    Format {
        /// The device's node.
        device: Raw,
        /// Which device it must be.
        number: DeviceNumber,
        /// Its size.
        size_bytes: u64,
        /// The file system's UUID.
        uuid: String,
        /// Whether an earlier run may have made half of it: nothing else may be found there.
        again: bool,
        /// The program that looks for signatures.
        probe: Command,
        /// The program that makes it.
        command: Command,
    },
    /// Make a folder.
    Folder {
        /// Where.
        path: Raw,
        /// Its mode.
        mode: u32,
    },
    /// Make a bare mount point immutable.
    Protect {
        /// Which.
        path: Raw,
    },
    /// Write a unit of systemd.
    Unit {
        /// Its file.
        path: Raw,
        /// Its text.
        text: String,
    },
    /// Have systemd do something.
    Systemd {
        /// What.
        command: Command,
    },
    /// Mount, unless it is mounted there already; then look whether it is this file system.
    Mount {
        /// How.
        command: Command,
        /// Where.
        at: Raw,
        /// The file system's UUID.
        uuid: String,
        /// For a bind: the directory that is to be seen there.
        shows: Option<Raw>,
    },
    /// Lay out what belongs on the new file system: MOUNT its `volume` folder, our own folder with
    /// the marker and the reserve; PATH our own folder with the marker.
    Furnish {
        /// The disk.
        disk: DiskRef,
        /// Where the file system is mounted.
        at: Raw,
        /// Its UUID.
        uuid: String,
    },
    /// Unmount, unless nothing is mounted there.
    Unmount {
        /// How.
        command: Command,
        /// Where.
        at: Raw,
        /// The file system that it must be.
        uuid: String,
    },
    /// Remove a unit of systemd, and what enables it.
    RemoveUnit {
        /// Its file.
        path: Raw,
    },
    /// Take the immutable flag from a bare mount point.
    Unprotect {
        /// Which.
        path: Raw,
    },
    /// Remove a folder that is empty and was made by us; one that is not stays.
    RemoveFolder {
        /// Which.
        path: Raw,
    },
    /// Take the root out of the ledger.
    Retire {
        /// The disk.
        disk: DiskRef,
    },
    /// Remove the record.
    Forget {
        /// Its file system's UUID.
        uuid: String,
    },
}

impl DiskStep {
    /// Its name, as in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Record { .. } => "record",
            Self::Format { .. } => "format",
            Self::Folder { .. } => "folder",
            Self::Protect { .. } => "protect",
            Self::Unit { .. } => "unit",
            Self::Systemd { .. } => "systemd",
            Self::Mount { .. } => "mount",
            Self::Furnish { .. } => "furnish",
            Self::Unmount { .. } => "unmount",
            Self::RemoveUnit { .. } => "remove_unit",
            Self::Unprotect { .. } => "unprotect",
            Self::RemoveFolder { .. } => "remove_folder",
            Self::Retire { .. } => "retire",
            Self::Forget { .. } => "forget",
        }
    }

    /// What it does, as commands for a shell or, behind a `#`, in words.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        match self {
            Self::Record { record } => vec![format!(
                "# record {} as {}",
                record.uuid,
                match record.stage {
                    Stage::Chosen => "chosen",
                    Stage::Formatting => "being made",
                    Stage::Formatted => "made",
                    Stage::Done => "prepared",
                    Stage::Releasing => "being given back",
                }
            )],
            Self::Format { command, probe, .. } => vec![probe.typed(), command.typed()],
            Self::Systemd { command }
            | Self::Mount { command, .. }
            | Self::Unmount { command, .. } => vec![command.typed()],
            Self::Folder { path, mode } => vec![format!("mkdir -m {mode:04o} {}", quoted(path))],
            Self::Protect { path } => vec![format!("chattr +i {}", quoted(path))],
            Self::Unprotect { path } => vec![format!("chattr -i {}", quoted(path))],
            Self::Unit { path, text } => {
                let mut lines = vec![format!("cat > {} <<'.'", quoted(path))];
                lines.extend(text.lines().map(str::to_owned));
                lines.push(".".to_owned());
                lines
            }
            Self::Furnish { disk, at, .. } => {
                let ours = match disk.kind {
                    DiskType::Mount => at.join(".mesos-volumed"),
                    DiskType::Root | DiskType::Path => at.join(OURS),
                };
                let mut lines = Vec::new();
                match disk.kind {
                    DiskType::Mount => lines.push(format!(
                        "mkdir -m {FOLDER_MODE:04o} {}",
                        quoted(&at.join(VOLUME))
                    )),
                    DiskType::Root | DiskType::Path => lines.push(format!(
                        "mkdir -m {FOLDER_MODE:04o} {}",
                        quoted(&at.join("volumes"))
                    )),
                }
                lines.push(format!("mkdir -m 0700 {}", quoted(&ours)));
                lines.push(format!(
                    "# write the marker {}",
                    quoted(&ours.join("marker.json"))
                ));
                if disk.kind == DiskType::Mount {
                    lines.push(format!(
                        "# reserve {RESERVE} files of {RESERVE_BYTES} bytes in {}",
                        quoted(&ours.join("reserve"))
                    ));
                }
                lines
            }
            Self::RemoveUnit { path } => vec![format!("rm -f {}", quoted(path))],
            Self::RemoveFolder { path } => vec![format!("rmdir {}", quoted(path))],
            Self::Retire { disk } => vec![format!("# take {disk} out of the ledger")],
            Self::Forget { uuid } => vec![format!("# remove the record of {uuid}")],
        }
    }
}

/// The folders that a preparation makes.
pub(super) fn folders_to_make(facts: &PrepareFacts) -> Vec<Raw> {
    let missing = |point: &MountPoint| match point {
        MountPoint::Missing(folders) => folders.clone(),
        MountPoint::Empty | MountPoint::Mounted | MountPoint::Unusable(_) => Vec::new(),
    };
    let mut folders = facts.hidden.as_ref().map(missing).unwrap_or_default();
    for folder in missing(&facts.at) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

/// Both lists, each folder once.
pub(super) fn joined(first: &[Raw], second: &[Raw]) -> Vec<Raw> {
    let mut all = first.to_vec();
    for folder in second {
        if !all.contains(folder) {
            all.push(folder.clone());
        }
    }
    all
}

fn program(facts: &PrepareFacts, name: &str) -> Raw {
    match facts.programs.get(name).and_then(|found| found.known()) {
        Some(path) => path.clone(),
        None => Raw::from(name),
    }
}

/// The programs that a preparation runs.
pub(super) fn programs(fs: PreparedFs, systemd: bool) -> Vec<&'static str> {
    let mut names = vec!["blkid", "wipefs", fs.program()];
    names.push(if systemd { "systemctl" } else { "mount" });
    names
}

pub(super) fn of_prepare(
    record: &PreparedDisk,
    facts: &PrepareFacts,
    device: &BlockDevice,
) -> Vec<DiskStep> {
    let node = Raw::from("/dev").join(&device.name);
    let at_stage = |stage: Stage| DiskStep::Record {
        record: Box::new(PreparedDisk {
            stage,
            ..record.clone()
        }),
    };
    let mut steps = Vec::new();
    if record.stage < Stage::Formatted {
        if record.stage == Stage::Chosen {
            steps.push(at_stage(Stage::Chosen));
        }
        steps.push(at_stage(Stage::Formatting));
        steps.push(DiskStep::Format {
            device: node.clone(),
            number: device.number,
            size_bytes: record.size_bytes,
            uuid: record.uuid.clone(),
            again: record.stage == Stage::Formatting,
            probe: Command::new(
                &program(facts, "blkid"),
                &[&"-p".into(), &"-o".into(), &"export".into(), &node],
            ),
            command: mkfs(record, facts, &node),
        });
        steps.push(at_stage(Stage::Formatted));
    } else {
        // What was found since, such as another name or folder, is written down as well.
        steps.push(at_stage(record.stage));
    }
    for path in &record.folders {
        let secret = record
            .hidden
            .as_ref()
            .is_some_and(|hidden| hidden.below(path).is_some())
            && record.disk.root.below(path).is_none();
        steps.push(DiskStep::Folder {
            path: path.clone(),
            mode: if secret { 0o700 } else { 0o755 },
        });
    }
    let points: Vec<&Raw> = record.hidden.iter().chain([&record.disk.root]).collect();
    if record.immutable {
        for path in points {
            steps.push(DiskStep::Protect { path: path.clone() });
        }
    }
    let systemctl = program(facts, "systemctl");
    if facts.systemd {
        for (name, text) in units::texts(record) {
            steps.push(DiskStep::Unit {
                path: Raw::from(units::UNIT_FOLDER).join(name),
                text,
            });
        }
        steps.push(DiskStep::Systemd {
            command: Command::new(&systemctl, &[&"daemon-reload".into()]),
        });
        let names: Vec<Raw> = record
            .units
            .iter()
            .map(|name| name.as_str().into())
            .collect();
        let enable = [Raw::from("enable")];
        let arguments: Vec<&Raw> = enable.iter().chain(&names).collect();
        steps.push(DiskStep::Systemd {
            command: Command::new(&systemctl, &arguments),
        });
    }
    steps.extend(mounting(record, facts, &node));
    steps.push(at_stage(Stage::Done));
    steps
}

/// The mounts, and what is laid out between them: the bind needs its folder.
fn mounting(record: &PreparedDisk, facts: &PrepareFacts, node: &Raw) -> Vec<DiskStep> {
    let systemctl = program(facts, "systemctl");
    let start = |unit: usize| {
        let unit = record.units.get(unit).map_or("", String::as_str);
        Command::new(&systemctl, &[&"start".into(), &unit.into()])
    };
    let mount = program(facts, "mount");
    let at = record.mounted_at();
    let mut steps = vec![DiskStep::Mount {
        command: if facts.systemd {
            start(0)
        } else {
            // Without -w, mount tries again to mount read-only what refuses to be written.
            let fs = record.fs.name().into();
            Command::new(&mount, &[&"-t".into(), &fs, &"-w".into(), node, at])
        },
        at: at.clone(),
        uuid: record.uuid.clone(),
        shows: None,
    }];
    steps.push(DiskStep::Furnish {
        disk: record.disk.clone(),
        at: at.clone(),
        uuid: record.uuid.clone(),
    });
    if let Some(hidden) = &record.hidden {
        let volume = hidden.join(VOLUME);
        steps.push(DiskStep::Mount {
            command: if facts.systemd {
                start(1)
            } else {
                Command::new(&mount, &[&"--bind".into(), &volume, &record.disk.root])
            },
            at: record.disk.root.clone(),
            uuid: record.uuid.clone(),
            shows: Some(volume),
        });
    }
    steps
}

/// The command that makes the file system. Nothing is reserved for root: the whole of it is
/// advertised. It is forced only over what an earlier run of ours left half made.
fn mkfs(record: &PreparedDisk, facts: &PrepareFacts, node: &Raw) -> Command {
    let program = program(facts, record.fs.program());
    let again = record.stage == Stage::Formatting;
    let uuid = Raw::from(record.uuid.as_str());
    let option = Raw::from(format!("uuid={}", record.uuid));
    let (quiet, id, block) = (Raw::from("-q"), Raw::from("-U"), Raw::from("-m"));
    let (zero, force_xfs, force_ext4) = (Raw::from("0"), Raw::from("-f"), Raw::from("-F"));
    let mut arguments: Vec<&Raw> = match record.fs {
        PreparedFs::Xfs => vec![&quiet, &block, &option],
        PreparedFs::Ext4 => vec![&quiet, &block, &zero, &id, &uuid],
    };
    if again {
        arguments.push(match record.fs {
            PreparedFs::Xfs => &force_xfs,
            PreparedFs::Ext4 => &force_ext4,
        });
    }
    arguments.push(node);
    Command::new(&program, &arguments)
}

//! What is put to the test: a command on a host that was put back before it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::Part;
use crate::look::{Before, FRAME, Fate, end};
use crate::world::{Base, DESTROYED, Fs, HELD, Layout, ORPHAN, TRASHED, World, mounts_below};

/// A command that is put to the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Name {
    /// One pass: two witnessed destroys are moved, looked at again and wiped, an orphan is moved.
    Sweep,
    /// One pass that puts back what is named again.
    PutBack,
    /// An orphan is wiped on the operator's word.
    Wipe,
    /// The same with its data overwritten.
    Overwrite,
    /// An entry of the trash is restored.
    Restore,
    /// The trash is emptied.
    Purge,
    /// The agent's resources are written.
    Resources,
    /// A bare device becomes a MOUNT disk.
    Prepare,
    /// The daemon starts, does what a sweep does, and is told to stop.
    Start,
    /// An orphan is to be kept.
    Adopt,
    /// As `sweep`, on a PATH disk of its own.
    Path,
    /// One pass that empties a plain MOUNT disk in place, behind the gate.
    Mount,
    /// One pass that moves what was destroyed out of a prepared MOUNT disk, and wipes it.
    MoveOut,
    /// A prepared MOUNT disk is given back.
    Release,
}

impl Name {
    pub(crate) const ALL: [Self; 14] = [
        Self::Sweep,
        Self::PutBack,
        Self::Wipe,
        Self::Overwrite,
        Self::Restore,
        Self::Purge,
        Self::Resources,
        Self::Prepare,
        Self::Start,
        Self::Adopt,
        Self::Path,
        Self::Mount,
        Self::MoveOut,
        Self::Release,
    ];
    /// Those that a power cut is tried on: the daemon does what a sweep does, and a disk that is made
    /// anew is not what is cut.
    pub(crate) const CUT: [Self; 11] = [
        Self::Sweep,
        Self::PutBack,
        Self::Wipe,
        Self::Overwrite,
        Self::Restore,
        Self::Purge,
        Self::Resources,
        Self::Adopt,
        Self::Path,
        Self::Mount,
        Self::MoveOut,
    ];

    /// Those whose writes are logged: what moves, wipes and brings back volumes.
    pub(crate) const LOGGED: [Self; 4] = [Self::Sweep, Self::PutBack, Self::Wipe, Self::Restore];

    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::PutBack => "put-back",
            Self::Wipe => "wipe",
            Self::Overwrite => "overwrite",
            Self::Restore => "trash restore",
            Self::Purge => "trash purge",
            Self::Resources => "resources --write",
            Self::Prepare => "disk prepare",
            Self::Start => "run",
            Self::Adopt => "volumes adopt",
            Self::Path => "sweep of a PATH",
            Self::Mount => "sweep of a MOUNT",
            Self::MoveOut => "sweep of a prepared MOUNT",
            Self::Release => "disk release",
        }
    }

    const fn layout(self) -> Layout {
        match self {
            Self::Path => Layout::Path,
            Self::Mount => Layout::Mount,
            Self::MoveOut | Self::Release => Layout::Hidden,
            Self::Sweep
            | Self::PutBack
            | Self::Wipe
            | Self::Overwrite
            | Self::Restore
            | Self::Purge
            | Self::Resources
            | Self::Prepare
            | Self::Start
            | Self::Adopt => Layout::Root,
        }
    }

    /// Whether it can be tried there: only ext4 and xfs are prepared.
    fn suits(self, fs: Fs) -> bool {
        self.layout() != Layout::Hidden || fs.kind() != "btrfs"
    }

    const fn base(self) -> Base {
        match self {
            Self::Sweep | Self::Start | Self::Path | Self::Mount | Self::MoveOut => Base::Destroyed,
            Self::Release => Base::Fresh,
            Self::PutBack => Base::NamedAgain,
            Self::Wipe
            | Self::Overwrite
            | Self::Restore
            | Self::Purge
            | Self::Resources
            | Self::Prepare
            | Self::Adopt => Base::Held,
        }
    }

    fn args(self, world: &World) -> Vec<String> {
        let resources = world.resources();
        let args: &[&str] = match self {
            Self::Sweep | Self::PutBack | Self::Path | Self::Mount | Self::MoveOut => &["sweep"],
            Self::Adopt => &["volumes", "adopt", "r/o1", "--size", "2MiB"],
            Self::Release => {
                let side = world.side().unwrap();
                return world.command(&["disk", "release", side.to_str().unwrap()]);
            }
            Self::Wipe => &["wipe", "r/o1", "--confirm", "o1"],
            Self::Overwrite => &["wipe", "r/o1", "--confirm", "o1", "--mode", "overwrite"],
            Self::Purge => &["trash", "purge", "--all"],
            Self::Resources => &["resources", "--write", resources.to_str().unwrap()],
            Self::Start => &["run"],
            Self::Restore => {
                let entry = world.entry_of(TRASHED);
                return world.command(&["trash", "restore", &entry]);
            }
            Self::Prepare => {
                let (device, disk) = (world.device().unwrap(), world.disk().unwrap());
                let confirm = device.file_name().unwrap().to_str().unwrap();
                let (device, disk) = (device.to_str().unwrap(), disk.to_str().unwrap());
                let args = ["disk", "prepare", device, "--as", "mount", "--at", disk];
                let more = ["--fs", "ext4", "--confirm", confirm];
                return world.command(&[&args[..], &more].concat());
            }
        };
        world.command(args)
    }

    /// What may become of the data of a volume.
    fn fate(self, id: &str) -> Fate {
        if HELD.contains(&id) {
            return Fate::Held;
        }
        if DESTROYED.contains(&id) {
            return match self {
                Self::Sweep | Self::Start | Self::Path | Self::Mount | Self::MoveOut => Fate::Goes,
                Self::PutBack if id == "d1" => Fate::Moves,
                Self::PutBack => Fate::Waits,
                Self::Wipe
                | Self::Overwrite
                | Self::Restore
                | Self::Purge
                | Self::Resources
                | Self::Prepare
                | Self::Adopt
                | Self::Release => Fate::Held,
            };
        }
        match (self, id) {
            (Self::Wipe | Self::Overwrite, ORPHAN) | (Self::Purge, TRASHED) => Fate::Goes,
            (Self::Resources | Self::Prepare | Self::Adopt, ORPHAN) => Fate::Held,
            (Self::Restore, TRASHED) => Fate::Moves,
            (_, TRASHED) => Fate::Waits,
            (_, _) => Fate::Moves,
        }
    }
}

/// Which commands, and on which file systems; those of the tool where none is named.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Chosen {
    /// These commands alone
    #[arg(long = "command", value_enum)]
    pub(crate) commands: Vec<Name>,
    /// On these file systems alone
    #[arg(long = "fs", value_enum)]
    filesystems: Vec<Fs>,
}

impl Chosen {
    pub(crate) fn or(&self, commands: &[Name], filesystems: &[Fs]) -> Self {
        Self {
            commands: or_default(&self.commands, commands),
            filesystems: or_default(&self.filesystems, filesystems),
        }
    }

    /// Tries each of the commands on each of the file systems, on a host made for it.
    pub(crate) fn each(&self, part: &Part, test: &mut dyn FnMut(&mut Scene)) {
        for &fs in &self.filesystems {
            let folder = part.folder.join(fs.name());
            for layout in [Layout::Root, Layout::Path, Layout::Mount, Layout::Hidden] {
                let mut names = (self.commands.iter())
                    .filter(|name| name.layout() == layout && name.suits(fs))
                    .peekable();
                if names.peek().is_none() {
                    continue;
                }
                let mut world = World::make(&folder, fs, layout);
                for &name in names {
                    let mut scene = Scene::of(name, world);
                    test(&mut scene);
                    world = scene.into_world();
                }
                world.remove();
            }
        }
    }
}

/// What was named, or else what is by default.
pub(crate) fn or_default<T: Clone>(given: &[T], default: &[T]) -> Vec<T> {
    let chosen = if given.is_empty() { default } else { given };
    chosen.to_vec()
}

/// A command on its host.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) name: Name,
    world: World,
    before: Option<Before>,
}

impl Scene {
    pub(crate) fn of(name: Name, world: World) -> Self {
        let world = if name == Name::Prepare {
            world.with_device()
        } else {
            world
        };
        Self {
            name,
            world,
            before: None,
        }
    }

    pub(crate) fn into_world(self) -> World {
        self.world.without_device()
    }

    /// Whether it runs until it is told to stop.
    pub(crate) fn is_daemon(&self) -> bool {
        self.name == Name::Start
    }

    pub(crate) fn fs(&self) -> Fs {
        self.world.fs()
    }

    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    /// Puts the host back.
    pub(crate) fn begin(&mut self) {
        self.world.restore(self.name.base());
        if self.before.is_none() {
            self.before = Some(Before::of(&self.world));
        }
    }

    pub(crate) fn stop(&self) {
        self.world.unmount();
    }

    pub(crate) fn command(&self) -> Vec<String> {
        self.name.args(&self.world)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.world.scratch("trace")
    }

    /// The first call with this in it is the first of the command itself.
    pub(crate) fn begins(&self) -> String {
        self.world.config().to_str().unwrap().to_owned()
    }

    /// What must hold at any moment and does not.
    pub(crate) fn broken(&self) -> Vec<String> {
        match &self.before {
            Some(before) => before.broken(&self.world, &|id| self.name.fate(id)),
            None => Vec::new(),
        }
    }

    /// Whether what was destroyed is gone, its frame too, and the orphan waits in the trash.
    pub(crate) fn is_settled(&self) -> bool {
        let end = self.end();
        let has = |what: &str| end.keys().any(|name| name.contains(what));
        let gone = |id: &str| !has(&format!("<r/{id}>")) && !has(&format!("roles/r/{id}"));
        DESTROYED.into_iter().all(gone)
            && !has(&format!("roles/r/{ORPHAN}"))
            && end.iter().any(|(name, what)| {
                name.ends_with(&format!("<r/{ORPHAN}>/manifest.json"))
                    && what.contains("\"cleared\"")
            })
    }

    pub(crate) fn end(&self) -> BTreeMap<String, String> {
        let mut end = end(&self.world);
        let sweeps = [
            Name::Sweep,
            Name::PutBack,
            Name::Start,
            Name::Path,
            Name::Mount,
            Name::MoveOut,
        ];
        if !sweeps.contains(&self.name) {
            // A command about one thing leaves the empty frame of an entry to the next sweep.
            end.retain(|name, _| !name.contains(FRAME));
        }
        if self.world.layout() == Layout::Hidden {
            let folder = self.world.point();
            let mounts = mounts_below(folder.parent().unwrap()).join(" ");
            end.insert("mounts".to_owned(), mounts);
        }
        let Some(disk) = self.world.disk() else {
            return end;
        };
        // The UUID is chosen anew by each run that begins one.
        let folder = self.world.state().join("prepared");
        let uuid = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .find_map(|name| Some(name.strip_suffix(".json")?.to_owned()));
        let uuid = uuid.unwrap_or_else(|| "no UUID".to_owned());
        let mut end: BTreeMap<String, String> = end
            .into_iter()
            .map(|(name, what)| {
                let file = name.rsplit('/').next().unwrap_or_default();
                // A record of ours has times; what it says shows in the mounts.
                let what = if file.starts_with(&uuid) {
                    String::new()
                } else {
                    what
                };
                (name.replace(&uuid, "UUID"), what.replace(&uuid, "UUID"))
            })
            .collect();
        let mounts = mounts_below(disk.parent().unwrap()).join(" ");
        end.insert("mounts".to_owned(), mounts.replace(&uuid, "UUID"));
        end
    }
}

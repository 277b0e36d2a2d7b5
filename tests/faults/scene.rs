//! What is put to the test: a command on a host that was put back before it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::look::{Before, Fate, end};
use crate::world::{Base, DESTROYED, Fs, HELD, ORPHAN, TRASHED, World};

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
    /// The trash is emptied.
    Purge,
    /// The agent's resources are written.
    Resources,
}

impl Name {
    pub(crate) const ALL: [Self; 6] = [
        Self::Sweep,
        Self::PutBack,
        Self::Wipe,
        Self::Overwrite,
        Self::Purge,
        Self::Resources,
    ];

    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::PutBack => "put-back",
            Self::Wipe => "wipe",
            Self::Overwrite => "overwrite",
            Self::Purge => "trash purge",
            Self::Resources => "resources --write",
        }
    }

    const fn base(self) -> Base {
        match self {
            Self::Sweep => Base::Destroyed,
            Self::PutBack => Base::NamedAgain,
            Self::Wipe | Self::Overwrite | Self::Purge | Self::Resources => Base::Held,
        }
    }

    fn args(self, world: &World) -> Vec<String> {
        let resources = world.resources();
        let args: &[&str] = match self {
            Self::Sweep | Self::PutBack => &["sweep"],
            Self::Wipe => &["wipe", "r/o1", "--confirm", "o1"],
            Self::Overwrite => &["wipe", "r/o1", "--confirm", "o1", "--mode", "overwrite"],
            Self::Purge => &["trash", "purge", "--all"],
            Self::Resources => &["resources", "--write", resources.to_str().unwrap()],
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
                Self::Sweep => Fate::Goes,
                Self::PutBack if id == "d1" => Fate::Moves,
                Self::PutBack => Fate::Waits,
                Self::Wipe | Self::Overwrite | Self::Purge | Self::Resources => Fate::Held,
            };
        }
        match (self, id) {
            (Self::Wipe | Self::Overwrite, ORPHAN) | (Self::Purge, TRASHED) => Fate::Goes,
            (Self::Resources, ORPHAN) => Fate::Held,
            (_, TRASHED) => Fate::Waits,
            (_, _) => Fate::Moves,
        }
    }
}

/// A command on its host.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) name: Name,
    world: World,
    before: Option<Before>,
}

impl Scene {
    pub(crate) const fn of(name: Name, world: World) -> Self {
        Self {
            name,
            world,
            before: None,
        }
    }

    pub(crate) fn into_world(self) -> World {
        self.world
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

    pub(crate) fn end(&self) -> BTreeMap<String, String> {
        end(&self.world)
    }
}

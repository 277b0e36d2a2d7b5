//! Which disks the agent's files name, and with which volumes: what keeps a number from moving.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{CheckpointFacts, CheckpointFile, Known, ProviderState, ResourceState};
use crate::mesos::disk::DiskRef;
use crate::mesos::ids::VolumeKey;
use crate::mesos::resource::Resource;
use crate::units::Raw;

/// The disks that reservations or volumes are on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Each disk with its volumes; a disk that is only reserved has none.
    pub disks: BTreeMap<DiskRef, BTreeSet<VolumeKey>>,
    /// Why more may be held than is known here: a sentence each.
    pub doubts: Vec<String>,
}

impl Held {
    /// The union of everything that the agent's files name, committed or not (law 2).
    #[must_use]
    pub fn new(
        checkpoint: &CheckpointFacts,
        providers: &Known<Vec<ProviderState>>,
        work_dir: &Raw,
    ) -> Self {
        let mut held = Self::default();
        for (name, file) in [
            ("resources_and_operations.target", &checkpoint.state_target),
            ("resources_and_operations.state", &checkpoint.state),
        ] {
            held.file(name, file, |held, state| held.state(state, work_dir));
            // An agent never writes this file empty: it is a lost write.
            if matches!(file, CheckpointFile::Empty) {
                held.doubts.push(format!("{name} has 0 bytes"));
            }
        }
        for (name, file) in [
            ("resources.target", &checkpoint.info_target),
            ("resources.info", &checkpoint.info),
        ] {
            held.file(name, file, |held, resources| {
                held.resources(resources, work_dir);
            });
        }
        match providers {
            Known::Known(providers) => {
                for provider in providers {
                    held.state(&provider.content, work_dir);
                }
            }
            Known::Absent => {}
            Known::Unknown(why) => held.doubts.push(why.to_string()),
        }
        held
    }

    fn file<T>(&mut self, name: &str, file: &CheckpointFile<T>, add: impl FnOnce(&mut Self, &T)) {
        match file {
            CheckpointFile::Whole(content) => add(self, content),
            CheckpointFile::Missing | CheckpointFile::Empty => {}
            CheckpointFile::Damaged(why) => self.doubts.push(format!("{name}: {why}")),
        }
    }

    fn state(&mut self, state: &ResourceState, work_dir: &Raw) {
        self.resources(&state.resources, work_dir);
        // Also of operations that have ended: naming a disk too much only keeps its number.
        for operation in &state.operations {
            self.resources(&operation.volumes, work_dir);
        }
    }

    fn resources(&mut self, resources: &[Resource], work_dir: &Raw) {
        for resource in resources {
            if let Some(disk) = resource.disk(work_dir) {
                self.disks
                    .entry(disk)
                    .or_default()
                    .extend(resource.volume_key());
            }
        }
    }

    /// The disks, as [`super::discover::Input`] takes them.
    #[must_use]
    pub fn known(&self) -> Known<BTreeSet<DiskRef>> {
        if self.doubts.is_empty() {
            Known::Known(self.disks.keys().cloned().collect())
        } else {
            Known::unknown(self.doubts.join("; "))
        }
    }

    /// The volumes on this disk.
    pub fn on(&self, disk: &DiskRef) -> impl Iterator<Item = &VolumeKey> {
        self.disks.get(disk).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::facts::Why;
    use crate::mesos::disk::DiskType;
    use crate::mesos::ids::{PersistenceId, Role};
    use crate::mesos::resource::{Persistence, Reservation, ReservationType, Value};
    use crate::units::Megabytes;

    fn volume(id: Option<&str>) -> Resource {
        Resource {
            name: "disk".into(),
            value: Value::Scalar(Megabytes::whole(10)),
            reservations: vec![Reservation {
                kind: ReservationType::Dynamic,
                role: Role::new("r"),
                principal: None,
                labels: Vec::new(),
            }],
            source: None,
            persistence: id.map(|id| Persistence {
                id: PersistenceId::new(id),
                principal: None,
                container_path: None,
            }),
            shared: false,
            provider_id: None,
        }
    }

    fn files() -> CheckpointFacts {
        CheckpointFacts {
            state_target: CheckpointFile::Missing,
            state: CheckpointFile::Missing,
            info_target: CheckpointFile::Missing,
            info: CheckpointFile::Missing,
        }
    }

    fn root() -> DiskRef {
        DiskRef {
            kind: DiskType::Root,
            root: "/w".into(),
        }
    }

    #[test]
    fn a_disk_is_held_by_any_file_and_also_by_a_bare_reservation() {
        let mut checkpoint = files();
        let held =
            |checkpoint: &CheckpointFacts| Held::new(checkpoint, &Known::Absent, &"/w".into());
        assert_eq!(held(&checkpoint).known(), Known::Known(BTreeSet::new()));
        checkpoint.info_target = CheckpointFile::Whole(vec![volume(None)]);
        assert_eq!(
            held(&checkpoint).known(),
            Known::Known(BTreeSet::from([root()]))
        );
        assert_eq!(held(&checkpoint).on(&root()).count(), 0);
        checkpoint.state = CheckpointFile::Whole(ResourceState {
            resources: vec![volume(Some("a"))],
            operations: Vec::new(),
        });
        assert_eq!(held(&checkpoint).on(&root()).count(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_unknown_and_hides_nothing_that_can() {
        let mut checkpoint = files();
        checkpoint.info = CheckpointFile::Whole(vec![volume(Some("a"))]);
        checkpoint.state = CheckpointFile::Damaged(Why("cut off".to_owned()));
        let held = Held::new(&checkpoint, &Known::unknown("EIO"), &"/w".into());
        assert_eq!(
            held.known(),
            Known::unknown("resources_and_operations.state: cut off; EIO")
        );
        assert_eq!(held.on(&root()).count(), 1);
        checkpoint.state = CheckpointFile::Empty;
        let held = Held::new(&checkpoint, &Known::Absent, &"/w".into());
        assert!(held.known().why().is_some());
    }
}

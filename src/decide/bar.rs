//! The barrier by reservation (design §5, F§11): while the agent's own checkpoint has a MOUNT disk
//! reserved to a role of ours, Mesos offers it to nobody else and refuses everybody's calls for it,
//! across restarts of agent and master.
//!
//! The role is `mesos-volumed`, or that below the role that has the disk: a reservation can only be
//! refined, and a framework of the role above is not offered what is reserved below it. A label
//! tells our reservation from one that somebody made to the same role.

use super::facts::{CheckpointFacts, CheckpointFile, Facts, Known, MountContent};
use super::own::committed;
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::Role;
use crate::mesos::resource::{ReservationType, Resource};
use crate::units::Raw;

/// The role that a disk is reserved to.
pub const ROLE: &str = "mesos-volumed";

/// The label's key.
pub const LABEL: &str = "mesos-volumed";

/// The label's value.
pub const LABEL_VALUE: &str = "barrier";

/// The role to which a disk is reserved that has this one, or none.
#[must_use]
pub fn role_below(held: Option<&Role>) -> Role {
    match held {
        None => Role::new(ROLE),
        Some(held) => Role::new(held.as_raw().join(ROLE)),
    }
}

/// The labels of our reservation.
#[must_use]
pub fn labels() -> Vec<(Raw, Option<Raw>)> {
    vec![(Raw::from(LABEL), Some(Raw::from(LABEL_VALUE)))]
}

/// Whether this is disk that we reserved, and no volume.
#[must_use]
pub fn is_ours(resource: &Resource) -> bool {
    let Some((last, below)) = resource.reservations.split_last() else {
        return false;
    };
    resource.persistence.is_none()
        && last.kind == ReservationType::Dynamic
        && last.role == role_below(below.last().map(|one| &one.role))
        && last.labels == labels()
}

/// The resources on a MOUNT disk; two entries of one root are two.
pub fn on<'a>(
    resources: &'a [Resource],
    disk: &DiskRef,
    work_dir: &Raw,
) -> impl Iterator<Item = &'a Resource> {
    resources
        .iter()
        .filter(move |one| one.disk(work_dir).as_ref() == Some(disk))
}

/// Whether the checkpoint of the agent with this `work_dir` has the disk reserved to our role, and
/// nothing else of it. `Unknown`: no file can be believed, or a change is in flight.
#[must_use]
pub fn stands(checkpoint: &CheckpointFacts, disk: &DiskRef, work_dir: &Raw) -> Known<()> {
    let Some(resources) = committed(checkpoint) else {
        return Known::unknown("no checkpoint file of the agent can be believed");
    };
    let mut there = on(resources, disk, work_dir);
    if !matches!((there.next(), there.next()), (Some(one), None) if is_ours(one)) {
        return Known::Absent;
    }
    let quiet = matches!(checkpoint.state_target, CheckpointFile::Missing)
        && matches!(checkpoint.info_target, CheckpointFile::Missing);
    if quiet {
        Known::Known(())
    } else {
        Known::unknown("a target file exists: a change of the agent's checkpoint is in flight")
    }
}

/// MOUNT disks that the agent's checkpoint has reserved to our role.
#[must_use]
pub fn barred(facts: &Facts) -> Vec<DiskRef> {
    let mut disks: Vec<DiskRef> = committed(&facts.checkpoint)
        .into_iter()
        .flatten()
        .filter(|one| is_ours(one))
        .filter_map(|one| one.disk(&facts.agent.work_dir))
        .filter(|disk| disk.kind == DiskType::Mount)
        .collect();
    disks.sort();
    disks.dedup();
    disks
}

/// Whether the master has to be asked for the sake of a barrier: one stands, or the data of a
/// volume that is gone lies on a MOUNT disk while the agent runs.
#[must_use]
pub fn wants_master(facts: &Facts) -> bool {
    if !facts.policy.barrier {
        return false;
    }
    if !barred(facts).is_empty() {
        return true;
    }
    let runs = facts
        .agent
        .processes
        .known()
        .is_some_and(|all| !all.is_empty());
    let Known::Known(memory) = &facts.memory else {
        return false;
    };
    runs && facts.roots.iter().any(|root| {
        root.disk.kind == DiskType::Mount
            && (root.content == Known::Known(MountContent::Data) || facts.gate.owed(root).is_some())
            && memory.volumes.iter().any(|record| {
                let wanted = facts.words.wipe.as_ref() == Some(&record.key);
                let here = record.places.iter().any(|place| place.disk == root.disk);
                here && (wanted || record.gone.is_some())
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesos::disk::SourceExtras;
    use crate::mesos::operator::{reserved, whole};
    use crate::units::Megabytes;

    fn disk() -> DiskRef {
        DiskRef {
            kind: DiskType::Mount,
            root: "/m".into(),
        }
    }

    fn checkpoint(resources: Vec<Resource>) -> CheckpointFacts {
        CheckpointFacts {
            state: CheckpointFile::Missing,
            state_target: CheckpointFile::Missing,
            info: CheckpointFile::Whole(resources),
            info_target: CheckpointFile::Missing,
        }
    }

    #[test]
    fn only_our_own_reservation_of_the_whole_disk_is_a_barrier() {
        let work_dir = Raw::from("/w");
        let free = whole(&disk(), &SourceExtras::default(), Megabytes::whole(10));
        let ours = reserved(&free, &role_below(None), None, labels()).unwrap();
        let stand = |all: Vec<Resource>| stands(&checkpoint(all), &disk(), &work_dir);
        assert_eq!(stand(vec![ours.clone()]), Known::Known(()));
        assert_eq!(stand(Vec::new()), Known::Absent);
        // Another root of the same text, a label that is not ours, another role, a volume.
        assert_eq!(stand(vec![ours.clone(), ours.clone()]), Known::Absent);
        let mine = reserved(&free, &role_below(None), None, Vec::new()).unwrap();
        assert_eq!(stand(vec![mine]), Known::Absent);
        let role = Role::new("r");
        let theirs = reserved(&free, &role, None, labels()).unwrap();
        assert_eq!(stand(vec![theirs.clone()]), Known::Absent);
        // What is reserved to somebody is reserved below that.
        let below = reserved(&theirs, &role_below(Some(&role)), None, labels()).unwrap();
        assert_eq!(below.role().unwrap().to_string(), "r/mesos-volumed");
        assert_eq!(stand(vec![below]), Known::Known(()));
        let mut moving = checkpoint(vec![ours]);
        moving.info_target = CheckpointFile::Empty;
        assert!(matches!(
            stands(&moving, &disk(), &work_dir),
            Known::Unknown(_)
        ));
        moving.info = CheckpointFile::Damaged(super::super::facts::Why("cut".to_owned()));
        assert!(stands(&moving, &disk(), &work_dir).why().is_some());
    }
}

//! The barrier by reservation, read a second time.

use super::{Reader, Verdict, must};
use crate::decide::bar::{LABEL, LABEL_VALUE, ROLE};
use crate::decide::facts::{CheckpointFile, Known, MountContent, OwedFill};
use crate::decide::plan::Plan;
use crate::decide::steps::{MasterCall, Step};
use crate::mesos::disk::DiskRef;
use crate::mesos::ids::VolumeKey;
use crate::mesos::operator::{Change, ResourceFormat};
use crate::mesos::resource::{Reservation, ReservationType, Resource};
use crate::units::Raw;

/// Whether the last reservation is one that this program makes.
fn made_by_us(resource: &Resource) -> bool {
    let stack = resource.reservations.as_slice();
    let Some(Reservation {
        kind: ReservationType::Dynamic,
        role,
        labels,
        ..
    }) = stack.last()
    else {
        return false;
    };
    let above = stack
        .len()
        .checked_sub(2)
        .and_then(|index| stack.get(index));
    let name = match above {
        None => ROLE.to_owned(),
        Some(above) => format!("{}/{ROLE}", above.role),
    };
    let labelled = labels.as_slice() == [(Raw::from(LABEL), Some(Raw::from(LABEL_VALUE)))];
    role.to_string() == name && labelled && resource.persistence.is_none()
}

impl Reader<'_> {
    fn one_on<'b>(
        &self,
        resources: &'b [Resource],
        disk: &DiskRef,
    ) -> Result<&'b Resource, String> {
        let work_dir = &self.facts.agent.work_dir;
        let all: Vec<&Resource> = resources
            .iter()
            .filter(|one| one.disk(work_dir).as_ref() == Some(disk))
            .collect();
        match all.as_slice() {
            [one] => Ok(one),
            _ => Err(format!("{disk} is not one disk")),
        }
    }

    /// The file that the agent believes has the disk reserved to our role, nothing is in flight,
    /// and no agent runs but the one with that file.
    pub(super) fn behind_a_reservation(&self, disk: &DiskRef) -> Verdict {
        let checkpoint = &self.facts.checkpoint;
        let resources: &[Resource] = match (&checkpoint.state, &checkpoint.info) {
            (CheckpointFile::Whole(state), _) => &state.resources,
            (CheckpointFile::Missing, CheckpointFile::Whole(resources)) => resources,
            _ => return Err("no checkpoint file can be believed".to_owned()),
        };
        must(
            matches!(checkpoint.state_target, CheckpointFile::Missing)
                && matches!(checkpoint.info_target, CheckpointFile::Missing),
            || "a change is in flight".to_owned(),
        )?;
        must(made_by_us(self.one_on(resources, disk)?), || {
            format!("{disk} is not reserved to us")
        })?;
        self.only_our_agent()
    }

    /// What is owed to the free space of the disk that is there.
    fn unfilled(&self, disk: &DiskRef) -> Option<&OwedFill> {
        let root = self.facts.root(disk)?;
        let present = root.filesystem.present.known()?;
        let fills = &self.facts.gate.fills;
        fills
            .iter()
            .find(|fill| fill.root == disk.root && fill.directory == present.directory)
    }

    fn only_our_agent(&self) -> Verdict {
        let ours = Known::Known(self.facts.agent.work_dir.clone());
        let known = self.facts.agent.processes.known();
        must(
            known.is_some_and(|all| all.iter().all(|one| one.ours && one.work_dir == ours)),
            || "another agent may run".to_owned(),
        )
    }

    /// The call is for our agent, in its master's words.
    fn is_for_our_agent(&self, call: &MasterCall) -> Result<&[Resource], String> {
        let agent = self.registered()?;
        let version = self.facts.master.known().map(|master| master.version);
        must(
            call.agent == agent.id && version.map(ResourceFormat::of) == Some(call.format),
            || "the call is for another agent or another master".to_owned(),
        )?;
        Ok(&agent.resources)
    }

    /// A disk is reserved for the wiping of a volume that is gone, and unused.
    pub(super) fn bar(&self, call: &MasterCall, volume: &VolumeKey, disk: &DiskRef) -> Verdict {
        must(self.facts.policy.barrier, || {
            "disks are not to be reserved".to_owned()
        })?;
        self.nobody_wants(volume)?;
        must(!self.named.on_disk(disk), || {
            format!("{disk} holds another volume")
        })?;
        let root = self.seen(disk)?;
        let mount = root
            .mount
            .known()
            .ok_or_else(|| format!("{} is not mounted", disk.root))?;
        must(
            root.content == Known::Known(MountContent::Data) || self.unfilled(disk).is_some(),
            || format!("{disk} holds nothing to wipe"),
        )?;
        self.mount_unused(root, mount)?;
        let word = self.facts.words.wipe.as_ref() == Some(volume);
        let record = self.records.get(volume);
        must(
            record.is_some_and(|record| {
                let destroyed = record.gone.as_ref().and_then(|gone| gone.evidence.as_ref());
                record.places.iter().any(|place| place.disk == *disk)
                    && (word || destroyed.is_some())
            }),
            || format!("{volume} was not destroyed on {disk}"),
        )?;
        self.only_our_agent()?;
        let listed = self.one_on(self.is_for_our_agent(call)?, disk)?;
        let Change::Reserve(wanted) = &call.change else {
            return Err("the call is no RESERVE".to_owned());
        };
        let [wanted] = wanted.as_slice() else {
            return Err("the call reserves more than one disk".to_owned());
        };
        let mut before = wanted.clone();
        let last = before.reservations.pop();
        let as_whom = self
            .facts
            .master
            .known()
            .and_then(|master| master.principal.as_ref());
        must(
            made_by_us(wanted)
                && before == *listed
                && !made_by_us(listed)
                && last.is_some_and(|last| last.principal.as_ref() == as_whom),
            || format!("the call does not reserve {disk} as the master lists it"),
        )
    }

    /// A disk is given back on which nothing is left to be wiped.
    pub(super) fn unbar(&self, call: &MasterCall, disk: &DiskRef, plan: &Plan) -> Verdict {
        for step in &plan.steps {
            if let Step::EmptyMount { authorization, .. } | Step::MoveOut { authorization, .. } =
                step
            {
                must(authorization.disk() != disk, || {
                    format!("{disk} is about to be emptied")
                })?;
            }
        }
        let root = self.facts.root(disk);
        must(!root.is_some_and(super::hidden::half_moved), || {
            format!("{disk} is half moved into its trash")
        })?;
        must(self.unfilled(disk).is_none(), || {
            format!("the free space of {disk} is still to be filled")
        })?;
        if root.is_none_or(|root| root.content != Known::Known(MountContent::Empty)) {
            must(matches!(self.facts.memory, Known::Known(_)), || {
                format!("nobody knows whose data lies on {disk}")
            })?;
            for record in &self.memory.volumes {
                must(
                    record.places.iter().all(|place| place.disk != *disk)
                        || self.named.names(&record.key)
                        || self.kept_by_a_mark(disk, &record.key),
                    || format!("{disk} may be half emptied"),
                )?;
            }
        }
        let listed = self.one_on(self.is_for_our_agent(call)?, disk)?;
        let Change::Unreserve(given) = &call.change else {
            return Err("the call is no UNRESERVE".to_owned());
        };
        must(
            given.as_slice() == std::slice::from_ref(listed) && made_by_us(listed),
            || format!("the call does not give back what we reserved of {disk}"),
        )
    }
}

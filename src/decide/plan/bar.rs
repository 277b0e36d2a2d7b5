//! Reserving a MOUNT disk to our role while its destroyed data is wiped and the agent runs, and
//! giving it back.
//!
//! Only what is seen decides: a call is made while the *master* has the disk as it was, and the next
//! step is taken once the *agent's checkpoint* shows it as it shall be. In between nothing is asked
//! again, and after a crash the next pass goes on from what it finds.

use super::Planner;
use crate::decide::bar::{self, is_ours, labels, role_below, stands};
use crate::decide::facts::{
    AgentAnswer, AgentProcess, FileIdentity, Known, MountContent, RootFacts,
};
use crate::decide::guards::{Reason, Refusal};
use crate::decide::own::{call_of, reachable};
use crate::decide::steps::{Barrier, MasterCall, Step};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::operator::{Change, ResourceFormat, reserved};
use crate::mesos::resource::Resource;

impl Planner<'_> {
    /// What keeps Mesos from using the disk: the agent's own checkpoint, or the gate.
    pub(super) fn barrier(&self, disk: &DiskRef) -> Result<Barrier, Vec<Reason>> {
        let facts = self.facts();
        let stands = stands(&facts.checkpoint, disk, &facts.agent.work_dir);
        match stands {
            Known::Known(()) => match self.strange_agents() {
                None => return Ok(Barrier::Reservation),
                Some(reason) => return Err(vec![reason]),
            },
            Known::Absent | Known::Unknown(_) => {}
        }
        let mut reasons = Vec::new();
        self.gate_stands(&mut reasons);
        if reasons.is_empty() {
            return Ok(Barrier::Gate);
        }
        Err(reasons)
    }

    /// An agent that is not known to be the one whose checkpoint was read: it may use the disk too.
    fn strange_agents(&self) -> Option<Reason> {
        let facts = self.facts();
        let no_barrier = |detail: String| Some(Reason::new(Refusal::NoBarrier, detail));
        let ours = |process: &&AgentProcess| {
            process.ours && process.work_dir == Known::Known(facts.agent.work_dir.clone())
        };
        match &facts.agent.processes {
            Known::Known(processes) => {
                let strange = processes.iter().find(|process| !ours(process))?;
                no_barrier(format!("another agent runs (pid {})", strange.pid))
            }
            Known::Absent => no_barrier("agent processes were not looked for".to_owned()),
            Known::Unknown(why) => no_barrier(why.to_string()),
        }
    }

    /// The call that reserves a disk for which nothing but the barrier is missing.
    pub(super) fn reserving(&self, root: &RootFacts) -> Result<MasterCall, Reason> {
        let facts = self.facts();
        let no_barrier = |detail: String| Reason::new(Refusal::NoBarrier, detail);
        let way = "it can't be reserved meanwhile";
        if !facts.policy.barrier {
            return Err(no_barrier(format!("{way}: master.barrier is off")));
        }
        if let Some(reason) = self.strange_agents() {
            return Err(reason);
        }
        if !matches!(facts.answer, AgentAnswer::State(_)) {
            return Err(no_barrier(format!("{way}: no agent answers at agent.url")));
        }
        let agent = reachable(facts).map_err(|why| no_barrier(format!("{way}: {why}")))?;
        let mut there = bar::on(&agent.resources, &root.disk, &facts.agent.work_dir);
        let (Some(one), None) = (there.next(), there.next()) else {
            return Err(no_barrier(format!(
                "{way}: the master does not list it as one disk of this agent"
            )));
        };
        if is_ours(one) {
            return Err(no_barrier(
                "it is being reserved; the agent's checkpoint does not show it yet".to_owned(),
            ));
        }
        let master = facts.master.known();
        let format = master.map(|master| ResourceFormat::of(master.version));
        if format == Some(ResourceFormat::PreReservationRefinement) && !one.reservations.is_empty()
        {
            return Err(no_barrier(format!(
                "{way}: it is reserved to `{}` already, and masters before 1.4 know no further \
                 reservation below that",
                one.role().map_or_else(String::new, ToString::to_string)
            )));
        }
        let principal = master.and_then(|master| master.principal.clone());
        reserved(one, &role_below(one.role()), principal, labels())
            .ok()
            .and_then(|wanted| call_of(facts, Change::Reserve(vec![wanted])))
            .ok_or_else(|| no_barrier(format!("{way}: volume {} is on it", named(one))))
    }

    /// Gives back every disk on which nothing is left to be wiped. While the data of a volume that
    /// is gone lies there, or nobody knows, it stays reserved: a half-emptied disk must not get a
    /// tenant.
    pub(super) fn unbar(&mut self) {
        for disk in bar::barred(self.facts()) {
            if self.acts_on(&disk) || self.owed_on(&disk) {
                continue;
            }
            let facts = self.facts();
            let root = facts.root(&disk);
            match self.giving_back(&disk) {
                Ok(Some(call)) => {
                    let directory: Option<FileIdentity> = root
                        .and_then(|root| root.filesystem.present.known())
                        .map(|present| present.directory.clone());
                    self.steps.push(Step::Bar {
                        call: Box::new(call),
                        volume: None,
                        disk,
                        directory,
                    });
                }
                // The master has done so; the agent hears of it.
                Ok(None) => {}
                Err(why) => {
                    let reason = Reason::new(
                        Refusal::AuthorityUnknown,
                        format!(
                            "nothing is left to be wiped there, and it can't be given back to \
                             Mesos: {why}"
                        ),
                    );
                    let path = disk.root.clone();
                    self.keep(None, &disk, path, true, vec![reason]);
                }
            }
        }
    }

    /// The call that gives a disk back; none where the master has done so already.
    fn giving_back(&self, disk: &DiskRef) -> Result<Option<MasterCall>, String> {
        let facts = self.facts();
        let agent = reachable(facts)?;
        let mut there = bar::on(&agent.resources, disk, &facts.agent.work_dir);
        match (there.next(), there.next()) {
            (Some(one), None) if is_ours(one) => {
                Ok(call_of(facts, Change::Unreserve(vec![one.clone()])))
            }
            _ => Ok(None),
        }
    }

    /// Whether this plan empties the disk, or puts data back on it.
    fn acts_on(&self, disk: &DiskRef) -> bool {
        self.steps.iter().any(|step| match step {
            Step::EmptyMount { authorization, .. } | Step::MoveOut { authorization, .. } => {
                authorization.disk() == disk
            }
            Step::PutBack { entry } | Step::Restore { entry, .. } => entry.disk == *disk,
            Step::AdoptRoot { .. }
            | Step::Quarantine { .. }
            | Step::Clear { .. }
            | Step::Void { .. }
            | Step::Wipe { .. }
            | Step::Bar { .. }
            | Step::OpenGate
            | Step::Adopt { .. }
            | Step::Unadopt { .. }
            | Step::Tidy { .. }
            | Step::Call { .. }
            | Step::Confirm { .. }
            | Step::Create { .. } => false,
        })
    }

    /// Whether data of a volume that is gone may lie on a MOUNT disk, whole or in part.
    fn owed_on(&self, disk: &DiskRef) -> bool {
        let facts = self.facts();
        let root = facts.root(disk);
        if root.is_some_and(|root| root.half_moved().next().is_some()) {
            return true;
        }
        if root.is_some_and(|root| facts.gate.owed(root).is_some()) {
            return true;
        }
        if root.is_some_and(|root| {
            root.kind() == DiskType::Mount && root.content == Known::Known(MountContent::Empty)
        }) {
            return false;
        }
        match &facts.memory {
            Known::Known(_) => self
                .on_mounts
                .get(disk)
                .into_iter()
                .flatten()
                .any(|record| self.may_be_owed(disk, record)),
            // What it was reserved for is forgotten.
            Known::Absent | Known::Unknown(_) => true,
        }
    }
}

fn named(one: &Resource) -> String {
    one.volume_key()
        .map_or_else(|| "a volume".to_owned(), |key| key.to_string())
}

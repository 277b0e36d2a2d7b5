//! What a disk's number may be, and what stands in for one that can't be offered.

use super::codes::{Code, Meaning, Rejection};
use super::directory::Found;
use super::judge::Judge;
use super::{DiskVerdict, Form, LastGood, Verdict};
use crate::decide::baseline::{AgentDisk, Baselines, find, same_root};
use crate::decide::facts::{BlockDevice, DirectoryAnswer, Known, MountEntry, SizeRule};
use crate::decide::ledger::{Ledger, LedgerPlace, LedgerRoot};
use crate::decide::numbers::{Claim, Pin, Standing};
use crate::decide::preflight::Check;
use crate::decide::preflight::missing::{AgentWill, Emit, MissingDisk, NextId, Occupancy, missing};
use crate::mesos::disk::DiskRef;
use crate::mesos::ids::Role;
use crate::units::{Bytes, Megabytes};

impl Judge<'_> {
    /// What it asks of its file system, and how its entry is written.
    pub(super) fn claim(
        &self,
        disk: &DiskRef,
        verdict: &DiskVerdict,
        size: Option<SizeRule>,
        found: &Found<'_>,
    ) -> Result<(Claim, Form), Rejection> {
        let form = self.form(disk, verdict.role.as_ref());
        let known = self.input.ledger.root(disk);
        let claim = Claim {
            size,
            total: Bytes(found.answer.total_bytes),
            pin: self.pin(disk, &form.role, size)?,
            beside: form
                .parts
                .iter()
                .fold(Megabytes::default(), |sum, (_, number)| {
                    sum.saturating_add(*number)
                }),
            adopted: known.and_then(|entry| entry.adopted.clone()),
        };
        Ok((claim, form))
    }

    /// How far the number of this part may move.
    fn pin(&self, disk: &DiskRef, role: &Role, size: Option<SizeRule>) -> Result<Pin, Rejection> {
        let agent = self.input.agent;
        let known = self.input.ledger.root(disk);
        Standing {
            kind: disk.kind,
            registered: match &agent.registered {
                Known::Known(disks) => {
                    Known::Known(find(disks, disk, role).map(|part| part.number))
                }
                Known::Absent => Known::Absent,
                Known::Unknown(why) => Known::Unknown(why.clone()),
            },
            needed: agent.need(disk, role),
            earlier: known.and_then(|entry| earlier(entry, role)),
            held: self.held(disk),
            size,
            policy: agent.policy,
            disk,
        }
        .pin()
    }

    /// Roles, spelling and metadata: those of the agent where it has the disk, whatever the rule
    /// says.
    fn form(&self, disk: &DiskRef, wanted: Option<&Role>) -> Form {
        let agent = self.input.agent;
        let known = self.input.ledger.root(disk);
        let lists = [
            agent.registered.known().map_or(&[][..], Vec::as_slice),
            agent.needed.known().map_or(&[][..], Vec::as_slice),
            &agent.running,
        ];
        let of_disk: Vec<&AgentDisk> = lists
            .into_iter()
            .flatten()
            .filter(|part| part.disk == *disk)
            .collect();
        let has = |role: &&Role| of_disk.iter().any(|part| part.role == **role);
        let role = wanted
            .filter(has)
            .or_else(|| known.and_then(|entry| entry.role.as_ref()).filter(has))
            .or_else(|| of_disk.first().map(|part| &part.role))
            .or_else(|| known.filter(|entry| entry.adopted.is_some())?.role.as_ref())
            .or(wanted)
            .cloned()
            .unwrap_or_else(|| Role::new("*"));
        let mut roles: Vec<&Role> = of_disk.iter().map(|part| &part.role).collect();
        roles.extend(
            known
                .filter(|entry| entry.adopted.is_some())
                .into_iter()
                .flat_map(|entry| &entry.parts)
                .map(|part| &part.role),
        );
        roles.sort();
        roles.dedup();
        let parts = roles
            .into_iter()
            .filter(|other| **other != role)
            .filter_map(|other| {
                let number = self.pin(disk, other, None).ok()?.least();
                (number > Megabytes::default()).then(|| (other.clone(), number))
            })
            .collect();
        let extras = || {
            let of_agent = of_disk.iter().find(|part| part.role == role)?;
            Some(of_agent.extras.clone())
        };
        let advertised = known.filter(|entry| entry.advertised.is_some());
        Form {
            known: extras().or_else(|| advertised.map(|entry| entry.extras.clone())),
            adopted: advertised.and_then(|entry| entry.adopted.clone()),
            role,
            parts,
        }
    }

    /// What the root lies on.
    pub(super) fn on(&self, mount: &MountEntry, answer: &DirectoryAnswer) -> LedgerPlace {
        LedgerPlace {
            filesystem: self.uuid(mount, answer).map(str::to_owned),
            mount_point: mount.mount_point.clone(),
        }
    }

    /// The UUID of the file system.
    pub(super) fn uuid<'b>(
        &'b self,
        mount: &MountEntry,
        answer: &'b DirectoryAnswer,
    ) -> Option<&'b str> {
        answer
            .uuid
            .known()
            .map(String::as_str)
            .or_else(|| self.host().device_of(mount).and_then(BlockDevice::uuid))
    }

    /// What stands in for a disk that was advertised, or that the agent has, and that is rejected
    /// now.
    pub(super) fn stand_in(&self, verdict: &mut DiskVerdict) {
        let (Verdict::Rejected(rejection), Some(disk)) = (&mut verdict.verdict, &verdict.disk)
        else {
            return;
        };
        let form = self.form(disk, verdict.role.as_ref());
        let known = self.input.ledger.root(disk);
        let number = match self.pin(disk, &form.role, None) {
            Ok(Pin::AtLeast(number, _) | Pin::Exactly(number, _)) => Some(number),
            Ok(Pin::Free) => known.and_then(|entry| earlier(entry, &form.role)),
            Err(_) => None,
        };
        let Some(number) = number else {
            return;
        };
        let occupancy = self.input.agent.occupancy(disk, self.held(disk));
        let id = self.next_id();
        let decided = match rejection.code.meaning() {
            Meaning::Refused => return,
            Meaning::Withdrawn if !self.is_of_agent(disk) => return,
            Meaning::Withdrawn => withdrawn(disk, rejection.code, occupancy, id),
            Meaning::Unfit => Decided {
                emit: Emit::LastGood,
                agent: None,
                tell: None,
                degrades: true,
            },
            Meaning::Gone(gone) => {
                let decision = missing(MissingDisk {
                    kind: disk.kind,
                    gone,
                    occupancy,
                    policy: self.input.agent.policy,
                    id,
                });
                Decided {
                    emit: decision.emit,
                    agent: Some(decision.agent),
                    tell: Some(decision.tell.to_owned()),
                    degrades: true,
                }
            }
        };
        if let Some(tell) = decided.tell {
            rejection.remedy = Some(match &rejection.remedy {
                Some(remedy) if rejection.code.meaning() != Meaning::Withdrawn => {
                    format!("{remedy}. {}", capital(&tell))
                }
                Some(_) | None => tell,
            });
        }
        verdict.last_good = Some(LastGood {
            number,
            form,
            emit: decided.emit,
            agent: decided.agent,
            degrades: decided.degrades,
        });
    }

    fn next_id(&self) -> NextId {
        match (&self.input.agent.registered, &self.input.agent.rebooted) {
            (Known::Absent, _) => NextId::New,
            (Known::Known(_), Known::Known(true)) => NextId::Rebooted,
            (Known::Known(_) | Known::Unknown(_), _) => NextId::Same,
        }
    }
}

struct Decided {
    emit: Emit,
    agent: Option<AgentWill>,
    tell: Option<String>,
    degrades: bool,
}

/// A disk that the agent has, and that the configuration takes out: it goes where nothing is on it,
/// and the operator hears what that means.
fn withdrawn(disk: &DiskRef, code: Code, occupancy: Occupancy, id: NextId) -> Decided {
    if occupancy != Occupancy::Bare || code == Code::NoRule {
        let tell = match (occupancy, code) {
            (Occupancy::Bare, _) => "it is kept as the agent has it".to_owned(),
            (Occupancy::Reserved | Occupancy::Held, _) => format!(
                "it is kept as the agent has it: without it the agent would not start, whatever \
                 else is done; DESTROY and UNRESERVE what is on {disk} first"
            ),
        };
        return Decided {
            emit: Emit::LastGood,
            agent: None,
            tell: Some(tell),
            degrades: false,
        };
    }
    let (agent, tell, degrades) = match id {
        NextId::Same => (
            AgentWill::Refuse(Check::Policy),
            "the agent registered with it, and does not start without it until, with the agent \
             stopped, meta/slaves/latest is removed: then it comes up under a new agent id",
            true,
        ),
        NextId::Rebooted => (
            AgentWill::TakeNewId,
            "the agent registered with it, and comes up without it under a new agent id",
            true,
        ),
        NextId::New => (AgentWill::DoWithout, "the agent starts without it", false),
    };
    Decided {
        emit: Emit::LeaveOut,
        agent: Some(agent),
        tell: Some(tell.to_owned()),
        degrades,
    }
}

/// The number that this part had.
fn earlier(entry: &LedgerRoot, role: &Role) -> Option<Megabytes> {
    let part = entry.parts.iter().find(|part| part.role == *role);
    match part {
        Some(part) => Some(part.advertised),
        None => entry.advertised,
    }
}

/// The sentence with a capital.
fn capital(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

/// What the agent would miss, as it spells it: what it has, and what was found written for it.
pub(super) fn of_agent(ledger: &Ledger, agent: &Baselines) -> Vec<DiskRef> {
    let mut disks = agent.disks();
    let is_unknown = agent.registered.why().is_some();
    for entry in &ledger.roots {
        let is_it = |disk: &DiskRef| {
            disk.kind == entry.disk.kind && same_root(&disk.root, &entry.disk.root)
        };
        let counts = entry.advertised.is_some() && (is_unknown || entry.adopted.is_some());
        if counts && !disks.iter().any(is_it) {
            disks.push(entry.disk.clone());
        }
    }
    disks
}

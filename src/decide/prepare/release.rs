//! Whether a disk may be given back, and what undoes its preparation. Data stays as it is: what is
//! to be destroyed is destroyed before, by a DESTROY or by `wipe`.

use super::rules::{Rule, Tries};
use super::steps::{self, Command, DiskStep};
use super::{Judged, units};
use crate::decide::authority::{Claims, our_agents};
use crate::decide::facts::{Facts, Known, PreparedDisk, RootWitness, Stage};
use crate::decide::ledger::Ledger;
use crate::mesos::disk::DiskRef;
use crate::units::Raw;

/// Everything that giving back is decided from.
#[derive(Debug)]
pub struct ReleaseFacts<'a> {
    /// The host.
    pub facts: &'a Facts,
    /// The root as named.
    pub root: Raw,
    /// Its record. `Absent`: it was not prepared by this program.
    pub record: Known<PreparedDisk>,
    /// The ledger.
    pub ledger: &'a Ledger,
    /// Names of trash entries on the disk. `Absent`: the file system is not mounted.
    pub trash: Known<Vec<Raw>>,
    /// Whether anything lies on the disk that is no trash of ours.
    pub data: Known<bool>,
    /// Where `umount` and `systemctl` lie.
    pub umount: Known<Raw>,
    /// See `umount`.
    pub systemctl: Known<Raw>,
    /// Whether systemd runs this host.
    pub systemd: bool,
}

/// What is to be done: made here alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasePlan {
    disk: DiskRef,
    steps: Vec<DiskStep>,
    notes: Vec<String>,
}

impl ReleasePlan {
    /// The disk.
    #[must_use]
    pub fn disk(&self) -> &DiskRef {
        &self.disk
    }

    /// The steps, in order.
    #[must_use]
    pub fn steps(&self) -> &[DiskStep] {
        &self.steps
    }

    /// The steps, to be executed once.
    #[must_use]
    pub fn into_steps(self) -> Vec<DiskStep> {
        self.steps
    }

    /// Sentences that the operator should read.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// Tries every rule, and plans where all of them pass.
#[must_use]
pub fn release(input: &ReleaseFacts<'_>) -> Judged<ReleasePlan> {
    let mut verdicts = Tries::default();
    let Some(disk) = disk(input, &mut verdicts) else {
        return Judged {
            tried: verdicts.into_all(),
            plan: None,
        };
    };
    held(input, &disk, &mut verdicts);
    used(input, &disk, &mut verdicts);
    trash(input, &mut verdicts);
    owed(input, &disk, &mut verdicts);
    programs(input, &mut verdicts);
    let tried = verdicts.into_all();
    let plan = tried
        .iter()
        .all(|tried| tried.passed)
        .then(|| planned(input, disk));
    Judged { tried, plan }
}

fn disk(input: &ReleaseFacts<'_>, verdicts: &mut Tries) -> Option<DiskRef> {
    let root = &input.root;
    match &input.record {
        Known::Known(record) => {
            verdicts.pass(
                Rule::NotPrepared,
                format!(
                    "{} was prepared as file system {}",
                    record.disk, record.uuid
                ),
            );
            Some(record.disk.clone())
        }
        Known::Absent => {
            let known = input.ledger.roots.iter().find(|entry| {
                entry.disk.root == *root && entry.disk.kind != crate::mesos::disk::DiskType::Root
            });
            if let Some(entry) = known {
                verdicts.pass(
                    Rule::NotPrepared,
                    format!("the ledger knows {}; it was not prepared here", entry.disk),
                );
                Some(entry.disk.clone())
            } else {
                verdicts.fail(
                    Rule::NotPrepared,
                    format!("neither a record nor the ledger knows {root}"),
                    "name the root as it was advertised; see `mesos-volumed discover`",
                );
                None
            }
        }
        Known::Unknown(why) => {
            verdicts.fail(
                Rule::Records,
                why.0.clone(),
                "mend the file, or move it away once nothing it names is in use",
            );
            None
        }
    }
}

fn list<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items
        .into_iter()
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

fn held(input: &ReleaseFacts<'_>, disk: &DiskRef, verdicts: &mut Tries) {
    let claims = Claims::join(input.facts);
    let volumes: Vec<_> = claims.on(disk).map(|(key, _)| key).collect();
    if !volumes.is_empty() {
        verdicts.fail(
            Rule::Held,
            format!("it holds {}", list(volumes)),
            "destroy its volumes through their framework first",
        );
    } else if claims.disks_in_flight.contains(disk) {
        verdicts.fail(
            Rule::Held,
            "an operation on it is in flight",
            "wait until it has ended",
        );
    } else if claims.checkpoint_disks.contains(disk) {
        verdicts.fail(
            Rule::Held,
            "it is reserved in the agent's checkpoint",
            "unreserve it first",
        );
    } else {
        verdicts.pass(Rule::Held, "no file of the agent names it");
    }
    // An agent that never ran has no checkpoint, and nothing is lost with it.
    let never_ran = input.facts.agent.latest == Known::Absent;
    let doubt = claims
        .doubts
        .iter()
        .map(|doubt| doubt.detail.clone())
        .chain(claims.empty.filter(|_| !never_ran))
        .next();
    match doubt {
        None => verdicts.pass(Rule::AuthorityUnknown, "the agent's files are whole"),
        Some(why) => verdicts.fail(
            Rule::AuthorityUnknown,
            why,
            "what the agent's files can't say, nobody else knows: mend that first",
        ),
    }
}

fn used(input: &ReleaseFacts<'_>, disk: &DiskRef, verdicts: &mut Tries) {
    let root = input.facts.root(disk);
    let named = root.is_some_and(|root| {
        [RootWitness::SlaveInfo, RootWitness::Flags]
            .iter()
            .any(|witness| root.named_by.contains(witness))
    });
    let agents = &input.facts.agent;
    let runs = agents
        .processes
        .known()
        .map(|_| !our_agents(agents).is_empty());
    match (named, runs) {
        (true, Some(false)) | (false, _) => {
            verdicts.pass(Rule::Offered, "no running agent offers it");
        }
        (true, Some(true)) => verdicts.fail(
            Rule::Offered,
            "a running agent offers it",
            "take it out of the rules, write the resources, and start the agent with them \
             (`mesos-volumed preflight` tells whether it will recover)",
        ),
        (true, None) => verdicts.fail(
            Rule::Offered,
            "whether an agent that offers it runs is unknown",
            "see `mesos-volumed plan` for what can't be looked at",
        ),
    }
    let location = root.and_then(|root| root.mount.known());
    match (&input.facts.holders, location) {
        (_, None) => verdicts.pass(Rule::InUse, "it is not mounted, or nothing names it"),
        (Known::Known(holders), Some(mount)) => {
            let user = holders
                .iter()
                .find(|holder| holder.location.device == mount.device);
            match user {
                None => verdicts.pass(Rule::InUse, "no process uses it"),
                Some(holder) => verdicts.fail(
                    Rule::InUse,
                    format!(
                        "process {} ({}) uses {} of it",
                        holder.pid, holder.command, holder.location.path
                    ),
                    "end it first",
                ),
            }
        }
        // Unmounting is refused by the kernel while anything uses it, and destroys nothing.
        (Known::Absent | Known::Unknown(_), Some(_)) => verdicts.pass(
            Rule::InUse,
            "who uses it can't be told; the kernel does not unmount what is in use",
        ),
    }
}

fn trash(input: &ReleaseFacts<'_>, verdicts: &mut Tries) {
    match &input.trash {
        Known::Known(entries) if !entries.is_empty() => verdicts.fail(
            Rule::Trash,
            format!("its trash holds {}", list(entries)),
            "wait for the sweep, or `mesos-volumed trash purge`; what is to be kept: `trash \
             restore`",
        ),
        Known::Known(_) => verdicts.pass(Rule::Trash, "its trash is empty"),
        Known::Absent => verdicts.pass(Rule::Trash, "its file system is not mounted"),
        Known::Unknown(why) => verdicts.fail(
            Rule::Trash,
            why.0.clone(),
            "find out why it can't be read (dmesg)",
        ),
    }
}

fn owed(input: &ReleaseFacts<'_>, disk: &DiskRef, verdicts: &mut Tries) {
    let closed = match &input.facts.gate.closed_for {
        Known::Known(roots) => roots.contains(&disk.root),
        Known::Absent => false,
        Known::Unknown(_) => true,
    };
    let memory = match &input.facts.memory {
        Known::Known(memory) => memory.volumes.as_slice(),
        Known::Absent => &[],
        Known::Unknown(why) => {
            verdicts.fail(Rule::Owed, why.0.clone(), "mend memory.json first");
            return;
        }
    };
    let owed = memory.iter().find(|record| {
        record.places.iter().any(|place| place.disk == *disk)
            && record
                .gone
                .as_ref()
                .is_none_or(|gone| gone.evidence.is_some())
    });
    if closed {
        verdicts.fail(
            Rule::Owed,
            "it is being emptied",
            "let `mesos-volumed sweep` end that",
        );
    } else if let Some(record) = owed {
        verdicts.fail(
            Rule::Owed,
            format!("{} was on it, and its end is not closed", record.key),
            "let `mesos-volumed sweep` see that it is gone",
        );
    } else {
        verdicts.pass(Rule::Owed, "no destroy is owed on it");
    }
}

fn programs(input: &ReleaseFacts<'_>, verdicts: &mut Tries) {
    let Known::Known(record) = &input.record else {
        return;
    };
    let mut missing = Vec::new();
    if input.umount.known().is_none() {
        missing.push("umount");
    }
    if !record.units.is_empty() && input.systemctl.known().is_none() {
        missing.push("systemctl");
    }
    if missing.is_empty() {
        verdicts.pass(Rule::Programs, "every program that is needed is there");
    } else {
        verdicts.fail(
            Rule::Programs,
            format!("not installed: {}", missing.join(", ")),
            "install util-linux and systemd",
        );
    }
}

fn planned(input: &ReleaseFacts<'_>, disk: DiskRef) -> ReleasePlan {
    let mut notes = Vec::new();
    match &input.data {
        Known::Known(true) => notes.push(format!(
            "the data on {disk} stays on its file system; nothing was wiped"
        )),
        Known::Known(false) | Known::Absent => {}
        Known::Unknown(why) => notes.push(format!("what lies on it is unknown: {why}")),
    }
    let by_rule = input
        .facts
        .root(&disk)
        .is_some_and(|root| root.named_by.contains(&RootWitness::Config));
    if by_rule {
        notes.push(format!(
            "a [[disks]] rule still names {}; take it out, or it is reported as missing",
            disk.root
        ));
    }
    let retire = DiskStep::Retire { disk: disk.clone() };
    let steps = match &input.record {
        Known::Known(record) => undoing(input, record, retire),
        Known::Absent | Known::Unknown(_) => {
            notes.push(format!(
                "{disk} was not mounted by this program; unmount it yourself"
            ));
            vec![retire]
        }
    };
    ReleasePlan { disk, steps, notes }
}

/// The way back: what was made last goes first.
fn undoing(input: &ReleaseFacts<'_>, record: &PreparedDisk, retire: DiskStep) -> Vec<DiskStep> {
    let mut steps = vec![DiskStep::Record {
        record: Box::new(PreparedDisk {
            stage: Stage::Releasing,
            ..record.clone()
        }),
    }];
    let or_name = |found: &Known<Raw>, name: &str| match found {
        Known::Known(path) => path.clone(),
        Known::Absent | Known::Unknown(_) => Raw::from(name),
    };
    let umount = or_name(&input.umount, "umount");
    let systemctl = or_name(&input.systemctl, "systemctl");
    let points: Vec<&Raw> = std::iter::once(&record.disk.root)
        .chain(&record.hidden)
        .collect();
    for at in &points {
        let unit = units::escape_path(at) + ".mount";
        let command = if input.systemd && record.units.contains(&unit) {
            steps::command(&systemctl, &["stop", &unit])
        } else {
            Command {
                program: umount.clone(),
                arguments: vec![(*at).clone()],
            }
        };
        steps.push(DiskStep::Unmount {
            command,
            at: (*at).clone(),
            uuid: record.uuid.clone(),
        });
    }
    if !record.units.is_empty() {
        let mut disable = vec!["disable"];
        disable.extend(record.units.iter().map(String::as_str));
        steps.push(DiskStep::Systemd {
            command: steps::command(&systemctl, &disable),
        });
        for unit in &record.units {
            steps.push(DiskStep::RemoveUnit {
                path: Raw::from(units::UNIT_FOLDER).join(unit),
            });
        }
        if input.systemd {
            steps.push(DiskStep::Systemd {
                command: steps::command(&systemctl, &["daemon-reload"]),
            });
        }
    }
    if record.immutable {
        for at in points {
            steps.push(DiskStep::Unprotect { path: at.clone() });
        }
    }
    for path in record.folders.iter().rev() {
        steps.push(DiskStep::RemoveFolder { path: path.clone() });
    }
    steps.push(retire);
    steps.push(DiskStep::Forget {
        uuid: record.uuid.clone(),
    });
    steps
}

//! All observations of one moment, in the order that makes them safe (law 4): directories first,
//! then the authorities that could name them, then who uses what.
//!
//! A volume that is created meanwhile is then named without having been seen, never seen without
//! being named; and a file that is opened meanwhile is seen to be open.

use std::collections::{BTreeMap, BTreeSet};

use globset::GlobBuilder;

use super::agent_process;
use super::checkpoints::{Authorities, WorkDirError, observe_authorities};
use super::containers;
use super::gate;
use super::holders::{self, Target};
use super::host::{self, HostError};
use super::mountinfo::{self, MountinfoError};
use super::places::Places;
use super::roots::{self, Observed, Wanted};
use super::state_dir;
use super::view::Agents;
use super::walk::normal;
use crate::decide::facts::{
    AgentAnswer, AgentFacts, CheckpointFacts, DiskRules, Facts, HostFacts, Known, MountTable,
    PidNamespace, Policy, PreparedDisk, RootFacts, RootWitness, Why, Words,
};
use crate::decide::ledger::Ledger;
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::resource::Resource;
use crate::units::Raw;

/// How often the directories are looked at again because an authority named a root that was not
/// among them.
const ROUNDS: u32 = 4;

/// What is to be observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The rules for disks, with the work_dir.
    pub rules: DiskRules,
    /// Settings that decisions need; they go into the facts.
    pub policy: Policy,
    /// What the operator said; it goes into the facts.
    pub words: Words,
    /// `daemon.state_dir`.
    pub state_dir: Raw,
}

/// Why there are no facts at all. Whatever else fails is unknown within them.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The clock, the boot id or randomness.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Our own mount table.
    #[error("what is mounted on this host can't be told")]
    Mounts(#[from] MountinfoError),
    /// There is no work_dir.
    #[error(transparent)]
    WorkDir(#[from] WorkDirError),
    /// The work_dir is on a file system that may not answer.
    #[error(
        "agent.work_dir {work_dir} lies on {fs_type}, which is never asked: it may not answer; \
         keep the agent's work_dir on a local disk"
    )]
    WorkDirNotLocal {
        /// The path.
        work_dir: Raw,
        /// The type of its file system.
        fs_type: Raw,
    },
}

type Named = BTreeMap<DiskRef, BTreeSet<RootWitness>>;

/// Observes the host. `ask` asks the agent for its `/state` ([`super::agent_http::ask`]); it is
/// called after the files were read, with the agent id that `meta/slaves/latest` names.
pub fn observe_facts(
    places: &Places,
    request: &Request,
    ask: &dyn Fn(&Known<Raw>) -> AgentAnswer,
) -> Result<Facts, ObserveError> {
    let host = host::observe(places)?;
    let ledger = state_dir::ledger(&request.state_dir);
    let prepared = super::prepare::records(&request.state_dir);
    let work_dir = &request.rules.work_dir;

    // Which roots there are is asked before they are looked at, and again afterwards.
    let mut table = own_table()?;
    work_dir_may_be_asked(work_dir, &table)?;
    let mut named = {
        let before = observe_authorities(work_dir.as_path())?;
        named_roots(request, &table, &before, None, &ledger)
    };
    let mut round: u32 = 1;
    let (mut observed, authorities, answer) = loop {
        let observed = roots::observe(
            places,
            wanted(&named, &request.words, &prepared),
            &ledger,
            &table,
        );
        let authorities = observe_authorities(work_dir.as_path())?;
        let answer = ask(&authorities.latest);
        let mut now = named_roots(request, &table, &authorities, Some(&answer), &ledger);
        let complete = now.keys().all(|disk| named.contains_key(disk));
        if complete || round >= ROUNDS {
            break (witnessed(observed, &now), authorities, answer);
        }
        for disk in named.into_keys() {
            now.entry(disk).or_default();
        }
        named = now;
        table = own_table()?;
        round = round.saturating_add(1);
    };

    let mut targets: Vec<Target> = Vec::new();
    for target in observed
        .iter_mut()
        .flat_map(|root| std::mem::take(&mut root.targets))
    {
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    let (uses, processes) = match blind_for(&host, &request.policy) {
        None => (
            holders::observe_uses(places, &targets),
            agent_process::observe(places, work_dir),
        ),
        Some(why) => (Known::Unknown(why.clone()), Known::Unknown(why)),
    };
    let agents = Agents::new(places, &processes);
    let roots: Vec<RootFacts> = observed
        .into_iter()
        .map(|root| RootFacts {
            view: agents.view(&root.facts),
            ..root.facts
        })
        .collect();
    drop(agents);
    let (holders, mountings) = match uses {
        Known::Known(uses) => (Known::Known(uses.holders), Known::Known(uses.mountings)),
        Known::Absent => (Known::Absent, Known::Absent),
        Known::Unknown(why) => (Known::Unknown(why.clone()), Known::Unknown(why)),
    };
    let named = mountings.known().map(|known| containers::named(known));
    let containers = containers::observe(places, work_dir, &named.unwrap_or_default());

    Ok(Facts {
        version: Facts::VERSION,
        host,
        policy: request.policy.clone(),
        words: request.words.clone(),
        roots,
        agent: AgentFacts {
            work_dir: work_dir.clone(),
            latest: authorities.latest,
            slave_info: authorities.slave_info,
            run: authorities.run,
            processes,
        },
        checkpoint: authorities.checkpoint,
        providers: authorities.providers,
        tasks: authorities.tasks,
        answer,
        master: Known::Absent,
        holders,
        mountings,
        containers,
        gate: gate::observe(places, &request.state_dir),
        memory: state_dir::memory(&request.state_dir),
    })
}

fn own_table() -> Result<MountTable, MountinfoError> {
    Ok(MountTable::new(mountinfo::read_self()?))
}

fn work_dir_may_be_asked(work_dir: &Raw, table: &MountTable) -> Result<(), ObserveError> {
    match table
        .chain(&normal(work_dir))
        .into_iter()
        .find(|mount| !mount.class().may_be_asked())
    {
        None => Ok(()),
        Some(mount) => Err(ObserveError::WorkDirNotLocal {
            work_dir: work_dir.clone(),
            fs_type: mount.fs_type.clone(),
        }),
    }
}

/// Why processes may live that this one can't see; `None` where it sees all that matter.
fn blind_for(host: &HostFacts, policy: &Policy) -> Option<Why> {
    match (policy.pid_namespace, &host.initial_pid_namespace) {
        (PidNamespace::Own, _) | (PidNamespace::Host, Known::Known(true)) => None,
        (PidNamespace::Host, Known::Known(false) | Known::Absent) => Some(Why(
            "this process is not in the initial pid namespace and does not see every process of \
             the host; run it there, or, where agent and tasks all live in its own, set \
             agent.pid_namespace = \"own\""
                .to_owned(),
        )),
        (PidNamespace::Host, Known::Unknown(why)) => Some(why.clone()),
    }
}

fn wanted(named: &Named, words: &Words, prepared: &Known<Vec<PreparedDisk>>) -> Vec<Wanted> {
    let hidden = |disk: &DiskRef| match prepared {
        Known::Known(records) => records
            .iter()
            .find(|record| record.disk == *disk)
            .and_then(|record| record.hidden.clone())
            .map_or(Known::Absent, Known::Known),
        Known::Absent => Known::Absent,
        Known::Unknown(why) => Known::Unknown(why.clone()),
    };
    named
        .iter()
        .map(|(disk, named_by)| Wanted {
            hidden: hidden(disk),
            disk: disk.clone(),
            named_by: named_by.clone(),
            accepted: words.accept_root.as_ref() == Some(&disk.root),
        })
        .collect()
}

/// The roots that were looked at, with who names them now.
fn witnessed(observed: Vec<Observed>, now: &Named) -> Vec<Observed> {
    observed
        .into_iter()
        .map(|mut root| {
            root.facts.named_by = now.get(&root.facts.disk).cloned().unwrap_or_default();
            root
        })
        .collect()
}

/// Every root that anything names: ROOT itself, rules, `slave.info`, checkpoint, the agent's
/// answer, ledger.
fn named_roots(
    request: &Request,
    table: &MountTable,
    authorities: &Authorities,
    answer: Option<&AgentAnswer>,
    ledger: &Known<Ledger>,
) -> Named {
    let work_dir = &request.rules.work_dir;
    let mut named = Named::new();
    let mut add = |disk: DiskRef, witness| {
        named.entry(disk).or_default().insert(witness);
    };
    add(
        DiskRef {
            kind: DiskType::Root,
            root: work_dir.clone(),
        },
        RootWitness::Config,
    );
    for disk in configured(&request.rules, table) {
        add(disk, RootWitness::Config);
    }
    if let Known::Known(info) = &authorities.slave_info {
        for disk in disks_of(&info.resources, work_dir) {
            add(disk, RootWitness::SlaveInfo);
        }
    }
    for disk in checkpointed(&authorities.checkpoint, work_dir) {
        add(disk, RootWitness::Checkpoint);
    }
    if let Known::Known(ledger) = ledger {
        for entry in &ledger.roots {
            add(entry.disk.clone(), RootWitness::Ledger);
        }
    }
    if let Some(AgentAnswer::State(state)) = answer {
        // What it offers is what its flags gave it.
        for disk in disks_of(&state.resources, work_dir) {
            add(disk, RootWitness::Flags);
        }
        // The flags name roots without a type that could be told from the text alone.
        for root in state.flag_roots.known().into_iter().flatten() {
            for (disk, named_by) in &mut named {
                if disk.root == *root && disk.kind != DiskType::Root {
                    named_by.insert(RootWitness::Flags);
                }
            }
        }
    }
    named
}

/// The disks that these resources are on. Those of resource providers are not the agent's own, and
/// a CSI volume's directory is not below its root.
fn disks_of<'a>(
    resources: impl IntoIterator<Item = &'a Resource>,
    work_dir: &Raw,
) -> BTreeSet<DiskRef> {
    resources
        .into_iter()
        .filter(|resource| resource.provider_id.is_none())
        .filter(|resource| resource.source.as_ref().is_none_or(|s| s.id.is_none()))
        .filter_map(|resource| resource.disk(work_dir))
        .collect()
}

fn checkpointed(checkpoint: &CheckpointFacts, work_dir: &Raw) -> BTreeSet<DiskRef> {
    let states = [&checkpoint.state, &checkpoint.state_target];
    let infos = [&checkpoint.info, &checkpoint.info_target];
    let of_states = states
        .into_iter()
        .filter_map(|file| file.whole())
        .flat_map(|state| {
            let operations = state.operations.iter();
            (state.resources.iter()).chain(operations.flat_map(|operation| &operation.volumes))
        });
    let of_infos = infos.into_iter().filter_map(|file| file.whole()).flatten();
    disks_of(of_states.chain(of_infos), work_dir)
}

/// The disks that rules name by path: a path without wildcard as it stands, a glob by the mount
/// points that it matches; the first rule wins. What rules say about labels, models and devices is
/// discovery's: a root that only a rule names is shown, and never swept.
fn configured(rules: &DiskRules, table: &MountTable) -> Vec<DiskRef> {
    let mut disks: BTreeMap<Raw, DiskType> = BTreeMap::new();
    for rule in &rules.disks {
        for path in &rule.paths {
            if !path.contains(['*', '?', '[', ']', '{', '}', '\\']) {
                disks.entry(Raw::from(path.as_str())).or_insert(rule.kind);
                continue;
            }
            // The configuration was checked; a glob that is none matches nothing.
            let Ok(glob) = GlobBuilder::new(path).literal_separator(true).build() else {
                continue;
            };
            let glob = glob.compile_matcher();
            for mount in table.entries() {
                if glob.is_match(mount.mount_point.as_os_str()) {
                    disks.entry(mount.mount_point.clone()).or_insert(rule.kind);
                }
            }
        }
    }
    disks
        .into_iter()
        .map(|(root, kind)| DiskRef { kind, root })
        .collect()
}

#[cfg(test)]
mod tests;

//! `volumes grow` and `volumes shrink` (F§3.7).

use anyhow::anyhow;

use super::create::{done, megabytes, print_lines};
use super::destroy::amount;
use super::through_master::{ByHand, Called, Errand, undecided};
use super::volume_key;
use crate::cli::{Context, Exit, WithExit};
use crate::daemon::observer::Observer;
use crate::decide::facts::{CheckpointFacts, Facts, Words};
use crate::decide::lifecycle::{Holder, Stock, stock};
use crate::decide::own::{Shown, call_of, committed, listed, reachable, shown};
use crate::mesos::disk::DiskType;
use crate::mesos::ids::VolumeKey;
use crate::mesos::operator::{Change, reserved_part, stripped_volume, unreserved};
use crate::mesos::resource::{ReservationType, Resource};
use crate::units::Megabytes;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The volume, as role/persistence-id
    #[arg(value_name = "ROLE/ID")]
    volume: String,
    /// By how much: megabytes as Mesos counts them, or with a unit
    #[arg(long, value_name = "SIZE")]
    by: String,
    /// Print the calls as curl would make them, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Grow,
    Shrink,
}

/// The calls of a change, in their order.
struct Calls {
    volume: Resource,
    /// What has to be reserved first.
    reserve: Option<Resource>,
    resize: Change,
    /// What is given back in the end.
    unreserve: Option<Resource>,
    after: Resource,
}

fn refuse(why: &str) -> anyhow::Error {
    anyhow!("nothing was done: {why}")
}

fn calls(facts: &Facts, key: &VolumeKey, by: Megabytes, way: Way) -> anyhow::Result<Calls> {
    let agent = reachable(facts).map_err(|why| refuse(&why))?;
    let volume = listed(facts, key)
        .ok_or_else(|| refuse(&format!("no_such_volume: the master lists no volume {key}")))?;
    if !matches!(shown(&facts.checkpoint, key), Shown::Held(_)) {
        return Err(refuse(&format!(
            "the agent's checkpoint does not name {key}, or a change of it is in flight"
        )));
    }
    let work_dir = &facts.agent.work_dir;
    let disk = volume
        .disk(work_dir)
        .filter(|_| volume.provider_id.is_none())
        .ok_or_else(|| refuse("volumes of resource providers can't be resized"))?;
    if disk.kind == DiskType::Mount {
        return Err(refuse(
            "a MOUNT goes as a whole to one volume: Mesos resizes no volume on it",
        ));
    }
    if volume.shared {
        return Err(refuse("Mesos resizes no shared volume"));
    }
    if !agent.resizes {
        return Err(refuse("agents before 1.6 resize no volumes"));
    }
    if agent.used.contains(key) {
        return Err(refuse("in_use_task: a task uses it; stop that first"));
    }
    let size = volume.megabytes().unwrap_or_default();
    let resized =
        |thousandths: i64| reserved_part(volume, Megabytes::from_thousandths(thousandths));
    let part = reserved_part(&stripped_volume(volume), by);
    match way {
        Way::Grow => {
            let dynamic = volume
                .reservations
                .last()
                .filter(|last| last.kind == ReservationType::Dynamic);
            let role = volume.role().cloned().unwrap_or(key.role.clone());
            let holder = Holder {
                role,
                principal: dynamic.and_then(|last| last.principal.clone()),
                labels: dynamic.map(|last| last.labels.clone()).unwrap_or_default(),
            };
            let there = stock(agent, work_dir, &disk, &holder, Some(by)).filter(|there| {
                // What is added must be reserved just as the volume is.
                match there {
                    Stock::Reserved(one) => one.reservations == volume.reservations,
                    Stock::Free(one) => {
                        unreserved(&part).is_ok_and(|free| free.reservations == one.reservations)
                    }
                }
            });
            let reserve = match there {
                Some(Stock::Reserved(_)) => None,
                Some(Stock::Free(_)) => Some(part.clone()),
                None => {
                    return Err(refuse(&format!("{disk} has no {by} MB left for it")));
                }
            };
            Ok(Calls {
                volume: volume.clone(),
                reserve,
                resize: Change::Grow {
                    volume: Box::new(volume.clone()),
                    addition: Box::new(part),
                },
                unreserve: None,
                after: resized(size.thousandths().saturating_add(by.thousandths())),
            })
        }
        Way::Shrink => {
            if by >= size {
                return Err(refuse(&format!(
                    "it has {size} MB; destroy it to give back all of it"
                )));
            }
            Ok(Calls {
                volume: volume.clone(),
                reserve: None,
                resize: Change::Shrink {
                    volume: Box::new(volume.clone()),
                    subtract: by,
                },
                unreserve: unreserved(&part).is_ok().then_some(part),
                after: resized(size.thousandths().saturating_sub(by.thousandths())),
            })
        }
    }
}

pub(super) fn run(args: &Args, way: Way, context: &Context) -> anyhow::Result<Exit> {
    let key = volume_key(&args.volume).exit(Exit::Usage)?;
    let by = megabytes(&args.by).exit(Exit::Usage)?;
    if by <= Megabytes::default() {
        return Err(anyhow!("name a size above 0 MB")).exit(Exit::Usage);
    }
    if args.dry_run {
        let facts = Observer::new(context.settings()).facts_with_master(&Words::default())?;
        let calls = calls(&facts, &key, by, way).exit(Exit::Refused)?;
        let changes = calls
            .reserve
            .map(|part| Change::Reserve(vec![part]))
            .into_iter()
            .chain([calls.resize])
            .chain(calls.unreserve.map(|part| Change::Unreserve(vec![part])));
        let hand = ByHand::new(context.settings());
        let lines = changes
            .filter_map(|change| call_of(&facts, change))
            .map(|call| hand.line(&call))
            .collect::<anyhow::Result<Vec<String>>>()?;
        return print_lines(&lines, context);
    }
    let errand = Errand::new(context)?;
    let facts = errand.facts()?;
    let calls = calls(&facts, &key, by, way).exit(Exit::Refused)?;
    resize(&errand, &facts, &key, calls)
}

fn resize(
    errand: &Errand<'_>,
    facts: &Facts,
    key: &VolumeKey,
    calls: Calls,
) -> anyhow::Result<Exit> {
    let context = errand.context;
    let confirm = context.settings().master.confirm;
    let call = |change: Change, shows: &dyn Fn(&CheckpointFacts) -> bool| {
        errand.call(facts, change, shows)
    };
    let there = |part: &Resource| committed(&facts.checkpoint).map_or(0, |now| amount(now, part));
    if let Some(part) = &calls.reserve {
        let before = there(part);
        let shows =
            |now: &CheckpointFacts| committed(now).is_some_and(|now| amount(now, part) > before);
        match call(Change::Reserve(vec![part.clone()]), &shows)? {
            Called::Done => {}
            Called::Refused(error) => {
                return Err(anyhow!("{key} is as it was: {error}")).exit(Exit::Error);
            }
            Called::Undecided(why) => {
                return Err(undecided(&why, &format!("{key} is as it was"), confirm))
                    .exit(Exit::Error);
            }
        }
    }
    let wanted = calls.after.megabytes();
    let shows = |now: &CheckpointFacts| match shown(now, key) {
        Shown::Held(volume) => volume.megabytes() == wanted,
        Shown::Gone | Shown::InFlight | Shown::Doubtful => false,
    };
    match call(calls.resize, &shows)? {
        Called::Done => {}
        Called::Refused(error) => {
            let mut left = String::new();
            if let Some(part) = calls.reserve {
                let back = |now: &CheckpointFacts| {
                    committed(now).is_some_and(|now| amount(now, &part) <= there(&part))
                };
                left = match call(Change::Unreserve(vec![part.clone()]), &back) {
                    Ok(Called::Done) => "; what was reserved for it is free again".to_owned(),
                    Ok(Called::Refused(error)) => format!("; what it needed is reserved: {error}"),
                    Ok(Called::Undecided(why)) => {
                        format!("; what it needed may be reserved: {why}")
                    }
                    Err(error) => format!("; what it needed is reserved: {error:#}"),
                };
            }
            return Err(anyhow!("{key} is as it was: {error}{left}")).exit(Exit::Error);
        }
        Called::Undecided(why) => {
            let before = calls.volume.megabytes().unwrap_or_default();
            // Run again, it would be resized once more.
            return Err(anyhow!(
                "undecided: {why}; {key} has {before} MB, or {} MB soon. Neither the master's answer nor \
                 the passing of {confirm} tells whether the agent does it: wait until `mesos-volumed \
                 volumes list` shows the one or the other for good (a restart of the agent decides it), \
                 and run the command again only where it is the first",
                wanted.unwrap_or_default()
            ))
            .exit(Exit::Error);
        }
    }
    if let Some(part) = calls.unreserve {
        let shows = |now: &CheckpointFacts| {
            committed(now).is_some_and(|now| amount(now, &part) <= there(&part))
        };
        match call(Change::Unreserve(vec![part.clone()]), &shows)? {
            Called::Done => {}
            Called::Refused(error) => {
                return Err(anyhow!(
                    "{key} has its new size; what it gave up is still reserved: {error}"
                ))
                .exit(Exit::Error);
            }
            Called::Undecided(why) => {
                let left = format!("{key} has its new size");
                return Err(undecided(&why, &left, confirm)).exit(Exit::Error);
            }
        }
    }
    done(&calls.after, "resized", context)
}

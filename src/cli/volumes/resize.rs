//! `volumes grow` and `volumes shrink` (F§3.7).
//!
//! By an amount, or to a size. To a size it can be run again after any end: what is done by then is not
//! done twice. After an end that nobody can tell (a lost answer), an amount can't be repeated blindly.

use std::cmp::Ordering;

use anyhow::anyhow;

use super::create::{done, megabytes, print_lines};
use super::destroy::amount as amount_of;
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
    #[arg(
        long,
        value_name = "SIZE",
        required_unless_present = "to",
        conflicts_with = "to"
    )]
    by: Option<String>,
    /// To which size; can be run again, whatever became of it
    #[arg(long, value_name = "SIZE")]
    to: Option<String>,
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

/// How far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Amount {
    By(Megabytes),
    To(Megabytes),
}

impl Amount {
    fn of(args: &Args) -> anyhow::Result<Self> {
        let (said, is): (&str, fn(Megabytes) -> Self) = match (&args.by, &args.to) {
            (_, Some(to)) => (to, Self::To),
            (Some(by), None) => (by, Self::By),
            (None, None) => return Err(anyhow!("name a size: --by or --to")),
        };
        let size = megabytes(said)?;
        if size <= Megabytes::default() {
            return Err(anyhow!("name a size above 0 MB"));
        }
        Ok(is(size))
    }

    /// By how much it is to be resized; `None` where the master lists it so already.
    fn step(self, facts: &Facts, key: &VolumeKey, way: Way) -> anyhow::Result<Option<Megabytes>> {
        let to = match self {
            Self::By(by) => return Ok(Some(by)),
            Self::To(to) => to,
        };
        let size = of_master(facts, key)?.megabytes().unwrap_or_default();
        let apart = to.thousandths().abs_diff(size.thousandths());
        let apart = Megabytes::from_thousandths(i64::try_from(apart).unwrap_or(i64::MAX));
        match (way, to.cmp(&size)) {
            (Way::Grow | Way::Shrink, Ordering::Equal) => Ok(None),
            (Way::Grow, Ordering::Greater) | (Way::Shrink, Ordering::Less) => Ok(Some(apart)),
            (Way::Grow, Ordering::Less) => Err(refuse(&format!(
                "it has {size} MB; `mesos-volumed volumes shrink` makes it smaller"
            ))),
            (Way::Shrink, Ordering::Greater) => Err(refuse(&format!(
                "it has {size} MB; `mesos-volumed volumes grow` makes it larger"
            ))),
        }
    }
}

/// The volume as the master lists it.
fn of_master<'a>(facts: &'a Facts, key: &VolumeKey) -> anyhow::Result<&'a Resource> {
    reachable(facts).map_err(|why| refuse(&why))?;
    listed(facts, key)
        .ok_or_else(|| refuse(&format!("no_such_volume: the master lists no volume {key}")))
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
    let volume = of_master(facts, key)?;
    match shown(&facts.checkpoint, key) {
        Shown::Held(there) if there.megabytes() == volume.megabytes() => {}
        Shown::Held(there) => {
            return Err(refuse(&format!(
                "the master lists {key} with {} MB and the agent's checkpoint with {} MB: a change of it is in \
                 flight",
                volume.megabytes().unwrap_or_default(),
                there.megabytes().unwrap_or_default()
            )));
        }
        Shown::Gone | Shown::InFlight | Shown::Doubtful => {
            return Err(refuse(&format!(
                "the agent's checkpoint does not name {key}, or a change of it is in flight"
            )));
        }
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
    let amount = Amount::of(args).exit(Exit::Usage)?;
    if args.dry_run {
        let facts = Observer::new(context.settings()).facts_with_master(&Words::default())?;
        let Some(by) = amount.step(&facts, &key, way).exit(Exit::Refused)? else {
            return print_lines(&[], context);
        };
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
    let Some(by) = amount.step(&facts, &key, way).exit(Exit::Refused)? else {
        return was_so(&errand, &facts, &key);
    };
    let calls = calls(&facts, &key, by, way).exit(Exit::Refused)?;
    resize(&errand, &facts, &key, calls, amount)
}

/// The master lists it so, perhaps since an earlier run: the agent's own checkpoint is to show it too.
fn was_so(errand: &Errand<'_>, facts: &Facts, key: &VolumeKey) -> anyhow::Result<Exit> {
    let volume = of_master(facts, key).exit(Exit::Refused)?;
    if errand.waits_for(&has_size(key, volume.megabytes()))? {
        return done(volume, "was so already", errand.context);
    }
    let confirm = errand.context.settings().master.confirm;
    Err(anyhow!(
        "undecided: the master lists {key} with {} MB since an earlier call, and the agent's checkpoint does not \
         show it after {confirm}; nothing more was asked for; run the command again",
        volume.megabytes().unwrap_or_default()
    ))
    .exit(Exit::Error)
}

/// Whether a checkpoint has the volume in this size.
fn has_size(key: &VolumeKey, size: Option<Megabytes>) -> impl Fn(&CheckpointFacts) -> bool {
    move |now| match shown(now, key) {
        Shown::Held(volume) => volume.megabytes() == size,
        Shown::Gone | Shown::InFlight | Shown::Doubtful => false,
    }
}

fn resize(
    errand: &Errand<'_>,
    facts: &Facts,
    key: &VolumeKey,
    calls: Calls,
    amount: Amount,
) -> anyhow::Result<Exit> {
    let context = errand.context;
    let confirm = context.settings().master.confirm;
    let call = |change: Change, shows: &dyn Fn(&CheckpointFacts) -> bool| {
        errand.call(facts, change, shows)
    };
    let there =
        |part: &Resource| committed(&facts.checkpoint).map_or(0, |now| amount_of(now, part));
    if let Some(part) = &calls.reserve {
        let before = there(part);
        let shows =
            |now: &CheckpointFacts| committed(now).is_some_and(|now| amount_of(now, part) > before);
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
    match call(calls.resize, &has_size(key, wanted))? {
        Called::Done => {}
        Called::Refused(error) => {
            let mut left = String::new();
            if let Some(part) = calls.reserve {
                let back = |now: &CheckpointFacts| {
                    committed(now).is_some_and(|now| amount_of(now, &part) <= there(&part))
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
            if let Amount::To(_) = amount {
                return Err(anyhow!(
                    "undecided: {why}; {key} has {before} MB, or {} MB soon; run the command again: it waits \
                     for what is under way, and asks for nothing twice",
                    wanted.unwrap_or_default()
                ))
                .exit(Exit::Error);
            }
            // Run again, it would be resized once more.
            return Err(anyhow!(
                "undecided: {why}; {key} has {before} MB, or {} MB soon. Neither the master's answer nor \
                 the passing of {confirm} tells whether the agent does it: wait until `mesos-volumed \
                 volumes list` shows the one or the other for good (a restart of the agent decides it), \
                 and run the command again only where it is the first; with --to it can be run again at once",
                wanted.unwrap_or_default()
            ))
            .exit(Exit::Error);
        }
    }
    if let Some(part) = calls.unreserve {
        let back = Change::Unreserve(vec![part.clone()]);
        let shows = |now: &CheckpointFacts| {
            committed(now).is_some_and(|now| amount_of(now, &part) <= there(&part))
        };
        let left = match call(back.clone(), &shows)? {
            Called::Done => None,
            Called::Refused(error) => Some(format!("is still reserved: {error}")),
            Called::Undecided(why) => Some(format!("may still be reserved: {why}")),
        };
        if let Some(left) = left {
            // A later run can't tell it from what others have reserved there.
            let hand = ByHand::new(context.settings());
            let line = call_of(facts, back)
                .map(|call| hand.line(&call))
                .transpose()?;
            return Err(anyhow!(
                "{key} has its new size; what it gave up {left}; this gives it back:\n{}",
                line.unwrap_or_default()
            ))
            .exit(Exit::Error);
        }
    }
    done(&calls.after, "resized", context)
}

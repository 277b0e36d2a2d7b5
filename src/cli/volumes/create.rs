//! `volumes create`: its place is looked at, its directory made, its disk reserved, the volume
//! created, and the agent's own checkpoint waited for.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use nix::unistd::{Group, User};
use serde_json::json;

use super::through_master::{ByHand, Errand, Supplied, undecided};
use crate::act::outcome::Outcome;
use crate::act::provision::{NotMade, Owned, make_ahead, withdraw};
use crate::act::roots::RootLocks;
use crate::act::sys::{Kernel, Sys as _};
use crate::cli::{Context, Exit, Text, WithExit};
use crate::daemon::clients;
use crate::daemon::observer::Observer;
use crate::decide::facts::{Facts, FileIdentity, Words};
use crate::decide::guards::{Reason, Refusal};
use crate::decide::lifecycle::{
    Holder, NewPlace, Order, Supply, lies_there, may_create, may_withdraw, supply,
};
use crate::decide::own::{Shown, call_of, reachable, shown};
use crate::decide::steps::VolumePlace;
use crate::mesos::disk::{DiskRef, DiskType};
use crate::mesos::ids::{PersistenceId, Role, VolumeKey};
use crate::mesos::operator::{Change, quoted};
use crate::mesos::resource::{Persistence, Resource};
use crate::observe::clock;
use crate::sys::{identity_of, list, open_beneath, open_root};
use crate::units::{Bytes, Megabytes, Raw, Span, chain};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The role that it is reserved for
    #[arg(long, value_name = "ROLE")]
    role: String,
    /// The persistence id
    #[arg(long, value_name = "ID")]
    id: String,
    /// The disk: ROOT, PATH:/root or MOUNT:/root
    #[arg(long, value_name = "DISK")]
    disk: String,
    /// How much: megabytes as Mesos counts them, or with a unit; a MOUNT goes as a whole
    #[arg(long, value_name = "SIZE")]
    size: Option<String>,
    /// The principal of reservation and volume [default: master.principal, else that of
    /// master.credentials_file]
    #[arg(long, value_name = "PRINCIPAL")]
    principal: Option<String>,
    /// Several tasks may use it at a time
    #[arg(long)]
    shared: bool,
    /// Labels of the reservation
    #[arg(long, value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Where it is seen in a task's sandbox, unless its framework says otherwise
    #[arg(long, value_name = "PATH", default_value = "data")]
    container_path: String,
    /// Owner of its directory, as USER:GROUP
    #[arg(long, value_name = "USER:GROUP")]
    owner: Option<String>,
    /// Mode of its directory, in octal
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// Print the calls as curl would make them, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// What is wanted.
struct Wanted {
    key: VolumeKey,
    order: Order,
    owned: Option<Owned>,
}

/// Megabytes, or a size with a unit, in whole megabytes.
pub(super) fn megabytes(text: &str) -> anyhow::Result<Megabytes> {
    if let Ok(number) = text.parse::<u64>() {
        return Ok(Megabytes::whole(number));
    }
    let bytes: Bytes = text.parse()?;
    Ok(Megabytes::whole(bytes.whole_megabytes()))
}

/// `ROOT`, `PATH:/root` or `MOUNT:/root`.
fn disk_ref(text: &str, work_dir: &Raw) -> anyhow::Result<DiskRef> {
    let of = |kind, root: &str| DiskRef {
        kind,
        root: Raw::from(root),
    };
    match text.split_once(':') {
        None if text == "ROOT" => Ok(DiskRef {
            kind: DiskType::Root,
            root: work_dir.clone(),
        }),
        Some(("PATH", root)) if root.starts_with('/') => Ok(of(DiskType::Path, root)),
        Some(("MOUNT", root)) if root.starts_with('/') => Ok(of(DiskType::Mount, root)),
        Some(_) | None => Err(anyhow!(
            "`{}` is no disk; write ROOT, PATH:/root or MOUNT:/root",
            Raw::from(text)
        )),
    }
}

/// User and group by name or number.
fn owner(text: &str) -> anyhow::Result<(u32, u32)> {
    let (user, group) = text
        .split_once(':')
        .context("write the owner as USER:GROUP")?;
    let user = match user.parse::<u32>() {
        Ok(number) => number,
        Err(_name) => User::from_name(user)?
            .with_context(|| format!("there is no user `{}`", Raw::from(user)))?
            .uid
            .as_raw(),
    };
    let group = match group.parse::<u32>() {
        Ok(number) => number,
        Err(_name) => Group::from_name(group)?
            .with_context(|| format!("there is no group `{}`", Raw::from(group)))?
            .gid
            .as_raw(),
    };
    Ok((user, group))
}

fn wanted(args: &Args, context: &Context) -> anyhow::Result<Wanted> {
    let settings = context.settings();
    let (role, id) = (
        Role::new(args.role.as_str()),
        PersistenceId::new(args.id.as_str()),
    );
    if role.is_unreserved() {
        return Err(anyhow!(
            "a volume needs a reservation; name another role than `*`"
        ));
    }
    for (what, fault) in [(&args.role, role.fault()), (&args.id, id.fault())] {
        if let Some(fault) = fault {
            return Err(anyhow!(
                "`{}` {fault}, and Mesos refuses it",
                Raw::from(what.as_str())
            ));
        }
    }
    let disk = disk_ref(&args.disk, &settings.agent.work_dir)?;
    let size = args.size.as_deref().map(megabytes).transpose()?;
    if disk.kind != DiskType::Mount && size.is_none_or(|size| size <= Megabytes::default()) {
        return Err(anyhow!("name its --size, above 0 MB"));
    }
    let owned = match (&args.owner, &args.mode) {
        (None, None) => None,
        (who, mode) => Some(Owned {
            owner: who.as_deref().map(owner).transpose()?,
            mode: match mode {
                None => 0o755,
                Some(text) => u32::from_str_radix(text, 8)
                    .ok()
                    .filter(|mode| *mode <= 0o7777)
                    .with_context(|| {
                        format!("`{}` is no mode in octal", Raw::from(text.as_str()))
                    })?,
            },
        }),
    };
    if owned.is_some() && disk.kind == DiskType::Mount {
        return Err(anyhow!(
            "a MOUNT volume is the root of its file system; set owner and mode there"
        ));
    }
    let principal = match &args.principal {
        Some(principal) => Some(Raw::from(principal.as_str())),
        None => clients::principal(settings)?,
    };
    let labels = args
        .labels
        .iter()
        .map(|label| {
            label
                .split_once('=')
                .map(|(key, value)| (Raw::from(key), Some(Raw::from(value))))
                .with_context(|| {
                    format!(
                        "`{}` is no label; write KEY=VALUE",
                        Raw::from(label.as_str())
                    )
                })
        })
        .collect::<anyhow::Result<_>>()?;
    Ok(Wanted {
        key: VolumeKey::new(role.clone(), id.clone()),
        order: Order {
            disk,
            size,
            holder: Holder {
                role,
                principal: principal.clone(),
                labels,
            },
            persistence: Persistence {
                id,
                principal,
                container_path: Some(Raw::from(args.container_path.as_str())),
            },
            shared: args.shared,
        },
        owned,
    })
}

fn calls(facts: &Facts, wanted: &Wanted, work_dir: &Raw) -> anyhow::Result<Supply> {
    let agent = reachable(facts).map_err(|why| anyhow!("nothing was done: {why}"))?;
    supply(agent, work_dir, &wanted.order)
        .map_err(|error| anyhow!("{}; nothing was done", chain(&error)))
}

pub(super) fn reasons(reasons: &[Reason]) -> String {
    reasons
        .iter()
        .map(|reason| format!("{reason}; {}", reason.code.remedy()))
        .collect::<Vec<_>>()
        .join("; ")
}

/// The directory that lies in its place, if it holds nothing: a run that was cut short leaves one. What
/// can't be looked at holds something.
fn leftover(facts: &Facts, wanted: &Wanted) -> Option<FileIdentity> {
    let there = lies_there(facts, &wanted.key, &wanted.order.disk)?;
    let mut dir = open_root(wanted.order.disk.root.as_path()).ok()?;
    for name in ["volumes".as_bytes(), b"roles"].into_iter().chain([
        wanted.key.role.directory().as_bytes(),
        wanted.key.id.as_raw().as_bytes(),
    ]) {
        dir = open_beneath(&dir, name).ok()?;
    }
    let same = identity_of(&dir, &there.filesystem).ok()? == *there;
    // Room for no entry: one is an error.
    (same && list(&dir, 0).is_ok()).then(|| there.clone())
}

fn place(facts: &Facts, wanted: &Wanted) -> anyhow::Result<NewPlace> {
    let empty = leftover(facts, wanted);
    may_create(facts, &wanted.key, &wanted.order.disk, empty.as_ref())
        .map_err(|why| {
            anyhow!(
                "{} was not created, and nothing was done: {}",
                wanted.key,
                reasons(&why)
            )
        })
        .exit(Exit::Refused)
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let settings = context.settings();
    let wanted = wanted(args, context).exit(Exit::Usage)?;
    let work_dir = &settings.agent.work_dir;
    if args.dry_run {
        let facts = Observer::new(settings).facts_with_master(&Words::default())?;
        let place = place(&facts, &wanted)?;
        let calls = calls(&facts, &wanted, work_dir).exit(Exit::Refused)?;
        return print_calls(&facts, &place, &wanted, calls, context);
    }
    let errand = Errand::new(context)?;
    let facts = errand.facts()?;
    if let Some(there) = already(&facts, &wanted, work_dir) {
        return done(&there, "was so already", context);
    }
    let place = place(&facts, &wanted)?;
    let calls = calls(&facts, &wanted, work_dir).exit(Exit::Refused)?;
    let hands = Hands::default();
    let made = ahead(&errand, &hands, &place, &wanted)?;
    create(
        &Work {
            errand: &errand,
            hands,
            wanted: &wanted,
            place: &place,
            made,
        },
        &facts,
        &calls,
    )
}

/// The volume as wanted, where the agent holds it already.
fn already(facts: &Facts, wanted: &Wanted, work_dir: &Raw) -> Option<Resource> {
    let Shown::Held(volume) = shown(&facts.checkpoint, &wanted.key) else {
        return None;
    };
    let order = &wanted.order;
    let same = volume.disk(work_dir).as_ref() == Some(&order.disk)
        && volume.shared == order.shared
        && order
            .size
            .is_none_or(|size| volume.megabytes() == Some(size))
        && volume
            .persistence
            .as_ref()
            .is_some_and(|there| there.principal == order.persistence.principal);
    same.then_some(*volume)
}

/// What makes the directory and takes it away again. Nobody else works on the root meanwhile: it is locked
/// for that moment.
#[derive(Default)]
struct Hands {
    kernel: Kernel,
    locks: RootLocks<Kernel>,
}

/// So long a daemon that works on the root is waited for.
const PATIENCE: Span = Span::seconds(30);

fn is_locked(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused(reason) if reason.code == Refusal::RootLocked)
}

impl Hands {
    /// Does it once the root is nobody else's.
    fn once_free<T>(&self, act: impl Fn(&Self) -> T, locked: impl Fn(&T) -> bool) -> T {
        let begin = clock::since_boot();
        loop {
            let ended = act(self);
            if !locked(&ended) || clock::since_boot().minus(begin) >= PATIENCE {
                return ended;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn make(&self, at: &VolumePlace, as_asked: Owned) -> Result<FileIdentity, Box<NotMade>> {
        self.once_free(
            |hands| make_ahead(&hands.kernel, &hands.locks, at, as_asked),
            |made| {
                made.as_ref()
                    .is_err_and(|failed| is_locked(&failed.outcome))
            },
        )
    }

    fn withdraw(&self, at: &VolumePlace, identity: &FileIdentity) -> Outcome {
        self.once_free(
            |hands| withdraw(&hands.kernel, &hands.locks, at, identity),
            is_locked,
        )
    }
}

/// Makes the volume's directory where it is to have an owner or a mode; an empty one that lies there
/// goes first, so that nobody else's is taken over.
fn ahead(
    errand: &Errand<'_>,
    hands: &Hands,
    place: &NewPlace,
    wanted: &Wanted,
) -> anyhow::Result<Option<FileIdentity>> {
    let Some(at) = &place.place else {
        return Ok(None);
    };
    if let Some(empty) = &place.leftover {
        made(wanted, hands.withdraw(at, empty), "")?;
    }
    let Some(as_asked) = wanted.owned else {
        return Ok(None);
    };
    match hands.make(at, as_asked) {
        Ok(identity) => Ok(Some(identity)),
        Err(failed) => {
            let NotMade {
                outcome,
                made: half,
            } = *failed;
            let left = half.map_or_else(String::new, |half| take_away(errand, hands, at, &half));
            made(wanted, outcome, &left)?;
            Ok(None)
        }
    }
}

/// What became of a directory, as the end of the command where that is an end.
fn made(wanted: &Wanted, outcome: Outcome, left: &str) -> anyhow::Result<()> {
    let key = &wanted.key;
    match outcome {
        Outcome::Identity | Outcome::Done(_) | Outcome::Started => Ok(()),
        Outcome::Failed(error) => {
            Err(anyhow::Error::new(error).context(format!("{key} was not created{left}")))
        }
        Outcome::Refused(reason) => {
            Err(anyhow!("{key} was not created: {reason}{left}")).exit(Exit::Refused)
        }
        Outcome::Stale(why) => {
            Err(anyhow!("{key} was not created: {why}{left}")).exit(Exit::Refused)
        }
    }
}

/// Takes away again a directory that was made ahead, while it is empty and nobody names the volume;
/// says what is left.
fn take_away(
    errand: &Errand<'_>,
    hands: &Hands,
    at: &VolumePlace,
    identity: &FileIdentity,
) -> String {
    let facts = errand.observer.facts_with_master(&Words::default());
    if !facts.is_ok_and(|facts| may_withdraw(&facts, &at.volume)) {
        return format!("; its empty directory {} stays", at.path());
    }
    match hands.withdraw(at, identity) {
        Outcome::Identity | Outcome::Done(_) | Outcome::Started => String::new(),
        Outcome::Stale(why) => format!("; {why}"),
        Outcome::Refused(reason) => format!("; its directory stays: {reason}"),
        Outcome::Failed(error) => format!("; its directory stays: {}", chain(&error)),
    }
}

/// A creation under way.
struct Work<'a> {
    errand: &'a Errand<'a>,
    hands: Hands,
    wanted: &'a Wanted,
    place: &'a NewPlace,
    made: Option<FileIdentity>,
}

impl Work<'_> {
    /// What is to be said where the directory that was made ahead is not the volume's by now: a daemon
    /// whose policy wipes what nobody names may have been faster than the master.
    fn owned(&self) -> Option<String> {
        let (Some(identity), Some(at)) = (&self.made, &self.place.place) else {
            return None;
        };
        (!lies_still(&self.place.path, identity)).then(|| {
            format!(
                "{} is not the directory that was made for it any more, and has not the owner and mode that \
                 were asked for; set them there",
                at.path()
            )
        })
    }

    /// Takes the directory away again that was made ahead; says what is left.
    fn take_back(&self) -> String {
        let (Some(identity), Some(at)) = (&self.made, &self.place.place) else {
            return String::new();
        };
        take_away(self.errand, &self.hands, at, identity)
    }
}

/// Whether this very directory lies there.
pub(super) fn lies_still(path: &Raw, identity: &FileIdentity) -> bool {
    let kernel = Kernel::new();
    let dir = kernel.open_root(path.as_path()).ok();
    dir.and_then(|dir| kernel.identity(&dir).ok()).as_ref() == Some(identity)
}

fn create(work: &Work<'_>, facts: &Facts, calls: &Supply) -> anyhow::Result<Exit> {
    let key = &work.wanted.key;
    let confirm = work.errand.context.settings().master.confirm;
    match work.errand.supply(facts, key, calls)? {
        Supplied::Done => {
            let ended = done(&calls.create, "created", work.errand.context)?;
            match work.owned() {
                None => Ok(ended),
                Some(why) => Err(anyhow!("{key} was created, but {why}")).exit(Exit::Error),
            }
        }
        Supplied::NotReserved(error) => {
            let left = work.take_back();
            Err(anyhow!("{key} was not created: {error}{left}")).exit(Exit::Error)
        }
        Supplied::PerhapsReserved(why) => {
            let left = work.take_back();
            Err(undecided(
                &why,
                &format!("{key} was not created, its disk may be reserved{left}"),
                confirm,
            ))
            .exit(Exit::Error)
        }
        Supplied::NotCreated(error) => {
            let mut left = work.take_back();
            if let Some(part) = &calls.reserve {
                left.push_str(&work.errand.give_back(facts, part));
            }
            Err(anyhow!("{key} was not created: {error}{left}")).exit(Exit::Error)
        }
        Supplied::PerhapsCreated(why) => Err(undecided(
            &why,
            &format!(
                "the disk of {key} is reserved for `{}`, and {} may have a directory",
                work.wanted.order.holder.role, work.place.path
            ),
            confirm,
        ))
        .exit(Exit::Error),
    }
}

/// Says what there is now.
pub(super) fn done(volume: &Resource, what: &str, context: &Context) -> anyhow::Result<Exit> {
    let key = volume
        .volume_key()
        .map_or_else(String::new, |key| key.to_string());
    let size = volume.megabytes().unwrap_or_default();
    let disk = volume.disk(&context.settings().agent.work_dir);
    let disk = disk.map_or_else(String::new, |disk| disk.to_string());
    let answer = json!({
        "volume": key,
        "disk": disk,
        "size_mb": size.as_f64(),
        "outcome": what,
    });
    context.output.value_or(&answer, |_| {
        let mut text = Text::new();
        text.line(format_args!("{key}: {what}, {size} MB on {disk}"));
        text.into_string()
    })?;
    Ok(Exit::Done)
}

fn print_calls(
    facts: &Facts,
    place: &NewPlace,
    wanted: &Wanted,
    calls: Supply,
    context: &Context,
) -> anyhow::Result<Exit> {
    let mut lines = Vec::new();
    if let Some(owned) = wanted.owned {
        let who = owned.owner.map_or_else(String::new, |(user, group)| {
            format!(" -o {user} -g {group}")
        });
        let path = place.path.as_path().to_string_lossy();
        lines.push(format!(
            "install -d -m {:o}{who} -- {}",
            owned.mode,
            quoted(&path)
        ));
    }
    lines.extend(supply_lines(facts, calls, context)?);
    print_lines(&lines, context)
}

/// The calls that reserve and create, as curl would make them.
pub(super) fn supply_lines(
    facts: &Facts,
    calls: Supply,
    context: &Context,
) -> anyhow::Result<Vec<String>> {
    let changes = calls
        .reserve
        .map(|part| Change::Reserve(vec![part]))
        .into_iter()
        .chain([Change::Create(vec![calls.create])]);
    let hand = ByHand::new(context.settings());
    changes
        .filter_map(|change| call_of(facts, change))
        .map(|call| hand.line(&call))
        .collect()
}

/// Prints what would be done by hand.
pub(super) fn print_lines(lines: &[String], context: &Context) -> anyhow::Result<Exit> {
    context.output.value_or(&json!({ "calls": lines }), |_| {
        let mut text = Text::new();
        for line in lines {
            text.line(line);
        }
        if lines.is_empty() {
            text.line("no calls: it is so already");
        }
        text.into_string()
    })?;
    Ok(Exit::Done)
}

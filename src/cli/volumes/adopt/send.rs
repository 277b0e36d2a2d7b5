//! `volumes adopt --send`: marked first, then reserved, created, and the agent's own checkpoint waited for.
//!
//! The mark is durable before the master is asked for anything, so that whatever becomes of the calls, and of
//! this process, no sweep takes the data. Its directory is looked at and never touched. A reservation is
//! given back where the volume on it is refused; one that a run before left is found and used.

use anyhow::anyhow;
use serde::Serialize;

use super::super::create::{lies_still, print_lines, reasons, supply_lines};
use super::super::through_master::{Errand, Supplied, undecided};
use super::{Args, Marked, More, adopted_text, kept_text};
use crate::cli::{Context, Exit, Text, WithExit};
use crate::daemon::observer::Observer;
use crate::daemon::operate::Ending;
use crate::daemon::pass::look;
use crate::daemon::{clients, operator};
use crate::decide::facts::{CheckpointFacts, Facts, Words};
use crate::decide::give_back::{Lying, Sending, Wanted, lies_on, may_give_back, to_send};
use crate::decide::memory::Memory;
use crate::decide::own::{Shown, listed, reachable, shown};
use crate::mesos::disk::DiskRef;
use crate::mesos::ids::VolumeKey;
use crate::mesos::resource::Resource;
use crate::observe::checkpoints::observe_committed;
use crate::units::{Megabytes, Raw, chain};

/// What became of a volume that was to be given back, as JSON.
#[derive(Clone, Serialize)]
pub(super) struct Sent {
    volume: String,
    disk: Option<String>,
    size_mb: Option<f64>,
    /// `given back`, `was so already`, `not given back` or `undecided`.
    outcome: &'static str,
    /// Why it was not, and what is left.
    why: Option<String>,
    notes: Vec<String>,
}

impl Sent {
    fn held(volume: &Resource, key: &VolumeKey, outcome: &'static str, work_dir: &Raw) -> Self {
        Self {
            volume: key.to_string(),
            disk: volume.disk(work_dir).map(|disk| disk.to_string()),
            size_mb: volume.megabytes().map(Megabytes::as_f64),
            outcome,
            why: None,
            notes: Vec::new(),
        }
    }

    fn text(&self) -> String {
        let mut text = Text::new();
        let (size, disk) = (
            self.size_mb.unwrap_or_default(),
            self.disk.as_deref().unwrap_or("?"),
        );
        text.line(format_args!(
            "{}: {}, {size} MB on {disk}, with the data that lies in it",
            self.volume, self.outcome
        ));
        for note in &self.notes {
            text.line(format_args!("note: {note}"));
        }
        text.into_string()
    }
}

/// Why it was not given back, with what is left.
struct Failed {
    outcome: &'static str,
    exit: Exit,
    why: String,
}

impl Failed {
    fn refused(why: String) -> Self {
        Self {
            outcome: "not given back",
            exit: Exit::Refused,
            why,
        }
    }
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self {
            outcome: "not given back",
            exit: crate::cli::exit::of(&error),
            why: format!("{error:#}"),
        }
    }
}

pub(super) fn run(
    args: &Args,
    key: VolumeKey,
    wanted: &Wanted,
    context: &Context,
) -> anyhow::Result<Exit> {
    let settings = context.settings();
    let work_dir = &settings.agent.work_dir;
    let root = args.root.as_deref().map(Raw::from);
    let wanted = Wanted {
        principal: match &wanted.principal {
            Some(principal) => Some(principal.clone()),
            None => clients::principal(settings)?,
        },
        ..wanted.clone()
    };
    if let Some(volume) = held(&key, root.as_ref(), context).exit(Exit::Refused)? {
        let sent = Sent::held(&volume, &key, "was so already", work_dir);
        context.output.value_or(&sent, |_| {
            let mut text = Text::new();
            let disk = sent.disk.as_deref().unwrap_or("?");
            text.line(format_args!(
                "{key}: the agent holds it already, on {disk}; nothing was done"
            ));
            text.into_string()
        })?;
        return Ok(Exit::Done);
    }
    if args.dry_run {
        return dry_run(&key, root.as_ref(), &wanted, context);
    }
    let mut marked = Marked::new(args, key, context)?;
    if let Some(root) = &root {
        marked.adopted.retain(|disk| disk.root == *root);
    }
    // What is known by now is told by now: the agent may take its time.
    if !context.output.is_json() {
        let text = format!("{}{}", adopted_text(&marked), kept_text(&marked));
        context.output.text(&text)?;
    }
    if marked.operated.result != Ending::Done {
        if context.output.is_json() {
            let why = marked.operated.why.clone();
            context.output.json(&marked.told(More::Sent(failed(
                &marked.key,
                "not given back",
                why,
            ))))?;
        }
        return marked.end();
    }
    let sent = give_back(&marked, root.as_ref(), &wanted, context);
    if context.output.is_json() {
        let sent = match &sent {
            Ok(sent) => sent.clone(),
            Err(ended) => failed(&marked.key, ended.outcome, Some(ended.why.clone())),
        };
        context.output.json(&marked.told(More::Sent(sent)))?;
    } else if let Ok(sent) = &sent {
        context.output.text(&sent.text())?;
    }
    match sent {
        Ok(_) => Ok(Exit::Done),
        Err(ended) => Err(anyhow!(ended.why)).exit(ended.exit),
    }
}

fn failed(key: &VolumeKey, outcome: &'static str, why: Option<String>) -> Sent {
    Sent {
        volume: key.to_string(),
        disk: None,
        size_mb: None,
        outcome,
        why,
        notes: Vec::new(),
    }
}

/// The volume, where the agent's own checkpoint names it already.
fn held(
    key: &VolumeKey,
    root: Option<&Raw>,
    context: &Context,
) -> anyhow::Result<Option<Box<Resource>>> {
    let work_dir = &context.settings().agent.work_dir;
    let now = observe_committed(work_dir.as_path())?;
    let Shown::Held(volume) = shown(&now.checkpoint, key) else {
        return Ok(None);
    };
    let disk = volume.disk(work_dir);
    match (disk, root) {
        (Some(disk), Some(root)) if disk.root != *root => Err(anyhow!(
            "held: the agent holds {key} on {disk}, and what lies on {root} can't be a second volume of that \
             name; nothing was done"
        )),
        _ => Ok(Some(volume)),
    }
}

/// The one disk that is meant.
fn one<'a>(disks: &[&'a DiskRef], key: &VolumeKey) -> Result<&'a DiskRef, String> {
    match disks {
        [disk] => Ok(disk),
        [] => Err(format!(
            "{key} has no directory on a root that can be used; see `mesos-volumed volumes list`. A MOUNT \
             disk has to be named with --root"
        )),
        several => {
            let several: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(format!(
                "{key} lies on {}; name the one to be given back with --root",
                several.join(" and on ")
            ))
        }
    }
}

/// What is to be sent, and what lies where the volume will be.
fn sending(
    facts: &Facts,
    memory: &Memory,
    key: &VolumeKey,
    disk: &DiskRef,
    wanted: &Wanted,
) -> Result<(Sending, Lying), String> {
    let lying = may_give_back(facts, key, disk).map_err(|why| reasons(&why))?;
    let agent = reachable(facts)?;
    let work_dir = &facts.agent.work_dir;
    let sending =
        to_send(agent, work_dir, memory, key, disk, wanted).map_err(|error| chain(&error))?;
    Ok((sending, lying))
}

fn dry_run(
    key: &VolumeKey,
    root: Option<&Raw>,
    wanted: &Wanted,
    context: &Context,
) -> anyhow::Result<Exit> {
    let observer = Observer::new(context.settings());
    let (facts, checked) = look(&mut || observer.facts_with_master(&Words::default()))?;
    let found = one(&lies_on(&facts, key, root), key)
        .and_then(|disk| sending(&facts, &checked.plan().memory, key, disk, wanted));
    let (sending, _) = found
        .map_err(|why| anyhow!("{key} can't be given back: {why}"))
        .exit(Exit::Refused)?;
    let lines = supply_lines(&facts, sending.supply, context)?;
    print_lines(&lines, context)
}

/// What is said of a volume that was not given back.
fn left(marked: &Marked) -> String {
    if marked.adopted.is_empty() {
        "its data was not touched; a plain MOUNT disk bears no mark (sweep.protect keeps what lies on it)"
            .to_owned()
    } else {
        "its data was not touched and stays adopted: no sweep takes it".to_owned()
    }
}

/// Reserves, creates and waits; everything but the mark.
fn give_back(
    marked: &Marked,
    root: Option<&Raw>,
    wanted: &Wanted,
    context: &Context,
) -> Result<Sent, Failed> {
    let Marked { key, facts, .. } = marked;
    let left = left(marked);
    let not = |why: &str| format!("{key} was not given back: {why}; {left}");
    let errand = Errand::new(context).map_err(|error| {
        let failed = Failed::from(error);
        Failed {
            why: not(&failed.why),
            ..failed
        }
    })?;
    let mut disks: Vec<&DiskRef> = marked.adopted.iter().collect();
    if disks.is_empty() {
        disks.extend(operator::plain_mount(facts, root));
    }
    let disk = one(&disks, key).map_err(|why| Failed::refused(not(&why)))?;
    let facts = errand
        .observer
        .facts_with_master(&Words::default())
        .map_err(|error| Failed {
            why: not(&chain(&error)),
            ..Failed::from(anyhow::Error::new(error))
        })?;
    if let Some(sent) = on_its_way(&errand, &facts, key, &left)? {
        return Ok(sent);
    }
    let (Sending { supply, note }, lying) = sending(&facts, &marked.memory, key, disk, wanted)
        .map_err(|why| Failed::refused(not(&format!("{why}; run the same command again"))))?;
    let confirm = context.settings().master.confirm;
    let role = &key.role;
    let error = |why: String| Failed {
        exit: Exit::Error,
        ..Failed::refused(why)
    };
    let unclear = |why: &str, so_far: &str| Failed {
        outcome: "undecided",
        ..error(undecided(why, &format!("{so_far}; {left}"), confirm).to_string())
    };
    let supplied = errand.supply(&facts, key, &supply).map_err(|error| {
        let failed = Failed::from(error);
        Failed {
            why: not(&format!(
                "{}; what the master was asked for may be done all the same, and the same command finds it",
                failed.why
            )),
            ..failed
        }
    })?;
    match supplied {
        Supplied::Done => {}
        Supplied::NotReserved(why) => {
            return Err(error(not(&format!(
                "{why}; nothing was reserved; run the same command again once the master takes it"
            ))));
        }
        Supplied::PerhapsReserved(why) => {
            let so_far = format!("{key} was not given back, its disk may be reserved for `{role}`");
            return Err(unclear(&why, &so_far));
        }
        Supplied::NotCreated(why) => {
            let reserved = supply.reserve.as_ref().map_or_else(
                || format!("; its disk was reserved for `{role}` before, and still is"),
                |part| errand.give_back(&facts, part),
            );
            return Err(error(not(&format!(
                "{why}{reserved}; run the same command again once the master takes it"
            ))));
        }
        Supplied::PerhapsCreated(why) => {
            let so_far = format!(
                "the disk of {key} is reserved for `{role}`, and the agent may hold the volume soon, with its data"
            );
            return Err(unclear(&why, &so_far));
        }
    }
    if !lies_still(&lying.path, &lying.identity) {
        return Err(error(format!(
            "the agent holds {key} now, but {} is not the directory that lay there when the master was asked; \
             look at it before a task does",
            lying.path
        )));
    }
    Ok(Sent {
        notes: note.into_iter().collect(),
        ..Sent::held(&supply.create, key, "given back", &facts.agent.work_dir)
    })
}

/// A volume that the master lists and the agent's checkpoint does not: an earlier call for it is on its way, or
/// was lost. It is waited for and not asked for once more, on another part of the disk.
fn on_its_way(
    errand: &Errand<'_>,
    facts: &Facts,
    key: &VolumeKey,
    left: &str,
) -> Result<Option<Sent>, Failed> {
    let Some(volume) = listed(facts, key) else {
        return Ok(None);
    };
    let shows = |now: &CheckpointFacts| matches!(shown(now, key), Shown::Held(_));
    if errand.waits_for(&shows)? {
        let work_dir = &facts.agent.work_dir;
        return Ok(Some(Sent::held(volume, key, "given back", work_dir)));
    }
    let confirm = errand.context.settings().master.confirm;
    let why = format!(
        "the master lists {key} since an earlier call, and the agent's checkpoint does not show it after {confirm}"
    );
    let so_far = format!(
        "nothing more was asked for; {left}; a restart of the agent decides it: what was sent to it before \
         can't come any more"
    );
    Err(Failed {
        outcome: "undecided",
        exit: Exit::Error,
        why: undecided(&why, &so_far, confirm).to_string(),
    })
}

//! `volumes adopt`: an orphan is wanted, and given back to Mesos.
//!
//! Giving it back is not what the command does unless it is told to (`--send`): the mark alone is harmless
//! on any host at any time, and is what keeps data from a sweep that is near, while the calls change what a
//! cluster offers, and need a master, a principal with the rights, and, for a volume that nobody
//! remembers, a size. `--send` adds; it does not change what the command without it does.

mod send;

use anyhow::anyhow;
use serde::Serialize;

use super::super::host::operate;
use super::super::{Context, Exit, Text, WithExit};
use super::volume_key;
use crate::daemon::answers::plan::StepResult;
use crate::daemon::answers::{self, Why};
use crate::daemon::observer::Observer;
use crate::daemon::operate::{Adopt, Ask, Ending, Operated};
use crate::daemon::pass::look;
use crate::daemon::{clients, operator};
use crate::decide::facts::{Facts, Words};
use crate::decide::give_back::{Wanted, give_back};
use crate::decide::guards::Refusal;
use crate::decide::memory::Memory;
use crate::mesos::disk::DiskRef;
use crate::mesos::ids::VolumeKey;
use crate::mesos::operator::{CurlAs, ResourceFormat, curl, quoted};
use crate::units::{Bytes, Megabytes, Raw, chain};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The volume, as role/persistence-id
    #[arg(value_name = "ROLE/ID")]
    volume: String,
    /// On this disk only; a MOUNT disk has to be named, for nothing on it tells whose it was
    #[arg(long, value_name = "ROOT")]
    root: Option<String>,
    /// Take the mark back
    #[arg(long)]
    undo: bool,
    /// Make the calls that give it back, too, and wait for the agent's own checkpoint
    #[arg(long, conflicts_with = "undo")]
    send: bool,
    /// Print the calls that --send makes as curl would make them, and do nothing
    #[arg(long, conflicts_with = "undo")]
    dry_run: bool,
    /// How large the volume is to be, where nobody remembers
    #[arg(long, value_name = "SIZE")]
    size: Option<Bytes>,
    /// The principal in the calls [default: master.principal, else that of master.credentials_file, else that
    /// of the volume when it was last held]
    #[arg(long, value_name = "PRINCIPAL")]
    principal: Option<String>,
}

#[derive(Serialize)]
struct Told {
    /// Disks on which the volume is adopted now.
    adopted: Vec<answers::Disk>,
    /// Steps that were carried out.
    outcomes: Vec<answers::plan::Became>,
    /// What keeps it from being adopted.
    kept: Vec<Why>,
    #[serde(flatten)]
    more: More,
}

/// How it is given back.
#[derive(Serialize)]
#[serde(untagged)]
enum More {
    /// By whoever makes these calls.
    Told(Calls),
    /// By this command.
    Sent(send::Sent),
}

/// The calls that give a volume back, as JSON and as lines for a shell.
#[derive(Default, Serialize)]
pub(crate) struct Calls {
    /// The bodies of RESERVE_RESOURCES and CREATE_VOLUMES.
    #[serde(rename = "calls")]
    bodies: Vec<serde_json::Value>,
    /// The same for a shell.
    curl: Vec<String>,
    /// What to look at first; why there are no calls.
    notes: Vec<String>,
    /// The command that makes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    send: Option<String>,
}

/// A volume that is adopted, or why not.
struct Marked {
    key: VolumeKey,
    /// The disks on which it is, of those that are meant.
    adopted: Vec<DiskRef>,
    kept: Vec<Why>,
    operated: Operated,
    facts: Facts,
    memory: Memory,
}

impl Marked {
    /// Marks it, or takes the mark back; a running daemon does it.
    fn new(args: &Args, key: VolumeKey, context: &Context) -> anyhow::Result<Self> {
        let ask = Ask::Adopt(Adopt {
            volume: args.volume.clone(),
            root: args.root.clone(),
            undo: args.undo,
        });
        let operated = operate(context, ask)?;
        // Whoever did it, what it takes to give the volume back is told from what is so now.
        let observer = Observer::new(context.settings());
        let (facts, checked) = look(&mut || observer.facts(&Words::default()))?;
        let kept: Vec<Why> = operated
            .planned
            .kept
            .iter()
            .filter(|kept| kept.trash.is_none())
            .filter(|kept| kept.role.as_deref() == Some(&key.role.to_string()))
            .filter(|kept| kept.id.as_deref() == Some(&key.id.to_string()))
            .flat_map(|kept| kept.reasons.clone())
            .filter(|reason| reason.code != Refusal::Adopted)
            .collect();
        Ok(Self {
            adopted: operator::marked(&facts, &key),
            key,
            kept,
            operated,
            facts,
            memory: checked.plan().memory.clone(),
        })
    }

    /// The end of it, as long as it is not given back.
    fn end(self) -> anyhow::Result<Exit> {
        match self.operated.result {
            Ending::Done => Ok(Exit::Done),
            Ending::Failed => Ok(Exit::Error),
            Ending::Refused => {
                Err(anyhow!(self.operated.why.unwrap_or_default())).exit(Exit::Refused)
            }
        }
    }

    fn told(&self, more: More) -> Told {
        Told {
            adopted: self.adopted.iter().map(answers::Disk::from).collect(),
            outcomes: self.operated.planned.outcomes.clone(),
            kept: self.kept.clone(),
            more,
        }
    }
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let key = volume_key(&args.volume).exit(Exit::Usage)?;
    let size = args.size.map(|size| Megabytes::whole(size.0 >> 20));
    if size.is_some_and(|size| size <= Megabytes::default()) {
        return Err(anyhow!("name a --size of 1 MiB or more")).exit(Exit::Usage);
    }
    let wanted = Wanted {
        size,
        principal: args.principal.as_deref().map(Raw::from),
    };
    if args.send || args.dry_run {
        return send::run(args, key, &wanted, context);
    }
    let marked = Marked::new(args, key, context)?;
    // A plain MOUNT disk needs no mark to be given back: it is never an orphan.
    let root = args.root.as_deref().map(Raw::from);
    let disk = marked
        .adopted
        .first()
        .or_else(|| operator::plain_mount(&marked.facts, root.as_ref()));
    let calls = match disk.filter(|_| !args.undo) {
        Some(disk) => {
            let Marked {
                key, facts, memory, ..
            } = &marked;
            let mut calls = calls(context, facts, memory, key, disk, &wanted);
            if let Some(send) = &mut calls.send {
                send.push_str(&flags(args));
            }
            calls
        }
        None => Calls::default(),
    };
    let text = text(&marked, args.undo, &calls);
    let told = marked.told(More::Told(calls));
    context.output.value_or(&told, |_| text)?;
    marked.end()
}

/// What was said beside the volume, for a shell.
fn flags(args: &Args) -> String {
    let root = args.root.as_ref().map(|root| ("root", root.clone()));
    // As it stands in the calls, and not rounded for people.
    let size = args
        .size
        .map(|size| ("size", format!("{}MiB", size.0 >> 20)));
    let principal = args.principal.as_ref();
    let principal = principal.map(|principal| ("principal", principal.clone()));
    [root, size, principal]
        .into_iter()
        .flatten()
        .map(|(name, value)| format!(" --{name} {}", quoted(&value)))
        .collect::<Vec<_>>()
        .concat()
}

fn text(marked: &Marked, undo: bool, calls: &Calls) -> String {
    let key = &marked.key;
    let mut text = Text::new();
    text.block(&adopted_text(marked));
    let outcomes = &marked.operated.planned.outcomes;
    let undone = outcomes
        .iter()
        .any(|step| step.step == "unadopt" && step.result == StepResult::Done);
    if undone {
        text.line(format_args!("no longer adopted: {key}"));
    } else if undo && marked.adopted.is_empty() {
        text.line(format_args!("{key} was not adopted"));
    }
    text.block(&kept_text(marked));
    text.block(&calls_text(calls));
    text.into_string()
}

fn adopted_text(marked: &Marked) -> String {
    let mut text = Text::new();
    for disk in &marked.adopted {
        text.line(format_args!(
            "adopted: {} on {disk}: no sweep takes it until an authority has named it again",
            marked.key
        ));
    }
    text.into_string()
}

fn kept_text(marked: &Marked) -> String {
    let mut text = Text::new();
    for reason in &marked.kept {
        text.line(format_args!(
            "{}: {}; {}",
            reason.code, reason.reason, reason.remedy
        ));
    }
    text.into_string()
}

/// The calls for a terminal.
pub(crate) fn calls_text(calls: &Calls) -> String {
    let mut text = Text::new();
    if !calls.curl.is_empty() {
        text.line("these calls give it back to Mesos, with the data that lies in it:");
    }
    for line in &calls.curl {
        text.line(format_args!("  {line}"));
    }
    if let Some(send) = &calls.send {
        text.line(format_args!(
            "this makes them, waits for the agent, and takes the reservation back where the volume is refused:"
        ));
        text.line(format_args!("  {send}"));
    }
    for note in &calls.notes {
        text.line(format_args!("note: {note}"));
    }
    text.into_string()
}

/// The command that gives a volume back.
fn by_command(key: &VolumeKey) -> String {
    format!(
        "mesos-volumed volumes adopt {} --send",
        quoted(&key.to_string())
    )
}

/// The calls that give a volume on this disk back.
pub(crate) fn calls(
    context: &Context,
    facts: &Facts,
    memory: &Memory,
    key: &VolumeKey,
    disk: &DiskRef,
    wanted: &Wanted,
) -> Calls {
    let settings = context.settings();
    let master = &settings.master;
    let (principal, unread) = match clients::principal(settings) {
        Ok(principal) => (principal, None),
        Err(error) => (
            None,
            Some(format!(
                "whose calls they are can't be told: {}",
                chain(&error)
            )),
        ),
    };
    let wanted = Wanted {
        principal: wanted.principal.clone().or(principal),
        ..wanted.clone()
    };
    let found = match give_back(facts, memory, key, disk, &wanted) {
        Ok(found) => found,
        Err(error) => {
            return Calls {
                notes: vec![format!(
                    "no calls to give {key} back: {}; `mesos-volumed volumes adopt {key} --size SIZE` \
                     prints them, and makes them with --send",
                    chain(&error)
                )],
                ..Calls::default()
            };
        }
    };
    let url = master
        .urls
        .first()
        .map_or("http://MASTER:5050", String::as_str);
    let mut calls = Calls {
        notes: unread.into_iter().chain(found.notes).collect(),
        send: Some(by_command(key)),
        ..Calls::default()
    };
    for call in &found.calls {
        match call.body(&found.agent, ResourceFormat::PostReservationRefinement) {
            Ok(body) => {
                calls.curl.push(curl(url, &body, &CurlAs::default()));
                calls.bodies.push(body);
            }
            Err(error) => calls
                .notes
                .push(format!("{call} can't be said: {}", chain(&error))),
        }
    }
    calls
}

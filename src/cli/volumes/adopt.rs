//! `volumes adopt`: an orphan is wanted.

use anyhow::anyhow;
use serde::Serialize;

use super::super::host::operate;
use super::super::{Context, Exit, Text, WithExit};
use super::volume_key;
use crate::daemon::answers::plan::StepResult;
use crate::daemon::answers::{self, Why};
use crate::daemon::observer::Observer;
use crate::daemon::operate::{Adopt, Ask, Ending, Operated};
use crate::daemon::operator;
use crate::daemon::pass::look;
use crate::decide::facts::{Facts, Words};
use crate::decide::give_back::{Wanted, give_back};
use crate::decide::guards::Refusal;
use crate::decide::memory::Memory;
use crate::mesos::disk::DiskRef;
use crate::mesos::ids::VolumeKey;
use crate::mesos::operator::{CurlAs, ResourceFormat, curl};
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
    /// How large the volume is to be, where nobody remembers
    #[arg(long, value_name = "SIZE")]
    size: Option<Bytes>,
    /// The principal in the calls [default: that of the volume when it was last held]
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
    calls: Calls,
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
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let key = volume_key(&args.volume).exit(Exit::Usage)?;
    let root = args.root.as_deref().map(Raw::from);
    let ask = Ask::Adopt(Adopt {
        volume: args.volume.clone(),
        root: args.root.clone(),
        undo: args.undo,
    });
    let Operated {
        planned,
        result,
        why,
        ..
    } = operate(context, ask)?;
    // Whoever did it, what it takes to give the volume back is told from what is so now.
    let observer = Observer::new(context.settings());
    let (facts, checked) = look(&mut || observer.facts(&Words::default()))?;
    let adopted = operator::marked(&facts, &key);
    let kept: Vec<Why> = planned
        .kept
        .into_iter()
        .filter(|kept| kept.trash.is_none())
        .filter(|kept| kept.role.as_deref() == Some(&key.role.to_string()))
        .filter(|kept| kept.id.as_deref() == Some(&key.id.to_string()))
        .flat_map(|kept| kept.reasons)
        .filter(|reason| reason.code != Refusal::Adopted)
        .collect();
    let wanted = Wanted {
        size: args.size.map(|size| Megabytes::whole(size.0 >> 20)),
        principal: args.principal.as_deref().map(Raw::from),
    };
    // A plain MOUNT disk needs no mark to be given back: it is never an orphan.
    let disk = adopted
        .first()
        .or_else(|| operator::plain_mount(&facts, root.as_ref()));
    let calls = match disk.filter(|_| !args.undo) {
        Some(disk) => calls(context, &facts, &checked.plan().memory, &key, disk, &wanted),
        None => Calls::default(),
    };
    let undone = planned
        .outcomes
        .iter()
        .any(|step| step.step == "unadopt" && step.result == StepResult::Done);
    let text = text(&key, &adopted, &kept, args.undo, undone, &calls);
    let told = Told {
        adopted: adopted.iter().map(answers::Disk::from).collect(),
        outcomes: planned.outcomes,
        kept,
        calls,
    };
    context.output.value_or(&told, |_| text)?;
    match result {
        Ending::Done => Ok(Exit::Done),
        Ending::Failed => Ok(Exit::Error),
        Ending::Refused => Err(anyhow!(why.unwrap_or_default())).exit(Exit::Refused),
    }
}

fn text(
    key: &VolumeKey,
    adopted: &[DiskRef],
    kept: &[Why],
    undo: bool,
    undone: bool,
    calls: &Calls,
) -> String {
    let mut text = Text::new();
    for disk in adopted {
        text.line(format_args!(
            "adopted: {key} on {disk}: no sweep takes it until an authority has named it again"
        ));
    }
    if undone {
        text.line(format_args!("no longer adopted: {key}"));
    } else if undo && adopted.is_empty() {
        text.line(format_args!("{key} was not adopted"));
    }
    for reason in kept {
        text.line(format_args!(
            "{}: {}; {}",
            reason.code, reason.reason, reason.remedy
        ));
    }
    text.block(&calls_text(calls));
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
    for note in &calls.notes {
        text.line(format_args!("note: {note}"));
    }
    text.into_string()
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
    let master = &context.settings().master;
    let wanted = Wanted {
        principal: wanted
            .principal
            .clone()
            .or_else(|| master.principal.clone()),
        ..wanted.clone()
    };
    let found = match give_back(facts, memory, key, disk, &wanted) {
        Ok(found) => found,
        Err(error) => {
            return Calls {
                notes: vec![format!(
                    "no calls to give {key} back: {}; `mesos-volumed volumes adopt {key} --size SIZE` \
                     prints them",
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
        notes: found.notes,
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

//! `volumes adopt`: an orphan is wanted.

use anyhow::anyhow;
use serde::Serialize;

use super::super::host::{Owner, who};
use super::super::{Context, Exit, Text, WithExit};
use super::volume_key;
use crate::act::outcome::Outcome;
use crate::daemon::answers;
use crate::daemon::operator;
use crate::daemon::pass::Pass;
use crate::decide::facts::{AdoptWord, Facts, Known};
use crate::decide::give_back::{Wanted, give_back};
use crate::decide::memory::Memory;
use crate::mesos::disk::{DiskRef, DiskType};
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
    kept: Vec<answers::Why>,
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
    let word = AdoptWord {
        volume: key.clone(),
        root: args.root.as_deref().map(Raw::from),
        undo: args.undo,
    };
    let owner = Owner::new(context)?;
    let pass = owner.with(|observe, host| operator::adopt(observe, host, &word, who()))?;
    let adopted = marked(&pass.facts, &key);
    let kept: Vec<_> = pass
        .last
        .kept
        .iter()
        .filter(|kept| kept.volume.as_ref() == Some(&key) && kept.trash.is_none())
        .flat_map(|kept| kept.reasons.iter().cloned())
        .filter(|reason| reason.code != crate::decide::guards::Refusal::Adopted)
        .collect();
    let wanted = Wanted {
        size: args.size.map(|size| Megabytes::whole(size.0 >> 20)),
        principal: args.principal.as_deref().map(Raw::from),
    };
    // A plain MOUNT disk needs no mark to be given back: it is never an orphan.
    let plain = pass.facts.roots.iter().find(|root| {
        root.kind() == DiskType::Mount
            && Some(&root.disk.root) == word.root.as_ref()
            && matches!(root.hidden, Known::Absent)
    });
    let disk = adopted.first().or(plain.map(|root| &root.disk));
    let calls = match disk.filter(|_| !args.undo) {
        Some(disk) => calls(context, &pass.facts, &pass.last.memory, &key, disk, &wanted),
        None => Calls::default(),
    };
    let done = |step: &str| {
        pass.outcomes
            .iter()
            .any(|found| found.step == step && matches!(found.outcome, Outcome::Done(_)))
    };
    let text = text(&key, &adopted, &kept, args.undo, done("unadopt"), &calls);
    let told = Told {
        adopted: adopted.iter().map(answers::Disk::from).collect(),
        outcomes: pass.outcomes.iter().map(answers::plan::became).collect(),
        kept: answers::whys(&kept),
        calls,
    };
    context.output.value_or(&told, |_| text)?;
    ended(
        &pass,
        &key,
        !adopted.is_empty() || plain.is_some(),
        args.undo,
    )
}

fn ended(pass: &Pass, key: &VolumeKey, adopted: bool, undo: bool) -> anyhow::Result<Exit> {
    if pass.failed() {
        return Ok(Exit::Error);
    }
    if adopted != undo {
        return Ok(Exit::Done);
    }
    if undo {
        return Err(anyhow!("the mark of {key} is still there")).exit(Exit::Refused);
    }
    Err(anyhow!(
        "{key} was not adopted: it has no directory that nobody names on a root that can be used; see \
         `mesos-volumed volumes list`. A MOUNT disk has to be named with --root; an entry of the trash is \
         restored with `mesos-volumed trash restore`"
    ))
    .exit(Exit::Refused)
}

/// The disks on which the volume is adopted.
pub(crate) fn marked(facts: &Facts, key: &VolumeKey) -> Vec<DiskRef> {
    facts
        .roots
        .iter()
        .filter(|root| {
            let marks = root.adopted.known().into_iter().flatten();
            marks.into_iter().any(|mark| mark.volume == *key)
        })
        .map(|root| root.disk.clone())
        .collect()
}

fn text(
    key: &VolumeKey,
    adopted: &[DiskRef],
    kept: &[crate::decide::guards::Reason],
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
        text.line(format_args!("{reason}; {}", reason.code.remedy()));
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

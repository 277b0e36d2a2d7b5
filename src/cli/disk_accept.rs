//! `disk accept`: takes a root on as it is now, after showing what it was against what it is.

use std::path::PathBuf;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::host::operate;
use super::{Align, Context, Exit, Table, Text, WithExit, preflight};
use crate::act::store::with_verified_root;
use crate::daemon::answers;
use crate::daemon::answers::plan::{Became, StepResult};
use crate::daemon::disks::View;
use crate::daemon::observer::Observer;
use crate::daemon::operate::{Accept, Ask, Ending};
use crate::daemon::pass::look;
use crate::daemon::preflight::{Request, observe};
use crate::daemon::resources::{Target, propose};
use crate::decide::authority::Claims;
use crate::decide::facts::{
    Drive, Facts, FileKind, Fingerprint, FlagText, Known, RootFacts, Words,
};
use crate::decide::plan::Plan;
use crate::decide::roots::dir_key;
use crate::decide::steps::Step;
use crate::decide::trip;
use crate::mesos::disk::DiskType;
use crate::mesos::ids::VolumeKey;
use crate::observe::clock;
use crate::units::{Bytes, Megabytes, Raw, chain};

/// Take a root as it is now: its file system, its size, its drive, and held volumes that have no
/// directory on it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: mesos-volumed disk accept /mnt/data --dry-run
  shows the old disk against the new one, the held volumes that are not on it, and what the agent does
  at its next start; without --dry-run the disk is then taken on

Until then nothing is created, moved or wiped on a root that was first met with directories of held
volumes missing (root_unverified), under which another file system or the marker of another host
appeared (fingerprint_mismatch), or that is smaller than its number (filesystem_shrunk). Held volumes
without a directory stay `vanished`: an empty directory would hide the loss from their tasks. Make
one with `mesos-volumed volumes recreate`.")]
pub(super) struct Args {
    /// The root, as Mesos spells it; the work_dir for ROOT
    #[arg(value_name = "ROOT")]
    root: PathBuf,
    /// Only show; change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let root = Raw::from(args.root.as_path());
    let words = Words {
        accept_root: Some(root.clone()),
        ..Words::default()
    };
    let observer = Observer::new(context.settings());
    let (facts, checked) = look(&mut || observer.facts(&words))?;
    let seen = facts
        .roots
        .iter()
        .find(|facts| facts.disk.root == root)
        .ok_or_else(|| anyhow!("{root} is no root of this agent; see `mesos-volumed discover`"))?;
    let comparison = Comparison::of(context, &facts, seen);
    let can = verdict(checked.plan(), seen);
    if args.dry_run {
        show(context, seen, &comparison, &can, None)?;
        return refused_or_done(&root, can);
    }
    if !context.output.is_json() {
        // Before anything is changed.
        context.output.text(&comparison.text(context, seen))?;
    }
    let ask = Ask::Accept(Accept {
        root: args.root.to_string_lossy().into_owned(),
    });
    let operated = operate(context, ask)?;
    let outcomes = &operated.planned.outcomes;
    let adopted = outcomes
        .iter()
        .any(|step| step.step == "adopt_root" && step.result == StepResult::Done);
    let came = if adopted { Can::Accept } else { can };
    show(context, seen, &comparison, &came, Some(outcomes))?;
    if operated.result == Ending::Failed {
        return Ok(Exit::Error);
    }
    match came {
        Can::Accept if !adopted => refused_or_done(
            &root,
            Can::Refuse("it changed meanwhile; look at it again".to_owned()),
        ),
        came @ (Can::Accept | Can::Already | Can::Refuse(_)) => refused_or_done(&root, came),
    }
}

/// What may become of the operator's word.
enum Can {
    /// The root is taken on.
    Accept,
    /// The ledger has this very disk.
    Already,
    /// Something that the word does not waive.
    Refuse(String),
}

fn verdict(plan: &Plan, root: &RootFacts) -> Can {
    let adopts = plan
        .steps
        .iter()
        .any(|step| matches!(step, Step::AdoptRoot { disk, .. } if *disk == root.disk));
    if adopts {
        return Can::Accept;
    }
    let mut why: Vec<String> = plan
        .kept
        .iter()
        .filter(|kept| kept.disk == root.disk)
        .flat_map(|kept| kept.reasons.iter().map(ToString::to_string))
        .collect();
    let known = &root.filesystem;
    if known.present.known().is_some() && known.ledger == known.present {
        return Can::Already;
    }
    why.dedup();
    if why.is_empty() {
        why.push(match &root.mount {
            Known::Known(_) => "it can't be identified, or another guard holds it".to_owned(),
            Known::Absent => "nothing is mounted there; mount the disk".to_owned(),
            Known::Unknown(why) => why.to_string(),
        });
    }
    Can::Refuse(why.join("; "))
}

fn refused_or_done(root: &Raw, can: Can) -> anyhow::Result<Exit> {
    match can {
        Can::Accept | Can::Already => Ok(Exit::Done),
        Can::Refuse(why) => Err(anyhow!("{root} was not accepted: {why}")).exit(Exit::Refused),
    }
}

/// A disk as it was, or as it is.
#[derive(Default)]
struct Side {
    print: Option<Fingerprint>,
    /// Why it is not known.
    why: String,
    total: Option<u64>,
    drive: Option<Drive>,
    number: Option<Megabytes>,
}

/// Tells one thing of a side.
type Cell = fn(&Side) -> String;

/// What the disk was against what it is.
struct Comparison {
    before: Side,
    now: Side,
    /// Held volumes that lie on the old disk and not on this one.
    lost: Vec<VolumeKey>,
    /// What the agent does at its next start: a word and a sentence; or why that can't be told.
    start: Result<(&'static str, String), String>,
}

impl Comparison {
    fn of(context: &Context, facts: &Facts, root: &RootFacts) -> Self {
        let known = &root.filesystem;
        let then = known.verified.as_ref();
        let before = Side {
            print: known.ledger.known().cloned(),
            why: why(&known.ledger),
            total: then.map(|then| then.total_bytes),
            drive: then.and_then(|then| then.drive.clone()),
            number: known.advertised,
        };
        let mount = root.mount.known();
        let mut now = Side {
            print: known.present.known().cloned(),
            why: why(&known.present),
            total: mount.map(|mount| mount.total_bytes),
            drive: mount.and_then(|mount| mount.drive.clone()),
            number: None,
        };
        let start = match next_start(context, facts, root) {
            Ok((number, start)) => {
                now.number = number;
                Ok(start)
            }
            Err(why) => Err(why),
        };
        Self {
            before,
            now,
            lost: lost(facts, root),
            start,
        }
    }

    fn text(&self, context: &Context, root: &RootFacts) -> String {
        let mut table = Table::new(&[
            ("", Align::Left),
            ("BEFORE", Align::Left),
            ("NOW", Align::Left),
        ]);
        let (before, now) = (&self.before, &self.now);
        table.row(["file system", &before.filesystem(), &now.filesystem()]);
        let rows: [(&str, Cell); 6] = [
            ("size", Side::size),
            ("device", |side| {
                side.drive(|drive| Some(drive.name.to_string()))
            }),
            ("device size", |side| {
                side.drive(|drive| drive.size_bytes.map(|size| Bytes(size).to_string()))
            }),
            ("serial", |side| {
                side.drive(|drive| drive.serial.as_ref().map(ToString::to_string))
            }),
            ("wwn", |side| {
                side.drive(|drive| drive.wwn.as_ref().map(ToString::to_string))
            }),
            ("number", |side| {
                side.number
                    .map_or_else(|| "-".to_owned(), |number| format!("{number} MB"))
            }),
        ];
        for (name, of) in rows {
            table.row([name, &of(before), &of(now)]);
        }
        let mut text = Text::new();
        text.line(format_args!("{}", root.disk));
        text.block(&context.output.rendered(&table));
        if let Some(mount) = root.mount.known() {
            text.line(format_args!("mounted at {}", mount.mount_point));
        }
        for difference in trip::root_drive_differences(root) {
            text.line(format_args!("warning: {difference}"));
        }
        if !self.lost.is_empty() {
            let names: Vec<String> = self.lost.iter().map(ToString::to_string).collect();
            text.line(format_args!(
                "held volumes that are not on it, and stay vanished: {}",
                names.join(", ")
            ));
        }
        match &self.start {
            Ok((_, sentence)) => text.line(format_args!(
                "at its next start, with the resources that would be written: {sentence}"
            )),
            Err(why) => text.line(format_args!(
                "what the agent does at its next start can't be told: {why}"
            )),
        }
        text.into_string()
    }
}

impl Side {
    fn filesystem(&self) -> String {
        match &self.print {
            Some(print) => format!("{} {}", print.fs_type, print.filesystem),
            None => self.why.clone(),
        }
    }

    fn size(&self) -> String {
        self.total
            .map_or_else(|| "-".to_owned(), |total| Bytes(total).to_string())
    }

    fn drive(&self, of: impl Fn(&Drive) -> Option<String>) -> String {
        self.drive
            .as_ref()
            .and_then(of)
            .unwrap_or_else(|| "-".to_owned())
    }

    fn json(&self) -> Value {
        if self.print.is_none() && self.total.is_none() && self.number.is_none() {
            return Value::Null;
        }
        let print = self.print.as_ref();
        let drive = self.drive.as_ref();
        json!({
            "filesystem": print.map(|print| &print.filesystem),
            "fs_type": print.map(|print| &print.fs_type),
            "directory": print.map(|print| &print.directory),
            "total_bytes": self.total,
            "device": drive.map(|drive| &drive.name),
            "device_bytes": drive.and_then(|drive| drive.size_bytes),
            "serial": drive.and_then(|drive| drive.serial.as_ref()),
            "wwn": drive.and_then(|drive| drive.wwn.as_ref()),
            "advertised_mb": self.number.map(answers::disks::number),
        })
    }
}

fn why(print: &Known<Fingerprint>) -> String {
    match print {
        Known::Known(_) => String::new(),
        Known::Absent => "not known".to_owned(),
        Known::Unknown(why) => format!("unknown: {why}"),
    }
}

/// Held volumes whose data is not on the disk that is there now.
fn lost(facts: &Facts, root: &RootFacts) -> Vec<VolumeKey> {
    let claims = Claims::join(facts);
    let known = &root.filesystem;
    let another = match (&known.ledger, &known.present) {
        (Known::Known(before), Known::Known(now)) => before.filesystem != now.filesystem,
        _ => false,
    };
    claims
        .on(&root.disk)
        .filter(|(key, claim)| {
            claim.homes().contains(&root.disk)
                && match (root.disk.kind, &root.dirs) {
                    (DiskType::Mount, _) => another,
                    (DiskType::Root | DiskType::Path, Known::Known(dirs)) => !dirs
                        .iter()
                        .any(|dir| dir.kind == FileKind::Directory && dir_key(dir) == **key),
                    (DiskType::Root | DiskType::Path, Known::Absent) => {
                        matches!(root.mount, Known::Known(_))
                    }
                    (DiskType::Root | DiskType::Path, Known::Unknown(_)) => false,
                }
        })
        .map(|(key, _)| key.clone())
        .collect()
}

/// The number that the disk would have, and what the agent would do at its next start, were the
/// disk accepted.
fn next_start(
    context: &Context,
    facts: &Facts,
    root: &RootFacts,
) -> Result<(Option<Megabytes>, (&'static str, String)), String> {
    let settings = context.settings();
    let rules = settings.disk_rules();
    let mut view = View::of_host(settings).map_err(|error| chain(&error))?;
    if let Known::Known(present) = &root.filesystem.present {
        let ledger = match &view.ledger {
            Known::Known(ledger) => ledger.clone(),
            Known::Absent => crate::decide::ledger::Ledger::default(),
            Known::Unknown(why) => return Err(why.to_string()),
        };
        let verified = trip::verified_now(facts, root);
        let now = clock::wall_seconds();
        let ledger = with_verified_root(ledger, &root.disk, present, verified, now);
        view = view.with_ledger(&rules, ledger);
    }
    let target = Target::configured(settings);
    let proposal =
        propose(settings, &view, target.as_ref(), None).map_err(|error| chain(&error))?;
    let number = proposal
        .advertisement
        .disks
        .iter()
        .find(|entry| entry.disk == root.disk)
        .map(|entry| entry.number);
    let request = Request {
        text: Some(FlagText {
            text: proposal.text.json(),
            from: "what would be written".to_owned(),
        }),
        ..Request::default()
    };
    let input = observe(settings, &request).map_err(|error| chain(&error))?;
    let verdict = crate::decide::preflight::preflight(&input).verdict;
    Ok((
        number,
        (preflight::word(&verdict), preflight::sentence(&verdict)),
    ))
}

/// The whole as JSON; of the text only what came of it, where the comparison was shown before.
fn show(
    context: &Context,
    root: &RootFacts,
    comparison: &Comparison,
    can: &Can,
    outcomes: Option<&[Became]>,
) -> anyhow::Result<()> {
    let (word, sentence) = match &comparison.start {
        Ok((word, sentence)) => (*word, sentence.clone()),
        Err(why) => ("cannot_tell", why.clone()),
    };
    let value = json!({
        "root": root.disk.root,
        "type": root.disk.kind,
        "before": comparison.before.json(),
        "now": comparison.now.json(),
        "warnings": trip::root_drive_differences(root),
        "lost": comparison
            .lost
            .iter()
            .map(|key| json!({"role": key.role.to_string(), "id": key.id.to_string()}))
            .collect::<Vec<_>>(),
        "next_start": { "verdict": word, "explanation": sentence },
        "accepted": outcomes.is_some() && matches!(can, Can::Accept),
        "outcomes": outcomes,
    });
    context.output.value_or(&value, |_| {
        let mut text = Text::new();
        let text_root = &root.disk.root;
        match (outcomes, can) {
            (None, Can::Accept) => {
                text.block(&comparison.text(context, root));
                text.line(format_args!("{text_root} would be accepted as it is now"));
            }
            (None, Can::Already | Can::Refuse(_)) => {
                text.block(&comparison.text(context, root));
            }
            (Some(_), Can::Accept) => {
                text.line(format_args!("{text_root} is accepted as it is now"));
            }
            (Some(_), Can::Already | Can::Refuse(_)) => {}
        }
        if matches!(can, Can::Already) {
            text.line(format_args!("{text_root} was known as it is now already"));
        }
        text.into_string()
    })
}

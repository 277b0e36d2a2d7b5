//! `explain`: every rule that was tried on a disk, a path or a volume.

use anyhow::bail;
use serde_json::json;

use super::{Align, Context, Exit, Table, Text};
use crate::daemon::disks::View;
use crate::daemon::observer::Observer;
use crate::daemon::pass::look;
use crate::decide::discover::DiskVerdict;
use crate::decide::explain::{self, Event, Explanation, Question};
use crate::decide::facts::{BlockDevice, Facts, Words};
use crate::decide::plan::Plan;
use crate::decide::roots::dir_key;
use crate::mesos::ids::VolumeKey;
use crate::mesos::paths;
use crate::observe::node::{self, Node};
use crate::units::{Raw, chain};

/// Explain a device, a path or a volume: every rule tried, with its evidence and remedy
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Prints every rule that was tried on a block device, a mount point, a path or a volume, \
        whether it passed, what it saw and what can be done about it, and what happened to it before. \
        Changes nothing.",
    after_help = "\
Example: mesos-volumed explain /mnt/data
  tells why the disk is offered with that number, or not, and whether its volumes may be wiped

Others: explain sdb1 · explain /dev/disk/by-id/… · explain slave_public/data
        explain /var/lib/mesos/slave/volumes/roles/slave_public/data"
)]
pub(super) struct Args {
    /// A device, a path or role/persistence-id
    #[arg(value_name = "DEVICE, PATH OR ROLE/ID")]
    subject: std::ffi::OsString,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    let subject = Raw::from(args.subject.as_os_str());
    let settings = context.settings();
    let view = View::of_host(settings)?;
    let observer = Observer::new(settings);
    let looked = look(&mut || observer.facts(&Words::default()));
    let asked = Asked {
        view: &view,
        looked: match &looked {
            Ok((facts, checked)) => Ok((facts, checked.plan())),
            Err(error) => Err(chain(error)),
        },
        subject: &subject,
    };
    let explanations = asked.explanations()?;
    if explanations.is_empty() {
        bail!(
            "nothing here is called {subject}: it is no block device, no mount point, no path on a \
             disk and no volume; `mesos-volumed discover` and `volumes list` show the names"
        );
    }
    context
        .output
        .value_or(&json!({ "explanations": explanations }), |output| {
            let mut text = Text::new();
            for (number, explanation) in explanations.iter().enumerate() {
                if number > 0 {
                    text.line("");
                }
                render(explanation, output, &mut text);
            }
            text.into_string()
        })?;
    Ok(Exit::Done)
}

struct Asked<'a> {
    view: &'a View,
    /// Why not, where the host's volumes could not be observed: its disks can be explained all the
    /// same.
    looked: Result<(&'a Facts, &'a Plan), String>,
    subject: &'a Raw,
}

impl Asked<'_> {
    fn explanations(&self) -> anyhow::Result<Vec<Explanation>> {
        if self.subject.as_bytes().first() == Some(&b'/') {
            return self.path();
        }
        let by_name = self
            .view
            .host
            .devices()
            .iter()
            .find(|device| is_called(device, self.subject));
        if let Some(device) = by_name {
            return Ok(self.device(device));
        }
        match self.subject.as_str().and_then(VolumeKey::named) {
            Some(key) => self.volume(&key),
            None => Ok(Vec::new()),
        }
    }

    fn path(&self) -> anyhow::Result<Vec<Explanation>> {
        if let Some(key) = self.volume_at() {
            return self.volume(&key);
        }
        let exact = self.at(self.subject);
        if !exact.is_empty() {
            return Ok(exact);
        }
        let node = match node::at(self.subject, &self.view.host.mounts) {
            // What may not be asked lies on a mount that has a verdict.
            Err(error) => match self.mount_of(self.subject) {
                found if found.is_empty() => return Err(error.into()),
                found => return Ok(found),
            },
            Ok(node) => node,
        };
        match node {
            Node::Block(number) => Ok(self
                .view
                .host
                .devices()
                .iter()
                .find(|device| device.number == number)
                .map(|device| self.device(device))
                .unwrap_or_default()),
            Node::Inside(real) => Ok(self.mount_of(&real)),
            Node::Missing => Ok(Vec::new()),
        }
    }

    fn volume(&self, key: &VolumeKey) -> anyhow::Result<Vec<Explanation>> {
        match &self.looked {
            Ok((facts, plan)) => Ok(explain::volume(facts, plan, key)),
            Err(why) => bail!("{key} can't be explained: {why}"),
        }
    }

    /// The rows of the disk or mount that a path lies on: the deepest that it is below.
    fn mount_of(&self, path: &Raw) -> Vec<Explanation> {
        let deepest = self
            .view
            .discovery
            .disks
            .iter()
            .filter_map(|row| row.path.as_ref())
            .filter(|place| path.below(place).is_some())
            .max_by_key(|place| place.as_bytes().len());
        let mut found = deepest.map_or_else(Vec::new, |place| self.at(place));
        for explanation in &mut found {
            explanation.subject = format!("{} lies on {}", self.subject, explanation.subject);
        }
        found
    }

    /// The volume whose directory the path is or lies in.
    fn volume_at(&self) -> Option<VolumeKey> {
        let (facts, _) = self.looked.as_ref().ok()?;
        facts.roots.iter().find_map(|root| {
            let roles = root.disk.root.join(paths::ROLES);
            self.subject.below(&roles)?;
            root.dirs.known()?.iter().find_map(|dir| {
                let place = roles.join(&dir.role_dir).join(&dir.id_dir);
                self.subject.below(&place).map(|_| dir_key(dir))
            })
        })
    }

    fn rows(&self, fits: impl Fn(&DiskVerdict) -> bool) -> Vec<&DiskVerdict> {
        self.view
            .discovery
            .disks
            .iter()
            .filter(|row| fits(row))
            .collect()
    }

    /// The rows of this mount point or path.
    fn at(&self, path: &Raw) -> Vec<Explanation> {
        self.rows(|row| row.path.as_ref() == Some(path))
            .into_iter()
            .map(|row| self.disk(row))
            .collect()
    }

    fn device(&self, device: &BlockDevice) -> Vec<Explanation> {
        self.rows(|row| {
            row.device
                .as_ref()
                .is_some_and(|found| found.name == device.name)
        })
        .into_iter()
        .map(|row| self.disk(row))
        .collect()
    }

    fn disk(&self, row: &DiskVerdict) -> Explanation {
        let mut questions = vec![explain::offer(row)];
        let disk = row.disk.as_ref();
        match (&self.looked, disk) {
            (Ok((facts, _)), Some(disk)) => questions.extend(explain::sweepable(facts, disk)),
            (Err(why), Some(_)) => questions.push(Question {
                question: explain::SWEEPABLE,
                answer: format!("that can't be told: {why}"),
                rules: Vec::new(),
            }),
            (_, None) => {}
        }
        let history = disk
            .zip(self.view.ledger.known())
            .map(|(disk, ledger)| explain::history(ledger, disk))
            .unwrap_or_default();
        Explanation {
            subject: subject(row),
            questions,
            history,
        }
    }
}

fn is_called(device: &BlockDevice, name: &Raw) -> bool {
    device.name == *name || device.mapper_name.as_ref() == Some(name)
}

/// What a row is about: `PATH disk /mnt/data on sdb1, xfs 0f3c…`.
fn subject(row: &DiskVerdict) -> String {
    let mut parts = Vec::new();
    match (&row.disk, &row.path) {
        (Some(disk), _) => parts.push(disk.to_string()),
        (None, Some(path)) => parts.push(path.to_string()),
        (None, None) => {}
    }
    if let Some(device) = &row.device {
        parts.push(format!("device {}", device.name));
    }
    if let Some(filesystem) = &row.filesystem {
        let uuid = filesystem.uuid.as_deref().unwrap_or("without a UUID");
        parts.push(format!("{} {uuid}", filesystem.fs_type));
    }
    parts.join(", ")
}

fn render(explanation: &Explanation, output: &super::Output, text: &mut Text) {
    text.line(Raw::from(explanation.subject.as_str()));
    for Question {
        question,
        answer,
        rules,
    } in &explanation.questions
    {
        text.line("");
        text.line(format_args!("{question} {answer}"));
        let mut table = Table::new(&[
            ("ANSWER", Align::Left),
            ("RULE", Align::Left),
            ("EVIDENCE", Align::Left),
        ]);
        for rule in rules {
            let evidence = match &rule.remedy {
                Some(remedy) => format!("{} → {remedy}", rule.evidence),
                None => rule.evidence.clone(),
            };
            table.row([rule.answer.word(), rule.code, &evidence]);
        }
        text.block(&output.rendered(&table));
    }
    if explanation.history.is_empty() {
        return;
    }
    text.line("");
    text.line("history");
    for Event { at, what } in &explanation.history {
        match at {
            Some(at) => text.line(format_args!("  {}  {what}", super::date(*at))),
            None => text.line(format_args!("  {what}")),
        }
    }
}

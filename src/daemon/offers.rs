//! Looks at the disks while the daemon runs: hints and a timer lead to a fresh look, a disk that was
//! plugged in is offered once it has settled, and the resources file is written where an agent would
//! keep its id with it. The agent is never restarted; the log says what a restart would do.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;

use super::answers::disks::disks;
use super::board::Board;
use super::disks::View;
use super::figures::{DiskFigures, DiskKey, Figures, FileState};
use super::preflight::{self, Request};
use super::resources::{Target, propose};
use crate::act::publish::Published;
use crate::act::store::Store;
use crate::config::Settings;
use crate::decide::advertise::Advertisement;
use crate::decide::discover::{Code, DiskVerdict, Rejection};
use crate::decide::facts::{FlagText, FsClass, MountEntry, MountTable};
use crate::decide::preflight::{Verdict, preflight};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::observe::{clock, mountinfo};
use crate::units::{MIB, Raw, Span, chain};

/// What the thread is asked to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Look; unless `anyway`, only if a mount of a local file system changed.
    Look {
        /// Whatever the mounts say.
        anyway: bool,
    },
    /// Use these settings from now on.
    Reload(Box<Settings>),
    /// End.
    Stop,
}

/// What a look came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Looked {
    /// A disk has another verdict than at the last look: a pass is due.
    pub(super) changed: bool,
    /// After this time a disk has settled.
    pub(super) again_in: Option<Duration>,
}

/// Looks, on a thread of its own: a drive that hangs holds nothing else up.
#[derive(Debug)]
pub(super) struct Looker {
    settings: Settings,
    store: Store,
    figures: Figures,
    board: Board,
    /// Mounts of local file systems at the last look.
    mounts: Vec<MountEntry>,
    /// Since when each mount is as it is, since boot.
    since: BTreeMap<u64, (MountEntry, Span)>,
    /// The verdicts of the last look; `None` before the first.
    verdicts: Option<BTreeMap<DiskRef, Option<Code>>>,
    /// What was said of the file last: a line a change, not a line a look.
    said: String,
}

impl Looker {
    pub(super) fn new(settings: &Settings, store: Store, figures: Figures, board: Board) -> Self {
        Self {
            settings: settings.clone(),
            store,
            figures,
            board,
            mounts: Vec::new(),
            since: BTreeMap::new(),
            verdicts: None,
            said: String::new(),
        }
    }

    /// Carries out orders until the last; `looked` is called after each look.
    pub(super) fn work(
        mut self,
        orders: &mpsc::Receiver<Order>,
        mut looked: impl FnMut(Looked) -> bool,
    ) {
        while let Ok(order) = orders.recv() {
            match order {
                Order::Look { anyway } => {
                    let came = self.look(anyway);
                    if !looked(came) {
                        return;
                    }
                }
                Order::Reload(settings) => self.settings = *settings,
                Order::Stop => return,
            }
        }
    }

    fn look(&mut self, anyway: bool) -> Looked {
        if !anyway && !self.mounts_changed() {
            return Looked::default();
        }
        let rules = self.settings.disk_rules();
        let now = clock::since_boot();
        let mut since = std::mem::take(&mut self.since);
        let view = View::aged(&self.settings, |mounts| ages(&mut since, mounts, now));
        self.since = since;
        let view = match view {
            Ok(view) => view,
            Err(error) => {
                self.say(format!("the disks can't be looked at: {}", chain(&error)));
                self.figures.looked(clock::wall_seconds(), None, false);
                // The next look is no hint's: the mounts were not seen.
                self.mounts.clear();
                return Looked::default();
            }
        };
        self.mounts = local(&view.host.mounts);
        let again_in = view
            .discovery
            .disks
            .iter()
            .any(not_settled)
            .then(|| self.settles_in(rules.discovery.settle, now))
            .flatten();
        let changed = self.tell(&view);
        let mut figures = figures(&view);
        let wrote = self.resources(&view, &mut figures);
        let now = clock::wall_seconds();
        self.figures.looked(now, Some(figures), wrote);
        self.board.looked(now, disks(&view));
        Looked { changed, again_in }
    }

    fn mounts_changed(&self) -> bool {
        match mountinfo::read_self() {
            Ok(entries) => local(&MountTable::new(entries)) != self.mounts,
            // The look says what is wrong.
            Err(_) => true,
        }
    }

    /// When the next mount has settled.
    fn settles_in(&self, settle: Span, now: Span) -> Option<Duration> {
        self.since
            .values()
            .map(|(_, since)| settle.minus(now.minus(*since)).0)
            .filter(|left| !left.is_zero())
            .min()
    }

    /// Says which disks have another verdict than before; whether any has.
    fn tell(&mut self, view: &View) -> bool {
        let verdicts: BTreeMap<DiskRef, Option<Code>> = view
            .discovery
            .disks
            .iter()
            .rev()
            .filter_map(|verdict| {
                let code = verdict.rejection().map(|rejection| rejection.code);
                Some((verdict.disk.clone()?, code))
            })
            .collect();
        let before = self.verdicts.replace(verdicts);
        let (Some(before), Some(verdicts)) = (before, &self.verdicts) else {
            return false;
        };
        for (disk, code) in verdicts {
            if before.get(disk) == Some(code) {
                continue;
            }
            let Some(verdict) = view.discovery.of(disk) else {
                continue;
            };
            match (verdict.offer(), verdict.rejection()) {
                (Some(offer), _) => {
                    tracing::info!(
                        disk.root = %disk.root,
                        "{disk} is a disk for Mesos now, with {} MB",
                        offer.number
                    );
                }
                (None, Some(rejection)) => {
                    let remedy = rejection.remedy.as_deref().unwrap_or("nothing to do");
                    tracing::warn!(
                        disk.root = %disk.root,
                        refusal = rejection.code.as_str(),
                        "{disk} can't be offered: {}; {remedy}",
                        rejection.sentence
                    );
                }
                (None, None) => {}
            }
        }
        before != *verdicts
    }

    /// Brings the resources file up to date, where an agent would keep its id with it. Whether it
    /// was written.
    fn resources(&mut self, view: &View, figures: &mut DiskFigures) -> bool {
        let target = Target::configured(&self.settings);
        let Some(target) = target.filter(|_| self.settings.resources.write_to.is_some()) else {
            return false;
        };
        let root_waits = view.discovery.disks.iter().any(|verdict| {
            (verdict.disk.as_ref()).is_some_and(|disk| disk.kind == DiskType::Root)
                && not_settled(verdict)
        });
        if root_waits {
            figures.file = FileState::Waiting;
            return false;
        }
        let name = Raw::from(target.file.as_path());
        let fail = |looker: &mut Self, figures: &mut DiskFigures, why: String| {
            figures.file = FileState::Failed;
            looker.say(format!("{name} stays as it is: {why}"));
            false
        };
        let proposal = match propose(&self.settings, view, Some(&target), None) {
            Ok(proposal) => proposal,
            Err(error) => return fail(self, figures, chain(&error)),
        };
        figures.take(&proposal.advertisement);
        if !proposal.changes() {
            // A disk that an agent would not start with is left out before it comes to a file.
            let waits = |(_, rejection): &(_, Rejection)| rejection.code == Code::NeedsAdditive;
            figures.file = if proposal.advertisement.held_back.iter().any(waits) {
                FileState::HeldBack
            } else {
                FileState::Current
            };
            self.said.clear();
            return false;
        }
        let request = Request {
            text: Some(FlagText {
                text: proposal.text.json(),
                from: "what would be written".to_owned(),
            }),
            ..Request::default()
        };
        let verdict = match preflight::observe(&self.settings, &request) {
            Ok(input) => preflight(&input).verdict,
            Err(error) => return fail(self, figures, chain(&error)),
        };
        if let Err(what) = keeps_its_id(&verdict) {
            figures.file = FileState::HeldBack;
            self.say(format!(
                "{name} is not written, and the agent runs on with what it has: restarted with the \
                 new resources, {what}; see `mesos-volumed diff` and `mesos-volumed preflight`"
            ));
            return false;
        }
        match proposal.write(&self.store, clock::wall_seconds()) {
            Ok(published) => {
                figures.file = FileState::Current;
                self.said.clear();
                if published == Published::Written {
                    tracing::info!(
                        file = %name,
                        "{name} was written; a restart of the agent takes it up, and is safe: it \
                         recovers with its id. The agent was not restarted"
                    );
                }
                published == Published::Written
            }
            Err(error) => fail(self, figures, chain(&error)),
        }
    }

    fn say(&mut self, line: String) {
        if self.said != line {
            tracing::warn!("{line}");
            self.said = line;
        }
    }
}

/// What becomes of an agent that does not keep its id, or may not.
fn keeps_its_id(verdict: &Verdict) -> Result<(), String> {
    let first_line = |text: &str| {
        text.lines()
            .next()
            .unwrap_or_default()
            .trim_end()
            .to_owned()
    };
    match verdict {
        Verdict::Recovers { .. } => Ok(()),
        Verdict::Refuses { text, .. } => {
            Err(format!("it would refuse to start: {}", first_line(text)))
        }
        Verdict::NewAgentId { why } => Err(format!(
            "it would become a new agent id: {}",
            first_line(why)
        )),
        Verdict::CannotTell { why } => Err(format!(
            "whether it recovers can't be told: {}",
            why.join("; ")
        )),
    }
}

/// Mounts of local file systems: a container's own mounts come and go all the time, and matter to no
/// disk.
fn local(mounts: &MountTable) -> Vec<MountEntry> {
    mounts
        .entries()
        .iter()
        .filter(|entry| entry.class() == FsClass::Local)
        .cloned()
        .collect()
}

/// For how long each mount has been as it is. What is there at the first look is as new as the
/// daemon: disks that the ledger knows need not settle.
fn ages(
    since: &mut BTreeMap<u64, (MountEntry, Span)>,
    mounts: &MountTable,
    now: Span,
) -> BTreeMap<u64, Span> {
    since.retain(|id, (entry, _)| mounts.by_id(*id) == Some(entry));
    mounts
        .entries()
        .iter()
        .map(|entry| {
            let (_, first) = since
                .entry(entry.id)
                .or_insert_with(|| (entry.clone(), now));
            (entry.id, now.minus(*first))
        })
        .collect()
}

fn not_settled(verdict: &DiskVerdict) -> bool {
    verdict
        .rejection()
        .is_some_and(|rejection| rejection.code == Code::NotSettled)
}

fn figures(view: &View) -> DiskFigures {
    let mut figures = DiskFigures::default();
    for verdict in &view.discovery.disks {
        let code = verdict.rejection().map(|rejection| rejection.code);
        if let Some(code) = code {
            let count = figures.rejected.entry(code).or_default();
            *count = count.saturating_add(1);
        }
        let Some(disk) = &verdict.disk else {
            continue;
        };
        let key: DiskKey = (disk.kind, code);
        let count = figures.disks.entry(key).or_default();
        *count = count.saturating_add(1);
        let space = verdict.filesystem.as_ref().and_then(|seen| seen.space);
        if let (None, Some((total, free))) = (code, space) {
            add(&mut figures.total, disk.kind, total);
            add(&mut figures.free, disk.kind, free);
        }
        if let Some(offer) = verdict.offer() {
            add(&mut figures.advertised, disk.kind, bytes(offer.number));
        }
    }
    figures
}

fn add(sums: &mut BTreeMap<DiskType, u64>, kind: DiskType, bytes: u64) {
    let sum = sums.entry(kind).or_default();
    *sum = sum.saturating_add(bytes);
}

fn bytes(number: crate::units::Megabytes) -> u64 {
    let thousandths = u128::try_from(number.thousandths()).unwrap_or(0);
    let bytes = thousandths
        .saturating_mul(u128::from(MIB))
        .checked_div(1000);
    u64::try_from(bytes.unwrap_or(0)).unwrap_or(u64::MAX)
}

impl DiskFigures {
    /// What is advertised, last good numbers included.
    fn take(&mut self, advertisement: &Advertisement) {
        self.advertised.clear();
        for entry in &advertisement.disks {
            add(&mut self.advertised, entry.disk.kind, bytes(entry.number));
        }
        self.degraded = u32::try_from(advertisement.degraded.len()).unwrap_or(u32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::facts::DeviceNumber;

    fn entry(id: u64, fs_type: &str, source: &str) -> MountEntry {
        MountEntry {
            id,
            parent: 1,
            device: DeviceNumber { major: 8, minor: 1 },
            root: "/".into(),
            root_deleted: false,
            mount_point: "/mnt/a".into(),
            options: "rw".into(),
            optional: Vec::new(),
            fs_type: fs_type.into(),
            source: source.into(),
            super_options: "rw".into(),
        }
    }

    #[test]
    fn a_mount_is_as_old_as_it_was_seen_unchanged() {
        let mut since = BTreeMap::new();
        let mut seen = |entries: Vec<MountEntry>, now| {
            ages(&mut since, &MountTable::new(entries), Span::seconds(now))
        };
        let a = || entry(7, "ext4", "/dev/sda1");
        assert_eq!(seen(vec![a()], 100)[&7], Span::ZERO);
        assert_eq!(seen(vec![a()], 130)[&7], Span::seconds(30));
        // Another disk with the id of the last, and the first one again.
        let other = entry(7, "ext4", "/dev/sdb1");
        assert_eq!(seen(vec![other], 140)[&7], Span::ZERO);
        assert_eq!(seen(vec![a()], 150)[&7], Span::ZERO);
        assert!(seen(Vec::new(), 160).is_empty());
        assert_eq!(seen(vec![a()], 170)[&7], Span::ZERO);
    }

    #[test]
    fn containers_mounts_are_no_change_of_the_disks() {
        let disk = entry(7, "ext4", "/dev/sda1");
        let container = entry(8, "overlay", "overlay");
        let both = MountTable::new(vec![disk.clone(), container]);
        assert_eq!(local(&both), [disk]);
    }
}

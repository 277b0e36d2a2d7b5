//! Looks at the disks of this host: the mount table, the block devices, and then only those paths
//! that discovery asks for.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::decide::discover::{Code, Discovery, Input, discover, questions};
use crate::decide::facts::{DiskRules, HostDisks, Known, MountTable, PathAnswer, Settled};
use crate::decide::held::Held;
use crate::decide::ledger::Ledger;
use crate::observe::checkpoints::observe_authorities;
use crate::observe::mountinfo::MountinfoError;
use crate::observe::places::Places;
use crate::observe::{disks, filesystem, mountinfo, state_dir};
use crate::units::{Raw, Span, chain};

/// How often a host is looked at anew whose mounts change meanwhile.
const LOOKS: u32 = 3;

/// The disks of this host, as these rules need them. Mounts that no rule names are not touched.
///
/// # Errors
/// Only without a mount table; anything else that can't be read is unknown in the answer.
pub fn look(rules: &DiskRules) -> Result<HostDisks, MountinfoError> {
    let mut host = look_once(rules)?;
    for _ in 1..LOOKS {
        let may_have_moved = host
            .answers
            .values()
            .any(|answer| matches!(answer, PathAnswer::Failed(_)));
        if !may_have_moved {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
        host = look_once(rules)?;
    }
    Ok(host)
}

fn look_once(rules: &DiskRules) -> Result<HostDisks, MountinfoError> {
    let mounts = MountTable::new(mountinfo::read_self()?);
    let devices = known(disks::list(Path::new("/sys"))).map(|mut devices| {
        disks::look_into(&mut devices, Path::new("/dev"));
        devices
    });
    let paths = questions(rules, &mounts, devices.known().map_or(&[], Vec::as_slice));
    Ok(HostDisks {
        answers: filesystem::ask(&Places::default(), paths, &mounts),
        swaps: known(disks::swaps(Path::new("/proc/swaps"))),
        fstab: known(disks::fstab(Path::new("/etc/fstab"))),
        settled: Settled::Taken,
        mounts,
        devices,
    })
}

fn known<T, E: std::error::Error>(read: Result<T, E>) -> Known<T> {
    match read {
        Ok(value) => Known::Known(value),
        Err(error) => Known::unknown(chain(&error)),
    }
}

/// The disks of this host with everything that their verdicts and numbers come from.
#[derive(Clone, Debug)]
pub struct View {
    /// What was seen.
    pub host: HostDisks,
    /// What was advertised before. Unknown: damaged, and no number may be taken from it.
    pub ledger: Known<Ledger>,
    /// What the agent's files hold.
    pub held: Held,
    /// The verdicts.
    pub discovery: Discovery,
}

impl View {
    /// Looks at everything and judges it.
    ///
    /// # Errors
    /// Only without a mount table.
    pub fn new(rules: &DiskRules, state_dir: &Raw) -> Result<Self, MountinfoError> {
        let host = look(rules)?;
        let ledger = state_dir::ledger(state_dir);
        let held = held(&rules.work_dir, host.answers.get(&rules.work_dir));
        Ok(Self::of(host, rules, ledger, held))
    }

    /// The same, with how long each mount has been as it is; one that is not told of was just met.
    ///
    /// # Errors
    /// Only without a mount table.
    pub fn aged(
        rules: &DiskRules,
        state_dir: &Raw,
        ages: impl FnOnce(&MountTable) -> BTreeMap<u64, Span>,
    ) -> Result<Self, MountinfoError> {
        let mut host = look(rules)?;
        host.settled = Settled::Since(ages(&host.mounts));
        let ledger = state_dir::ledger(state_dir);
        let held = held(&rules.work_dir, host.answers.get(&rules.work_dir));
        Ok(Self::of(host, rules, ledger, held))
    }

    fn of(host: HostDisks, rules: &DiskRules, ledger: Known<Ledger>, held: Held) -> Self {
        let empty = Ledger::default();
        let discovery = discover(Input {
            rules,
            host: &host,
            ledger: ledger.known().unwrap_or(&empty),
            held: &held.known(),
        });
        Self {
            host,
            ledger,
            held,
            discovery,
        }
    }

    /// Waits until the offered disks that the ledger does not know have been as they are for
    /// `discovery.settle`, for as many rounds; what has not settled by then is not offered. Where
    /// the ledger knows all of them nothing is waited for.
    ///
    /// # Errors
    /// Only without a mount table.
    pub fn settle(self, rules: &DiskRules, rounds: u32) -> Result<Self, MountinfoError> {
        let span = rules.discovery.settle;
        let mut view = self;
        for _ in 0..rounds {
            if span.0.is_zero() || !view.has_newcomers() {
                return Ok(view);
            }
            std::thread::sleep(span.0);
            let mut host = look(rules)?;
            let before = &view.host.mounts;
            let ages = host
                .mounts
                .entries()
                .iter()
                .filter(|mount| before.by_id(mount.id) == Some(*mount))
                .map(|mount| (mount.id, span))
                .collect::<BTreeMap<_, _>>();
            host.settled = Settled::Since(ages);
            view = Self::of(host, rules, view.ledger, view.held);
            let waits = |code| code == Some(Code::NotSettled);
            let is_settled = !view
                .discovery
                .disks
                .iter()
                .any(|disk| waits(disk.rejection().map(|rejection| rejection.code)));
            if is_settled {
                return Ok(view);
            }
        }
        Ok(view)
    }

    /// Whether a disk is offered, or waits to be, that was never advertised.
    fn has_newcomers(&self) -> bool {
        self.discovery.disks.iter().any(|disk| {
            let is_new = disk.disk.as_ref().is_some_and(|disk| {
                self.ledger
                    .known()
                    .and_then(|ledger| ledger.root(disk))
                    .is_none_or(|entry| entry.advertised.is_none())
            });
            let is_wanted = match disk.rejection() {
                None => true,
                Some(rejection) => rejection.code == Code::NotSettled,
            };
            is_new && is_wanted
        })
    }
}

/// What the agent's files hold; an agent that has not run yet holds nothing. They are read only
/// where the work_dir was seen to answer.
fn held(work_dir: &Raw, answer: Option<&PathAnswer>) -> Held {
    let unknown = |why: String| Held {
        doubts: vec![why],
        ..Held::default()
    };
    match answer {
        Some(PathAnswer::Directory(_)) => {}
        Some(PathAnswer::Missing | PathAnswer::NotADirectory) => return Held::default(),
        Some(
            PathAnswer::OutOfBounds(_)
            | PathAnswer::Unanswering
            | PathAnswer::Erring(..)
            | PathAnswer::Failed(_),
        )
        | None => return unknown(format!("agent.work_dir {work_dir} was not looked at")),
    }
    match observe_authorities(work_dir.as_path()) {
        Ok(found) => Held::new(&found.checkpoint, &found.providers, work_dir),
        Err(error) => unknown(chain(&error)),
    }
}

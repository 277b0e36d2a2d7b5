//! Looks at the disks of this host: the mount table, the block devices, and then only those paths
//! that discovery asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::preflight::{self, Request};
use crate::config::Settings;
use crate::decide::adopt::{AdoptedFrom, Told, adopt};
use crate::decide::advertise::{AdvertiseError, Advertisement, advertise};
use crate::decide::baseline::{Baselines, disks_of};
use crate::decide::discover::{
    Code, Discovery, Input, discover, emptied, questions, questions_of_agent,
};
use crate::decide::facts::{
    AgentFlags, DiskRules, FlagSource, HostDisks, Known, MountTable, PathAnswer,
    ReconfigurationPolicy, Role, Settled,
};
use crate::decide::held::Held;
use crate::decide::ledger::Ledger;
use crate::decide::preflight::default_role;
use crate::mesos::disk::DiskRef;
use crate::mesos::resources_json::parse_resources;
use crate::observe::checkpoints::observe_authorities;
use crate::observe::mountinfo::MountinfoError;
use crate::observe::places::Places;
use crate::observe::told::{self as written, DCOS_FILES};
use crate::observe::{clock, disks, filesystem, mountinfo, start, state_dir};
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
    /// What was advertised before, and what an agent had before that. Unknown: damaged, and no
    /// number may be taken from it.
    pub ledger: Known<Ledger>,
    /// The roots that stand in the ledger's file, without what would be adopted.
    pub recorded: BTreeSet<DiskRef>,
    /// What the agent's files hold.
    pub held: Held,
    /// What the agent's start is measured by.
    pub agent: Baselines,
    /// The agent's `--default_role`, which it gives to entries without a role; `*` where nothing
    /// tells it.
    pub default_role: Role,
    /// What could not be read of the agent's numbers: a sentence each.
    pub unread: Vec<String>,
    /// Why nothing may be advertised, although the ledger can be read.
    pub blocked: Option<String>,
    /// The verdicts.
    pub discovery: Discovery,
}

impl View {
    /// Looks at everything and judges it.
    ///
    /// # Errors
    /// Only without a mount table.
    pub fn of_host(settings: &Settings) -> Result<Self, MountinfoError> {
        let rules = settings.disk_rules();
        Ok(Self::of(settings, &rules, look(&rules)?))
    }

    /// The same, with how long each mount has been as it is; one that is not told of was just met.
    ///
    /// # Errors
    /// Only without a mount table.
    pub fn aged(
        settings: &Settings,
        ages: impl FnOnce(&MountTable) -> BTreeMap<u64, Span>,
    ) -> Result<Self, MountinfoError> {
        let rules = settings.disk_rules();
        let mut host = look(&rules)?;
        host.settled = Settled::Since(ages(&host.mounts));
        Ok(Self::of(settings, &rules, host))
    }

    /// The same host, judged with another ledger.
    #[must_use]
    pub fn with_ledger(mut self, rules: &DiskRules, ledger: Ledger) -> Self {
        self.ledger = Known::Known(ledger);
        self.judge(rules);
        self
    }

    fn of(settings: &Settings, rules: &DiskRules, host: HostDisks) -> Self {
        let ledger = state_dir::ledger(&Raw::from(settings.daemon.state_dir.as_path()));
        let answer = host.answers.get(&rules.work_dir);
        let held = held(&rules.work_dir, answer);
        let OfAgent {
            agent,
            told,
            default_role,
        } = agent(settings, answer);
        let adoption = adopt(
            ledger.known().unwrap_or(&Ledger::default()),
            &agent,
            &told,
            clock::wall_seconds(),
        );
        let recorded = ledger.known().into_iter().flat_map(|ledger| &ledger.roots);
        let recorded = recorded.map(|root| root.disk.clone()).collect();
        let mut view = Self {
            host,
            recorded,
            ledger: match ledger {
                Known::Unknown(why) => Known::Unknown(why),
                Known::Known(_) | Known::Absent => Known::Known(adoption.ledger),
            },
            held,
            agent,
            default_role,
            unread: adoption.warnings,
            blocked: adoption.blocked,
            discovery: Discovery::default(),
        };
        view.judge(rules);
        view
    }

    /// Judges what was seen, after a look at the roots that only the agent names.
    fn judge(&mut self, rules: &DiskRules) {
        let empty = Ledger::default();
        let ledger = self.ledger.known().unwrap_or(&empty);
        let mut paths = questions_of_agent(ledger, &self.agent);
        paths.retain(|path| !self.host.answers.contains_key(path));
        let answers = filesystem::ask(&Places::default(), paths, &self.host.mounts);
        self.host.answers.extend(answers);
        self.agent.emptied = emptied(ledger, &self.agent, &self.host.answers);
        self.discovery = discover(Input {
            rules,
            host: &self.host,
            ledger,
            held: &self.held.known(),
            agent: &self.agent,
        });
    }

    /// The disk entries of `--resources`.
    ///
    /// # Errors
    /// When they can't be told, or an agent would not be served by them.
    pub fn advertise(&self, rules: &DiskRules) -> Result<Advertisement, AdvertiseError> {
        if let Some(why) = self.ledger.why() {
            return Err(AdvertiseError::Ledger {
                why: why.to_string(),
            });
        }
        if let Some(why) = &self.blocked {
            return Err(AdvertiseError::Unread { why: why.clone() });
        }
        advertise(&self.discovery, rules)
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
            view.host = host;
            view.judge(rules);
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

/// What is known of an agent's start.
struct OfAgent {
    /// What it compares with.
    agent: Baselines,
    /// What was written for it.
    told: Vec<Told>,
    default_role: Role,
}

impl OfAgent {
    fn unread(agent: Baselines, told: Vec<Told>) -> Self {
        Self {
            agent,
            told,
            default_role: Role::new("*"),
        }
    }
}

fn agent(settings: &Settings, answer: Option<&PathAnswer>) -> OfAgent {
    let work_dir = &settings.agent.work_dir;
    let configured = settings.resources.policy;
    match answer {
        Some(PathAnswer::Directory(_)) => {}
        Some(PathAnswer::Missing | PathAnswer::NotADirectory) => {
            let none = Baselines {
                policy: configured,
                ..Baselines::default()
            };
            return OfAgent::unread(none, told(settings, None, &Role::new("*")));
        }
        Some(
            PathAnswer::OutOfBounds(_)
            | PathAnswer::Unanswering
            | PathAnswer::Erring(..)
            | PathAnswer::Failed(_),
        )
        | None => {
            let why = format!("agent.work_dir {work_dir} was not looked at");
            return OfAgent::unread(Baselines::unknown(&why, configured), Vec::new());
        }
    }
    let places = Places::default();
    let facts = match start::files(&places, work_dir) {
        Ok(facts) => facts,
        Err(error) => {
            let unknown = Baselines::unknown(&chain(&error), configured);
            return OfAgent::unread(unknown, Vec::new());
        }
    };
    let flags = preflight::flags(settings, &Request::default(), &places, &facts);
    let policy = match flags.policy {
        Known::Known(policy) => policy,
        Known::Absent => ReconfigurationPolicy::default(),
        Known::Unknown(_) => configured,
    };
    let mut agent = Baselines::new(&facts, policy, preflight::rebooted(&facts));
    let default_role = default_role(&flags.default_role, facts.info.whole());
    let told = told(settings, Some(&flags), &default_role);
    for told in told.iter().filter(|told| told.running) {
        agent
            .running
            .extend(told.disks.known().into_iter().flatten().cloned());
    }
    OfAgent {
        agent,
        told,
        default_role,
    }
}

/// What was written for the agent: its own flag, our file, DC/OS's.
fn told(settings: &Settings, flags: Option<&AgentFlags>, default_role: &Role) -> Vec<Told> {
    let work_dir = &settings.agent.work_dir;
    let read = |text: &str| match parse_resources(text, default_role) {
        Ok(resources) => Known::Known(disks_of(&resources, work_dir).0),
        Err(error) => Known::unknown(error.to_string()),
    };
    let mut all = Vec::new();
    if let Some(flags) = flags {
        let of_flag = format!("--resources of {}", flags.source);
        match &flags.resources {
            Known::Known(text) => all.push(Told {
                // What a file holds by now need not be what the agent was started with.
                running: match flags.source {
                    FlagSource::Http(_) => true,
                    FlagSource::Process(_) => text.from == of_flag,
                    FlagSource::Unit(_) | FlagSource::Files(_) | FlagSource::Nowhere => false,
                },
                from: AdoptedFrom::Flags(text.from.clone()),
                disks: read(&text.text),
            }),
            Known::Unknown(why) if flags.source.is_sure() => all.push(Told {
                from: AdoptedFrom::Flags(of_flag),
                running: false,
                disks: Known::Unknown(why.clone()),
            }),
            Known::Absent | Known::Unknown(_) => {}
        }
    }
    let ours = settings.resources.write_to.as_deref().map(Raw::from);
    for file in ours.into_iter().chain(DCOS_FILES.map(Raw::from)) {
        let disks = match written::text(&file) {
            Ok(None) => continue,
            Ok(Some(text)) => read(&text),
            Err(why) => Known::unknown(why),
        };
        all.push(Told {
            from: AdoptedFrom::File(file),
            running: false,
            disks,
        });
    }
    all
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

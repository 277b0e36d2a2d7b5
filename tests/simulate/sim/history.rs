//! Histories: drawn, run, judged, and made short where they found something.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use mesos_volumed::act::executor::{Desk, Host, Job};
use mesos_volumed::act::gate::Gate;
use mesos_volumed::act::jobs::{self, JobContext};
use mesos_volumed::act::master::ChangeError;
use mesos_volumed::act::outcome::Outcome;
use mesos_volumed::act::roots::RootLocks;
use mesos_volumed::act::store::Store;
use mesos_volumed::act::wipe::{Control, Progress};
use mesos_volumed::daemon::pass::{Pass, PassError, look, pass};
use mesos_volumed::decide::facts::{
    AdoptWord, Destroying, FileIdentity, GateFile, Known, OrphanPolicy, Phase, Policy, WipeMode,
    Words,
};
use mesos_volumed::decide::guards::{Reason, Refusal};
use mesos_volumed::decide::manifest::{Manifest, TrashState};
use mesos_volumed::decide::steps::{Kept, MasterCall, TrashId};
use mesos_volumed::mesos::disk::DiskType;
use mesos_volumed::mesos::ids::VolumeKey;
use mesos_volumed::mesos::operator::Change;
use mesos_volumed::mesos::resource::Resource;
use mesos_volumed::sys::http::SiteError;
use mesos_volumed::units::Span;

use super::acts::{self, Act, Which};
use super::agent::Generation;
use super::builder::{DAY, HOUR, first_met, key};
use super::count::Counts;
use super::disk::{Disk, Node};
use super::observe::{Blunder, facts};
use super::oracle::{codes, picture};
use super::sys::{Killed, Model};
use super::world::{Asked, Life, Oddity, World, roots};

/// How many numbers a tape has; behind its end all is 0.
pub(crate) const TAPE: usize = 120;

/// The tape of a seed.
pub(crate) fn tape_of(seed: u64) -> Vec<u16> {
    let mut state = seed;
    (0..TAPE)
        .map(|_| {
            // splitmix64
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            u16::try_from((mixed ^ (mixed >> 31)) >> 48).unwrap_or(0)
        })
        .collect()
}

struct Tape<'a> {
    numbers: &'a [u16],
    at: usize,
}

impl Tape<'_> {
    /// A number below `n`; 0 is the most harmless.
    fn pick(&mut self, n: usize) -> usize {
        let number = self.numbers.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        usize::from(number) % n
    }

    fn rarely(&mut self, n: usize) -> bool {
        self.pick(n) == n - 1
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.pick(choices.len())].clone()
    }

    fn ended(&self) -> bool {
        self.at >= self.numbers.len()
    }
}

fn keys() -> Vec<VolumeKey> {
    ["db/a", "db/b", "eng/dev/a", "web/c"].map(key).into()
}

/// One process of the program: a host that runs jobs at once.
struct Process {
    desk: Desk<Model>,
    control: Control,
}

impl Process {
    fn start(model: &Arc<Model>, state: &Path) -> Self {
        let store = Store::open(state).unwrap();
        let gate = Gate::found(
            store.clone(),
            &mesos_volumed::observe::gate::file(&state.into()),
        );
        Self {
            desk: Desk {
                sys: Arc::clone(model),
                locks: RootLocks::default(),
                store,
                gate: Arc::new(gate),
                wall_seconds: || 1_700_000_000,
            },
            control: Control::new(0),
        }
    }
}

impl Host for Process {
    type Sys = Model;

    fn desk(&self) -> &Desk<Model> {
        &self.desk
    }

    fn busy(&self, _directory: &FileIdentity) -> bool {
        false
    }

    fn run(&mut self, job: Job, plan: &str, _subject: &str) -> Outcome {
        let model = Arc::clone(&self.desk.sys);
        let agents = move || {
            let agent = &model.world().agent;
            Known::Known(agent.running.then_some(agent.pid).into_iter().collect())
        };
        let context = JobContext {
            sys: self.desk.sys.as_ref(),
            locks: &self.desk.locks,
            gate: &self.desk.gate,
            agents: &agents,
            reserved: &|_disk| Known::Absent,
            control: &self.control,
            progress: &Progress::default(),
        };
        jobs::run(&context, job, plan)
    }

    fn call(&mut self, call: &MasterCall) -> Result<(), ChangeError> {
        let failed = |source| {
            Err(ChangeError::Site {
                call: call.change.name(),
                source,
            })
        };
        let url = "http://master/".to_owned();
        let refused = |url| SiteError::Refused {
            url,
            status: 409,
            says: "no".to_owned(),
        };
        let Change::Destroy(volumes) = &call.change else {
            return failed(refused(url));
        };
        let mut world = self.desk.sys.world();
        let asked = world.fate.asked;
        let crash = match asked {
            Asked::Crash(writes) => writes,
            Asked::Done | Asked::Unanswered => usize::MAX,
            Asked::Lost => return Ok(()),
            Asked::Refused => return failed(refused(url)),
            Asked::NotTaken => {
                return failed(SiteError::NotTaken {
                    what: "master",
                    why: vec!["nobody listens".to_owned()],
                });
            }
        };
        for key in volumes.iter().filter_map(Resource::volume_key) {
            acts::destroy(&mut world, &key, crash, true);
        }
        if asked == Asked::Unanswered {
            return failed(SiteError::Unclear {
                what: "master",
                url,
                why: "it hung up".to_owned(),
            });
        }
        Ok(())
    }
}

/// What a history found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) findings: Vec<String>,
    pub(crate) log: Vec<String>,
    /// What the last pass saw, for `mesos-volumed plan --facts`.
    pub(crate) facts: String,
}

struct History<'t> {
    tape: Tape<'t>,
    model: Arc<Model>,
    state: PathBuf,
    policy: Policy,
    counts: Counts,
    log: Vec<String>,
    calm: bool,
    last: Option<Pass>,
    blunder: Option<Blunder>,
}

/// Files of `state_dir` that outlive a process.
const STATE: [&str; 3] = ["memory.json", "ledger.json", GateFile::NAME];

fn clear_state(state: &Path) {
    let _missing = std::fs::remove_dir_all(state);
    std::fs::create_dir_all(state).unwrap();
}

/// Runs the history of a tape, with its `state_dir` in this folder.
pub(crate) fn run(numbers: &[u16], folder: &Path) -> Result<Counts, Found> {
    run_with(numbers, folder, None)
}

/// The same with a program that makes a mistake.
pub(crate) fn run_with(
    numbers: &[u16],
    folder: &Path,
    blunder: Option<Blunder>,
) -> Result<Counts, Found> {
    let state = folder.join("state");
    clear_state(&state);
    let mut world = World::new();
    world.oracle.state_dir.clone_from(&state);
    let mut history = History {
        tape: Tape { numbers, at: 0 },
        model: Arc::new(Model {
            world: Mutex::new(world),
        }),
        state,
        policy: first_met().policy,
        counts: Counts {
            histories: 1,
            ..Counts::default()
        },
        log: Vec::new(),
        calm: false,
        last: None,
        blunder,
    };
    history.policy.start_gate = true;
    history.set_policy();
    history.live();
    if history.findings().is_empty() {
        history.end();
    }
    let world = history.model.world();
    history.counts.calls = world.fate.calls;
    history.counts.causes.clone_from(&world.oracle.causes);
    let findings = world.oracle.findings.clone();
    drop(world);
    if findings.is_empty() {
        Ok(history.counts)
    } else {
        let facts = history.last.map(|pass| serde_json::to_string(&pass.facts));
        Err(Found {
            findings,
            log: history.log,
            facts: facts.and_then(Result::ok).unwrap_or_default(),
        })
    }
}

impl History<'_> {
    fn findings(&self) -> Vec<String> {
        self.model.world().oracle.findings.clone()
    }

    fn note(&mut self, what: String) {
        self.log.push(what);
    }

    fn set_policy(&mut self) {
        let mut world = self.model.world();
        world.oracle.orphans = Some(self.policy.orphans);
        world.oracle.grace = self.policy.grace.0.as_secs();
    }

    fn live(&mut self) {
        // The first passes see a healthy host.
        if self.tape.rarely(2) {
            let generation = self.tape.of(&Generation::ALL);
            self.act(&Act::Version(generation));
        }
        self.sweep(&Words::default());
        self.act(&Act::Time(60));
        while !self.tape.ended() && self.findings().is_empty() {
            self.event();
        }
    }

    fn act(&mut self, act: &Act) -> bool {
        let done = acts::apply(&mut self.model.world(), act);
        if done {
            self.counts.event(name_of(act));
            self.note(format!("{act:?}"));
        }
        done
    }

    fn event(&mut self) {
        match self.tape.pick(30) {
            0..=6 => {
                let words = Words::default();
                self.sweep(&words);
            }
            7 | 8 => {
                let words = self.words();
                self.sweep(&words);
            }
            9 => self.sweep_beside_something(),
            10 | 11 => self.killed_sweep(),
            12 => self.sweep_and_cut(),
            13 => self.new_policy(),
            14 if self.tape.rarely(3) => self.lose_state(),
            14 => self.own_destroy(),
            _ => {
                // Often more than one thing happens between two looks.
                for _ in 0..=self.tape.pick(4) {
                    let act = self.draw();
                    self.act(&act);
                }
            }
        }
        self.model.world().pass_time(5);
    }

    /// What the agent holds.
    fn held(&self) -> Vec<VolumeKey> {
        let total = &self.model.world().agent.total;
        total.iter().filter_map(Resource::volume_key).collect()
    }

    fn draw(&mut self) -> Act {
        let held = self.held();
        let tape = &mut self.tape;
        let all = keys();
        let any = tape.of(&all);
        // Mostly something that is there.
        let key = if held.is_empty() || tape.rarely(4) {
            any.clone()
        } else {
            tape.of(&held)
        };
        let crash = |tape: &mut Tape<'_>| {
            if tape.rarely(2) {
                tape.pick(9)
            } else {
                usize::MAX
            }
        };
        match tape.pick(48) {
            0..=3 => Act::Time(tape.of(&[60, 10 * 60, HOUR, DAY, 2 * DAY, 9 * DAY])),
            4..=8 => {
                let root = tape.pick(5);
                let crash = crash(tape);
                Act::Create(root, any, crash, tape.pick(2) == 0)
            }
            9..=12 => {
                let crash = crash(tape);
                Act::Destroy(key, crash, tape.pick(2) == 0)
            }
            13..=16 => Act::DestroyLeaving(key, tape.rarely(4)),
            17..=20 => Act::TaskStart(key),
            21 => Act::TaskStop,
            22 => tape.of(&[Act::TaskEscapes, Act::TaskEscapes, Act::TaskForgotten]),
            23..=25 => Act::Open(if tape.rarely(3) { any } else { key }),
            26 => tape.of(&[
                Act::Close,
                Act::Write(key.clone()),
                Act::Grow(key, usize::MAX),
            ]),
            27 => Act::AgentStop,
            28 | 29 => Act::AgentStart,
            30 => Act::AgentRecovers,
            31 | 32 => Act::Version(tape.of(&Generation::ALL)),
            33 | 34 => Act::Cut(
                u64::try_from(tape.pick(1 << 15)).unwrap_or(0) << 15
                    | u64::try_from(tape.pick(1 << 15)).unwrap_or(0),
            ),
            35..=37 => Act::Damage(tape.pick(4), tape.pick(4)),
            38 => Act::Unmount(2 + tape.pick(3)),
            39 | 40 => {
                let disk = 2 + tape.pick(3);
                Act::Remount(
                    disk,
                    tape.of(&[Which::Own, Which::Own, Which::Another, Which::Old]),
                )
            }
            41 => Act::Backup(2 + tape.pick(3)),
            42 => tape.of(&[
                Act::ReadOnly(1),
                Act::ReadOnly(2),
                Act::ReadOnly(4),
                Act::Full(2),
                Act::Full(4),
                Act::Failing(2),
                Act::Failing(3),
            ]),
            43 => Act::Immutable(key),
            44 => Act::Nested(key),
            45 => Act::ByHand(tape.pick(3), any),
            46 => tape.of(&[
                Act::Blind,
                Act::Link(1, any.clone()),
                Act::Stray(1, any),
                Act::Foreign(1, false),
                Act::Foreign(0, true),
                Act::WallClock(-400_000_000),
                Act::WallClock(400_000_000),
            ]),
            _ if tape.rarely(3) => Act::Locked(tape.pick(2) == 1),
            _ => Act::Odd(tape.of(&Oddity::ALL)),
        }
    }

    fn words(&mut self) -> Words {
        let (key, root) = (self.tape.of(&keys()), self.tape.of(&roots()));
        let mut words = Words::default();
        let entries = self.entries();
        let entry = (!entries.is_empty()).then(|| self.tape.of(&entries));
        match self.tape.pick(9) {
            0 => words.accept_empty = true,
            1 => words.confirm_brake = Some(50),
            2 => {
                // Modes that act on a whole disk are refused for a directory; the model has no others.
                let lives = &self.model.world().lives;
                let on_mount = |life: &Life| roots()[life.root].kind == DiskType::Mount;
                let carved = !lives.iter().any(|life| life.key == key && on_mount(life));
                words.mode = (carved && self.tape.rarely(3)).then_some(WipeMode::ZeroFree);
                words.wipe = Some(key);
            }
            3 => words.recreate = Some(key),
            4 => words.accept_root = Some(root.root),
            5 => words.purge = entry.into_iter().map(TrashId).collect(),
            6 => {
                let begun = self.begun();
                words.restore = begun.or(entry.map(TrashId));
            }
            n => {
                words.adopt = Some(AdoptWord {
                    volume: key,
                    root: None,
                    undo: n == 8,
                });
            }
        }
        words
    }

    /// Entries in all trashes.
    fn entries(&self) -> Vec<String> {
        let world = self.model.world();
        let mut entries = Vec::new();
        for disk in &world.disks {
            for (ino, _) in disk.all() {
                let Some(path) = disk.path(ino) else { continue };
                let path = String::from_utf8_lossy(&path).into_owned();
                if let Some((folder, name)) = path.rsplit_once('/')
                    && folder.ends_with(".mesos-volumed/trash")
                {
                    entries.push(name.to_owned());
                }
            }
        }
        entries
    }

    /// An entry whose wipe was begun and not ended.
    fn begun(&self) -> Option<TrashId> {
        let world = self.model.world();
        let manifests = world.disks.iter().flat_map(Disk::all);
        let read = manifests.filter_map(|(_, inode)| match &inode.node {
            Node::File(content) => serde_json::from_slice::<Manifest>(content).ok(),
            Node::Dir(_) | Node::Link => None,
        });
        read.filter(|manifest| manifest.state == TrashState::Wiping)
            .map(|manifest| manifest.id)
            .next()
    }

    /// Whom the operator's words condemn.
    fn condemn(&self, words: &Words) {
        let mut world = self.model.world();
        let mut condemned = Vec::new();
        for id in &words.purge {
            for disk in &world.disks {
                for (ino, inode) in disk.all() {
                    let path = disk.path(ino).unwrap_or_default();
                    if String::from_utf8_lossy(&path).contains(&id.0) {
                        condemned.extend(inode.owner);
                    }
                }
            }
        }
        for (number, life) in world.lives.iter().enumerate() {
            if words.wipe.as_ref() == Some(&life.key) {
                condemned.push(number);
                // A MOUNT is its volume's with all that lies on it.
                if roots()[life.root].kind == DiskType::Mount
                    && let Some(spot) = world.volume_spot(life.root, &life.key)
                {
                    condemned.extend(world.owners_in(spot));
                }
            }
        }
        for life in condemned {
            world.lives[life].condemned = true;
        }
        // What lies on a MOUNT is right as it is.
        if let Some(root) = &words.accept_root
            && let Ok(spot) = world.resolve(root.as_bytes())
            && roots()
                .iter()
                .any(|disk| disk.root == *root && disk.kind == DiskType::Mount)
        {
            let accepted = world.owners_in(spot);
            world.oracle.accept(&accepted);
        }
    }

    fn pass(&mut self, words: &Words) -> Option<Result<Pass, PassError<Infallible>>> {
        let (model, state, policy) = (&self.model, &self.state, &self.policy);
        let blunder = self.blunder;
        let memory = state.join(STATE[0]);
        let (met, before) = (model.world().oracle.met(), std::fs::read(&memory).ok());
        let passed = catch_unwind(AssertUnwindSafe(|| {
            let mut process = Process::start(model, state);
            pass(
                &mut || {
                    let mut world = model.world();
                    world.looked_at();
                    Ok(facts(&mut world, state, policy, words, blunder))
                },
                &mut process,
            )
        }));
        match passed {
            Ok(passed) => Some(passed),
            Err(panic) if panic.is::<Killed>() => {
                // What it saw it had not written down.
                if std::fs::read(&memory).ok() == before {
                    model.world().oracle.met_again(met);
                }
                None
            }
            Err(panic) => {
                for line in &self.log {
                    eprintln!("  {line}");
                }
                resume_unwind(panic)
            }
        }
    }

    /// A pass to its end, and what must hold after it.
    fn sweep(&mut self, words: &Words) -> bool {
        self.sweep_and(words, false)
    }

    /// Whether it came to its end.
    fn sweep_and(&mut self, words: &Words, beside: bool) -> bool {
        self.condemn(words);
        self.model.world().see_exposed(false);
        let passed = self.pass(words);
        {
            let mut world = self.model.world();
            let happened = world.fate.meanwhile.take().is_none();
            world.fate.dies_at = None;
            if beside && happened {
                world.see_exposed(false);
            }
        }
        let Some(passed) = passed else {
            return false;
        };
        let quiet = *words == Words::default();
        self.counts.event("sweep");
        match passed {
            Ok(pass) => {
                self.counts.pass(&pass);
                if !self.calm || !pass.outcomes.is_empty() || !quiet {
                    self.note(said(words, &pass));
                }
                self.model.world().after_pass(&pass, quiet);
                let smooth = pass
                    .outcomes
                    .iter()
                    .all(|step| matches!(step.outcome, Outcome::Done(_) | Outcome::Identity));
                if smooth && quiet && !beside {
                    self.nothing_more();
                }
                self.last = Some(pass);
            }
            Err(error) => {
                let text = mesos_volumed::units::chain(&error);
                self.model.world().oracle.find(text);
            }
        }
        true
    }

    /// The same plan twice plans nothing.
    fn nothing_more(&mut self) {
        let (model, state, policy) = (&self.model, &self.state, &self.policy);
        let blunder = self.blunder;
        let looked = look(&mut || {
            let mut world = model.world();
            let words = Words::default();
            Ok::<_, Infallible>(facts(&mut world, state, policy, &words, blunder))
        });
        let mut world = self.model.world();
        match looked {
            Ok((_, checked)) => {
                // A second sighting is a matter of time, of which none is asked with no grace.
                if !checked.plan().steps.is_empty() && self.policy.grace > Span::ZERO {
                    let steps = serde_json::to_string(&checked.plan().steps).unwrap_or_default();
                    world
                        .oracle
                        .find(format!("a pass left something to do: {steps}"));
                }
            }
            Err(error) => world.oracle.find(mesos_volumed::units::chain(&error)),
        }
    }

    /// Something happens beside the pass, between two of its calls.
    fn sweep_beside_something(&mut self) {
        let at = self.tape.pick(60) as u64;
        let act = self.draw();
        self.note(format!("beside call {at}: {act:?}"));
        {
            let mut world = self.model.world();
            let now = world.fate.calls;
            world.fate.meanwhile = Some((now + 1 + at, act));
        }
        self.counts.event("sweep beside something");
        self.sweep_and(&Words::default(), true);
    }

    /// The process is killed at one of its calls, and the next one ends where an undisturbed one ends.
    fn killed_sweep(&mut self) {
        let words = if self.tape.pick(3) == 0 {
            self.words()
        } else {
            Words::default()
        };
        self.condemn(&words);
        let before = self.model.world().clone();
        let kept = self.keep_state();
        let first = before.fate.calls;
        // Undisturbed.
        let one = self.pass(&words);
        let calls = self.model.world().fate.calls - first;
        let two = self.pass(&Words::default());
        let three = self.pass(&Words::default());
        let expected = picture(&self.model.world());
        if !self.findings().is_empty() {
            let none = Words::default();
            for (words, passed) in [(&words, one), (&none, two), (&none, three)] {
                if let Some(Ok(passed)) = passed {
                    self.note(format!("not killed: {}", said(words, &passed)));
                    self.last = Some(passed);
                }
            }
            return;
        }
        // Killed.
        *self.model.world() = before;
        self.bring_back(&kept);
        if calls == 0 {
            return;
        }
        let at = self.tape.pick(usize::try_from(calls).unwrap_or(1)) as u64;
        self.model.world().fate.dies_at = Some(first + 1 + at);
        self.note(format!("killed at call {} of {calls}: {words:?}", at + 1));
        self.counts.event("killed sweep");
        let ended = self.pass(&words);
        self.model.world().fate.dies_at = None;
        if ended.is_some() {
            // It was not reached: a plan with another name in it sorts otherwise.
            return;
        }
        if let Some(begun) = self.begun()
            && self.tape.rarely(3)
        {
            // Wanted back when part of it is gone.
            self.sweep(&Words {
                restore: Some(begun),
                ..Words::default()
            });
            return;
        }
        self.pass(&words);
        self.pass(&Words::default());
        self.pass(&Words::default());
        let found = picture(&self.model.world());
        // Where nothing lies yet there is nothing that another process could have locked; but there is
        // once the killed one has made its folder.
        let locked = self.model.world().locked_elsewhere;
        // The brake counts what a killed process was about to do; words are said twice.
        if found != expected
            && !locked
            && self.policy.brake_percent == 100
            && words == Words::default()
        {
            let only = |a: &std::collections::BTreeMap<String, u64>,
                        b: &std::collections::BTreeMap<String, u64>| {
                a.iter()
                    .filter(|(name, count)| b.get(*name) != Some(count))
                    .map(|(name, _)| name.clone())
                    .collect::<Vec<_>>()
            };
            let text = format!(
                "killed at call {}: found {:?}, expected {:?}",
                at + 1,
                only(&found, &expected),
                only(&expected, &found)
            );
            self.model.world().oracle.find(text);
        }
    }

    /// `volumes destroy`, in whose middle the process may be killed, and something else happen.
    fn own_destroy(&mut self) {
        let held = self.held();
        if held.is_empty() {
            return;
        }
        let volume = self.tape.of(&held);
        let asked = match self.tape.pick(8) {
            0..=2 => Asked::Done,
            3 => Asked::Crash(self.tape.pick(9)),
            4 => Asked::NotTaken,
            5 => Asked::Refused,
            6 => Asked::Unanswered,
            _ => Asked::Lost,
        };
        self.model.world().fate.asked = asked;
        self.counts.event("volumes destroy");
        self.note(format!("volumes destroy {volume}: {asked:?}"));
        let killed = self.tape.pick(6);
        for (number, phase) in [Phase::SetAside, Phase::Ask, Phase::Settle]
            .into_iter()
            .enumerate()
        {
            if killed == number {
                let at = self.tape.pick(25) as u64;
                let mut world = self.model.world();
                world.fate.dies_at = Some(world.fate.calls + 1 + at);
            }
            let words = Words {
                destroy: Some(Destroying {
                    volume: volume.clone(),
                    phase,
                }),
                ..Words::default()
            };
            self.model.world().oracle.destroying = Some(volume.clone());
            let ended = self.sweep(&words);
            self.model.world().oracle.destroying = None;
            if !ended {
                self.note(format!("killed in {phase:?}"));
                return;
            }
            // What was kept, or failed, is not asked for.
            let stopped = self.last.as_ref().is_some_and(|pass| {
                let kept = |kept: &Kept| kept.due && kept.volume.as_ref() == Some(&volume);
                pass.failed() || pass.last.kept.iter().any(kept)
            });
            if stopped && phase == Phase::SetAside {
                break;
            }
            if self.tape.rarely(4) {
                let act = self.draw();
                self.act(&act);
            }
        }
    }

    /// The power is cut at one of a pass's calls.
    fn sweep_and_cut(&mut self) {
        let at = self.tape.pick(120) as u64;
        let number = self.tape.pick(1 << 15) as u64;
        {
            let mut world = self.model.world();
            let now = world.fate.calls;
            world.fate.dies_at = Some(now + 1 + at);
        }
        self.note(format!("power cut at call {at} of a pass: {number}"));
        self.pass(&Words::default());
        self.model.world().fate.dies_at = None;
        self.act(&Act::Cut(number));
        self.counts.event("cut in a pass");
        self.act(&Act::AgentStart);
        self.sweep(&Words::default());
    }

    fn keep_state(&self) -> Vec<(&'static str, Option<Vec<u8>>)> {
        STATE
            .map(|name| (name, std::fs::read(self.state.join(name)).ok()))
            .into()
    }

    fn bring_back(&self, kept: &[(&'static str, Option<Vec<u8>>)]) {
        for (name, content) in kept {
            let path = self.state.join(name);
            match content {
                Some(content) => std::fs::write(path, content).unwrap(),
                None => {
                    let _missing = std::fs::remove_file(path);
                }
            }
        }
    }

    fn new_policy(&mut self) {
        let tape = &mut self.tape;
        let policy = &mut self.policy;
        policy.orphans = tape.of(&[
            OrphanPolicy::Quarantine,
            OrphanPolicy::Wipe,
            OrphanPolicy::Report,
        ]);
        policy.grace = Span::seconds(tape.of(&[DAY, HOUR, 3 * DAY, 0]));
        policy.retention = Span::seconds(tape.of(&[0, HOUR, DAY]));
        policy.orphan_retention = Span::seconds(tape.of(&[7 * DAY, 0, HOUR]));
        policy.brake_percent = tape.of(&[100, 100, 10, 0]);
        policy.brake_min = u32::try_from(tape.pick(3)).unwrap_or(0);
        policy.recreate_vanished = tape.rarely(3);
        policy.require_agent = tape.rarely(6);
        policy.start_gate = !tape.rarely(5);
        policy.protect = if tape.rarely(6) {
            vec!["web/*".to_owned()]
        } else {
            Vec::new()
        };
        let text = format!(
            "policy: {:?} grace {} retention {} {}",
            policy.orphans, policy.grace, policy.retention, policy.orphan_retention
        );
        self.set_policy();
        self.counts.event("policy");
        self.note(text);
    }

    /// `state_dir` is lost, or one of its files is damaged for a while.
    fn lose_state(&mut self) {
        let which = self.tape.pick(3);
        self.counts.event("lost state");
        self.note(format!("state lost: {which}"));
        let kept = self.keep_state();
        match which {
            0 => {
                let path = self.state.join("memory.json");
                if path.symlink_metadata().is_ok() {
                    std::fs::write(&path, b"{").unwrap();
                    let met = self.model.world().oracle.met();
                    self.sweep(&Words::default());
                    // What it saw it could not write down.
                    self.model.world().oracle.met_again(met);
                    self.bring_back(&kept);
                }
            }
            1 => {
                let _missing = std::fs::remove_file(self.state.join("memory.json"));
                self.model.world().oracle.forget_met();
            }
            _ => {
                clear_state(&self.state);
                self.model.world().oracle.forget_met();
            }
        }
    }

    /// The world calms, and stays so: what is owed goes to zero, and nothing that is held is touched.
    fn end(&mut self) {
        self.note("calm".to_owned());
        self.calm = true;
        {
            let mut world = self.model.world();
            world.fate = super::world::Fate {
                calls: world.fate.calls,
                ..super::world::Fate::default()
            };
            acts::calm(&mut world);
        }
        self.policy = Policy {
            orphans: OrphanPolicy::Wipe,
            grace: Span::seconds(HOUR),
            retention: Span::ZERO,
            orphan_retention: Span::ZERO,
            brake_percent: 100,
            start_gate: true,
            ..first_met().policy
        };
        self.set_policy();
        self.sweep(&Words::default());
        self.started();
        let fresh = key("calm/x");
        self.act(&Act::Create(1, fresh.clone(), usize::MAX, true));
        self.act(&Act::Destroy(fresh, usize::MAX, true));
        self.sweep(&Words {
            accept_empty: true,
            ..Words::default()
        });
        self.say_all();
        for round in 0..4 {
            self.act(&Act::Time(3 * DAY));
            // A MOUNT is emptied while no agent runs.
            if round % 2 == 0 {
                self.act(&Act::AgentStop);
            }
            self.sweep(&Words::default());
            if round == 2 {
                self.wipe_reported();
            }
            self.started();
            if round == 1 {
                for entry in self.entries() {
                    self.sweep(&Words {
                        purge: vec![TrashId(entry)],
                        ..Words::default()
                    });
                }
            }
        }
        if !self.findings().is_empty() {
            return;
        }
        if let Some(Ok(last)) = self.pass(&Words::default()) {
            self.note(said(&Words::default(), &last));
            self.model.world().judge_end(&last.last);
        }
    }

    /// What went from a MOUNT without a witness goes by the operator's word alone.
    fn wipe_reported(&mut self) {
        let Some(last) = self.last.take() else { return };
        for kept in &last.last.kept {
            let reported = |reason: &Reason| reason.code == Refusal::ReportOnly;
            if kept.reasons.iter().any(reported)
                && let Some(volume) = &kept.volume
            {
                self.sweep(&Words {
                    wipe: Some(volume.clone()),
                    ..Words::default()
                });
                self.sweep(&Words::default());
            }
        }
    }

    /// The operator says of every root and mark what has to be said.
    fn say_all(&mut self) {
        self.sweep(&Words::default());
        let Some(last) = self.last.take() else { return };
        for root in &last.facts.roots {
            let stands = last.last.kept.iter().all(|kept| {
                let doubtful = |reason: &Reason| {
                    matches!(
                        reason.code,
                        Refusal::RootUnverified
                            | Refusal::FingerprintMismatch
                            | Refusal::FilesystemShrunk
                    )
                };
                kept.disk != root.disk || !kept.reasons.iter().any(doubtful)
            });
            if !stands {
                self.sweep(&Words {
                    accept_root: Some(root.disk.root.clone()),
                    ..Words::default()
                });
            }
            for mark in root.adopted.known().into_iter().flatten() {
                self.sweep(&Words {
                    adopt: Some(AdoptWord {
                        volume: mark.volume.clone(),
                        root: None,
                        undo: true,
                    }),
                    ..Words::default()
                });
            }
        }
    }

    fn started(&mut self) {
        // One failed start after a crash between two renames is Mesos's own (F§3.4).
        for _ in 0..3 {
            if self.act(&Act::AgentStart) {
                return;
            }
        }
        let gate = self.state.join(GateFile::NAME).symlink_metadata().is_ok();
        self.model.world().oracle.find(format!(
            "no agent starts although all is calm (gate: {gate})"
        ));
    }
}

fn said(words: &Words, pass: &Pass) -> String {
    let steps: Vec<String> = pass
        .outcomes
        .iter()
        .map(|step| {
            let became = match &step.outcome {
                Outcome::Done(_) => "done".to_owned(),
                other => format!("{other:?}"),
            };
            format!("{} {}: {became}", step.step, step.subject)
        })
        .collect();
    let kept: Vec<String> = pass
        .last
        .kept
        .iter()
        .map(|kept| format!("{}: {}", kept.path, codes(kept)))
        .collect();
    let words = if *words == Words::default() {
        String::new()
    } else {
        serde_json::to_string(words).unwrap_or_default()
    };
    format!(
        "sweep {words} did [{}], keeps [{}]",
        steps.join("; "),
        kept.join("; ")
    )
}

fn name_of(act: &Act) -> &'static str {
    match act {
        Act::Time(_) => "time",
        Act::Create(..) => "create",
        Act::Destroy(..) => "destroy",
        Act::DestroyLeaving(..) => "destroy that leaves data",
        Act::Grow(..) => "grow",
        Act::TaskStart(_) => "task start",
        Act::TaskStop | Act::TaskForgotten | Act::TaskEscapes => "task stop",
        Act::Open(_) | Act::Close => "open files",
        Act::Write(_) => "write",
        Act::AgentStop => "agent stop",
        Act::AgentStart | Act::AgentRecovers => "agent start",
        Act::Version(_) => "version",
        Act::Cut(_) => "power cut",
        Act::Damage(..) => "damaged checkpoint",
        Act::Unmount(_) => "unmount",
        Act::Remount(..) => "mount",
        Act::Backup(_) => "backup",
        Act::ReadOnly(_) | Act::Full(_) | Act::Failing(_) => "sick disk",
        Act::Immutable(_) | Act::Nested(_) => "tenant's trick",
        Act::ByHand(..) | Act::Link(..) | Act::Stray(..) => "made by hand",
        Act::Foreign(..) => "foreign entry",
        Act::Blind => "unreadable entry",
        Act::WallClock(_) => "clock jump",
        Act::Locked(_) => "locked",
        Act::Odd(_) => "can't be seen for a while",
    }
}

/// A shorter tape that finds something of the same kind.
pub(crate) fn shrink(numbers: &[u16], folder: &Path) -> Vec<u16> {
    let kind = |numbers: &[u16]| {
        run(numbers, folder).err().and_then(|found| {
            let first = found.findings.first()?;
            // What it says, without numbers and names.
            Some(
                first
                    .split_whitespace()
                    .filter(|word| word.chars().all(char::is_alphabetic))
                    .take(12)
                    .collect::<String>(),
            )
        })
    };
    let wanted = kind(numbers);
    let mut best = numbers.to_vec();
    if wanted.is_none() {
        return best;
    }
    let mut size = best.len() / 2;
    let mut tries = 0;
    while size > 0 && tries < 3000 {
        let mut at = 0;
        while at < best.len() && tries < 3000 {
            let mut shorter = best.clone();
            shorter.drain(at..(at + size).min(best.len()));
            tries += 1;
            if kind(&shorter) == wanted {
                best = shorter;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    for at in 0..best.len() {
        for smaller in [0, 1, best[at] / 2] {
            let mut simpler = best.clone();
            simpler[at] = smaller;
            if smaller < best[at] && kind(&simpler) == wanted {
                best = simpler;
                break;
            }
        }
    }
    best
}

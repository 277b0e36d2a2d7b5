//! Over any sequence of mounts filling, growing, shrinking, vanishing, swapping and coming back,
//! with volumes, restarts and reboots between, an agent recovers with the resources that are
//! written, or it was said beforehand that it does not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use mesos_volumed::decide::adopt::adopt;
use mesos_volumed::decide::advertise::{Advertisement, advertise, recorded};
use mesos_volumed::decide::baseline::Baselines;
use mesos_volumed::decide::discover::{Input, discover, emptied, questions, questions_of_agent};
use mesos_volumed::decide::facts::{
    CheckpointFile, DirectoryAnswer, DiscoveryRules, DiskRule, DiskRules, HostDisks, Known,
    LatestAgent, MountTable, PathAnswer, ReconfigurationPolicy, ResourceState, RootRule, Settled,
    SizeRule, StartFacts,
};
use mesos_volumed::decide::held::Held;
use mesos_volumed::decide::ledger::Ledger;
use mesos_volumed::decide::preflight::{Verdict, preflight};
use mesos_volumed::mesos::disk::{DiskRef, DiskSource, DiskType, SourceType};
use mesos_volumed::mesos::ids::{PersistenceId, Role};
use mesos_volumed::mesos::resource::{Persistence, Reservation, ReservationType, Resource, Value};
use mesos_volumed::mesos::resources_json::{DiskEntry, Foreign, generate, parse_resources};
use mesos_volumed::observe::mountinfo;
use mesos_volumed::units::{Bytes, MIB, Megabytes, Raw, Span};
use proptest::prelude::*;

use super::host::{WORK_DIR, directory, start, without_agent, without_volumes};

/// Where the four disks belong.
const SLOTS: [(DiskType, &str); 4] = [
    (DiskType::Path, "/p0"),
    (DiskType::Path, "/p1"),
    (DiskType::Mount, "/m0"),
    (DiskType::Mount, "/m1"),
];

#[derive(Clone, Debug)]
enum Step {
    Unmount(usize),
    MountHome(usize),
    Swap(usize, usize),
    Resize(usize, u64),
    Fill(u64),
    Create(usize, u64),
    Destroy(usize),
    Restart,
    Reboot,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let slot = 0..SLOTS.len();
    let step = prop_oneof![
        1 => slot.clone().prop_map(Step::Unmount),
        3 => slot.clone().prop_map(Step::MountHome),
        1 => (slot.clone(), slot.clone()).prop_map(|(a, b)| Step::Swap(a, b)),
        2 => (0..=SLOTS.len(), 100..900u64).prop_map(|(disk, mib)| Step::Resize(disk, mib)),
        1 => (0..90u64).prop_map(Step::Fill),
        2 => (0..=SLOTS.len(), 1..400u64).prop_map(|(disk, mib)| Step::Create(disk, mib)),
        1 => (0..8usize).prop_map(Step::Destroy),
        4 => Just(Step::Restart),
        1 => Just(Step::Reboot),
    ];
    prop::collection::vec(step, 1..24)
}

/// A host with its agent.
#[derive(Debug)]
struct World {
    policy: ReconfigurationPolicy,
    rules: DiskRules,
    /// The file system that is mounted at each slot.
    mounted: [Option<usize>; 4],
    /// Sizes in MiB; the last is that of the work_dir.
    sizes: [u64; 5],
    free: u64,
    ledger: Ledger,
    /// The file that the agent reads.
    text: String,
    /// What it runs with; `None`: it is down.
    running: Option<Vec<Resource>>,
    facts: StartFacts,
    held: Vec<Resource>,
    rebooted: bool,
    volumes: u32,
}

impl World {
    /// All disks are mounted. An agent may have run here before, with these numbers.
    fn new(policy: ReconfigurationPolicy, before: Option<[u64; 5]>) -> Self {
        let rule = |kind, path: &str, size| DiskRule {
            kind,
            paths: vec![path.to_owned()],
            labels: Vec::new(),
            models: Vec::new(),
            devices: Vec::new(),
            size,
            role: Role::new("*"),
        };
        let reserve = SizeRule::Reserve(Bytes(10 * MIB));
        let mut world = Self {
            policy,
            rules: DiskRules {
                work_dir: WORK_DIR.into(),
                root: RootRule {
                    advertise: true,
                    size: reserve,
                    role: Role::new("*"),
                },
                disks: vec![
                    rule(DiskType::Path, "/p0", reserve),
                    rule(DiskType::Path, "/p1", SizeRule::Size(Bytes(60 * MIB))),
                    rule(DiskType::Mount, "/m*", reserve),
                ],
                discovery: DiscoveryRules {
                    settle: Span::ZERO,
                    min_size: Bytes(MIB),
                    filesystems: Vec::new(),
                    exclude: Vec::new(),
                },
            },
            mounted: [Some(0), Some(1), Some(2), Some(3)],
            sizes: [300, 200, 250, 150, 800],
            free: 50,
            ledger: Ledger::default(),
            text: String::new(),
            running: None,
            facts: without_agent(),
            held: Vec::new(),
            rebooted: false,
            volumes: 0,
        };
        if let Some(numbers) = before {
            world.text = written(&numbers);
            world.restart();
        }
        world
    }

    fn host(&self, agent: &Baselines) -> HostDisks {
        let mut text = "1 0 8:9 / / rw - ext4 /dev/sda rw\n".to_owned();
        for (slot, fs) in self.mounted.iter().enumerate() {
            if let Some(fs) = fs {
                let point = SLOTS[slot].1;
                writeln!(
                    text,
                    "{} 1 8:{fs} / {point} rw - ext4 /dev/sd{fs} rw",
                    slot + 2
                )
                .unwrap();
            }
        }
        let mounts = MountTable::new(mountinfo::parse(text.as_bytes()).unwrap());
        let mut paths = questions(&self.rules, &mounts, &[]);
        paths.extend(questions_of_agent(&self.ledger, agent));
        let answers = paths
            .into_iter()
            .map(|path| {
                let answer = self.answer(&path, &mounts);
                (path, answer)
            })
            .collect();
        HostDisks {
            mounts,
            devices: Known::Known(Vec::new()),
            swaps: Known::Known(Vec::new()),
            fstab: Known::Known(Vec::new()),
            answers,
            settled: Settled::Taken,
        }
    }

    fn answer(&self, path: &Raw, mounts: &MountTable) -> PathAnswer {
        let slot = SLOTS
            .iter()
            .position(|(_, root)| path.below(&(*root).into()).is_some());
        let is_root = slot.is_some_and(|slot| *path == SLOTS[slot].1.into());
        let is_work_dir = *path == WORK_DIR.into();
        // A volume lies on the disk that belongs there.
        let is_volume = slot.is_some_and(|slot| self.mounted[slot] == Some(slot));
        if !(is_root || is_work_dir || is_volume) {
            return PathAnswer::Missing;
        }
        let mount = mounts.mount_of(path).unwrap();
        let fs = slot.and_then(|slot| self.mounted[slot]).unwrap_or(4);
        let total = self.sizes[fs] * MIB;
        PathAnswer::Directory(DirectoryAnswer {
            resolved: path.clone(),
            mount: mount.id,
            total_bytes: total,
            free_bytes: total / 100 * self.free,
            read_only: false,
            uuid: Known::Known(format!("uuid-{fs}")),
            failure: None,
        })
    }

    fn start_facts(&self) -> StartFacts {
        let mut facts = self.facts.clone();
        facts.checkpoint.state = if self.held.is_empty() {
            CheckpointFile::Missing
        } else {
            CheckpointFile::Whole(ResourceState {
                resources: self.held.clone(),
                operations: Vec::new(),
            })
        };
        facts.roots = BTreeMap::from([(Raw::from(WORK_DIR), directory(WORK_DIR, 9, false))]);
        for (slot, (_, root)) in SLOTS.iter().enumerate() {
            let look = match self.mounted[slot] {
                Some(fs) => directory(root, u32::try_from(fs).unwrap(), true),
                None => directory(root, 9, false),
            };
            facts.roots.insert((*root).into(), look);
        }
        facts
    }

    /// What the program would write now, with what it says of it.
    fn propose(&self) -> (Ledger, Result<Advertisement, String>) {
        let facts = self.start_facts();
        let mut agent = Baselines::new(&facts, self.policy, Known::Known(self.rebooted));
        let adoption = adopt(&self.ledger, &agent, &[], 0);
        let host = self.host(&agent);
        agent.emptied = emptied(&adoption.ledger, &agent, &host.answers);
        let held = Held::new(&facts.checkpoint, &Known::Absent, &WORK_DIR.into());
        let discovery = discover(Input {
            rules: &self.rules,
            host: &host,
            ledger: &adoption.ledger,
            held: &held.known(),
            agent: &agent,
        });
        let advertisement = advertise(&discovery, &self.rules).map_err(|error| error.to_string());
        let ledger = match &advertisement {
            Ok(advertisement) => recorded(&self.ledger, advertisement, 0),
            Err(_) => self.ledger.clone(),
        };
        (ledger, advertisement)
    }

    fn verdict(&self) -> Verdict {
        let mut input = start(self.start_facts(), self.policy, &self.text);
        input.rebooted = Known::Known(self.rebooted);
        preflight(&input).verdict
    }

    /// The agent starts with the file as it is.
    fn restart(&mut self) {
        let verdict = self.verdict();
        let resources = parse_resources(&self.text, &Role::new("*")).unwrap();
        let is_new = match verdict {
            Verdict::Refuses { .. } => {
                self.running = None;
                return;
            }
            Verdict::Recovers { first_start } => first_start,
            Verdict::NewAgentId { .. } => true,
            Verdict::CannotTell { why } => panic!("{why:?}"),
        };
        if is_new {
            let registered = without_volumes();
            let mut info = registered.info.whole().unwrap().clone();
            info.resources = resources.iter().collect();
            self.facts = StartFacts {
                info: CheckpointFile::Whole(info),
                latest: LatestAgent::Id("a".into()),
                ..registered
            };
        }
        self.running = Some(resources);
        self.rebooted = false;
    }

    /// A volume on a disk that the running agent has, as large as its disk allows.
    fn create(&mut self, slot: usize, mib: u64) {
        let disk = match SLOTS.get(slot) {
            Some((kind, root)) => DiskRef {
                kind: *kind,
                root: (*root).into(),
            },
            None => DiskRef {
                kind: DiskType::Root,
                root: WORK_DIR.into(),
            },
        };
        let on = |resource: &&Resource| resource.disk(&WORK_DIR.into()).as_ref() == Some(&disk);
        let sum = |list: &[Resource]| -> i64 {
            let of_disk = list.iter().filter(on);
            of_disk
                .map(|one| one.megabytes().unwrap().thousandths())
                .sum()
        };
        let Some(running) = &self.running else { return };
        let left = sum(running) - sum(&self.held);
        let wanted = match disk.kind {
            DiskType::Mount => sum(running),
            DiskType::Root | DiskType::Path => i64::try_from(mib).unwrap() * 1000,
        };
        if wanted == 0 || wanted > left {
            return;
        }
        self.volumes += 1;
        self.held.push(Resource {
            name: "disk".into(),
            value: Value::Scalar(Megabytes::from_thousandths(wanted)),
            reservations: vec![Reservation {
                kind: ReservationType::Dynamic,
                role: Role::new("r"),
                principal: None,
                labels: Vec::new(),
            }],
            source: (disk.kind != DiskType::Root).then(|| DiskSource {
                kind: match disk.kind {
                    DiskType::Mount => SourceType::Mount,
                    DiskType::Root | DiskType::Path => SourceType::Path,
                },
                root: Some(disk.root.clone()),
                id: None,
                vendor: None,
                profile: None,
                metadata: Vec::new(),
            }),
            persistence: Some(Persistence {
                id: PersistenceId::new(format!("v{}", self.volumes)),
                principal: None,
                container_path: Some("data".into()),
            }),
            shared: false,
            provider_id: None,
        });
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Unmount(slot) => self.mounted[slot] = None,
            Step::MountHome(slot) => {
                for other in &mut self.mounted {
                    if *other == Some(slot) {
                        *other = None;
                    }
                }
                self.mounted[slot] = Some(slot);
            }
            Step::Swap(a, b) => self.mounted.swap(a, b),
            Step::Resize(disk, mib) => self.sizes[disk] = mib,
            Step::Fill(free) => self.free = free,
            Step::Create(slot, mib) => self.create(slot, mib),
            Step::Destroy(index) => {
                if self.running.is_some() && index < self.held.len() {
                    self.held.remove(index);
                }
            }
            Step::Restart => self.restart(),
            Step::Reboot => {
                self.running = None;
                self.rebooted = true;
            }
        }
    }

    fn is_home(&self) -> bool {
        let mut slots = self.mounted.iter().enumerate();
        slots.all(|(slot, fs)| *fs == Some(slot))
    }

    /// Writes what is proposed, and holds it against the preflight.
    fn write_and_judge(&mut self) -> Result<(), TestCaseError> {
        let (ledger, advertisement) = self.propose();
        let advertisement = match advertisement {
            Ok(advertisement) => advertisement,
            // The old file stays, and the exit code says so.
            Err(error) => {
                prop_assert!(!self.is_home(), "{error}");
                return Ok(());
            }
        };
        self.ledger = ledger;
        let entries: Vec<DiskEntry> = advertisement
            .disks
            .iter()
            .map(|entry| DiskEntry {
                disk: entry.disk.clone(),
                size: entry.number,
                role: entry.role.clone(),
                extras: entry.extras.clone(),
                known: entry.known,
            })
            .collect();
        let foreign = Foreign::parse("cpus:2;mem:64;ports:[1-9]").unwrap();
        self.text = generate(&entries, &foreign).unwrap().json();
        let announced = !advertisement.degraded.is_empty();
        if self.is_home() {
            prop_assert!(!announced, "{:?}", advertisement.warnings());
        }
        let verdict = self.verdict();
        prop_assert!(
            announced || matches!(verdict, Verdict::Recovers { .. }),
            "{verdict:?} with {}",
            self.text
        );
        // What lies in another's place, or on the disk below, is never offered.
        let written: BTreeSet<&str> = advertisement
            .disks
            .iter()
            .filter(|entry| entry.disk.kind == DiskType::Path)
            .filter_map(|entry| entry.disk.root.as_str())
            .collect();
        for (slot, (kind, root)) in SLOTS.iter().enumerate() {
            let is_home = self.mounted[slot] == Some(slot);
            prop_assert!(
                *kind != DiskType::Path || is_home || !written.contains(root),
                "{root} in {}",
                self.text
            );
        }
        Ok(())
    }
}

/// The text that an operator gave an agent.
fn written(numbers: &[u64; 5]) -> String {
    let mut entries = vec![
        r#"{"name":"cpus","type":"SCALAR","scalar":{"value":2}}"#.to_owned(),
        r#"{"name":"mem","type":"SCALAR","scalar":{"value":64}}"#.to_owned(),
        r#"{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":1,"end":9}]}}"#.to_owned(),
    ];
    for (slot, number) in numbers.iter().enumerate() {
        let source = SLOTS.get(slot).map_or_else(String::new, |(kind, root)| {
            let member = kind.to_string().to_lowercase();
            format!(r#","disk":{{"source":{{"type":"{kind}","{member}":{{"root":"{root}"}}}}}}"#)
        });
        entries.push(format!(
            r#"{{"name":"disk","type":"SCALAR","scalar":{{"value":{number}}}{source}}}"#
        ));
    }
    format!("[{}]", entries.join(","))
}

fn policies() -> impl Strategy<Value = ReconfigurationPolicy> {
    prop_oneof![
        Just(ReconfigurationPolicy::Equal),
        Just(ReconfigurationPolicy::Additive)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn an_agent_recovers_with_what_is_written_or_it_is_said(
        policy in policies(),
        before in prop::option::of([20..140u64, 20..140, 20..140, 20..140, 20..700]),
        steps in steps(),
    ) {
        let mut world = World::new(policy, before);
        world.write_and_judge()?;
        if let (Some(numbers), ReconfigurationPolicy::Equal) = (before, policy) {
            // The first run changes nothing that works.
            let disks = |text: &str| {
                let mut disks: Vec<_> = parse_resources(text, &Role::new("*"))
                    .unwrap()
                    .into_iter()
                    .filter(|one| one.name == "disk".into())
                    .collect();
                disks.sort();
                disks
            };
            prop_assert_eq!(disks(&world.text), disks(&written(&numbers)));
        }
        for step in steps {
            world.take(&step);
            world.write_and_judge()?;
        }
    }
}

//! A first run on a host that has an agent already: what is written are the agent's own numbers, in
//! its own words, and it recovers with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use mesos_volumed::decide::adopt::{AdoptedFrom, Adoption, Told, adopt};
use mesos_volumed::decide::advertise::{Advertisement, advertise};
use mesos_volumed::decide::baseline::{AgentDisk, Baselines, disks_of, plain};
use mesos_volumed::decide::discover::{
    Code, Discovery, Input, discover, emptied, questions, questions_of_agent,
};
use mesos_volumed::decide::facts::{
    BlockDevice, CheckpointFile, Content, DeviceNumber, DirectoryAnswer, DiscoveryRules, DiskRule,
    DiskRules, HostDisks, Known, LatestAgent, MountTable, PathAnswer, ReconfigurationPolicy,
    ResourceState, RootRule, Settled, SizeRule, StartFacts,
};
use mesos_volumed::decide::held::Held;
use mesos_volumed::decide::ledger::Ledger;
use mesos_volumed::decide::preflight::{Verdict, preflight};
use mesos_volumed::mesos::disk::{DiskRef, DiskType};
use mesos_volumed::mesos::ids::{PersistenceId, Role};
use mesos_volumed::mesos::resource::{Persistence, Reservation, ReservationType, Resource};
use mesos_volumed::mesos::resources_json::{
    DiskEntry, Foreign, Written, merge, parse_resources, read_resources,
};
use mesos_volumed::observe::{mountinfo, told};
use mesos_volumed::units::{Bytes, MIB, Megabytes, Raw, Span};

use super::host::{
    BASE, MOUNT, MOUNT1, PATH, WORK_DIR, directory, facts, recordings, start, without_agent,
    without_volumes,
};

/// All that the first run sees.
struct FirstRun {
    facts: StartFacts,
    policy: ReconfigurationPolicy,
    default_role: Role,
    told: Vec<Told>,
    rules: DiskRules,
    /// Mount points of disks; everything else lies on the system's own.
    mounted: Vec<&'static str>,
    /// Paths that are not there.
    gone: BTreeSet<Raw>,
}

/// What it came to.
struct Outcome {
    adoption: Adoption,
    discovery: Discovery,
    advertisement: Advertisement,
    text: String,
    verdict: Verdict,
}

fn rule(kind: DiskType, path: &str) -> DiskRule {
    DiskRule {
        kind,
        paths: vec![path.to_owned()],
        labels: Vec::new(),
        models: Vec::new(),
        devices: Vec::new(),
        size: SizeRule::Reserve(Bytes(MIB)),
        role: Role::new("*"),
    }
}

fn disk(kind: DiskType, root: &str) -> DiskRef {
    DiskRef {
        kind,
        root: root.into(),
    }
}

/// Resources with their disks replaced by these entries.
fn with_disks(entries: &[&str]) -> String {
    let mut all = vec![
        r#"{"name":"cpus","type":"SCALAR","scalar":{"value":2}}"#,
        r#"{"name":"mem","type":"SCALAR","scalar":{"value":2048}}"#,
        r#"{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":31000,"end":31100}]}}"#,
    ];
    all.extend(entries);
    format!("[{}]", all.join(","))
}

/// An agent that registered with this text and holds nothing.
fn registered_with(text: &str, default_role: &Role) -> StartFacts {
    let mut facts = without_volumes();
    if let CheckpointFile::Whole(info) = &mut facts.info {
        info.resources = read_resources(text, default_role).unwrap().resources;
    }
    facts.checkpoint = without_agent().checkpoint;
    facts
}

/// A volume on the disk of this entry of a text.
fn volume(text: &str, root: &str, megabytes: &str) -> Resource {
    let mut resource = parse_resources(text, &Role::new("*"))
        .unwrap()
        .into_iter()
        .find(|one| {
            one.disk(&WORK_DIR.into())
                .is_some_and(|disk| disk.root == root.into())
        })
        .unwrap();
    let number = format!("disk:{megabytes}");
    let number = parse_resources(&number, &Role::new("*")).unwrap();
    resource.value = number[0].value.clone();
    resource.reservations.push(Reservation {
        kind: ReservationType::Dynamic,
        role: Role::new("r"),
        principal: None,
        labels: Vec::new(),
    });
    resource.persistence = Some(Persistence {
        id: PersistenceId::new(format!("in{}", root.replace('/', "-"))),
        principal: None,
        container_path: Some("data".into()),
    });
    resource
}

fn hold(facts: &mut StartFacts, resources: Vec<Resource>) {
    facts.checkpoint.state = CheckpointFile::Whole(ResourceState {
        resources,
        operations: Vec::new(),
    });
    for volume in mesos_volumed::decide::preflight::volumes(facts) {
        facts
            .volumes
            .insert(volume.path, super::host::whole_volume());
    }
}

fn system_disk() -> BlockDevice {
    BlockDevice {
        name: "sda1".into(),
        number: DeviceNumber { major: 8, minor: 9 },
        parent: None,
        mapper_name: None,
        size_bytes: Known::Known(500 << 30),
        read_only: Known::Known(false),
        removable: Known::Known(false),
        rotational: Known::Known(false),
        is_virtual: false,
        backing_file: None,
        holders: Vec::new(),
        slaves: Vec::new(),
        partitions: Vec::new(),
        model: None,
        serial: None,
        wwn: None,
        content: Known::Known(Content::Filesystem {
            fs_type: "ext4".to_owned(),
            uuid: Some("system".to_owned()),
            label: None,
        }),
    }
}

impl FirstRun {
    /// The recorded disks, each with a rule, and an agent under `equal`.
    fn new(facts: StartFacts) -> Self {
        Self {
            facts,
            policy: ReconfigurationPolicy::Equal,
            default_role: Role::new("*"),
            told: Vec::new(),
            rules: DiskRules {
                work_dir: WORK_DIR.into(),
                root: RootRule {
                    advertise: true,
                    size: SizeRule::Reserve(Bytes(MIB)),
                    role: Role::new("*"),
                },
                disks: vec![
                    rule(DiskType::Path, PATH),
                    rule(DiskType::Mount, MOUNT),
                    rule(DiskType::Mount, MOUNT1),
                ],
                discovery: DiscoveryRules {
                    settle: Span::ZERO,
                    min_size: Bytes(MIB),
                    filesystems: Vec::new(),
                    exclude: Vec::new(),
                },
            },
            mounted: vec![PATH, MOUNT, MOUNT1],
            gone: BTreeSet::new(),
        }
    }

    fn tell(mut self, from: AdoptedFrom, running: bool, text: &str) -> Self {
        let resources = parse_resources(text, &self.default_role).unwrap();
        self.told.push(Told {
            from,
            running,
            disks: Known::Known(disks_of(&resources, &WORK_DIR.into()).0),
        });
        self
    }

    fn host(&self) -> HostDisks {
        let mut text = "1 0 8:9 / / rw - ext4 /dev/sda1 rw\n".to_owned();
        for (index, point) in self.mounted.iter().enumerate() {
            let id = index + 2;
            let number = 16 * id;
            writeln!(text, "{id} 1 8:{number} / {point} rw - ext4 /dev/sd{id} rw").unwrap();
        }
        HostDisks {
            mounts: MountTable::new(mountinfo::parse(text.as_bytes()).unwrap()),
            devices: Known::Known(vec![system_disk()]),
            swaps: Known::Known(Vec::new()),
            fstab: Known::Known(Vec::new()),
            answers: BTreeMap::new(),
            settled: Settled::Taken,
        }
    }

    fn answer(&self, path: &Raw, mounts: &MountTable) -> PathAnswer {
        if self.gone.contains(path) {
            return PathAnswer::Missing;
        }
        let mount = mounts.mount_of(path).unwrap();
        let total = if mount.mount_point == "/".into() {
            300 << 30
        } else {
            16 << 30
        };
        PathAnswer::Directory(DirectoryAnswer {
            resolved: path.clone(),
            mount: mount.id,
            total_bytes: total,
            free_bytes: total / 2,
            read_only: false,
            uuid: Known::Known(format!("uuid-{}", mount.id)),
            failure: None,
        })
    }

    fn run(mut self) -> Outcome {
        let mut agent = Baselines::new(&self.facts, self.policy, Known::Known(false));
        for told in self.told.iter().filter(|told| told.running) {
            agent
                .running
                .extend(told.disks.known().into_iter().flatten().cloned());
        }
        let adoption = adopt(&Ledger::default(), &agent, &self.told, 0);
        let mut host = self.host();
        let mut paths = questions(&self.rules, &host.mounts, &[]);
        paths.extend(questions_of_agent(&adoption.ledger, &agent));
        for path in paths {
            let answer = self.answer(&path, &host.mounts);
            host.answers.insert(path, answer);
        }
        agent.emptied = emptied(&adoption.ledger, &agent, &host.answers);
        let held = Held::new(&self.facts.checkpoint, &Known::Absent, &WORK_DIR.into());
        let discovery = discover(Input {
            rules: &self.rules,
            host: &host,
            ledger: &adoption.ledger,
            held: &held.known(),
            agent: &agent,
        });
        let advertisement = advertise(&discovery, &self.rules).unwrap();
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
        let role = &self.default_role;
        let extra = format!("cpus({role}):2;mem({role}):2048;ports({role}):[31000-31100]");
        let extra = Foreign::parse(&extra).unwrap();
        let merged = merge(
            &entries,
            &extra,
            &[&Written::default()],
            &|_, _| false,
            &self.default_role,
        );
        let text = merged.unwrap().text.json();
        for part in &adoption.ledger.roots {
            let root = &part.disk.root;
            if !self.facts.roots.contains_key(root) {
                let path = plain(root);
                let is_mounted = self.mounted.iter().any(|point| path == (*point).into());
                let mut look = directory(path.as_str().unwrap(), 3, is_mounted);
                look.real = Known::Known(path);
                self.facts.roots.insert(root.clone(), look);
            }
        }
        let mut input = start(self.facts, self.policy, &text);
        input.flags.default_role = Known::Known(self.default_role);
        let verdict = preflight(&input).verdict;
        Outcome {
            adoption,
            discovery,
            advertisement,
            text,
            verdict,
        }
    }
}

/// Disks with what is compared of them.
type Plain = (
    DiskRef,
    Role,
    Megabytes,
    mesos_volumed::mesos::disk::SourceExtras,
);

fn comparable(disks: Vec<AgentDisk>) -> Vec<Plain> {
    let plain = |one: AgentDisk| (one.disk, one.role, one.number, one.extras);
    let mut disks: Vec<Plain> = disks.into_iter().map(plain).collect();
    disks.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    disks
}

/// What an agent reads from a text.
fn read(text: &str, default_role: &Role) -> Vec<Plain> {
    let resources = parse_resources(text, default_role).unwrap();
    comparable(disks_of(&resources, &WORK_DIR.into()).0)
}

const RECOVERS: Verdict = Verdict::Recovers { first_start: false };

/// Every recorded `meta` folder.
fn recorded() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for group in ["stages", "restart", "destroy", "extra"] {
        for entry in fs::read_dir(recordings().join(group)).unwrap() {
            let meta = entry.unwrap().path().join("meta");
            if fs::read_dir(&meta).is_ok() {
                found.push(meta);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_recorded_agent_recovers_with_what_a_first_run_adopts_from_it() {
    let mut hosts = 0;
    for meta in recorded() {
        let name = meta.display().to_string();
        let facts = facts(&meta);
        let Some(info) = facts.info.whole() else {
            continue;
        };
        hosts += 1;
        let registered = comparable(disks_of(&info.disks(), &WORK_DIR.into()).0);
        let outcome = FirstRun::new(facts.clone()).run();
        assert_eq!(outcome.adoption.blocked, None, "{name}");
        assert_eq!(outcome.verdict, RECOVERS, "{name}: {}", outcome.text);
        let written = read(&outcome.text, &Role::new("*"));
        assert_eq!(written, registered, "{name}");
        assert!(outcome.advertisement.degraded.is_empty(), "{name}");

        // Where it may grow the agent still starts, and a held MOUNT is as it was.
        let mut run = FirstRun::new(facts.clone());
        run.policy = ReconfigurationPolicy::Additive;
        let outcome = run.run();
        assert_eq!(outcome.verdict, RECOVERS, "{name}: {}", outcome.text);
        let written = read(&outcome.text, &Role::new("*"));
        let held = Held::new(&facts.checkpoint, &Known::Absent, &WORK_DIR.into()).known();
        for one in &registered {
            let now = written
                .iter()
                .find(|now| (&now.0, &now.1) == (&one.0, &one.1))
                .unwrap();
            let is_held = held.known().is_some_and(|held| held.contains(&one.0));
            if one.0.kind == DiskType::Mount && is_held {
                assert_eq!(now.2, one.2, "{name}");
            }
            assert!(now.2 >= one.2, "{name}: {now:?}");
        }
    }
    assert!(hosts >= 50, "only {hosts} recorded agents");
}

fn mount_entry(number: &str) -> String {
    format!(
        r#"{{"name":"disk","type":"SCALAR","scalar":{{"value":{number}}},"disk":{{"source":{{"type":"MOUNT","mount":{{"root":"{MOUNT}"}}}}}}}}"#
    )
}

const ROOT: &str = r#"{"name":"disk","type":"SCALAR","scalar":{"value":4096}}"#;

#[test]
fn a_held_mount_keeps_its_three_decimals_whatever_the_policy() {
    for number in ["10140.123", "20.5", "0.001", "239.999", "4194303.999"] {
        for policy in [
            ReconfigurationPolicy::Equal,
            ReconfigurationPolicy::Additive,
        ] {
            let text = with_disks(&[ROOT, &mount_entry(number)]);
            let mut facts = registered_with(&text, &Role::new("*"));
            hold(&mut facts, vec![volume(&text, MOUNT, number)]);
            let mut run = FirstRun::new(facts);
            run.rules.disks.truncate(2);
            run.rules.disks.remove(0);
            run.policy = policy;
            let outcome = run.run();
            assert_eq!(outcome.verdict, RECOVERS, "{}", outcome.text);
            let entry = format!(r#""scalar":{{"value":{number}}},"disk""#);
            assert!(outcome.text.contains(&entry), "{number}: {}", outcome.text);
        }
    }
}

#[test]
fn a_root_that_is_split_between_roles_stays_so() {
    let text = with_disks(&[
        r#"{"name":"disk","type":"SCALAR","scalar":{"value":4000}}"#,
        r#"{"name":"disk","type":"SCALAR","role":"eng","scalar":{"value":96}}"#,
        r#"{"name":"disk","type":"SCALAR","scalar":{"value":1000},"disk":{"source":{"type":"PATH","path":{"root":"/srv/m/mnt/path0"}}}}"#,
        r#"{"name":"disk","type":"SCALAR","role":"eng/db","scalar":{"value":1048},"disk":{"source":{"type":"PATH","path":{"root":"/srv/m/mnt/path0"}}}}"#,
        &mount_entry("240"),
    ]);
    let unreserved = Role::new("*");
    for policy in [
        ReconfigurationPolicy::Equal,
        ReconfigurationPolicy::Additive,
    ] {
        let mut run = FirstRun::new(registered_with(&text, &unreserved));
        run.policy = policy;
        run.rules.disks.truncate(2);
        let outcome = run.run();
        assert_eq!(outcome.verdict, RECOVERS, "{}", outcome.text);
        let (before, after) = (read(&text, &unreserved), read(&outcome.text, &unreserved));
        if policy == ReconfigurationPolicy::Equal {
            assert_eq!(after, before);
            continue;
        }
        // One part grows, by what the file system has left beside the others.
        let of_path = |list: &[Plain], role: &str| {
            let is_it = |one: &&Plain| one.0.root == PATH.into() && one.1 == Role::new(role);
            list.iter().find(is_it).unwrap().2
        };
        assert_eq!(of_path(&after, "eng/db"), Megabytes::whole(1048));
        assert_eq!(
            of_path(&after, "*"),
            Megabytes::whole(16 * 1024 - 1 - 1048),
            "{}",
            outcome.text
        );
    }
}

#[test]
fn odd_spellings_and_what_a_source_says_beside_its_root_stay_as_the_agent_has_them() {
    let path = r#"{"name":"disk","type":"SCALAR","scalar":{"value":2048},"disk":{"source":{"type":"PATH","path":{"root":"/srv/m//mnt/path0"},"vendor":"acme","profile":"fast","metadata":{"labels":[{"key":"rack","value":"7"},{"key":"bare"}]}}}}"#;
    let mount = mount_entry("240").replace(MOUNT, &format!("{MOUNT}/"));
    let text = with_disks(&[ROOT, path, &mount]);
    let unreserved = Role::new("*");
    let mut held = registered_with(&text, &unreserved);
    hold(
        &mut held,
        vec![
            volume(&text, &format!("{MOUNT}/"), "240"),
            volume(&text, "/srv/m//mnt/path0", "64"),
        ],
    );
    for facts in [registered_with(&text, &unreserved), held] {
        let mut run = FirstRun::new(facts);
        run.rules.disks.truncate(2);
        let outcome = run.run();
        assert_eq!(read(&outcome.text, &unreserved), read(&text, &unreserved));
        assert_eq!(outcome.verdict, RECOVERS, "{}", outcome.text);
        assert!(outcome.text.contains(r#""root":"/srv/m//mnt/path0""#));
        assert!(outcome.text.contains(r#""root":"/srv/m/mnt/vol0/""#));
    }
}

#[test]
fn the_numbers_of_a_dcos_file_and_its_cache_are_adopted_where_no_id_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let unreserved = Role::new("*");
    let mount1 = mount_entry("77.25").replace(MOUNT, MOUNT1);
    let path = r#"{"name":"disk","type":"SCALAR","scalar":{"value":1999},"disk":{"source":{"type":"PATH","path":{"root":"/srv/m/mnt//path0"}}}}"#;
    let files = [
        ("mesos-resources", with_disks(&[ROOT, &mount_entry("240")])),
        (
            "mesos-resources.cache",
            with_disks(&[ROOT, path, &mount_entry("239"), &mount1]),
        ),
    ];
    // The link to the agent's folder is gone, as Mesos advises; volumes are held.
    let all = with_disks(&[ROOT, path, &mount_entry("240"), &mount1]);
    let mut facts = without_agent();
    facts.meta = Known::Known(());
    facts.latest = LatestAgent::Missing { earlier: true };
    let held = [
        (MOUNT, "240"),
        (MOUNT1, "77.25"),
        ("/srv/m/mnt//path0", "64"),
        (WORK_DIR, "10"),
    ];
    let held = held.map(|(root, number)| volume(&all, root, number));
    hold(&mut facts, held.to_vec());
    let mut run = FirstRun::new(facts);
    for (name, text) in &files {
        let file = Raw::from(folder.path().join(name).as_path());
        let content = format!(
            "# Generated by make_disk_resources.py on 2024-05-01 10:00:00\nMESOS_RESOURCES='{text}'\n"
        );
        write(file.as_path(), &content);
        let text = told::text(&file).unwrap().unwrap();
        run = run.tell(AdoptedFrom::File(file), false, &text);
    }
    let outcome = run.run();
    let advertised = |kind, root: &str| {
        let wanted = disk(kind, root);
        let entry = outcome
            .advertisement
            .disks
            .iter()
            .find(|one| one.disk == wanted);
        entry.unwrap().clone()
    };
    assert_eq!(read(&outcome.text, &unreserved), read(&all, &unreserved));
    for (kind, root, file) in [
        (DiskType::Root, WORK_DIR, "/mesos-resources"),
        (
            DiskType::Path,
            "/srv/m/mnt//path0",
            "/mesos-resources.cache",
        ),
    ] {
        let from = advertised(kind, root).adopted.unwrap().to_string();
        assert!(from.ends_with(file), "{from}");
    }
    for mount in [MOUNT, MOUNT1] {
        let from = advertised(DiskType::Mount, mount).adopted;
        assert_eq!(from, Some(AdoptedFrom::Checkpoint), "{mount}");
    }
    // It comes up, with the new id that it has without its link.
    let verdict = &outcome.verdict;
    assert!(matches!(verdict, Verdict::NewAgentId { .. }), "{verdict:?}");
}

#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
fn write(file: &Path, content: &str) {
    fs::write(file, content).unwrap();
}

#[test]
fn under_a_default_role_what_has_no_role_says_so() {
    let prod = Role::new("prod");
    // ROOT and the PATH are the default role's, the MOUNT is nobody's.
    let mount = mount_entry("240").replace(r#""SCALAR","#, r#""SCALAR","role":"*","#);
    let path = r#"{"name":"disk","type":"SCALAR","scalar":{"value":2048},"disk":{"source":{"type":"PATH","path":{"root":"/srv/m/mnt/path0"}}}}"#;
    let text = with_disks(&[ROOT, path, &mount]);
    for policy in [
        ReconfigurationPolicy::Equal,
        ReconfigurationPolicy::Additive,
    ] {
        let mut run = FirstRun::new(registered_with(&text, &prod));
        run.default_role = prod.clone();
        run.policy = policy;
        if policy == ReconfigurationPolicy::Equal {
            run.rules.disks.truncate(2);
        }
        let outcome = run.run();
        assert_eq!(outcome.verdict, RECOVERS, "{}", outcome.text);
        let written = read(&outcome.text, &prod);
        let role = |root: &str| {
            written
                .iter()
                .find(|one| one.0.root == root.into())
                .map(|one| &one.1)
        };
        assert_eq!(role(WORK_DIR), Some(&prod));
        assert_eq!(role(PATH), Some(&prod));
        assert_eq!(role(MOUNT), Some(&Role::new("*")));
        if policy == ReconfigurationPolicy::Additive {
            // Its rule says nobody, too.
            assert_eq!(role(MOUNT1), Some(&Role::new("*")));
        } else {
            assert_eq!(written, read(&text, &prod));
        }
    }
}

/// An agent with a PATH, whose disk is not mounted; the system's disk below would hold its number.
fn unmounted_path() -> FirstRun {
    let mut run = FirstRun::new(registered_with(BASE, &Role::new("*")));
    run.rules.disks.truncate(2);
    run.mounted.retain(|point| *point != PATH);
    run
}

fn why_not(outcome: &Outcome, root: &str) -> Option<Code> {
    let disk = disk(DiskType::Path, root);
    let row = outcome
        .discovery
        .disks
        .iter()
        .find(|row| row.disk.as_ref() == Some(&disk));
    row.unwrap().rejection().map(|rejection| rejection.code)
}

#[test]
fn adoption_offers_no_path_on_the_system_s_disk_where_its_rule_does_not_mean_that() {
    let outcome = unmounted_path().run();
    assert_eq!(why_not(&outcome, PATH), Some(Code::Missing));
    assert!(!outcome.text.contains(PATH), "{}", outcome.text);
    // It is said, and so is what the agent does.
    let (disk, rejection) = &outcome.advertisement.degraded[0];
    assert_eq!(disk.root, PATH.into());
    let remedy = rejection.remedy.as_ref().unwrap();
    assert!(remedy.contains("devices = [\"sda1\"]"), "{remedy}");
    assert!(
        remedy.contains("mount it before the agent restarts"),
        "{remedy}"
    );

    // An explicit size alone may be that of the disk which is not mounted.
    let mut run = unmounted_path();
    run.rules.disks[0].size = SizeRule::Size(Bytes(2048 * MIB));
    assert_eq!(why_not(&run.run(), PATH), Some(Code::Missing));

    // With the device it is meant so.
    let mut run = unmounted_path();
    run.rules.disks[0].size = SizeRule::Size(Bytes(2048 * MIB));
    run.rules.disks[0].devices = vec!["sda1".to_owned()];
    let outcome = run.run();
    assert_eq!(why_not(&outcome, PATH), None);
    assert_eq!(outcome.verdict, RECOVERS, "{}", outcome.text);
}

#[test]
fn a_path_on_the_system_s_disk_stays_where_a_volume_of_the_agent_is_seen_on_it() {
    let hold_one = |mut run: FirstRun| {
        hold(&mut run.facts, vec![volume(BASE, PATH, "64")]);
        run
    };
    let outcome = hold_one(unmounted_path()).run();
    assert_eq!(why_not(&outcome, PATH), None);
    assert_eq!(outcome.verdict, RECOVERS, "{}", outcome.text);

    let mut run = hold_one(unmounted_path());
    let agent = Baselines::new(&run.facts, run.policy, Known::Known(false));
    run.gone
        .extend(agent.volume_directories(&disk(DiskType::Path, PATH)));
    let outcome = run.run();
    assert_eq!(why_not(&outcome, PATH), Some(Code::Missing));
    assert!(!outcome.text.contains(PATH), "{}", outcome.text);
}

#[test]
fn a_path_on_the_system_s_disk_that_no_rule_names_stays_with_a_warning() {
    let mut run = unmounted_path();
    run.rules.disks.remove(0);
    let outcome = run.run();
    assert_eq!(why_not(&outcome, PATH), None);
    assert_eq!(outcome.verdict, RECOVERS, "{}", outcome.text);
    let warned = |warning: &String| warning.contains("lies on the system's own disk");
    assert!(
        outcome.discovery.warnings.iter().any(warned),
        "{:?}",
        outcome.discovery.warnings
    );
}

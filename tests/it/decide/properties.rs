//! What holds of every plan, whatever the facts.

use std::collections::BTreeSet;

use mesos_volumed::decide::check::check;
use mesos_volumed::decide::facts::{
    AgentAnswer, CheckpointFile, Facts, FileIdentity, FileKind, FsFailure, FsLocation, HolderKind,
    Known, OperationKind, OperationState, ProviderState, ResourceState, TrashPolicy, Why, Words,
};
use mesos_volumed::decide::guards::Refusal;
use mesos_volumed::decide::listing;
use mesos_volumed::decide::plan::{Plan, plan};
use mesos_volumed::decide::roots::dir_key;
use mesos_volumed::decide::steps::{Barrier, Evidence, Step};
use mesos_volumed::mesos::ids::VolumeKey;
use mesos_volumed::mesos::resource::Resource;
use mesos_volumed::units::Megabytes;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use super::builder::{World, a_task, a_volume, an_operation};
use super::ideal::apply;
use super::random::{Tape, disks, facts, keys};

pub(crate) fn config() -> ProptestConfig {
    let cases = std::env::var("PROPERTY_CASES")
        .ok()
        .map_or(512, |cases| cases.parse().unwrap());
    ProptestConfig {
        cases,
        max_shrink_iters: 100_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/it/decide/properties.seeds",
        ))),
        ..ProptestConfig::default()
    }
}

/// A tape, shown in one line.
#[derive(Clone)]
struct Drawn(Vec<u16>);

impl std::fmt::Debug for Drawn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = self
            .0
            .iter()
            .rposition(|n| *n != 0)
            .map_or(0, |last| last + 1);
        write!(f, "{:?}", &self.0[..end])
    }
}

fn tapes() -> impl Strategy<Value = Drawn> {
    proptest::collection::vec(any::<u16>(), 0..400).prop_map(Drawn)
}

/// What is done to whom, or to which disk.
type Doom = BTreeSet<(&'static str, VolumeKey, FileIdentity)>;

fn things(doom: &Doom) -> BTreeSet<(&'static str, &FileIdentity)> {
    doom.iter()
        .map(|(what, _, identity)| (*what, identity))
        .collect()
}

fn doom(plan: &Plan) -> Doom {
    plan.steps
        .iter()
        .filter_map(|step| match step {
            Step::Quarantine {
                place, identity, ..
            } => Some(("quarantine", place.volume.clone(), identity.clone())),
            Step::Wipe { authorization, .. } => Some((
                "wipe",
                authorization.volume().clone(),
                authorization.identity().clone(),
            )),
            // Whichever of the volumes that were destroyed on it: the disk is one.
            Step::EmptyMount { authorization, .. } | Step::MoveOut { authorization, .. } => {
                Some(("empty", keys().remove(0), authorization.identity().clone()))
            }
            Step::AdoptRoot { .. }
            | Step::Clear { .. }
            | Step::PutBack { .. }
            | Step::Void { .. }
            | Step::OpenGate
            | Step::Bar { .. }
            | Step::Restore { .. }
            | Step::Adopt { .. }
            | Step::Unadopt { .. }
            | Step::Tidy { .. }
            | Step::Call { .. }
            | Step::Confirm { .. }
            | Step::Create { .. } => None,
        })
        .collect()
}

/// Every volume that anything names as living, by a plain walk over all there is; the older file
/// is left out, because its claim can be released.
fn surely_named(facts: &Facts) -> BTreeSet<VolumeKey> {
    fn of(state: &ResourceState, named: &mut BTreeSet<VolumeKey>) {
        named.extend(state.resources.iter().filter_map(Resource::volume_key));
        for operation in &state.operations {
            if matches!(
                operation.state,
                OperationState::Pending | OperationState::Unclear
            ) {
                named.extend(operation.volumes.iter().filter_map(Resource::volume_key));
            }
        }
    }
    let mut named = BTreeSet::new();
    for state in [&facts.checkpoint.state, &facts.checkpoint.state_target] {
        if let CheckpointFile::Whole(state) = state {
            of(state, &mut named);
        }
    }
    for provider in facts.providers.known().into_iter().flatten() {
        of(&provider.content, &mut named);
    }
    if let AgentAnswer::State(state) = &facts.answer {
        named.extend(state.resources.iter().filter_map(Resource::volume_key));
    }
    for task in facts.tasks.known().into_iter().flatten() {
        named.extend(task.volumes.iter().cloned());
    }
    named
}

fn all_is_known(facts: &Facts) -> bool {
    let files = &facts.checkpoint;
    !matches!(files.state, CheckpointFile::Damaged(_))
        && !matches!(
            files.state_target,
            CheckpointFile::Damaged(_) | CheckpointFile::Empty
        )
        && !matches!(files.info, CheckpointFile::Damaged(_))
        && !matches!(files.info_target, CheckpointFile::Damaged(_))
        && facts.providers.why().is_none()
        && facts.tasks.why().is_none()
        && facts.agent.latest.why().is_none()
        && facts.agent.run.why().is_none()
        && matches!(facts.agent.processes, Known::Known(_))
        && facts.memory.why().is_none()
        && matches!(facts.holders, Known::Known(_))
        && !matches!(
            facts.answer,
            AgentAnswer::Recovering | AgentAnswer::Unknown(_)
        )
}

fn location_of(facts: &Facts, identity: &FileIdentity) -> Option<FsLocation> {
    facts.roots.iter().find_map(|root| {
        let dirs = root.dirs.known().into_iter().flatten();
        let trash = root.trash.known().into_iter().flatten();
        dirs.map(|dir| (&dir.identity, &dir.location))
            .chain(trash.map(|entry| (&entry.data, &entry.location)))
            .find(|(found, _)| found.known() == Some(identity))
            .and_then(|(_, location)| location.known().cloned())
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_check_accepts_every_plan_and_planning_is_pure(tape in tapes()) {
        let facts = facts(&mut Tape::new(&tape.0));
        let made = plan(&facts);
        prop_assert_eq!(&made, &plan(&facts));
        let checked = check(made.clone(), &facts);
        prop_assert!(checked.is_ok(), "{:?}\n{made:#?}", checked.err());
    }

    #[test]
    fn facts_survive_their_file_and_plan_the_same(tape in tapes()) {
        let facts = facts(&mut Tape::new(&tape.0));
        let text = serde_json::to_string(&facts).unwrap();
        let read: Facts = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&facts, &read);
        prop_assert_eq!(plan(&facts), plan(&read));
    }

    #[test]
    fn nothing_that_is_wanted_or_doubtful_is_ever_doomed(tape in tapes()) {
        let facts = facts(&mut Tape::new(&tape.0));
        let made = plan(&facts);
        let doom = doom(&made);
        if doom.is_empty() {
            return Ok(());
        }
        prop_assert!(all_is_known(&facts), "an unknown: {doom:?}");
        let named = surely_named(&facts);
        for (what, key, identity) in &doom {
            if *what == "empty" {
                continue;
            }
            prop_assert!(!named.contains(key), "{what} of held {key}");
            // Not under another name either, where both are to be seen.
            for root in &facts.roots {
                for dir in root.dirs.known().into_iter().flatten() {
                    prop_assert!(
                        dir.identity.known() != Some(identity) || !named.contains(&dir_key(dir)),
                        "{what} of the directory of held {}", dir_key(dir)
                    );
                }
            }
            if let Some(place) = location_of(&facts, identity) {
                for holder in facts.holders.known().into_iter().flatten() {
                    prop_assert!(!holder.location.within(&place), "{what} of {key} in use");
                }
            }
        }
        for step in &made.steps {
            let (disk, evidence) = match step {
                Step::Quarantine { place, manifest, identity } => {
                    let dir = facts.roots.iter().find(|root| root.disk == place.disk).unwrap()
                        .dirs.known().unwrap().iter()
                        .find(|dir| (&dir.role_dir, &dir.id_dir) == (&place.role_dir, &place.id_dir))
                        .unwrap();
                    prop_assert_eq!(dir.identity.known(), Some(identity));
                    prop_assert_eq!(dir.kind, FileKind::Directory);
                    (&place.disk, &manifest.evidence)
                }
                Step::Wipe { entry, authorization } => {
                    prop_assert_eq!(entry.manifest.machine_id.to_string(), super::builder::MACHINE);
                    prop_assert!(!entry.manifest.unconfirmed);
                    (&entry.disk, authorization.evidence())
                }
                Step::EmptyMount { authorization, barrier, .. }
                | Step::MoveOut { authorization, barrier, .. } => {
                    prop_assert!(!named.contains(authorization.volume()));
                    let gated = facts.agent.processes.known().unwrap().is_empty();
                    prop_assert_eq!(*barrier == Barrier::Gate, gated);
                    let witnessed = authorization.evidence().witnessed()
                        && *authorization.evidence() != Evidence::GoneWithinRun;
                    prop_assert!(witnessed, "a MOUNT is emptied for want of a witness");
                    (authorization.disk(), authorization.evidence())
                }
                Step::AdoptRoot { .. } | Step::Clear { .. } | Step::PutBack { .. }
                | Step::Void { .. } | Step::OpenGate | Step::Bar { .. } | Step::Create { .. }
                | Step::Restore { .. } | Step::Adopt { .. } | Step::Unadopt { .. }
                | Step::Call { .. } | Step::Confirm { .. } | Step::Tidy { .. } => continue,
            };
            let root = facts.roots.iter().find(|root| root.disk == *disk).unwrap();
            let mount = root.mount.known().unwrap();
            prop_assert!(!mount.read_only && !mount.network);
            if let (Evidence::Unwitnessed { sighted_for, times }, Step::Quarantine { .. }) =
                (evidence, step)
            {
                prop_assert!(*times >= 2 && *sighted_for >= facts.policy.grace);
            }
        }
    }

    #[test]
    fn everything_seen_has_a_step_or_a_reason(tape in tapes()) {
        let mut facts = facts(&mut Tape::new(&tape.0));
        // A command speaks of its own volume, root or entry only.
        facts.words = Words { accept_empty: facts.words.accept_empty, ..Words::default() };
        let made = plan(&facts);
        for kept in &made.kept {
            prop_assert!(!kept.reasons.is_empty());
        }
        let listed: BTreeSet<_> =
            listing::volumes(&facts, &made).into_iter().map(|row| row.path).collect();
        let items = listing::trash(&facts, &made);
        for root in &facts.roots {
            for dir in root.dirs.known().into_iter().flatten() {
                let path = root.disk.root.join("volumes/roles").join(&dir.role_dir).join(&dir.id_dir);
                let step = made.steps.iter().any(|step| match step {
                    Step::Quarantine { place, .. } => place.disk == root.disk && place.path() == path,
                    Step::AdoptRoot { .. } | Step::Clear { .. } | Step::PutBack { .. }
                    | Step::Void { .. } | Step::Wipe { .. } | Step::EmptyMount { .. }
                    | Step::MoveOut { .. } | Step::OpenGate | Step::Bar { .. } | Step::Create { .. }
                    | Step::Restore { .. } | Step::Adopt { .. } | Step::Unadopt { .. }
                    | Step::Call { .. } | Step::Confirm { .. } | Step::Tidy { .. } => false,
                });
                let kept = made.kept.iter().any(|kept| kept.disk == root.disk && kept.path == path);
                prop_assert!(step != kept, "{path} has a step: {step}, is kept: {kept}");
                prop_assert!(listed.contains(&path), "{path} is not listed");
            }
            for entry in root.trash.known().into_iter().flatten() {
                prop_assert!(items.iter().any(|item| item.id == entry.id));
                let step = made.steps.iter().any(|step| match step {
                    Step::Clear { entry: at } | Step::PutBack { entry: at }
                    | Step::Void { entry: at } | Step::Wipe { entry: at, .. }
                    | Step::Confirm { entry: at, .. }
                    | Step::Restore { entry: at, .. } | Step::MoveOut { entry: at, .. } => {
                        at.disk == root.disk && at.manifest.id == entry.id
                    }
                    Step::Tidy { at, id } => at.disk == root.disk && *id == entry.id,
                    Step::AdoptRoot { .. } | Step::Quarantine { .. } | Step::EmptyMount { .. }
                    | Step::Adopt { .. } | Step::Unadopt { .. }
                    | Step::OpenGate | Step::Bar { .. } | Step::Call { .. } | Step::Create { .. } => false,
                });
                let path = root.trash_path().join(&entry.id.0);
                let kept = made.kept.iter().any(|kept| kept.disk == root.disk && kept.path == path);
                prop_assert!(step != kept, "{path} has a step: {step}, is kept: {kept}");
            }
        }
    }

    #[test]
    fn planning_after_execution_comes_to_an_end(tape in tapes()) {
        let mut facts = facts(&mut Tape::new(&tape.0));
        let mut rounds = Vec::new();
        loop {
            let made = plan(&facts);
            check(made.clone(), &facts).unwrap();
            if made.is_idle() {
                break;
            }
            facts = apply(&made, &facts);
            rounds.push(made.steps);
            prop_assert!(rounds.len() <= 7, "it goes on and on: {rounds:#?}");
        }
    }

    #[test]
    fn a_reference_or_an_unknown_never_dooms_anything(tape in tapes(), change in tapes()) {
        let mut facts = facts(&mut Tape::new(&tape.0));
        // The brake counts what is overdue: a held volume less is a step less.
        facts.policy.brake_percent = 100;
        // Where space is short, the next oldest goes instead of one that has to stay.
        facts.policy.trash = TrashPolicy::default();
        let before = doom(&plan(&facts));
        let mut tape = Tape::new(&change.0);
        let mut changed = facts.clone();
        let what = worsen(&mut tape, &mut changed);
        let after = doom(&plan(&changed));
        // One directory can be seen under two names: it is the directory that is doomed.
        let (before, after) = (things(&before), things(&after));
        prop_assert!(
            after.is_subset(&before),
            "{what} dooms {:?}",
            after.difference(&before).collect::<Vec<_>>()
        );
    }
}

/// Adds one reference, or makes one thing unknown; says which.
fn worsen(tape: &mut Tape<'_>, facts: &mut Facts) -> String {
    let volumes = keys();
    let places = disks();
    let key = volumes[tape.pick(volumes.len())].clone();
    let disk = places[tape.pick(places.len())].clone();
    let volume = a_volume(&disk, &key);
    let root = tape.pick(facts.roots.len());
    // A root inside a volume of another root is known as such by what is known of that one.
    let nested = facts.roots.iter().any(|root| {
        root.mount
            .known()
            .is_some_and(|mount| mount.location.path.as_bytes().ends_with(b"/deep"))
    });
    let choice = tape.pick(if nested { 20 } else { 29 });
    let unknown = || Known::unknown("made unknown");
    match choice {
        0 => {
            // Where the file names a volume already; what an empty one proves is another matter, and
            // so is what was lost and comes back.
            let lost = facts
                .memory
                .known()
                .is_some_and(|memory| memory.lost_across_start);
            if let CheckpointFile::Whole(state) = &mut facts.checkpoint.state
                && !lost
                && state
                    .resources
                    .iter()
                    .any(|found| found.persistence.is_some())
            {
                state.resources.push(volume);
            }
        }
        1 => {
            if let CheckpointFile::Whole(resources) = &mut facts.checkpoint.info
                && resources.iter().any(|found| found.persistence.is_some())
                && matches!(facts.checkpoint.state, CheckpointFile::Whole(_))
            {
                resources.push(volume);
            }
        }
        2 => {
            if let Known::Known(providers) = &mut facts.providers {
                providers.push(ProviderState {
                    file: "added".into(),
                    content: ResourceState {
                        operations: Vec::new(),
                        resources: vec![volume],
                    },
                });
            }
        }
        3 => {
            if let Known::Known(tasks) = &mut facts.tasks {
                tasks.push(a_task(&key));
            }
        }
        4 | 5 => {
            let kind = [OperationKind::Create, OperationKind::Destroy][choice - 4];
            if let CheckpointFile::Whole(state) = &mut facts.checkpoint.state {
                state
                    .operations
                    .push(an_operation(kind, OperationState::Pending, 99, &[volume]));
            }
        }
        6 => {
            if let AgentAnswer::State(state) = &mut facts.answer {
                state.resources.push(volume);
            }
        }
        7 => {
            let place = facts.roots[root]
                .mount
                .known()
                .map(|mount| mount.location.clone());
            if let (Some(place), Known::Known(_)) = (place, &facts.holders) {
                let disk = facts.roots[root].disk.clone();
                let below = mesos_volumed::mesos::paths::volume_directory(&key).to_string();
                facts.hold(&disk, &below, HolderKind::OpenFile);
                let _ = place;
            }
        }
        8 => facts.policy.protect.push("**".to_owned()),
        9 => facts.checkpoint.state = CheckpointFile::Damaged(Why("made damaged".to_owned())),
        10 => facts.checkpoint.info = CheckpointFile::Damaged(Why("made damaged".to_owned())),
        11 => facts.checkpoint.state_target = CheckpointFile::Empty,
        12 => facts.providers = unknown(),
        13 => facts.tasks = Known::unknown("made unknown"),
        14 => facts.agent.latest = Known::unknown("made unknown"),
        15 => facts.agent.run = Known::unknown("made unknown"),
        16 => facts.agent.processes = Known::unknown("made unknown"),
        17 => facts.memory = Known::unknown("made unknown"),
        18 => facts.holders = Known::unknown("made unknown"),
        19 => facts.answer = AgentAnswer::Unknown(Why("made unknown".to_owned())),
        20 => facts.roots[root].filesystem.present = Known::unknown("made unknown"),
        21 => facts.roots[root].filesystem.ledger = Known::unknown("made unknown"),
        22 => facts.roots[root].filesystem.marker = Known::unknown("made unknown"),
        23 => facts.roots[root].dirs = Known::unknown("made unknown"),
        24 => facts.roots[root].trash = Known::unknown("made unknown"),
        25 => {
            if let Known::Known(mount) = &mut facts.roots[root].mount {
                mount.failure = Some(FsFailure::Failed("made failed".to_owned()));
            }
        }
        26 => facts.roots[root].filesystem.advertised = Some(Megabytes::whole(1 << 40)),
        27 => facts.roots[root].adopted = Known::unknown("made unknown"),
        _ => facts.roots[root].mount = Known::unknown("made unknown"),
    }
    format!("change {choice} ({key} on {disk}, root {root})")
}

#[test]
fn random_facts_come_to_every_kind_of_step_and_to_every_refusal() {
    use std::collections::BTreeMap;
    let mut steps: BTreeMap<String, u32> = BTreeMap::new();
    let mut codes: BTreeMap<&str, u32> = BTreeMap::new();
    let mut seed = 1_u64;
    for _ in 0..8000 {
        let tape: Vec<u16> = (0..400)
            .map(|_| {
                seed = seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                u16::try_from(seed >> 48).unwrap()
            })
            .collect();
        let made = plan(&facts(&mut Tape::new(&tape)));
        for step in &made.steps {
            let json = serde_json::to_value(step).unwrap();
            *steps
                .entry(json["step"].as_str().unwrap().to_owned())
                .or_default() += 1;
        }
        for reason in made.kept.iter().flat_map(|kept| &kept.reasons) {
            *codes.entry(reason.code.code()).or_default() += 1;
        }
    }
    println!("{steps:#?}\n{codes:#?}");
    for step in [
        "adopt_root",
        "clear",
        "create",
        "open_gate",
        "put_back",
        "quarantine",
        "restore",
        "tidy",
        "unadopt",
        "void",
        "wipe",
    ] {
        assert!(
            steps.get(step).is_some_and(|n| *n >= 20),
            "{step}: {steps:#?}"
        );
    }
    // Both want much at once, and only one of the two can be on a disk.
    for step in ["adopt", "empty_mount", "move_out"] {
        assert!(
            steps.get(step).is_some_and(|n| *n >= 5),
            "{step}: {steps:#?}"
        );
    }
    for refusal in Refusal::ALL
        .into_iter()
        // The former is the executor's; the latter needs an operator's word, which no history has.
        .filter(|refusal| !matches!(refusal, Refusal::RootLocked | Refusal::ModeRefused))
    {
        assert!(codes.contains_key(refusal.code()), "{refusal}: {codes:#?}");
    }
}

//! Random facts, drawn from a tape of numbers: 0 is always the healthiest choice, so that a
//! shrunk tape shows what matters. Everything that the types can say may come up, also what no
//! observer would ever say.

use std::collections::BTreeSet;

use mesos_volumed::decide::facts::{
    AdoptWord, AgentAnswer, AgentView, CheckpointFile, Facts, FileKind, FreeBelow, FsFailure,
    HiddenSide, Holder, HolderKind, Known, MarkerOf, MountContent, Operation, OperationKind,
    OperationState, OrphanPolicy, OwedFill, PidNamespace, ProviderState, ResourceState, RootFacts,
    RootWitness, StrangeEntry, TaskUse, TrashFacts, Why, WipeMethod, WipeMode,
};
use mesos_volumed::decide::manifest::{AdoptedMark, HIDDEN_TRASH, Manifest, TrashSize, TrashState};
use mesos_volumed::decide::memory::{
    Gone, Memory, Sighting, SpentDestroy, StaleSince, UnwitnessedBatch, VolumePlaceRecord,
    VolumeRecord,
};
use mesos_volumed::decide::steps::{Evidence, TrashId};
use mesos_volumed::mesos::disk::{DiskRef, DiskType};
use mesos_volumed::mesos::ids::{Role, VolumeKey};
use mesos_volumed::mesos::paths;
use mesos_volumed::mesos::resource::Resource;
use mesos_volumed::units::{Bytes, Megabytes, Raw, Span};

use super::builder::{
    DAY, HOUR, MACHINE, WORK_DIR, a_dir, a_reservation, a_root, a_volume, an_agent, filesystem,
    fingerprint, first_met, identity, key, mount, path, root, uuid,
};

/// Numbers that choices are made by; behind its end all is 0.
#[derive(Debug)]
pub(crate) struct Tape<'a> {
    numbers: &'a [u16],
    at: usize,
    /// By how much trouble is rarer than it could be: a host in which everything is wrong tells
    /// nothing about what a plan may do.
    calm: usize,
}

impl<'a> Tape<'a> {
    pub(crate) fn new(numbers: &'a [u16]) -> Self {
        let mut tape = Self {
            numbers,
            at: 0,
            calm: 1,
        };
        tape.calm = [30, 30, 8, 1][tape.pick(4)];
        tape
    }

    /// A number below `n`.
    pub(crate) fn pick(&mut self, n: usize) -> usize {
        let number = self.numbers.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        usize::from(number) % n
    }

    /// Yes one time in `n` at most.
    fn rarely(&mut self, n: usize) -> bool {
        self.odd(n, 1).is_some()
    }

    /// One of `kinds` kinds of trouble, that many times in `n` at most.
    fn odd(&mut self, n: usize, kinds: usize) -> Option<usize> {
        let n = n * self.calm;
        (self.pick(n) + kinds).checked_sub(n)
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.pick(choices.len())].clone()
    }

    fn some<T: Clone>(&mut self, choices: &[T], most: usize) -> Vec<T> {
        (0..self.pick(most + 1)).map(|_| self.of(choices)).collect()
    }

    fn known<T>(&mut self, value: T) -> Known<T> {
        match self.odd(40, 2) {
            Some(0) => Known::Absent,
            Some(_) => Known::unknown("drawn unknown"),
            None => Known::Known(value),
        }
    }
}

pub(crate) fn keys() -> Vec<VolumeKey> {
    ["db/a", "db/b", "eng/dev/a", "web/c#d"].map(key).into()
}

/// Another PATH disk; it may lie on the first one's file system, be bound to it, or lie inside a
/// volume.
fn second_path() -> DiskRef {
    DiskRef {
        kind: DiskType::Path,
        root: "/mnt/more".into(),
    }
}

pub(crate) fn disks() -> Vec<DiskRef> {
    vec![root(), path(), mount(), second_path()]
}

fn resource(tape: &mut Tape<'_>) -> Resource {
    if tape.rarely(8) {
        let mut reservation = a_reservation("other");
        reservation.reservations[0].role = tape.of(&keys()).role;
        return reservation;
    }
    let mut volume = a_volume(&tape.of(&disks()), &tape.of(&keys()));
    if tape.rarely(12) {
        volume.provider_id = Some("provider-1".into());
    }
    if tape.rarely(12)
        && let Some(source) = &mut volume.source
    {
        source.id = Some("csi-1".into());
    }
    volume
}

fn resources(tape: &mut Tape<'_>, most: usize) -> Vec<Resource> {
    (0..tape.pick(most + 1)).map(|_| resource(tape)).collect()
}

fn operation(tape: &mut Tape<'_>) -> Operation {
    Operation {
        uuid: uuid(u32::try_from(tape.pick(4)).unwrap()),
        kind: tape.of(&[
            OperationKind::Destroy,
            OperationKind::Destroy,
            OperationKind::Create,
            OperationKind::Resize,
            OperationKind::Other(2),
        ]),
        state: tape.of(&[
            OperationState::Finished,
            OperationState::Finished,
            OperationState::Failed,
            OperationState::Pending,
            OperationState::Unclear,
        ]),
        volumes: resources(tape, 2),
    }
}

fn state(tape: &mut Tape<'_>) -> ResourceState {
    let mut state = ResourceState {
        operations: (0..tape.pick(3)).map(|_| operation(tape)).collect(),
        resources: vec![a_reservation("other")],
    };
    state.resources.extend(resources(tape, 2));
    if tape.rarely(10) {
        state.resources.clear();
    }
    state
}

fn file<T>(tape: &mut Tape<'_>, healthy: usize, whole: T) -> CheckpointFile<T> {
    // `healthy` tells committed files, which are mostly there, from targets, which mostly are not.
    match tape.odd(16, 3) {
        Some(0) => CheckpointFile::Empty,
        Some(1) => CheckpointFile::Damaged(Why("drawn damaged".to_owned())),
        Some(_) if healthy == 0 => CheckpointFile::Missing,
        Some(_) => CheckpointFile::Whole(whole),
        None if healthy == 0 => CheckpointFile::Whole(whole),
        _ => CheckpointFile::Missing,
    }
}

fn holders(tape: &mut Tape<'_>, roots: &[RootFacts]) -> Vec<Holder> {
    // A root that lies elsewhere than its path says is a bind mount.
    let binds = roots
        .iter()
        .filter(|root| root.disk == second_path())
        .filter_map(|root| root.mount.known())
        .filter(|mount| mount.location.path.as_bytes() != b"/")
        .map(|mount| Holder {
            kind: HolderKind::MountOf,
            location: mount.location.clone(),
            mount_point: Some(second_path().root),
            pid: 1,
            command: "init".into(),
        });
    let others = (0..tape.pick(3)).filter_map(|_| {
        let at = &roots[tape.pick(roots.len())];
        let mut location = at.mount.known()?.location.clone();
        let of = tape.of(&keys());
        let below = match tape.pick(4) {
            0 => Raw::from("home"),
            1 => paths::volume_directory(&of),
            2 => paths::volume_directory(&of).join("data/x"),
            _ => Raw::from("volumes/.mesos-volumed/trash/t-0/data/x"),
        };
        location.path = location.path.join(below);
        Some(Holder {
            kind: tape.of(&[
                HolderKind::OpenFile,
                HolderKind::MountOf,
                HolderKind::MountPoint,
                HolderKind::WorkingDirectory,
                HolderKind::Mapping,
                HolderKind::Swap,
            ]),
            location,
            mount_point: None,
            pid: 99,
            command: "x".into(),
        })
    });
    binds.chain(others).collect()
}

fn evidence(tape: &mut Tape<'_>) -> Evidence {
    match tape.pick(5) {
        0 | 1 => Evidence::DestroyOperation(uuid(u32::try_from(tape.pick(4)).unwrap())),
        2 => Evidence::GoneWithinRun,
        3 => Evidence::OwnDestroy,
        _ => Evidence::Unwitnessed {
            sighted_for: Span::seconds(DAY),
            times: 2,
        },
    }
}

fn span(tape: &mut Tape<'_>) -> Span {
    Span::seconds([0, HOUR, 12 * HOUR, DAY, 3 * DAY, 40 * DAY][tape.pick(6)])
}

/// The layout of `disk prepare`, whole or not, with entries in the trash of its hidden side.
fn prepare(tape: &mut Tape<'_>, root: &mut RootFacts) {
    let print = fingerprint(&filesystem(&root.disk));
    root.hidden = tape.known(HiddenSide {
        path: "/hidden".into(),
        directory: super::builder::identity(&print.filesystem, 128),
    });
    if root.filesystem.marker == Known::Absent {
        root.filesystem.marker = Known::Known(print.filesystem.clone());
    }
    if let Known::Known(mount) = &mut root.mount {
        mount.location.path = "/volume".into();
    }
    root.trash = some_trash(tape, root);
    let Known::Known(entries) = &mut root.trash else {
        return;
    };
    for entry in entries {
        if let Known::Known(location) = &mut entry.location {
            location.path = Raw::from("/")
                .join(HIDDEN_TRASH)
                .join(&entry.id.0)
                .join("data");
        }
        if let Known::Known(manifest) = &mut entry.manifest {
            manifest.path = "volume".into();
            manifest.emptied = (!tape.rarely(8)).then(|| print.directory.clone());
        }
    }
}

fn a_root_of(tape: &mut Tape<'_>, disk: &DiskRef, others: &[RootFacts]) -> RootFacts {
    let mut root = a_root(disk);
    let mut bound = false;
    let first = others
        .iter()
        .find(|root| root.disk == path())
        .cloned()
        .unwrap_or_else(|| a_root(&path()));
    if *disk == second_path() {
        let of = tape.of(&keys());
        match tape.pick(4) {
            0 => {}
            // A bind mount of the first one: two roots that are one directory.
            1 => {
                bound = true;
                root.mount = first.mount.clone();
                root.filesystem = first.filesystem.clone();
            }
            // A directory on the first one's file system, or one inside a volume there.
            n => {
                root.filesystem = first.filesystem.clone();
                if let (Known::Known(mount), Known::Known(theirs)) = (&mut root.mount, &first.mount)
                {
                    mount.device = theirs.device;
                    mount.location = theirs.location.clone();
                    mount.location.path = match n {
                        2 => "/more".into(),
                        _ => Raw::from("/")
                            .join(paths::volume_directory(&of))
                            .join("deep"),
                    };
                }
                for print in [&mut root.filesystem.present, &mut root.filesystem.ledger] {
                    if let Known::Known(print) = print {
                        print.directory.handle = "1:another directory".to_owned();
                    }
                }
            }
        }
    }
    if tape.rarely(6) {
        root.named_by = [RootWitness::Config].into();
    }
    match tape.odd(24, 4) {
        Some(0) => root.mount = Known::Absent,
        Some(1) => root.mount = Known::unknown("drawn unknown"),
        odd => {
            if let Known::Known(mount) = &mut root.mount {
                mount.read_only = odd == Some(2);
                mount.network = odd == Some(3);
                mount.is_mount_point = !tape.rarely(16);
            }
        }
    }
    match tape.odd(16, 5) {
        Some(0) => root.filesystem.ledger = Known::Absent,
        Some(1) => root.filesystem.ledger = Known::Known(fingerprint("another")),
        Some(2) => root.filesystem.ledger = Known::unknown("drawn unknown"),
        Some(3) => root.filesystem.present = Known::unknown("drawn unknown"),
        Some(_) => root.filesystem.present = Known::Known(fingerprint("another")),
        None => {}
    }
    match tape.odd(12, 3) {
        Some(0) => root.filesystem.marker = Known::Absent,
        Some(1) => root.filesystem.marker = Known::Known("another".to_owned()),
        Some(_) => root.filesystem.marker = Known::unknown("drawn unknown"),
        None => {}
    }
    match tape.odd(12, 2) {
        Some(0) => root.view = AgentView::Other("drawn".to_owned()),
        Some(_) => root.view = AgentView::Unknown("drawn".to_owned()),
        None => {}
    }
    match tape.odd(16, 5) {
        Some(n @ 0..=1) => {
            if let Known::Known(mount) = &mut root.mount {
                let drawn = "drawn".to_owned();
                mount.failure = Some(if n == 0 {
                    FsFailure::Failed(drawn)
                } else {
                    FsFailure::DeviceGone(drawn)
                });
            }
        }
        Some(2) => root.filesystem.advertised = Some(Megabytes::whole(1 << 40)),
        Some(n) => {
            root.filesystem.marker_of = Some(MarkerOf {
                machine_id: if n == 3 { "another" } else { MACHINE }.into(),
                root: disk.root.clone(),
            });
        }
        None => {}
    }
    if disk.kind == DiskType::Mount {
        let content = tape.of(&[MountContent::Data, MountContent::Data, MountContent::Empty]);
        root.content = tape.known(content);
        if tape.pick(2) == 1 {
            prepare(tape, &mut root);
        }
        return root;
    }
    if bound {
        // What lies in a directory is the same under both its names.
        root.dirs = first.dirs.clone();
        root.trash = first.trash.clone();
        return root;
    }
    root.dirs = some_dirs(tape, &root);
    root.trash = some_trash(tape, &root);
    if tape.rarely(8) {
        root.strange.push(StrangeEntry {
            path: "volumes/roles/file".into(),
            kind: FileKind::File,
            reason: "it is a file".to_owned(),
        });
    }
    root
}

/// Another root on the same file system has other directories.
fn apart(root: &RootFacts) -> u64 {
    let own = root
        .mount
        .known()
        .is_some_and(|mount| mount.location.path.as_bytes() == b"/");
    if own { 0 } else { 64 }
}

fn some_dirs(
    tape: &mut Tape<'_>,
    root: &RootFacts,
) -> Known<Vec<mesos_volumed::decide::facts::DirFacts>> {
    let mut dirs = Vec::new();
    for key in keys() {
        if tape.pick(2) == 0 {
            continue;
        }
        let life = u64::from(tape.rarely(4)) + apart(root);
        let mut dir = a_dir(root, &key, life);
        if tape.rarely(12) {
            dir.kind = tape.of(&[FileKind::Symlink, FileKind::File, FileKind::Mount]);
        }
        if let Known::Known(mut identity) = dir.identity.clone() {
            if tape.rarely(12) {
                identity.filesystem = "another".to_owned();
            }
            dir.identity = tape.known(identity);
        }
        if let Known::Known(location) = dir.location.clone() {
            dir.location = tape.known(location);
        }
        dirs.push(dir);
    }
    // One directory under two names.
    if tape.rarely(8) && dirs.len() > 1 {
        dirs[0].identity = dirs[1].identity.clone();
        dirs[0].location = dirs[1].location.clone();
    }
    tape.known(dirs)
}

fn some_trash(tape: &mut Tape<'_>, root: &RootFacts) -> Known<Vec<TrashFacts>> {
    let mut entries = Vec::new();
    for n in 0..tape.pick(3) {
        let volume = tape.of(&keys());
        let dir = a_dir(root, &volume, 7 + u64::try_from(n).unwrap() + apart(root));
        let Known::Known(identity) = dir.identity else {
            continue;
        };
        let id = TrashId(format!("t-{n}"));
        let mut location = dir.location;
        if let (Known::Known(place), Known::Known(mount)) = (&mut location, &root.mount) {
            place.path = mount
                .location
                .path
                .join(mesos_volumed::decide::manifest::TRASH)
                .join(&id.0)
                .join("data");
        }
        let manifest = Manifest {
            version: if tape.rarely(20) { 2 } else { 1 },
            id: id.clone(),
            path: paths::volume_directory(&volume),
            volume,
            disk: root.disk.clone(),
            identity: identity.clone(),
            emptied: None,
            state: tape.of(&[
                TrashState::Cleared,
                TrashState::Moved,
                TrashState::Prepared,
                TrashState::Wiping,
            ]),
            evidence: evidence(tape),
            unconfirmed: tape.rarely(10),
            asked: None,
            machine_id: if tape.rarely(10) { "another" } else { MACHINE }.into(),
            work_dir: if tape.rarely(10) {
                "/tmp/mesos"
            } else {
                WORK_DIR
            }
            .into(),
            plan: "p".to_owned(),
            lived_at: Span::seconds(100 * DAY).minus(span(tape)),
            retention: span(tape),
            quarantined_at: 0,
            method: None,
            size: (tape.pick(3) != 0).then(|| TrashSize {
                bytes: 1 << (20 + tape.pick(16)),
                entries: 3,
                skipped: 0,
            }),
        };
        let data = match tape.odd(8, 2) {
            Some(0) => Known::Absent,
            Some(_) => Known::Known(super::builder::identity("another", 5)),
            None => tape.known(identity),
        };
        let bare = tape.rarely(6);
        let (manifest, data) = if bare {
            (Known::Absent, Known::Absent)
        } else {
            (tape.known(manifest), data)
        };
        entries.push(TrashFacts {
            id,
            manifest,
            data,
            location,
            bare,
        });
    }
    if entries.is_empty() {
        Known::Absent
    } else {
        tape.known(entries)
    }
}

/// Marks of volumes, and of restores that were begun or are over.
fn some_marks(tape: &mut Tape<'_>, root: &RootFacts) -> Known<Vec<AdoptedMark>> {
    let marks = (0..=tape.pick(2))
        .map(|n| {
            let entries: Vec<&TrashFacts> = root.trash.known().into_iter().flatten().collect();
            let restored = entries
                .get(tape.pick(3))
                .and_then(|entry| entry.manifest.known());
            let volume =
                restored.map_or_else(|| tape.of(&keys()), |manifest| manifest.volume.clone());
            AdoptedMark {
                version: AdoptedMark::VERSION,
                name: format!("m-{n}"),
                identity: restored.map_or_else(
                    || identity(&filesystem(&root.disk), 7),
                    |manifest| {
                        let root = manifest.emptied.clone();
                        root.unwrap_or_else(|| manifest.identity.clone())
                    },
                ),
                trash: restored.map(|manifest| manifest.id.clone()),
                volume,
                disk: root.disk.clone(),
                by: None,
                plan: "p".to_owned(),
                lived_at: Span::seconds(100 * DAY).minus(span(tape)),
                marked_at: 0,
            }
        })
        .collect();
    tape.known(marks)
}

fn memory(tape: &mut Tape<'_>, facts: &Facts) -> Memory {
    let mut memory = Memory::new(&facts.host.now);
    memory.clock.lived = Span::seconds(100 * DAY);
    memory.clock.since_boot = facts.host.now.since_boot.minus(span(tape));
    if tape.rarely(8) {
        memory.clock.boot_id = "another boot".to_owned();
    }
    if tape.rarely(30) {
        memory.version = 2;
    }
    memory.certain = !tape.rarely(4);
    memory.run = facts.agent.run.known().cloned();
    if tape.rarely(4)
        && let Some(run) = &mut memory.run
    {
        run.inode += 1;
    }
    let lived = memory.clock.lived;
    for key in keys() {
        if tape.pick(3) == 0 {
            continue;
        }
        let mut places = Vec::new();
        for disk in tape.some(&disks(), 2) {
            if places
                .iter()
                .any(|place: &VolumePlaceRecord| place.disk == disk)
            {
                continue;
            }
            let root = a_root(&disk);
            let seen = a_dir(&root, &key, u64::from(tape.rarely(4)));
            places.push(VolumePlaceRecord {
                filesystem: match tape.odd(8, 2) {
                    Some(0) => None,
                    Some(_) => Some("another".to_owned()),
                    None => root
                        .filesystem
                        .present
                        .known()
                        .map(|print| print.filesystem.clone()),
                },
                directory: match tape.pick(4) {
                    3 => None,
                    _ => seen.identity.known().cloned(),
                },
                watched: tape.pick(2) == 0,
                disk,
            });
        }
        let uuids: Vec<String> = (0..4).map(uuid).collect();
        memory.volumes.push(VolumeRecord {
            key: key.clone(),
            places,
            size: None,
            principal: None,
            named_at: lived.minus(span(tape)),
            held_in_run: facts.agent.run.known().cloned(),
            held_in_file: tape.of(&[
                Some(mesos_volumed::decide::authority::Source::State),
                Some(mesos_volumed::decide::authority::Source::Info),
                None,
            ]),
            held_in_boot: facts.host.now.boot_id.clone(),
            pending_destroys: tape.some(&uuids, 1),
            lost: tape.rarely(10),
            gone: (tape.pick(3) == 0).then(|| Gone {
                since: lived.minus(span(tape)),
                since_boot: Span::ZERO,
                boot_id: facts.host.now.boot_id.clone(),
                evidence: (tape.pick(4) != 3).then(|| match evidence(tape) {
                    Evidence::Unwitnessed { .. } => Evidence::GoneWithinRun,
                    other => other,
                }),
            }),
        });
    }
    memory.lost_across_start = memory.volumes.iter().any(|record| record.lost);
    for root in &facts.roots {
        for dir in root.dirs.known().into_iter().flatten() {
            if tape.pick(2) == 0 {
                continue;
            }
            let first = lived.minus(span(tape));
            memory.sightings.push(Sighting {
                disk: root.disk.clone(),
                key: mesos_volumed::decide::roots::dir_key(dir),
                identity: match &dir.identity {
                    Known::Known(identity) => identity.clone(),
                    Known::Absent | Known::Unknown(_) => identity("another", 1),
                },
                first,
                last: lived,
                times: u32::try_from(1 + tape.pick(3)).unwrap(),
            });
        }
    }
    memory.stale = keys()
        .into_iter()
        .filter(|_| tape.rarely(4))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .map(|key| StaleSince {
            key,
            since: Span::seconds(90 * DAY),
        })
        .collect();
    if tape.rarely(6) {
        memory.empty_accepted_at = Some(lived.minus(span(tape)));
    }
    if tape.rarely(6) {
        memory.spent_destroys.push(SpentDestroy {
            uuid: uuid(u32::try_from(tape.pick(4)).unwrap()),
            key: tape.of(&keys()),
        });
    }
    if tape.rarely(6) {
        memory.unwitnessed.push(UnwitnessedBatch {
            at: lived.minus(span(tape)),
            count: u32::try_from(tape.pick(6)).unwrap(),
            of: u32::try_from(tape.pick(30)).unwrap(),
        });
    }
    memory
}

/// Draws facts.
pub(crate) fn facts(tape: &mut Tape<'_>) -> Facts {
    let mut facts = first_met();
    facts.host.now.since_boot = Span::seconds(60 * DAY);
    if tape.rarely(30) {
        facts.version = 2;
    }
    let mut roots = Vec::new();
    for disk in disks() {
        if !tape.rarely(12) {
            let root = a_root_of(tape, &disk, &roots);
            roots.push(root);
        }
    }
    if roots.is_empty() {
        roots.push(a_root(&root()));
    }
    facts.roots = roots;

    let whole = state(tape);
    facts.checkpoint.info = {
        // Mostly the same volumes, in another order.
        let mut same: Vec<Resource> = whole.resources.iter().rev().cloned().collect();
        if tape.rarely(3) {
            same = resources(tape, 3);
        }
        file(tape, 0, same)
    };
    facts.checkpoint.state = file(tape, 0, whole);
    facts.checkpoint.state_target = {
        let target = state(tape);
        file(tape, 1, target)
    };
    facts.checkpoint.info_target = {
        let target = resources(tape, 2);
        file(tape, 1, target)
    };
    let providers = (0..tape.pick(6) / 5)
        .map(|_| ProviderState {
            file: "meta/slaves/x/resource_provider.state".into(),
            content: state(tape),
        })
        .collect();
    facts.providers = tape.known(providers);
    let tasks = (0..tape.pick(6) / 5)
        .map(|_| TaskUse {
            task: "t".into(),
            framework: "f".into(),
            volumes: [tape.of(&keys())].into(),
        })
        .collect();
    facts.tasks = tape.known(tasks);
    let holders = holders(tape, &facts.roots);
    facts.holders = tape.known(holders);

    let latest = facts.agent.latest.known().unwrap().clone();
    facts.agent.latest = tape.known(latest);
    let run = facts.agent.run.known().unwrap().clone();
    facts.agent.run = tape.known(run);
    let mut agents = vec![an_agent(812)];
    match tape.pick(6) {
        3 | 4 => agents.clear(),
        5 if tape.rarely(1) => {
            agents[0].ours = tape.pick(2) == 0;
            agents[0].roots = Known::Known(Vec::new());
            let device = facts.roots[0].mount.known().map(|mount| mount.device);
            agents[0].filesystems = tape.known(device.into_iter().collect());
        }
        _ => {}
    }
    if agents.is_empty() && !tape.rarely(4) {
        for root in &mut facts.roots {
            if root.view == AgentView::Same {
                root.view = AgentView::NoAgent;
            }
        }
    }
    facts.agent.processes = tape.known(agents);
    let mut answer = facts.answer.clone();
    if let AgentAnswer::State(state) = &mut answer {
        let effective = facts.checkpoint.state.whole();
        for resource in effective.into_iter().flat_map(|state| &state.resources) {
            state.roles.extend(resource.role().cloned());
        }
        if tape.rarely(8) {
            state.roles = [Role::new("other")].into();
        }
        if tape.rarely(6) {
            state.resources.extend(resources(tape, 2));
        }
    }
    let down = facts.agent.processes.known().is_some_and(Vec::is_empty);
    facts.answer = match tape.odd(12, 4) {
        Some(0) => AgentAnswer::NotConfigured,
        Some(1) => AgentAnswer::Refused,
        Some(2) => AgentAnswer::Recovering,
        Some(_) => AgentAnswer::Unknown(Why("drawn unknown".to_owned())),
        None if down => AgentAnswer::Refused,
        None => answer,
    };

    let policy = &mut facts.policy;
    policy.grace = Span::seconds([DAY, 0, HOUR][tape.pick(3)]);
    policy.orphans = tape.of(&[
        OrphanPolicy::Quarantine,
        OrphanPolicy::Wipe,
        OrphanPolicy::Report,
    ]);
    if tape.rarely(6) {
        policy.protect = vec![tape.of(&["db/*", "eng/**", "*/c#d", "[x"]).to_owned()];
    }
    policy.brake_percent = [100, 10, 0][tape.pick(3)];
    policy.brake_min = [5, 0, 1][tape.pick(3)];
    policy.trash.min_retention = span(tape);
    policy.trash.max_bytes = (tape.pick(4) == 3).then(|| Bytes(1 << (20 + tape.pick(20))));
    policy.trash.free_below =
        (tape.pick(4) == 3).then(|| tape.of(&[FreeBelow::Percent(70), FreeBelow::Bytes(61 << 30)]));
    policy.recreate_vanished = tape.rarely(6);
    policy.require_agent = tape.rarely(12);
    policy.start_gate = tape.pick(2) == 0;
    if tape.rarely(12) {
        policy.pid_namespace = PidNamespace::Own;
    }
    if tape.rarely(16) {
        facts.host.initial_pid_namespace = Known::Known(false);
    }
    let machine = facts.host.machine_id.known().unwrap().clone();
    facts.host.machine_id = tape.known(machine);

    let words = &mut facts.words;
    words.accept_empty = tape.rarely(8);
    words.confirm_brake = tape.rarely(8).then_some(3);
    words.wipe = tape.rarely(6).then(|| tape.of(&keys()));
    words.recreate = tape.rarely(6).then(|| tape.of(&keys()));
    words.accept_root = tape.rarely(8).then(|| tape.of(&disks()).root);
    if tape.rarely(6) {
        words.purge = vec![TrashId("t-0".to_owned())];
    }
    words.restore = tape.rarely(6).then(|| TrashId("t-0".to_owned()));
    words.adopt = tape.rarely(12).then(|| AdoptWord {
        volume: tape.of(&keys()),
        root: (tape.pick(2) == 0).then(|| tape.of(&disks()).root),
        undo: tape.pick(3) == 0,
    });
    for at in 0..facts.roots.len() {
        if tape.pick(4) == 3 {
            let marks = some_marks(tape, &facts.roots[at]);
            facts.roots[at].adopted = marks;
        }
    }
    facts.gate.closed_for = match tape.pick(6) {
        4 => Known::Known(vec![mount().root]),
        5 => Known::unknown("drawn unknown"),
        _ => Known::Absent,
    };
    let remembered = memory(tape, &facts);
    facts.memory = tape.known(remembered);
    if facts.gate.closed_for == Known::Known(vec![mount().root]) && tape.pick(3) == 0 {
        let mut roots = facts.roots.iter();
        let there = roots
            .find(|root| root.disk == mount())
            .and_then(|root| root.filesystem.present.known().cloned());
        facts.gate.fills.extend(there.map(|there| OwedFill {
            root: mount().root,
            directory: there.directory,
            volume: tape.of(&keys()),
            evidence: tape.of(&[Evidence::Operator, Evidence::OwnDestroy]),
            method: WipeMethod {
                mode: WipeMode::ZeroFree,
                ..WipeMethod::UNLINK
            },
        }));
    }
    facts
}

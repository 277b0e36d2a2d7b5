//! What an observer sees of the model host: the facts, with everything that a real observer could not
//! tell unknown here too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mesos_volumed::decide::facts::{
    AgentAnswer, AgentState, AgentView, CheckpointFacts, CheckpointFile, DeviceNumber, DirFacts,
    Facts, FileKind, Fingerprint, FsFacts, FsFailure, FsLocation, HiddenSide, Holder, HolderKind,
    Known, MasterFacts, Moment, MountContent, Policy, Registered, RootFacts, RootMount,
    RootWitness, StrangeEntry, TaskUse, TrashFacts, Why, Words,
};
use mesos_volumed::decide::ledger::Ledger;
use mesos_volumed::decide::manifest::{AdoptedMark, HIDDEN_OURS, Manifest, Marker, OURS, VOLUME};
use mesos_volumed::decide::steps::TrashId;
use mesos_volumed::mesos::checkpoint::{Content, DecodeError, decode_info, decode_state};
use mesos_volumed::mesos::disk::{DiskRef, DiskType};
use mesos_volumed::mesos::ids::{PersistenceId, Role};
use mesos_volumed::mesos::paths;
use mesos_volumed::observe::{gate, state_dir};
use mesos_volumed::units::{Megabytes, Raw, Span};

use super::builder::{a_master, a_registration, first_met};
use super::disk::{Disk, Node};
use super::sys::identity;
use super::world::{HIDDEN, Oddity, Spot, World, roots};

fn location(disk: &Disk, ino: u64) -> Known<FsLocation> {
    match disk.path(ino) {
        Some(path) => Known::Known(FsLocation {
            device: DeviceNumber {
                major: 8,
                minor: disk.minor,
            },
            path: Raw::new(path),
        }),
        None => Known::unknown("it has no name any more"),
    }
}

/// A mistake that a program could make: with it, histories must find something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blunder {
    /// Nobody is asked who uses what.
    NoHolders,
    /// What can't be read is taken for what is not there.
    UnknownIsAbsent,
    /// One file is believed, and nobody else asked.
    OneAuthority,
    /// The first sighting does.
    NoGrace,
    /// All lives of the agent are one, across restarts and boots.
    OneLife,
}

impl Blunder {
    pub(crate) const ALL: [Self; 5] = [
        Self::NoHolders,
        Self::UnknownIsAbsent,
        Self::OneAuthority,
        Self::NoGrace,
        Self::OneLife,
    ];

    fn make(self, facts: &mut Facts) {
        let checkpoint = &mut facts.checkpoint;
        match self {
            Self::NoHolders => {
                facts.holders = Known::Known(Vec::new());
                facts.tasks = Known::Known(Vec::new());
            }
            Self::UnknownIsAbsent => {
                for state in [&mut checkpoint.state, &mut checkpoint.state_target] {
                    if matches!(state, CheckpointFile::Damaged(_) | CheckpointFile::Empty) {
                        *state = CheckpointFile::Missing;
                    }
                }
                for info in [&mut checkpoint.info, &mut checkpoint.info_target] {
                    if matches!(info, CheckpointFile::Damaged(_) | CheckpointFile::Empty) {
                        *info = CheckpointFile::Missing;
                    }
                }
            }
            Self::OneAuthority => {
                if checkpoint.state.whole().is_some() {
                    checkpoint.info = CheckpointFile::Missing;
                }
                checkpoint.state_target = CheckpointFile::Missing;
                checkpoint.info_target = CheckpointFile::Missing;
                facts.tasks = Known::Known(Vec::new());
                facts.answer = AgentAnswer::NotConfigured;
            }
            Self::NoGrace => facts.policy.grace = Span::ZERO,
            Self::OneLife => {
                super::builder::BOOT.clone_into(&mut facts.host.now.boot_id);
                if let Known::Known(run) = &mut facts.agent.run {
                    run.boot_id = super::builder::BOOT.into();
                    run.inode = 1;
                    run.mtime_nanos = 1;
                }
            }
        }
    }
}

/// The facts of this moment.
pub(crate) fn facts(
    world: &mut World,
    state: &Path,
    policy: &Policy,
    words: &Words,
    blunder: Option<Blunder>,
) -> Facts {
    world.nonce += 1;
    let state: Raw = state.into();
    let ledger = state_dir::ledger(&state);
    let mut facts = first_met();
    facts.host.now = Moment {
        boot_id: world.boot_id(),
        since_boot: Span::seconds(world.since_boot),
        wall_seconds: world.wall,
    };
    facts.host.nonce = world.nonce;
    facts.policy = policy.clone();
    facts.words = words.clone();
    facts.roots = roots()
        .iter()
        .map(|disk| root(world, disk, &ledger, words))
        .collect();
    facts.agent.run = match &world.agent.run {
        Some(run) => Known::Known(run.clone()),
        None => Known::Absent,
    };
    let processes = if world.agent.running {
        vec![super::builder::an_agent(world.agent.pid)]
    } else {
        Vec::new()
    };
    facts.agent.processes = Known::Known(processes);
    facts.checkpoint = checkpoint(world);
    facts.providers = Known::Known(Vec::new());
    facts.tasks = Known::Known(
        world
            .tasks
            .iter()
            .map(|task| TaskUse {
                task: format!("task-{}", task.pid).into(),
                framework: "f-1".into(),
                volumes: [task.key.clone()].into(),
            })
            .collect(),
    );
    facts.answer = answer(world);
    facts.master = Known::Known(master(world));
    facts.holders = Known::Known(holders(world));
    let gate = gate::file(&state);
    facts.gate.fills = gate
        .known()
        .map(|gate| gate.fills.clone())
        .unwrap_or_default();
    facts.gate.closed_for = gate.map(|gate| gate.roots);
    facts.memory = state_dir::memory(&state);
    for oddity in &world.odd {
        oddity.show(&mut facts);
    }
    if let Some(blunder) = blunder {
        blunder.make(&mut facts);
    }
    facts
}

impl Oddity {
    /// What is seen while it is so.
    fn show(self, facts: &mut Facts) {
        match self {
            Self::RoleHidden => {
                if let AgentAnswer::State(state) = &mut facts.answer {
                    state.roles.pop_first();
                    let roles = &state.roles;
                    state
                        .resources
                        .retain(|resource| resource.role().is_none_or(|role| roles.contains(role)));
                }
            }
            Self::HoldersUnknown => facts.holders = Known::unknown("a process can't be looked at"),
            Self::Unread => facts.tasks = Known::unknown("a file can't be read"),
            Self::OtherView => {
                for root in &mut facts.roots {
                    if root.view == AgentView::Same {
                        root.view = AgentView::Other("another disk".to_owned());
                    }
                }
            }
            Self::DeviceGone => mounts(facts, |mount| {
                mount.failure = Some(FsFailure::DeviceGone("it was pulled".to_owned()));
            }),
            Self::Network => mounts(facts, |mount| mount.network = true),
            Self::Shrunk => {
                for root in &mut facts.roots {
                    root.filesystem.advertised = Some(Megabytes::whole(1 << 40));
                }
            }
            Self::NoIdentity => {
                for root in &mut facts.roots {
                    root.filesystem.present = Known::unknown("it gives no file handles");
                }
            }
            Self::Unasked => facts.answer = AgentAnswer::NotConfigured,
            Self::Unnamed => {
                for root in &mut facts.roots {
                    root.named_by = [RootWitness::Config].into();
                }
            }
            Self::Beyond => {
                for root in &mut facts.roots {
                    let Known::Known(dirs) = &mut root.dirs else {
                        continue;
                    };
                    for dir in dirs {
                        if let Known::Known(identity) = &mut dir.identity {
                            "of-another".clone_into(&mut identity.filesystem);
                        }
                    }
                }
            }
        }
    }
}

fn mounts(facts: &mut Facts, change: impl Fn(&mut RootMount)) {
    for root in &mut facts.roots {
        if let Known::Known(mount) = &mut root.mount {
            change(mount);
        }
    }
}

fn file<T>(
    world: &World,
    name: &'static str,
    decode: impl Fn(&[u8]) -> Result<Content<T>, DecodeError>,
) -> CheckpointFile<T> {
    match world.meta.get(name).map(|bytes| decode(bytes)) {
        None => CheckpointFile::Missing,
        Some(Ok(Content::Whole(whole))) => CheckpointFile::Whole(whole),
        Some(Ok(Content::Empty)) => CheckpointFile::Empty,
        Some(Err(error)) => CheckpointFile::Damaged(Why(error.to_string())),
    }
}

fn checkpoint(world: &World) -> CheckpointFacts {
    CheckpointFacts {
        state_target: file(world, paths::STATE_TARGET, decode_state),
        state: file(world, paths::STATE, decode_state),
        info_target: file(world, paths::INFO_TARGET, decode_info),
        info: file(world, paths::INFO, decode_info),
    }
}

fn answer(world: &World) -> AgentAnswer {
    let agent = &world.agent;
    if !agent.running {
        return AgentAnswer::Refused;
    }
    if agent.recovering {
        return AgentAnswer::Recovering;
    }
    let roles: BTreeSet<Role> = agent
        .total
        .iter()
        .filter_map(|resource| resource.role().cloned())
        .collect();
    AgentAnswer::State(AgentState {
        id: "agent-S0".into(),
        version: Some(agent.generation.version()),
        resources: agent.total.clone(),
        roles,
        flag_roots: Known::Known(
            roots()
                .iter()
                .skip(1)
                .map(|disk| disk.root.clone())
                .collect(),
        ),
        operations: Vec::new(),
        tasks: Vec::new(),
        asked_at: Span::seconds(world.since_boot),
    })
}

/// The leading master, which knows at once what the agent does.
fn master(world: &World) -> MasterFacts {
    let agent = &world.agent;
    let since = format!("registered {}", agent.runs);
    a_master(Registered {
        active: agent.running && !agent.recovering,
        used: world.tasks.iter().map(|task| task.key.clone()).collect(),
        ..a_registration(&since, &agent.total)
    })
}

fn holders(world: &World) -> Vec<Holder> {
    let mut holders = Vec::new();
    for hold in &world.holds {
        if let Known::Known(location) = location(&world.disks[hold.disk], hold.ino) {
            holders.push(Holder {
                kind: hold.kind,
                location,
                mount_point: None,
                pid: hold.pid,
                command: "postgres".into(),
            });
        }
    }
    for mount in &world.mounts {
        if mount.point.is_empty()
            && let Known::Known(location) = location(&world.disks[mount.on.0], mount.on.1)
        {
            holders.push(Holder {
                kind: HolderKind::MountPoint,
                location,
                mount_point: None,
                pid: 1,
                command: "init".into(),
            });
        }
    }
    // The bind mount that the second PATH root is.
    if let Some(mount) = world.mount_at("/mnt/more")
        && let Known::Known(location) = location(&world.disks[mount.disk], mount.shows)
    {
        holders.push(Holder {
            kind: HolderKind::MountOf,
            location,
            mount_point: Some("/mnt/more".into()),
            pid: 1,
            command: "init".into(),
        });
    }
    holders
}

fn root(world: &World, disk: &DiskRef, ledger: &Known<Ledger>, words: &Words) -> RootFacts {
    let known = ledger.known().and_then(|ledger| ledger.root(disk));
    let of_ledger = match (ledger, known.and_then(|entry| entry.fingerprint.clone())) {
        (Known::Unknown(why), _) => Known::Unknown(why.clone()),
        (Known::Absent | Known::Known(_), None) => Known::Absent,
        (Known::Absent | Known::Known(_), Some(print)) => Known::Known(print),
    };
    let mut facts = RootFacts {
        disk: disk.clone(),
        named_by: [RootWitness::Config, RootWitness::SlaveInfo].into(),
        mount: Known::Absent,
        filesystem: FsFacts {
            present: Known::Absent,
            ledger: of_ledger.clone(),
            marker: Known::Absent,
            marker_of: None,
            advertised: known.and_then(|entry| entry.advertised),
            verified: known.and_then(|entry| entry.verified.clone()),
        },
        view: if world.agent.running {
            AgentView::Same
        } else {
            AgentView::NoAgent
        },
        dirs: Known::Absent,
        strange: Vec::new(),
        trash: Known::Absent,
        content: Known::Absent,
        hidden: Known::Absent,
        adopted: Known::Absent,
    };
    let text = disk.root.to_string();
    let Ok(spot) = world.resolve(disk.root.as_bytes()) else {
        return facts;
    };
    let on = &world.disks[spot.disk];
    let is_mount_point = world.mount_at(&text).is_some();
    if disk.kind == DiskType::Mount && !is_mount_point {
        return facts;
    }
    let strayed = !is_mount_point
        && spot.disk == 0
        && words.accept_root.as_ref() != Some(&disk.root)
        && matches!(&of_ledger, Known::Known(print) if print.filesystem != on.uuid);
    let Known::Known(place) = location(on, spot.ino) else {
        return facts;
    };
    if strayed {
        return facts;
    }
    facts.mount = Known::Known(RootMount {
        device: place.device,
        fs_type: "ext4".to_owned(),
        mount_point: disk.root.clone(),
        location: place,
        is_mount_point,
        read_only: on.read_only,
        network: false,
        total_bytes: 100 << 30,
        free_bytes: 60 << 30,
        failure: on
            .failing
            .then(|| FsFailure::Failed("it gives errors".to_owned())),
        drive: None,
    });
    facts.filesystem.present = Known::Known(Fingerprint {
        filesystem: on.uuid.clone(),
        fs_type: "ext4".to_owned(),
        directory: identity(on, spot.ino),
    });
    if disk.kind == DiskType::Mount {
        facts.content = content(on, spot.ino);
        hidden(world, spot, &mut facts);
        return facts;
    }
    let Ok(volumes) = on.lookup(spot.ino, b"volumes") else {
        return facts;
    };
    if let Some(ours) = descend(on, spot.ino, OURS) {
        our_folder(on, ours, &mut facts);
    }
    if let Ok(roles) = on.lookup(volumes, b"roles") {
        directories(world, spot.disk, roles, &mut facts);
    }
    facts
}

fn descend(disk: &Disk, from: u64, path: &str) -> Option<u64> {
    path.split('/')
        .try_fold(from, |at, name| disk.lookup(at, name.as_bytes()).ok())
}

fn content(disk: &Disk, ino: u64) -> Known<MountContent> {
    match disk.entries(ino) {
        Ok(entries) if entries.is_empty() => Known::Known(MountContent::Empty),
        Ok(_) => Known::Known(MountContent::Data),
        Err(errno) => Known::unknown(errno.to_string()),
    }
}

fn hidden(world: &World, spot: Spot, facts: &mut RootFacts) {
    let on = &world.disks[spot.disk];
    let shown = on.path(spot.ino);
    if facts.disk.root != roots()[4].root {
        return;
    }
    let Some(top) = world
        .mount_at(HIDDEN)
        .filter(|mount| mount.disk == spot.disk)
        .map(|mount| mount.shows)
    else {
        facts.hidden = Known::unknown("its hidden side is not mounted");
        facts.trash = Known::unknown("its hidden side is not mounted");
        facts.adopted = Known::unknown("its hidden side is not mounted");
        return;
    };
    if shown != Some(format!("/{VOLUME}").into_bytes()) {
        facts.hidden = Known::unknown("another directory is bound there");
        return;
    }
    let Some(ours) = descend(on, top, HIDDEN_OURS) else {
        facts.hidden = Known::unknown("our folder there is missing");
        return;
    };
    our_folder(on, ours, facts);
    if facts.filesystem.marker.known() != Some(&on.uuid) {
        facts.hidden = Known::unknown("our marker there is not of this file system");
        return;
    }
    facts.hidden = Known::Known(HiddenSide {
        path: HIDDEN.into(),
        directory: identity(on, top),
    });
}

fn bytes_of(disk: &Disk, dir: u64, name: &[u8]) -> Option<Vec<u8>> {
    let ino = disk.lookup(dir, name).ok()?;
    match disk.inode(ino).map(|inode| &inode.node) {
        Some(Node::File(content)) => Some(content.clone()),
        _ => None,
    }
}

/// Marker, trash and marks.
fn our_folder(disk: &Disk, ours: u64, facts: &mut RootFacts) {
    if let Some(bytes) = bytes_of(disk, ours, b"marker.json") {
        match serde_json::from_slice::<Marker>(&bytes) {
            Ok(marker) => {
                facts.filesystem.marker = Known::Known(marker.filesystem);
                facts.filesystem.marker_of = marker.of;
            }
            Err(error) => facts.filesystem.marker = Known::unknown(error.to_string()),
        }
    }
    if let Ok(trash) = disk.lookup(ours, b"trash")
        && let Ok(entries) = disk.entries(trash)
    {
        let entries = entries.iter().map(|(name, ino)| entry(disk, name, *ino));
        facts.trash = Known::Known(entries.collect());
    }
    let Ok(adopted) = disk.lookup(ours, b"adopted") else {
        return;
    };
    let mut marks = Vec::new();
    for name in disk
        .entries(adopted)
        .into_iter()
        .flatten()
        .map(|(name, _)| name)
    {
        if !name.ends_with(b".json") {
            continue;
        }
        let bytes = bytes_of(disk, adopted, name).unwrap_or_default();
        match serde_json::from_slice::<AdoptedMark>(&bytes) {
            Ok(mark) => marks.push(mark),
            Err(error) => {
                facts.adopted = Known::unknown(error.to_string());
                return;
            }
        }
    }
    facts.adopted = Known::Known(marks);
}

fn entry(disk: &Disk, name: &[u8], ino: u64) -> TrashFacts {
    let id = TrashId(Raw::new(name).to_string());
    let manifest = match bytes_of(disk, ino, b"manifest.json") {
        None => Known::Absent,
        Some(bytes) => match serde_json::from_slice::<Manifest>(&bytes) {
            Ok(manifest) if manifest.id == id => Known::Known(manifest),
            Ok(_) => Known::unknown("it is of another entry"),
            Err(error) => Known::unknown(error.to_string()),
        },
    };
    let data = disk.lookup(ino, b"data").ok();
    let bare = manifest == Known::Absent
        && disk.entries(ino).is_ok_and(|entries| {
            entries.iter().all(|(name, inner)| {
                name == b".manifest.json.new"
                    || (name == b"data" && disk.entries(*inner).is_ok_and(BTreeMap::is_empty))
            })
        });
    TrashFacts {
        id,
        manifest,
        data: data.map_or(Known::Absent, |data| Known::Known(identity(disk, data))),
        location: match location(disk, ino) {
            Known::Known(place) => Known::Known(FsLocation {
                path: place.path.join("data"),
                ..place
            }),
            other => other,
        },
        bare,
    }
}

fn directories(world: &World, at: usize, roles: u64, facts: &mut RootFacts) {
    let disk = &world.disks[at];
    let mut dirs = Vec::new();
    for (role, role_ino) in disk.entries(roles).into_iter().flatten() {
        let Ok(entries) = disk.entries(*role_ino) else {
            facts.strange.push(StrangeEntry {
                path: Raw::from(paths::ROLES).join(role),
                kind: FileKind::File,
                reason: "no directory where a role's would be".to_owned(),
            });
            continue;
        };
        for (id, ino) in entries {
            let kind = if world.mounted_on(at, *ino).is_some() {
                FileKind::Mount
            } else {
                match disk.inode(*ino).map(|inode| &inode.node) {
                    Some(Node::Dir(_)) => FileKind::Directory,
                    Some(Node::Link) => FileKind::Symlink,
                    _ => FileKind::File,
                }
            };
            assert!(PersistenceId::new(id.as_slice()).fault().is_none());
            dirs.push(DirFacts {
                role_dir: Raw::new(role.as_slice()),
                id_dir: Raw::new(id.as_slice()),
                kind,
                identity: if kind == FileKind::Directory {
                    Known::Known(identity(disk, *ino))
                } else {
                    Known::Absent
                },
                location: location(disk, *ino),
            });
        }
    }
    facts.dirs = Known::Known(dirs);
}

//! Facts of a healthy host, and small changes to them. A [`Facts`] here is the world: time passes
//! in it, volumes come and go, and a pass leaves its memory in it.

use std::collections::BTreeSet;

use mesos_volumed::decide::facts::{
    AgentAnswer, AgentFacts, AgentProcess, AgentRun, AgentState, AgentVersion, AgentView,
    CheckpointFacts, CheckpointFile, DeviceNumber, DirFacts, Facts, FileIdentity, FileKind,
    Fingerprint, FsFacts, FsLocation, GateFacts, Holder, HolderKind, HostFacts, Known, MasterFacts,
    Moment, MountContent, Operation, OperationKind, OperationState, OrphanPolicy, PidNamespace,
    Policy, Registered, ResourceState, RootFacts, RootMount, RootWitness, SlaveInfo, TaskUse,
    TrashFacts, WipeMethod, Words,
};
use mesos_volumed::decide::manifest::{AdoptedMark, Manifest, TrashState};
use mesos_volumed::decide::memory::Memory;
use mesos_volumed::decide::plan::plan;
use mesos_volumed::decide::steps::{Evidence, TrashId};
use mesos_volumed::mesos::disk::{DiskRef, DiskSource, DiskType, SourceType};
use mesos_volumed::mesos::ids::{PersistenceId, Role, VolumeKey};
use mesos_volumed::mesos::paths;
use mesos_volumed::mesos::resource::{Persistence, Reservation, ReservationType, Resource, Value};
use mesos_volumed::units::{Megabytes, Span};

pub(crate) const WORK_DIR: &str = "/var/lib/mesos/slave";
pub(crate) const BOOT: &str = "0b0a7d52-32b5-4e3a-8b52-0a3c6d0e0001";
pub(crate) const MACHINE: &str = "6f2d1c5a0b9e4d7f8a3b2c1d0e9f8a7b";
pub(crate) const HOUR: u64 = 3600;
pub(crate) const DAY: u64 = 86_400;

/// Of Mesos.
const VERSION: AgentVersion = AgentVersion {
    major: 1,
    minor: 11,
    patch: 0,
};

/// ROOT: the work_dir.
pub(crate) fn root() -> DiskRef {
    DiskRef {
        kind: DiskType::Root,
        root: WORK_DIR.into(),
    }
}

/// A PATH disk, alone on its file system.
pub(crate) fn path() -> DiskRef {
    DiskRef {
        kind: DiskType::Path,
        root: "/mnt/data".into(),
    }
}

/// A plain MOUNT disk.
pub(crate) fn mount() -> DiskRef {
    DiskRef {
        kind: DiskType::Mount,
        root: "/dcos/volume0".into(),
    }
}

/// The volume `role/id`; the last slash divides.
pub(crate) fn key(name: &str) -> VolumeKey {
    let (role, id) = name.rsplit_once('/').unwrap();
    VolumeKey::new(Role::new(role), PersistenceId::new(id))
}

pub(crate) fn uuid(n: u32) -> String {
    format!("{n:032x}")
}

/// A stable number for a name, so that identities do not depend on the order of changes.
fn number(of: &[&[u8]]) -> u64 {
    of.iter()
        .flat_map(|part| part.iter().chain(b"/"))
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

/// The UUID of the file system that is under this root at first.
pub(crate) fn filesystem(disk: &DiskRef) -> String {
    let n = number(&[disk.root.as_bytes()]);
    format!("{:08x}-0000-4000-8000-{:012x}", n >> 32, n & 0xffff_ffff)
}

pub(crate) fn identity(filesystem: &str, number: u64) -> FileIdentity {
    FileIdentity {
        filesystem: filesystem.to_owned(),
        handle: format!("1:{number:016x}"),
    }
}

pub(crate) fn fingerprint(filesystem: &str) -> Fingerprint {
    Fingerprint {
        filesystem: filesystem.to_owned(),
        fs_type: "ext4".to_owned(),
        directory: identity(filesystem, 2),
    }
}

fn device(disk: &DiskRef) -> DeviceNumber {
    let n = number(&[disk.root.as_bytes()]) % 1_000_000;
    DeviceNumber {
        major: 8,
        minor: u32::try_from(n).unwrap(),
    }
}

/// A root as it is when all is well: mounted, on its own file system, verified, with nothing in it.
pub(crate) fn a_root(disk: &DiskRef) -> RootFacts {
    let print = fingerprint(&filesystem(disk));
    let carved = disk.kind != DiskType::Mount;
    RootFacts {
        disk: disk.clone(),
        named_by: [RootWitness::Config, RootWitness::SlaveInfo].into(),
        mount: Known::Known(RootMount {
            device: device(disk),
            fs_type: "ext4".to_owned(),
            mount_point: disk.root.clone(),
            location: FsLocation {
                device: device(disk),
                path: "/".into(),
            },
            is_mount_point: true,
            read_only: false,
            network: false,
            total_bytes: 100 << 30,
            free_bytes: 60 << 30,
            failure: None,
            drive: None,
        }),
        filesystem: FsFacts {
            present: Known::Known(print.clone()),
            ledger: Known::Known(print.clone()),
            marker_of: None,
            advertised: None,
            verified: None,
            marker: if carved {
                Known::Known(print.filesystem)
            } else {
                Known::Absent
            },
        },
        view: AgentView::Same,
        dirs: if carved {
            Known::Known(Vec::new())
        } else {
            Known::Absent
        },
        strange: Vec::new(),
        trash: Known::Absent,
        hidden: Known::Absent,
        adopted: Known::Absent,
        content: if carved {
            Known::Absent
        } else {
            Known::Known(MountContent::Empty)
        },
    }
}

fn reserved(role: &str) -> Vec<Reservation> {
    vec![Reservation {
        kind: ReservationType::Dynamic,
        role: Role::new(role),
        principal: Some("marathon".into()),
        labels: Vec::new(),
    }]
}

fn source(disk: &DiskRef) -> Option<DiskSource> {
    let kind = match disk.kind {
        DiskType::Root => return None,
        DiskType::Path => SourceType::Path,
        DiskType::Mount => SourceType::Mount,
    };
    Some(DiskSource {
        kind,
        root: Some(disk.root.clone()),
        id: None,
        vendor: None,
        profile: None,
        metadata: Vec::new(),
    })
}

/// A dynamic reservation of ROOT disk.
pub(crate) fn a_reservation(role: &str) -> Resource {
    Resource {
        name: "disk".into(),
        value: Value::Scalar(Megabytes::whole(512)),
        reservations: reserved(role),
        source: None,
        persistence: None,
        shared: false,
        provider_id: None,
    }
}

/// A persistent volume.
pub(crate) fn a_volume(disk: &DiskRef, key: &VolumeKey) -> Resource {
    Resource {
        reservations: vec![Reservation {
            role: key.role.clone(),
            ..reserved("x").remove(0)
        }],
        source: source(disk),
        persistence: Some(Persistence {
            id: key.id.clone(),
            principal: Some("marathon".into()),
            container_path: Some("data".into()),
        }),
        ..a_reservation("x")
    }
}

pub(crate) fn an_operation(
    kind: OperationKind,
    state: OperationState,
    n: u32,
    volumes: &[Resource],
) -> Operation {
    Operation {
        uuid: uuid(n),
        kind,
        state,
        volumes: volumes.to_vec(),
    }
}

pub(crate) fn a_task(key: &VolumeKey) -> TaskUse {
    TaskUse {
        task: "db.1".into(),
        framework: "f-0001".into(),
        volumes: [key.clone()].into(),
    }
}

pub(crate) fn an_agent(pid: i32) -> AgentProcess {
    AgentProcess {
        pid,
        work_dir: Known::Known(WORK_DIR.into()),
        ours: true,
        roots: Known::Absent,
        filesystems: Known::Absent,
    }
}

fn policy() -> Policy {
    Policy {
        sweep_every: Span::seconds(DAY),
        grace: Span::seconds(DAY),
        orphans: OrphanPolicy::Quarantine,
        protect: Vec::new(),
        brake_percent: 10,
        brake_min: 5,
        recreate_vanished: false,
        retention: Span::ZERO,
        orphan_retention: Span::seconds(7 * DAY),
        require_agent: false,
        start_gate: false,
        pid_namespace: PidNamespace::Host,
        barrier: false,
        wipe: WipeMethod::UNLINK,
        mount_mode: None,
        trash: mesos_volumed::decide::facts::TrashPolicy::default(),
    }
}

/// A healthy host: an agent that runs and answers, one ROOT, one PATH and one MOUNT disk, all
/// verified, one reservation, no volume. One pass went before.
pub(crate) fn healthy() -> Facts {
    let mut facts = first_met();
    for root in &mut facts.roots {
        root.filesystem.ledger = root.filesystem.present.clone();
        root.filesystem.marker = match root.disk.kind {
            DiskType::Mount => Known::Absent,
            DiskType::Root | DiskType::Path => {
                Known::Known(root.filesystem.present.known().unwrap().filesystem.clone())
            }
        };
    }
    facts.pass();
    facts
}

/// The same host, met for the first time.
pub(crate) fn first_met() -> Facts {
    let now = Moment {
        boot_id: BOOT.to_owned(),
        since_boot: Span::seconds(HOUR),
        wall_seconds: 1_700_000_000,
    };
    let resources = vec![a_reservation("other")];
    let mut roots = vec![a_root(&root()), a_root(&path()), a_root(&mount())];
    for root in &mut roots {
        root.filesystem.ledger = Known::Absent;
        root.filesystem.marker = Known::Absent;
    }
    Facts {
        version: Facts::VERSION,
        host: HostFacts {
            machine_id: Known::Known(MACHINE.into()),
            now,
            initial_pid_namespace: Known::Known(true),
            nonce: 0x5eed,
        },
        policy: policy(),
        words: Words::default(),
        roots,
        agent: AgentFacts {
            work_dir: WORK_DIR.into(),
            latest: Known::Known("agent-S0".into()),
            slave_info: Known::Known(SlaveInfo {
                hostname: "node-1".into(),
                port: 5051,
                resources: Vec::new(),
            }),
            run: Known::Known(AgentRun {
                boot_id: BOOT.into(),
                inode: 1001,
                mtime_nanos: 1_699_996_400_000_000_000,
            }),
            processes: Known::Known(vec![an_agent(812)]),
        },
        checkpoint: CheckpointFacts {
            state_target: CheckpointFile::Missing,
            state: CheckpointFile::Whole(ResourceState {
                operations: Vec::new(),
                resources: resources.clone(),
            }),
            info_target: CheckpointFile::Missing,
            info: CheckpointFile::Whole(resources.clone()),
        },
        providers: Known::Known(Vec::new()),
        tasks: Known::Known(Vec::new()),
        master: Known::Absent,
        answer: AgentAnswer::State(AgentState {
            id: "agent-S0".into(),
            version: Some(VERSION),
            roles: [Role::new("other")].into(),
            resources,
            flag_roots: Known::Known(vec![path().root, mount().root]),
            operations: Vec::new(),
            tasks: Vec::new(),
            asked_at: Span::seconds(HOUR),
        }),
        holders: Known::Known(Vec::new()),
        mountings: Known::Known(Vec::new()),
        containers: Known::Known(Vec::new()),
        gate: GateFacts {
            fills: Vec::new(),
            closed_for: Known::Absent,
            unit: Known::Absent,
        },
        memory: Known::Absent,
    }
}

/// Changes to the world.
pub(crate) trait World {
    fn disk(&mut self, disk: &DiskRef) -> &mut RootFacts;
    fn state(&mut self) -> &mut ResourceState;
    fn memory(&mut self) -> &mut Memory;

    /// Time passes.
    fn later(&mut self, seconds: u64);
    /// A pass remembers, and does nothing.
    fn pass(&mut self);
    /// The agent starts anew; its process is the same to look at.
    fn restart_agent(&mut self);
    /// The host starts anew, its agent with it.
    fn reboot(&mut self);
    /// The agent is down.
    fn stop_agent(&mut self);

    /// The agent's files, and its answer where it runs, name the volume; its directory (or its
    /// data on a MOUNT) is there.
    fn create(&mut self, disk: &DiskRef, key: &VolumeKey);
    /// They do not name it any more; what lies on the disk stays.
    fn forget(&mut self, key: &VolumeKey);
    /// The same by a DESTROY that the agent carried out, of which the data stays behind.
    fn destroy(&mut self, key: &VolumeKey, n: u32);
    /// An operation in `.state`.
    fn operate(&mut self, kind: OperationKind, state: OperationState, n: u32, of: Resource);
    /// A directory of this name is made.
    fn mkdir(&mut self, disk: &DiskRef, key: &VolumeKey) -> &mut DirFacts;
    fn rmdir(&mut self, disk: &DiskRef, key: &VolumeKey);
    /// A process holds something, at a path below the root.
    fn hold(&mut self, disk: &DiskRef, below: &str, kind: HolderKind);
    /// An entry in the trash, with its data, as a pass an hour ago left it.
    fn trash(&mut self, disk: &DiskRef, key: &VolumeKey, state: TrashState) -> &mut TrashFacts;
    /// A mark that the volume is wanted, made now; of a restore, where an entry is named.
    fn mark(&mut self, disk: &DiskRef, key: &VolumeKey, entry: Option<TrashId>);
}

/// The agent as a master lists it that has these resources of it.
pub(crate) fn a_registration(since: &str, resources: &[Resource]) -> Registered {
    Registered {
        id: "agent-S0".into(),
        active: true,
        since: since.to_owned(),
        resizes: true,
        resources: resources.to_vec(),
        used: BTreeSet::new(),
    }
}

/// The leading master, which has this agent.
pub(crate) fn a_master(agent: Registered) -> MasterFacts {
    MasterFacts {
        version: VERSION,
        principal: None,
        agent: Known::Known(agent),
    }
}

/// A directory with a stable identity; `life` tells one of the same name from another.
pub(crate) fn a_dir(root: &RootFacts, key: &VolumeKey, life: u64) -> DirFacts {
    let role_dir = key.role.directory();
    let id_dir = key.id.as_raw().clone();
    let location = root.mount.clone().map(|mount| FsLocation {
        device: mount.location.device,
        path: mount.location.path.join(paths::volume_directory(key)),
    });
    let n = number(&[role_dir.as_bytes(), id_dir.as_bytes()]) ^ life;
    let present = root
        .filesystem
        .present
        .known()
        .map_or_else(|| filesystem(&root.disk), |print| print.filesystem.clone());
    DirFacts {
        role_dir,
        id_dir,
        kind: FileKind::Directory,
        identity: Known::Known(identity(&present, n)),
        location,
    }
}

impl World for Facts {
    fn disk(&mut self, disk: &DiskRef) -> &mut RootFacts {
        self.roots
            .iter_mut()
            .find(|root| root.disk == *disk)
            .unwrap()
    }

    fn state(&mut self) -> &mut ResourceState {
        match &mut self.checkpoint.state {
            CheckpointFile::Whole(state) => state,
            other => panic!("{other:?}"),
        }
    }

    fn memory(&mut self) -> &mut Memory {
        match &mut self.memory {
            Known::Known(memory) => memory,
            other => panic!("{other:?}"),
        }
    }

    fn later(&mut self, seconds: u64) {
        let now = &mut self.host.now;
        now.since_boot = now.since_boot.plus(Span::seconds(seconds));
        now.wall_seconds += i64::try_from(seconds).unwrap();
        self.host.nonce += 1;
    }

    fn pass(&mut self) {
        self.memory = Known::Known(plan(self).memory);
    }

    fn restart_agent(&mut self) {
        if let Known::Known(run) = &mut self.agent.run {
            run.inode += 1;
            run.mtime_nanos += 1_000_000_000;
        }
    }

    fn reboot(&mut self) {
        self.host.now.boot_id = format!("{}f", &self.host.now.boot_id[..35]);
        self.host.now.since_boot = Span::seconds(60);
        let boot = self.host.now.boot_id.as_str().into();
        self.restart_agent();
        if let Known::Known(run) = &mut self.agent.run {
            run.boot_id = boot;
        }
    }

    fn stop_agent(&mut self) {
        self.agent.processes = Known::Known(Vec::new());
        self.answer = AgentAnswer::Refused;
        for root in &mut self.roots {
            root.view = AgentView::NoAgent;
        }
    }

    fn create(&mut self, disk: &DiskRef, key: &VolumeKey) {
        let volume = a_volume(disk, key);
        self.state().resources.push(volume.clone());
        match &mut self.checkpoint.info {
            CheckpointFile::Whole(resources) => resources.push(volume.clone()),
            CheckpointFile::Missing | CheckpointFile::Empty | CheckpointFile::Damaged(_) => {
                self.checkpoint.info = CheckpointFile::Whole(vec![volume.clone()]);
            }
        }
        if let AgentAnswer::State(state) = &mut self.answer {
            state.resources.push(volume);
            state.roles.insert(key.role.clone());
        }
        match disk.kind {
            DiskType::Mount => self.disk(disk).content = Known::Known(MountContent::Data),
            DiskType::Root | DiskType::Path => {
                self.mkdir(disk, key);
            }
        }
    }

    fn forget(&mut self, key: &VolumeKey) {
        let other = |resource: &Resource| resource.volume_key().as_ref() != Some(key);
        if let CheckpointFile::Whole(state) = &mut self.checkpoint.state {
            state.resources.retain(other);
        }
        if let CheckpointFile::Whole(resources) = &mut self.checkpoint.info {
            resources.retain(other);
        }
        if let AgentAnswer::State(state) = &mut self.answer {
            state.resources.retain(other);
        }
    }

    fn destroy(&mut self, key: &VolumeKey, n: u32) {
        let volume = self
            .state()
            .resources
            .iter()
            .find(|resource| resource.volume_key().as_ref() == Some(key))
            .unwrap()
            .clone();
        self.forget(key);
        self.operate(OperationKind::Destroy, OperationState::Finished, n, volume);
    }

    fn operate(&mut self, kind: OperationKind, state: OperationState, n: u32, of: Resource) {
        self.state()
            .operations
            .push(an_operation(kind, state, n, &[of]));
    }

    fn mkdir(&mut self, disk: &DiskRef, key: &VolumeKey) -> &mut DirFacts {
        let root = self.disk(disk);
        let dir = a_dir(root, key, 0);
        let dirs = match &mut root.dirs {
            Known::Known(dirs) => dirs,
            other => {
                *other = Known::Known(Vec::new());
                match other {
                    Known::Known(dirs) => dirs,
                    Known::Absent | Known::Unknown(_) => unreachable!(),
                }
            }
        };
        dirs.push(dir);
        dirs.last_mut().unwrap()
    }

    fn rmdir(&mut self, disk: &DiskRef, key: &VolumeKey) {
        if let Known::Known(dirs) = &mut self.disk(disk).dirs {
            dirs.retain(|dir| {
                (&dir.role_dir, &dir.id_dir) != (&key.role.directory(), key.id.as_raw())
            });
        }
    }

    fn hold(&mut self, disk: &DiskRef, below: &str, kind: HolderKind) {
        let mut location = self.disk(disk).mount.known().unwrap().location.clone();
        if !below.is_empty() {
            location.path = location.path.join(below);
        }
        let holder = Holder {
            kind,
            location,
            mount_point: None,
            pid: 4711,
            command: "postgres".into(),
        };
        match &mut self.holders {
            Known::Known(holders) => holders.push(holder),
            other => panic!("{other:?}"),
        }
    }

    fn trash(&mut self, disk: &DiskRef, key: &VolumeKey, state: TrashState) -> &mut TrashFacts {
        let lived_at = self.memory().clock.lived;
        let quarantined_at = self.host.now.wall_seconds;
        let retention = self.policy.retention;
        let root = self.disk(disk);
        let dir = a_dir(root, key, 0);
        let Known::Known(identity) = dir.identity else {
            panic!()
        };
        let entries = match &mut root.trash {
            Known::Known(entries) => entries,
            other => {
                *other = Known::Known(Vec::new());
                match other {
                    Known::Known(entries) => entries,
                    Known::Absent | Known::Unknown(_) => unreachable!(),
                }
            }
        };
        let id = TrashId(format!(
            "{quarantined_at}-0000000000000abc-{}",
            entries.len()
        ));
        let location = root.mount.clone().map(|mount| FsLocation {
            device: mount.location.device,
            path: mount
                .location
                .path
                .join(mesos_volumed::decide::manifest::TRASH)
                .join(&id.0)
                .join("data"),
        });
        entries.push(TrashFacts {
            id: id.clone(),
            manifest: Known::Known(Manifest {
                version: Manifest::VERSION,
                id,
                volume: key.clone(),
                disk: disk.clone(),
                path: paths::volume_directory(key),
                identity: identity.clone(),
                emptied: None,
                state,
                evidence: Evidence::GoneWithinRun,
                unconfirmed: false,
                asked: None,
                machine_id: MACHINE.into(),
                work_dir: WORK_DIR.into(),
                plan: "0000000000000abc".to_owned(),
                lived_at,
                retention,
                quarantined_at,
                method: None,
                size: None,
            }),
            data: Known::Known(identity),
            location,
            bare: false,
        });
        entries.last_mut().unwrap()
    }

    fn mark(&mut self, disk: &DiskRef, key: &VolumeKey, entry: Option<TrashId>) {
        let lived_at = match &self.memory {
            Known::Known(memory) => memory.clock.lived,
            Known::Absent | Known::Unknown(_) => Span::ZERO,
        };
        let root = self.disk(disk);
        let of_entry = root.trash.known().into_iter().flatten().find_map(|found| {
            let manifest = found.manifest.known()?;
            let directory = manifest.emptied.clone();
            (Some(&found.id) == entry.as_ref())
                .then(|| directory.unwrap_or_else(|| manifest.identity.clone()))
        });
        let dir = a_dir(root, key, 0).identity.known().unwrap().clone();
        let mut marks = root.adopted.known().cloned().unwrap_or_default();
        marks.push(AdoptedMark {
            version: AdoptedMark::VERSION,
            name: format!("1-abc-{}", marks.len()),
            volume: key.clone(),
            disk: disk.clone(),
            identity: of_entry.unwrap_or(dir),
            trash: entry,
            by: None,
            plan: "abc".to_owned(),
            lived_at,
            marked_at: 0,
        });
        root.adopted = Known::Known(marks);
    }
}

/// Unknown, as observing says it.
pub(crate) fn unknown<T>() -> Known<T> {
    Known::unknown("it could not be read")
}

//! Authorizations, made the only way there is: by planning over facts in which the directory is
//! the data of a trash entry that is being wiped.

use mesos_volumed::decide::check::check;
use mesos_volumed::decide::facts::{
    AgentAnswer, AgentFacts, AgentView, CheckpointFacts, CheckpointFile, DeviceNumber, Facts,
    FileIdentity, Fingerprint, FsFacts, FsLocation, GateFacts, HostFacts, Known, Moment,
    OrphanPolicy, PidNamespace, Policy, ResourceState, RootFacts, RootMount, RootWitness,
    TrashFacts, WipeMethod, Words,
};
use mesos_volumed::decide::manifest::{Manifest, TrashState};
use mesos_volumed::decide::memory::Memory;
use mesos_volumed::decide::plan::plan;
use mesos_volumed::decide::steps::{Evidence, Step, TrashId, WipeAuthorization};
use mesos_volumed::mesos::disk::{DiskRef, DiskType};
use mesos_volumed::mesos::ids::{PersistenceId, Role, VolumeKey};
use mesos_volumed::units::{Raw, Span};

/// The authorization to wipe the directory with this identity.
pub(crate) fn authorize(identity: &FileIdentity) -> WipeAuthorization {
    let facts = facts(identity);
    let checked = check(plan(&facts), &facts).unwrap();
    let plan = checked.into_plan();
    plan.steps
        .into_iter()
        .find_map(|step| {
            let Step::Wipe { authorization, .. } = step else {
                return None;
            };
            Some(authorization)
        })
        .unwrap_or_else(|| panic!("no wipe in the plan: {:?} {:?}", plan.kept, plan.doubts))
}

#[expect(clippy::too_many_lines, reason = "a long list of plain values")]
fn facts(identity: &FileIdentity) -> Facts {
    let now = Moment {
        boot_id: "b".to_owned(),
        since_boot: Span::seconds(1000),
        wall_seconds: 1_700_000_000,
    };
    let work_dir = Raw::from("/var/lib/mesos");
    let disk = DiskRef {
        kind: DiskType::Root,
        root: work_dir.clone(),
    };
    let fingerprint = Fingerprint {
        filesystem: identity.filesystem.clone(),
        fs_type: "ext4".to_owned(),
        directory: FileIdentity {
            filesystem: identity.filesystem.clone(),
            handle: "1:00".to_owned(),
        },
    };
    let device = DeviceNumber { major: 7, minor: 0 };
    let location = FsLocation {
        device,
        path: "/volumes/.mesos-volumed/trash/t/data".into(),
    };
    let manifest = Manifest {
        version: Manifest::VERSION,
        id: TrashId("t".to_owned()),
        volume: VolumeKey::new(Role::new("role"), PersistenceId::new("id")),
        disk: disk.clone(),
        path: "volumes/roles/role/id".into(),
        identity: identity.clone(),
        emptied: None,
        state: TrashState::Wiping,
        evidence: Evidence::GoneWithinRun,
        unconfirmed: false,
        asked: None,
        machine_id: "m".into(),
        work_dir: work_dir.clone(),
        plan: "p".to_owned(),
        lived_at: Span::ZERO,
        retention: Span::ZERO,
        quarantined_at: 0,
        method: None,
        size: None,
    };
    Facts {
        version: Facts::VERSION,
        host: HostFacts {
            machine_id: Known::Known("m".into()),
            now: now.clone(),
            initial_pid_namespace: Known::Known(true),
            nonce: 1,
        },
        policy: Policy {
            sweep_every: Span::seconds(300),
            grace: Span::seconds(3600),
            orphans: OrphanPolicy::Report,
            protect: Vec::new(),
            brake_percent: 20,
            brake_min: 3,
            recreate_vanished: false,
            retention: Span::ZERO,
            orphan_retention: Span::seconds(1000),
            require_agent: false,
            start_gate: false,
            pid_namespace: PidNamespace::Host,
            barrier: false,
            wipe: WipeMethod::UNLINK,
            mount_mode: None,
            trash: mesos_volumed::decide::facts::TrashPolicy::default(),
        },
        words: Words::default(),
        roots: vec![RootFacts {
            disk,
            named_by: [RootWitness::Config].into(),
            mount: Known::Known(RootMount {
                device,
                fs_type: "ext4".to_owned(),
                mount_point: "/".into(),
                location: FsLocation {
                    device,
                    path: "/var/lib/mesos".into(),
                },
                is_mount_point: false,
                read_only: false,
                network: false,
                total_bytes: 1 << 30,
                free_bytes: 1 << 29,
                failure: None,
                drive: None,
            }),
            filesystem: FsFacts {
                present: Known::Known(fingerprint.clone()),
                ledger: Known::Known(fingerprint),
                marker_of: None,
                advertised: None,
                verified: None,
                marker: Known::Known(identity.filesystem.clone()),
            },
            view: AgentView::NoAgent,
            dirs: Known::Known(Vec::new()),
            strange: Vec::new(),
            trash: Known::Known(vec![TrashFacts {
                id: TrashId("t".to_owned()),
                manifest: Known::Known(manifest),
                data: Known::Known(identity.clone()),
                location: Known::Known(location),
                bare: false,
            }]),
            content: Known::Absent,
            hidden: Known::Absent,
            adopted: Known::Absent,
        }],
        agent: AgentFacts {
            work_dir,
            latest: Known::Known("agent-S0".into()),
            slave_info: Known::Absent,
            run: Known::Absent,
            processes: Known::Known(Vec::new()),
        },
        checkpoint: CheckpointFacts {
            state_target: CheckpointFile::Missing,
            state: CheckpointFile::Whole(ResourceState::default()),
            info_target: CheckpointFile::Missing,
            info: CheckpointFile::Whole(Vec::new()),
        },
        providers: Known::Known(Vec::new()),
        tasks: Known::Known(Vec::new()),
        answer: AgentAnswer::NotConfigured,
        master: Known::Absent,
        holders: Known::Known(Vec::new()),
        mountings: Known::Known(Vec::new()),
        containers: Known::Known(Vec::new()),
        gate: GateFacts {
            fills: Vec::new(),
            closed_for: Known::Absent,
            unit: Known::Absent,
        },
        memory: Known::Known(Memory::new(&now)),
    }
}

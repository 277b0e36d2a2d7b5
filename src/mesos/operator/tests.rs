//! Calls and answers against recordings.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::mesos::agent_state::{StateError, resources};
use crate::mesos::disk::{DiskRef, DiskType, SourceExtras};
use crate::mesos::ids::{PersistenceId, Role, VolumeKey};
use crate::mesos::resource::Persistence;
use crate::mesos::state::{AgentVersion, OperationKind, OperationState};

const POST: ResourceFormat = ResourceFormat::PostReservationRefinement;
const PRE: ResourceFormat = ResourceFormat::PreReservationRefinement;

fn recorded(stage: &str, file: &str) -> Vec<u8> {
    let path = format!(
        "{}/tests/fixtures/mesos/stages/{stage}/{file}",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn agents(stage: &str) -> Vec<AgentEntry> {
    let mut all = Vec::new();
    let body = recorded(stage, "master_v1_GET_AGENTS.json");
    let seen = read_agents(body.as_slice(), &mut |one| all.push(one)).unwrap();
    assert_eq!(seen.registered, all.len());
    all
}

fn slaves(stage: &str) -> Vec<AgentEntry> {
    let mut all = Vec::new();
    let body = recorded(stage, "master_slaves.json");
    read_slaves(body.as_slice(), &mut |one| all.push(one)).unwrap();
    all
}

const STAGES: [&str; 6] = [
    "S00_no_volumes",
    "S02_volumes_root_path_mount",
    "S05_shared_volumes",
    "S07_labels_principal",
    "S08_marathon_ids",
    "S10b_after_grow",
];

#[test]
fn both_lists_of_a_master_tell_the_same_of_an_agent() {
    for stage in STAGES {
        let (v1, legacy) = (agents(stage), slaves(stage));
        assert_eq!((v1.len(), legacy.len()), (1, 1), "{stage}");
        let sorted = |entry: &AgentEntry| {
            let mut all = entry.resources.clone();
            all.sort();
            all
        };
        assert_eq!(sorted(&v1[0]), sorted(&legacy[0]), "{stage}");
        assert_eq!(v1[0].id, legacy[0].id);
        assert_eq!(v1[0].capabilities, legacy[0].capabilities);
        assert!(v1[0].capabilities.contains("RESIZE_VOLUME"));
        assert_eq!(legacy[0].hides(), None, "{stage}");
        assert!(legacy[0].active);
        assert_eq!(legacy[0].port, Some(5051));
    }
}

#[test]
fn an_agent_whose_roles_are_hidden_is_told_from_one_without_volumes() {
    let mut body: Value = serde_json::from_slice(&recorded(
        "S02_volumes_root_path_mount",
        "master_slaves.json",
    ))
    .unwrap();
    body["slaves"][0]["reserved_resources_full"] = json!({});
    let mut all = Vec::new();
    read_slaves(body.to_string().as_bytes(), &mut |one| all.push(one)).unwrap();
    assert!(all[0].hides().unwrap().contains("VIEW_ROLE"));
}

/// What a master lists is what DESTROY has to name: nothing may be lost on the way.
#[test]
fn every_recorded_resource_is_written_as_it_was_read_in_both_formats() {
    for stage in STAGES {
        for one in &agents(stage)[0].resources {
            for format in [POST, PRE] {
                let written = resource_json(one, format).unwrap();
                assert_eq!(
                    resources(&json!([written]), "x").unwrap(),
                    std::slice::from_ref(one),
                    "{stage}"
                );
            }
        }
    }
}

fn path() -> Resource {
    whole(
        &DiskRef {
            kind: DiskType::Path,
            root: Raw::from("/srv/m/mnt/path0"),
        },
        &SourceExtras::default(),
        Megabytes::whole(128),
    )
}

fn persistence(id: &str) -> Persistence {
    Persistence {
        id: PersistenceId::new(id),
        principal: Some(Raw::from("ops")),
        container_path: Some(Raw::from("data")),
    }
}

#[test]
fn calls_have_the_forms_that_the_master_takes() {
    let agent = Raw::from("S0");
    let labels = vec![(Raw::from("k"), Some(Raw::from("v")))];
    let held = reserved(
        &path(),
        &Role::new("prod"),
        Some(Raw::from("ops")),
        labels.clone(),
    )
    .unwrap();
    let post = Change::Reserve(vec![held.clone()])
        .body(&agent, POST)
        .unwrap();
    assert_eq!(
        post,
        json!({
            "type": "RESERVE_RESOURCES",
            "reserve_resources": {
                "agent_id": { "value": "S0" },
                "resources": [{
                    "name": "disk", "type": "SCALAR", "scalar": { "value": 128 },
                    "reservations": [{ "type": "DYNAMIC", "role": "prod", "principal": "ops",
                        "labels": { "labels": [{ "key": "k", "value": "v" }] } }],
                    "disk": { "source": { "type": "PATH", "path": { "root": "/srv/m/mnt/path0" } } }
                }]
            }
        })
    );
    let made = volume(&held, persistence("v1"), true).unwrap();
    let pre = Change::Create(vec![made.clone()])
        .body(&agent, PRE)
        .unwrap();
    assert_eq!(
        pre["create_volumes"]["volumes"][0],
        json!({
            "name": "disk", "type": "SCALAR", "scalar": { "value": 128 },
            "role": "prod",
            "reservation": { "principal": "ops",
                "labels": { "labels": [{ "key": "k", "value": "v" }] } },
            "disk": {
                "persistence": { "id": "v1", "principal": "ops" },
                "volume": { "mode": "RW", "container_path": "data" },
                "source": { "type": "PATH", "path": { "root": "/srv/m/mnt/path0" } }
            },
            "shared": {}
        })
    );
    let shrink = Change::Shrink {
        volume: Box::new(made.clone()),
        subtract: Megabytes::from_thousandths(1500),
    };
    assert_eq!(
        shrink.body(&agent, POST).unwrap()["shrink_volume"]["subtract"],
        json!({ "value": 1.5 })
    );
    assert_eq!(stripped_volume(&made), held);
    assert_eq!(unreserved(&held).unwrap(), path());
    let grow = Change::Grow {
        volume: Box::new(made.clone()),
        addition: Box::new(reserved_part(&held, Megabytes::whole(1))),
    };
    let grow = grow.body(&agent, POST).unwrap();
    assert_eq!(grow["grow_volume"]["addition"]["scalar"]["value"], json!(1));
    assert!(
        grow["grow_volume"]["addition"]["disk"]
            .get("persistence")
            .is_none()
    );
}

#[test]
fn what_mesos_would_refuse_is_not_built() {
    assert!(matches!(
        reserved(&path(), &Role::new("*"), None, Vec::new()),
        Err(BuildError::Role { .. })
    ));
    assert!(matches!(
        reserved(&path(), &Role::new("a b"), None, Vec::new()),
        Err(BuildError::Role { .. })
    ));
    let eng = reserved(&path(), &Role::new("eng"), None, Vec::new()).unwrap();
    assert!(matches!(
        reserved(&eng, &Role::new("ops"), None, Vec::new()),
        Err(BuildError::NotBelow { .. })
    ));
    let refined = reserved(&eng, &Role::new("eng/dev"), None, Vec::new()).unwrap();
    assert_eq!(resource_json(&refined, PRE), Err(WriteError::Refined));
    assert!(resource_json(&refined, POST).is_ok());
    assert_eq!(
        volume(&path(), persistence("v"), false),
        Err(BuildError::Unreserved)
    );
    let made = volume(&eng, persistence("v"), false).unwrap();
    assert_eq!(
        volume(&made, persistence("w"), false),
        Err(BuildError::IsVolume)
    );
    assert_eq!(unreserved(&path()), Err(BuildError::Unreserved));
    let odd = volume(
        &eng,
        Persistence {
            id: PersistenceId::new(&b"\xff"[..]),
            ..persistence("v")
        },
        false,
    )
    .unwrap();
    assert!(matches!(
        resource_json(&odd, POST),
        Err(WriteError::NotText { .. })
    ));
}

#[test]
fn old_masters_get_the_old_format() {
    let version = |minor| AgentVersion {
        major: 1,
        minor,
        patch: 0,
    };
    assert_eq!(ResourceFormat::of(version(3)), PRE);
    assert_eq!(ResourceFormat::of(version(4)), POST);
    assert_eq!(ResourceFormat::of(version(12)), POST);
}

#[test]
fn half_an_answer_is_no_answer() {
    let whole = recorded("S02_volumes_root_path_mount", "master_v1_GET_AGENTS.json");
    let end = whole
        .iter()
        .rposition(|byte| !byte.is_ascii_whitespace())
        .unwrap();
    for cut in [0, 1, 20, end / 2, end] {
        assert!(read_agents(&whole[..cut], &mut |_| {}).is_err(), "{cut}");
    }
    let slaves = recorded("S02_volumes_root_path_mount", "master_slaves.json");
    assert!(matches!(
        read_agents(slaves.as_slice(), &mut |_| {}),
        Err(StreamError::Missing("get_agents"))
    ));
    assert!(matches!(
        read_slaves(whole.as_slice(), &mut |_| {}),
        Err(StreamError::Missing("slaves"))
    ));
    let odd = br#"{"slaves": [{"id": "a"}], "recovered_slaves": []}"#;
    assert!(matches!(
        read_slaves(&odd[..], &mut |_| {}),
        Err(StreamError::Entry(StateError::Missing { .. }))
    ));
    let none = br#"{"type": "GET_AGENTS", "get_agents": {}}"#;
    assert_eq!(
        read_agents(&none[..], &mut |_| {}).unwrap(),
        AgentsSeen::default()
    );
    let recovered = br#"{"slaves": [], "recovered_slaves": [{"id": "S7"}]}"#;
    assert_eq!(
        read_slaves(&recovered[..], &mut |_| {}).unwrap().recovered,
        [Raw::from("S7")]
    );
}

#[test]
fn the_answers_of_an_agent_are_read() {
    let stage = "S11_task_running";
    let tasks = parse_tasks(&recorded(stage, "agent_v1_GET_TASKS.json")).unwrap();
    let running: Vec<_> = tasks
        .iter()
        .filter(|task| task.phase == TaskPhase::Launched)
        .collect();
    assert_eq!(running.len(), 1);
    assert_eq!(running[0].volumes.len(), 3);
    let all = parse_agent_info(&recorded(stage, "agent_v1_GET_AGENT.json")).unwrap();
    assert_eq!(all.len(), 6);
    assert_eq!(
        parse_operations(&recorded(stage, "agent_v1_GET_OPERATIONS.json")).unwrap(),
        []
    );
    assert_eq!(
        parse_providers(&recorded(stage, "agent_v1_GET_RESOURCE_PROVIDERS.json")).unwrap(),
        []
    );
    assert!(parse_tasks(&recorded(stage, "agent_v1_GET_AGENT.json")).is_err());
    let uses =
        parse_statistics(&recorded("S13_statistics", "agent_monitor_statistics.json")).unwrap();
    assert_eq!(uses.len(), 1);
    assert_eq!(uses[0].used, 3_149_824);
    assert_eq!(uses[0].root, Some(Raw::from("/srv/m/mnt/path0")));
}

#[test]
fn an_operation_names_its_volumes_and_whoever_asked() {
    let volume = json!({
        "name": "disk", "type": "SCALAR", "scalar": { "value": 8.0 },
        "reservations": [{ "type": "DYNAMIC", "role": "prod" }],
        "disk": { "persistence": { "id": "v1" },
            "volume": { "mode": "RW", "container_path": "data" } }
    });
    let body = |state: &str, info: Value| {
        json!({ "type": "GET_OPERATIONS", "get_operations": { "operations": [{
            "framework_id": { "value": "F" }, "agent_id": { "value": "S0" },
            "info": info,
            "latest_status": { "state": state },
            "uuid": { "value": "spGiQl0vQUGttzwAtDXfzQ==" }
        }] } })
        .to_string()
    };
    let key = VolumeKey::new(Role::new("prod"), PersistenceId::new("v1"));
    let destroy = json!({ "type": "DESTROY", "destroy": { "volumes": [volume] } });
    for (text, state) in [
        ("OPERATION_PENDING", OperationState::Pending),
        ("OPERATION_FINISHED", OperationState::Finished),
        ("OPERATION_DROPPED", OperationState::Failed),
        ("OPERATION_UNREACHABLE", OperationState::Unclear),
        ("OPERATION_NOVEL", OperationState::Unclear),
    ] {
        let all = parse_operations(body(text, destroy.clone()).as_bytes()).unwrap();
        assert_eq!(all[0].operation.state, state);
        assert_eq!(all[0].operation.kind, OperationKind::Destroy);
        assert_eq!(all[0].operation.uuid, "b291a2425d2f4141adb73c00b435dfcd");
        assert_eq!(all[0].framework, Some(Raw::from("F")));
        assert_eq!(all[0].operation.volumes[0].volume_key(), Some(key.clone()));
    }
    let grow = json!({ "type": "GROW_VOLUME", "grow_volume": { "volume": volume,
        "addition": { "name": "disk", "type": "SCALAR", "scalar": { "value": 1.0 } } } });
    let all = parse_operations(body("OPERATION_PENDING", grow).as_bytes()).unwrap();
    assert_eq!(all[0].operation.volumes.len(), 2);
}

#[test]
fn frameworks_are_present_or_completed() {
    let body = json!({ "type": "GET_FRAMEWORKS", "get_frameworks": {
        "frameworks": [{ "framework_info": { "user": "root", "name": "marathon",
            "id": { "value": "F1" }, "failover_timeout": 604_800.0, "roles": ["prod", "dev"],
            "principal": "marathon" }, "active": true, "connected": true, "recovered": false }],
        "completed_frameworks": [{ "framework_info": { "user": "root", "name": "old",
            "id": { "value": "F0" }, "role": "prod" }, "active": false, "connected": false,
            "recovered": false }]
    } });
    let all = parse_frameworks(body.to_string().as_bytes()).unwrap();
    assert_eq!(all.present[0].id, Raw::from("F1"));
    assert_eq!(
        all.present[0].roles,
        BTreeSet::from([Role::new("prod"), Role::new("dev")])
    );
    assert!((all.present[0].failover_timeout - 604_800.0).abs() < 0.1);
    assert_eq!(all.completed[0].roles, BTreeSet::from([Role::new("prod")]));
    let master = json!({ "type": "GET_MASTER", "get_master": { "master_info": { "id": "M",
        "ip": 1, "port": 5050, "version": "1.12.0" }, "start_time": 1.5, "elected_time": 2.5 } });
    let master = parse_master(master.to_string().as_bytes()).unwrap();
    assert_eq!(master.elected, Some(2.5));
    assert_eq!(
        parse_version(br#"{"version":"1.3.0"}"#)
            .unwrap()
            .unwrap()
            .minor,
        3
    );
}

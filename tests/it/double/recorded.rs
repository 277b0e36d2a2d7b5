//! The stand-ins write and say what was recorded, byte for byte.

use mesos_volumed::mesos::checkpoint::{Form, OperationContext, encode_info, encode_state};
use mesos_volumed::mesos::resource::Resource;
use mesos_volumed::mesos::state::ResourceState;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::stand_ins::agent::{Agent, Task};
use crate::stand_ins::change::Change;
use crate::stand_ins::flags::Flags;
use crate::stand_ins::json::J;
use crate::stand_ins::master::{Master, MasterOrder};
use crate::stand_ins::register::Registration;
use crate::stand_ins::{answer, calls, master_http, resources, views};

/// A document with its keys in the order of the text.
struct Ordered(J);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = J;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }
            fn visit_bool<E>(self, truth: bool) -> Result<J, E> {
                Ok(J::Bool(truth))
            }
            fn visit_i64<E>(self, number: i64) -> Result<J, E> {
                Ok(J::Int(number))
            }
            fn visit_u64<E>(self, number: u64) -> Result<J, E> {
                Ok(J::Int(i64::try_from(number).unwrap()))
            }
            fn visit_f64<E>(self, number: f64) -> Result<J, E> {
                Ok(J::Real(number))
            }
            fn visit_str<E>(self, text: &str) -> Result<J, E> {
                Ok(J::from(text))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<J, A::Error> {
                let mut list = Vec::new();
                while let Some(Ordered(item)) = items.next_element()? {
                    list.push(item);
                }
                Ok(J::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<J, A::Error> {
                let mut object = Vec::new();
                while let Some((key, Ordered(value))) = members.next_entry()? {
                    object.push((key, value));
                }
                Ok(J::Object(object))
            }
        }
        deserializer.deserialize_any(Reader).map(Ordered)
    }
}

fn file(stage: &str, name: &str) -> Vec<u8> {
    let path = format!(
        "{}/tests/fixtures/mesos/stages/{stage}/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn recorded(stage: &str, name: &str) -> J {
    let Ordered(json) = serde_json::from_slice(&file(stage, name)).unwrap();
    json
}

/// The member at this place, through lists and objects.
fn member<'a>(json: &'a mut J, path: &[&str]) -> &'a mut J {
    path.iter().fold(json, |json, key| match json {
        J::Object(members) => {
            let found = members.iter_mut().find(|(name, _)| name == key);
            &mut found.unwrap_or_else(|| panic!("no {key}")).1
        }
        J::List(items) => &mut items[key.parse::<usize>().unwrap()],
        other @ (J::Bool(_) | J::Real(_) | J::Int(_) | J::Text(_)) => panic!("{key} of {other}"),
    })
}

/// Equal once what can't be (times, flags that have no meaning here) is taken from the recording.
#[track_caller]
fn same(ours: &mut J, theirs: &mut J, but: &[&[&str]]) {
    for path in but {
        *member(ours, path) = member(theirs, path).clone();
    }
    similar_asserts::assert_eq!(ours.to_string(), theirs.to_string());
}

/// The recorded agent and master, without a disk behind them.
struct Both {
    agent: Agent,
    master: Master,
}

impl Both {
    fn new(stage: &str) -> Self {
        let mut shown = recorded(stage, "agent_state.json");
        let text = |json: &mut J, path: &[&str]| match member(json, path) {
            J::Text(text) => text.clone(),
            other @ (J::Bool(_) | J::Real(_) | J::Int(_) | J::List(_) | J::Object(_)) => {
                panic!("{other}")
            }
        };
        let resources = text(&mut shown, &["flags", "resources"]);
        let flags = <Flags as clap::Parser>::parse_from([
            "mesos-agent",
            "--work_dir=/srv/m/state/agent",
            "--hostname=127.0.0.1",
            "--as_version=1.12.0",
            "--control=/nowhere",
            &format!("--resources={resources}"),
        ]);
        let mut agent = Agent::new(flags).unwrap();
        agent.id = text(&mut shown, &["id"]);
        let both = Self {
            master: Master::new("127.0.0.1", 5050, "1.12.0"),
            agent,
        };
        let registration = Registration::of(&both.agent, "first");
        both.master
            .order(MasterOrder::Simulate(Box::new(registration)))
            .unwrap();
        both
    }

    /// A call of the operator API; it changes the agent where the master takes it.
    fn call(&mut self, kind: &str, list: &[Resource]) -> (u16, String) {
        let key = if kind.ends_with("VOLUMES") {
            "volumes"
        } else {
            "resources"
        };
        let list: Vec<serde_json::Value> = list
            .iter()
            .map(|one| {
                let json = resources::json(one, &resources::Shape::Post, None);
                json.to_string().parse().unwrap()
            })
            .collect();
        self.raw(&serde_json::json!({
            "type": kind,
            kind.to_ascii_lowercase(): {"agent_id": {"value": self.agent.id}, key: list},
        }))
    }

    fn raw(&mut self, call: &serde_json::Value) -> (u16, String) {
        let answer = self.master.operate(call);
        if answer.status == 202 {
            let change = Change::from_call(call).unwrap();
            self.agent.total = change.apply(&self.agent.total).unwrap();
        }
        (answer.status, answer.body)
    }

    fn takes(&mut self, kind: &str, list: &[Resource]) {
        assert_eq!(self.call(kind, list), (202, String::new()), "{kind}");
    }

    /// Three disks reserved for role prod, and one volume on each.
    fn volumes(&mut self, volumes: [(&str, &str); 3]) {
        let disks = reserved("prod");
        self.takes("RESERVE_RESOURCES", &disks);
        for (disk, (id, path)) in disks.iter().zip(volumes) {
            self.takes("CREATE_VOLUMES", &[volume(disk, id, path)]);
        }
    }

    /// Checkpoints and answers are those of the stage.
    fn is_at(&mut self, stage: &str) {
        let held = self.agent.held();
        let info = encode_info(&held, Form::Pre).unwrap();
        let whole = ResourceState {
            operations: Vec::new(),
            resources: held,
        };
        let context = OperationContext {
            agent_id: b"",
            status_uuid: [0; 16],
        };
        let whole = encode_state(&whole, &context).unwrap();
        if stage != "S00_no_volumes" {
            let file = |name: &str| file(stage, &format!("meta/resources/{name}"));
            assert_eq!(info, file("resources.info"), "{stage}");
            assert_eq!(whole, file("resources_and_operations.state"), "{stage}");
        }
        let mut theirs = recorded(stage, "agent_state.json");
        let mut ours = answer::state(&self.agent, &[]);
        same(&mut ours, &mut theirs, &[&["start_time"], &["flags"]]);
        let agent = ["slaves", "0"];
        let time = [&agent[..], &["registered_time"]].concat();
        same(
            &mut master_http::slaves(&self.master.lock(), None, &[]),
            &mut recorded(stage, "master_slaves.json"),
            &[&time],
        );
        let mut theirs = recorded(stage, "master_v1_GET_AGENTS.json");
        same(
            &mut master_http::agents(&self.master.lock(), &[]),
            member(&mut theirs, &["get_agents"]),
            &[&["agents", "0", "registered_time"]],
        );
    }

    /// The agent's answer to a call is the recorded one.
    fn says(&self, stage: &str, kind: &str) {
        let answer = calls::answer(&serde_json::json!({ "type": kind }), &self.agent, &[]);
        let theirs = recorded(stage, &format!("agent_v1_{kind}.json"));
        similar_asserts::assert_eq!(answer.body, theirs.to_string());
    }
}

fn reserved(role: &str) -> Vec<Resource> {
    [
        ("ROOT", 64.0),
        ("PATH:/srv/m/mnt/path0", 128.0),
        ("MOUNT:/srv/m/mnt/vol0", 240.0),
    ]
    .into_iter()
    .map(|(disk, size)| resources::reserved(role, disk, size).unwrap())
    .collect()
}

fn volume(disk: &Resource, id: &str, path: &str) -> Resource {
    let json = serde_json::json!({"name": "disk", "type": "SCALAR", "scalar": {"value": 1},
        "disk": {"persistence": {"id": id}, "volume": {"mode": "RW", "container_path": path}}});
    Resource {
        persistence: resources::from_json(&json).unwrap().persistence,
        ..disk.clone()
    }
}

fn held_volumes(both: &Both) -> Vec<Resource> {
    let held = both.agent.held().into_iter();
    held.filter(|one| one.persistence.is_some()).collect()
}

#[test]
fn a_life_from_reserve_to_unreserve_is_the_recorded_one() {
    let mut both = Both::new("S00_no_volumes");
    both.is_at("S00_no_volumes");
    for kind in [
        "GET_AGENT",
        "GET_TASKS",
        "GET_OPERATIONS",
        "GET_RESOURCE_PROVIDERS",
        "GET_VERSION",
        "GET_HEALTH",
    ] {
        both.says("S00_no_volumes", kind);
    }
    let disks = reserved("prod");
    both.takes("RESERVE_RESOURCES", &disks);
    both.is_at("S01_reserved");
    let volumes: Vec<Resource> = disks
        .iter()
        .zip(["root", "path", "mount"])
        .map(|(disk, name)| volume(disk, &format!("{name}-vol-0001"), &format!("data-{name}")))
        .collect();
    for one in &volumes {
        both.takes("CREATE_VOLUMES", std::slice::from_ref(one));
    }
    both.is_at("S02_volumes_root_path_mount");
    for one in &volumes {
        both.takes("DESTROY_VOLUMES", std::slice::from_ref(one));
    }
    both.is_at("S03_after_destroy");
    both.takes("UNRESERVE_RESOURCES", &disks);
    both.is_at("S04_after_unreserve");
}

#[test]
fn shared_volumes_labels_and_ids_of_marathon_are_the_recorded_ones() {
    for stage in [
        "S05_shared_volumes",
        "S07_labels_principal",
        "S08_marathon_ids",
    ] {
        let mut both = Both::new(stage);
        let shown: serde_json::Value =
            serde_json::from_slice(&file(stage, "agent_state.json")).unwrap();
        let roles = shown["reserved_resources_full"].as_object().unwrap();
        let list = roles.values().next().unwrap().as_array().unwrap();
        // They were made on ROOT first, then on PATH and MOUNT.
        let volumes: Vec<Resource> = [1, 0, 2]
            .iter()
            .map(|&index: &usize| resources::from_json(&list[index]).unwrap())
            .collect();
        let disks: Vec<Resource> = volumes.iter().map(resources::plain_disk).collect();
        both.takes("RESERVE_RESOURCES", &disks);
        for one in &volumes {
            both.takes("CREATE_VOLUMES", std::slice::from_ref(one));
        }
        both.is_at(stage);
    }
}

#[test]
fn growing_is_the_recorded_one_and_a_mount_can_not_grow() {
    let mut both = Both::new("S10b_after_grow");
    let disks = reserved("prod");
    both.takes("RESERVE_RESOURCES", &disks);
    let sized = |disk: &Resource, mib| Resource {
        value: mesos_volumed::mesos::resource::Value::Scalar(
            mesos_volumed::units::Megabytes::whole(mib),
        ),
        ..disk.clone()
    };
    for (index, mib, id) in [(0, 32, "g-root"), (1, 64, "g-path"), (2, 240, "g-mount")] {
        let part = sized(&disks[index], mib);
        if index == 2 {
            let less = volume(&sized(&disks[2], 100), id, "data");
            assert_eq!(both.call("CREATE_VOLUMES", &[less]).0, 409);
        }
        both.takes("CREATE_VOLUMES", &[volume(&part, id, "data")]);
    }
    let json = |one: &Resource| -> serde_json::Value {
        let json = resources::json(one, &resources::Shape::Post, None);
        json.to_string().parse().unwrap()
    };
    let mut answers = Vec::new();
    for (index, id, by) in [(0, "g-root", 16), (1, "g-path", 64), (2, "g-mount", 1)] {
        let held = held_volumes(&both);
        let one = held
            .iter()
            .find(|one| one.volume_key().unwrap().id.to_string() == id)
            .unwrap();
        let call = serde_json::json!({"type": "GROW_VOLUME", "grow_volume": {
            "agent_id": {"value": both.agent.id}, "volume": json(one),
            "addition": json(&sized(&disks[index], by))}});
        answers.push(both.raw(&call));
    }
    let refused = format!(
        "Invalid GROW_VOLUME operation on agent {} at slave(1)@127.0.0.1:5051 (127.0.0.1): \
         Incompatible resources in the 'GrowVolume.volume' and 'GrowVolume.addition' fields",
        both.agent.id
    );
    assert_eq!(
        answers,
        [(202, String::new()), (202, String::new()), (400, refused)]
    );
    both.is_at("S10b_after_grow");
}

#[test]
fn a_running_task_shows_as_it_did() {
    let stage = "S11_task_running";
    let mut both = Both::new(stage);
    let ids = [
        ("task-root", "data-root"),
        ("task-path", "data-path"),
        ("task-mount", "data-mount"),
    ];
    both.volumes(ids);
    let mut theirs = recorded(stage, "agent_v1_GET_TASKS.json");
    let task = member(&mut theirs, &["get_tasks", "launched_tasks", "0"]).clone();
    let plain: serde_json::Value = task.to_string().parse().unwrap();
    let resources = plain["resources"].as_array().unwrap();
    both.agent.tasks.push(Task {
        id: "vol-task-1".to_owned(),
        framework: plain["framework_id"]["value"].as_str().unwrap().to_owned(),
        container: "b410b16e-becd-4cb7-8c26-04d0e23b5d4a".to_owned(),
        resources: resources
            .iter()
            .map(|one| resources::from_json(one).unwrap())
            .collect(),
    });
    // How far a task has come is not told here: no statuses.
    let mut ours = views::v1_task(&both.agent.tasks[0], &both.agent.id);
    let J::Object(mut members) = task else {
        panic!("no object")
    };
    members.retain(|(name, _)| !name.starts_with("status_update"));
    same(&mut ours, &mut J::Object(members), &[&["statuses"]]);
    let registration = Registration::of(&both.agent, "first");
    both.master.register(registration);
    let mut slaves = recorded(stage, "master_slaves.json");
    let agent = ["slaves", "0"];
    let of = |keys: &[&'static str]| [&agent[..], keys].concat();
    let mut ours = master_http::slaves(&both.master.lock(), None, &[]);
    same(
        &mut ours,
        &mut slaves,
        &[
            &of(&["registered_time"]),
            // What was in offers at that moment.
            &of(&["offered_resources"]),
            &of(&["offered_resources_full"]),
        ],
    );
    // While it runs, its volumes can't be destroyed.
    let volumes = held_volumes(&both);
    assert_eq!(
        both.call("DESTROY_VOLUMES", &volumes[..1]),
        (
            400,
            "Invalid DESTROY operation: Persistent volumes in use".to_owned()
        )
    );
}

/// What the recording has for this case; it stands between quotes, as Python prints bytes.
fn answered<'a>(said: &'a str, name: &str, status: u16) -> Option<&'a str> {
    let start = format!("{name}: ({status}, b");
    let text = said.lines().find_map(|line| line.strip_prefix(&start))?;
    let text = text.strip_suffix(')')?;
    text.trim_start_matches(['\'', '"'])
        .strip_suffix(['\'', '"'])
}

#[test]
fn what_a_master_refuses_is_refused_in_its_words() {
    let said = include_str!("../../fixtures/mesos/extra/misc_operations.txt");
    let mut both = Both::new("S02_volumes_root_path_mount");
    both.agent.id = "dfa5295f-f7bb-46f8-88ed-7fea7cafeb54-S0".to_owned();
    let registration = Registration::of(&both.agent, "first");
    both.master
        .order(MasterOrder::Simulate(Box::new(registration)))
        .unwrap();
    both.volumes(["root1", "path1", "mount1"].map(|id| (id, "data")));
    let disks = reserved("prod");
    let sized = |disk: &Resource, mib| Resource {
        value: mesos_volumed::mesos::resource::Value::Scalar(
            mesos_volumed::units::Megabytes::whole(mib),
        ),
        ..disk.clone()
    };
    let path1 = volume(&disks[1], "path1", "data");
    let unreserved = Resource {
        reservations: Vec::new(),
        ..path1.clone()
    };
    let nowhere = resources::reserved("prod", "PATH:/nowhere", 1.0).unwrap();
    let calls = [
        (
            "unreserve under a volume",
            "UNRESERVE_RESOURCES",
            disks[1].clone(),
        ),
        (
            "destroy unknown id",
            "DESTROY_VOLUMES",
            volume(&disks[1], "no", "data"),
        ),
        (
            "destroy with wrong size",
            "DESTROY_VOLUMES",
            sized(&path1, 64),
        ),
        ("create with same id again", "CREATE_VOLUMES", path1),
        ("create on unreserved", "CREATE_VOLUMES", unreserved),
        (
            "reserve more than there is",
            "RESERVE_RESOURCES",
            sized(&disks[1], 99_999),
        ),
        ("reserve unknown root", "RESERVE_RESOURCES", nowhere),
    ];
    for (name, kind, one) in calls {
        let (status, text) = both.call(kind, &[one]);
        similar_asserts::assert_eq!(Some(text.as_str()), answered(said, name, status));
    }
    let new = volume(&disks[1], "new", "data");
    let json = resources::json(&new, &resources::Shape::Post, None);
    for (name, change) in [
        ("create RO", r#"{"mode":"RO","container_path":"data"}"#),
        (
            "create with host_path",
            r#"{"mode":"RW","container_path":"data","host_path":"/x"}"#,
        ),
        ("create without volume", "null"),
    ] {
        let mut one: serde_json::Value = json.to_string().parse().unwrap();
        one["disk"]["volume"] = change.parse().unwrap();
        if change == "null" {
            one["disk"].as_object_mut().unwrap().remove("volume");
        }
        let (status, text) = both.raw(&serde_json::json!({"type": "CREATE_VOLUMES",
            "create_volumes": {"agent_id": {"value": both.agent.id}, "volumes": [one]}}));
        similar_asserts::assert_eq!(Some(text.as_str()), answered(said, name, status));
    }
}

#[test]
fn roles_are_refused_in_the_masters_words() {
    let said = include_str!("../../fixtures/mesos/extra/role_name_verdicts.txt");
    let mut refused = 0;
    for line in said.lines().skip(1) {
        let Some((role, verdict)) = line.split_once(": HTTP ") else {
            continue;
        };
        // Long ones are cut in the recording.
        let Some(role) = role
            .trim()
            .strip_prefix('\'')
            .and_then(|role| role.strip_suffix('\''))
        else {
            continue;
        };
        let mut both = Both::new("S00_no_volumes");
        let one = resources::reserved(role, "ROOT", 1.0).unwrap();
        let (status, text) = both.call("RESERVE_RESOURCES", &[one]);
        similar_asserts::assert_eq!(format!("{status} {text}"), verdict);
        refused += u32::from(status == 400);
    }
    assert!(refused >= 10, "{refused}");
}

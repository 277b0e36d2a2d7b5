//! The checkpoint files that a real agent wrote (tests/fixtures/mesos), against what `protoc` says
//! is in them; cut off at every byte and with every bit flipped.
#![expect(clippy::arithmetic_side_effects, reason = "test arithmetic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use mesos_volumed::mesos::agent_state::parse_state;
use mesos_volumed::mesos::checkpoint::{
    Content, DecodeError, Form, OperationContext, decode_executor_info, decode_info,
    decode_slave_info, decode_state, decode_task_info, encode_info, encode_state,
};
use mesos_volumed::mesos::disk::{DiskSource, SourceType};
use mesos_volumed::mesos::ids::{PersistenceId, Role, VolumeKey};
use mesos_volumed::mesos::resource::{Persistence, Reservation, ReservationType, Resource, Value};
use mesos_volumed::mesos::state::{OperationKind, OperationState, ResourceState};
use mesos_volumed::units::{Megabytes, Raw};

/// Every recorded file, by its path below the fixtures.
fn recordings() -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if fs::metadata(&path).unwrap().is_dir() {
                walk(&path, found);
            } else {
                found.insert(path.clone(), fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&fixtures(), &mut found);
    found
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mesos")
}

fn named(path: &Path, names: &[&str]) -> bool {
    names
        .iter()
        .any(|name| path.file_name().unwrap().to_str() == Some(*name))
}

const STATES: &[&str] = &[
    "resources_and_operations.state",
    "resources_and_operations.target",
];
const INFOS: &[&str] = &["resources.info", "resources.target"];

fn state(bytes: &[u8]) -> ResourceState {
    match decode_state(bytes).unwrap() {
        Content::Whole(state) => state,
        Content::Empty => panic!("0 bytes"),
    }
}

fn info(bytes: &[u8]) -> Vec<Resource> {
    match decode_info(bytes).unwrap() {
        Content::Whole(resources) => resources,
        Content::Empty => Vec::new(),
    }
}

/// A message in protobuf's text form.
#[derive(Default)]
struct Text(Vec<(String, Field)>);

enum Field {
    Value(String),
    Message(Text),
}

impl Text {
    fn parse<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Self {
        let mut fields = Vec::new();
        while let Some(line) = lines.next() {
            let line = line.trim();
            if line == "}" {
                break;
            }
            if let Some(name) = line.strip_suffix(" {") {
                fields.push((name.to_owned(), Field::Message(Self::parse(lines))));
            } else if let Some((name, value)) = line.split_once(": ") {
                let value = value.trim_matches('"').replace("\\\'", "'");
                fields.push((name.to_owned(), Field::Value(value)));
            }
        }
        Self(fields)
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter_map(move |(key, field)| match field {
            Field::Value(value) if key == name => Some(value.as_str()),
            Field::Value(_) | Field::Message(_) => None,
        })
    }

    fn value(&self, name: &str) -> Option<Raw> {
        self.values(name).next().map(Raw::from)
    }

    fn messages<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.0.iter().filter_map(move |(key, field)| match field {
            Field::Message(message) if key == name => Some(message),
            Field::Value(_) | Field::Message(_) => None,
        })
    }

    fn message<'a>(&'a self, name: &'a str) -> Option<&'a Self> {
        self.messages(name).next()
    }

    fn number(&self, name: &str) -> f64 {
        self.values(name).next().unwrap().parse().unwrap()
    }

    fn labels(&self) -> Vec<(Raw, Option<Raw>)> {
        self.message("labels")
            .into_iter()
            .flat_map(|labels| labels.messages("labels"))
            .map(|label| (label.value("key").unwrap(), label.value("value")))
            .collect()
    }

    fn reservation(&self, role: Raw, kind: ReservationType) -> Reservation {
        Reservation {
            kind,
            role: Role::new(role),
            principal: self.value("principal"),
            labels: self.labels(),
        }
    }

    fn resource(&self) -> Resource {
        let stack: Vec<_> = self
            .messages("reservations")
            .map(|one| {
                assert_eq!(one.value("type"), Some(Raw::from("DYNAMIC")));
                one.reservation(one.value("role").unwrap(), ReservationType::Dynamic)
            })
            .collect();
        let role = self.value("role").filter(|role| *role != Raw::from("*"));
        let reservations = match (stack.is_empty(), role, self.message("reservation")) {
            (false, _, _) => stack,
            (true, Some(role), Some(one)) => {
                vec![one.reservation(role, ReservationType::Dynamic)]
            }
            (true, Some(role), None) => {
                vec![Self::default().reservation(role, ReservationType::Static)]
            }
            (true, None, _) => Vec::new(),
        };
        let disk = self.message("disk");
        Resource {
            name: self.value("name").unwrap(),
            value: match self.message("ranges") {
                Some(ranges) => Value::Ranges(
                    ranges
                        .messages("range")
                        .map(|one| {
                            let number = |name| one.values(name).next().unwrap().parse().unwrap();
                            (number("begin"), number("end"))
                        })
                        .collect(),
                ),
                None => Value::Scalar(
                    Megabytes::from_f64(self.message("scalar").unwrap().number("value")).unwrap(),
                ),
            },
            reservations,
            source: disk.and_then(|disk| disk.message("source")).map(|source| {
                let (kind, member) = match source.value("type").unwrap().as_str().unwrap() {
                    "PATH" => (SourceType::Path, "path"),
                    "MOUNT" => (SourceType::Mount, "mount"),
                    other => panic!("{other}"),
                };
                DiskSource {
                    kind,
                    root: source.message(member).unwrap().value("root"),
                    id: None,
                    vendor: None,
                    profile: None,
                    metadata: Vec::new(),
                }
            }),
            persistence: disk.and_then(|disk| {
                let persistence = disk.message("persistence")?;
                Some(Persistence {
                    id: PersistenceId::new(persistence.value("id").unwrap()),
                    principal: persistence.value("principal"),
                    container_path: disk.message("volume").unwrap().value("container_path"),
                })
            }),
            shared: self.message("shared").is_some(),
            provider_id: None,
        }
    }

    fn resources<'a>(&'a self, name: &'a str) -> Vec<Resource> {
        self.messages(name).map(Self::resource).collect()
    }
}

/// What `protoc` said of a file: its path below `meta`, and its records.
fn decoded_by_protoc(text: &str) -> Vec<(String, Vec<Text>)> {
    let mut files: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines() {
        if line.starts_with("# record ") {
            files.last_mut().unwrap().1.push(String::new());
        } else if let Some(header) = line.strip_prefix("# ") {
            let path = header.rsplitn(3, ' ').nth(2).unwrap();
            let below = ["/resources/resources", "/slaves/"]
                .iter()
                .filter_map(|part| path.find(part))
                .min();
            let below = below.map_or("", |start| path.split_at(start).1);
            files.push((below.trim_start_matches('/').to_owned(), Vec::new()));
        } else if let Some(record) = files.last_mut().and_then(|(_, records)| records.last_mut()) {
            record.push_str(line);
            record.push('\n');
        }
    }
    files
        .into_iter()
        .map(|(path, records)| {
            let records = records
                .iter()
                .map(|record| Text::parse(&mut record.lines()))
                .collect();
            (path, records)
        })
        .collect()
}

#[test]
fn every_recorded_file_says_what_protoc_says() {
    let mut compared: BTreeMap<&str, usize> = BTreeMap::new();
    let mut count = |what| *compared.entry(what).or_insert(0) += 1;
    for (path, text) in recordings() {
        if !named(&path, &["meta_decoded.txt"]) {
            continue;
        }
        let meta = path.parent().unwrap().join("meta");
        for (below, records) in decoded_by_protoc(&String::from_utf8(text).unwrap()) {
            let file = meta.join(&below);
            let only = || {
                assert_eq!(records.len(), 1, "{}", file.display());
                &records[0]
            };
            if named(&file, INFOS) {
                let expected: Vec<_> = records.iter().map(Text::resource).collect();
                assert_eq!(
                    info(&fs::read(&file).unwrap()),
                    expected,
                    "{}",
                    file.display()
                );
                count("info");
            } else if named(&file, STATES) {
                let seen = state(&fs::read(&file).unwrap());
                let expected = only();
                assert_eq!(seen.resources, expected.resources("resources"));
                let operations: Vec<_> = expected.messages("operations").collect();
                assert_eq!(seen.operations.len(), operations.len());
                for (seen, expected) in seen.operations.iter().zip(operations) {
                    let info = expected.message("info").unwrap();
                    let kind = info.value("type").unwrap();
                    let member = match seen.kind {
                        OperationKind::Create => "create",
                        OperationKind::Destroy => "destroy",
                        OperationKind::Resize | OperationKind::Other(_) => panic!("{kind}"),
                    };
                    assert_eq!(kind, Raw::from(member.to_uppercase()));
                    assert_eq!(
                        seen.volumes,
                        info.message(member).unwrap().resources("volumes")
                    );
                    let state = match seen.state {
                        OperationState::Pending => "OPERATION_PENDING",
                        OperationState::Finished => "OPERATION_FINISHED",
                        OperationState::Failed | OperationState::Unclear => panic!("{seen:?}"),
                    };
                    assert_eq!(
                        expected.message("latest_status").unwrap().value("state"),
                        Some(Raw::from(state))
                    );
                    count("operation");
                }
                count("state");
            } else if named(&file, &["slave.info"]) {
                let Content::Whole(seen) = decode_slave_info(&fs::read(&file).unwrap()).unwrap()
                else {
                    panic!("{}", file.display())
                };
                assert_eq!(Some(seen.hostname), only().value("hostname"));
                assert_eq!(seen.port, 5051);
                assert_eq!(seen.resources, only().resources("resources"));
                count("slave.info");
            } else if named(&file, &["task.info", "executor.info"]) {
                let bytes = fs::read(&file).unwrap();
                let (seen, id) = if named(&file, &["task.info"]) {
                    (decode_task_info(&bytes).unwrap(), "task_id")
                } else {
                    (decode_executor_info(&bytes).unwrap(), "executor_id")
                };
                let Content::Whole(seen) = seen else {
                    panic!("{}", file.display())
                };
                assert_eq!(Some(seen.id), only().message(id).unwrap().value("value"));
                assert_eq!(
                    seen.framework,
                    only().message("framework_id").unwrap().value("value")
                );
                assert_eq!(seen.resources, only().resources("resources"));
                count(id);
            }
        }
    }
    // Nothing was passed over: as many as were recorded.
    let expected = [
        ("executor_id", 7),
        ("info", 34),
        ("operation", 18),
        ("slave.info", 26),
        ("state", 34),
        ("task_id", 7),
    ];
    assert_eq!(compared.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn every_recorded_checkpoint_is_encoded_again_byte_for_byte() {
    let (mut states, mut infos) = (0, 0);
    for (path, bytes) in recordings() {
        if named(&path, STATES) {
            // The agent id and the uuid of a terminal status are the only things that the facts
            // leave out; they are found behind their tags.
            let behind = |tag: &[u8], length: usize| {
                bytes
                    .windows(tag.len())
                    .position(|window| window == tag)
                    .map(|start| bytes[start + tag.len()..][..length].to_vec())
            };
            let agent_id = behind(&[0x12, 41, 0x0a, 39], 39).unwrap_or_default();
            let status_uuid = behind(&[0x2a, 18, 0x0a, 16], 16)
                .and_then(|uuid| uuid.try_into().ok())
                .unwrap_or([0; 16]);
            let context = OperationContext {
                agent_id: &agent_id,
                status_uuid,
            };
            assert_eq!(
                encode_state(&state(&bytes), &context).unwrap(),
                bytes,
                "{}",
                path.display()
            );
            states += 1;
        } else if named(&path, INFOS) {
            let resources = info(&bytes);
            let refined = resources.iter().any(|one| one.reservations.len() > 1);
            let form = if refined { Form::Post } else { Form::Pre };
            assert_eq!(
                encode_info(&resources, form).unwrap(),
                bytes,
                "{}",
                path.display()
            );
            infos += 1;
        }
    }
    assert!(states >= 40 && infos >= 40, "{states} {infos}");
}

/// Recorded files of these names, each content once.
fn distinct(names: &[&str]) -> BTreeSet<Vec<u8>> {
    recordings()
        .into_iter()
        .filter(|(path, _)| named(path, names))
        .map(|(_, bytes)| bytes)
        .collect()
}

#[test]
fn a_file_cut_off_anywhere_is_never_whole() {
    for bytes in distinct(STATES) {
        for end in 1..bytes.len() {
            assert!(decode_state(&bytes[..end]).is_err(), "{end} {bytes:x?}");
        }
        assert_eq!(decode_state(b"").unwrap(), Content::Empty);
    }
    for bytes in distinct(&["slave.info"]) {
        for end in 1..bytes.len() {
            assert!(decode_slave_info(&bytes[..end]).is_err(), "{end}");
        }
    }
    for bytes in distinct(&["task.info"]) {
        for end in 1..bytes.len() {
            assert!(decode_task_info(&bytes[..end]).is_err(), "{end}");
        }
    }
    for bytes in distinct(&["executor.info"]) {
        for end in 1..bytes.len() {
            assert!(decode_executor_info(&bytes[..end]).is_err(), "{end}");
        }
    }
}

#[test]
fn a_list_cut_off_is_whole_only_between_two_records() {
    for bytes in distinct(INFOS) {
        let mut boundaries = BTreeSet::from([0]);
        let mut at = 0;
        while at < bytes.len() {
            let length: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
            at += 4 + usize::try_from(u32::from_le_bytes(length)).unwrap();
            boundaries.insert(at);
        }
        let all = info(&bytes);
        for end in 0..bytes.len() {
            match decode_info(&bytes[..end]) {
                // Inherent: Mesos itself can't tell either.
                Ok(_) => {
                    assert!(boundaries.contains(&end), "{end}");
                    assert!(all.starts_with(&info(&bytes[..end])));
                }
                Err(
                    DecodeError::ShortLength { offset, .. }
                    | DecodeError::ShortRecord { offset, .. },
                ) => {
                    assert!(!boundaries.contains(&end) && boundaries.contains(&offset));
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

fn held(resources: &[Resource]) -> BTreeSet<VolumeKey> {
    resources.iter().filter_map(Resource::volume_key).collect()
}

/// Every way to flip one bit of a file.
fn flipped(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len() * 8).map(move |bit| {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        changed
    })
}

#[test]
fn a_flipped_bit_never_makes_a_volume_disappear() {
    let (mut whole, mut refused) = (0_u32, 0_u32);
    for bytes in distinct(STATES) {
        let before = state(&bytes);
        for changed in flipped(&bytes) {
            match decode_state(&changed) {
                Ok(Content::Whole(after)) => {
                    whole += 1;
                    assert_eq!(
                        held(&after.resources).len(),
                        held(&before.resources).len(),
                        "{changed:x?}"
                    );
                    assert_eq!(after.operations.len(), before.operations.len());
                    for (one, other) in after.operations.iter().zip(&before.operations) {
                        assert_eq!(one.kind, other.kind);
                        assert_eq!(one.volumes.len(), other.volumes.len());
                    }
                }
                Ok(Content::Empty) => panic!("empty"),
                Err(_) => refused += 1,
            }
        }
    }
    for bytes in distinct(INFOS) {
        let before = info(&bytes);
        for changed in flipped(&bytes) {
            match decode_info(&changed) {
                Ok(Content::Whole(after)) => {
                    whole += 1;
                    assert_eq!(held(&after).len(), held(&before).len(), "{changed:x?}");
                }
                Ok(Content::Empty) => panic!("empty"),
                Err(_) => refused += 1,
            }
        }
    }
    // Inside a name or a number a flipped bit is just another name or number.
    assert!(whole > 1000 && refused > 1000, "{whole} {refused}");
}

/// Any resource that Mesos takes, under names of any bytes that Mesos takes.
mod any {
    use mesos_volumed::mesos::disk::{DiskSource, SourceType};
    use mesos_volumed::mesos::ids::{PersistenceId, Role};
    use mesos_volumed::mesos::resource::{
        Persistence, Reservation, ReservationType, Resource, Value,
    };
    use mesos_volumed::units::{Megabytes, Raw};
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    fn raw(utf8: bool) -> BoxedStrategy<Raw> {
        if utf8 {
            any::<String>().prop_map(Raw::from).boxed()
        } else {
            vec(any::<u8>(), 0..20).prop_map(Raw::new).boxed()
        }
    }

    fn id(utf8: bool) -> impl Strategy<Value = PersistenceId> {
        raw(utf8)
            .prop_map(|raw| {
                let legal = |byte: &u8| !byte.is_ascii_control() && !b"/\\".contains(byte);
                let mut id: Vec<u8> = raw.as_bytes().iter().copied().filter(legal).collect();
                id.push(b'#');
                PersistenceId::new(id)
            })
            .prop_filter("legal", |id| id.fault().is_none())
    }

    fn stack() -> impl Strategy<Value = Vec<Reservation>> {
        let part = "[a-z0-9_#\u{e4}][a-z0-9._#*\\\\-]{1,8}";
        let entry = (
            part,
            option::of(raw(true)),
            vec((raw(true), option::of(raw(true))), 0..3),
        );
        (any::<bool>(), vec(entry, 0..4)).prop_map(|(fixed, entries)| {
            let mut role = String::new();
            entries
                .into_iter()
                .enumerate()
                .map(|(depth, (part, principal, labels))| {
                    if depth > 0 {
                        role.push('/');
                    }
                    role.push_str(&part);
                    let kind = if fixed && depth == 0 {
                        ReservationType::Static
                    } else {
                        ReservationType::Dynamic
                    };
                    let bare = kind == ReservationType::Static;
                    Reservation {
                        kind,
                        role: Role::new(role.as_str()),
                        principal: principal.filter(|_| !bare),
                        labels: if bare { Vec::new() } else { labels },
                    }
                })
                .collect()
        })
    }

    fn source(utf8: bool) -> impl Strategy<Value = DiskSource> {
        (
            any::<bool>(),
            raw(utf8),
            option::of(raw(utf8)),
            option::of(raw(utf8)),
            option::of(raw(utf8)),
            vec((raw(utf8), option::of(raw(utf8))), 0..3),
        )
            .prop_map(|(path, root, id, vendor, profile, metadata)| DiskSource {
                kind: if path {
                    SourceType::Path
                } else {
                    SourceType::Mount
                },
                root: Some(root),
                id,
                vendor,
                profile,
                metadata,
            })
    }

    fn disk(utf8: bool) -> impl Strategy<Value = Resource> {
        let persistence =
            (id(utf8), option::of(raw(utf8)), raw(utf8)).prop_map(|(id, principal, path)| {
                Persistence {
                    id,
                    principal,
                    container_path: Some(path),
                }
            });
        (
            0..1_000_000_000_000_i64,
            stack(),
            option::of(source(utf8)),
            option::of(persistence),
            any::<bool>(),
            option::of(raw(utf8)),
        )
            .prop_map(
                |(size, reservations, source, persistence, shared, provider)| Resource {
                    name: Raw::from("disk"),
                    value: Value::Scalar(Megabytes::from_thousandths(size)),
                    reservations,
                    source,
                    shared: shared && persistence.is_some(),
                    persistence,
                    provider_id: provider,
                },
            )
    }

    fn other() -> impl Strategy<Value = Resource> {
        let value = prop_oneof![
            vec((0..50_u64, 50..99_u64), 0..3).prop_map(Value::Ranges),
            vec(raw(true), 0..3).prop_map(Value::Set),
            (0..10_000_i64).prop_map(|size| Value::Scalar(Megabytes::from_thousandths(size))),
        ];
        ("[a-z]{1,3}", value, stack()).prop_map(|(name, value, reservations)| Resource {
            name: Raw::from(name),
            value,
            reservations,
            source: None,
            persistence: None,
            shared: false,
            provider_id: None,
        })
    }

    /// A list with each volume once.
    pub(super) fn resources(utf8: bool) -> impl Strategy<Value = Vec<Resource>> {
        vec(prop_oneof![3 => disk(utf8), 1 => other()], 0..6).prop_map(|mut all| {
            let mut seen = std::collections::BTreeSet::new();
            all.retain(|one| one.volume_key().is_none_or(|key| seen.insert(key)));
            all
        })
    }
}

/// A resource as an agent's `/state` writes it: in both forms where one reservation allows it.
fn endpoint(resource: &Resource) -> serde_json::Value {
    use serde_json::{Map, Value as Json, json};
    fn text(raw: &Raw) -> Json {
        Json::from(raw.as_str().unwrap())
    }
    fn labels(labels: &[(Raw, Option<Raw>)]) -> Json {
        let labels = labels.iter().map(|(key, value)| {
            let mut label = Map::from_iter([("key".to_owned(), text(key))]);
            label.extend(value.iter().map(|value| ("value".to_owned(), text(value))));
            Json::from(label)
        });
        json!({ "labels": labels.collect::<Vec<_>>() })
    }
    let mut json = json!({ "name": text(&resource.name) });
    match &resource.value {
        Value::Scalar(size) => {
            json["type"] = "SCALAR".into();
            json["scalar"] = json!({ "value": size.as_f64() });
        }
        Value::Ranges(ranges) => {
            let ranges = ranges
                .iter()
                .map(|(begin, end)| json!({"begin": begin, "end": end}));
            json["type"] = "RANGES".into();
            json["ranges"] = json!({ "range": ranges.collect::<Vec<_>>() });
        }
        Value::Set(items) => {
            json["type"] = "SET".into();
            json["set"] = json!({ "item": items.iter().map(text).collect::<Vec<_>>() });
        }
    }
    let info = |one: &Reservation, whole: bool| {
        let mut info = json!({});
        if let Some(principal) = &one.principal {
            info["principal"] = text(principal);
        }
        if !one.labels.is_empty() {
            info["labels"] = labels(&one.labels);
        }
        if whole {
            info["role"] = text(one.role.as_raw());
            info["type"] = match one.kind {
                ReservationType::Static => "STATIC".into(),
                ReservationType::Dynamic => "DYNAMIC".into(),
                ReservationType::Unknown(_) => panic!("not written"),
            };
        }
        info
    };
    match &resource.reservations[..] {
        [] => json["role"] = "*".into(),
        [only] => {
            json["role"] = text(only.role.as_raw());
            if only.kind == ReservationType::Dynamic {
                json["reservation"] = info(only, false);
            }
            json["reservations"] = json!([info(only, true)]);
        }
        all => {
            let all: Vec<_> = all.iter().map(|one| info(one, true)).collect();
            json["reservations"] = all.into();
        }
    }
    if let Some(persistence) = &resource.persistence {
        json["disk"]["persistence"] = json!({ "id": text(persistence.id.as_raw()) });
        if let Some(principal) = &persistence.principal {
            json["disk"]["persistence"]["principal"] = text(principal);
        }
        let path = persistence.container_path.as_ref().unwrap();
        json["disk"]["volume"] = json!({ "mode": "RW", "container_path": text(path) });
    }
    if let Some(source) = &resource.source {
        let (kind, member) = match source.kind {
            SourceType::Path => ("PATH", "path"),
            SourceType::Mount => ("MOUNT", "mount"),
            SourceType::Block | SourceType::Raw | SourceType::Unknown(_) => panic!("not made"),
        };
        let json = &mut json["disk"]["source"];
        *json = json!({ "type": kind, member: { "root": text(source.root.as_ref().unwrap()) } });
        for (key, value) in [
            ("id", &source.id),
            ("vendor", &source.vendor),
            ("profile", &source.profile),
        ] {
            if let Some(value) = value {
                json[key] = text(value);
            }
        }
        json["metadata"] = labels(&source.metadata);
    }
    if resource.shared {
        json["shared"] = json!({});
    }
    if let Some(provider) = &resource.provider_id {
        json["provider_id"] = json!({ "value": text(provider) });
    }
    json
}

proptest::proptest! {
    #[test]
    fn any_resources_survive_the_forms_on_disk(resources in any::resources(false)) {
        for form in [Form::Pre, Form::Post] {
            let bytes = encode_info(&resources, form).unwrap();
            proptest::prop_assert_eq!(&info(&bytes), &resources);
        }
        let whole = ResourceState { operations: Vec::new(), resources };
        let context = OperationContext { agent_id: b"a", status_uuid: [0; 16] };
        let bytes = encode_state(&whole, &context).unwrap();
        proptest::prop_assert_eq!(state(&bytes), whole);
    }

    #[test]
    fn any_resources_survive_the_form_of_the_endpoint(resources in any::resources(true)) {
        let mut reserved = serde_json::Map::new();
        let mut unreserved = Vec::new();
        for resource in &resources {
            match resource.role() {
                Some(role) => reserved
                    .entry(role.as_raw().as_str().unwrap())
                    .or_insert_with(|| serde_json::Value::Array(Vec::new()))
                    .as_array_mut()
                    .unwrap()
                    .push(endpoint(resource)),
                None => unreserved.push(endpoint(resource)),
            }
        }
        let answer = serde_json::json!({
            "id": "a-S0",
            "version": "1.11.0",
            "reserved_resources_full": reserved,
            "unreserved_resources_full": unreserved,
        });
        let mut seen = parse_state(answer.to_string().as_bytes()).unwrap().resources;
        let mut expected = resources;
        seen.sort();
        expected.sort();
        proptest::prop_assert_eq!(seen, expected);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let framed = [&u32::try_from(bytes.len()).unwrap().to_le_bytes()[..], &bytes].concat();
        for bytes in [&bytes, &framed] {
            let accepted = [
                decode_state(bytes).is_ok(),
                decode_info(bytes).is_ok(),
                decode_slave_info(bytes).is_ok(),
                decode_task_info(bytes).is_ok(),
                decode_executor_info(bytes).is_ok(),
            ];
            // No bytes at all are told from damage.
            proptest::prop_assert!(!bytes.is_empty() || accepted == [true; 5]);
        }
    }
}

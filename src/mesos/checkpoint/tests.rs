use super::encode::resource as to_wire;
use super::*;
use crate::mesos::disk::{DiskSource, SourceType};
use crate::mesos::ids::{PersistenceId, Role};
use crate::mesos::resource::{Persistence, Reservation, ReservationType, Value};
use crate::mesos::state::{OperationKind, OperationState};
use crate::units::{Megabytes, Raw};

/// F§4.6: made with `protoc` from Mesos's own definitions.
const STATE: &str = "4200000012400a046469736b10001a090900000000000090403a1f0a070a0276311201701208\
                     0a046461746118011a0a080112060a042f6d2f616a0a0a01701a03612f622002";
const INFO: &str = "3e0000000a046469736b10001a090900000000000090403203612f623a1f0a070a0276311201\
                    7012080a046461746118011a0a080112060a042f6d2f6142030a0170";

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn volume() -> Resource {
    Resource {
        name: Raw::from("disk"),
        value: Value::Scalar(Megabytes::whole(1024)),
        reservations: vec![Reservation {
            kind: ReservationType::Dynamic,
            role: Role::new("a/b"),
            principal: Some(Raw::from("p")),
            labels: Vec::new(),
        }],
        source: Some(DiskSource {
            kind: SourceType::Path,
            root: Some(Raw::from("/m/a")),
            id: None,
            vendor: None,
            profile: None,
            metadata: Vec::new(),
        }),
        persistence: Some(Persistence {
            id: PersistenceId::new("v1"),
            principal: Some(Raw::from("p")),
            container_path: Some(Raw::from("data")),
        }),
        shared: false,
        provider_id: None,
    }
}

const CONTEXT: OperationContext<'_> = OperationContext {
    agent_id: b"agent-S0",
    status_uuid: [7; 16],
};

fn state_of(resources: Vec<Resource>, operations: Vec<Operation>) -> ResourceState {
    ResourceState {
        operations,
        resources,
    }
}

/// A file with one record: this message.
fn file(message: &impl Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    let mut bytes = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend(body);
    bytes
}

/// What the decoder says of `resources.info` with this record in it.
fn info_error(change: impl FnOnce(&mut wire::Resource)) -> String {
    let mut message = to_wire(&volume(), Form::Post);
    change(&mut message);
    decode_info(&file(&message)).unwrap_err().to_string()
}

#[test]
fn the_vectors_decode_and_encode_to_the_byte() {
    let (state, info) = (unhex(STATE), unhex(INFO));
    assert_eq!((state.len(), info.len()), (70, 66));
    let expected = state_of(vec![volume()], Vec::new());
    assert_eq!(
        decode_state(&state).unwrap(),
        Content::Whole(expected.clone())
    );
    assert_eq!(decode_info(&info).unwrap(), Content::Whole(vec![volume()]));
    assert_eq!(encode_state(&expected, &CONTEXT).unwrap(), state);
    assert_eq!(encode_info(&[volume()], Form::Pre).unwrap(), info);
}

#[test]
fn empty_files_are_empty_and_an_empty_state_is_whole() {
    assert_eq!(decode_state(b"").unwrap(), Content::Empty);
    assert_eq!(decode_info(b"").unwrap(), Content::Empty);
    assert_eq!(
        decode_state(&[0; 4]).unwrap(),
        Content::Whole(ResourceState::default())
    );
    assert_eq!(
        encode_state(&ResourceState::default(), &CONTEXT).unwrap(),
        [0; 4]
    );
}

#[test]
fn lengths_are_checked_before_anything_is_taken() {
    assert_eq!(
        decode_state(&[0xff; 4]).unwrap_err(),
        DecodeError::ShortRecord {
            offset: 0,
            length: u32::MAX,
            have: 0
        }
    );
    assert_eq!(
        decode_info(&[1, 0]).unwrap_err(),
        DecodeError::ShortLength { offset: 0, have: 2 }
    );
    let mut info = unhex(INFO);
    info.extend([0xff, 0xff, 0xff, 0xff, 1, 2, 3]);
    assert_eq!(
        decode_info(&info).unwrap_err().to_string(),
        "at byte 66: a record of 4294967295 bytes begins, but only 3 follow"
    );
    let mut state = unhex(STATE);
    state.push(0);
    assert_eq!(
        decode_state(&state).unwrap_err().to_string(),
        "at byte 70: 1 bytes follow the only record"
    );
    assert!(matches!(
        decode_info(&vec![0; MAX_FILE_BYTES + 1]).unwrap_err(),
        DecodeError::TooLarge { .. }
    ));
    // A length inside the message that is larger than what follows.
    let mut inner = unhex(STATE);
    inner[5] = 0x7f;
    assert!(matches!(
        decode_state(&inner).unwrap_err(),
        DecodeError::Message { .. }
    ));
}

#[test]
fn pre_post_and_mixed_records_mean_the_same() {
    let mut plain = volume();
    plain.persistence = None;
    plain.reservations.clear();
    let mut fixed = volume();
    fixed.reservations[0].kind = ReservationType::Static;
    fixed.reservations[0].principal = None;
    fixed.persistence.as_mut().unwrap().id = PersistenceId::new("v2");
    let mut refined = volume();
    refined.reservations.push(Reservation {
        kind: ReservationType::Dynamic,
        role: Role::new("a/b/c"),
        principal: None,
        labels: vec![
            (Raw::from("k"), None),
            (Raw::from("k2"), Some(Raw::from("v"))),
        ],
    });
    let all = vec![plain, fixed, refined, volume()];
    let mut mixed = encode_info(&all[..2], Form::Pre).unwrap();
    mixed.extend(encode_info(&all[2..], Form::Post).unwrap());
    for bytes in [
        encode_info(&all, Form::Pre).unwrap(),
        encode_info(&all, Form::Post).unwrap(),
        mixed,
    ] {
        assert_eq!(decode_info(&bytes).unwrap(), Content::Whole(all.clone()));
    }
    assert_eq!(all[2].role(), Some(&Role::new("a/b/c")));
}

#[test]
fn the_endpoint_form_says_it_twice_and_must_say_it_alike() {
    let mut message = to_wire(&volume(), Form::Post);
    message.role = Some(b"a/b".to_vec());
    message.reservation = Some(Box::new(wire::ReservationInfo {
        principal: Some(b"p".to_vec()),
        ..wire::ReservationInfo::default()
    }));
    assert_eq!(
        decode_info(&file(&message)).unwrap(),
        Content::Whole(vec![volume()])
    );
    message.role = Some(b"other".to_vec());
    assert_eq!(
        decode_info(&file(&message)).unwrap_err().to_string(),
        "record at byte 0: role contradicts reservations"
    );
}

#[test]
fn names_may_be_any_bytes() {
    let mut odd = volume();
    for id in [&b"\xff\xfe"[..], b".hidden", b"a b", b"a#b#c", &[b'x'; 255]] {
        odd.persistence.as_mut().unwrap().id = PersistenceId::new(id);
        odd.source.as_mut().unwrap().root = Some(Raw::new(&b"/m/\xff \n"[..]));
        odd.reservations[0].role = Role::new(&b"r\xf6le"[..]);
        let bytes = encode_info(std::slice::from_ref(&odd), Form::Pre).unwrap();
        assert_eq!(
            decode_info(&bytes).unwrap(),
            Content::Whole(vec![odd.clone()])
        );
    }
}

#[test]
fn unknown_fields_are_not_dropped_in_silence() {
    let mut bytes = unhex(STATE);
    // An unknown field 15 (a number) at the end of the resource, the record and the file.
    bytes.extend([0x78, 0x01]);
    bytes[0] += 2;
    assert_eq!(
        decode_state(&bytes).unwrap_err().to_string(),
        "record at byte 0: ResourceState holds something that this version of mesos-volumed does \
         not know (encoded again, it is not the same)"
    );
    bytes[5] += 2;
    assert_eq!(
        decode_state(&bytes).unwrap_err().to_string(),
        "record at byte 0: resources[0] holds something that this version of mesos-volumed does \
         not know (encoded again, it is not the same)"
    );
    // Storage belongs to a resource provider.
    let storage = file(&wire::State {
        storage: Some(vec![1]),
        ..wire::State::default()
    });
    assert!(decode_state(&storage).is_err());
    assert_eq!(
        decode_provider_state(&storage).unwrap(),
        Content::Whole(ResourceState::default())
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn each_rule_has_its_words() {
    type Change = fn(&mut wire::Resource);
    fn disk(message: &mut wire::Resource) -> &mut wire::DiskInfo {
        message.disk.as_mut().unwrap()
    }
    fn source(message: &mut wire::Resource) -> &mut wire::Source {
        disk(message).source.as_mut().unwrap()
    }
    let cases: [(&str, Change); 36] = [
        ("name is missing", |m| m.name = None),
        ("name is empty", |m| m.name = Some(Vec::new())),
        ("type is missing", |m| m.kind = None),
        ("type is TEXT, which no resource has", |m| m.kind = Some(3)),
        ("type is 4, a number that Mesos does not have", |m| {
            m.kind = Some(4);
        }),
        ("type is -1, a number that Mesos does not have", |m| {
            m.kind = Some(-1);
        }),
        ("ranges is missing", |m| {
            (m.kind, m.scalar) = (Some(1), None);
        }),
        ("type has values of more than one type", |m| {
            m.set = Some(wire::Set::default());
        }),
        ("scalar is missing", |m| m.scalar = None),
        ("scalar.value is missing", |m| {
            m.scalar = Some(wire::Scalar::default());
        }),
        ("scalar.value is not a number", |m| {
            m.scalar = Some(wire::Scalar {
                value: Some(f64::NAN),
            });
        }),
        ("scalar.value is negative (-0.0001)", |m| {
            m.scalar = Some(wire::Scalar {
                value: Some(-0.0001),
            });
        }),
        ("scalar.value is inf, which is out of range", |m| {
            m.scalar = Some(wire::Scalar {
                value: Some(f64::INFINITY),
            });
        }),
        ("scalar.value is 1e300, which is out of range", |m| {
            m.scalar = Some(wire::Scalar { value: Some(1e300) });
        }),
        ("disk is set for the resource mem", |m| {
            m.name = Some(b"mem".to_vec());
        }),
        ("disk.persistence.id is missing", |m| {
            disk(m).persistence = Some(wire::Persistence::default());
        }),
        ("disk.persistence.id is an empty persistence id", |m| {
            disk(m).persistence.as_mut().unwrap().id = Some(Vec::new());
        }),
        (
            "disk.persistence.id is the persistence id `.` or `..`",
            |m| {
                disk(m).persistence.as_mut().unwrap().id = Some(b"..".to_vec());
            },
        ),
        (
            "disk.persistence.id is a persistence id with a slash, a backslash or a control \
             character",
            |m| disk(m).persistence.as_mut().unwrap().id = Some(b"../x".to_vec()),
        ),
        ("disk.volume.container_path is missing", |m| {
            disk(m).volume.as_mut().unwrap().container_path = None;
        }),
        ("disk.volume.mode is missing", |m| {
            disk(m).volume.as_mut().unwrap().mode = None;
        }),
        (
            "disk.volume.mode is 3, a number that Mesos does not have",
            |m| {
                disk(m).volume.as_mut().unwrap().mode = Some(3);
            },
        ),
        ("disk.source.type is missing", |m| source(m).kind = None),
        ("disk.source.type is UNKNOWN", |m| source(m).kind = Some(0)),
        (
            "disk.source.type is 5, a number that Mesos does not have",
            |m| {
                source(m).kind = Some(5);
            },
        ),
        ("disk.source.mount is missing", |m| source(m).kind = Some(2)),
        ("disk.source.path.root is missing", |m| {
            source(m).path = Some(wire::Root::default());
        }),
        (
            "disk.source.type is BLOCK or RAW, which have no root",
            |m| {
                source(m).kind = Some(4);
            },
        ),
        ("reservations[0].type is missing", |m| {
            m.reservations[0].kind = None;
        }),
        ("reservations[0].type is UNKNOWN", |m| {
            m.reservations[0].kind = Some(0);
        }),
        (
            "reservations[0].type is 3, a number that Mesos does not have",
            |m| {
                m.reservations[0].kind = Some(3);
            },
        ),
        ("reservations[0].role is missing", |m| {
            m.reservations[0].role = None;
        }),
        (
            "reservations[0].role is `*`, which can't be reserved",
            |m| {
                m.reservations[0].role = Some(b"*".to_vec());
            },
        ),
        (
            "reservations[0].role is a role with white space, NUL or DEL",
            |m| {
                m.reservations[0].role = Some(b"a b".to_vec());
            },
        ),
        (
            "reservations[1].role does not refine the reservation below",
            |m| {
                m.reservations.push(m.reservations[0].clone());
            },
        ),
        (
            "reservations[1].type is STATIC on top of another reservation",
            |m| {
                m.reservations.push(m.reservations[0].clone());
                m.reservations[1].kind = Some(1);
            },
        ),
    ];
    for (words, change) in cases {
        assert_eq!(info_error(change), format!("record at byte 0: {words}"));
    }
    assert_eq!(
        info_error(|m| {
            m.reservations.clear();
            m.reservation = Some(Box::default());
        }),
        "record at byte 0: reservation is set, but the role is `*`"
    );
    assert_eq!(
        info_error(|m| {
            m.disk = None;
            m.shared = Some(wire::Empty {});
        }),
        "record at byte 0: shared is set for what is no volume"
    );
    assert_eq!(
        info_error(|m| m.revocable = Some(wire::Empty {})),
        "record at byte 0: revocable is set for a disk or a dynamic reservation"
    );
}

fn destroy(state: OperationState) -> Operation {
    Operation {
        uuid: "b291a2425d2f4141adb73c00b435dfcd".to_owned(),
        kind: OperationKind::Destroy,
        state,
        volumes: vec![volume()],
    }
}

/// The operation of `resources_and_operations.state`, changed.
fn operation_error(change: impl FnOnce(&mut wire::Operation)) -> String {
    let whole = encode_state(
        &state_of(Vec::new(), vec![destroy(OperationState::Pending)]),
        &CONTEXT,
    )
    .unwrap();
    let outer = wire::State::decode(&whole[4..]).unwrap();
    let mut operation = wire::Operation::decode(&outer.operations[0][..]).unwrap();
    change(&mut operation);
    let changed = wire::State {
        operations: vec![operation.encode_to_vec()],
        ..wire::State::default()
    };
    decode_state(&file(&changed)).unwrap_err().to_string()
}

#[test]
fn operations_keep_type_state_and_volumes() {
    for state in [
        OperationState::Pending,
        OperationState::Finished,
        OperationState::Failed,
        OperationState::Unclear,
    ] {
        let whole = state_of(vec![volume()], vec![destroy(state)]);
        let bytes = encode_state(&whole, &CONTEXT).unwrap();
        assert_eq!(decode_state(&bytes).unwrap(), Content::Whole(whole));
    }
    let mut resize = destroy(OperationState::Pending);
    resize.kind = OperationKind::Resize;
    assert!(matches!(
        encode_state(&state_of(Vec::new(), vec![resize]), &CONTEXT).unwrap_err(),
        EncodeError::Kind { .. }
    ));
}

#[test]
fn other_operations_name_their_volumes_too() {
    fn decoded(info: wire::OfferOperation) -> Operation {
        let operation = wire::Operation {
            info: Some(info),
            latest_status: Some(wire::OperationStatus {
                state: Some(1),
                ..wire::OperationStatus::default()
            }),
            uuid: Some(wire::Text {
                value: Some(vec![1; 16]),
            }),
            ..wire::Operation::default()
        };
        let bytes = file(&wire::State {
            operations: vec![operation.encode_to_vec()],
            ..wire::State::default()
        });
        let Content::Whole(mut state) = decode_state(&bytes).unwrap() else {
            panic!("empty")
        };
        state.operations.remove(0)
    }
    let named = || Some(to_wire(&volume(), Form::Post));
    let mut plain = volume();
    plain.persistence = None;
    let unnamed = || Some(to_wire(&plain, Form::Post));
    let grow = decoded(wire::OfferOperation {
        kind: Some(wire::GROW_VOLUME),
        grow_volume: Some(Box::new(wire::GrowVolume {
            volume: named(),
            addition: unnamed(),
        })),
        ..wire::OfferOperation::default()
    });
    assert_eq!(
        (grow.kind, grow.volumes),
        (OperationKind::Resize, vec![volume()])
    );
    let shrink = decoded(wire::OfferOperation {
        kind: Some(wire::SHRINK_VOLUME),
        shrink_volume: Some(Box::new(wire::ShrinkVolume {
            volume: named(),
            subtract: Some(wire::Scalar { value: Some(1.0) }),
        })),
        ..wire::OfferOperation::default()
    });
    assert_eq!(
        (shrink.kind, shrink.volumes),
        (OperationKind::Resize, vec![volume()])
    );
    let unreserve = decoded(wire::OfferOperation {
        kind: Some(wire::UNRESERVE),
        unreserve: Some(wire::Listed {
            resources: unnamed().into_iter().collect(),
            source: Vec::new(),
        }),
        ..wire::OfferOperation::default()
    });
    assert_eq!(
        (unreserve.kind, unreserve.volumes),
        (OperationKind::Other(3), Vec::new())
    );
    let destroy_disk = decoded(wire::OfferOperation {
        kind: Some(wire::DESTROY_DISK),
        destroy_disk: Some(Box::new(wire::DiskOperation {
            source: named(),
            ..wire::DiskOperation::default()
        })),
        ..wire::OfferOperation::default()
    });
    assert_eq!(
        (destroy_disk.kind, destroy_disk.volumes),
        (OperationKind::Other(14), vec![volume()])
    );
}

#[test]
fn an_operation_that_contradicts_itself_is_not_believed() {
    fn info(operation: &mut wire::Operation) -> &mut wire::OfferOperation {
        operation.info.as_mut().unwrap()
    }
    fn status(operation: &mut wire::Operation) -> &mut wire::OperationStatus {
        operation.latest_status.as_mut().unwrap()
    }
    type Change = fn(&mut wire::Operation);
    let cases: [(&str, Change); 11] = [
        ("info.create is missing", |o| {
            info(o).kind = Some(wire::CREATE);
        }),
        ("info.destroy is missing", |o| info(o).destroy = None),
        ("info.type is missing", |o| info(o).kind = None),
        ("info.type is 1, which no agent checkpoints", |o| {
            info(o).kind = Some(1);
        }),
        ("info.type is 99, which no agent checkpoints", |o| {
            info(o).kind = Some(99);
        }),
        ("info.type has the members of several types", |o| {
            info(o).create = Some(wire::Listed::default());
        }),
        ("info.destroy[0].name is missing", |o| {
            info(o).destroy.as_mut().unwrap().resources[0].name = None;
        }),
        ("latest_status.state is missing", |o| status(o).state = None),
        (
            "latest_status.state is 10, a number that Mesos does not have",
            |o| {
                status(o).state = Some(10);
            },
        ),
        ("uuid.value is not 16 bytes long", |o| {
            o.uuid = Some(wire::Text {
                value: Some(vec![1; 15]),
            });
        }),
        ("uuid is missing", |o| o.uuid = None),
    ];
    for (words, change) in cases {
        assert_eq!(
            operation_error(change),
            format!("record at byte 0: operations[0].{words}")
        );
    }
}

#[test]
fn the_other_files_of_an_agent_round_trip() {
    let info = SlaveInfo {
        hostname: Raw::from("h"),
        port: 5052,
        resources: vec![volume()],
    };
    let bytes = encode_slave_info(&info, b"agent-S0").unwrap();
    assert_eq!(decode_slave_info(&bytes).unwrap(), Content::Whole(info));
    let task = Launched {
        id: Raw::from("t"),
        framework: Some(Raw::from("f")),
        resources: vec![volume()],
    };
    let bytes = encode_task(&task, b"agent-S0").unwrap();
    assert_eq!(decode_task_info(&bytes).unwrap(), Content::Whole(task));
    assert_eq!(decode_task_info(b"").unwrap(), Content::Empty);
    assert_eq!(
        decode_task_info(&[0; 4]).unwrap_err().to_string(),
        "record at byte 0: name is missing"
    );
    assert_eq!(
        decode_executor_info(&[0; 4]).unwrap_err().to_string(),
        "record at byte 0: executor_id is missing"
    );
}

#[test]
fn a_volume_named_twice_is_one_that_lost_its_name() {
    let twice = encode_info(&[volume(), volume()], Form::Pre).unwrap();
    assert_eq!(
        decode_info(&twice).unwrap_err().to_string(),
        "record at byte 66: disk.persistence.id names a/b/v1 a second time"
    );
    let state = state_of(vec![volume(), volume()], Vec::new());
    assert_eq!(
        decode_state(&encode_state(&state, &CONTEXT).unwrap())
            .unwrap_err()
            .to_string(),
        "record at byte 0: resources[1].disk.persistence.id names a/b/v1 a second time"
    );
    let mut shared = volume();
    shared.shared = true;
    let twice = vec![shared.clone(), shared];
    assert_eq!(
        decode_info(&encode_info(&twice, Form::Post).unwrap()).unwrap(),
        Content::Whole(twice)
    );
}

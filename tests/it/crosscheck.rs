//! Our reading and writing of resources against protobuf code that is not ours: vectors that
//! `scripts/crosscheck` made with Mesos's own Python bindings.

use mesos_volumed::mesos::agent_state::parse_state;
use mesos_volumed::mesos::checkpoint::{
    Content, Form, OperationContext, decode_info, decode_state, encode_info, encode_state,
};
use mesos_volumed::mesos::resource::Resource;
use mesos_volumed::mesos::state::ResourceState;
use serde_json::{Value as Json, json};

use crate::stand_ins::resources;

fn bytes(hex: &Json) -> Vec<u8> {
    let hex = hex.as_str().unwrap().as_bytes();
    let digit = |one: u8| u8::try_from(char::from(one).to_digit(16).unwrap()).unwrap();
    hex.chunks(2)
        .map(|pair| (digit(pair[0]) << 4) | digit(pair[1]))
        .collect()
}

/// The resource as an agent's `/state` shows it, read by our reader of `/state`.
fn from_state(json: &Json) -> Vec<Resource> {
    let role = json["reservations"]
        .as_array()
        .and_then(|stack| stack.last())
        .and_then(|last| last["role"].as_str());
    let mut state = json!({"id": "S0", "version": "1.7.2", "reserved_resources_full": {},
        "unreserved_resources_full": []});
    match role {
        Some(role) => state["reserved_resources_full"][role] = json!([json]),
        None => state["unreserved_resources_full"] = json!([json]),
    }
    parse_state(state.to_string().as_bytes()).unwrap().resources
}

/// Every vector is read alike in every form, and written to the byte.
fn agree(vectors: &str) -> usize {
    for line in vectors.lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let post = bytes(&case["post"]);
        let Content::Whole(state) = decode_state(&post).unwrap_or_else(|e| panic!("{e}\n{line}"))
        else {
            panic!("0 bytes: {line}")
        };
        let [one] = &state.resources[..] else {
            panic!("{line}")
        };
        assert_eq!(from_state(&case["json"]), state.resources, "{line}");
        if case["json"]["type"] != "SET" {
            let theirs = resources::from_json(&case["json"]).unwrap();
            assert_eq!(theirs, *one, "{line}");
        }
        let context = OperationContext {
            agent_id: b"",
            status_uuid: [0; 16],
        };
        let is_exact = case["exact"] == true;
        if is_exact {
            let whole = ResourceState {
                operations: Vec::new(),
                resources: vec![one.clone()],
            };
            assert_eq!(encode_state(&whole, &context).unwrap(), post, "{line}");
        }
        if !case["pre"].is_null() {
            let pre = bytes(&case["pre"]);
            let Content::Whole(read) = decode_info(&pre).unwrap() else {
                panic!("0 bytes: {line}")
            };
            assert_eq!(read, state.resources, "{line}");
            if is_exact {
                let ours = encode_info(std::slice::from_ref(one), Form::Pre).unwrap();
                assert_eq!(ours, pre, "{line}");
            }
        }
    }
    vectors.lines().count()
}

#[test]
fn what_other_code_wrote_is_read_alike_in_every_form_and_written_to_the_byte() {
    let recorded = include_str!("../fixtures/mesos/crosscheck/vectors.jsonl");
    assert_eq!(agree(recorded), 200);
    if let Some(more) = std::env::var_os("MESOS_VOLUMED_VECTORS") {
        let more = std::fs::read_to_string(more).unwrap();
        println!("{} more agree", agree(&more));
    }
}

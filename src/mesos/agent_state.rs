//! The agent's `/state` (src/slave/http.cpp).
//!
//! A key that every whole answer has must be there: what an answer leaves out is not what the agent
//! lacks.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::checkpoint::normalise;
use super::ids::Role;
use super::operator::hides;
use super::resource::Resource;
use super::resources_json::{ResourcesError, from_json, parse_resources};
use super::state::{AgentVersion, VersionError};
use crate::units::{Megabytes, Raw};

/// What an agent says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateAnswer {
    /// The agent id; empty before the first registration.
    pub id: Raw,
    /// The version.
    pub version: Result<AgentVersion, VersionError>,
    /// Every entry of `reserved_resources_full`, `unreserved_resources_full` and
    /// `resource_providers`.
    pub resources: Vec<Resource>,
    /// The keys of `reserved_resources_full`: the roles that the asking principal may see.
    pub roles: BTreeSet<Role>,
    /// Its flags; `None` where the principal may not see them.
    pub flags: Option<StateFlags>,
    /// Why the answer does not show everything to the asking principal, where that is known.
    pub hides: Option<String>,
}

/// The flags of an agent, as far as they matter here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFlags {
    /// `--work_dir`.
    pub work_dir: Raw,
    /// The roots of PATH and MOUNT disks that `--resources` names; none where it is not set.
    pub roots: Result<Vec<Raw>, ResourcesError>,
}

/// Why an answer is not a whole `/state`.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It is no JSON, or ends too early.
    #[error("the answer is no whole JSON document")]
    Json(#[source] serde_json::Error),
    /// A key is not there.
    #[error("the answer has no `{key}`, which every agent's /state has")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A key has a value of another type.
    #[error("`{key}` in the answer is not {expected}")]
    Type {
        /// The key.
        key: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A resource can't be understood.
    #[error("in `{key}` of the answer: {reason}")]
    Resource {
        /// The key.
        key: String,
        /// What is wrong.
        reason: String,
    },
}

/// Reads the body of an answer.
pub fn parse_state(body: &[u8]) -> Result<StateAnswer, StateError> {
    let state: Map<String, Value> = serde_json::from_slice(body).map_err(StateError::Json)?;
    let mut resources = Vec::new();
    let mut roles = BTreeSet::new();
    for (name, entries) in object(&state, "reserved_resources_full")? {
        let key = format!("reserved_resources_full.{name}");
        let role = Role::new(name.as_str());
        for resource in self::resources(entries, &key)? {
            if resource.role() != Some(&role) {
                return Err(StateError::Resource {
                    key,
                    reason: "a resource of another role is listed".to_owned(),
                });
            }
            resources.push(resource);
        }
        roles.insert(role);
    }
    let unreserved = "unreserved_resources_full";
    resources.extend(self::resources(required(&state, unreserved)?, unreserved)?);
    // What the agent has in all is told whoever asks, and what providers have is part of it.
    let hides = state
        .get("resources")
        .and_then(|sums| sums.get("disk"))
        .and_then(Value::as_f64)
        .and_then(Megabytes::from_f64)
        .and_then(|total| hides(&resources, total));
    // Agents without the RESOURCE_PROVIDER capability do not have this key.
    if let Some(providers) = state.get("resource_providers") {
        resources.extend(provided(providers)?);
    }
    Ok(StateAnswer {
        id: Raw::from(text(&state, "id")?),
        version: text(&state, "version")?.parse(),
        resources,
        roles,
        flags: state.get("flags").map(flags).transpose()?,
        hides,
    })
}

pub(in crate::mesos) fn required<'a>(
    object: &'a Map<String, Value>,
    key: &'static str,
) -> Result<&'a Value, StateError> {
    object.get(key).ok_or(StateError::Missing { key })
}

fn object<'a>(
    state: &'a Map<String, Value>,
    key: &'static str,
) -> Result<&'a Map<String, Value>, StateError> {
    required(state, key)?
        .as_object()
        .ok_or_else(|| type_error(key, "an object"))
}

pub(in crate::mesos) fn text<'a>(
    object: &'a Map<String, Value>,
    key: &'static str,
) -> Result<&'a str, StateError> {
    required(object, key)?
        .as_str()
        .ok_or_else(|| type_error(key, "a string"))
}

pub(in crate::mesos) fn type_error(key: &str, expected: &'static str) -> StateError {
    StateError::Type {
        key: key.to_owned(),
        expected,
    }
}

/// A list of resources in any form.
pub(in crate::mesos) fn resources(entries: &Value, key: &str) -> Result<Vec<Resource>, StateError> {
    let entries = entries
        .as_array()
        .ok_or_else(|| type_error(key, "an array"))?;
    let fail = |reason| StateError::Resource {
        key: key.to_owned(),
        reason,
    };
    entries
        .iter()
        .map(|entry| {
            normalise(from_json(entry).map_err(fail)?)
                .map_err(|fault| fail(format!("{} {}", fault.field, fault.rule)))
        })
        .collect()
}

/// `resource_providers[].total_resources`.
fn provided(providers: &Value) -> Result<Vec<Resource>, StateError> {
    let key = "resource_providers";
    let mut resources = Vec::new();
    for provider in providers
        .as_array()
        .ok_or_else(|| type_error(key, "an array"))?
    {
        let provider = provider
            .as_object()
            .ok_or_else(|| type_error(key, "an array of objects"))?;
        // A provider that has nothing yet leaves the list out.
        if let Some(total) = provider.get("total_resources") {
            resources.extend(self::resources(
                total,
                "resource_providers.total_resources",
            )?);
        }
    }
    Ok(resources)
}

fn flags(flags: &Value) -> Result<StateFlags, StateError> {
    let flags = flags
        .as_object()
        .ok_or_else(|| type_error("flags", "an object"))?;
    let roots = match flags.get("resources") {
        None => Ok(Vec::new()),
        Some(resources) => {
            let resources = resources
                .as_str()
                .ok_or_else(|| type_error("flags.resources", "a string"))?;
            roots(resources)
        }
    };
    Ok(StateFlags {
        work_dir: Raw::from(text(flags, "work_dir")?),
        roots,
    })
}

/// The roots of PATH and MOUNT disks that a text for `--resources` names, each once.
pub fn roots(text: &str) -> Result<Vec<Raw>, ResourcesError> {
    // The role of an entry without one is of no matter here.
    let resources = parse_resources(text, &Role::new("*"))?;
    let roots: BTreeSet<Raw> = resources
        .into_iter()
        .filter_map(|resource| resource.source?.root)
        .collect();
    Ok(roots.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesos::ids::{PersistenceId, VolumeKey};

    fn recorded(stage: &str) -> Value {
        let path = format!(
            "{}/tests/fixtures/mesos/stages/{stage}/agent_state.json",
            env!("CARGO_MANIFEST_DIR")
        );
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    fn parsed(state: &Value) -> Result<StateAnswer, StateError> {
        parse_state(&serde_json::to_vec(state).unwrap())
    }

    fn volumes(answer: &StateAnswer) -> Vec<VolumeKey> {
        answer
            .resources
            .iter()
            .filter_map(Resource::volume_key)
            .collect()
    }

    #[test]
    fn a_recorded_answer_is_read_whole() {
        let answer = parsed(&recorded("S08_marathon_ids")).unwrap();
        assert_eq!(answer.id.as_str().map(str::len), Some(39));
        assert_eq!(
            answer.version,
            Ok(AgentVersion {
                major: 1,
                minor: 12,
                patch: 0
            })
        );
        let role = Role::new("marathon");
        assert_eq!(answer.roles, BTreeSet::from([role.clone()]));
        let held = volumes(&answer);
        assert_eq!(held.len(), 3);
        assert!(held.contains(&VolumeKey::new(
            role,
            PersistenceId::new("postgres#pgdata#53ab8732-fd96-11e5-8e70-76a1c19f8c3a")
        )));
        let flags = answer.flags.unwrap();
        assert_eq!(flags.work_dir, Raw::from("/srv/m/state/agent"));
        assert_eq!(
            flags.roots.unwrap(),
            [Raw::from("/srv/m/mnt/path0"), Raw::from("/srv/m/mnt/vol0")]
        );
        // Unreserved resources are there as well.
        assert!(
            answer
                .resources
                .iter()
                .any(|one| one.name.as_bytes() == b"cpus")
        );
    }

    #[test]
    fn every_recorded_answer_is_read() {
        for (stage, count) in [
            ("S00_no_volumes", 0),
            ("S01_reserved", 0),
            ("S02_volumes_root_path_mount", 3),
            ("S03_after_destroy", 0),
            ("S04_after_unreserve", 0),
            ("S05_shared_volumes", 3),
            ("S07_labels_principal", 3),
            ("S10a_before_grow", 3),
            ("S10b_after_grow", 3),
            ("S11_task_running", 3),
            ("S11c_agent_back", 3),
            ("S11d_task_killed", 3),
            ("S11e_after_destroy", 0),
            ("S13_statistics", 3),
        ] {
            assert_eq!(
                volumes(&parsed(&recorded(stage)).unwrap()).len(),
                count,
                "{stage}"
            );
        }
    }

    #[test]
    fn what_is_left_out_is_an_error_and_never_nothing() {
        for key in [
            "reserved_resources_full",
            "unreserved_resources_full",
            "id",
            "version",
        ] {
            let mut state = recorded("S02_volumes_root_path_mount");
            state.as_object_mut().unwrap().remove(key);
            assert!(
                matches!(parsed(&state).unwrap_err(), StateError::Missing { key: seen } if seen == key)
            );
            state[key] = Value::from(1);
            assert!(
                matches!(parsed(&state).unwrap_err(), StateError::Type { .. }),
                "{key}"
            );
        }
        for text in ["", "{", "[]", "null", "503"] {
            assert!(matches!(
                parse_state(text.as_bytes()).unwrap_err(),
                StateError::Json(_)
            ));
        }
        let whole = serde_json::to_vec(&recorded("S02_volumes_root_path_mount")).unwrap();
        for end in 0..whole.len() {
            assert!(parse_state(&whole[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn a_resource_that_can_t_be_understood_spoils_the_answer() {
        let with = |change: fn(&mut Value)| {
            let mut state = recorded("S02_volumes_root_path_mount");
            change(&mut state["reserved_resources_full"]["prod"][0]);
            parsed(&state).unwrap_err().to_string()
        };
        assert_eq!(
            with(|one| one["type"] = Value::from("NEW")),
            "in `reserved_resources_full.prod` of the answer: Failed to find enum for 'NEW'"
        );
        assert_eq!(
            with(|one| drop(
                one["disk"]["persistence"]
                    .as_object_mut()
                    .unwrap()
                    .remove("id")
            )),
            "in `reserved_resources_full.prod` of the answer: Missing required fields: \
             disk.persistence.id"
        );
        assert_eq!(
            with(|one| one["role"] = Value::from("other")),
            "in `reserved_resources_full.prod` of the answer: role contradicts reservations"
        );
        assert_eq!(
            with(|one| {
                one["role"] = Value::from("other");
                one["reservations"][0]["role"] = Value::from("other");
            }),
            "in `reserved_resources_full.prod` of the answer: a resource of another role is listed"
        );
    }

    #[test]
    fn hidden_flags_and_unreadable_resources_are_told_apart() {
        let mut state = recorded("S02_volumes_root_path_mount");
        state["flags"]["resources"] = Value::from("disk");
        assert!(parsed(&state).unwrap().flags.unwrap().roots.is_err());
        state["flags"].as_object_mut().unwrap().remove("resources");
        assert_eq!(parsed(&state).unwrap().flags.unwrap().roots.unwrap(), []);
        state["version"] = Value::from("newest");
        assert!(parsed(&state).unwrap().version.is_err());
        state.as_object_mut().unwrap().remove("flags");
        assert_eq!(parsed(&state).unwrap().flags, None);
    }

    #[test]
    fn volumes_of_resource_providers_count() {
        let mut state = recorded("S02_volumes_root_path_mount");
        let volume = state["reserved_resources_full"]["prod"][0].clone();
        state["reserved_resources_full"] = Value::from(Map::new());
        let provider = |total| {
            let mut provider = Map::new();
            provider.insert("resource_provider_info".to_owned(), Value::Null);
            provider.insert("total_resources".to_owned(), total);
            Value::from(vec![Value::from(provider)])
        };
        state["resource_providers"] = provider(Value::from(vec![volume]));
        assert_eq!(volumes(&parsed(&state).unwrap()).len(), 1);
        state["resource_providers"] = provider(Value::from(1));
        assert!(matches!(
            parsed(&state).unwrap_err(),
            StateError::Type { .. }
        ));
        state.as_object_mut().unwrap().remove("resource_providers");
        assert_eq!(volumes(&parsed(&state).unwrap()).len(), 0);
    }
}

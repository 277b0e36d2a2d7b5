//! Answers with one entry for each agent of the cluster, read one entry at a time: a master with
//! ten thousand agents answers hundreds of megabytes.

use std::io::Read;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Deserializer, Value};

use super::answers::{AgentEntry, from_agents, from_slaves};
use crate::mesos::agent_state::StateError;
use crate::units::Raw;

/// Why an answer is not whole.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// It is no JSON, or ends too early, or another kind of answer.
    #[error("the answer is no whole JSON document of the expected form")]
    Json(#[source] serde_json::Error),
    /// An entry can't be understood.
    #[error(transparent)]
    Entry(#[from] StateError),
    /// The list that was asked for is not in it.
    #[error("the answer has no `{0}`")]
    Missing(&'static str),
}

/// What a whole answer held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentsSeen {
    /// Agents that are registered.
    pub registered: usize,
    /// Ids of agents that the master knows from before its failover and has not heard of since:
    /// what they hold is not in the answer.
    pub recovered: Vec<Raw>,
}

/// Reads the answer to GET_AGENTS; `each` gets one agent at a time.
pub fn read_agents(
    reader: impl Read,
    each: &mut dyn FnMut(AgentEntry),
) -> Result<AgentsSeen, StreamError> {
    read(reader, &AGENTS, &from_agents, each)
}

/// Reads the answer to `/slaves`.
pub fn read_slaves(
    reader: impl Read,
    each: &mut dyn FnMut(AgentEntry),
) -> Result<AgentsSeen, StreamError> {
    read(reader, &SLAVES, &from_slaves, each)
}

/// Where the lists are in an answer.
struct Lists {
    /// The object that holds them; `None`: the answer itself.
    within: Option<&'static str>,
    registered: &'static str,
    recovered: &'static str,
    /// The keys that lead to the id of a recovered agent.
    recovered_id: &'static [&'static str],
}

const AGENTS: Lists = Lists {
    within: Some("get_agents"),
    registered: "agents",
    recovered: "recovered_agents",
    recovered_id: &["id", "value"],
};

const SLAVES: Lists = Lists {
    within: None,
    registered: "slaves",
    recovered: "recovered_slaves",
    recovered_id: &["id"],
};

type Parse<'a> = &'a dyn Fn(&Value) -> Result<AgentEntry, StateError>;

fn read(
    reader: impl Read,
    lists: &Lists,
    parse: Parse<'_>,
    each: &mut dyn FnMut(AgentEntry),
) -> Result<AgentsSeen, StreamError> {
    let mut found = Found {
        seen: AgentsSeen::default(),
        listed: false,
        within: false,
        fault: None,
    };
    let mut json = Deserializer::from_reader(reader);
    let result = Object {
        lists,
        inside: lists.within.is_none(),
        parse,
        each,
        found: &mut found,
    }
    .deserialize(&mut json)
    .and_then(|()| json.end());
    if let Some(fault) = found.fault {
        return Err(fault.into());
    }
    result.map_err(StreamError::Json)?;
    // A master without agents leaves the lists of GET_AGENTS out, never the object around them.
    match lists.within {
        Some(_) if found.within => {}
        None if found.listed => {}
        Some(within) => return Err(StreamError::Missing(within)),
        None => return Err(StreamError::Missing(lists.registered)),
    }
    Ok(found.seen)
}

struct Found {
    seen: AgentsSeen,
    listed: bool,
    within: bool,
    fault: Option<StateError>,
}

/// An object that holds the lists, or holds the object that does.
struct Object<'a> {
    lists: &'a Lists,
    inside: bool,
    parse: Parse<'a>,
    each: &'a mut dyn FnMut(AgentEntry),
    found: &'a mut Found,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if !self.inside && Some(key.as_str()) == self.lists.within {
                self.found.within = true;
                map.next_value_seed(Object {
                    lists: self.lists,
                    inside: true,
                    parse: self.parse,
                    each: &mut *self.each,
                    found: &mut *self.found,
                })?;
            } else if self.inside && key == self.lists.registered {
                self.found.listed = true;
                map.next_value_seed(List {
                    parse: self.parse,
                    each: &mut *self.each,
                    found: &mut *self.found,
                })?;
            } else if self.inside && key == self.lists.recovered {
                let recovered: Vec<Value> = map.next_value()?;
                for one in &recovered {
                    let id = self
                        .lists
                        .recovered_id
                        .iter()
                        .try_fold(one, |at, key| at.get(key))
                        .and_then(Value::as_str)
                        .ok_or_else(|| A::Error::custom("a recovered agent without an id"))?;
                    self.found.seen.recovered.push(Raw::from(id));
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct List<'a> {
    parse: Parse<'a>,
    each: &'a mut dyn FnMut(AgentEntry),
    found: &'a mut Found,
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of agents")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(value) = list.next_element::<Value>()? {
            match (self.parse)(&value) {
                Ok(entry) => (self.each)(entry),
                Err(fault) => {
                    self.found.fault = Some(fault);
                    return Err(A::Error::custom("an entry that can't be understood"));
                }
            }
            self.found.seen.registered = self.found.seen.registered.saturating_add(1);
        }
        Ok(())
    }
}

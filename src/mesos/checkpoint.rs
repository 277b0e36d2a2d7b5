//! The files of the agent's `meta` directory, decoded and (for tests and demonstrations) encoded.
//!
//! A record is a length (32 bits, little-endian) and that many bytes of protobuf, without checksum
//! or version. `resources_and_operations.{state,target}`, `resource_provider.state`, `slave.info`,
//! `task.info` and `executor.info` hold exactly one; `resources.{info,target}` hold any number.
//!
//! What a decoder here gives back is either all of the file or an error. In particular:
//!
//! * 0 bytes are [`Content::Empty`], never an empty list: Mesos takes a lost write for "nothing".
//! * Bytes behind the only record are an error, although Mesos does not read them.
//! * Every message is encoded again and compared with the file. prost drops what it does not know;
//!   a byte of difference means that the file says something that was not understood.
//! * What Mesos requires must be there, numbers of enums must be Mesos's, names must be legal, and
//!   what is said twice must be said alike, and no volume may be named twice.
//! * Lengths are compared with what is there before anything is allocated.
//!
//! One thing can't be seen: `resources.{info,target}` cut off exactly between two records is a
//! legal file with fewer records, as it is for Mesos. That such a file lists no volume is
//! therefore never enough to destroy one.

mod encode;
mod normal;
pub(in crate::mesos) mod wire;

use std::collections::HashSet;

use prost::Message;

pub use encode::{
    EncodeError, Form, OperationContext, encode_info, encode_slave_info, encode_state, encode_task,
};
pub(in crate::mesos) use normal::{Fault, resource as normalise};

use super::agent_info::AgentInfo;
use super::ids::VolumeKey;
use super::resource::Resource;
use super::state::{Launched, Operation, ResourceState, SlaveInfo};

/// The most bytes that a file may have: some 200,000 volumes.
pub const MAX_FILE_BYTES: usize = 32 << 20;

/// The bytes of a record's length.
const LENGTH_BYTES: usize = 4;

/// A file that was read and understood to its last byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<T> {
    /// 0 bytes: legal for `resources.info`, a lost write for everything else.
    Empty,
    /// Everything it says.
    Whole(T),
}

/// Why a file can't be trusted.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum DecodeError {
    /// It is larger than [`MAX_FILE_BYTES`].
    #[error("it has {bytes} bytes, more than the {limit} that can be a checkpoint")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// It ends inside the length of a record.
    #[error("at byte {offset}: it ends inside the length of a record ({have} of 4 bytes)")]
    ShortLength {
        /// Where the length begins.
        offset: usize,
        /// Bytes of it that are there.
        have: usize,
    },
    /// It ends inside a record.
    #[error("at byte {offset}: a record of {length} bytes begins, but only {have} follow")]
    ShortRecord {
        /// Where the record's length begins.
        offset: usize,
        /// The length.
        length: u32,
        /// Bytes that are there.
        have: usize,
    },
    /// Something follows the only record.
    #[error("at byte {offset}: {count} bytes follow the only record")]
    TrailingBytes {
        /// Where they begin.
        offset: usize,
        /// How many.
        count: usize,
    },
    /// A record is no protobuf message of its type.
    #[error("record at byte {offset}: {message} can't be decoded")]
    Message {
        /// Where the record's length begins.
        offset: usize,
        /// The message, with its index where it is one of several.
        message: String,
        /// What the protobuf decoder says.
        #[source]
        source: prost::DecodeError,
    },
    /// A record holds more than this program understands.
    #[error(
        "record at byte {offset}: {message} holds something that this version of mesos-volumed \
         does not know (encoded again, it is not the same)"
    )]
    NotUnderstood {
        /// Where the record's length begins.
        offset: usize,
        /// The message, with its index where it is one of several.
        message: String,
    },
    /// A field breaks a rule of Mesos.
    #[error("record at byte {offset}: {field} {rule}")]
    Rule {
        /// Where the record's length begins.
        offset: usize,
        /// The field, from the record down.
        field: String,
        /// The rest of the sentence.
        rule: String,
    },
}

impl DecodeError {
    /// What an agent says of such a file (3rdparty/stout/include/stout/protobuf.hpp); `None` where
    /// it may read the file all the same, because its rules are not ours.
    #[must_use]
    pub fn agent_words(&self) -> Option<String> {
        const SHORT: &str = "hit EOF unexpectedly, possible corruption";
        match self {
            Self::ShortLength { .. } => Some(format!("Failed to read size: {SHORT}")),
            Self::ShortRecord { length, .. } => Some(format!(
                "Failed to read message of size {length} bytes: {SHORT}"
            )),
            Self::TooLarge { .. }
            | Self::TrailingBytes { .. }
            | Self::Message { .. }
            | Self::NotUnderstood { .. }
            | Self::Rule { .. } => None,
        }
    }
}

/// A record and where its length begins.
#[derive(Clone, Copy)]
struct Record<'a> {
    offset: usize,
    body: &'a [u8],
}

/// What is left of a file, and where that begins.
struct Rest<'a> {
    offset: usize,
    bytes: &'a [u8],
}

impl<'a> Rest<'a> {
    /// Takes the next record; `None` at the end.
    fn record(&mut self) -> Result<Option<Record<'a>>, DecodeError> {
        let offset = self.offset;
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let Some((header, after)) = self.bytes.split_first_chunk::<LENGTH_BYTES>() else {
            return Err(DecodeError::ShortLength {
                offset,
                have: self.bytes.len(),
            });
        };
        let length = u32::from_le_bytes(*header);
        let split = usize::try_from(length)
            .ok()
            .and_then(|length| after.split_at_checked(length));
        let Some((body, after)) = split else {
            return Err(DecodeError::ShortRecord {
                offset,
                length,
                have: after.len(),
            });
        };
        self.offset = offset
            .saturating_add(LENGTH_BYTES)
            .saturating_add(body.len());
        self.bytes = after;
        Ok(Some(Record { offset, body }))
    }
}

impl Record<'_> {
    /// This record's message, once it is known that nothing of it was lost.
    fn message<M: Message + Default>(&self, name: &str) -> Result<M, DecodeError> {
        self.part(self.body, || name.to_owned())
    }

    /// A message inside this record.
    fn part<M: Message + Default>(
        &self,
        bytes: &[u8],
        name: impl Fn() -> String,
    ) -> Result<M, DecodeError> {
        let message = M::decode(bytes).map_err(|source| DecodeError::Message {
            offset: self.offset,
            message: name(),
            source,
        })?;
        if message.encode_to_vec() == bytes {
            Ok(message)
        } else {
            Err(DecodeError::NotUnderstood {
                offset: self.offset,
                message: name(),
            })
        }
    }

    fn rule(&self, fault: Fault) -> DecodeError {
        DecodeError::Rule {
            offset: self.offset,
            field: fault.field,
            rule: fault.rule,
        }
    }
}

/// The volumes of one file. Role and persistence id are unique on an agent, so that a volume named
/// twice means that another one lost its name. (Each use of a shared volume names it again.)
#[derive(Default)]
struct Named(HashSet<VolumeKey>);

impl Named {
    fn add(&mut self, resource: &Resource) -> Result<(), Fault> {
        match resource.volume_key() {
            Some(key) if !resource.shared && self.0.contains(&key) => Err(Fault::new(
                "disk.persistence.id",
                format!("names {key} a second time"),
            )),
            Some(key) => {
                self.0.insert(key);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// All of a file, unless it is too large.
fn bounded(bytes: &[u8]) -> Result<Rest<'_>, DecodeError> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(DecodeError::TooLarge {
            bytes: bytes.len(),
            limit: MAX_FILE_BYTES,
        });
    }
    Ok(Rest { offset: 0, bytes })
}

/// The only record of a file.
fn only(bytes: &[u8]) -> Result<Content<Record<'_>>, DecodeError> {
    let mut rest = bounded(bytes)?;
    let Some(record) = rest.record()? else {
        return Ok(Content::Empty);
    };
    if rest.bytes.is_empty() {
        Ok(Content::Whole(record))
    } else {
        Err(DecodeError::TrailingBytes {
            offset: rest.offset,
            count: rest.bytes.len(),
        })
    }
}

/// A file that is one message of type `M`.
fn single<M: Message + Default, T>(
    bytes: &[u8],
    name: &str,
    normal: impl FnOnce(M) -> Result<T, Fault>,
) -> Result<Content<T>, DecodeError> {
    let record = match only(bytes)? {
        Content::Empty => return Ok(Content::Empty),
        Content::Whole(record) => record,
    };
    normal(record.message(name)?)
        .map(Content::Whole)
        .map_err(|fault| record.rule(fault))
}

fn state(
    bytes: &[u8],
    name: &str,
    storage_allowed: bool,
) -> Result<Content<ResourceState>, DecodeError> {
    let record = match only(bytes)? {
        Content::Empty => return Ok(Content::Empty),
        Content::Whole(record) => record,
    };
    let outer: wire::State = record.message(name)?;
    if outer.storage.is_some() && !storage_allowed {
        return Err(DecodeError::NotUnderstood {
            offset: record.offset,
            message: name.to_owned(),
        });
    }
    let mut operations: Vec<Operation> = Vec::new();
    for (index, part) in outer.operations.iter().enumerate() {
        let at = || format!("operations[{index}]");
        let operation = normal::operation(record.part(part, at)?)
            .map_err(|fault| record.rule(fault.inside(at())))?;
        operations.push(operation);
    }
    let mut resources: Vec<Resource> = Vec::new();
    let mut named = Named::default();
    for (index, part) in outer.resources.iter().enumerate() {
        let at = || format!("resources[{index}]");
        let resource = normal::resource(record.part(part, at)?)
            .and_then(|resource| named.add(&resource).map(|()| resource))
            .map_err(|fault| record.rule(fault.inside(at())))?;
        resources.push(resource);
    }
    Ok(Content::Whole(ResourceState {
        operations,
        resources,
    }))
}

/// `resources_and_operations.state` or `.target`: one `mesos.internal.slave.ResourceState`.
pub fn decode_state(bytes: &[u8]) -> Result<Content<ResourceState>, DecodeError> {
    state(bytes, "ResourceState", false)
}

/// `resource_provider.state`: one `ResourceProviderState`.
pub fn decode_provider_state(bytes: &[u8]) -> Result<Content<ResourceState>, DecodeError> {
    state(bytes, "ResourceProviderState", true)
}

/// `resources.info` or `resources.target`: any number of `Resource`.
pub fn decode_info(bytes: &[u8]) -> Result<Content<Vec<Resource>>, DecodeError> {
    let mut rest = bounded(bytes)?;
    if bytes.is_empty() {
        return Ok(Content::Empty);
    }
    let mut resources = Vec::new();
    let mut named = Named::default();
    while let Some(record) = rest.record()? {
        let resource = normal::resource(record.message("Resource")?)
            .and_then(|resource| named.add(&resource).map(|()| resource))
            .map_err(|fault| record.rule(fault))?;
        resources.push(resource);
    }
    Ok(Content::Whole(resources))
}

/// `slave.info`: one `SlaveInfo`.
pub fn decode_slave_info(bytes: &[u8]) -> Result<Content<SlaveInfo>, DecodeError> {
    single(bytes, "SlaveInfo", normal::slave_info)
}

/// `slave.info` with every field, for an agent's own comparison at its start.
pub fn decode_agent_info(bytes: &[u8]) -> Result<Content<AgentInfo>, DecodeError> {
    single(bytes, "SlaveInfo", AgentInfo::from_message)
}

/// A resource in the form after refinement, as an agent works with it.
pub(in crate::mesos) fn encode_resource(resource: &Resource) -> wire::Resource {
    encode::resource(resource, Form::Post)
}

/// `task.info`: one `Task`.
pub fn decode_task_info(bytes: &[u8]) -> Result<Content<Launched>, DecodeError> {
    single(bytes, "Task", normal::task)
}

/// `executor.info`: one `ExecutorInfo`.
pub fn decode_executor_info(bytes: &[u8]) -> Result<Content<Launched>, DecodeError> {
    single(bytes, "ExecutorInfo", normal::executor)
}

#[cfg(test)]
mod tests;

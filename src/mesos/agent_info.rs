//! What an agent says of itself, `SlaveInfo` (include/mesos/mesos.proto), whole: an agent that
//! starts compares all of it with what it registered with first.

use prost::Message;
use serde_json::{Value as Json, json};

use super::checkpoint::{Fault, normalise, wire};
use super::resource::Resource;
use super::resources::{Entry, Resources, TextFormat, joined, lossy, print_ranges, print_scalar};
use super::resources_json::{Simple, simple_value, upgraded};
use crate::units::{Megabytes, Raw};

/// `SlaveInfo`.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentInfo {
    /// Host name.
    pub hostname: Raw,
    /// Port; Mesos's default where it is not set.
    pub port: Option<i32>,
    /// `--resources`, with what the agent detected by itself.
    pub resources: Resources,
    /// `--attributes`.
    pub attributes: Vec<Attribute>,
    /// The agent id; none before the first registration.
    pub id: Option<Raw>,
    /// Whether the agent checkpoints; all do.
    pub checkpoint: Option<bool>,
    /// `--domain`.
    pub domain: Option<Domain>,
}

/// An attribute.
#[derive(Clone, PartialEq, Message)]
struct AttributeMessage {
    #[prost(bytes = "vec", optional, tag = "1")]
    name: Option<Vec<u8>>,
    #[prost(int32, optional, tag = "2")]
    kind: Option<i32>,
    #[prost(message, optional, tag = "3")]
    scalar: Option<wire::Scalar>,
    #[prost(message, optional, tag = "4")]
    ranges: Option<wire::Ranges>,
    #[prost(message, optional, tag = "5")]
    text: Option<wire::Text>,
    #[prost(message, optional, tag = "6")]
    set: Option<wire::Set>,
}

/// `DomainInfo.FaultDomain`.
#[derive(Clone, PartialEq, Message)]
struct FaultDomain {
    #[prost(message, optional, tag = "1")]
    region: Option<wire::Text>,
    #[prost(message, optional, tag = "2")]
    zone: Option<wire::Text>,
}

#[derive(Clone, PartialEq, Message)]
struct DomainMessage {
    #[prost(message, optional, tag = "1")]
    fault_domain: Option<FaultDomain>,
}

/// An attribute of an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute(AttributeMessage);

/// The fault domain of an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Domain(DomainMessage);

/// Why an agent with this `--attributes` or `--domain` does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// It aborts, with these words in its log.
    #[error("{0}")]
    Attributes(String),
    /// It is no `DomainInfo`.
    #[error("Failed to load flag 'domain': {0}")]
    Domain(String),
}

/// The types that Mesos lets an attribute have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeType {
    /// A number.
    Scalar,
    /// Ranges of numbers.
    Ranges,
    /// Anything else.
    Text,
}

impl AttributeType {
    /// The number of `Value.Type`, which the agent prints.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Scalar => wire::SCALAR,
            Self::Ranges => wire::RANGES,
            Self::Text => wire::TEXT,
        }
    }
}

impl Attribute {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        lossy(self.0.name.as_ref())
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> AttributeType {
        match self.0.kind {
            Some(wire::SCALAR) => AttributeType::Scalar,
            Some(wire::RANGES) => AttributeType::Ranges,
            Some(_) | None => AttributeType::Text,
        }
    }

    /// Its value as Mesos prints it.
    #[must_use]
    pub fn value_text(&self) -> String {
        match self.kind() {
            AttributeType::Scalar => print_scalar(self.0.scalar.as_ref()),
            AttributeType::Ranges => print_ranges(self.0.ranges.as_ref()),
            AttributeType::Text => lossy(self.0.text.as_ref().and_then(|text| text.value.as_ref())),
        }
    }

    /// Whether the values are equal, as Mesos compares them.
    #[must_use]
    pub fn same_value(&self, other: &Self) -> bool {
        match (self.kind(), other.kind()) {
            (AttributeType::Scalar, AttributeType::Scalar) => self.fixed() == other.fixed(),
            (AttributeType::Ranges, AttributeType::Ranges) => self.ranges() == other.ranges(),
            (AttributeType::Text, AttributeType::Text) => self.value_text() == other.value_text(),
            (AttributeType::Scalar | AttributeType::Ranges | AttributeType::Text, _) => false,
        }
    }

    /// Whether every range of this one is within one of the other.
    #[must_use]
    pub fn ranges_within(&self, other: &Self) -> bool {
        let wide = other.ranges();
        self.ranges().iter().all(|(begin, end)| {
            wide.iter()
                .any(|(first, last)| first <= begin && end <= last)
        })
    }

    fn fixed(&self) -> Option<Megabytes> {
        self.0
            .scalar
            .as_ref()
            .and_then(|scalar| scalar.value)
            .and_then(Megabytes::from_f64)
    }

    fn ranges(&self) -> Vec<(u64, u64)> {
        let ranges = self.0.ranges.iter().flat_map(|ranges| &ranges.range);
        joined(
            ranges
                .map(|range| {
                    (
                        range.begin.unwrap_or_default(),
                        range.end.unwrap_or_default(),
                    )
                })
                .collect(),
        )
    }

    fn same(&self, other: &Self) -> bool {
        self.0.name == other.0.name && self.same_value(other)
    }

    fn write(&self, text: &mut TextFormat) {
        let message = &self.0;
        text.bytes("name", message.name.as_ref());
        text.field(
            "type",
            Some(match self.kind() {
                AttributeType::Scalar => "SCALAR",
                AttributeType::Ranges => "RANGES",
                AttributeType::Text => "TEXT",
            }),
        );
        text.scalar(message.scalar.as_ref());
        text.ranges(message.ranges.as_ref());
        text.message("text", message.text.as_ref(), |text, value| {
            text.bytes("value", value.value.as_ref());
        });
    }
}

impl std::fmt::Display for Attribute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{}={}", self.name(), self.value_text()))
    }
}

/// `--attributes` as an agent reads it: `name:value;…`.
pub fn parse_attributes(text: &str) -> Result<Vec<Attribute>, FlagError> {
    text.split([';', '\n'])
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair
                .split_once(':')
                .filter(|(name, value)| !name.is_empty() && !value.is_empty())
                .ok_or_else(|| {
                    FlagError::Attributes(format!("Invalid attribute key:value pair '{pair}'"))
                })?;
            attribute(name, value)
        })
        .collect()
}

fn attribute(name: &str, text: &str) -> Result<Attribute, FlagError> {
    let mut message = AttributeMessage {
        name: Some(name.as_bytes().to_vec()),
        ..AttributeMessage::default()
    };
    let value = simple_value(text).map_err(|words| {
        FlagError::Attributes(format!(
            "Failed to parse attribute {name} text {text} error {words}"
        ))
    })?;
    match value {
        Simple::Scalar(number) => {
            message.kind = Some(wire::SCALAR);
            message.scalar = Some(wire::Scalar {
                value: Some(number),
            });
        }
        Simple::Ranges(ranges) => {
            message.kind = Some(wire::RANGES);
            message.ranges = Some(ranges);
        }
        Simple::Text => {
            message.kind = Some(wire::TEXT);
            message.text = Some(wire::Text {
                value: Some(text.replace(' ', "").into_bytes()),
            });
        }
        Simple::Set(_) => {
            return Err(FlagError::Attributes(format!(
                "Bad type for attribute {name} text {text} type {}",
                wire::SET
            )));
        }
    }
    Ok(Attribute(message))
}

impl Domain {
    fn region(&self) -> Option<&Vec<u8>> {
        self.0
            .fault_domain
            .as_ref()?
            .region
            .as_ref()?
            .value
            .as_ref()
    }

    fn zone(&self) -> Option<&Vec<u8>> {
        self.0.fault_domain.as_ref()?.zone.as_ref()?.value.as_ref()
    }

    /// As JSON, which is also the form of `--domain`.
    #[must_use]
    pub fn json(&self) -> String {
        match &self.0.fault_domain {
            None => "{}".to_owned(),
            Some(_) => json!({"fault_domain": {
                "region": {"name": lossy(self.region())},
                "zone": {"name": lossy(self.zone())},
            }})
            .to_string(),
        }
    }

    fn write(&self, text: &mut TextFormat) {
        text.message(
            "fault_domain",
            self.0.fault_domain.as_ref(),
            |text, fault| {
                for (name, member) in [("region", &fault.region), ("zone", &fault.zone)] {
                    text.message(name, member.as_ref(), |text, member| {
                        text.bytes("name", member.value.as_ref());
                    });
                }
            },
        );
    }
}

/// `--domain` as an agent reads it.
pub fn parse_domain(text: &str) -> Result<Domain, FlagError> {
    let error = |words: &str| FlagError::Domain(words.to_owned());
    let value: Json = serde_json::from_str(text).map_err(|_no_json| error("it is no JSON"))?;
    let Some(object) = value.as_object() else {
        return Err(error("it is no JSON object"));
    };
    let Some(fault) = object.get("fault_domain").filter(|fault| !fault.is_null()) else {
        return Ok(Domain(DomainMessage { fault_domain: None }));
    };
    let name = |member: &str| {
        fault
            .pointer(&format!("/{member}/name"))
            .and_then(Json::as_str)
            .map(|name| wire::Text {
                value: Some(name.as_bytes().to_vec()),
            })
            .ok_or_else(|| error("fault_domain needs the names of a region and a zone"))
    };
    Ok(Domain(DomainMessage {
        fault_domain: Some(FaultDomain {
            region: Some(name("region")?),
            zone: Some(name("zone")?),
        }),
    }))
}

impl AgentInfo {
    /// Its disks, each as it is written in the list; what this program has no words for is left
    /// out.
    #[must_use]
    pub fn disks(&self) -> Vec<Resource> {
        self.resources
            .entries()
            .iter()
            .filter(|entry| entry.name() == "disk")
            .filter_map(|entry| normalise(entry.clone().into_message()).ok())
            .collect()
    }

    /// From the message in `slave.info`.
    pub(in crate::mesos) fn from_message(message: wire::SlaveInfo) -> Result<Self, Fault> {
        let hostname = message
            .hostname
            .ok_or_else(|| Fault::new("hostname", "is missing"))?;
        let resources = message
            .resources
            .into_iter()
            .map(|resource| {
                upgraded(resource)
                    .map(Entry::new)
                    .map_err(|error| Fault::new("resources", error.to_string()))
            })
            .collect::<Result<Resources, Fault>>()?;
        let attributes = message
            .attributes
            .iter()
            .map(|bytes| part(bytes, "attributes").and_then(known_type))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            hostname: Raw::new(hostname),
            port: message.port,
            resources,
            attributes,
            id: message.id.and_then(|id| id.value).map(Raw::new),
            checkpoint: message.checkpoint,
            domain: message
                .domain
                .map(|bytes| part(&bytes, "domain").map(Domain))
                .transpose()?,
        })
    }

    /// The port, Mesos's default where it is not set.
    #[must_use]
    pub fn port(&self) -> i32 {
        self.port.unwrap_or(DEFAULT_PORT)
    }

    /// Whether both are the same agent with the same offer (`operator==` of `SlaveInfo`).
    #[must_use]
    pub fn equals(&self, other: &Self) -> bool {
        self.hostname == other.hostname
            && self.resources.equals(&other.resources)
            && same_attributes(&self.attributes, &other.attributes)
            && self.id == other.id
            && self.checkpoint.unwrap_or_default() == other.checkpoint.unwrap_or_default()
            && self.port() == other.port()
            && self.domain == other.domain
    }

    /// In protobuf's text format, as the agent prints it.
    #[must_use]
    pub fn debug_string(&self) -> String {
        let mut text = TextFormat::default();
        text.bytes("hostname", Some(&self.hostname.as_bytes().to_vec()));
        for entry in self.resources.entries() {
            text.message("resources", Some(entry), |text, entry| entry.write(text));
        }
        for attribute in &self.attributes {
            text.message("attributes", Some(attribute), |text, attribute| {
                attribute.write(text);
            });
        }
        text.message("id", self.id.as_ref(), |text, id| {
            text.bytes("value", Some(&id.as_bytes().to_vec()));
        });
        text.field("checkpoint", self.checkpoint);
        text.field("port", self.port);
        text.message("domain", self.domain.as_ref(), |text, domain| {
            domain.write(text);
        });
        text.into_text()
    }
}

/// `--port` where it is not given (src/slave/flags.cpp).
pub const DEFAULT_PORT: i32 = 5051;

/// Attributes are compared without their order, and without counting equal ones.
#[must_use]
pub fn same_attributes(one: &[Attribute], other: &[Attribute]) -> bool {
    let within = |inner: &[Attribute], outer: &[Attribute]| {
        inner
            .iter()
            .all(|attribute| outer.iter().any(|candidate| candidate.same(attribute)))
    };
    one.len() == other.len() && within(one, other) && within(other, one)
}

/// A message inside the file, once it is known that nothing of it was lost.
fn part<M: Message + Default>(bytes: &[u8], field: &str) -> Result<M, Fault> {
    let message = M::decode(bytes).map_err(|_malformed| Fault::new(field, "can't be decoded"))?;
    if message.encode_to_vec() == bytes {
        Ok(message)
    } else {
        Err(Fault::new(
            field,
            "holds something that this version of mesos-volumed does not know",
        ))
    }
}

fn known_type(message: AttributeMessage) -> Result<Attribute, Fault> {
    let there = match message.kind {
        Some(wire::SCALAR) => message.scalar.is_some(),
        Some(wire::RANGES) => message.ranges.is_some(),
        Some(wire::TEXT) => message.text.is_some(),
        Some(_) | None => false,
    };
    if there && message.set.is_none() {
        Ok(Attribute(message))
    } else {
        Err(Fault::new("attributes", "has a type that no attribute has"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_an_agent_reads_them() {
        let read = |text: &str| {
            parse_attributes(text)
                .unwrap()
                .iter()
                .map(|one| (one.to_string(), one.kind()))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            read("rack:r1;level: 10 ;ports:[3-4,1-2]\nnote:a:b c;"),
            [
                ("rack=r1".to_owned(), AttributeType::Text),
                ("level=10".to_owned(), AttributeType::Scalar),
                ("ports=[1-4]".to_owned(), AttributeType::Ranges),
                ("note=a:bc".to_owned(), AttributeType::Text),
            ]
        );
        assert_eq!(read(""), []);
        for (text, words) in [
            ("rack", "Invalid attribute key:value pair 'rack'"),
            ("rack:", "Invalid attribute key:value pair 'rack:'"),
            (":r1", "Invalid attribute key:value pair ':r1'"),
            ("a:{x}", "Bad type for attribute a text {x} type 2"),
            (
                "a:[1",
                "Failed to parse attribute a text [1 error Mismatched brackets",
            ),
        ] {
            assert_eq!(parse_attributes(text).unwrap_err().to_string(), words);
        }
    }

    #[test]
    fn attributes_compare_without_order() {
        let of = |text| parse_attributes(text).unwrap();
        for (one, other, same) in [
            ("a:1;b:x", "b:x;a:1.0000001", true),
            ("a:1;a:1", "a:1;a:1", true),
            ("a:1", "a:1;b:2", false),
            ("a:1", "a:x", false),
            ("a:[1-2,3-4]", "a:[1-4]", true),
            ("a:x", "a:y", false),
        ] {
            assert_eq!(same_attributes(&of(one), &of(other)), same, "{one} {other}");
        }
    }

    #[test]
    fn a_domain_is_read_and_printed() {
        let text = r#"{"fault_domain":{"region":{"name":"eu"},"zone":{"name":"a"}}}"#;
        assert_eq!(parse_domain(text).unwrap().json(), text);
        for bad in ["", "[]", r#"{"fault_domain":{"region":{"name":"eu"}}}"#] {
            assert!(parse_domain(bad).is_err(), "{bad}");
        }
    }
}

//! The three ways in which an agent prints resources: in one line, as JSON, and as protobuf's text
//! format (src/common/resources.cpp, src/common/values.cpp, google/protobuf/text_format.cc).

use serde_json::{Map, Number, Value};

use crate::mesos::checkpoint::wire;
use crate::units::Megabytes;

/// Text for a log; what is no UTF-8 is replaced.
pub(in crate::mesos) fn lossy(bytes: Option<&Vec<u8>>) -> String {
    bytes.map_or_else(String::new, |bytes| {
        String::from_utf8_lossy(bytes).into_owned()
    })
}

/// A number with 15 significant digits, as C's `%.15g` has it.
pub(in crate::mesos) fn digits15(number: f64) -> String {
    if !number.is_finite() {
        let text = if number.is_nan() { "nan" } else { "inf" };
        return if number.is_sign_negative() && !number.is_nan() {
            format!("-{text}")
        } else {
            text.to_owned()
        };
    }
    let scientific = format!("{number:.14e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let trimmed = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if (-4..15).contains(&exponent) {
        let decimals = usize::try_from(14_i32.saturating_sub(exponent)).unwrap_or_default();
        return trimmed(&format!("{number:.decimals$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(mantissa), exponent.unsigned_abs())
}

/// The value in one line.
pub(super) fn value(message: &wire::Resource) -> String {
    match message.kind {
        Some(wire::SCALAR) => scalar(message.scalar.as_ref()),
        Some(wire::RANGES) => ranges(message.ranges.as_ref()),
        Some(wire::SET) => set(message.set.as_ref()),
        Some(_) | None => String::new(),
    }
}

/// To three decimals.
pub(in crate::mesos) fn scalar(scalar: Option<&wire::Scalar>) -> String {
    scalar
        .and_then(|scalar| scalar.value)
        .and_then(Megabytes::from_f64)
        .map_or_else(String::new, |number| digits15(number.as_f64()))
}

pub(in crate::mesos) fn ranges(ranges: Option<&wire::Ranges>) -> String {
    let ranges: Vec<String> = ranges
        .iter()
        .flat_map(|ranges| &ranges.range)
        .map(|range| {
            format!(
                "{}-{}",
                range.begin.unwrap_or_default(),
                range.end.unwrap_or_default()
            )
        })
        .collect();
    format!("[{}]", ranges.join(", "))
}

fn set(set: Option<&wire::Set>) -> String {
    let items: Vec<String> = set
        .iter()
        .flat_map(|set| &set.item)
        .map(|item| lossy(Some(item)))
        .collect();
    format!("{{{}}}", items.join(", "))
}

/// `PATH:/root`, or `RAW(vendor,id,profile)`.
pub(super) fn source(source: &wire::Source) -> String {
    let (kind, member) = match source.kind {
        Some(wire::PATH) => ("PATH", source.path.as_ref()),
        Some(wire::MOUNT) => ("MOUNT", source.mount.as_ref()),
        Some(wire::BLOCK) => ("BLOCK", None),
        Some(wire::RAW) => ("RAW", None),
        Some(_) | None => return "UNKNOWN".to_owned(),
    };
    if source.id.is_some() || source.profile.is_some() {
        return format!(
            "{kind}({},{},{})",
            lossy(source.vendor.as_ref()),
            lossy(source.id.as_ref()),
            lossy(source.profile.as_ref())
        );
    }
    match member.and_then(|member| member.root.as_ref()) {
        Some(root) => format!("{kind}:{}", lossy(Some(root))),
        None => kind.to_owned(),
    }
}

fn labels(labels: &wire::Labels) -> String {
    let labels: Vec<String> = labels
        .labels
        .iter()
        .map(|label| match &label.value {
            Some(value) => format!("{}: {}", lossy(label.key.as_ref()), lossy(Some(value))),
            None => lossy(label.key.as_ref()),
        })
        .collect();
    format!("{{{}}}", labels.join(", "))
}

fn reservation_type(kind: Option<i32>) -> &'static str {
    match kind {
        Some(wire::STATIC) => "STATIC",
        Some(wire::DYNAMIC) => "DYNAMIC",
        Some(_) | None => "UNKNOWN",
    }
}

fn reservation(one: &wire::ReservationInfo) -> String {
    let mut text = format!(
        "({},{}",
        reservation_type(one.kind),
        lossy(one.role.as_ref())
    );
    if let Some(principal) = &one.principal {
        text.push(',');
        text.push_str(&lossy(Some(principal)));
    }
    if let Some(one) = &one.labels {
        text.push(',');
        text.push_str(&labels(one));
    }
    text.push(')');
    text
}

fn volume(volume: &wire::Volume) -> String {
    let container_path = lossy(volume.container_path.as_ref());
    let Some(host_path) = &volume.host_path else {
        return container_path;
    };
    let mode = match volume.mode {
        Some(wire::RW) => ":rw",
        Some(wire::RO) => ":ro",
        Some(_) | None => "",
    };
    format!("{}:{container_path}{mode}", lossy(Some(host_path)))
}

fn disk(disk: &wire::DiskInfo) -> String {
    let mut text = disk.source.as_ref().map(source).unwrap_or_default();
    if let Some(persistence) = &disk.persistence {
        if disk.source.is_some() {
            text.push(',');
        }
        text.push_str(&lossy(persistence.id.as_ref()));
    }
    if let Some(one) = &disk.volume {
        text.push(':');
        text.push_str(&volume(one));
    }
    text
}

/// One line, such as `disk(reservations: [(STATIC,prod)])[PATH:/mnt]:100`.
pub(super) fn resource(message: &wire::Resource) -> String {
    let mut text = lossy(message.name.as_ref());
    if let Some(allocation) = &message.allocation_info {
        text.push_str("(allocated: ");
        text.push_str(&lossy(allocation.role.as_ref()));
        text.push(')');
    }
    if !message.reservations.is_empty() {
        let stack: Vec<String> = message.reservations.iter().map(reservation).collect();
        text.push_str("(reservations: [");
        text.push_str(&stack.join(","));
        text.push_str("])");
    }
    if let Some(one) = &message.disk {
        text.push('[');
        text.push_str(&disk(one));
        text.push(']');
    }
    if message.revocable.is_some() {
        text.push_str("{REV}");
    }
    if message.shared.is_some() {
        text.push_str("<SHARED>");
    }
    text.push(':');
    text.push_str(&value(message));
    text
}

/// A JSON object in which the keys that are not set are left out.
struct Json(Map<String, Value>);

impl Json {
    fn new() -> Self {
        Self(Map::new())
    }

    fn with(mut self, key: &str, value: Option<Value>) -> Self {
        if let Some(value) = value {
            self.0.insert(key.to_owned(), value);
        }
        self
    }

    fn text(self, key: &str, value: Option<&Vec<u8>>) -> Self {
        let value = value.map(|value| Value::String(lossy(Some(value))));
        self.with(key, value)
    }

    fn list(self, key: &str, values: Vec<Value>) -> Self {
        let values = (!values.is_empty()).then_some(Value::Array(values));
        self.with(key, values)
    }

    fn done(self) -> Value {
        Value::Object(self.0)
    }
}

fn json_labels(labels: &wire::Labels) -> Value {
    let all = labels
        .labels
        .iter()
        .map(|label| {
            Json::new()
                .text("key", label.key.as_ref())
                .text("value", label.value.as_ref())
                .done()
        })
        .collect();
    Json::new().list("labels", all).done()
}

fn json_reservation(one: &wire::ReservationInfo) -> Value {
    Json::new()
        .with("labels", one.labels.as_ref().map(json_labels))
        .text("principal", one.principal.as_ref())
        .text("role", one.role.as_ref())
        .with(
            "type",
            one.kind
                .map(|kind| Value::from(reservation_type(Some(kind)))),
        )
        .done()
}

fn source_type(kind: i32) -> &'static str {
    match kind {
        wire::PATH => "PATH",
        wire::MOUNT => "MOUNT",
        wire::BLOCK => "BLOCK",
        wire::RAW => "RAW",
        _ => "UNKNOWN",
    }
}

fn json_source(source: &wire::Source) -> Value {
    let root = |member: &Option<wire::Root>| {
        member
            .as_ref()
            .map(|member| Json::new().text("root", member.root.as_ref()).done())
    };
    Json::new()
        .text("id", source.id.as_ref())
        .with("metadata", source.metadata.as_ref().map(json_labels))
        .with("mount", root(&source.mount))
        .with("path", root(&source.path))
        .text("profile", source.profile.as_ref())
        .with("type", source.kind.map(|kind| source_type(kind).into()))
        .text("vendor", source.vendor.as_ref())
        .done()
}

fn mode(mode: i32) -> &'static str {
    if mode == wire::RO { "RO" } else { "RW" }
}

fn json_disk(disk: &wire::DiskInfo) -> Value {
    let persistence = disk.persistence.as_ref().map(|one| {
        Json::new()
            .text("id", one.id.as_ref())
            .text("principal", one.principal.as_ref())
            .done()
    });
    let volume = disk.volume.as_ref().map(|one| {
        Json::new()
            .text("container_path", one.container_path.as_ref())
            .text("host_path", one.host_path.as_ref())
            .with("mode", one.mode.map(|number| mode(number).into()))
            .done()
    });
    Json::new()
        .with("persistence", persistence)
        .with("source", disk.source.as_ref().map(json_source))
        .with("volume", volume)
        .done()
}

fn value_type(kind: i32) -> &'static str {
    match kind {
        wire::SCALAR => "SCALAR",
        wire::RANGES => "RANGES",
        wire::SET => "SET",
        _ => "TEXT",
    }
}

/// The resource as JSON, its keys sorted.
pub(in crate::mesos) fn json_resource(message: &wire::Resource) -> Value {
    let scalar = message.scalar.as_ref().map(|scalar| {
        let number = scalar.value.and_then(Number::from_f64).map(Value::Number);
        Json::new().with("value", number).done()
    });
    let ranges = message.ranges.as_ref().map(|ranges| {
        let all = ranges
            .range
            .iter()
            .map(|range| {
                Json::new()
                    .with("begin", range.begin.map(Value::from))
                    .with("end", range.end.map(Value::from))
                    .done()
            })
            .collect();
        Json::new().list("range", all).done()
    });
    let set = message.set.as_ref().map(|set| {
        let all = set.item.iter().map(|item| lossy(Some(item)).into());
        Json::new().list("item", all.collect()).done()
    });
    let provider = message
        .provider_id
        .as_ref()
        .map(|id| Json::new().text("value", id.value.as_ref()).done());
    Json::new()
        .with("disk", message.disk.as_deref().map(json_disk))
        .text("name", message.name.as_ref())
        .with("provider_id", provider)
        .with("ranges", ranges)
        .list(
            "reservations",
            message.reservations.iter().map(json_reservation).collect(),
        )
        .with(
            "revocable",
            message.revocable.as_ref().map(|_| Json::new().done()),
        )
        .with("scalar", scalar)
        .with("set", set)
        .with(
            "shared",
            message.shared.as_ref().map(|_| Json::new().done()),
        )
        .with("type", message.kind.map(|kind| value_type(kind).into()))
        .done()
}

/// protobuf's text format, two spaces a level.
#[derive(Debug, Default)]
pub(in crate::mesos) struct TextFormat {
    text: String,
    depth: usize,
}

impl TextFormat {
    pub(in crate::mesos) fn into_text(self) -> String {
        self.text
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(&"  ".repeat(self.depth));
        self.text.push_str(line);
        self.text.push('\n');
    }

    pub(in crate::mesos) fn field(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.line(&format!("{name}: {}", value.to_string()));
        }
    }

    pub(in crate::mesos) fn bytes(&mut self, name: &str, value: Option<&Vec<u8>>) {
        if let Some(value) = value {
            self.line(&format!("{name}: \"{}\"", escaped(value)));
        }
    }

    pub(in crate::mesos) fn message<T>(
        &mut self,
        name: &str,
        message: Option<&T>,
        fields: impl FnOnce(&mut Self, &T),
    ) {
        if let Some(message) = message {
            self.line(&format!("{name} {{"));
            self.depth = self.depth.saturating_add(1);
            fields(self, message);
            self.depth = self.depth.saturating_sub(1);
            self.line("}");
        }
    }

    pub(in crate::mesos) fn double(&mut self, name: &str, value: Option<f64>) {
        self.field(
            name,
            value.map(|number| {
                let short = digits15(number);
                // Where 15 digits are not the same number, protobuf takes 17.
                if short.parse() == Ok(number) {
                    short
                } else {
                    format!("{number}")
                }
            }),
        );
    }

    pub(in crate::mesos) fn scalar(&mut self, scalar: Option<&wire::Scalar>) {
        self.message("scalar", scalar, |text, scalar| {
            text.double("value", scalar.value);
        });
    }

    pub(in crate::mesos) fn ranges(&mut self, ranges: Option<&wire::Ranges>) {
        self.message("ranges", ranges, |text, ranges| {
            for range in &ranges.range {
                text.message("range", Some(range), |text, range| {
                    text.field("begin", range.begin);
                    text.field("end", range.end);
                });
            }
        });
    }

    fn set(&mut self, set: Option<&wire::Set>) {
        self.message("set", set, |text, set| {
            for item in &set.item {
                text.bytes("item", Some(item));
            }
        });
    }

    fn labels(&mut self, name: &str, labels: Option<&wire::Labels>) {
        self.message(name, labels, |text, labels| {
            for label in &labels.labels {
                text.message("labels", Some(label), |text, label| {
                    text.bytes("key", label.key.as_ref());
                    text.bytes("value", label.value.as_ref());
                });
            }
        });
    }

    fn source(&mut self, source: Option<&wire::Source>) {
        self.message("source", source, |text, source| {
            text.field("type", source.kind.map(source_type));
            for (name, member) in [("path", &source.path), ("mount", &source.mount)] {
                text.message(name, member.as_ref(), |text, member| {
                    text.bytes("root", member.root.as_ref());
                });
            }
            text.bytes("id", source.id.as_ref());
            text.labels("metadata", source.metadata.as_ref());
            text.bytes("profile", source.profile.as_ref());
            text.bytes("vendor", source.vendor.as_ref());
        });
    }
}

fn escaped(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|&byte| match byte {
            b'\n' => "\\n".to_owned(),
            b'\r' => "\\r".to_owned(),
            b'\t' => "\\t".to_owned(),
            b'"' => "\\\"".to_owned(),
            b'\'' => "\\'".to_owned(),
            b'\\' => "\\\\".to_owned(),
            b' '..=b'~' => char::from(byte).to_string(),
            byte => format!("\\{byte:03o}"),
        })
        .collect()
}

/// The fields of a resource in protobuf's text format.
pub(in crate::mesos) fn text_resource(text: &mut TextFormat, message: &wire::Resource) {
    text.bytes("name", message.name.as_ref());
    text.field("type", message.kind.map(value_type));
    text.scalar(message.scalar.as_ref());
    text.ranges(message.ranges.as_ref());
    text.set(message.set.as_ref());
    text.message("disk", message.disk.as_deref(), |text, disk| {
        text.message(
            "persistence",
            disk.persistence.as_ref(),
            |text, persistence| {
                text.bytes("id", persistence.id.as_ref());
                text.bytes("principal", persistence.principal.as_ref());
            },
        );
        text.message("volume", disk.volume.as_ref(), |text, volume| {
            text.bytes("container_path", volume.container_path.as_ref());
            text.bytes("host_path", volume.host_path.as_ref());
            text.field("mode", volume.mode.map(mode));
        });
        text.source(disk.source.as_ref());
    });
    text.message("revocable", message.revocable.as_ref(), |_, _| {});
    text.message("shared", message.shared.as_ref(), |_, _| {});
    text.message("provider_id", message.provider_id.as_ref(), |text, id| {
        text.bytes("value", id.value.as_ref());
    });
    for reservation in &message.reservations {
        text.message("reservations", Some(reservation), |text, one| {
            text.bytes("principal", one.principal.as_ref());
            text.labels("labels", one.labels.as_ref());
            text.bytes("role", one.role.as_ref());
            text.field("type", one.kind.map(|kind| reservation_type(Some(kind))));
        });
    }
}

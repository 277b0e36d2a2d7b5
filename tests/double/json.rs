//! JSON whose keys stay in the order in which Mesos writes them.

use std::fmt;

/// A JSON document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum J {
    /// `true` or `false`.
    Bool(bool),
    /// A number that Mesos writes with a fraction, `.0` included.
    Real(f64),
    /// A whole number.
    Int(i64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<J>),
    /// An object.
    Object(Vec<(String, J)>),
}

/// An object of these members.
pub(crate) fn object<K: Into<String>>(members: impl IntoIterator<Item = (K, J)>) -> J {
    J::Object(
        members
            .into_iter()
            .map(|(key, value)| (key.into(), value))
            .collect(),
    )
}

/// An object without members.
pub(crate) fn empty() -> J {
    J::Object(Vec::new())
}

/// A list of these.
pub(crate) fn list(items: impl IntoIterator<Item = J>) -> J {
    J::List(items.into_iter().collect())
}

/// The wrapped ids of protobuf: `{"value": …}`.
pub(crate) fn value(text: &str) -> J {
    object([("value", text.into())])
}

/// What a JSON pointer points at; null where there is nothing.
pub(crate) fn at<'a>(json: &'a serde_json::Value, pointer: &str) -> &'a serde_json::Value {
    json.pointer(pointer).unwrap_or(&serde_json::Value::Null)
}

impl From<&str> for J {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for J {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<f64> for J {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<bool> for J {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<&serde_json::Value> for J {
    fn from(json: &serde_json::Value) -> Self {
        use serde_json::Value;
        match json {
            Value::Null => Self::Text(String::new()),
            Value::Bool(truth) => Self::Bool(*truth),
            Value::Number(number) => number.as_i64().map_or_else(
                || Self::Real(number.as_f64().unwrap_or_default()),
                Self::Int,
            ),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Object(members) => Self::Object(
                members
                    .iter()
                    .map(|(key, value)| (key.clone(), Self::from(value)))
                    .collect(),
            ),
        }
    }
}

impl J {
    /// Adds a member to an object.
    pub(crate) fn push(&mut self, key: &str, value: J) {
        if let Self::Object(members) = self {
            members.push((key.to_owned(), value));
        }
    }

    /// The object with one more member.
    pub(crate) fn with(mut self, key: &str, value: J) -> Self {
        self.push(key, value);
        self
    }
}

impl fmt::Display for J {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Real(number) => write!(f, "{}", serde_json::Value::from(*number)),
            Self::Int(number) => write!(f, "{number}"),
            Self::Text(text) => quoted(f, text),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma}{item}")?;
                }
                f.write_str("]")
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (index, (key, value)) in members.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { "," })?;
                    quoted(f, key)?;
                    write!(f, ":{value}")?;
                }
                f.write_str("}")
            }
        }
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let text = serde_json::to_string(text).map_err(|_unwritable| fmt::Error)?;
    f.write_str(&text)
}

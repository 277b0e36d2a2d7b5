//! What differs between two configurations, for the log of a reload.

use toml::Value;

use super::inputs::{Effective, Inputs};

/// What is shown in the place of a secret.
const BLANK: &str = "***";

/// A line for each key whose value in force differs: `sweep.grace: "1h" is now "2h"`. Credentials in
/// addresses, and values of keys that speak of a secret, are blanked.
#[must_use]
pub fn changes(before: &Inputs, after: &Inputs) -> Vec<String> {
    let (old, new) = (flat(before), flat(after));
    let mut lines = Vec::new();
    let mut keys: Vec<&String> = old.iter().chain(&new).map(|(key, _)| key).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let of = |all: &[(String, Value)]| {
            all.iter()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value.clone())
        };
        let line = match (of(&old), of(&new)) {
            (old, new) if old == new => continue,
            (Some(old), Some(new)) => {
                format!("{key}: {} is now {}", shown(key, &old), shown(key, &new))
            }
            (None, Some(new)) => format!("{key}: is now {}", shown(key, &new)),
            (Some(old), None) => format!("{key}: {} is no longer set", shown(key, &old)),
            (None, None) => continue,
        };
        lines.push(line);
    }
    lines
}

/// Each key in force with its value; rules of `[[disks]]` by their number.
fn flat(inputs: &Inputs) -> Vec<(String, Value)> {
    let sections = inputs
        .sections()
        .into_iter()
        .map(|(section, keys)| (section.to_owned(), keys));
    let disks = inputs
        .disks()
        .into_iter()
        .zip(1_u32..)
        .map(|(keys, number)| (format!("disks[{number}]"), keys));
    sections
        .chain(disks)
        .flat_map(|(section, keys)| {
            keys.into_iter()
                .map(move |Effective { name, value, .. }| (format!("{section}.{name}"), value))
        })
        .collect()
}

fn shown(key: &str, value: &Value) -> String {
    // Files that hold secrets are named; what is in them never is.
    let secret = ["secret", "password", "token"];
    if !key.ends_with("_file") && secret.iter().any(|word| key.contains(word)) {
        return BLANK.to_owned();
    }
    blanked(value.clone()).to_string()
}

fn blanked(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_user(&text)),
        Value::Array(values) => Value::Array(values.into_iter().map(blanked).collect()),
        Value::Table(table) => Value::Table(
            table
                .into_iter()
                .map(|(key, value)| (key, blanked(value)))
                .collect(),
        ),
        other @ (Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_)) => {
            other
        }
    }
}

/// `https://user:password@host` with user and password blanked, wherever in the text.
fn without_user(text: &str) -> String {
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        shown.push_str("://");
        let authority = part.find(['/', '?', '#']).unwrap_or(part.len());
        let (authority, rest) = part.split_at(authority);
        match authority.rsplit_once('@') {
            Some((_user, host)) => {
                shown.push_str(BLANK);
                shown.push('@');
                shown.push_str(host);
            }
            None => shown.push_str(authority),
        }
        shown.push_str(rest);
    }
    shown
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make their own files")]
mod tests {
    use super::*;
    use crate::config::{Source, load};

    fn inputs(text: &str) -> Inputs {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("config.toml");
        std::fs::write(&file, text).unwrap();
        let loaded = load(&Source {
            file,
            required: true,
        });
        loaded.unwrap().inputs
    }

    #[test]
    fn each_key_that_differs_is_told_and_no_other() {
        let before = inputs("[sweep]\ngrace = \"1h\"\n[wipe]\nrate = 5\n");
        let after = inputs(
            "[sweep]\ngrace = \"2h\"\n[wipe]\nrate = 5\n[[disks]]\ntype = \"PATH\"\n\
             paths = [\"/mnt/a\"]\n",
        );
        assert_eq!(changes(&before, &before), Vec::<String>::new());
        let told = changes(&before, &after);
        assert!(
            told.contains(&"sweep.grace: \"1h\" is now \"2h\"".to_owned()),
            "{told:#?}"
        );
        assert!(
            told.iter()
                .any(|line| line.starts_with("disks[1].type: \"MOUNT\" is now \"PATH\"")),
            "{told:#?}"
        );
        assert!(!told.iter().any(|line| line.contains("rate")), "{told:#?}");
    }

    #[test]
    fn secrets_are_blanked() {
        assert_eq!(
            without_user("http://me:word@host:5051/a@b and https://x@y"),
            "http://***@host:5051/a@b and https://***@y"
        );
        assert_eq!(without_user("http://host/p"), "http://host/p");
        let value = Value::Array(vec![Value::String("http://me:word@a".to_owned())]);
        assert_eq!(shown("master.urls", &value), "[\"http://***@a\"]");
        let value = Value::String("word".to_owned());
        assert_eq!(shown("agent.secret", &value), BLANK);
        assert_eq!(shown("agent.secret_file", &value), "\"word\"");
    }
}

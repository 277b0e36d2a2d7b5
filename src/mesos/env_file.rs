//! Files of `NAME=value` lines, as a shell and systemd's `EnvironmentFile=` both read them. What they
//! read in different ways, or only a shell can, is unclear.

use std::iter::Peekable;
use std::str::Chars;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assigned {
    /// This text.
    Text(String),
    /// It depends on who reads it: a sentence.
    Unclear(String),
}

/// Every assignment of a file, in order.
#[must_use]
pub fn assignments(text: &str) -> Vec<(String, Assigned)> {
    let mut chars = text.chars().peekable();
    let mut found = Vec::new();
    while chars.peek().is_some() {
        skip(&mut chars, |c| c.is_whitespace() || c == ';');
        if chars.peek() == Some(&'#') {
            skip(&mut chars, |c| c != '\n');
            continue;
        }
        let mut name = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=' && *c != '\n') {
            name.push(c);
        }
        if chars.next_if_eq(&'=').is_none() {
            continue;
        }
        let name = name.trim();
        let name = name.strip_prefix("export ").unwrap_or(name).trim();
        let value = value(&mut chars, name);
        if is_name(name) {
            found.push((name.to_owned(), value));
        }
    }
    found
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn skip(chars: &mut Peekable<Chars<'_>>, mut that: impl FnMut(char) -> bool) {
    while chars.next_if(|c| that(*c)).is_some() {}
}

/// The value behind `=`, to the end of its line; quotes may hold line breaks.
fn value(chars: &mut Peekable<Chars<'_>>, name: &str) -> Assigned {
    let mut text = String::new();
    let mut unclear: Option<&str> = None;
    while let Some(c) = chars.next() {
        match c {
            '\n' => break,
            '\'' => loop {
                match chars.next() {
                    Some('\'') => break,
                    Some(c) => text.push(c),
                    None => {
                        unclear = Some("has a quote that is not closed");
                        break;
                    }
                }
            },
            '"' => {
                if let Some(why) = quoted(chars, &mut text) {
                    unclear = Some(why);
                }
            }
            '\\' => match chars.next() {
                Some('\n') => {}
                Some(c) => text.push(c),
                None => unclear = Some("ends in a backslash"),
            },
            '$' | '`' => unclear = Some("is something that only a shell can work out"),
            c if c.is_whitespace() || c == ';' => {
                skip(chars, |c| c != '\n' && (c.is_whitespace() || c == ';'));
                match chars.peek() {
                    None | Some('\n') => {}
                    Some('#') => skip(chars, |c| c != '\n'),
                    Some(_) => {
                        unclear =
                            Some("has unquoted space, which a shell and systemd read in two ways");
                        text.push(c);
                    }
                }
            }
            c => text.push(c),
        }
    }
    match unclear {
        None => Assigned::Text(text),
        Some(why) => Assigned::Unclear(format!("{name} {why}")),
    }
}

/// The rest of what is in double quotes; what is unclear about it.
fn quoted(chars: &mut Peekable<Chars<'_>>, text: &mut String) -> Option<&'static str> {
    let mut unclear = None;
    loop {
        match chars.next() {
            Some('"') => return unclear,
            Some('\\') => match chars.next() {
                Some('\n') => {}
                Some(c @ ('"' | '\\' | '$' | '`')) => text.push(c),
                Some(c) => text.extend(['\\', c]),
                None => return Some("has a quote that is not closed"),
            },
            Some('$' | '`') => unclear = Some("is something that only a shell can work out"),
            Some(c) => text.push(c),
            None => return Some("has a quote that is not closed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        assignments(text)
            .into_iter()
            .map(|(name, value)| match value {
                Assigned::Text(text) => (name, text),
                Assigned::Unclear(why) => (name, format!("? {why}")),
            })
            .collect()
    }

    fn one(text: &str) -> String {
        let mut all = read(text);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0).1
    }

    #[test]
    fn what_a_shell_and_systemd_read_alike_is_read() {
        let all = read(
            "# comment\n\
             A=1\n\
             \n\
             export B='two words' # why\n\
             C=\"a \\\"quoted\\\" \\$ and \\\\ and \\n\"\n\
             D=a\\ b\n\
             E=\n\
             F='line\nbreak'\n\
             G=long\\\ner\n\
             not an assignment\n\
             9X=no\n\
             H={\"a\":1};\n",
        );
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "a \"quoted\" $ and \\ and \\n"),
            ("D", "a b"),
            ("E", ""),
            ("F", "line\nbreak"),
            ("G", "longer"),
            ("H", "{a:1}"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(all, expected);
    }

    #[test]
    fn what_they_read_in_two_ways_is_unclear() {
        for (text, why) in [
            ("A=$HOME/x", "only a shell"),
            ("A=\"`id`\"", "only a shell"),
            ("A=b c", "unquoted space"),
            ("A='open", "not closed"),
            ("A=\"open", "not closed"),
            ("A=b\\", "ends in a backslash"),
        ] {
            assert!(one(text).contains(why), "{text}: {}", one(text));
        }
    }

    #[test]
    fn what_resources_writes_comes_back() {
        use crate::mesos::disk::{DiskRef, DiskType};
        use crate::mesos::ids::Role;
        use crate::mesos::resources_json::{DiskEntry, Foreign, generate};
        use crate::units::{Megabytes, Raw};
        let entry = |kind, root: &str| DiskEntry {
            disk: DiskRef {
                kind,
                root: Raw::from(root),
            },
            size: Megabytes::whole(7),
            role: Role::new("*"),
        };
        let disks = [
            entry(DiskType::Root, "/w"),
            entry(DiskType::Path, "/m/it's $HOME `x` \"q\" \\ é"),
        ];
        let text = generate(&disks, &Foreign::default()).unwrap();
        let compact = |text: &str| -> serde_json::Value { serde_json::from_str(text).unwrap() };
        assert_eq!(compact(&one(&text.env().unwrap())), compact(&text.json()));
    }
}

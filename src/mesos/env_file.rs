//! Files of `NAME=value` lines, as a shell and systemd's `EnvironmentFile=` both read them. What they
//! read in different ways, or only a shell can, is unclear.
//!
//! A value is written in a form that both take for the same text, systemd of every age included:
//! what a backslash means in single quotes changed with systemd 240, so that a text with one goes
//! into double quotes.

use std::ops::Range;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assigned {
    /// This text.
    Text(String),
    /// It depends on who reads it: a sentence.
    Unclear(String),
}

/// Who reads the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// A shell or systemd; it must not matter which.
    Either,
    /// A shell.
    Shell,
}

/// Why a variable of a file can't be read or set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvFileError {
    /// Its value depends on who reads it.
    #[error("{0}; write it as NAME='value'")]
    Unclear(String),
    /// It stands in a line that is no plain assignment.
    #[error(
        "the line `{line}` names {name} and is no plain assignment; write it as NAME='value', or \
         take it out"
    )]
    Hidden {
        /// The variable.
        name: String,
        /// The line.
        line: String,
    },
}

/// Every assignment of a file, in order.
#[must_use]
pub fn assignments(text: &str) -> Vec<(String, Assigned)> {
    parse(text, Reader::Either)
        .0
        .into_iter()
        .map(|found| (found.name, found.value))
        .collect()
}

/// As [`assignments`], for a text that only a shell reads.
#[must_use]
pub fn shell_assignments(text: &str) -> Vec<(String, Assigned)> {
    parse(text, Reader::Shell)
        .0
        .into_iter()
        .map(|found| (found.name, found.value))
        .collect()
}

/// The value of a variable, in whatever case its name is written, as Mesos takes it; the last one
/// counts. `None` where nothing assigns it.
pub fn value(text: &str, name: &str) -> Result<Option<String>, EnvFileError> {
    let (found, others) = parse(text, Reader::Either);
    plain(&others, name)?;
    match found.into_iter().rev().find(|one| one.is(name)) {
        None => Ok(None),
        Some(one) => match one.value {
            Assigned::Text(text) => Ok(Some(text)),
            Assigned::Unclear(why) => Err(EnvFileError::Unclear(why)),
        },
    }
}

/// The same file with another value for a variable, everything else being left as it is. Where it is
/// assigned more than once, the last assignment stays, which is the one that counts; where it is not,
/// one is added at the end.
pub fn set(text: &str, name: &str, quoted: &str) -> Result<String, EnvFileError> {
    let (mut found, others) = parse(text, Reader::Either);
    plain(&others, name)?;
    found.retain(|one| one.is(name));
    let mut edited = String::new();
    let Some(last) = found.pop() else {
        edited.push_str(text);
        if !text.is_empty() && !text.ends_with('\n') {
            edited.push('\n');
        }
        edited.extend([name, "=", quoted, "\n"]);
        return Ok(edited);
    };
    if let Assigned::Unclear(why) = last.value {
        return Err(EnvFileError::Unclear(why));
    }
    let mut at = 0;
    for earlier in &found {
        edited.push_str(text.get(at..earlier.line.start).unwrap_or_default());
        at = earlier.line.end;
    }
    edited.push_str(text.get(at..last.text.start).unwrap_or_default());
    edited.push_str(quoted);
    edited.push_str(text.get(last.text.end..).unwrap_or_default());
    if !edited.ends_with('\n') {
        edited.push('\n');
    }
    Ok(edited)
}

/// Nothing else than assignments may name the variable.
fn plain(others: &[&str], name: &str) -> Result<(), EnvFileError> {
    let capitals = name.to_ascii_uppercase();
    match others
        .iter()
        .find(|line| line.to_ascii_uppercase().contains(&capitals))
    {
        None => Ok(()),
        Some(line) => Err(EnvFileError::Hidden {
            name: name.to_owned(),
            line: line.trim().chars().take(80).collect(),
        }),
    }
}

/// A value in single quotes; `None` where they can't hold it for every reader.
#[must_use]
pub fn single_quoted(value: &str) -> Option<String> {
    let hostile = |c: char| matches!(c, '\'' | '\\');
    (!value.contains(hostile)).then(|| format!("'{value}'"))
}

/// A value in double quotes, with a backslash before `"`, `\`, `$` and the backquote.
#[must_use]
pub fn double_quoted(value: &str) -> String {
    let mut quoted = String::from("\"");
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// An assignment and where it stands.
struct Found {
    name: String,
    value: Assigned,
    /// The value as it is written.
    text: Range<usize>,
    /// All of it, with the end of its line.
    line: Range<usize>,
}

impl Found {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// A text and a place in it.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at = self.at.saturating_add(c.len_utf8());
        Some(c)
    }

    fn skip(&mut self, that: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&that) {
            self.next();
        }
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }
}

/// The assignments, and the other lines that are no comments.
fn parse(text: &str, reader: Reader) -> (Vec<Found>, Vec<&str>) {
    let mut cursor = Cursor { text, at: 0 };
    let (mut found, mut others) = (Vec::new(), Vec::new());
    loop {
        cursor.skip(|c| c.is_whitespace() || c == ';');
        let start = cursor.at;
        match cursor.peek() {
            None => return (found, others),
            Some('#') => {
                cursor.skip(|c| c != '\n');
                continue;
            }
            Some(_) => {}
        }
        cursor.skip(|c| !matches!(c, '=' | '\n'));
        let name = cursor.since(start).trim();
        if cursor.peek() != Some('=') {
            others.push(name);
            continue;
        }
        cursor.next();
        let name = name.strip_prefix("export ").unwrap_or(name).trim();
        let (value, text) = assigned(&mut cursor, name, reader);
        if is_name(name) {
            found.push(Found {
                name: name.to_owned(),
                value,
                text,
                line: start..cursor.at,
            });
        } else {
            others.push(cursor.since(start));
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What is behind `=`, to the end of its line; quotes may hold line breaks.
fn assigned(cursor: &mut Cursor<'_>, name: &str, reader: Reader) -> (Assigned, Range<usize>) {
    let start = cursor.at;
    let mut end = start;
    let mut text = String::new();
    let mut unclear: Option<&str> = None;
    // Behind text without quotes, systemd takes a quote for itself.
    let mut is_bare = false;
    while let Some(c) = cursor.next() {
        match c {
            '\n' => break,
            '\'' | '"' if is_bare && reader == Reader::Either => {
                unclear = Some("has a quote in it, which a shell and systemd read in two ways");
            }
            '\'' => loop {
                match cursor.next() {
                    Some('\'') => break,
                    Some(c) => text.push(c),
                    None => {
                        unclear = Some("has a quote that is not closed");
                        break;
                    }
                }
            },
            '"' => {
                if let Some(why) = quoted(cursor, &mut text) {
                    unclear = Some(why);
                }
            }
            '\\' => {
                is_bare = true;
                match cursor.next() {
                    Some('\n') => {}
                    Some(c) => text.push(c),
                    None => unclear = Some("ends in a backslash"),
                }
            }
            '$' | '`' => unclear = Some("is something that only a shell can work out"),
            c if c.is_whitespace() || c == ';' => {
                cursor.skip(|c| c != '\n' && (c.is_whitespace() || c == ';'));
                match (cursor.peek(), reader) {
                    (None | Some('\n'), _) => {}
                    (Some('#'), Reader::Shell) => cursor.skip(|c| c != '\n'),
                    (Some('#'), Reader::Either) => {
                        unclear = Some("has a comment behind it, which systemd takes for text");
                        cursor.skip(|c| c != '\n');
                    }
                    (Some(_), _) => {
                        unclear =
                            Some("has unquoted space, which a shell and systemd read in two ways");
                        text.push(c);
                    }
                }
                continue;
            }
            c => {
                is_bare = true;
                text.push(c);
            }
        }
        end = cursor.at;
    }
    let value = match unclear {
        None => Assigned::Text(text),
        Some(why) => Assigned::Unclear(format!("{name} {why}")),
    };
    (value, start..end)
}

/// The rest of what is in double quotes; what is unclear about it.
fn quoted(cursor: &mut Cursor<'_>, text: &mut String) -> Option<&'static str> {
    let mut unclear = None;
    loop {
        match cursor.next() {
            Some('"') => return unclear,
            Some('\\') => match cursor.next() {
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
             export B='two words'\n\
             C=\"a \\\"quoted\\\" \\$ and \\\\ and \\n\"\n\
             D=a\\ b\n\
             E=\n\
             F='line\nbreak'\n\
             G=long\\\ner\n\
             not an assignment\n\
             9X=no\n\
             H='a'b  \n",
        );
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "a \"quoted\" $ and \\ and \\n"),
            ("D", "a b"),
            ("E", ""),
            ("F", "line\nbreak"),
            ("G", "longer"),
            ("H", "ab"),
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
            ("A=[{\"a\":1}]", "a quote in it"),
            ("A='it'\\''s'", "a quote in it"),
            ("A='b' # why", "a comment behind it"),
        ] {
            assert!(one(text).contains(why), "{text}: {}", one(text));
        }
        assert_eq!(
            shell_assignments("A='it'\\''s' # why\nB={\"a\":1};"),
            [("A", "it's"), ("B", "{a:1}")]
                .map(|(name, text)| (name.to_owned(), Assigned::Text(text.to_owned())))
        );
    }

    #[test]
    fn the_last_assignment_counts_in_whatever_case() {
        let text = "MESOS_X=1\nmesos_x='2'\nMESOS_XY=3\n";
        assert_eq!(value(text, "MESOS_X").unwrap().as_deref(), Some("2"));
        assert_eq!(value(text, "MESOS_Z").unwrap(), None);
        assert_eq!(value("", "MESOS_X").unwrap(), None);
        for text in [
            "[ -f /x ] && MESOS_X=1\n",
            "unset MESOS_X\n",
            "MESOS_X+=1\n",
            "MESOS_X=1\nexport mesos_x\n",
        ] {
            for error in [
                value(text, "MESOS_X").unwrap_err(),
                set(text, "MESOS_X", "2").unwrap_err(),
            ] {
                assert!(matches!(error, EnvFileError::Hidden { .. }), "{text}");
            }
        }
        assert!(matches!(
            value("MESOS_X=$Y\n", "MESOS_X").unwrap_err(),
            EnvFileError::Unclear(_)
        ));
        assert!(set("MESOS_X=$Y\n", "MESOS_X", "2").is_err());
    }

    #[test]
    fn a_variable_is_set_where_it_stands_and_nothing_else_is_touched() {
        for (before, after) in [
            ("", "X='n'\n"),
            ("A=1", "A=1\nX='n'\n"),
            ("# X=no\nA=$B\n\n", "# X=no\nA=$B\n\nX='n'\n"),
            ("A=1\nX=old\nB=2\n", "A=1\nX='n'\nB=2\n"),
            (
                "A=1\n  export X='o\nld'  \nB=2",
                "A=1\n  export X='n'  \nB=2\n",
            ),
            ("X=1\nA=1\nX=2\nB=3\nX=\"3\"", "A=1\nB=3\nX='n'\n"),
            ("X=\nA=1\n", "X='n'\nA=1\n"),
        ] {
            let edited = set(before, "X", "'n'").unwrap();
            assert_eq!(edited, after, "{before:?}");
            assert_eq!(set(&edited, "X", "'n'").unwrap(), after);
            assert_eq!(value(&edited, "X").unwrap().as_deref(), Some("n"));
        }
    }

    #[test]
    fn what_is_quoted_comes_back() {
        for text in ["", "a b", "it's", "\"q\" $HOME `id` \\ % é #;", "'", "\\"] {
            let mut forms = vec![double_quoted(text)];
            forms.extend(single_quoted(text));
            for form in forms {
                assert_eq!(one(&format!("A={form}\n")), text, "{form}");
            }
        }
        assert_eq!(single_quoted("$ `\" %").unwrap(), "'$ `\" %'");
        assert_eq!(single_quoted("it's"), None);
        assert_eq!(single_quoted("a\\b"), None);
    }
}

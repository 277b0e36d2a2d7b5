//! What the agent's unit starts it with: the words of its `ExecStart=` and its environment, read as
//! systemd reads them. What only systemd can work out is unclear.

use std::collections::BTreeMap;

use super::own_file;
use crate::decide::facts::Known;
use crate::mesos::env_file::{Assigned, assignments};
use crate::observe::places::Places;
use crate::observe::units::{Unit, installed};
use crate::units::{Raw, chain};

/// The agent's own program, by its names.
const AGENTS: [&str; 2] = ["mesos-agent", "mesos-slave"];

/// The starter of the packages, which reads their files.
const WRAPPER: &str = "mesos-init-wrapper";

/// How the agent of this host is started.
#[derive(Debug)]
pub(super) enum Starter {
    /// By its unit, without anything between.
    Itself(Start),
    /// By a unit, and through the packages' starter.
    Wrapper(Raw),
    /// There is no unit, more than one, or one that starts something else.
    Unknown,
}

/// The arguments and the environment of a unit.
#[derive(Debug)]
pub(super) struct Start {
    /// The unit file.
    pub(super) unit: Raw,
    words: Vec<Word>,
    environment: BTreeMap<String, Assigned>,
    /// Why the environment may have more.
    gap: Option<String>,
}

/// A word of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    /// Its text, up to what is unclear.
    text: String,
    /// Whether more follows that only systemd can work out.
    unclear: bool,
}

/// Reads the agent's unit; `environment` is the agent's own, where that is known.
pub(super) fn starter(
    places: &Places,
    environment: Option<&[(Raw, Raw)]>,
) -> Result<Starter, String> {
    let units = installed(places).map_err(|error| chain(&error))?;
    let [unit] = units.as_slice() else {
        return Ok(Starter::Unknown);
    };
    let [(_, command)] = unit.list("ExecStart")[..] else {
        return Ok(Starter::Unknown);
    };
    let bare = command.trim_start_matches(['@', '-', ':', '+', '!', '|']);
    let prefixes = command.strip_suffix(bare).unwrap_or_default();
    let mut words = words(bare, !prefixes.contains(':')).into_iter();
    let program = words.next().filter(|word| !word.unclear);
    let program = program
        .as_ref()
        .map_or("", |word| word.text.rsplit('/').next().unwrap_or_default());
    if prefixes.contains('|') {
        return Ok(Starter::Unknown);
    }
    if program == WRAPPER {
        return Ok(Starter::Wrapper(unit.main.clone()));
    }
    if !AGENTS.contains(&program) {
        return Ok(Starter::Unknown);
    }
    if prefixes.contains('@') {
        words.next();
    }
    let mut start = Start {
        unit: unit.main.clone(),
        words: words.collect(),
        environment: BTreeMap::new(),
        gap: None,
    };
    start.gap = start.read_environment(unit).err();
    // Our own has it all, unless somebody calls us from a shell.
    for (name, value) in environment.unwrap_or_default() {
        if let (Some(name), Some(value)) = (name.as_str(), value.as_str()) {
            start.set(name, Assigned::Text(value.to_owned()));
        }
    }
    Ok(Starter::Itself(start))
}

impl Start {
    /// The value of a flag; an argument wins over the environment.
    pub(super) fn value(&self, name: &str) -> Known<Raw> {
        let unit = &self.unit;
        let mut found: Option<&str> = None;
        for word in &self.words {
            let Some((flag, value)) = flag(&word.text) else {
                if word.unclear {
                    return Known::unknown(format!(
                        "{unit} has a word that only systemd can work out"
                    ));
                }
                continue;
            };
            if !flag.eq_ignore_ascii_case(name) {
                // `--na$ME` may be any flag.
                if word.unclear && value.is_none() {
                    return Known::unknown(format!(
                        "{unit} has a flag that only systemd can work out"
                    ));
                }
                continue;
            }
            let value = value.unwrap_or_default();
            if word.unclear {
                return Known::unknown(format!(
                    "--{name} in {unit} is something that only systemd can work out"
                ));
            }
            if found.is_some_and(|found| found != value) {
                return Known::unknown(format!("--{name} is said in two ways in {unit}"));
            }
            found = Some(value);
        }
        if let Some(value) = found {
            return Known::Known(Raw::from(value));
        }
        match self
            .environment
            .get(&format!("MESOS_{}", name.to_uppercase()))
        {
            Some(Assigned::Text(text)) => Known::Known(Raw::from(text.as_str())),
            Some(Assigned::Unclear(why)) => Known::unknown(why.clone()),
            None => match &self.gap {
                Some(why) => Known::unknown(why.clone()),
                None => Known::Absent,
            },
        }
    }

    fn set(&mut self, name: &str, value: Assigned) {
        self.environment.insert(name.to_uppercase(), value);
    }

    /// `Environment=`, and over it `EnvironmentFile=`.
    fn read_environment(&mut self, unit: &Unit) -> Result<(), String> {
        for (file, value) in unit.list("Environment") {
            for word in words(value, false) {
                if let Some((name, value)) = word.text.split_once('=') {
                    let value = if word.unclear {
                        Assigned::Unclear(format!("{name} in {file} holds what only systemd knows"))
                    } else {
                        Assigned::Text(value.to_owned())
                    };
                    self.set(name, value);
                }
            }
        }
        for (from, value) in unit.list("EnvironmentFile") {
            let (path, may_be_missing) = match value.strip_prefix('-') {
                Some(path) => (path, true),
                None => (value, false),
            };
            if path.contains(['%', '*', '?', '[', '"', '\'', '\\']) {
                return Err(format!("{value} in {from} is more than the name of a file"));
            }
            match own_file(&Raw::from(path))? {
                Some(bytes) => {
                    let text = String::from_utf8(bytes)
                        .map_err(|_not_utf8| format!("{path} is not UTF-8"))?;
                    for (name, value) in assignments(&text) {
                        self.set(&name, value);
                    }
                }
                None if may_be_missing => {}
                None => {
                    return Err(format!(
                        "{path}, which {from} names, is not there; the agent can't start without it"
                    ));
                }
            }
        }
        for key in ["PassEnvironment", "UnsetEnvironment"] {
            if let Some((file, _)) = unit.list(key).first() {
                return Err(format!("{file} has {key}="));
            }
        }
        Ok(())
    }
}

/// `--flag=value`, or a flag without one.
fn flag(word: &str) -> Option<(&str, Option<&str>)> {
    let flag = word.strip_prefix("--")?;
    Some(match flag.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (flag, None),
    })
}

/// The words of a command as systemd.service(5) splits them: quotes and escapes, and `%` and, if
/// `dollars`, `$` for what is filled in.
fn words(text: &str, dollars: bool) -> Vec<Word> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote: Option<char> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert(Word {
            text: String::new(),
            unclear: false,
        });
        let clear = match c {
            '"' | '\'' if quote == Some(c) => {
                quote = None;
                None
            }
            '"' | '\'' if quote.is_none() => {
                quote = Some(c);
                None
            }
            '\\' => Some(match chars.next() {
                Some(c @ ('\\' | '"' | '\'')) => Some(c),
                Some('s') => Some(' '),
                Some('n') => Some('\n'),
                Some('t') => Some('\t'),
                Some(_) | None => None,
            }),
            '%' => Some(chars.next_if_eq(&'%')),
            '$' if dollars => Some(chars.next_if_eq(&'$')),
            // A second command follows.
            ';' if word.text.is_empty()
                && quote.is_none()
                && chars.peek().is_none_or(|next| next.is_whitespace()) =>
            {
                Some(None)
            }
            c => Some(Some(c)),
        };
        match clear {
            Some(Some(c)) if !word.unclear => word.text.push(c),
            Some(None) => word.unclear = true,
            Some(Some(_)) | None => {}
        }
    }
    if let Some(word) = &mut word
        && quote.is_some()
    {
        word.unclear = true;
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        words(text, true)
            .into_iter()
            .map(|word| word.text + if word.unclear { "…" } else { "" })
            .collect()
    }

    #[test]
    fn words_are_split_as_systemd_splits_them() {
        assert_eq!(
            read(r#"/bin/a --b=1  '--c={"x": 1}' "--d=\"y\" z" e\sf 100%% $$HOME --g='h'i"#),
            [
                "/bin/a",
                "--b=1",
                r#"--c={"x": 1}"#,
                r#"--d="y" z"#,
                "e f",
                "100%",
                "$HOME",
                "--g=hi"
            ]
        );
        assert_eq!(
            read(r"--a=$A ${B} %i \q a;b ; 'open"),
            ["--a=…", "…", "…", "…", "a;b", "…", "open…"]
        );
        assert_eq!(words("$A", false)[0].text, "$A");
    }
}

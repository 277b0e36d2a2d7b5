//! Why a value is refused.

use crate::units::{SizeError, Span, SpanError};

/// Why a value is refused: the rule, and what to write instead.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// Another type of TOML value.
    #[error("this is {found}; the key takes {expected}")]
    Type {
        /// What the key takes, with its article.
        expected: &'static str,
        /// What was found, with its article.
        found: &'static str,
    },
    /// An array that holds something else than strings.
    #[error("the array holds {found}; write strings in quotes, such as {example}")]
    Item {
        /// What was found, with its article.
        found: &'static str,
        /// What to write.
        example: &'static str,
    },
    /// No size.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// No span of time.
    #[error(transparent)]
    Span(#[from] SpanError),
    /// A number out of its range.
    #[error("{given} is out of range; write a whole number from {low} to {high}")]
    Range {
        /// What was given.
        given: i64,
        /// The lowest number.
        low: i64,
        /// The highest number.
        high: i64,
    },
    /// A span of time that is too short.
    #[error("`{given}` is too short: it would keep the host busy; write at least \"{least}\"")]
    TooShort {
        /// What was given.
        given: Span,
        /// The shortest span.
        least: Span,
    },
    /// A path that is relative, or not in its plain form.
    #[error("`{path}` {rule}")]
    Path {
        /// What was given.
        path: String,
        /// The rule with its remedy.
        rule: &'static str,
    },
    /// A text that no glob can be made of.
    #[error(
        "`{glob}` is not a glob; see the rules on `*`, `?`, `[…]` and `{{…}}` in the sample configuration"
    )]
    Glob {
        /// What was given.
        glob: String,
        /// Where it goes wrong.
        #[source]
        source: globset::Error,
    },
    /// A glob that could never match.
    #[error("`{glob}` {rule}")]
    GlobForm {
        /// What was given.
        glob: String,
        /// The rule with its remedy.
        rule: &'static str,
    },
    /// A role that Mesos refuses.
    #[error("`{role}` is not a role: {rule}")]
    Role {
        /// What was given.
        role: String,
        /// Mesos's rule.
        rule: &'static str,
    },
    /// A word that is none of a few.
    #[error("`{given}` is none of {}; {}", quoted(.words), advice(*.nearest))]
    Word {
        /// What was given.
        given: String,
        /// What is allowed.
        words: Vec<&'static str>,
        /// The allowed word that may be meant. Only a near one: of words such as `report` and `wipe`
        /// none must be put into an operator's mouth.
        nearest: Option<&'static str>,
    },
    /// ROOT as a `[[disks]]` rule.
    #[error("ROOT is always the work_dir; describe it in the section [root]")]
    RootRule,
    /// No URL.
    #[error("`{url}` is not a URL; write for example \"http://127.0.0.1:5051\"")]
    Url {
        /// What was given.
        url: String,
        /// Where it goes wrong.
        #[source]
        source: url::ParseError,
    },
    /// A URL of a form that can't be used.
    #[error("`{url}` {rule}")]
    UrlForm {
        /// What was given.
        url: String,
        /// The rule with its remedy.
        rule: &'static str,
    },
    /// No socket address.
    #[error(
        "`{given}` is not an IP address with a port; write for example \"127.0.0.1:5061\" or \"[::1]:5061\""
    )]
    Address {
        /// What was given.
        given: String,
        /// Where it goes wrong.
        #[source]
        source: std::net::AddrParseError,
    },
    /// A text that is neither a JSON array nor `name:value;…`.
    #[error("`{given}` {rule}")]
    Resources {
        /// What was given.
        given: String,
        /// The rule with its remedy.
        rule: &'static str,
    },
}

fn advice(nearest: Option<&str>) -> String {
    match nearest {
        Some(word) => format!("did you mean \"{word}\"?"),
        None => "write one of these".to_owned(),
    }
}

fn quoted(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    words.join(", ")
}

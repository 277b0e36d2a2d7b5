//! The rules that a disk met and that let it pass, for `explain`.

use std::borrow::Cow;

use super::codes::Code;

/// A rule that did not speak against a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The rule: what it would have said.
    pub code: Code,
    /// Why it did not say it.
    pub evidence: Cow<'static, str>,
}

/// The rules in the order in which they were tried, up to the first that spoke against the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passes(Vec<Passed>);

impl Passes {
    /// Every rule that was tried and let the disk pass.
    pub fn iter(&self) -> impl Iterator<Item = &Passed> {
        self.0.iter()
    }

    pub(super) fn note(&mut self, code: Code, evidence: impl Into<Cow<'static, str>>) {
        self.0.push(Passed {
            code,
            evidence: evidence.into(),
        });
    }
}

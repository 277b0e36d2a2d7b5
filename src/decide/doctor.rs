//! `doctor`: what is wrong with a host, and how it is mended. Pure; the most harmful first.
//!
//! A check that could not look is a finding too (`not_checked`): unknown is not healthy. One that
//! nobody asked for, because it is dear or because nothing was configured for it, is a note.

mod agent;
mod code;
mod disks;
mod host;
mod trash;
mod volumes;
mod xfs;

use serde::Serialize;

pub use code::{Code, Severity};

pub use super::facts::Fix;

use super::authority::Claims;
use super::facts::{DoctorFacts, Facts};
use super::plan::Plan;
use super::preflight::PreflightInput;
use super::roots::RootView;

/// Something that is wrong, or could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What, by its stable code.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: a volume, a root, a file.
    pub subject: String,
    /// What was seen.
    pub evidence: String,
    /// What to do.
    pub remedy: String,
    /// What `--fix` would do, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
}

impl Finding {
    fn new(code: Code, subject: impl Into<String>, evidence: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.severity(),
            subject: subject.into(),
            evidence: evidence.into(),
            remedy: code.remedy().to_owned(),
            fix: None,
        }
    }

    fn remedy(self, remedy: impl Into<String>) -> Self {
        Self {
            remedy: remedy.into(),
            ..self
        }
    }

    fn fix(self, fix: Option<Fix>) -> Self {
        Self { fix, ..self }
    }

    fn not_checked(what: &str, why: impl std::fmt::Display) -> Self {
        Self::new(
            Code::NotChecked,
            what,
            format!("could not be checked: {why}"),
        )
    }
}

/// A host, as it is examined.
#[derive(Clone, Copy, Debug)]
pub struct Patient<'a> {
    /// What a pass sees.
    pub facts: &'a Facts,
    /// The plan of these facts.
    pub plan: &'a Plan,
    /// What doctor looks at besides.
    pub host: &'a DoctorFacts,
    /// What the agent would meet at its next start, or why that can't be told.
    pub start: Result<&'a PreflightInput, &'a str>,
}

/// What several checks need, made once.
struct Examined<'a> {
    patient: Patient<'a>,
    claims: Claims,
    views: Vec<RootView<'a>>,
}

/// Examines the host.
#[must_use]
pub fn examine(patient: Patient<'_>) -> Vec<Finding> {
    let claims = Claims::join(patient.facts);
    let views = RootView::all(patient.facts, &claims);
    let examined = Examined {
        patient,
        claims,
        views,
    };
    let mut findings = Vec::new();
    agent::check(&examined, &mut findings);
    disks::check(&examined, &mut findings);
    volumes::check(&examined, &mut findings);
    trash::check(&examined, &mut findings);
    xfs::check(&examined, &mut findings);
    host::check(&examined, &mut findings);
    findings.sort_by(|a, b| {
        (a.severity, a.code, &a.subject, &a.evidence).cmp(&(
            b.severity,
            b.code,
            &b.subject,
            &b.evidence,
        ))
    });
    findings.dedup();
    findings
}

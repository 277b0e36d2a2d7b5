//! Disks that nothing about themselves speaks against, and what they do to one another.

use super::codes::{Code, Rejection};
use super::{DiskVerdict, Form, Offer, Verdict};
use crate::decide::facts::{FsLocation, SizeRule};
use crate::decide::ledger::LedgerPlace;
use crate::decide::numbers::{Claim, Pin, Share};
use crate::mesos::disk::{DiskRef, DiskType};
use crate::units::Raw;

/// A disk that nothing about itself speaks against.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) disk: DiskRef,
    /// 0 for ROOT, else the rule's number.
    pub(super) rule: usize,
    /// The mount's place in the table.
    pub(super) place: usize,
    /// Whether the ledger knows it.
    pub(super) known: bool,
    /// Where it lies.
    pub(super) location: FsLocation,
    /// What it asks of its file system.
    pub(super) claim: Claim,
    /// How its entry is written.
    pub(super) form: Form,
    /// What it lies on.
    pub(super) on: LedgerPlace,
}

impl Candidate {
    /// Who stays when two exclude one another, smallest first: ROOT, which the agent has anyway;
    /// what was advertised before; the earlier rule; the earlier mount.
    pub(super) fn strength(&self) -> (bool, bool, usize, usize, Raw) {
        (
            self.disk.kind != DiskType::Root,
            !self.known,
            self.rule,
            self.place,
            self.disk.root.clone(),
        )
    }

    /// Why this one can't be beside that one.
    pub(super) fn conflict_with(&self, other: &Self) -> Option<Rejection> {
        let shares = self.location.device == other.location.device;
        let kinds = [self.disk.kind, other.disk.kind];
        if shares && kinds.contains(&DiskType::Mount) {
            return Some(Rejection::new(
                Code::DuplicateDevice,
                format!(
                    "it lies on the same file system as {}, and a MOUNT disk has its file system \
                     for itself",
                    other.disk
                ),
                "give it a file system of its own, or leave one of the two out of the rules",
            ));
        }
        let nested = |what: &str| {
            Some(Rejection::new(
                Code::NestedRoot,
                format!("it {what} {}", other.disk),
                "choose roots of which none is, holds or binds another",
            ))
        };
        if self.location == other.location {
            return nested("is the same directory as");
        }
        if self.location.within(&other.location) {
            return nested("lies in");
        }
        if other.location.within(&self.location) {
            return nested("holds");
        }
        if self.disk.root.below(&other.disk.root).is_some() {
            return nested("is mounted inside");
        }
        if other.disk.root.below(&self.disk.root).is_some() {
            return nested("has mounted inside it");
        }
        let takes_the_rest =
            |candidate: &Self| matches!(candidate.claim.size, Some(SizeRule::Reserve(_)));
        // One that has its number already keeps it beside the other.
        let is_new = self.claim.pin == Pin::Free;
        (shares && is_new && takes_the_rest(self) && takes_the_rest(other)).then(|| {
            Rejection::new(
                Code::DuplicateDevice,
                format!(
                    "it lies on the same file system as {}, and both ask for all of it but a \
                     reserve",
                    other.disk
                ),
                "give at least one of the two an explicit `size`",
            )
        })
    }
}

/// A row on its way to a verdict.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    /// Rejected until it is offered.
    pub(super) verdict: DiskVerdict,
    pub(super) candidate: Option<Candidate>,
}

impl Judged {
    pub(super) fn reject(&mut self, rejection: Rejection) {
        self.candidate = None;
        self.verdict.verdict = Verdict::Rejected(rejection);
    }

    pub(super) fn offer(&mut self, share: Share) {
        if let Some(candidate) = self.candidate.take() {
            let passes = &mut self.verdict.passes;
            passes.note(
                Code::SizeBeyondFilesystem,
                format!(
                    "{} MB fit into the {} of its file system",
                    share.number, candidate.claim.total
                ),
            );
            self.verdict.verdict = Verdict::Offered(Box::new(Offer {
                number: share.number,
                reason: share.reason,
                rule: (candidate.rule > 0).then_some(candidate.rule),
                form: candidate.form,
                on: candidate.on,
            }));
        }
    }
}

//! What speaks against a disk because of what is known of it from before.

use std::borrow::Cow;

use super::codes::{Code, Rejection};
use super::judge::Judge;
use super::passes::Passes;
use crate::decide::facts::{DirectoryAnswer, MountEntry, PathAnswer, Settled};
use crate::decide::guards::Refusal;
use crate::decide::ledger::LedgerRoot;
use crate::decide::trip;
use crate::units::{Megabytes, Raw, Span};

impl Judge<'_> {
    /// A root that lay on a mount of its own, and now lies on one above that.
    pub(super) fn where_it_lay(
        &self,
        path: &Raw,
        known: Option<&LedgerRoot>,
        mount: &MountEntry,
        answer: &DirectoryAnswer,
    ) -> Result<(), Rejection> {
        let Some(place) = known.and_then(|known| known.place.as_ref()) else {
            return Ok(());
        };
        let is_above = place
            .mount_point
            .below(&mount.mount_point)
            .is_some_and(|tail| !tail.is_empty());
        let is_same = match (&place.filesystem, self.uuid(mount, answer)) {
            (Some(then), Some(now)) => then == now,
            (None, _) | (_, None) => false,
        };
        if !is_above || is_same {
            return Ok(());
        }
        Err(Rejection::new(
            Code::Missing,
            format!(
                "{path} lay on the mount at {}; nothing is mounted there, and it lies on {} now",
                place.mount_point, mount.mount_point
            ),
            format!("mount it: mount {}", place.mount_point),
        ))
    }

    /// What speaks against a disk because of what is known of it.
    pub(super) fn against_ledger(
        &self,
        known: Option<&LedgerRoot>,
        mount: &MountEntry,
        answer: &DirectoryAnswer,
        passes: &mut Passes,
    ) -> Result<(), Rejection> {
        let Some(known) = known else {
            self.settled(mount)?;
            let wanted = self.input.rules.discovery.settle;
            passes.note(
                Code::NotSettled,
                match self.host().settled {
                    Settled::Taken => Cow::Borrowed("it is taken as settled: this is one look"),
                    Settled::Since(_) => format!("it has been as it is for {wanted}").into(),
                },
            );
            return Ok(());
        };
        passes.note(Code::NotSettled, "the ledger knows it already");
        let verified = known
            .fingerprint
            .as_ref()
            .map(|fingerprint| (&fingerprint.filesystem, "verified"));
        let advertised = known
            .place
            .as_ref()
            .and_then(|place| Some((place.filesystem.as_ref()?, "advertised")));
        match (verified.or(advertised), self.uuid(mount, answer)) {
            (Some((then, when)), Some(present)) if then != present => Err(Rejection::new(
                Code::FingerprintMismatch,
                format!("the file system {present} is there; {then} was when it was {when}"),
                format!(
                    "mount the right one; or, if the disk was replaced: disk accept {}",
                    known.disk.root
                ),
            )),
            (then, present) => {
                passes.note(
                    Code::FingerprintMismatch,
                    match (then, present) {
                        (Some((_, when)), Some(present)) => {
                            format!("file system {present}, as it was {when}").into()
                        }
                        (Some(_), None) => {
                            Cow::Borrowed("its file system could not be identified now")
                        }
                        (None, _) => Cow::Borrowed("it was not verified before"),
                    },
                );
                if known.fingerprint.is_some() {
                    self.not_shrunk(known, mount, answer)?;
                    passes.note(
                        Code::FilesystemShrunk,
                        "what is advertised of its file system fits into it",
                    );
                }
                Ok(())
            }
        }
    }

    /// A verified file system that became smaller than what is advertised of it.
    fn not_shrunk(
        &self,
        known: &LedgerRoot,
        mount: &MountEntry,
        answer: &DirectoryAnswer,
    ) -> Result<(), Rejection> {
        let numbers: Vec<Megabytes> = self
            .input
            .ledger
            .roots
            .iter()
            .filter(|entry| entry.disk == known.disk || self.lies_on(&entry.disk.root, mount))
            .filter_map(|entry| entry.advertised)
            .collect();
        match trip::shrunk(answer.total_bytes, &numbers, known.verified.as_ref()) {
            None => Ok(()),
            Some(said) => Err(Rejection::new(
                Code::FilesystemShrunk,
                said,
                Refusal::FilesystemShrunk.remedy(),
            )),
        }
    }

    fn lies_on(&self, root: &Raw, mount: &MountEntry) -> bool {
        let Some(PathAnswer::Directory(answer)) = self.host().answers.get(root) else {
            return false;
        };
        self.host()
            .mounts
            .by_id(answer.mount)
            .is_some_and(|other| other.device == mount.device)
    }

    fn settled(&self, mount: &MountEntry) -> Result<(), Rejection> {
        let wanted = self.input.rules.discovery.settle;
        let Settled::Since(ages) = &self.host().settled else {
            return Ok(());
        };
        let age = ages.get(&mount.id).copied().unwrap_or(Span::ZERO);
        if age >= wanted {
            return Ok(());
        }
        Err(Rejection::plain(
            Code::NotSettled,
            format!("it has been as it is for {age}; it is offered after {wanted}"),
        ))
    }
}

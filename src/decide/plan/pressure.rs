//! Space: which entries leave the trash before their time.
//!
//! When the trash of a file system takes up more than `trash.max_bytes`, or less than
//! `trash.free_below` is free there, the oldest entries go first, one after the other until that is
//! mended, and none before `trash.min_retention`. Ages are lived time, as everywhere. What is on its way
//! out already counts as gone; where it is not known how much that is, nothing more goes until it is.

use std::collections::{BTreeMap, BTreeSet};

use globset::GlobBuilder;

use super::Planner;
use super::trash::unseen_side;
use crate::decide::facts::{FileIdentity, Known, RoleRetention, TrashFacts};
use crate::decide::manifest::{Manifest, TrashState};
use crate::decide::roots::{RootView, present_filesystem};
use crate::decide::steps::TrashPlace;
use crate::mesos::ids::Role;
use crate::units::Span;

/// The trash of one file system.
#[derive(Default)]
struct Heap<'a> {
    /// How much less than `trash.free_below` is free.
    lacks: u64,
    /// What the entries take up, as far as it is known.
    bytes: u64,
    /// What is on its way out, and whether that is known.
    going: u64,
    going_unknown: bool,
    /// Entries that may go, with when they were moved.
    candidates: Vec<(Span, &'a Manifest)>,
    /// The data that was met: an id is unique in one trash only, and a copied disk repeats them.
    seen: BTreeSet<&'a FileIdentity>,
}

impl Planner<'_> {
    /// What the first rule that matches a role says.
    pub(super) fn own_retention(
        &self,
        role: &Role,
        says: impl Fn(&RoleRetention) -> Option<Span>,
    ) -> Option<Span> {
        use std::os::unix::ffi::OsStrExt as _;
        let rules = &self.facts().policy.trash.roles;
        let name = std::ffi::OsStr::from_bytes(role.as_raw().as_bytes());
        rules
            .iter()
            .find(|rule| {
                GlobBuilder::new(&rule.role)
                    .literal_separator(true)
                    .build()
                    .is_ok_and(|glob| glob.compile_matcher().is_match(name))
            })
            .and_then(says)
    }

    /// Whether an entry may leave before its retention has passed, if space were short.
    pub(super) fn may_go_early(&self, manifest: &Manifest) -> bool {
        let policy = &self.facts().policy.trash;
        (policy.max_bytes.is_some() || policy.free_below.is_some())
            && self.lived().minus(manifest.lived_at) >= policy.min_retention
    }

    /// The data of the entries that go early now.
    pub(super) fn pressure(&self) -> BTreeSet<FileIdentity> {
        let policy = &self.facts().policy.trash;
        let mut early = BTreeSet::new();
        if policy.max_bytes.is_none() && policy.free_below.is_none() {
            return early;
        }
        for heap in self.heaps().into_values() {
            let over = policy
                .max_bytes
                .map_or(0, |most| heap.bytes.saturating_sub(most.0));
            let mut need = over.max(heap.lacks).saturating_sub(heap.going);
            if heap.going_unknown {
                continue;
            }
            let mut oldest = heap.candidates;
            oldest.sort_by_key(|(at, manifest)| (*at, &manifest.id, &manifest.identity));
            for (_, manifest) in oldest {
                if need == 0 {
                    break;
                }
                early.insert(manifest.identity.clone());
                match manifest.size {
                    Some(size) => need = need.saturating_sub(size.bytes),
                    // How much that was is seen when it is gone.
                    None => break,
                }
            }
        }
        early
    }

    /// The trashes by file system.
    fn heaps(&self) -> BTreeMap<String, Heap<'_>> {
        let mut heaps: BTreeMap<String, Heap<'_>> = BTreeMap::new();
        for view in self.views {
            let (Some(filesystem), Known::Known(mount)) =
                (present_filesystem(view.root), &view.root.mount)
            else {
                continue;
            };
            let heap = heaps.entry(filesystem.clone()).or_default();
            if let Some(least) = self.facts().policy.trash.free_below {
                let lacks = least.of(mount.total_bytes).saturating_sub(mount.free_bytes);
                heap.lacks = heap.lacks.max(lacks);
            }
            for entry in view.root.trash.known().into_iter().flatten() {
                let Some(manifest) = entry.manifest.known() else {
                    continue;
                };
                // One that two roots show counts once; one without data takes up nothing.
                if entry.data.known() == Some(&manifest.identity)
                    && manifest.identity.filesystem == filesystem
                    && heap.seen.insert(&manifest.identity)
                {
                    self.pile(heap, view, entry, manifest);
                }
            }
        }
        heaps
    }

    fn pile<'a>(
        &self,
        heap: &mut Heap<'a>,
        view: &RootView<'_>,
        entry: &TrashFacts,
        manifest: &'a Manifest,
    ) {
        let bytes = manifest.size.map(|size| size.bytes);
        heap.bytes = heap.bytes.saturating_add(bytes.unwrap_or(0));
        let free = self.may_be_wiped(view, entry, manifest);
        let age = self.lived().minus(manifest.lived_at);
        let due = match manifest.state {
            TrashState::Wiping => true,
            TrashState::Cleared => {
                let asked = self.facts().words.wipe.as_ref() == Some(&manifest.volume);
                free && (age >= manifest.retention || asked || self.purged(manifest))
            }
            TrashState::Prepared | TrashState::Moved => false,
        };
        if due {
            match bytes {
                Some(bytes) => heap.going = heap.going.saturating_add(bytes),
                None => heap.going_unknown = true,
            }
        } else if free && manifest.state == TrashState::Cleared && self.may_go_early(manifest) {
            heap.candidates.push((manifest.lived_at, manifest));
        }
    }

    /// Whether nothing but its time keeps an entry.
    fn may_be_wiped(&self, view: &RootView<'_>, entry: &TrashFacts, manifest: &Manifest) -> bool {
        let root = view.root;
        let Some((_, present)) = view.standing() else {
            return false;
        };
        if manifest.unconfirmed
            || self.foreign(root, entry, manifest).is_some()
            || unseen_side(root).is_some()
            || self.judge.restoring(root, &manifest.id).is_some()
            || self.facts().words.restore.as_ref() == Some(&manifest.id)
        {
            return false;
        }
        let place = Box::new(TrashPlace {
            disk: root.disk.clone(),
            root: present.clone(),
            manifest: manifest.clone(),
            data: entry.data.known().cloned(),
            hidden: root.hidden.known().cloned(),
        });
        let look = self.look(root, entry, place, false);
        !look.named
            && look.doubt.is_empty()
            && look.in_use.is_empty()
            && !self.method(manifest).mode.whole_disk()
    }
}

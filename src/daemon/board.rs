//! What the last pass and the last look at the disks saw, for whoever asks: the API, the status page,
//! `status`.
//!
//! Volumes and trash are kept as the text that is answered: one copy of each, written once a pass,
//! and asking costs nothing that grows with the host.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::body::Bytes;

use super::answers::disks::Disks;
use super::answers::volumes::{AuthorityRead, authorities};
use super::answers::{Why, status, trash, volumes, whys};
use super::pass::Pass;
use crate::decide::guards::Refusal;
use crate::decide::listing::{self, Listing, VolumeState};
use crate::decide::radar::AlarmKind;
use crate::units::{Megabytes, Span};

/// What a pass saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Seconds since 1970 when it ended.
    pub at: i64,
    /// `GET /v1/volumes`.
    pub volumes: Bytes,
    /// `GET /v1/trash`.
    pub trash: Bytes,
    /// Volumes by state, and the megabytes that Mesos gives or gave them.
    pub states: BTreeMap<VolumeState, (u32, f64)>,
    /// Entries in the trash.
    pub trash_items: u32,
    /// What they take up, as far as it was counted.
    pub trash_bytes: u64,
    /// Those of which it was not.
    pub trash_uncounted: u32,
    /// Each authority with how it was read.
    pub authorities: BTreeMap<&'static str, AuthorityRead>,
    /// What is doubtful about them as a whole.
    pub doubts: Vec<Why>,
    /// Volumes that are mounted or used as they should not be; `None` where that can't be seen.
    pub alarms: Option<BTreeMap<AlarmKind, u32>>,
    /// What is due and kept back, by each reason.
    pub refusals: BTreeMap<Refusal, u32>,
    /// Roots on which nothing is touched, by each reason.
    pub tripped: BTreeMap<Refusal, u32>,
}

impl Seen {
    /// What this pass saw; `rows` are its volumes.
    ///
    /// # Errors
    /// Where an answer has no JSON form, which is a fault of this program.
    pub fn of(pass: &Pass, listing: &Listing, at: i64) -> Result<Self, serde_json::Error> {
        let items = listing::trash(&pass.facts, &pass.last);
        let uncounted = items.iter().filter(|item| item.size.is_none()).count();
        let mut states: BTreeMap<VolumeState, (u32, f64)> = BTreeMap::new();
        for row in &listing.rows {
            let (count, megabytes) = states.entry(row.state).or_default();
            *count = count.saturating_add(1);
            *megabytes += row.size.map_or(0.0, Megabytes::as_f64);
        }
        Ok(Self {
            at,
            volumes: text(&volumes::volumes(listing, &pass.facts, &pass.last, None))?,
            trash_items: u32::try_from(items.len()).unwrap_or(u32::MAX),
            trash_bytes: items
                .iter()
                .filter_map(|item| item.size)
                .fold(0, |sum, size| sum.saturating_add(size.bytes)),
            trash_uncounted: u32::try_from(uncounted).unwrap_or(u32::MAX),
            trash: text(&trash::trash(&items))?,
            states,
            authorities: authorities(&pass.facts).by_name,
            doubts: whys(&pass.last.doubts),
            alarms: None,
            refusals: BTreeMap::new(),
            tripped: BTreeMap::new(),
        })
    }
}

/// JSON of an answer, with a line break at its end.
///
/// # Errors
/// Where it has none, which is a fault of this program.
pub fn text(answer: &impl serde::Serialize) -> Result<Bytes, serde_json::Error> {
    let mut text = serde_json::to_vec(answer)?;
    text.push(b'\n');
    // It stays until the next pass, and had grown by doubling.
    Ok(Bytes::from(text.into_boxed_slice()))
}

/// What a look at the disks saw.
#[derive(Clone, Debug)]
pub struct Looked {
    /// Seconds since 1970.
    pub at: i64,
    /// Every disk.
    pub disks: Arc<Disks>,
}

#[derive(Debug, Default)]
struct State {
    seen: Option<Arc<Seen>>,
    looked: Option<Looked>,
    last: Option<status::PassEnd>,
    /// When each authority was last read whole, since boot.
    good: BTreeMap<&'static str, Span>,
    turns: Turns,
}

/// How many passes and looks have ended: a browser is told when one has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// Passes.
    pub passes: u64,
    /// Looks at the disks.
    pub looks: u64,
}

/// The board, shared by the threads that write and those that read it.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<State>>);

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is a plain assignment: a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pass ended, so many seconds after boot; without what it saw it failed, and what was seen
    /// before stays.
    pub fn passed(&self, end: status::PassEnd, since_boot: Span, seen: Option<Seen>) {
        let mut state = self.state();
        state.turns.passes = state.turns.passes.wrapping_add(1);
        state.last = Some(end);
        if let Some(seen) = seen {
            for (name, read) in &seen.authorities {
                if read.state.is_good() {
                    state.good.insert(name, since_boot);
                }
            }
            state.seen = Some(Arc::new(seen));
        }
    }

    /// A look at the disks ended.
    pub fn looked(&self, at: i64, disks: Disks) {
        let mut state = self.state();
        state.turns.looks = state.turns.looks.wrapping_add(1);
        state.looked = Some(Looked {
            at,
            disks: Arc::new(disks),
        });
    }

    /// How many passes and looks have ended.
    #[must_use]
    pub fn turns(&self) -> Turns {
        self.state().turns
    }

    /// What the last pass that could tell anything saw.
    #[must_use]
    pub fn seen(&self) -> Option<Arc<Seen>> {
        self.state().seen.clone()
    }

    /// What the last look that could tell anything saw.
    #[must_use]
    pub fn disks(&self) -> Option<Looked> {
        self.state().looked.clone()
    }

    /// How the last pass ended.
    #[must_use]
    pub fn last(&self) -> Option<status::PassEnd> {
        self.state().last.clone()
    }

    /// How long ago each authority was last read whole, at this time since boot; one that never was
    /// is not there.
    #[must_use]
    pub fn ages(&self, since_boot: Span) -> BTreeMap<&'static str, Span> {
        self.state()
            .good
            .iter()
            .map(|(name, at)| (*name, since_boot.minus(*at)))
            .collect()
    }
}

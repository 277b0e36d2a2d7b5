//! One walk over what lies in the trash: what it takes up, and its project ids away.
//!
//! An id that an isolator gave to a volume is handed to another container within minutes, which is
//! charged for our data then (F§9.2). An isolator labels the volume's own directory with all that is
//! in it, so that a directory without an id needs no walk; it loses its id last, so that a walk that
//! was cut short is made again.
//!
//! Nothing is followed and no mount is entered; only directories and regular files are opened. Memory
//! and descriptors are bounded: one small batch of names a level, and no deeper than [`DEEPEST`]; what
//! lies deeper is told as left out. Half of the time is rest, unless pacing is off.
//!
//! The count is made once and kept, so that what fails is tried once more: a moment's lack of memory
//! or descriptors must not make it wrong for good. What fails twice is told as left out.

use std::time::Duration;

use super::super::sys::{Errno, Sys};
use super::super::wipe::Control;
use crate::decide::manifest::TrashSize;
use crate::sys::{Batch, More, OpenError};

/// Levels, each with a descriptor.
const DEEPEST: usize = 128;
/// Memory for names at each.
const NAMES: usize = 16 << 10;
/// So many entries between two rests.
const BETWEEN_RESTS: u32 = 512;

/// What was found and done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::act) struct Survey {
    /// What it takes up.
    pub(in crate::act) size: TrashSize,
    /// Inodes that lost a project id.
    pub(in crate::act) cleared: u64,
    /// Inodes whose id could not be taken.
    pub(in crate::act) left: u64,
}

impl Survey {
    /// Something could not be looked at, nor its id taken where that was to be.
    fn leave_out(&mut self, strip: bool) {
        self.size.skipped = self.size.skipped.saturating_add(1);
        self.left = self.left.saturating_add(u64::from(strip));
    }
}

/// What a call says, or, where it fails, what it says the second time.
fn twice<T, E>(mut call: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    call().or_else(|_| call())
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::act) enum SurveyStop {
    /// It was told to stop.
    Stopped,
    /// The directory itself could not be looked at, or kept its id.
    Io(Errno),
}

struct Level<D> {
    dir: D,
    batch: Batch,
    at: usize,
    more: More,
}

impl<D> Level<D> {
    fn new(dir: D) -> Self {
        Self {
            dir,
            batch: Batch::new(NAMES),
            at: 0,
            more: More::Maybe,
        }
    }
}

/// Walks. With `strip`, project ids go.
pub(in crate::act) fn survey<S: Sys>(
    sys: &S,
    top: &S::Dir,
    control: &Control,
    strip: bool,
) -> Result<Survey, SurveyStop> {
    let io = SurveyStop::Io;
    let mut survey = Survey::default();
    let own = twice(|| sys.footprint(top, b"")).map_err(io)?;
    survey.size.entries = 1;
    survey.size.bytes = own.bytes;
    let mut levels = vec![Level::new(sys.reopen(top).map_err(io)?)];
    let mut rest = Rest::new(sys, control);
    while let Some(level) = levels.last_mut() {
        let Some(name) = next(sys, level, strip, &mut survey) else {
            levels.pop();
            continue;
        };
        if !rest.one(sys, control) {
            return Err(SurveyStop::Stopped);
        }
        let child = one(sys, &level.dir, &name, strip, &mut survey);
        if let Some(child) = child {
            if levels.len() < DEEPEST {
                levels.push(Level::new(child));
            } else {
                survey.leave_out(strip);
            }
        }
    }
    if strip && sys.clear_project(top).map_err(io)? {
        survey.cleared = survey.cleared.saturating_add(1);
    }
    Ok(survey)
}

/// The next name of a directory.
fn next<S: Sys>(
    sys: &S,
    level: &mut Level<S::Dir>,
    strip: bool,
    survey: &mut Survey,
) -> Option<Vec<u8>> {
    loop {
        if let Some((name, _, _)) = level.batch.get(level.at) {
            let name = name.to_vec();
            level.at = level.at.saturating_add(1);
            return Some(name);
        }
        if level.more == More::No {
            return None;
        }
        level.at = 0;
        let Level { dir, batch, .. } = level;
        let read = twice(|| {
            batch.clear();
            sys.read_entries(dir, batch)
        });
        let Ok(more) = read else {
            survey.leave_out(strip);
            return None;
        };
        level.more = more;
    }
}

/// Counts one entry, and takes its id; the directory that it is, to be entered.
fn one<S: Sys>(
    sys: &S,
    dir: &S::Dir,
    name: &[u8],
    strip: bool,
    survey: &mut Survey,
) -> Option<S::Dir> {
    let found = match twice(|| sys.footprint(dir, name)) {
        Ok(found) if !found.mounted => found,
        Err(Errno::NOENT) => return None,
        Ok(_) | Err(_) => {
            survey.leave_out(strip);
            return None;
        }
    };
    let child = if found.directory {
        match twice(|| sys.open_child(dir, name)) {
            Ok(child) => Some(child),
            Err(OpenError::Missing) => return None,
            Err(_) => {
                survey.leave_out(strip);
                return None;
            }
        }
    } else {
        None
    };
    survey.size.entries = survey.size.entries.saturating_add(1);
    // A file with several names is met as often; each time it counts with its share.
    let names = if found.directory {
        1
    } else {
        found.links.max(1)
    };
    let share = found.bytes.checked_div(u64::from(names)).unwrap_or(0);
    survey.size.bytes = survey.size.bytes.saturating_add(share);
    if strip {
        let cleared = twice(|| match &child {
            Some(child) => sys.clear_project(child),
            None => sys.clear_entry_project(dir, name),
        });
        match cleared {
            Ok(cleared) => survey.cleared = survey.cleared.saturating_add(u64::from(cleared)),
            Err(Errno::NOENT) => {}
            Err(_) => survey.left = survey.left.saturating_add(1),
        }
    }
    child
}

/// Rests as long as it works, while wiping is paced at all.
struct Rest {
    until: u32,
    began: Duration,
    paced: bool,
}

impl Rest {
    fn new<S: Sys>(sys: &S, control: &Control) -> Self {
        Self {
            until: BETWEEN_RESTS,
            began: sys.now(),
            paced: control.rate() != 0,
        }
    }

    /// Another entry; whether to go on.
    fn one<S: Sys>(&mut self, sys: &S, control: &Control) -> bool {
        self.until = self.until.saturating_sub(1);
        if self.until > 0 {
            return control.proceed();
        }
        self.until = BETWEEN_RESTS;
        let worked = sys.now().saturating_sub(self.began);
        let go_on = if self.paced {
            control.rest(worked.min(Duration::from_millis(100)))
        } else {
            control.proceed()
        };
        self.began = sys.now();
        go_on
    }
}

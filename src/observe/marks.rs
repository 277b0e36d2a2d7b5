//! The marks beside the trash: what an operator wants kept.

use std::os::fd::AsFd as _;

use super::volumes::Folder;
use crate::decide::facts::{Known, Why};
use crate::decide::manifest::{ADOPTED, AdoptedMark};
use crate::sys::{self, ReadError};
use crate::units::{Raw, chain};

/// A mark holds a handful of names of at most 4096 bytes.
const MARK: usize = 256 << 10;

/// Reads the marks in an open folder of ours. One that can't be read could be any volume's, so that
/// all are unknown then.
pub(super) fn observe(ours: &Folder<'_>) -> Known<Vec<AdoptedMark>> {
    match read(ours) {
        Ok(None) => Known::Absent,
        Ok(Some(marks)) => Known::Known(marks),
        Err(why) => Known::Unknown(why),
    }
}

fn read(ours: &Folder<'_>) -> Result<Option<Vec<AdoptedMark>>, Why> {
    let Some(opened) = ours.open(ADOPTED.as_bytes())? else {
        return Ok(None);
    };
    let path = ours.path.join(ADOPTED);
    let location = ours.place(ADOPTED.as_bytes());
    let folder = Folder {
        fd: opened.as_fd(),
        path: &path,
        location: &location,
        ..*ours
    };
    let mut marks = Vec::new();
    for name in folder.names()? {
        // Half a mark that a crash left begins with a dot, and is none.
        let Some(stem) = name.as_bytes().strip_suffix(b".json") else {
            continue;
        };
        marks.extend(mark(&folder, &name, stem)?);
    }
    marks.sort_by(|a: &AdoptedMark, b| a.name.cmp(&b.name));
    Ok(Some(marks))
}

/// One mark; `None` where it has gone meanwhile.
fn mark(folder: &Folder<'_>, name: &Raw, stem: &[u8]) -> Result<Option<AdoptedMark>, Why> {
    let path = folder.path.join(name);
    let bytes = match sys::read_bounded_at(folder.fd, name.as_bytes(), MARK) {
        Ok(bytes) => bytes,
        Err(ReadError::Missing { .. }) => return Ok(None),
        Err(error) => return Err(Why(format!("the mark {path}: {}", chain(&error)))),
    };
    let keeps = "until then every volume on this disk is kept";
    let found: AdoptedMark = serde_json::from_slice(&bytes).map_err(|error| {
        Why(format!(
            "the mark {path} is damaged ({error}); look at it, and remove it or adopt its volume \
             anew; {keeps}"
        ))
    })?;
    if found.version != AdoptedMark::VERSION {
        return Err(Why(format!(
            "the mark {path} has version {}, this program reads version {}; {keeps}",
            found.version,
            AdoptedMark::VERSION
        )));
    }
    if found.name.as_bytes() != stem {
        return Err(Why(format!(
            "the mark {path} calls itself {}; {keeps}",
            found.name
        )));
    }
    Ok(Some(found))
}

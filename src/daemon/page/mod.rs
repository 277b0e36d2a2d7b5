//! The status page: what the board, the jobs and the answers say, as one page of HTML.
//!
//! It is drawn from `templates/` beside this file when somebody asks, out of the same types and texts as the API's
//! answers; whatever was written elsewhere is escaped by the templates. It needs no script: one that
//! the browser may run asks again for the sections that have changed (`GET /events` says which). Volumes
//! are shown a hundred at a time, so that neither page nor browser grows with the host.

mod shown;
#[cfg(test)]
mod tests;
mod volumes;
mod words;

use askama::Template;
use url::form_urlencoded;

use super::answers::Why;
use super::answers::disks::Disks;
use super::answers::status::{Refused, Status};
use shown::{Authority, Disk, JobShown, PassShown, Trash};
use volumes::{Held, Volumes, alarm};
use words::When;

/// The page's style sheet.
pub(super) const STYLE: &str = include_str!("templates/page.css");
/// The page's script.
pub(super) const SCRIPT: &str = include_str!("templates/page.js");
/// The page's icon.
pub(super) const ICON: &str = include_str!("templates/page.svg");

/// What a browser may do with anything that is answered: nothing from elsewhere, no script and no
/// style inside a page, nobody's frame.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The sections that change, by their names in the page and in `/events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Summary,
    Work,
    Kept,
    Disks,
    Volumes,
    Trash,
    Looks,
}

impl Section {
    /// In the order in which they stand in the page.
    const ALL: [Self; 7] = [
        Self::Summary,
        Self::Work,
        Self::Kept,
        Self::Disks,
        Self::Volumes,
        Self::Trash,
        Self::Looks,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Summary => "summary",
            Self::Work => "work",
            Self::Kept => "kept",
            Self::Disks => "disks",
            Self::Volumes => "volumes",
            Self::Trash => "trash",
            Self::Looks => "looks",
        }
    }
}

/// What somebody wants to see, as the address says. What it says otherwise is ignored: a page is
/// better than a refusal to show one.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// Only these sections; all of the page where there is none.
    sections: Vec<Section>,
    /// Only volumes in this state.
    state: Option<String>,
    /// Only volumes in whose names this stands.
    find: String,
    /// The page of volumes, from 1.
    page: usize,
}

impl Wanted {
    pub(super) fn of_query(query: &str) -> Self {
        let mut wanted = Self {
            page: 1,
            ..Self::default()
        };
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "sections" => {
                    let named = Section::ALL.into_iter();
                    wanted.sections = named
                        .filter(|section| value.split(',').any(|name| name == section.name()))
                        .collect();
                }
                "state" if !value.is_empty() => wanted.state = Some(value.into_owned()),
                "find" => value.trim().clone_into(&mut wanted.find),
                "page" => wanted.page = value.parse().unwrap_or(1).max(1),
                _ => {}
            }
        }
        wanted
    }

    /// The address of this choice of volumes.
    fn link(state: Option<&str>, find: &str, page: usize) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(state) = state {
            query.append_pair("state", state);
        }
        if !find.is_empty() {
            query.append_pair("find", find);
        }
        if page > 1 {
            query.append_pair("page", &page.to_string());
        }
        let query = query.finish();
        if query.is_empty() {
            "/#volumes".to_owned()
        } else {
            format!("/?{query}#volumes")
        }
    }
}

/// What is shown: the same answers that the API gives.
#[derive(Debug)]
pub(super) struct Sight<'a> {
    /// The name of the host.
    pub(super) host: String,
    /// Seconds since 1970.
    pub(super) now: i64,
    /// `GET /v1/status`.
    pub(super) status: &'a Status,
    /// `GET /v1/disks`; `None` before the first look.
    pub(super) disks: Option<&'a Disks>,
    /// The texts of `GET /v1/volumes` and `GET /v1/trash`, and when the pass ended; `None` before the
    /// first.
    pub(super) seen: Option<(&'a [u8], &'a [u8], i64)>,
}

/// Why the page could not be drawn: a fault of this program.
#[derive(Debug, thiserror::Error)]
pub(super) enum PageError {
    /// What the last pass saw can't be read back.
    #[error("what the last pass saw can't be read back")]
    Answer(#[from] serde_json::Error),
    /// A template.
    #[error("the page can't be drawn")]
    Template(#[from] askama::Error),
}

#[derive(Template)]
#[template(
    path = "page.html",
    config = "src/daemon/page/askama.toml",
    blocks = ["summary", "work", "kept", "disks", "volumes", "trash", "looks"]
)]
struct Page<'a> {
    host: &'a str,
    version: &'a str,
    now: When,
    tone: &'static str,
    headline: String,
    troubles: &'a [String],
    last_pass: Option<PassShown<'a>>,
    looked: Option<When>,
    resources_file: &'a str,
    paused: String,
    up: String,
    jobs: Vec<JobShown<'a>>,
    refusals: Vec<Kept<'a>>,
    doubts: &'a [Why],
    alarms: Vec<AlarmShown<'a>>,
    warnings: &'a [String],
    disks: Vec<Disk<'a>>,
    others: Vec<Disk<'a>>,
    volumes: Volumes<'a>,
    trash: Trash<'a>,
    authorities: Vec<Authority<'a>>,
}

/// A guard that keeps something back.
struct Kept<'a> {
    code: &'static str,
    keeps: String,
    reason: &'a str,
    remedy: &'a str,
}

/// A volume that is mounted or used as it should not be.
struct AlarmShown<'a> {
    volume: String,
    code: &'a str,
    reason: &'a str,
    remedy: &'a str,
}

/// Draws the page, or the sections of it that are wanted.
pub(super) fn draw(sight: &Sight<'_>, wanted: &Wanted) -> Result<String, PageError> {
    let status = sight.status;
    let held: Held<'_> = match sight.seen {
        Some((volumes, _, _)) => serde_json::from_slice(volumes)?,
        None => Held::default(),
    };
    let items: shown::Items<'_> = match sight.seen {
        Some((_, trash, _)) => serde_json::from_slice(trash)?,
        None => shown::Items::default(),
    };
    let alarms: Vec<AlarmShown<'_>> = held.alarms.iter().flatten().map(alarm).collect();
    let age = sight
        .seen
        .map(|(_, _, at)| u64::try_from(sight.now.saturating_sub(at)).unwrap_or(0));
    let (disks, others) = shown::disks(sight.disks);
    let (tone, headline) = verdict(status, !alarms.is_empty());
    let page = Page {
        host: &sight.host,
        version: &status.version,
        now: When::at(sight.now, sight.now),
        tone,
        headline,
        troubles: &status.troubles,
        last_pass: status
            .last_pass
            .as_ref()
            .map(|pass| PassShown::of(pass, sight.now)),
        looked: status.disks_looked_at.map(|at| When::at(at, sight.now)),
        resources_file: &status.resources_file,
        paused: shown::paused(status),
        up: words::span(status.up_seconds),
        jobs: status.jobs.iter().map(JobShown::of).collect(),
        refusals: status.refusals.iter().map(kept).collect(),
        doubts: &status.doubts,
        alarms,
        warnings: sight.disks.map_or(&[], |disks| &disks.warnings),
        disks,
        others,
        volumes: Volumes::of(&held.volumes, sight.seen.is_some(), wanted),
        trash: Trash::of(&items, age),
        authorities: status.authorities.iter().map(Authority::of).collect(),
    };
    if wanted.sections.is_empty() {
        return Ok(page.render()?);
    }
    let mut text = String::new();
    for section in &wanted.sections {
        match section {
            Section::Summary => page.as_summary().render_into(&mut text)?,
            Section::Work => page.as_work().render_into(&mut text)?,
            Section::Kept => page.as_kept().render_into(&mut text)?,
            Section::Disks => page.as_disks().render_into(&mut text)?,
            Section::Volumes => page.as_volumes().render_into(&mut text)?,
            Section::Trash => page.as_trash().render_into(&mut text)?,
            Section::Looks => page.as_looks().render_into(&mut text)?,
        }
    }
    Ok(text)
}

/// All in a line, and how bad it is.
fn verdict(status: &Status, alarmed: bool) -> (&'static str, String) {
    let held = |word: &str| {
        let counts = status.volumes.as_ref();
        counts.and_then(|counts| counts.get(word).copied())
    };
    if status.last_pass.is_none() {
        return ("calm", "The first pass has not ended yet".to_owned());
    }
    let volumes = words::count(u64::from(held("held").unwrap_or(0)), "volume", "volumes");
    if !status.ready {
        return (
            "bad",
            "Not ready: what can’t be told is kept as it is".to_owned(),
        );
    }
    if alarmed {
        return (
            "bad",
            format!("{volumes} held; some are used as they should not be"),
        );
    }
    if !status.refusals.is_empty() || !status.doubts.is_empty() || held("vanished").is_some() {
        return (
            "warn",
            format!("{volumes} held; something needs a look below"),
        );
    }
    if status.jobs.is_empty() {
        ("good", format!("All is well: {volumes} held"))
    } else {
        let wipes = words::count(
            u64::try_from(status.jobs.len()).unwrap_or(u64::MAX),
            "wipe",
            "wipes",
        );
        (
            "good",
            format!("All is well: {volumes} held, {wipes} under way"),
        )
    }
}

fn kept(refused: &Refused) -> Kept<'_> {
    let volumes = words::count(u64::from(refused.volumes), "volume", "volumes");
    let roots = words::count(u64::from(refused.roots), "root", "roots");
    Kept {
        code: refused.code.code(),
        keeps: match (refused.volumes, refused.roots) {
            (_, 0) => volumes,
            (0, _) => roots,
            _ => format!("{volumes}, {roots}"),
        },
        reason: &refused.reason,
        remedy: &refused.remedy,
    }
}

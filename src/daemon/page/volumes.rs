//! The table of volumes: chosen, sorted, a hundred at a time.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::{AlarmShown, Wanted, words};

/// How many rows are shown at once.
pub(super) const ROWS: usize = 100;

/// What is read back of `GET /v1/volumes`. The board keeps that text alone, so that nothing lies twice
/// in memory; it is read only while a page is drawn.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Held<'a> {
    #[serde(borrow)]
    pub(super) volumes: Vec<Row<'a>>,
    #[serde(borrow)]
    pub(super) alarms: Option<Vec<AlarmRead<'a>>>,
}

/// An alarm.
#[derive(Debug, Deserialize)]
pub(super) struct AlarmRead<'a> {
    #[serde(borrow)]
    pub(super) code: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) role: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) reason: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) remedy: Cow<'a, str>,
}

/// A volume.
#[derive(Debug, Deserialize)]
pub(super) struct Row<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow)]
    disk: Option<DiskRead<'a>>,
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(borrow)]
    state: Cow<'a, str>,
    size_mb: Option<f64>,
    #[serde(borrow)]
    principal: Option<Cow<'a, str>>,
    #[serde(borrow)]
    app: Option<AppRead<'a>>,
    #[serde(borrow)]
    reasons: Vec<WhyRead<'a>>,
}

/// A disk.
#[derive(Debug, Deserialize)]
pub(super) struct DiskRead<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) root: Cow<'a, str>,
}

/// An app of Marathon.
#[derive(Debug, Deserialize)]
pub(super) struct AppRead<'a> {
    #[serde(borrow)]
    app: Cow<'a, str>,
    #[serde(borrow)]
    container_path: Cow<'a, str>,
}

/// A reason.
#[derive(Debug, Deserialize)]
pub(super) struct WhyRead<'a> {
    #[serde(borrow)]
    pub(super) code: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) reason: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) remedy: Cow<'a, str>,
}

/// The table.
pub(super) struct Volumes<'a> {
    pub(super) seen: bool,
    pub(super) all: usize,
    pub(super) state: Option<&'a str>,
    pub(super) find: &'a str,
    pub(super) states: Vec<StateShown>,
    pub(super) caption: String,
    pub(super) rows: Vec<RowShown<'a>>,
    pub(super) earlier: Option<String>,
    pub(super) later: Option<String>,
}

/// A state that can be chosen.
pub(super) struct StateShown {
    pub(super) word: String,
    pub(super) tone: &'static str,
    pub(super) count: String,
    pub(super) link: String,
    pub(super) chosen: bool,
}

/// A row of it.
pub(super) struct RowShown<'a> {
    pub(super) name: String,
    pub(super) state: &'a str,
    pub(super) tone: &'static str,
    pub(super) reasons: &'a [WhyRead<'a>],
    pub(super) app: Option<Owner<'a>>,
    pub(super) principal: Option<&'a str>,
    pub(super) disk_kind: &'a str,
    pub(super) root: &'a str,
    pub(super) size: String,
}

/// Whose it is.
pub(super) struct Owner<'a> {
    pub(super) app: &'a str,
    pub(super) path: &'a str,
}

/// How a state looks, and how far up it stands: what needs a look comes first.
fn tone(state: &str) -> (&'static str, u8) {
    match state {
        "vanished" => ("bad", 6),
        "destroyed" => ("warn", 5),
        "pending" => ("warn", 4),
        "orphan" => ("warn", 3),
        "foreign" => ("calm", 2),
        "trashed" => ("calm", 1),
        "held" => ("good", 0),
        _ => ("calm", 7),
    }
}

impl<'a> Row<'a> {
    fn name(&'a self) -> String {
        match (&self.role, &self.id) {
            (Some(role), Some(id)) => format!("{role}/{id}"),
            _ => self.path.to_string(),
        }
    }

    /// Whether this stands in one of its names, large or small letters alike.
    fn is_named(&self, find: &str) -> bool {
        let names = [
            self.id.as_deref(),
            self.role.as_deref(),
            Some(&*self.path),
            self.principal.as_deref(),
            self.app.as_ref().map(|app| &*app.app),
            self.disk.as_ref().map(|disk| &*disk.root),
        ];
        let mut names = names.into_iter().flatten();
        names.any(|name| name.to_lowercase().contains(find))
            || self.name().to_lowercase().contains(find)
    }

    fn shown(&'a self) -> RowShown<'a> {
        let disk = self.disk.as_ref();
        RowShown {
            name: self.name(),
            state: &self.state,
            tone: tone(&self.state).0,
            // Why a held volume is held is what the state says already.
            reasons: if self.state == "held" && self.reasons.iter().all(|why| why.code == "held") {
                &[]
            } else {
                &self.reasons
            },
            app: self.app.as_ref().map(|app| Owner {
                app: &app.app,
                path: &app.container_path,
            }),
            principal: self.principal.as_deref(),
            disk_kind: disk.map_or("–", |disk| &disk.kind),
            root: disk.map_or("", |disk| &disk.root),
            size: self
                .size_mb
                .map_or_else(|| "–".to_owned(), words::megabytes),
        }
    }
}

impl<'a> Volumes<'a> {
    /// What is wanted of these.
    pub(super) fn of(rows: &'a [Row<'a>], seen: bool, wanted: &'a Wanted) -> Self {
        let state = wanted.state.as_deref();
        let find = wanted.find.to_lowercase();
        let mut counts: BTreeMap<(Reverse<u8>, &str), usize> = BTreeMap::new();
        let mut chosen: Vec<&Row<'_>> = Vec::new();
        for row in rows
            .iter()
            .filter(|row| find.is_empty() || row.is_named(&find))
        {
            let count = counts
                .entry((Reverse(tone(&row.state).1), &row.state))
                .or_default();
            *count = count.saturating_add(1);
            if state.is_none_or(|state| state == row.state) {
                chosen.push(row);
            }
        }
        // What was there in order stays so.
        chosen.sort_by_key(|row| Reverse(tone(&row.state).1));
        let before = wanted.page.saturating_sub(1).saturating_mul(ROWS);
        let shown: Vec<RowShown<'_>> = chosen
            .iter()
            .skip(before)
            .take(ROWS)
            .map(|row| row.shown())
            .collect();
        let last = before.saturating_add(shown.len());
        let link = |page: usize| Wanted::link(state, &wanted.find, page);
        Self {
            seen,
            all: rows.len(),
            state,
            find: &wanted.find,
            states: states(&counts, state, &wanted.find),
            caption: format!(
                "{} to {} of {}, what needs a look first",
                before.saturating_add(1),
                last,
                chosen.len()
            ),
            rows: shown,
            earlier: (wanted.page > 1).then(|| link(wanted.page.saturating_sub(1))),
            later: (last < chosen.len()).then(|| link(wanted.page.saturating_add(1))),
        }
    }
}

fn states(
    counts: &BTreeMap<(Reverse<u8>, &str), usize>,
    chosen: Option<&str>,
    find: &str,
) -> Vec<StateShown> {
    let shown = |word: &str, tone, count: usize, state: Option<&str>| StateShown {
        word: word.to_owned(),
        tone,
        count: words::grouped(u64::try_from(count).unwrap_or(u64::MAX)),
        link: Wanted::link(state, find, 1),
        chosen: chosen == state,
    };
    let all = shown("all", "", counts.values().sum(), None);
    let each = counts
        .iter()
        .map(|((_, state), count)| shown(state, tone(state).0, *count, Some(state)));
    std::iter::once(all).chain(each).collect()
}

/// An alarm as it is shown.
pub(super) fn alarm<'a>(alarm: &'a AlarmRead<'a>) -> AlarmShown<'a> {
    AlarmShown {
        volume: format!("{}/{}", alarm.role, alarm.id),
        code: &alarm.code,
        reason: &alarm.reason,
        remedy: &alarm.remedy,
    }
}

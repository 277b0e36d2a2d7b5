//! What Marathon says of its apps and their volumes.

use crate::mesos::marathon::{
    self, App, Group, MarathonError, PodStatus, Task, Under, parse_app, parse_apps,
    parse_deployments, parse_group, parse_pods, parse_tasks,
};
use crate::sys::http::{Failure, Limits, Request, Site, SiteError, path_of};

/// Why Marathon tells nothing that can be used.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It gives no answer.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// Its answer does not end.
    #[error("{by}{path} {failure}")]
    Cut {
        /// Who answered.
        by: String,
        /// What was asked for.
        path: String,
        /// What happened.
        failure: Failure,
    },
    /// Its answer can't be understood.
    #[error("{by}{path} can't be used")]
    Answer {
        /// Who answered.
        by: String,
        /// What was asked for.
        path: String,
        /// Why.
        #[source]
        source: MarathonError,
    },
}

impl AskError {
    /// Whether Marathon says that there is no such thing.
    #[must_use]
    pub const fn not_found(&self) -> bool {
        matches!(self, Self::Site(SiteError::Refused { status: 404, .. }))
    }
}

fn ask<T>(
    site: &Site,
    path: String,
    parse: impl FnOnce(&[u8]) -> Result<T, MarathonError>,
) -> Result<T, AskError> {
    let site = site.with_limits(Limits {
        body: 512 << 20,
        ..Limits::CLUSTER
    })?;
    let told = site.ask(&Request::get(path.clone()))?;
    let by = told.by;
    match told.answer.whole() {
        Err(failure) => Err(AskError::Cut { by, path, failure }),
        Ok(body) => parse(&body).map_err(|source| AskError::Answer { by, path, source }),
    }
}

/// The path of something below an app's or group's id.
#[must_use]
pub fn path_below(kind: &str, id: &str, rest: &[&str], query: &[(&str, &str)]) -> String {
    let mut segments = vec!["v2", kind];
    segments.extend(id.split('/').filter(|part| !part.is_empty()));
    segments.extend(rest);
    path_of(&segments, query)
}

/// Every app with its tasks.
pub fn apps(site: &Site) -> Result<Vec<App>, AskError> {
    let path = path_of(
        &["v2", "apps"],
        &[("embed", "apps.tasks"), ("embed", "apps.deployments")],
    );
    ask(site, path, parse_apps)
}

/// One app with its tasks.
pub fn app(site: &Site, id: &str) -> Result<App, AskError> {
    let query = [("embed", "app.tasks"), ("embed", "app.deployments")];
    ask(site, path_below("apps", id, &[], &query), parse_app)
}

/// The tasks of an app, as they are now.
pub fn tasks(site: &Site, app: &str) -> Result<Vec<Task>, AskError> {
    ask(site, path_below("apps", app, &["tasks"], &[]), parse_tasks)
}

/// A group with everything in it.
pub fn group(site: &Site, id: &str) -> Result<Group, AskError> {
    let query = [
        ("embed", "group.apps"),
        ("embed", "group.groups"),
        ("embed", "group.apps.tasks"),
        ("embed", "group.pods"),
    ];
    ask(site, path_below("groups", id, &[], &query), parse_group)
}

/// Every pod with its instances.
pub fn pods(site: &Site) -> Result<Vec<PodStatus>, AskError> {
    ask(site, path_of(&["v2", "pods", "::status"], &[]), parse_pods)
}

/// What Marathon is doing about its apps and pods.
pub fn deployments(site: &Site) -> Result<Vec<Under>, AskError> {
    ask(
        site,
        path_of(&["v2", "deployments"], &[]),
        parse_deployments,
    )
}

/// The app's id as it stands in persistence ids; see [`marathon::app_in_persistence_id`].
#[must_use]
pub fn in_persistence_ids(app: &App) -> String {
    marathon::app_in_persistence_id(&app.id)
}

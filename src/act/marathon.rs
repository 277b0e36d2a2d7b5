//! Calls to Marathon that end tasks and destroy what they held.

use crate::sys::http::{Method, Request, Site, SiteError, path_of};

fn path(app: &str, rest: &[&str], query: &[(&str, &str)]) -> String {
    let mut segments = vec!["v2", "apps"];
    segments.extend(app.split('/').filter(|part| !part.is_empty()));
    segments.extend(rest);
    path_of(&segments, query)
}

fn delete(site: &Site, path: String) -> Result<(), SiteError> {
    site.call(&Request {
        method: Method::Delete,
        path,
        body: None,
    })
    .map(|_taken| ())
}

/// The request that [`delete_task`] makes, for a dry run.
#[must_use]
pub fn delete_task_path(app: &str, task: &str, scale: bool) -> String {
    let mut query = vec![("wipe", "true")];
    if scale {
        query.push(("scale", "true"));
    }
    path(app, &["tasks", task], &query)
}

/// Deletes a task with `wipe=true`: Marathon destroys its volumes and gives its reservations back.
/// With `scale`, its app shall have one instance less. `Ok` means that Marathon took the request.
pub fn delete_task(site: &Site, app: &str, task: &str, scale: bool) -> Result<(), SiteError> {
    delete(site, delete_task_path(app, task, scale))
}

/// Deletes an app with everything that it holds.
pub fn delete_app(site: &Site, app: &str) -> Result<(), SiteError> {
    delete(site, path(app, &[], &[]))
}

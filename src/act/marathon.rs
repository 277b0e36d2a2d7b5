//! Calls to Marathon that end tasks and destroy what they held.

use std::os::fd::OwnedFd;

use super::store::Store;
use super::sys::{Errno, lock_file};
use crate::sys::http::{Method, Request, Site, SiteError, path_of};

/// Held by the one `marathon wipe` of a `state_dir`. It is apart from the instance lock: a daemon that
/// runs does this host's part.
#[derive(Debug)]
pub struct WipeLock {
    _file: OwnedFd,
}

impl WipeLock {
    /// Takes it; `None` where another command has it.
    pub fn acquire(store: &Store) -> Result<Option<Self>, Errno> {
        let file = lock_file(&store.dir().join("marathon.lock"))?;
        Ok(file.map(|file| Self { _file: file }))
    }
}

fn path(kind: &str, app: &str, rest: &[&str], query: &[(&str, &str)]) -> String {
    let mut segments = vec!["v2", kind];
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

/// What becomes of an instance whose task is deleted. Marathon takes one or the other, never both at
/// once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// Its app shall have one instance less; it waits, with its volumes.
    Scale,
    /// Its volumes are destroyed, and its reservations given back.
    Wipe,
}

/// The request that [`delete_task`] makes, for a dry run.
#[must_use]
pub fn delete_task_path(app: &str, task: &str, deletion: Deletion) -> String {
    let what = match deletion {
        Deletion::Scale => "scale",
        Deletion::Wipe => "wipe",
    };
    path("apps", app, &["tasks", task], &[(what, "true")])
}

/// The request that [`wipe_pod_instance`] makes, for a dry run.
#[must_use]
pub fn wipe_pod_instance_path(pod: &str, instance: &str) -> String {
    // A pod's parts stand behind two colons, in the last segment of its id.
    let pod = format!("{}::instances", pod.trim_end_matches('/'));
    path("pods", &pod, &[instance], &[("wipe", "true")])
}

/// Deletes a task. `Ok` means that Marathon took the request.
pub fn delete_task(
    site: &Site,
    app: &str,
    task: &str,
    deletion: Deletion,
) -> Result<(), SiteError> {
    delete(site, delete_task_path(app, task, deletion))
}

/// Deletes an instance of a pod with `wipe=true`.
pub fn wipe_pod_instance(site: &Site, pod: &str, instance: &str) -> Result<(), SiteError> {
    delete(site, wipe_pod_instance_path(pod, instance))
}

/// Deletes an app with everything that it holds.
pub fn delete_app(site: &Site, app: &str) -> Result<(), SiteError> {
    delete(site, path("apps", app, &[], &[]))
}

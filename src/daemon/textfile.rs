//! The metrics as a file for node_exporter's textfile collector (`daemon.textfile`).

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::after;
use super::api::Api;
use crate::act::durable;
use crate::config::Settings;
use crate::observe::clock;
use crate::units::chain;

/// How often it is written where no pass ends; each time costs the disk a sync.
const EVERY: Duration = Duration::from_mins(1);

/// The file, written by the blocking pool: its disk may be slow.
pub(super) struct Textfile {
    path: Option<PathBuf>,
    due: Instant,
    writing: Option<tokio::task::JoinHandle<()>>,
    /// What was said last: a line a change.
    said: Arc<Mutex<String>>,
}

impl Textfile {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            path: settings.daemon.textfile.clone(),
            due: Instant::now(),
            writing: None,
            said: Arc::default(),
        }
    }

    pub(super) fn set(&mut self, settings: &Settings) {
        if self.path != settings.daemon.textfile {
            *self = Self::new(settings);
        }
    }

    /// There is something new to tell.
    pub(super) fn now(&mut self) {
        self.due = Instant::now();
    }

    /// Begins to write it where its time has come and the last writing has ended.
    pub(super) fn write_if_due(&mut self, api: &Arc<Api>) {
        let Some(path) = self.path.clone() else {
            return;
        };
        let busy = self
            .writing
            .as_ref()
            .is_some_and(|writing| !writing.is_finished());
        if busy || Instant::now() < self.due {
            return;
        }
        self.due = after(Instant::now(), EVERY);
        let (api, said) = (Arc::clone(api), Arc::clone(&self.said));
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let written = api
                .metrics(clock::wall_seconds())
                .map_err(|error| error.to_string())
                .and_then(|text| {
                    durable::replace(&path, &text, 0o644).map_err(|error| chain(&error))
                });
            let why = written.err().unwrap_or_default();
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            if *said != why && !why.is_empty() {
                tracing::error!("daemon.textfile is not written: {why}");
            }
            *said = why;
        }));
    }
}

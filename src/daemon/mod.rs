//! The loop: observe → decide → check → act → record.
//!
//! [`pass`] is one turn of it, which the commands use too; [`host`] is what acting needs of this
//! machine; [`disks`] finds disks; [`answers`] is what is told of all of it; `page` shows it in a
//! browser; [`clients`] are the services that are asked.

pub mod answers;
mod api;
pub mod board;
pub mod clients;
pub mod destroy;
pub mod disks;
pub mod doctor;
mod due;
mod events;
pub mod figures;
pub mod host;
mod http;
pub mod jobs;
mod listen;
mod monitor;
pub mod observer;
mod offers;
pub mod operate;
mod operations;
pub mod operator;
mod page;
pub mod pass;
mod passer;
pub mod preflight;
pub mod privileges;
pub mod resources;
pub mod run;
mod suspend;
mod textfile;
mod wake;
mod watch;
pub mod workers;

use std::time::Duration;

use tokio::time::Instant;

/// So long after a moment. Out of range only for spans of centuries: far enough away then.
fn after(from: Instant, span: Duration) -> Instant {
    from.checked_add(span)
        .or_else(|| from.checked_add(Duration::from_hours(365 * 24)))
        .unwrap_or(from)
}

//! The loop: observe → decide → check → act → record.
//!
//! [`pass`] is one turn of it, which the commands use too; [`host`] is what acting needs of this
//! machine; [`disks`] finds disks; [`answers`] is what is told of all of it; [`clients`] are the
//! services that are asked.

pub mod answers;
pub mod clients;
pub mod disks;
pub mod figures;
pub mod host;
pub mod http;
pub mod jobs;
mod monitor;
pub mod observer;
mod offers;
pub mod pass;
mod passer;
pub mod preflight;
pub mod resources;
pub mod run;
mod watch;
pub mod workers;

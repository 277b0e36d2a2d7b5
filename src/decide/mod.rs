//! Every decision, as pure functions of [`facts::Facts`]: no clock, file system, network,
//! environment or runtime is reachable from here.

pub mod adopt;
pub mod advertise;
pub mod authority;
pub mod bar;
pub mod baseline;
pub mod check;
pub mod discover;
pub mod doctor;
pub mod explain;
pub mod facts;
pub mod give_back;
pub mod guards;
pub mod held;
pub mod held_back;
pub mod janitor;
pub mod ledger;
pub mod lifecycle;
pub mod listing;
pub mod manifest;
pub mod marathon;
pub mod memory;
pub mod numbers;
mod overlap;
pub mod own;
pub mod pace;
pub mod plan;
pub mod preflight;
pub mod prepare;
pub mod radar;
pub mod receipts;
pub mod remember;
pub mod roots;
pub mod steps;
pub mod trip;
pub mod volumes;
pub mod whole_device;

//! Every decision, as pure functions of [`facts::Facts`]: no clock, file system, network,
//! environment or runtime is reachable from here.

pub mod facts;
pub mod guards;
pub mod ledger;
pub mod manifest;
pub mod memory;
pub mod steps;

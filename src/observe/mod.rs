//! Reads the host and fills the facts; changes nothing.

pub mod mountinfo;

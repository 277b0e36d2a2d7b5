//! Reads the host and fills the facts; changes nothing.

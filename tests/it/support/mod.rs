//! What several tests need.

pub(crate) mod stand_in;

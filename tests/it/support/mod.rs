//! What several tests need.

pub(crate) mod authorize;
pub(crate) mod browser;
pub(crate) mod disk;
pub(crate) mod stand_in;
pub(crate) mod trees;

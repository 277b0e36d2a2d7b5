//! The parts of the stand-ins.

pub(crate) mod agent;
pub(crate) mod answer;
pub(crate) mod calls;
pub(crate) mod change;
pub(crate) mod cluster;
pub(crate) mod control;
pub(crate) mod files;
pub(crate) mod flags;
pub(crate) mod http;
pub(crate) mod json;
pub(crate) mod marathon;
pub(crate) mod marathon_http;
pub(crate) mod master;
pub(crate) mod master_http;
pub(crate) mod meta;
pub(crate) mod recovery;
pub(crate) mod register;
pub(crate) mod resources;
pub(crate) mod steps;
pub(crate) mod validate;
pub(crate) mod views;

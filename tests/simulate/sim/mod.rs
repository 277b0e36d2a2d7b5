//! A simulation of histories: the real decide, check and executor over a model host, and after every
//! event the question whether everything that must hold does.
//!
//! A history is drawn from a tape of numbers, and a tape from a seed: one seed is one history, on any
//! machine.

#![expect(
    clippy::map_err_ignore,
    clippy::option_option,
    clippy::struct_excessive_bools,
    clippy::single_match_else,
    clippy::needless_pass_by_value,
    reason = "a model: that a call failed is all that its caller wants to know"
)]

pub(crate) mod acts;
pub(crate) mod agent;
pub(crate) mod count;
pub(crate) mod disk;
pub(crate) mod history;
pub(crate) mod observe;
pub(crate) mod oracle;
pub(crate) mod sys;
pub(crate) mod world;

use super::builder;

//! The decisions, as a library user sees them: facts in, plan out.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::string_slice,
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]

mod asked_destroys;
mod barrier;
pub(crate) mod builder;
mod calls;
mod doctor;
mod explain;
mod fills;
mod give_back;
mod golden;
mod grounds;
mod guards;
mod ideal;
mod kept_or_back;
mod lies;
mod lifecycle;
mod listing;
mod lives;
mod moved_out;
mod own;
mod places;
mod prepared;
mod properties;
mod radar;
mod random;
mod released;
mod remembered;
mod rolled_back;
mod saved;
mod second_reading;
mod story;
mod undelete;

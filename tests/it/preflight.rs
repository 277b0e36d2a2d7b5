//! The preflight against a real agent's recorded starts, and its properties.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "test arithmetic"
)]

mod adoption;
mod cli;
pub(crate) mod host;
mod missing;
mod numbers;
mod properties;
mod recorded;
mod rules;
mod told;

//! Sizes, times and raw names: the small types that every other module speaks in.

mod chain;
mod raw;
mod size;
mod span;

pub use chain::{Chain, chain};
pub use raw::Raw;
pub use size::{Bytes, MIB, Megabytes, SizeError};
pub use span::{Span, SpanError};

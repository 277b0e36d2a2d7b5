//! Sizes, times and raw names: the small types that every other module speaks in.

mod raw;
mod size;
mod span;

pub use raw::Raw;
pub use size::{Bytes, MIB, Megabytes, SizeError};
pub use span::{Span, SpanError};

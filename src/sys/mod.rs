//! The few kernel calls that observing and acting share.

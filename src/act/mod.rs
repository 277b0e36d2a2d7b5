//! The only writer: carries out checked plans, through open descriptors.

pub mod durable;
pub mod lock;
pub mod sys;
pub mod volume_dir;

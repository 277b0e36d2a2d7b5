//! The only writer: carries out checked plans, through open descriptors.

pub mod audit;
mod behind;
pub mod doctor;
pub mod durable;
pub mod executor;
pub mod gate;
pub mod held_back;
pub mod jobs;
pub mod lock;
pub mod marathon;
pub mod marks;
pub mod master;
pub mod outcome;
pub mod prepare;
pub mod provision;
pub mod publish;
pub mod roots;
pub mod socket;
pub mod store;
pub mod sys;
pub mod trash;
pub mod volume_dir;
pub mod wipe;

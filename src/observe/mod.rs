//! Reads the host and fills the facts; changes nothing.

pub mod agent_flags;
pub mod agent_http;
pub mod agent_process;
pub mod checkpoints;
pub mod clock;
pub mod deadline;
pub mod disks;
pub mod facts;
mod files;
pub mod filesystem;
pub mod gate;
pub mod holders;
pub mod host;
pub mod mountinfo;
pub mod node;
pub mod places;
mod proc;
mod read;
pub mod roots;
pub mod start;
pub mod state_dir;
pub mod superblock;
mod trash;
mod units;
mod view;
mod volumes;
mod walk;

//! Mesos's own words and formats, as pure functions over bytes.

pub mod agent_info;
pub mod agent_state;
pub mod checkpoint;
pub mod disk;
pub mod env_file;
pub mod ids;
pub mod layout;
pub mod marathon;
pub mod operator;
pub mod paths;
pub mod resource;
pub mod resources;
pub mod resources_json;
pub mod state;

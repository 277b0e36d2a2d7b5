//! The real program on real disks: loop devices, in a pid and mount namespace of their own, beside
//! the stand-in agent.

mod adopt;
pub(crate) mod api;
mod barrier;
mod codes;
mod daemon;
mod destroy;
pub(crate) mod host;
mod hotplug;
mod janitor;
mod killed_modes;
mod master;
mod modes;
mod mount;
mod numbers;
mod operate;
mod page;
mod privileges;
mod receipts;
mod soak;
mod stall;
mod trip;
mod undelete;

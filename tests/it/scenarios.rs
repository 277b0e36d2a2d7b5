//! What happens to agents and their disks (mesos-facts): every way in which data stay behind without
//! a name, everything that only looks like that, and what reviews of real agents found. Each plays
//! on loop disks with a stand-in agent as a process, and the program itself sweeps.

mod apps;
mod fleet;
mod lookalikes;
mod lost;
mod marathon;
mod orphans;
mod postgres;
mod review;
mod site;

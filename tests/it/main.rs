//! Integration tests.

#[cfg(test)]
mod alerts;
#[cfg(test)]
mod checkpoint;
#[cfg(test)]
mod config;
#[cfg(test)]
mod crosscheck;
#[cfg(test)]
mod dcos;
#[cfg(test)]
mod decide;
#[cfg(test)]
mod discover;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod double;
#[cfg(test)]
pub(crate) mod e2e;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod hostile_images;
#[cfg(test)]
mod layering;
#[cfg(test)]
mod layouts;
#[cfg(test)]
mod marathon_sidecar;
#[cfg(test)]
mod observe;
#[cfg(test)]
mod own_namespace;
#[cfg(test)]
mod preflight;
#[cfg(test)]
mod prepare;
#[cfg(test)]
mod radar;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod resources_json;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod simulate;
#[cfg(test)]
#[expect(dead_code, reason = "the programs use what tests do not")]
#[path = "../double/parts.rs"]
pub(crate) mod stand_ins;
#[cfg(test)]
mod support;
#[cfg(test)]
mod units;
#[cfg(test)]
mod usage_quota;
#[cfg(test)]
mod verdicts;
#[cfg(test)]
mod wipe_hazards;
#[cfg(test)]
mod wipe_modes;

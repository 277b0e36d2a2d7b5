//! `disk prepare` and `disk release`, on loop devices.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod disks;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod systemd;
#[cfg(test)]
pub(crate) mod trash;

//! The host: its id, its clocks, its namespace, and randomness for one plan.

use rustix::rand::{GetRandomFlags, getrandom};

use super::clock::{self, ClockError};
use super::places::Places;
use super::read;
use crate::decide::facts::{HostFacts, Known};
use crate::units::{Raw, chain};

/// The inode of the initial pid namespace (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
const INITIAL_PID_NAMESPACE: &[u8] = b"pid:[4026531836]";

/// Why the host could not be described.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The clocks or the boot id could not be read.
    #[error("the moment could not be told")]
    Clock(#[from] ClockError),
    /// The kernel gave no randomness.
    #[error("the kernel gave no randomness (getrandom)")]
    Random(#[source] std::io::Error),
}

/// The host at this moment.
pub fn observe(places: &Places) -> Result<HostFacts, HostError> {
    Ok(HostFacts {
        machine_id: machine_id(places),
        now: clock::now(places)?,
        initial_pid_namespace: initial_pid_namespace(places),
        nonce: nonce()?,
    })
}

/// `/etc/machine-id`. `Absent` where there is no such file; `Unknown` where it can't be read or
/// holds no id yet (empty or `uninitialized` during a first boot: machine-id(5)).
#[must_use]
pub fn machine_id(places: &Places) -> Known<Raw> {
    let bytes = match read::whole(&places.machine_id, 4096) {
        Ok(bytes) => bytes,
        Err(error) if read::is_absent(&error) => return Known::Absent,
        Err(error) => return Known::unknown(chain(&error)),
    };
    let id = bytes.trim_ascii();
    if id.len() == 32 && id.iter().all(u8::is_ascii_hexdigit) {
        Known::Known(Raw::from(id))
    } else {
        Known::unknown(format!(
            "{} does not hold a machine id (32 hexadecimal digits); run `systemd-machine-id-setup`",
            places.machine_id
        ))
    }
}

/// Whether this process sees every process of the host. Never `Absent`.
#[must_use]
pub fn initial_pid_namespace(places: &Places) -> Known<bool> {
    match read::link(&places.proc.join("self/ns/pid")) {
        Ok(name) => Known::Known(name.as_bytes() == INITIAL_PID_NAMESPACE),
        Err(error) => Known::unknown(chain(&error)),
    }
}

fn nonce() -> Result<u64, HostError> {
    let mut bytes = [0u8; 8];
    let filled = getrandom(&mut bytes[..], GetRandomFlags::empty())
        .map_err(|errno| HostError::Random(errno.into()))?;
    if filled < bytes.len() {
        return Err(HostError::Random(std::io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(u64::from_ne_bytes(bytes))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make their own files")]
mod tests {
    use super::*;

    fn places(machine_id: &std::path::Path) -> Places {
        Places {
            machine_id: machine_id.into(),
            ..Places::default()
        }
    }

    #[test]
    fn the_host_is_described_and_every_nonce_is_another() {
        let first = observe(&Places::default()).unwrap();
        let second = observe(&Places::default()).unwrap();
        assert_ne!(first.nonce, second.nonce);
        assert!(matches!(first.initial_pid_namespace, Known::Known(_)));
    }

    #[test]
    fn a_machine_id_is_32_digits_or_unknown_and_only_a_missing_file_is_absent() {
        let tree = tempfile::tempdir().unwrap();
        let file = tree.path().join("machine-id");
        assert_eq!(machine_id(&places(&file)), Known::Absent);
        std::fs::write(&file, "0123456789abcdef0123456789abcdef\n").unwrap();
        assert_eq!(
            machine_id(&places(&file)),
            Known::Known(Raw::from("0123456789abcdef0123456789abcdef"))
        );
        for text in ["", "uninitialized\n", "0123456789abcdef0123456789abcde\n"] {
            std::fs::write(&file, text).unwrap();
            assert!(machine_id(&places(&file)).why().is_some(), "{text:?}");
        }
    }

    #[test]
    fn another_pid_namespace_is_told_from_the_initial_one() {
        let tree = tempfile::tempdir().unwrap();
        let places = Places {
            proc: tree.path().into(),
            ..Places::default()
        };
        assert!(initial_pid_namespace(&places).why().is_some());
        let link = tree.path().join("self/ns/pid");
        std::fs::create_dir_all(tree.path().join("self/ns")).unwrap();
        for (text, initial) in [("pid:[4026531836]", true), ("pid:[4026532201]", false)] {
            std::os::unix::fs::symlink(text, &link).unwrap();
            assert_eq!(initial_pid_namespace(&places), Known::Known(initial));
            std::fs::remove_file(&link).unwrap();
        }
    }
}

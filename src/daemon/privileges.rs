//! What the daemon may do: the capabilities that its work takes, and no other.
//!
//! It is root, and much of what root may do it never needs: load modules, set the clock, send raw
//! packets, make device nodes, become another user. That is given up before anything is read and before
//! the first thread is started (capabilities are a thread's own, and inherited), from every set, so that
//! neither it nor a program that it starts, such as mkfs, gets any of it back. The unit
//! (`systemd/mesos-volumed.service`) says the same from outside; this holds without it too.

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

/// What the work takes, as in `CapabilityBoundingSet=` of the unit.
///
/// * `DAC_OVERRIDE`, `DAC_READ_SEARCH`, `FOWNER`, `FSETID`, `CHOWN`: volumes belong to their tenants.
/// * `LINUX_IMMUTABLE`: tenants may set the immutable flag.
/// * `SYS_PTRACE`: other processes' open files and mounts tell who uses a volume.
/// * `SYS_ADMIN`: btrfs subvolumes, project quotas, a MOUNT disk whose file system is made anew.
pub const NEEDED: CapabilitySet = CapabilitySet::DAC_OVERRIDE
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::LINUX_IMMUTABLE)
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::SYS_ADMIN);

/// Why privileges could not be given up.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegesError {
    /// Another thread would keep them.
    #[error("{threads} threads run already, of which the others would keep their capabilities")]
    Threads {
        /// How many.
        threads: usize,
    },
    /// It can't be seen how many threads there are.
    #[error("/proc/self/task can't be read; is /proc mounted?")]
    Proc(#[source] std::io::Error),
    /// The kernel, or a filter of system calls, says no.
    #[error(
        "capabilities that are not needed could not be given up ({call}); does a filter of system \
         calls forbid it?"
    )]
    Refused {
        /// What was asked of it.
        call: &'static str,
        /// What it said.
        #[source]
        errno: Errno,
    },
}

/// Gives up everything but [`NEEDED`], for good. Returns what could not be taken out of the bounding
/// set, for want of `CAP_SETPCAP`: harmless, as nothing is won back by starting programs any more.
pub fn give_up() -> Result<CapabilitySet, PrivilegesError> {
    let threads = std::fs::read_dir("/proc/self/task")
        .map_err(PrivilegesError::Proc)?
        .count();
    if threads != 1 {
        return Err(PrivilegesError::Threads { threads });
    }
    let refused = |call| move |errno| PrivilegesError::Refused { call, errno };
    set_no_new_privs(true).map_err(refused("PR_SET_NO_NEW_PRIVS"))?;
    match clear_ambient_capability_set() {
        // A kernel that has no ambient set.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(errno) => return Err(refused("PR_CAP_AMBIENT")(errno)),
    }
    let left = bound().map_err(refused("PR_CAPBSET_DROP"))?;
    let own = capabilities(None).map_err(refused("capget"))?;
    let kept = CapabilitySets {
        effective: own.permitted.intersection(NEEDED),
        permitted: own.permitted.intersection(NEEDED),
        inheritable: CapabilitySet::empty(),
    };
    if kept != own {
        set_capabilities(None, kept).map_err(refused("capset"))?;
    }
    Ok(left)
}

/// Takes the others out of the bounding set; those that could not be taken.
fn bound() -> Result<CapabilitySet, Errno> {
    let mut left = CapabilitySet::empty();
    for number in 0..u64::BITS {
        let Some(bit) = 1_u64.checked_shl(number) else {
            break;
        };
        let one = CapabilitySet::from_bits_retain(bit);
        match capability_is_in_bounding_set(one) {
            Ok(true) if !NEEDED.contains(one) => {}
            Ok(_) => continue,
            // Beyond the last that this kernel knows.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno),
        }
        match remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            Err(Errno::PERM) => left = left.union(one),
            Err(errno) => return Err(errno),
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_and_the_program_agree_on_what_is_needed() {
        let unit = include_str!("../../systemd/mesos-volumed.service");
        let line = unit
            .lines()
            .find_map(|line| line.strip_prefix("CapabilityBoundingSet="))
            .unwrap();
        let named = line.split(' ').fold(CapabilitySet::empty(), |named, name| {
            named | CapabilitySet::from_name(name.strip_prefix("CAP_").unwrap()).unwrap()
        });
        assert_eq!(named, NEEDED);
    }

    #[test]
    fn a_thread_beside_is_refused_because_it_would_keep_what_is_given_up() {
        // Nothing was given up before they are counted.
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let beside = std::thread::spawn(move || wait.recv());
        let error = give_up().unwrap_err();
        assert!(
            matches!(error, PrivilegesError::Threads { threads } if threads > 1),
            "{error}"
        );
        done.send(()).unwrap();
        beside.join().unwrap().unwrap();
        assert!(!rustix::thread::no_new_privs().unwrap());
    }
}

//! What this process takes itself.

use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::sys::read_bounded;

/// What this process takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Resident memory.
    pub resident_bytes: u64,
    /// Threads.
    pub threads: u64,
    /// Open descriptors, the one excepted that was needed to count them.
    pub descriptors: u64,
    /// Time on processors, of all threads.
    pub cpu: Duration,
}

/// What it takes now; `None` where `/proc` does not tell.
#[must_use]
pub fn read() -> Option<Own> {
    let status = match read_bounded(Path::new("/proc/self/status"), 64 << 10) {
        Ok(status) => String::from_utf8(status).ok()?,
        Err(_untold) => return None,
    };
    let field = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let open = std::fs::read_dir("/proc/self/fd").ok()?.count();
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    Some(Own {
        resident_bytes: field("VmRSS:")?.saturating_mul(1024),
        threads: field("Threads:")?,
        descriptors: u64::try_from(open).ok()?.saturating_sub(1),
        cpu: Duration::new(
            u64::try_from(cpu.tv_sec).ok()?,
            u32::try_from(cpu.tv_nsec).ok()?,
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_threads_and_descriptors() {
        let own = read().unwrap();
        assert!(own.resident_bytes > 1 << 20 && own.threads > 0 && own.descriptors > 2);
        assert!(own.cpu > Duration::ZERO);
        let file = std::fs::File::open("/proc/self/status").unwrap();
        assert!(read().unwrap().descriptors > 0);
        drop(file);
    }
}

//! Which mutant is on. scripts/mutants puts this file into its copy of the program; nothing else has it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

struct State {
    on: u32,
    reached: &'static [AtomicU8],
}

static STATE: OnceLock<State> = OnceLock::new();

fn state() -> State {
    let on = std::env::var("MUTANT").map_or(0, |id| id.parse().unwrap());
    let reached = std::env::var_os("MUTANTS_REACHED").and_then(|path| {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path).ok()?;
        let length = usize::try_from(file.metadata().ok()?.len()).ok()?;
        use std::os::fd::AsRawFd as _;
        // SAFETY: a new mapping of a file that nobody shortens; it stays until the process ends.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return None;
        }
        // SAFETY: as long as the mapping, of bytes, which any value is right for.
        Some(unsafe { std::slice::from_raw_parts(start.cast::<AtomicU8>(), length) })
    });
    State { on, reached: reached.unwrap_or_default() }
}

/// Whether this mutant is on; notes that a test came by.
pub fn is(id: u32) -> bool {
    let state = STATE.get_or_init(state);
    if let Some(reached) = usize::try_from(id).ok().and_then(|id| state.reached.get(id)) {
        reached.store(1, Ordering::Relaxed);
    }
    state.on == id
}

/// `<`, or `==`, `>`, `<=`.
pub fn lt<T: PartialOrd + ?Sized>(left: &T, right: &T, [equal, other, less_or_equal]: [u32; 3]) -> bool {
    let (equal, other, less_or_equal) = (is(equal), is(other), is(less_or_equal));
    if equal {
        left == right
    } else if other {
        left > right
    } else if less_or_equal {
        left <= right
    } else {
        left < right
    }
}

/// `>`, or `==`, `<`, `>=`.
pub fn gt<T: PartialOrd + ?Sized>(left: &T, right: &T, ids: [u32; 3]) -> bool {
    lt(right, left, ids)
}

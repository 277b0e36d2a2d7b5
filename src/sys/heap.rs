//! Memory that was freed, given back to the kernel.
//!
//! A pass holds everything that it saw of a host, and ends with most of it freed. The C library keeps that
//! for the next pass, in an arena of each thread that asked for some: an idle daemon would keep for ever
//! what its largest pass needed for a moment.

#![expect(
    unsafe_code,
    reason = "mallopt(3) and malloc_trim(3) have no safe wrapper; they take numbers and no pointer"
)]

/// Lets all threads share one arena, the only one whose end [`give_back`] can shorten. To be called while
/// there is one thread. Threads that ask for memory at the same time wait for one another; those of a
/// daemon and of a wipe spend their time in the kernel, on files.
#[cfg(target_env = "gnu")]
pub fn share() {
    // SAFETY: it takes two numbers, the first of which names the parameter.
    let taken = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    if taken == 0 {
        tracing::debug!("the C library keeps an arena a thread, ignoring");
    }
    // By itself it lets this grow to the largest block that was ever freed: whole files and answers would
    // come to lie in the arena, between what stays.
    // SAFETY: as above.
    let taken = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10) };
    if taken == 0 {
        tracing::debug!("the C library keeps large blocks in its arena, ignoring");
    }
}

/// Other C libraries have other arenas.
#[cfg(not(target_env = "gnu"))]
pub fn share() {}

/// Gives back what is free. Takes a time that grows with what was used: to be called after large work is
/// done, not in the middle of it.
#[cfg(target_env = "gnu")]
pub fn give_back() {
    // SAFETY: any thread may call it at any time; it takes the locks of the arenas itself, and touches
    // pages alone on which nothing lies that is in use.
    let _whether_there_was_any = unsafe { libc::malloc_trim(0) };
}

/// Other C libraries give back by themselves.
#[cfg(not(target_env = "gnu"))]
pub fn give_back() {}

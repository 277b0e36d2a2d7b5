//! A folder for what a test or a tool lays down.

/// In memory where there is one: it is quick, what is written there need not be durable, and its file system
/// has an identity of its own whatever the machine's drives are.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_none| tempfile::tempdir())
        .unwrap()
}

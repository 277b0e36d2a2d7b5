//! Changes below the work_dir and the roots, as the agent makes them.
#![expect(
    clippy::disallowed_methods,
    reason = "the stand-in does what the agent does, by name and without fsync"
)]

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

/// Writes a file as Mesos checkpoints one: a temporary name beside it, 0600, no fsync, rename.
pub(crate) fn checkpoint(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().context("a file has a folder")?;
    std::fs::create_dir_all(folder)?;
    let random = uuid::Uuid::new_v4().simple().to_string();
    let temporary = folder.join(random.chars().take(6).collect::<String>());
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?
        .write_all(bytes)?;
    rename(&temporary, path)
}

/// Renames a file.
pub(crate) fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::rename(from, to)
        .with_context(|| format!("Failed to rename {} to {}", from.display(), to.display()))
}

/// The bytes of a file, if there is one.
pub(crate) fn read(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("Failed to read {}", path.display())),
    }
}

/// `mkdir -p`: what lies there already is taken over as it is.
pub(crate) fn make(path: &Path) -> std::io::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    std::fs::create_dir_all(path)
}

/// Deletes a volume as the agent does: a walk that stays on no file system and follows no links, to
/// the first error. Of a MOUNT the directory stays.
pub(crate) fn delete(path: &Path, keep_root: bool, pause: Duration) -> std::io::Result<()> {
    std::thread::sleep(pause);
    if !path.symlink_metadata()?.is_dir() {
        return std::fs::remove_file(path);
    }
    for entry in std::fs::read_dir(path)? {
        delete(&entry?.path(), false, pause)?;
    }
    if keep_root {
        return Ok(());
    }
    std::fs::remove_dir(path)
}

/// The names in a folder; none where there is no such folder.
pub(crate) fn names(folder: &Path) -> std::io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Whether something is mounted at exactly this path, as `/proc/self/mounts` has it.
pub(crate) fn is_mounted(path: &Path) -> anyhow::Result<bool> {
    let real = path
        .canonicalize()
        .with_context(|| format!("Failed to determine `realpath` for {}", path.display()))?;
    let text = std::fs::read_to_string("/proc/self/mounts")?;
    Ok(text.lines().any(|line| {
        line.split(' ')
            .nth(1)
            .is_some_and(|at| at.replace("\\040", " ") == real.to_string_lossy())
    }))
}

/// Replaces a symbolic link.
pub(crate) fn link(target: &Path, link: &Path) -> anyhow::Result<()> {
    if link.symlink_metadata().is_ok() {
        std::fs::remove_file(link)?;
    }
    Ok(std::os::unix::fs::symlink(target, link)?)
}

/// Removes the socket of an earlier life.
pub(crate) fn remove_socket(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} is in the way", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

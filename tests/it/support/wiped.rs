//! The engine of the wipe on a directory that is named by its path: what a test or a measurement does, and
//! the program never.

use std::path::Path;

use mesos_volumed::act::sys::{Kernel, Sys as _};
use mesos_volumed::act::volume_dir::VolumeDir;
use mesos_volumed::act::wipe::{Control, Extent, Options, Progress, WipeReport, wipe};
use mesos_volumed::decide::facts::WipeMethod;

#[cfg_attr(not(test), expect(clippy::panic, reason = "made for tests"))]
#[cfg_attr(test, expect(clippy::duplicate_mod, reason = "tests have it too"))]
#[path = "authorize.rs"]
mod authorize;

/// Wipes the directory, itself included.
pub(crate) fn wiped(
    kernel: Kernel,
    directory: &Path,
    method: WipeMethod,
    control: &Control,
) -> WipeReport {
    let name = directory.file_name().unwrap().as_encoded_bytes();
    let parent = kernel.open_root(directory.parent().unwrap()).unwrap();
    let identity = kernel
        .identity(&kernel.open_child(&parent, name).unwrap())
        .unwrap();
    let volume = VolumeDir::open(&kernel, &parent, &[name], &identity).unwrap();
    let options = Options {
        extent: Extent::Tree,
        method,
    };
    let authorization = authorize::authorize(&identity);
    wipe(
        &kernel,
        volume,
        &authorization,
        options,
        control,
        &Progress::default(),
    )
}

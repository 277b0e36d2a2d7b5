//! The engine alone, in a process of its own: no configuration, no plan, no trash; one directory.

use std::path::Path;

use mesos_volumed::act::sys::{Kernel, Sys as _};
use mesos_volumed::act::volume_dir::VolumeDir;
use mesos_volumed::act::wipe::{Control, Extent, Guarantee, Options, Progress, wipe};
use mesos_volumed::decide::facts::{WipeMethod, WipeMode};

#[expect(clippy::panic, reason = "made for tests")]
#[path = "../../it/support/authorize.rs"]
mod authorize;

/// `engine DIRECTORY THREADS [overwrite|overwrite-unread]`: the latter does not read back.
pub(crate) fn run(args: &[String]) {
    let path = Path::new(&args[0]);
    let kernel = Kernel::new();
    let name = path.file_name().unwrap().as_encoded_bytes();
    let parent = kernel.open_root(path.parent().unwrap()).unwrap();
    let identity = kernel
        .identity(&kernel.open_child(&parent, name).unwrap())
        .unwrap();
    let volume = VolumeDir::open(&kernel, &parent, &[name], &identity).unwrap();
    let options = Options {
        extent: Extent::Tree,
        method: WipeMethod {
            mode: match args.get(2) {
                None => WipeMode::Unlink,
                Some(_) => WipeMode::Overwrite,
            },
            verify: args.get(2).is_none_or(|mode| mode == "overwrite"),
            ..WipeMethod::UNLINK
        },
    };
    let report = wipe(
        &kernel,
        volume,
        &authorize::authorize(&identity),
        options,
        &Control::new(0).with_threads(args[1].parse().unwrap()),
        &Progress::default(),
    );
    if !report.complete || report.proof.guarantee != Guarantee::Guaranteed {
        super::panic_with(&format!("{report:?}"));
    }
}

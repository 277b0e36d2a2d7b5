//! The engine alone, in a process of its own: no configuration, no plan, no trash; one directory.

use std::path::Path;

use mesos_volumed::act::sys::Kernel;
use mesos_volumed::act::wipe::{Control, Guarantee};
use mesos_volumed::decide::facts::{WipeMethod, WipeMode};
use mesos_volumed::sys::heap;

#[path = "../../it/support/wiped.rs"]
mod wiped;

/// `engine DIRECTORY THREADS [overwrite|overwrite-unread]`: the latter does not read back.
pub(crate) fn run(args: &[String]) {
    // As what wipes does.
    heap::share();
    let method = WipeMethod {
        mode: match args.get(2) {
            None => WipeMode::Unlink,
            Some(_) => WipeMode::Overwrite,
        },
        verify: args.get(2).is_none_or(|mode| mode == "overwrite"),
        ..WipeMethod::UNLINK
    };
    let control = Control::new(0).with_threads(args[1].parse().unwrap());
    let report = wiped::wiped(Kernel::new(), Path::new(&args[0]), method, &control);
    if !report.complete || report.proof.guarantee != Guarantee::Guaranteed {
        super::panic_with(&format!("{report:?}"));
    }
}

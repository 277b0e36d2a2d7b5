//! The `mesos-volumed` command; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesos_volumed::cli::main()
}

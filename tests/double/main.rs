//! A stand-in for a Mesos agent, as far as files and HTTP show one: for the demo and for tests.
//!
//! Started with `argv[0]` = `mesos-agent` it *is* the agent: it takes the agent's flags
//! (`--work_dir=…`, `--resources=…`), keeps `meta/` byte for byte in the agent's formats and in the
//! agent's order of writes, makes and deletes volume directories, rewrites `meta/boot_id` at each
//! start, and answers `/state`. There is no master; what a master would send comes in over a unix
//! socket. Started under its own name it is the client of that socket:
//!
//! ```text
//! (exec -a mesos-agent stand-in-agent --work_dir=/w --resources=file:///r.json --control=/c.sock) &
//! stand-in-agent --control /c.sock create db/v1 --disk ROOT --size 64
//! ```
//!
//! Two generations are told apart by `--as_version`: since 1.9 (state and target files, an operation
//! is PENDING, then FINISHED; data are deleted before the change is committed), and before 1.0
//! (`resources.info` alone; data are never deleted).

mod agent;
mod answer;
mod control;
mod files;
mod flags;
mod meta;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    let ended = if is_agent(&name) {
        agent::run(flags::Flags::parse())
    } else {
        control::ask(&control::Client::parse())
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            drop(writeln!(std::io::stderr(), "{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn is_agent(name: &OsString) -> bool {
    matches!(
        Path::new(name).file_name().and_then(|name| name.to_str()),
        Some("mesos-agent" | "mesos-slave" | "lt-mesos-agent" | "lt-mesos-slave")
    )
}

//! Stand-ins for a Mesos agent, a master and Marathon, as far as files and HTTP show them: for the
//! demo and for tests.
//!
//! What the program is depends on the name that it is started under (`argv[0]`).
//!
//! * `mesos-agent` or `mesos-slave`: the agent. It takes the agent's flags (`--work_dir=…`,
//!   `--resources=…`), keeps `meta/` byte for byte in the agent's formats and in the agent's order of
//!   writes, makes and deletes volume directories, rewrites `meta/boot_id` at each start, and answers
//!   HTTP. Orders come in over a unix socket (`--control`), from a stand-in master or by hand.
//!   `--as_version` tells which version's files and order of writes it has.
//! * `mesos-master`: the master, and with `--marathon_port` Marathon beside it. Agents register with
//!   it by `--master=host:port`.
//! * Any other name: the client of an agent's socket.
//!
//! ```text
//! (exec -a mesos-master stand-in-agent --port=5050 --marathon_port=8080) &
//! (exec -a mesos-agent stand-in-agent --master=127.0.0.1:5050 --work_dir=/w \
//!     --resources=file:///r.json --control=/c.sock) &
//! stand-in-agent --control /c.sock create db/v1 --disk ROOT --size 64
//! ```
//!
//! Tests have the same code inside of them (`tests/it/main.rs`).

#[expect(dead_code, reason = "tests use more of it than the program does")]
#[path = "parts.rs"]
mod parts;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    let ended = match name_of(&name) {
        "mesos-agent" | "mesos-slave" | "lt-mesos-agent" | "lt-mesos-slave" => {
            parts::agent::run(parts::flags::Flags::parse())
        }
        "mesos-master" => parts::cluster::run(&parts::cluster::Flags::parse()),
        _ => parts::control::ask(&parts::control::Client::parse()),
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

fn name_of(name: &OsString) -> &str {
    Path::new(name)
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

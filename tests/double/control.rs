//! What a master would send, over a unix socket: one line of JSON there, one line of text back.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use mesos_volumed::mesos::resource::Resource;

use super::agent::Running;
use super::change::Change;
use super::files;
use super::steps::Step;

/// Speaks to a running stand-in. To start one, run this program as `mesos-agent`.
#[derive(Debug, clap::Parser)]
#[command(name = "stand-in-agent")]
pub(crate) struct Client {
    /// The agent's socket.
    #[arg(long)]
    control: PathBuf,
    #[command(subcommand)]
    order: Order,
}

/// An operation on the agent's resources.
#[derive(Clone, Debug, Serialize, Deserialize, clap::Subcommand)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// RESERVE: takes disk out of what is unreserved.
    Reserve {
        role: String,
        #[command(flatten)]
        disk: Disk,
    },
    /// UNRESERVE: gives reserved disk back.
    Unreserve {
        role: String,
        #[command(flatten)]
        disk: Disk,
    },
    /// CREATE: makes a volume of reserved disk.
    Create {
        /// role/persistence-id
        volume: String,
        #[command(flatten)]
        disk: Disk,
        #[arg(long, default_value = "data")]
        container_path: String,
        #[arg(long)]
        principal: Option<String>,
    },
    /// DESTROY: the volume's data go, then its name.
    Destroy {
        /// role/persistence-id
        volume: String,
        /// Deletes nothing, and commits all the same: what a power cut after the commit, or a disk
        /// that was away, leaves behind.
        #[arg(long)]
        keep_data: bool,
        /// Stops once the operation is checkpointed as PENDING.
        #[arg(long, conflicts_with = "keep_data")]
        pending_only: bool,
    },
    /// CREATE that stops once it is checkpointed as PENDING.
    CreatePending {
        /// role/persistence-id
        volume: String,
        #[command(flatten)]
        disk: Disk,
        #[arg(long, default_value = "data")]
        container_path: String,
    },
    /// An operation as a master sends it.
    #[command(skip)]
    Apply { change: Box<Change> },
    /// All that is reserved, as masters tell agents that are not RESOURCE_PROVIDER capable.
    #[command(skip)]
    Checkpoint { resources: Vec<Resource> },
    /// Carries out what is PENDING.
    Finish,
    /// The master acknowledged operations that have ended: they leave the checkpoint.
    Acknowledge {
        /// Their uuids; without any, all of them.
        operations: Vec<String>,
    },
    /// Launches a task with this volume, as far as files show it.
    Launch {
        /// role/persistence-id
        volume: String,
        task: String,
    },
    /// Launches a task with these resources, as far as files show it.
    #[command(skip)]
    LaunchTask {
        task: String,
        framework: String,
        resources: Vec<Resource>,
    },
    /// The task's run ends.
    Kill { task: String },
    /// A storage provider of the agent has this volume.
    Provide {
        provider: String,
        /// role/persistence-id
        volume: String,
        #[command(flatten)]
        disk: Disk,
    },
    /// The agent ends as in a crash, right after this step is done for the next time.
    CrashAfter { step: Step },
    /// So many microseconds pass at each entry that a DESTROY deletes.
    DeletePause { microseconds: u64 },
    /// What HTTP does wrong from now on, as JSON; `{}` for nothing.
    Faults { json: String },
    /// Lists what is held.
    Show,
}

/// A part of a disk.
#[derive(Clone, Debug, Serialize, Deserialize, clap::Args)]
pub(crate) struct Disk {
    /// ROOT, PATH:/root or MOUNT:/root
    #[arg(long)]
    pub(crate) disk: String,
    /// In MB of 2^20 bytes, to three decimals.
    #[arg(long)]
    pub(crate) size: f64,
}

/// Sends one order and prints the answer.
pub(crate) fn ask(client: &Client) -> anyhow::Result<()> {
    let answer = send(&client.control, &client.order)?;
    Ok(std::io::stdout().write_all(answer.as_bytes())?)
}

/// Takes orders until the process ends. One at a time: an agent is one actor.
pub(crate) fn serve(socket: &PathBuf, running: &Running) -> anyhow::Result<()> {
    files::remove_socket(socket)?;
    let listener = UnixListener::bind(socket)
        .with_context(|| format!("{} can't be listened on", socket.display()))?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line)?;
        let answer: Result<String, String> = match serde_json::from_str::<Order>(&line) {
            Ok(order) => running.order(&order).map_err(|error| format!("{error:#}")),
            Err(error) => Err(error.to_string()),
        };
        if running.is_dead() {
            bail!(answer.err().unwrap_or_else(|| "crashed".to_owned()));
        }
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        // A client that went away does not end the agent.
        drop(stream.write_all(&line));
    }
    Ok(())
}

/// Sends an order to an agent's socket.
pub(crate) fn send(socket: &std::path::Path, order: &Order) -> anyhow::Result<String> {
    let mut stream = UnixStream::connect(socket)
        .with_context(|| format!("no agent listens at {}", socket.display()))?;
    let mut line = serde_json::to_vec(order)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    let answer: Result<String, String> =
        serde_json::from_str(&answer).context("the agent ended while it carried this out")?;
    answer.map_err(anyhow::Error::msg)
}

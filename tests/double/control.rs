//! What a master would send, over a unix socket: one line of JSON there, one line of text back.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use crate::agent::Agent;
use crate::files;

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
    /// Carries out what is PENDING.
    Finish,
    /// The master acknowledged every operation that has ended: they leave the checkpoint.
    Acknowledge,
    /// Launches a task with this volume, as far as files show it.
    Launch {
        /// role/persistence-id
        volume: String,
        task: String,
    },
    /// The task's run ends.
    Kill { task: String },
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
    let mut stream = UnixStream::connect(&client.control)
        .with_context(|| format!("no agent listens at {}", client.control.display()))?;
    let mut line = serde_json::to_vec(&client.order)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    let answer: Result<String, String> =
        serde_json::from_str(&answer).context("the agent ended while it carried this out")?;
    match answer {
        Ok(text) => Ok(std::io::stdout().write_all(text.as_bytes())?),
        Err(text) => bail!(text),
    }
}

/// Takes orders until the process ends. One at a time: an agent is one actor.
pub(crate) fn serve(socket: &PathBuf, agent: &Mutex<Agent>) -> anyhow::Result<()> {
    files::remove_socket(socket)?;
    let listener = UnixListener::bind(socket)
        .with_context(|| format!("{} can't be listened on", socket.display()))?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line)?;
        let answer: Result<String, String> = match serde_json::from_str::<Order>(&line) {
            Ok(order) => agent
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .obey(&order)
                .map_err(|error| format!("{error:#}")),
            Err(error) => Err(error.to_string()),
        };
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        // A client that went away does not end the agent.
        drop(stream.write_all(&line));
    }
    Ok(())
}

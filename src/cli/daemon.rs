//! The running daemon, asked through its socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::progress::Progress as Line;
use super::{Exit, WithExit};
use crate::daemon::answers::Failure;
use crate::daemon::answers::jobs::Jobs;
use crate::units::Raw;

/// The largest answer that is read: that of a host with a hundred thousand volumes is smaller.
const LARGEST: usize = 1 << 30;

/// How often jobs are asked for while something is waited for.
const LOOKS: Duration = Duration::from_millis(500);

/// A daemon that answers.
#[derive(Debug)]
pub(super) struct Daemon {
    socket: PathBuf,
    runtime: tokio::runtime::Runtime,
}

impl Daemon {
    /// The one that answers at this socket; `None` where nobody does. With `pid` it must be that
    /// process: one of another `state_dir` has to do with another host's volumes, or another test's.
    pub(super) fn at(socket: &Path, pid: Option<u32>) -> anyhow::Result<Option<Self>> {
        let stream = match std::os::unix::net::UnixStream::connect(socket) {
            Ok(stream) => stream,
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(None);
            }
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("the daemon's socket {} can't be opened", socket.display())
                });
            }
        };
        let peer = rustix::net::sockopt::socket_peercred(&stream)
            .with_context(|| format!("who answers at {} can't be told", socket.display()))?;
        let own = rustix::process::geteuid();
        if !peer.uid.is_root() && peer.uid != own {
            bail!(
                "user {}, who is not root, answers at {}; it was not asked",
                peer.uid.as_raw(),
                socket.display()
            );
        }
        let found = u32::try_from(peer.pid.as_raw_pid()).ok();
        if pid.is_some() && pid != found {
            return Ok(None);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("the daemon can't be asked")?;
        Ok(Some(Self {
            socket: socket.to_owned(),
            runtime,
        }))
    }

    /// What it answers to GET.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let asked = ask(&self.socket, Method::GET, path, Bytes::new());
        let (status, body) = self.runtime.block_on(asked)?;
        read(path, status, &body)
    }

    /// What it answers to POST, when it is done; meanwhile a line on a terminal tells how far its
    /// jobs are.
    pub(super) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> anyhow::Result<T> {
        let body = Bytes::from(body.to_string());
        let asked = async {
            let answer = ask(&self.socket, Method::POST, path, body);
            tokio::pin!(answer);
            let mut line = Line::new();
            loop {
                tokio::select! {
                    answer = &mut answer => return answer,
                    () = tokio::time::sleep(LOOKS), if line.draws() => {
                        let jobs = ask(&self.socket, Method::GET, "/v1/jobs", Bytes::new()).await;
                        let jobs = jobs.and_then(|(status, body)| read::<Jobs>("/v1/jobs", status, &body));
                        // Not worth a word: the answer is what counts.
                        if let Some(job) = jobs.ok().and_then(|jobs| jobs.jobs.into_iter().next()) {
                            line.show(|| job.text);
                        }
                    }
                }
            }
        };
        let (status, body) = self.runtime.block_on(asked)?;
        read(path, status, &body)
    }
}

async fn ask(
    socket: &Path,
    method: Method,
    path: &str,
    body: Bytes,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let gone = || format!("the daemon at {} does not answer", socket.display());
    let stream = UnixStream::connect(socket).await.with_context(gone)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .with_context(gone)?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "localhost")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .context("the daemon can't be asked")?;
    let ended = || {
        format!(
            "the daemon at {} ended before it answered; what was begun goes on at its next start",
            socket.display()
        )
    };
    let answer = sender.send_request(request).await.with_context(ended)?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LARGEST)
        .collect()
        .await
        .map_err(|error| anyhow!(error))
        .with_context(ended)?
        .to_bytes();
    connection.abort();
    Ok((status, body))
}

/// The answer; one that says no becomes the error that the command would have had itself.
fn read<T: DeserializeOwned>(path: &str, status: StatusCode, body: &[u8]) -> anyhow::Result<T> {
    if status.is_success() {
        return serde_json::from_slice(body).with_context(|| {
            format!("the daemon's answer to {path} is not understood; is it of another version?")
        });
    }
    let said = match serde_json::from_slice::<Failure>(body) {
        Ok(failure) => failure.error,
        Err(_no_json) => Raw::from(body).to_string(),
    };
    let exit = match status {
        StatusCode::BAD_REQUEST => Exit::Usage,
        StatusCode::CONFLICT | StatusCode::FORBIDDEN => Exit::Refused,
        _ => Exit::Error,
    };
    Err(anyhow!("{said}")).exit(exit)
}

//! Where the daemon is asked: the address and the socket, tried again where they can't be had.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::after;
use super::api::Api;
use super::http::{self, Server};
use crate::act::socket::Socket;
use crate::config::Settings;
use crate::units::chain;

/// How often what can't be had is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// Both doors. Dropped, they are closed, and the socket is taken away.
pub(super) struct Listen {
    address: Door<SocketAddr>,
    socket: Door<(PathBuf, String)>,
}

/// One of them.
struct Door<T> {
    /// Where it is to be; `None`: nowhere.
    at: Option<T>,
    open: Option<Open>,
    /// When it is tried next.
    due: Instant,
    /// What was said of it last: a line a change.
    said: String,
}

/// What keeps it open. The socket goes after the server, whose listener it is.
struct Open {
    _server: Server,
    _socket: Option<Socket>,
}

impl<T: PartialEq> Door<T> {
    fn new(at: Option<T>) -> Self {
        Self {
            at,
            open: None,
            due: Instant::now(),
            said: String::new(),
        }
    }

    fn set(&mut self, at: Option<T>) {
        if self.at != at {
            *self = Self::new(at);
        }
    }

    /// Where it is to be opened now.
    fn wanted(&self) -> Option<&T> {
        self.at
            .as_ref()
            .filter(|_| self.open.is_none() && Instant::now() >= self.due)
    }

    /// What can't be had keeps no disk from being looked after; that it can't, is said loudly.
    fn failed(&mut self, said: impl Display) {
        self.due = after(Instant::now(), AGAIN);
        let said = said.to_string();
        if self.said != said {
            tracing::error!("{said}");
            self.said = said;
        }
    }
}

fn socket_of(settings: &Settings) -> Option<(PathBuf, String)> {
    let path = settings.daemon.socket.clone()?;
    Some((path, settings.daemon.socket_group.clone()))
}

impl Listen {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            address: Door::new(settings.daemon.listen),
            socket: Door::new(socket_of(settings)),
        }
    }

    pub(super) fn set(&mut self, settings: &Settings) {
        self.address.set(settings.daemon.listen);
        self.socket.set(socket_of(settings));
    }

    /// Opens what is to be open and is not yet.
    pub(super) async fn serve(&mut self, api: &Arc<Api>) {
        self.serve_socket(api);
        let Some(address) = self.address.wanted().copied() else {
            return;
        };
        match http::serve_tcp(address, Arc::clone(api)).await {
            Ok((server, address)) => {
                tracing::info!(
                    "the status page is at http://{address}/, metrics are at \
                     http://{address}/metrics"
                );
                if !address.ip().is_loopback() {
                    tracing::warn!(
                        "daemon.listen = \"{address}\" is beyond this host: whoever reaches it can \
                         read the metrics, and the names of volumes and disks"
                    );
                }
                self.address.open = Some(Open {
                    _server: server,
                    _socket: None,
                });
            }
            Err(error) => self.address.failed(format_args!(
                "daemon.listen = \"{address}\" can't be had: {error}; there are no metrics, no \
                 health and no status page until it can"
            )),
        }
    }

    fn serve_socket(&mut self, api: &Arc<Api>) {
        let Some((path, group)) = self.socket.wanted() else {
            return;
        };
        let gid = group_id(group);
        let opened = Socket::listen(path, gid)
            .map_err(|error| chain(&error))
            .and_then(|(socket, listener)| {
                let server = http::serve_unix(listener, Arc::clone(api));
                Ok((socket, server.map_err(|error| error.to_string())?))
            });
        match opened {
            Ok((socket, server)) => {
                let who = if gid.is_some() { group } else { "root" };
                tracing::info!("the API is at {}, for group {who}", socket.path().display());
                self.socket.open = Some(Open {
                    _server: server,
                    _socket: Some(socket),
                });
            }
            Err(error) => self.socket.failed(format_args!(
                "the API's socket can't be had: {error}; `mesos-volumed status`, and commands that \
                 change something, can't ask this daemon until it can"
            )),
        }
    }
}

/// The group of the socket; `None` leaves it to root.
fn group_id(name: &str) -> Option<u32> {
    if name.is_empty() {
        return None;
    }
    match nix::unistd::Group::from_name(name) {
        Ok(Some(group)) => Some(group.gid.as_raw()),
        Ok(None) => {
            tracing::warn!(
                "there is no group {name} (daemon.socket_group): the API's socket is for root alone"
            );
            None
        }
        Err(error) => {
            tracing::warn!(%error, "group {name} can't be looked up: the API's socket is for root alone");
            None
        }
    }
}

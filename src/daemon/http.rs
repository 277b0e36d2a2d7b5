//! How the daemon is asked over HTTP: on `daemon.listen` (TCP) and on `daemon.socket` (Unix).
//!
//! Bounded in every direction: connections, size and time of a request's head and body, time that an
//! answer may take to be read. Only computing an answer is not: who asks for a sweep over the socket
//! is told when it has ended. What is answered stands in [`super::api`].

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{self, AGE, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::after;
use super::api::{Api, Door, Peer};
use super::events::Events;
use super::page;

/// How many are served at once at each door; of the socket so many of root and so many of others.
const CONNECTIONS: usize = 16;
/// How long a request's head may take to arrive, and again its body.
const REQUEST: Duration = Duration::from_secs(2);
/// How long a connection may last beside the computing of its answer.
const CONNECTION: Duration = Duration::from_secs(10);
/// How long a stream of events may last; the browser then asks for the next one.
pub(super) const STREAM: Duration = Duration::from_mins(10);
/// How long an answer may take to be read.
const READING: Duration = Duration::from_secs(30);
/// The most bytes of a request's head.
const HEAD: usize = 8 << 10;
/// The most bytes of a request's body.
const BODY: usize = 64 << 10;
/// The most headers.
const HEADERS: usize = 64;
/// How long after a failed accept (no descriptors left) the next one waits.
const RESPITE: Duration = Duration::from_millis(200);

/// What is asked.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    /// Empty unless it was asked by POST through the socket.
    pub(super) body: Bytes,
    pub(super) door: Door,
}

/// What is answered.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) body: Bytes,
    /// The methods there are, where another one was used.
    pub(super) allow: Option<&'static str>,
    /// How many seconds old it is, where it is not of now.
    pub(super) age: Option<u64>,
    /// What follows the body, as it comes.
    pub(super) events: Option<Events>,
}

/// What is sent: a whole text, or events as they come.
#[derive(Debug)]
enum Sent {
    Whole(Option<Bytes>),
    Events(Events),
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match self.get_mut() {
            Self::Whole(text) => text.take(),
            Self::Events(events) => std::task::ready!(events.poll(context)),
        };
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(text) => {
                let length = text.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Self::Events(_) => SizeHint::new(),
        }
    }
}

/// The media type of sentences.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

impl Reply {
    /// A sentence.
    pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Self {
        let mut text = text.into();
        text.push('\n');
        Self {
            status,
            kind: TEXT,
            body: text.into(),
            allow: None,
            age: None,
            events: None,
        }
    }

    /// A text of this type.
    pub(super) fn of(kind: &'static str, text: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            kind,
            body: text.into(),
            allow: None,
            age: None,
            events: None,
        }
    }

    fn response(self) -> Response<Sent> {
        let sent = match self.events {
            Some(events) => Sent::Events(events),
            None => Sent::Whole(Some(self.body).filter(|text| !text.is_empty())),
        };
        let mut response = Response::new(sent);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // For a browser: what is answered is what it says it is, runs nothing of anybody else's, is
        // shown in nobody's frame and tells nobody where somebody came from.
        for (name, value) in [
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CONTENT_SECURITY_POLICY, page::POLICY),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::REFERRER_POLICY, "no-referrer"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        for (name, value) in [
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(age) = self.age {
            headers.insert(AGE, HeaderValue::from(age));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from(1_u32));
        }
        response
    }
}

/// A server that runs; dropped, it ends, with its connections.
#[derive(Debug)]
pub(super) struct Server(JoinHandle<()>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Listens at this address, and says at which: the port that was given, where 0 was asked for.
///
/// # Errors
/// Where the address can't be bound, such as when another process has it.
pub(super) async fn serve_tcp(
    address: SocketAddr,
    api: Arc<Api>,
) -> std::io::Result<(Server, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(async move {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        // Dropped with this task, it ends the connections.
        let mut connections = JoinSet::new();
        loop {
            // Who comes too many waits.
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Door::Tcp, Arc::clone(&api), slot));
                }
                Err(error) => not_taken(&error).await,
            }
            while connections.try_join_next().is_some() {}
        }
    });
    Ok((Server(task), address))
}

/// Answers at this socket.
///
/// # Errors
/// Where it can't be taken into the runtime.
pub(super) fn serve_unix(listener: StdUnixListener, api: Arc<Api>) -> std::io::Result<Server> {
    let listener = UnixListener::from_std(listener)?;
    Ok(Server(tokio::spawn(async move {
        let of_root = Arc::new(Semaphore::new(CONNECTIONS));
        let of_others = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    not_taken(&error).await;
                    continue;
                }
            };
            let peer = match stream.peer_cred() {
                Ok(peer) => Peer {
                    uid: peer.uid(),
                    pid: peer.pid(),
                },
                Err(error) => {
                    tracing::debug!(%error, "who connected can't be told, ignoring");
                    continue;
                }
            };
            // Others can keep root waiting in no way: they have places of their own, and who finds
            // none is sent away.
            let slots = if peer.is_root() { &of_root } else { &of_others };
            match Arc::clone(slots).try_acquire_owned() {
                Ok(slot) => {
                    let door = Door::Socket(peer);
                    connections.spawn(connection(stream, door, Arc::clone(&api), slot));
                }
                Err(_full) => tracing::debug!(uid = peer.uid, "too many connections, ignoring"),
            }
            while connections.try_join_next().is_some() {}
        }
    })))
}

async fn not_taken(error: &std::io::Error) {
    tracing::debug!(%error, "a connection could not be taken, ignoring");
    tokio::time::sleep(RESPITE).await;
}

async fn connection<S>(stream: S, door: Door, api: Arc<Api>, slot: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // When it ends at the latest; never while an answer is computed.
    let (until, ends) = watch::channel(Some(after(Instant::now(), CONNECTION)));
    let until = Arc::new(until);
    let slot = Arc::new(Mutex::new(Some(slot)));
    let service = service_fn(move |request: Request<Incoming>| {
        let (api, until, slot) = (Arc::clone(&api), Arc::clone(&until), Arc::clone(&slot));
        async move {
            let reply = match read(request, door).await {
                Ok(asked) => {
                    until.send_replace(None);
                    let reply = api.answer(asked).await;
                    let mut span = READING;
                    if reply.events.is_some() {
                        // It has a place of its own from now on, so that those who only look can't
                        // keep a probe waiting.
                        span = STREAM.saturating_add(READING);
                        drop(slot.lock().unwrap_or_else(PoisonError::into_inner).take());
                    }
                    until.send_replace(Some(after(Instant::now(), span)));
                    reply
                }
                Err(reply) => reply,
            };
            Ok::<_, Infallible>(reply.response())
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST)
        .keep_alive(false)
        .max_buf_size(HEAD)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        served = served => if let Err(error) = served {
            tracing::debug!(%error, "a request was not served, ignoring");
        },
        () = passed(ends) => tracing::debug!("a request took too long, ignoring"),
    }
}

/// Returns when the moment has come that is in force then.
async fn passed(mut ends: watch::Receiver<Option<Instant>>) {
    loop {
        let until = *ends.borrow_and_update();
        tokio::select! {
            changed = ends.changed() => if changed.is_err() {
                // The service is gone, and so is the connection.
                return std::future::pending().await;
            },
            () = async { match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }} => return,
        }
    }
}

/// Reads a request. The body is read only where one may matter.
async fn read(request: Request<Incoming>, door: Door) -> Result<Asked, Reply> {
    let (parts, body) = request.into_parts();
    let wanted = parts.method == Method::POST && matches!(door, Door::Socket(_));
    let body = if wanted {
        let whole = tokio::time::timeout(REQUEST, Limited::new(body, BODY).collect()).await;
        match whole {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                let status = StatusCode::PAYLOAD_TOO_LARGE;
                return Err(Reply::text(
                    status,
                    format!("a body has {BODY} bytes at most"),
                ));
            }
            Ok(Err(_)) => {
                return Err(Reply::text(
                    StatusCode::BAD_REQUEST,
                    "the body did not arrive whole",
                ));
            }
            Err(_elapsed) => {
                let status = StatusCode::REQUEST_TIMEOUT;
                return Err(Reply::text(status, "the body did not arrive in time"));
            }
        }
    } else {
        Bytes::new()
    };
    Ok(Asked {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        body,
        door,
    })
}

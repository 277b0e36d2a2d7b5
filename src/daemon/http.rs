//! What the daemon tells over TCP: `GET /metrics` and `GET /healthz`, and nothing that changes
//! anything.
//!
//! Bounded in every direction: connections, size and time of a request, time of an answer. A
//! request's body is never read.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::figures::{self, Figures};
use crate::observe::clock;

/// How many are served at once; further ones wait.
const CONNECTIONS: usize = 16;
/// How long a request may take to arrive.
const REQUEST: Duration = Duration::from_secs(2);
/// How long a connection may last in all.
const CONNECTION: Duration = Duration::from_secs(10);
/// The most bytes of a request's head.
const HEAD: usize = 8 << 10;
/// The most headers.
const HEADERS: usize = 64;
/// How long after a failed accept (no descriptors left) the next one waits.
const RESPITE: Duration = Duration::from_millis(200);

/// A server that runs; dropped, it ends, with its connections.
#[derive(Debug)]
pub struct Server {
    /// Where it listens: the port that was given, where 0 was asked for.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Listens at this address.
///
/// # Errors
/// Where the address can't be bound, such as when another process has it.
pub async fn serve(address: SocketAddr, figures: Figures) -> std::io::Result<Server> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(accept(listener, figures));
    Ok(Server { address, task })
}

async fn accept(listener: TcpListener, figures: Figures) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    // Dropped with this task, it ends the connections.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let figures = figures.clone();
                connections.spawn(async move {
                    let _slot = slot;
                    connection(stream, figures).await;
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection could not be taken, ignoring");
                tokio::time::sleep(RESPITE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, figures: Figures) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(request.method(), request.uri().path(), &figures);
        async move { Ok::<_, Infallible>(answer) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST)
        .keep_alive(false)
        .max_buf_size(HEAD)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a request was not served, ignoring"),
        Err(_elapsed) => tracing::debug!("a request took too long, ignoring"),
    }
}

fn answer(method: &Method, path: &str, figures: &Figures) -> Response<Full<Bytes>> {
    let now = clock::wall_seconds();
    let (status, kind, body) = match path {
        "/metrics" | "/healthz" if ![Method::GET, Method::HEAD].contains(method) => (
            StatusCode::METHOD_NOT_ALLOWED,
            TEXT,
            b"only GET and HEAD are answered\n".to_vec(),
        ),
        "/metrics" => match figures.text(now) {
            Ok(text) => (StatusCode::OK, figures::CONTENT_TYPE, text),
            Err(error) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                TEXT,
                format!("{error}\n").into_bytes(),
            ),
        },
        "/healthz" => match figures.trouble(now) {
            None => (StatusCode::OK, TEXT, b"ok\n".to_vec()),
            Some(trouble) => (
                StatusCode::SERVICE_UNAVAILABLE,
                TEXT,
                format!("{trouble}\n").into_bytes(),
            ),
        },
        _ => (
            StatusCode::NOT_FOUND,
            TEXT,
            b"there are /metrics and /healthz\n".to_vec(),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    headers.insert(
        CACHE_CONTROL,
        hyper::header::HeaderValue::from_static("no-store"),
    );
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
    }
    response
}

const TEXT: &str = "text/plain; charset=utf-8";

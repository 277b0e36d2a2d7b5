//! The transport against small servers: whom it trusts and follows, what it sends again, and that
//! it shows no secret.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use super::*;

const LIMITS: Limits = Limits {
    connect: Duration::from_secs(2),
    total: Duration::from_secs(2),
    body: 1 << 20,
};

fn read_request(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if let Some(end) = text.find("\r\n\r\n") {
            let length = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.trim().parse::<usize>().unwrap());
            if bytes.len() >= end + 4 + length {
                break;
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn response(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
        body.len()
    )
}

/// Answers each connection with the next of these; the last one is given again and again. What was
/// asked comes through the channel.
fn server(answers: Vec<String>) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for (count, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let request = read_request(&mut stream);
            if sender.send(request).is_err() {
                return;
            }
            let answer = &answers[count.min(answers.len() - 1)];
            // Who was not interested in the answer has gone.
            let _sent = stream.write_all(answer.as_bytes());
        }
    });
    (url, receiver)
}

/// An address where nothing listens.
fn nowhere() -> String {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", free.local_addr().unwrap())
}

fn site(urls: &[String], access: &Access) -> Site {
    Site::new("master", "master.urls", urls, access, LIMITS).unwrap()
}

fn as_ops() -> Access {
    Access {
        basic: Some(("ops".to_owned(), Secret::new("s3cret"))),
        ..Access::default()
    }
}

fn post() -> Request {
    Request::post("/api/v1", &json!({"type": "CREATE_VOLUMES"}))
}

#[test]
fn a_call_follows_the_masters_to_their_leader_with_body_and_credentials() {
    let (leader, asked) = server(vec![response("202 Accepted", "", "")]);
    let host = leader.trim_start_matches("http://");
    for location in [format!("//{host}"), format!("//{host}/api/v1")] {
        let (follower, first) = server(vec![response(
            "307 Temporary Redirect",
            &format!("Location: {location}\r\n"),
            "",
        )]);
        let site = site(&[nowhere(), follower], &as_ops());
        let told = site.call(&post()).unwrap();
        assert_eq!((told.answer.status, &told.by), (202, &leader));
        assert!(
            first
                .recv()
                .unwrap()
                .starts_with("POST /api/v1 HTTP/1.1\r\n")
        );
        let request = asked.recv().unwrap();
        assert!(
            request.starts_with("POST /api/v1 HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(
            request.ends_with("{\"type\":\"CREATE_VOLUMES\"}"),
            "{request}"
        );
        // base64 of `ops:s3cret`.
        assert!(request.contains("Basic b3BzOnMzY3JldA=="), "{request}");
        // The next call goes there at once.
        assert_eq!(site.leader(), Some(leader.clone()));
        site.call(&post()).unwrap();
        asked.recv().unwrap();
        assert!(first.try_recv().is_err());
    }
}

#[test]
fn masters_that_send_us_to_one_another_are_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            read_request(&mut stream);
            let answer = response("307 x", &format!("Location: //{address}\r\n"), "");
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let error = site(&[format!("http://{address}")], &Access::default())
        .call(&post())
        .unwrap_err();
    assert!(
        error.to_string().contains("send us to one another"),
        "{error}"
    );
    assert!(error.changed_nothing());
}

#[test]
fn a_call_that_may_have_been_taken_is_never_sent_twice() {
    // The connection ends without an answer.
    let (url, asked) = server(vec![String::new()]);
    let other = server(vec![response("202 Accepted", "", "")]);
    let error = site(&[url.clone(), other.0.clone()], &Access::default())
        .call(&post())
        .unwrap_err();
    assert!(matches!(error, SiteError::Unclear { .. }), "{error}");
    assert!(!error.changed_nothing());
    assert_eq!(asked.iter().take(1).count(), 1);
    assert!(asked.try_recv().is_err() && other.1.try_recv().is_err());
    // A question may be put again, elsewhere.
    let site = site(&[url, other.0], &Access::default());
    assert_eq!(site.ask(&post()).unwrap().answer.status, 202);
    assert!(other.1.recv().is_ok());
}

#[test]
fn a_server_that_serves_nobody_now_is_asked_again() {
    let (url, asked) = server(vec![
        response("503 Service Unavailable", "", "No leader elected"),
        response("202 Accepted", "", ""),
    ]);
    site(&[url], &Access::default()).call(&post()).unwrap();
    assert_eq!(asked.iter().take(2).count(), 2);
    let (url, _asked) = server(vec![response("503 x", "", "No leader elected")]);
    let error = site(&[url], &Access::default()).call(&post()).unwrap_err();
    assert!(
        matches!(&error, SiteError::NotTaken { why, .. } if why.len() == 1),
        "{error:?}"
    );
    assert!(error.to_string().contains("No leader elected"), "{error}");
}

#[test]
fn refusals_say_what_the_server_says() {
    for (status, says, nothing) in [
        ("401 Unauthorized", "credentials_file", true),
        ("403 Forbidden", "lacks the right", true),
        ("400 Bad Request", "Persistent volumes not found", true),
        ("409 Conflict", "answers 409", true),
        ("500 Internal Server Error", "answers 500", false),
    ] {
        let (url, asked) = server(vec![response(status, "", "Persistent volumes not found\n")]);
        let error = site(&[url], &as_ops()).call(&post()).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(error.changed_nothing(), nothing, "{status}");
        asked.recv().unwrap();
        assert!(asked.try_recv().is_err(), "{status}");
    }
}

#[test]
fn a_message_moves_no_cursor() {
    let (url, _asked) = server(vec![response("400 Bad", "", "\u{1b}[2J gone\r\n two ")]);
    let error = site(&[url], &Access::default()).ask(&post()).unwrap_err();
    assert!(
        matches!(&error, SiteError::Refused { says, .. } if says == "\\x1b[2J gone two"),
        "{error:?}"
    );
}

#[test]
fn secrets_are_in_no_debug_output_and_in_no_error() {
    let access = Access {
        token: Some(Secret::new("t0ken")),
        identity: Some((b"x".to_vec(), Secret::new("k3y"))),
        ..as_ops()
    };
    let mut shown = vec![format!("{access:?}")];
    let plain = Access {
        identity: None,
        ..access.clone()
    };
    let transport = Transport::new(&plain, LIMITS).unwrap();
    let (url, _asked) = server(vec![response("500 x", "", "")]);
    shown.push(format!("{transport:?}"));
    let site = site(&[url, nowhere()], &plain);
    shown.push(format!("{site:?} {:?}", site.call(&post())));
    shown.push(format!(
        "{:?}",
        Transport::new(&access, LIMITS).unwrap_err()
    ));
    let line = Access {
        token: Some(Secret::new("t0ken\nInjected: yes")),
        ..Access::default()
    };
    let failure = Transport::new(&line, LIMITS)
        .unwrap()
        .send(&nowhere(), &post())
        .unwrap_err();
    shown.push(failure.to_string());
    for secret in ["s3cret", "t0ken", "k3y", "b3BzOnMzY3JldA"] {
        assert!(!shown.concat().contains(secret), "{shown:?}");
    }
}

#[test]
fn a_token_goes_before_a_password_in_the_form_that_is_wanted() {
    for (token, wanted) in [
        ("t0ken", "authorization: bearer t0ken\r\n"),
        ("token=t0ken", "authorization: token=t0ken\r\n"),
    ] {
        let (url, asked) = server(vec![response("200 OK", "", "{}")]);
        let access = Access {
            token: Some(Secret::new(token)),
            ..as_ops()
        };
        site(&[url], &access).ask(&Request::get("/x")).unwrap();
        let request = asked.recv().unwrap().to_ascii_lowercase();
        assert!(request.contains(wanted), "{request}");
        assert!(!request.contains("basic"), "{request}");
    }
}

#[test]
fn nobody_listening_is_told_from_every_other_silence() {
    let transport = Transport::new(&Access::default(), LIMITS).unwrap();
    let failure = transport.send(&nowhere(), &Request::get("/x")).unwrap_err();
    assert!(matches!(failure, Failure::Refused));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let failure = transport.send(&url, &Request::get("/x")).unwrap_err();
    assert!(
        matches!(&failure, Failure::Unclear(why) if why == "does not answer within 2s"),
        "{failure:?}"
    );
    let failure = transport
        .send("http://name.invalid:5050", &Request::get("/x"))
        .unwrap_err();
    assert!(matches!(failure, Failure::NotSent(_)), "{failure:?}");
}

#[test]
fn a_host_that_refuses_at_one_address_only_has_not_refused() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    assert!(
        refused(&url, LIMITS.connect)
            .unwrap_err()
            .contains("takes one")
    );
    drop(free);
    assert_eq!(refused(&url, LIMITS.connect), Ok(()));
    assert!(refused("http://", LIMITS.connect).is_err());
}

#[test]
fn paths_are_escaped() {
    assert_eq!(
        path_of(
            &["v2", "apps", "a b", "tasks", "x#y/z?"],
            &[("wipe", "true"), ("id", "a&b")]
        ),
        "/v2/apps/a%20b/tasks/x%23y%2Fz%3F?wipe=true&id=a%26b"
    );
    assert_eq!(path_of(&["slaves"], &[]), "/slaves");
}

struct Pki {
    ca: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key as PEM, and as the server takes them.
struct Signed {
    pem: String,
    key: String,
    der: Vec<u8>,
    key_der: Vec<u8>,
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self {
            ca: CertifiedIssuer::self_signed(params, key).unwrap(),
        }
    }

    fn pem(&self) -> Vec<u8> {
        self.ca.pem().into_bytes()
    }

    fn sign(&self, name: &str) -> Signed {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let signed = params.signed_by(&key, &self.ca).unwrap();
        Signed {
            pem: signed.pem(),
            key: key.serialize_pem(),
            der: signed.der().to_vec(),
            key_der: key.serialize_der(),
        }
    }
}

/// A TLS server for `127.0.0.1`; it demands a client certificate of `clients`, where given.
fn tls_server(pki: &Pki, clients: Option<&Pki>) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.ca.der().clone()).unwrap();
            builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .unwrap(),
            )
        }
    };
    let signed = pki.sign("127.0.0.1");
    let config = builder
        .with_single_cert(
            vec![signed.der.into()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signed.key_der)),
        )
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream: StreamOwned<ServerConnection, TcpStream> =
                StreamOwned::new(connection, stream.unwrap());
            let request = read_request(&mut stream);
            if request.is_empty() {
                continue;
            }
            let answered = stream.write_all(response("200 OK", "", "{}").as_bytes());
            stream.conn.send_close_notify();
            let _gone = answered.and_then(|()| stream.flush());
        }
    });
    url
}

fn over_tls(url: &str, access: &Access) -> Result<u16, Failure> {
    let transport = Transport::new(access, LIMITS).unwrap();
    let answer = transport.send(url, &post())?;
    let status = answer.status;
    assert_eq!(answer.whole().unwrap(), b"{}");
    Ok(status)
}

#[test]
fn https_is_trusted_by_our_own_authority_alone() {
    let (ours, other) = (Pki::new(), Pki::new());
    let url = tls_server(&ours, None);
    let trusting = |pki: &Pki| Access {
        authorities: Some(pki.pem()),
        ..as_ops()
    };
    assert_eq!(over_tls(&url, &trusting(&ours)).unwrap(), 200);
    for access in [trusting(&other), as_ops()] {
        let failure = over_tls(&url, &access).unwrap_err();
        // Nothing was said before it was known who is there: the secret stayed here.
        assert!(matches!(failure, Failure::NotSent(_)), "{failure:?}");
    }
    // Another name than the certificate's.
    let by_name = url.replace("127.0.0.1", "localhost");
    assert!(over_tls(&by_name, &trusting(&ours)).is_err());
}

#[test]
fn a_client_certificate_is_shown_where_one_is_demanded() {
    let (servers, clients) = (Pki::new(), Pki::new());
    let url = tls_server(&servers, Some(&clients));
    let without = Access {
        authorities: Some(servers.pem()),
        ..Access::default()
    };
    assert!(over_tls(&url, &without).is_err());
    let signed = clients.sign("sidecar");
    let with = Access {
        identity: Some((signed.pem.into_bytes(), Secret::new(signed.key))),
        ..without
    };
    assert_eq!(over_tls(&url, &with).unwrap(), 200);
}

#[test]
fn files_that_hold_no_certificates_are_refused_without_their_content() {
    let signed = Pki::new().sign("x");
    for (access, wanted) in [
        (
            Access {
                authorities: Some(b"nothing".to_vec()),
                ..Access::default()
            },
            "ca_file holds no certificate",
        ),
        (
            Access {
                identity: Some((signed.pem.clone().into_bytes(), Secret::new("s3cret"))),
                ..Access::default()
            },
            "no private key",
        ),
        (
            Access {
                identity: Some((signed.key.clone().into_bytes(), Secret::new(signed.key))),
                ..Access::default()
            },
            "cert_file holds no certificate",
        ),
    ] {
        let error = Transport::new(&access, LIMITS).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[test]
fn several_may_ask_through_one_site_at_a_time() {
    let (url, _asked) = server(vec![response("200 OK", "", "{}")]);
    let site = Arc::new(site(&[url], &Access::default()));
    let failed = Arc::new(Mutex::new(0));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (site, failed) = (Arc::clone(&site), Arc::clone(&failed));
            thread::spawn(move || {
                if site.ask(&Request::get("/x")).is_err() {
                    *failed.lock().unwrap() += 1;
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(*failed.lock().unwrap(), 0);
}

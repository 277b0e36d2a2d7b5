//! The status page of the running daemon: over TCP, by a browser, with very many volumes.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make and look at their own files by name"
)]
#![expect(clippy::arithmetic_side_effects, reason = "test arithmetic")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::api::{Answer, get, lively, request, tcp, tcp_address};
use super::host::{Daemon, Host, Parts};
use crate::own_namespace::entered;
use crate::support::browser::Browser;
use crate::support::stand_in::wait_until;

const PATIENCE: Duration = Duration::from_mins(1);

fn page(daemon: &Daemon, path: &str) -> Answer {
    tcp(daemon, &request("GET", path, ""))
}

/// A browser's stream of events.
struct Listening(TcpStream, String);

impl Listening {
    fn to(daemon: &Daemon) -> Self {
        let mut stream = TcpStream::connect(tcp_address(daemon)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        stream
            .write_all(request("GET", "/events", "").as_bytes())
            .unwrap();
        Self(stream, String::new())
    }

    /// Waits until this was said.
    fn hears(&mut self, what: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.1.contains(what) {
            assert!(Instant::now() < until, "{what} was not said: {}", self.1);
            let mut some = [0; 4096];
            // No bytes: nothing was said yet, or the end, which the time tells apart.
            if let Ok(count) = self.0.read(&mut some) {
                self.1 += &String::from_utf8_lossy(&some[..count]);
            }
        }
    }
}

#[test]
fn root_the_page_shows_the_host_and_says_when_it_has_changed() {
    if !entered("e2e::page::root_the_page_shows_the_host_and_says_when_it_has_changed") {
        return;
    }
    let (host, daemon) = lively();
    wait_until("the disks are shown", PATIENCE, || {
        page(&daemon, "/").body.contains("% used")
    });
    let shown = page(&daemon, "/");
    assert_eq!(shown.status, 200, "{shown:?}");
    for header in [
        "content-type: text/html; charset=utf-8",
        "content-security-policy: default-src 'none';",
        "x-frame-options: deny",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
    ] {
        assert!(shown.head.contains(header), "{header}: {}", shown.head);
    }
    for told in [
        "r/stays",
        "r/nobodys",
        "r/goes",
        "grace_period",
        "% used",
        "agent_state",
    ] {
        assert!(shown.body.contains(told), "{told}: {}", shown.body);
    }
    // The trash waits an hour.
    assert!(shown.body.contains("min left"), "{}", shown.body);
    assert_eq!(get(&host, "/").status, 200);

    let mut listening = Listening::to(&daemon);
    listening.hears("content-type: text/event-stream");
    listening.hears(": from now on");
    daemon.signal(Signal::USR1);
    listening.hears("data: summary,work,kept,disks,volumes,trash,looks\n\n");

    // Those who look on have places of their own: a probe finds one whatever they do.
    let mut others: Vec<Listening> = (0..7).map(|_| Listening::to(&daemon)).collect();
    for other in &mut others {
        other.hears(": from now on");
    }
    assert_eq!(page(&daemon, "/events").status, 503, "a ninth");
    for _ in 0..20 {
        assert_eq!(page(&daemon, "/metrics").status, 200);
    }
    // A place is free again when a browser is gone.
    drop(others);
    drop(listening);
    wait_until("there is a place again", PATIENCE, || {
        let mut stream = TcpStream::connect(tcp_address(&daemon)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        stream
            .write_all(request("GET", "/events", "").as_bytes())
            .unwrap();
        let mut some = [0; 64];
        let count = stream.read(&mut some).unwrap_or(0);
        some[..count].starts_with(b"HTTP/1.1 200")
    });
    daemon.stop();
}

/// A host with so many volumes that nobody names, beside what an agent holds.
fn with_volumes(orphans: usize) -> (Host, Daemon) {
    let mut host = Host::new(Parts {
        settings: "[trash]\nretention = \"1h\"\n[daemon]\nlisten = \"127.0.0.1:0\"\n",
        ..Parts::default()
    });
    host.agent.start();
    if orphans > 0 {
        host.tenant(
            "ROOT",
            "db_postgres#data#9f6c3d52-61a6-4b8f-a0f5-c7d8a61c4e10",
            5,
        );
        host.tenant("PATH", "goes", 5);
    }
    for number in 0..orphans {
        let folder = host.volume("PATH", &format!("shop_cache#tmp#{number:04}"));
        std::fs::create_dir_all(folder).unwrap();
    }
    let daemon = host.daemon();
    daemon.two_passes();
    if orphans > 0 {
        host.destroy("goes");
        wait_until("it lies in the trash", PATIENCE, || {
            get(&host, "/v1/trash").json()["items"][0]["state"] == "cleared"
        });
    }
    (host, daemon)
}

fn resident_kib(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn root_a_thousand_volumes_make_neither_page_nor_daemon_large() {
    if !entered("e2e::page::root_a_thousand_volumes_make_neither_page_nor_daemon_large") {
        return;
    }
    let (_host, daemon) = with_volumes(1000);
    let shown = page(&daemon, "/");
    assert!(shown.body.contains("1 to 100 of 1002"), "{}", shown.body);
    assert!(shown.body.len() < 400_000, "{} bytes", shown.body.len());
    let found = page(&daemon, "/?find=%230999&state=orphan");
    assert!(
        found.body.contains("1 to 1 of 1,") && found.body.contains("#0999"),
        "{}",
        found.body
    );

    let before = resident_kib(&daemon);
    for turn in 1..=40 {
        assert_eq!(page(&daemon, &format!("/?page={}", turn % 12)).status, 200);
    }
    let after = resident_kib(&daemon);
    assert!(after < before + 16_384, "from {before} to {after} KiB");
    daemon.stop();
}

#[test]
fn root_a_browser_shows_the_page_and_keeps_it_fresh() {
    if !entered("e2e::page::root_a_browser_shows_the_page_and_keeps_it_fresh") {
        return;
    }
    let Some(mut browser) = Browser::start() else {
        println!("skipped: needs chromium");
        return;
    };
    let pictures = std::env::var_os("SCREENSHOTS").map(PathBuf::from);
    let counts: &[usize] = if pictures.is_some() {
        &[0, 10, 1000]
    } else {
        &[10]
    };
    for count in counts {
        let (_host, daemon) = with_volumes(*count);
        let address = format!("http://{}/", tcp_address(&daemon));
        // Without scripts all of it is there.
        browser.open(&address, 390, false, false);
        browser.until("document.querySelectorAll('section').length === 7");
        browser.until("document.getElementById('live').textContent.includes('Reload for newer')");
        for (name, width) in [("phone", 390), ("tablet", 820), ("desk", 1280)] {
            for dark in [false, true] {
                browser.open(&address, width, dark, true);
                // The script ran, was told of events, and has drawn the page anew.
                browser.until("document.getElementById('live').textContent === 'Live'");
                browser.until("document.documentElement.scrollWidth <= window.innerWidth");
                let Some(pictures) = &pictures else { continue };
                let shade = if dark { "dark" } else { "light" };
                let file = pictures.join(format!("{count}-volumes-{name}-{shade}.png"));
                std::fs::write(file, browser.picture()).unwrap();
            }
        }
        // A pass ends: what it saw is drawn without anybody asking for it.
        browser.value("document.getElementById('looks').dataset.old = 'yes'");
        daemon.signal(Signal::USR1);
        browser.until("document.getElementById('looks').dataset.old === undefined");
        daemon.stop();
        browser.until("document.getElementById('live').textContent.startsWith('Not live')");
    }
    // That the daemon is gone is said by the browser too; nothing else.
    browser
        .complaints
        .retain(|complaint| !complaint.contains("net::ERR_"));
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
}

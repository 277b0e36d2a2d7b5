//! `scripts/bench fleet`: how long `fleet` takes, and how much memory, with so many agents.
//!
//! Master and sidecars are one server on loopback, in this process: every address of 127/8 is this
//! machine's, so that each agent has an address of its own. It makes its answers while it sends them;
//! what it takes of the two cores is in the time.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::measure::{median, run as measure};
use super::{Request, Size};

/// Volumes of each agent: two thirds held, one of them used; the others orphans and trash.
const VOLUMES: usize = 9;

/// What is measured; the third is asked of the master alone.
const COMMANDS: [&str; 4] = ["volumes", "disks", "orphans", "reservations"];

pub(crate) fn run(request: &Request) -> Value {
    let (counts, rounds): (&[usize], usize) = match request.size {
        Size::Quick => (&[100, 1000], 1),
        Size::Usual => (&[100, 1000, 10_000], 3),
        Size::Full => (&[100, 1000, 10_000], 7),
    };
    let agents = Arc::new(AtomicUsize::new(0));
    let port = serve(&agents);
    let config = request.folder.join("config.toml");
    std::fs::write(
        &config,
        format!(
            "[master]\nurls = [\"http://127.0.0.1:{port}\"]\n[fleet]\nurl = \"http://{{host}}:{port}\"\n\
             timeout = \"60s\"\n[daemon]\nstate_dir = \"{}\"\n",
            request.folder.join("state").display()
        ),
    )
    .unwrap();
    let mut rows = Vec::new();
    println!("\nfleet, {VOLUMES} volumes on each agent, 64 asked at once, median of {rounds}");
    println!(
        "  {:<14} {:>8} {:>9} {:>9} {:>9}",
        "", "agents", "wall s", "CPU s", "RSS MiB"
    );
    for &count in counts {
        agents.store(count, Ordering::Relaxed);
        for command in COMMANDS {
            eprintln!("fleet {command}: {count} agents");
            let runs: Vec<_> = (0..rounds)
                .map(|_| {
                    let mut ours = Command::new(&request.ours);
                    ours.args(["--config", config.to_str().unwrap(), "--output", "json"]);
                    measure(ours.args(["fleet", command]), || {})
                })
                .collect();
            let wall = median(runs.iter().map(|run| run.wall));
            let cpu = median(runs.iter().map(|run| run.cpu));
            let mib = runs.iter().map(|run| run.mib).fold(0.0, f64::max);
            println!("  {command:<14} {count:>8} {wall:>9.2} {cpu:>9.2} {mib:>9.1}");
            rows.push(
                json!({"command": command, "agents": count, "wall_s": wall, "cpu_s": cpu,
                "max_rss_mib": mib}),
            );
        }
    }
    json!({ "fleet": rows, "volumes": VOLUMES })
}

/// The address of an agent.
fn address(agent: usize) -> String {
    format!(
        "127.{}.{}.{}",
        1 + agent / 62_500,
        agent / 250 % 250,
        1 + agent % 250
    )
}

fn serve(agents: &Arc<AtomicUsize>) -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let listener = Arc::new(listener);
    for _ in 0..16 {
        let (listener, agents) = (Arc::clone(&listener), Arc::clone(agents));
        std::thread::spawn(move || {
            loop {
                if let Ok((stream, _)) = listener.accept() {
                    // A client that goes away is no matter of the server's.
                    drop(answer(stream, agents.load(Ordering::Relaxed)));
                }
            }
        });
    }
    port
}

fn answer(stream: TcpStream, agents: usize) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut stream = std::io::BufWriter::new(reader.into_inner());
    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
    match path.as_str() {
        "/slaves" => {
            stream.write_all(b"{\"slaves\":[")?;
            for agent in 0..agents {
                if agent > 0 {
                    stream.write_all(b",")?;
                }
                serde_json::to_writer(&mut stream, &listed(agent))?;
            }
            stream.write_all(b"],\"recovered_slaves\":[]}")?;
        }
        "/api/v1" => serde_json::to_writer(&mut stream, &frameworks())?,
        "/v1/status" => {
            let status = json!({"version": env!("CARGO_PKG_VERSION"), "troubles": []});
            serde_json::to_writer(&mut stream, &status)?;
        }
        "/v1/volumes" => serde_json::to_writer(&mut stream, &volumes())?,
        "/v1/trash" => {
            let items: Vec<Value> = (0..VOLUMES)
                .filter(|number| state(*number) == "trashed")
                .map(|number| {
                    json!({"id": format!("t{number}"), "persistence_id": id(number),
                        "expires_in_ms": 3_600_000, "bytes": 1 << 30, "reasons": []})
                })
                .collect();
            serde_json::to_writer(&mut stream, &json!({ "items": items }))?;
        }
        "/v1/disks" => {
            let disks: Vec<Value> = (0..4)
                .map(|number| {
                    json!({"type": "MOUNT", "root": format!("/dcos/volume{number}"),
                        "device": format!("/dev/sd{number}1"), "verdict": "offered", "reason": null,
                        "explanation": "a rule names its mount point", "remedy": null,
                        "advertised_mb": 953_000, "held": [],
                        "filesystem": {"type": "xfs", "uuid": "0f2b3f4e-7c4c-4b0e-9a55-3a1d3e6f5a77",
                            "total_bytes": 1_000_000_000_000_u64, "free_bytes": 400_000_000_000_u64}})
                })
                .collect();
            serde_json::to_writer(&mut stream, &json!({"disks": disks, "warnings": []}))?;
        }
        other => super::panic_with(&format!("`{other}` was asked")),
    }
    stream.flush()
}

fn state(number: usize) -> &'static str {
    match number {
        0..6 => "held",
        6 => "trashed",
        _ => "orphan",
    }
}

fn id(number: usize) -> String {
    format!("group_app{number}#data#0dd1f3b2-7c1c-11e6-9f0c-024213f0d3a{number}")
}

/// An agent in the master's list.
fn listed(agent: usize) -> Value {
    let resource = |number: usize| {
        json!({"name": "disk", "type": "SCALAR", "scalar": {"value": 1024.0},
            "reservations": [{"type": "DYNAMIC", "role": "marathon", "principal": "marathon",
                "labels": {"labels": [{"key": "marathon_task_id", "value": id(number)}]}}],
            "role": "marathon",
            "disk": {"persistence": {"id": id(number), "principal": "marathon"},
                "volume": {"mode": "RW", "container_path": "data"},
                "source": {"type": "PATH", "path": {"root": "/mnt/data"}}}})
    };
    let held: Vec<Value> = (0..6).map(resource).collect();
    json!({
        "id": format!("d935ca7e-e29d-4503-94e7-25fe9f16847c-S{agent}"), "hostname": address(agent),
        "port": 5051, "pid": format!("slave(1)@{}:5051", address(agent)), "attributes": {},
        "registered_time": 1_700_000_000.5, "active": true, "deactivated": false, "version": "1.11.0",
        "capabilities": ["MULTI_ROLE", "HIERARCHICAL_ROLE", "RESERVATION_REFINEMENT", "RESIZE_VOLUME"],
        "resources": {"cpus": 16, "mem": 65536, "disk": 6144.0 + 100_000.0},
        "used_resources": {"cpus": 1, "mem": 1024, "disk": 1024.0},
        "reserved_resources_full": {"marathon": held},
        "unreserved_resources_full": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 16.0}, "role": "*"},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 65536.0}, "role": "*"},
            {"name": "disk", "type": "SCALAR", "scalar": {"value": 100_000.0}, "role": "*"}],
        "used_resources_full": [resource(0)],
        "offered_resources_full": [],
    })
}

fn frameworks() -> Value {
    json!({"type": "GET_FRAMEWORKS", "get_frameworks": {"frameworks": [
        {"framework_info": {"user": "root", "name": "marathon", "id": {"value": "f-0000"},
            "roles": ["marathon"], "failover_timeout": 604_800.0, "principal": "marathon"},
         "active": true, "connected": true, "recovered": false}]}})
}

/// What a sidecar tells of its volumes.
fn volumes() -> Value {
    let volumes: Vec<Value> = (0..VOLUMES)
        .map(|number| {
            let reasons = match state(number) {
                "orphan" => json!([{"code": "grace_period", "reason": "first seen 2h ago",
                    "remedy": "wait; see sweep.grace"}]),
                _ => json!([]),
            };
            json!({"id": id(number), "role": "marathon",
                "disk": {"type": "PATH", "root": "/mnt/data"},
                "path": format!("/mnt/data/volumes/roles/marathon/{}", id(number)),
                "state": state(number), "size_mb": 1024.0, "principal": "marathon",
                "app": {"app": format!("group_app{number}"), "container_path": "data",
                    "uuid": "0dd1f3b2-7c1c-11e6-9f0c-024213f0d3ab"},
                "trash": (state(number) == "trashed").then(|| format!("t{number}")),
                "reasons": reasons})
        })
        .collect();
    json!({"volumes": volumes, "authorities": {"tasks": {"state": "known"}, "agent_pids": [7]},
        "doubts": [], "alarms": []})
}

//! The host: its kernel, its clock, and what is ours on it.

use super::{Code, Examined, Finding, Fix};
use crate::decide::facts::{FileAccess, Known, SocketAccess};
use crate::mesos::paths;

/// The first of January 2020: no clock is right before this program was written.
const PAST: i64 = 1_577_836_800;

/// Clocks of one host differ by no more between writing a file and looking at it.
const FUTURE: i64 = 60;

pub(super) fn check(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    let (facts, host) = (examined.patient.facts, examined.patient.host);
    match &host.openat2 {
        Known::Known(()) => {}
        Known::Absent => findings.push(Finding::new(
            Code::NoOpenat2,
            "kernel",
            "openat2 answers that it is not implemented",
        )),
        Known::Unknown(why) => {
            findings.push(Finding::not_checked("whether the kernel has openat2", why));
        }
    }
    if host.fence == Known::Absent {
        findings.push(Finding::new(
            Code::NoFence,
            "kernel",
            "there is no Landlock that a wipe could be fenced in by",
        ));
    }
    for (name, why) in [
        ("memory.json", facts.memory.why()),
        ("ledger.json", host.ledger.why()),
    ] {
        if let Some(why) = why {
            findings.push(Finding::new(Code::OwnFilesDamaged, name, why.to_string()));
        }
    }
    for file in &host.files {
        permissions(file, findings);
    }
    socket(&host.socket, findings);
    clock(examined, findings);
    for note in &host.notes {
        findings.push(Finding::new(
            Code::ConfigNote,
            "configuration",
            note.clone(),
        ));
    }
}

fn permissions(file: &FileAccess, findings: &mut Vec<Finding>) {
    let (owner, mode) = match &file.access {
        Known::Known(access) => *access,
        Known::Absent => return,
        Known::Unknown(why) => {
            findings.push(Finding::not_checked(
                &format!("who may change {}", file.path),
                why,
            ));
            return;
        }
    };
    let path = &file.path;
    if owner != 0 {
        findings.push(
            Finding::new(
                Code::UnsafePermissions,
                path.to_string(),
                format!("the {} belongs to user {owner}, not to root", file.what),
            )
            .remedy(format!("`chown root {path}`")),
        );
    }
    let to = mode & !file.forbidden;
    if to != mode {
        findings.push(
            Finding::new(
                Code::UnsafePermissions,
                path.to_string(),
                format!("the {} has the permissions {mode:04o}", file.what),
            )
            .remedy(format!("`chmod {to:04o} {path}`"))
            .fix(Some(Fix::Restrict {
                path: path.clone(),
                from: mode,
                to,
            })),
        );
    }
}

/// The mode that the daemon gives its socket.
const SOCKET_MODE: u32 = 0o660;

fn socket(socket: &Known<SocketAccess>, findings: &mut Vec<Finding>) {
    let socket = match socket {
        Known::Known(socket) => socket,
        Known::Absent => return,
        Known::Unknown(why) => {
            findings.push(Finding::not_checked(
                "who may connect to the API's socket",
                why,
            ));
            return;
        }
    };
    let path = &socket.path;
    let wanted = match &socket.wanted {
        Some((_, Some(number))) => *number,
        Some((_, None)) | None => 0,
    };
    let again = "restart the daemon: it makes its socket anew, with owner, group and mode 0660";
    let mut wrong = |evidence: String| {
        findings
            .push(Finding::new(Code::UnsafePermissions, path.to_string(), evidence).remedy(again));
    };
    if socket.owner != 0 {
        wrong(format!(
            "the socket belongs to user {}, not to root",
            socket.owner
        ));
    }
    if socket.mode & !SOCKET_MODE != 0 {
        wrong(format!(
            "the socket has the permissions {:04o}",
            socket.mode
        ));
    }
    // Where it is for root alone nobody else's group may have it; the group's own bits decide.
    if socket.group != wanted && socket.group != 0 && socket.mode & 0o070 != 0 {
        wrong(format!(
            "the socket belongs to group {}, which is not daemon.socket_group",
            socket.group
        ));
    }
    if let Some((name, number)) = &socket.wanted
        && (number.is_none() || socket.group == 0 && wanted != 0)
    {
        let why = match number {
            None => format!("there is no group {name}"),
            Some(_) => "the daemon could not give it that group".to_owned(),
        };
        findings.push(
            Finding::new(
                Code::ConfigNote,
                path.to_string(),
                format!("{why} (daemon.socket_group): the API's socket is for root alone"),
            )
            .remedy(
                "make the group, or name another in daemon.socket_group; then restart the daemon",
            ),
        );
    }
}

fn clock(examined: &Examined<'_>, findings: &mut Vec<Finding>) {
    let (facts, host) = (examined.patient.facts, examined.patient.host);
    let now = facts.host.now.wall_seconds;
    if now < PAST {
        findings.push(Finding::new(
            Code::ClockWrong,
            "clock",
            format!("it says {now} s since 1970"),
        ));
    }
    let run = facts.agent.run.known().map(|run| run.mtime_nanos);
    let written = [
        (paths::STATE, host.state_written.known().copied()),
        (
            paths::INFO_TARGET,
            host.info_target_written.known().copied(),
        ),
        (
            paths::BOOT_ID,
            run.and_then(|nanos| nanos.checked_div(1_000_000_000)),
        ),
    ];
    for (name, at) in written {
        if let Some(at) = at
            && at.saturating_sub(now) > FUTURE
        {
            findings.push(Finding::new(
                Code::ClockWrong,
                name,
                format!("it was written {} s from now", at.saturating_sub(now)),
            ));
        }
    }
}

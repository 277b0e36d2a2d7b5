//! Server-sent events for the status page: which of its sections have changed.
//!
//! No data is in them, so that a browser that reads slowly holds nothing up and nothing is kept for it:
//! it asks for what it wants to see.

use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::after;
use super::board::{Board, Turns};
use super::http::STREAM;
use super::workers::WorkersHandle;

/// How often is looked whether something has changed.
const TICK: Duration = Duration::from_secs(1);
/// After so many ticks without one, what tells of times is sent again: ages grow, and a browser that is
/// gone is noticed.
const QUIET: u32 = 15;

/// Events of one browser; dropped, they end, and its place is free.
#[derive(Debug)]
pub(super) struct Events {
    lines: mpsc::Receiver<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl Events {
    /// From now on.
    pub(super) fn begin(board: Board, jobs: WorkersHandle, place: OwnedSemaphorePermit) -> Self {
        let (sender, lines) = mpsc::channel(1);
        tokio::spawn(tell(board, jobs, sender));
        Self {
            lines,
            _place: place,
        }
    }

    /// The next of them; `None` at their end.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.lines.poll_recv(context)
    }
}

async fn tell(board: Board, jobs: WorkersHandle, sender: mpsc::Sender<Bytes>) {
    let ends = after(Instant::now(), STREAM);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut before, mut worked, mut quiet) = (board.turns(), false, 0_u32);
    // Sent at once, so that the browser knows that it is heard.
    let mut line = Bytes::from_static(b": from now on\n\n");
    while Instant::now() < ends {
        if sender.send(line).await.is_err() {
            return;
        }
        line = loop {
            tokio::select! {
                () = sender.closed() => return,
                _ = tick.tick() => {}
            }
            let (now, works) = (board.turns(), !jobs.jobs().is_empty());
            quiet = quiet.saturating_add(1);
            let sections = changed(before, now, works || worked, quiet >= QUIET);
            (before, worked) = (now, works);
            if let Some(sections) = sections {
                quiet = 0;
                break Bytes::from(format!("data: {sections}\n\n"));
            }
        };
    }
}

/// The sections that have changed; `None`: none.
fn changed(before: Turns, now: Turns, jobs: bool, quiet: bool) -> Option<&'static str> {
    let (passed, looked) = (before.passes != now.passes, before.looks != now.looks);
    match (passed, looked, jobs, quiet) {
        (true, _, _, _) => Some("summary,work,kept,disks,volumes,trash,looks"),
        (false, true, _, _) => Some("summary,work,disks"),
        (false, false, true, _) => Some("work"),
        (false, false, false, true) => Some("summary,looks"),
        (false, false, false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_changed_is_told() {
        let then = Turns::default();
        let passed = Turns { passes: 1, ..then };
        let looked = Turns { looks: 1, ..then };
        assert_eq!(changed(then, then, false, false), None);
        assert!(changed(then, passed, false, false).is_some_and(|told| told.contains("volumes")));
        assert!(changed(then, looked, false, false).is_some_and(|told| !told.contains("volumes")));
        assert_eq!(changed(then, then, true, false), Some("work"));
        assert_eq!(changed(then, then, false, true), Some("summary,looks"));
    }
}

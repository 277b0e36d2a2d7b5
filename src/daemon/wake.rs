//! Waking the main thread for something that may happen ten thousand times a minute: one message is
//! under way at most, so that no flood of them crowds out others, and none of what it stands for is
//! lost when there is no room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use super::run::Event;

/// Rings, from any thread.
#[derive(Clone, Debug)]
pub(super) struct Bell {
    rung: Arc<AtomicBool>,
    events: mpsc::Sender<Event>,
}

impl Bell {
    pub(super) fn new(events: mpsc::Sender<Event>) -> Self {
        Self {
            rung: Arc::default(),
            events,
        }
    }

    /// Something happened. Where the main thread has no room for a message, it looks at its next
    /// turn, within a second.
    pub(super) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            drop(self.events.try_send(Event::Rung));
        }
    }

    /// Whether anything happened since this was last asked.
    pub(super) fn answered(&self) -> bool {
        self.rung.swap(false, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_message_and_nothing_is_lost_without_room() {
        let (send, mut receive) = mpsc::channel(1);
        let (hints, ended) = (Bell::new(send.clone()), Bell::new(send));
        for _ in 0..10_000 {
            hints.ring();
        }
        // No room any more.
        ended.ring();
        assert!(receive.try_recv().is_ok());
        assert!(receive.try_recv().is_err());
        assert!(hints.answered() && !hints.answered());
        assert!(ended.answered() && !ended.answered());
        hints.ring();
        assert!(receive.try_recv().is_ok());
    }
}

//! A line on a terminal that tells how far a long piece of work is.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How often the line is drawn.
const EVERY: Duration = Duration::from_millis(100);

/// One line on standard error, drawn again in place. Where standard error is no terminal it draws
/// nothing. It is gone when this is dropped.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    drawn: Option<Instant>,
}

impl Progress {
    /// A line for standard error.
    #[must_use]
    pub fn new() -> Self {
        Self {
            terminal: io::stderr().is_terminal(),
            drawn: None,
        }
    }

    /// Whether it draws anything at all.
    #[must_use]
    pub const fn draws(&self) -> bool {
        self.terminal
    }

    /// Shows this text, unless the last one is too young. The text is asked for only when it is
    /// drawn.
    pub fn show(&mut self, text: impl FnOnce() -> String) {
        if !self.terminal {
            return;
        }
        let now = now();
        let young = self
            .drawn
            .is_some_and(|drawn| now.saturating_duration_since(drawn) < EVERY);
        if young {
            return;
        }
        self.drawn = Some(now);
        let width = terminal_size::terminal_size_of(io::stderr())
            .map_or(80, |(width, _)| usize::from(width.0));
        let text: String = crate::units::Raw::from(text())
            .to_string()
            .chars()
            .take(width.saturating_sub(1))
            .collect();
        draw(&format!("\r\x1b[K{text}"));
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            draw("\r\x1b[K");
        }
    }
}

fn draw(text: &str) {
    let mut stderr = io::stderr().lock();
    // A terminal that is gone needs no progress.
    drop(
        stderr
            .write_all(text.as_bytes())
            .and_then(|()| stderr.flush()),
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "only paces the drawing of a line; nothing is decided by it"
)]
fn now() -> Instant {
    Instant::now()
}

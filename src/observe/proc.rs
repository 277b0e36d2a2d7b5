//! Processes and threads as `/proc` shows them. What has gone meanwhile is skipped, what may not
//! be read is an error: the one holds nothing any more, the other may hold everything.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rustix::io::Errno;

use super::deadline::{Answered, ask_each};
use super::places::Places;
use super::read;
use crate::decide::facts::Known;
use crate::sys::ReadError;
use crate::units::Raw;

/// `PF_KTHREAD` of include/linux/sched.h, in the field `flags` of proc_pid_stat(5).
const KERNEL_THREAD: u64 = 0x0020_0000;

/// Why the processes of this host could not be listed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{proc} does not show all processes (pid 1 is missing); is it mounted with hidepid?")]
    Hidden { proc: Raw },
}

/// A look at something of a process.
#[derive(Debug)]
pub(super) enum Look<T> {
    Seen(T),
    /// The process or thread ended, is a zombie, or is the kernel's own.
    Gone,
}

/// Whether the kernel's answer means that the process or thread is not there any more, or has
/// given back what was asked for (a zombie: proc_pid_ns(5), proc_pid_exe(5)).
pub(super) fn means_gone(error: &ReadError) -> bool {
    read::is_absent(error) || read::errno(error) == Some(Errno::SRCH)
}

/// Turns "gone" into [`Look::Gone`].
pub(super) fn look<T>(result: Result<T, ReadError>) -> Result<Look<T>, ReadError> {
    match result {
        Ok(value) => Ok(Look::Seen(value)),
        Err(error) if means_gone(&error) => Ok(Look::Gone),
        Err(error) => Err(error),
    }
}

/// How long a look at all processes may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// The process that is looked at just now.
#[derive(Debug, Default)]
pub(super) struct Present(AtomicI32);

impl Present {
    pub(super) fn at(&self, pid: i32) {
        self.0.store(pid, Ordering::Relaxed);
    }
}

/// Looks at processes on a thread of its own: a process that hangs in the kernel with its memory
/// locked hangs whoever reads its `cmdline` or `maps`.
pub(super) fn patiently<T: Send + 'static>(
    patience: Duration,
    look: impl Fn(&Present) -> Known<T> + Send + Sync + 'static,
) -> Known<T> {
    let present = Arc::new(Present::default());
    match ask_each(vec![Arc::clone(&present)], patience, move |p| look(p)).pop() {
        Some(Answered::Yes(found)) => found,
        Some(Answered::TooLate) => Known::unknown(format!(
            "process {} did not let itself be looked at within {} seconds; it may hang in the \
             kernel",
            present.0.load(Ordering::Relaxed),
            patience.as_secs()
        )),
        Some(Answered::NotAsked) | None => {
            Known::unknown("processes were not looked at: too many earlier looks still hang")
        }
    }
}

/// As [`patiently`], for as long as a host with many processes may need.
pub(super) fn look_at_all<T: Send + 'static>(
    look: impl Fn(&Present) -> Known<T> + Send + Sync + 'static,
) -> Known<T> {
    patiently(PATIENCE, look)
}

/// Every process id, in ascending order. An error where `/proc` is not whole.
pub(super) fn pids(places: &Places) -> Result<Vec<i32>, ListError> {
    let pids = numbers(&places.proc)?;
    if pids.first() == Some(&1) {
        Ok(pids)
    } else {
        Err(ListError::Hidden {
            proc: places.proc.clone(),
        })
    }
}

/// How often processes are listed again for those that were started meanwhile.
const ROUNDS: u32 = 5;

/// Calls `look` with the processes that are not known yet, in ascending order, until none is new:
/// a process that forks while others are looked at, and ends before its turn, leaves what it has
/// to one that was not listed.
pub(super) fn in_rounds<E: From<ListError>>(
    places: &Places,
    mut look: impl FnMut(Vec<i32>) -> Result<(), E>,
) -> Result<(), E> {
    let mut known: HashSet<i32> = HashSet::new();
    for _ in 0..ROUNDS {
        let new: Vec<i32> = pids(places)?
            .into_iter()
            .filter(|pid| known.insert(*pid))
            .collect();
        if new.is_empty() {
            break;
        }
        look(new)?;
    }
    Ok(())
}

/// The names in a folder of `/proc` that are numbers, in ascending order: processes, threads,
/// descriptors.
pub(super) fn numbers(folder: &Raw) -> Result<Vec<i32>, ReadError> {
    let mut numbers: Vec<i32> = read::names(folder)?
        .iter()
        .filter_map(|name| name.as_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// A process or one of its threads: its folder in `/proc`.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) pid: i32,
    pub(super) folder: Raw,
}

impl Task {
    /// The process itself: its main thread.
    pub(super) fn process(places: &Places, pid: i32) -> Self {
        Self {
            pid,
            folder: places.proc.join(pid.to_string()),
        }
    }

    /// Another thread of the same process.
    pub(super) fn thread(&self, tid: i32) -> Self {
        Self {
            pid: self.pid,
            folder: self.folder.join(format!("task/{tid}")),
        }
    }

    /// The ids of all threads.
    pub(super) fn threads(&self) -> Result<Look<Vec<i32>>, ReadError> {
        look(numbers(&self.folder.join("task")))
    }

    /// One of its files.
    pub(super) fn file(&self, name: &str, limit: usize) -> Result<Look<Vec<u8>>, ReadError> {
        look(read::whole(&self.folder.join(name), limit))
    }

    /// One of its links.
    pub(super) fn link(&self, name: &str) -> Result<Look<Raw>, ReadError> {
        look(read::link(&self.folder.join(name)))
    }

    /// Name, state and kind.
    pub(super) fn stat(&self) -> Result<Look<Stat>, ReadError> {
        Ok(match self.file("stat", 4096)? {
            Look::Seen(bytes) => Look::Seen(Stat::parse(&bytes)),
            Look::Gone => Look::Gone,
        })
    }

    /// Whether it can hold nothing: it has ended, or is a thread of the kernel.
    pub(super) fn holds_nothing(&self) -> Result<bool, ReadError> {
        Ok(match self.stat()? {
            Look::Gone => true,
            Look::Seen(stat) => stat.ended || stat.kernel,
        })
    }

    /// Its name, for the operator; empty where it can't be told.
    pub(super) fn command(&self) -> Raw {
        match self.stat() {
            Ok(Look::Seen(stat)) => stat.command,
            Ok(Look::Gone) | Err(_) => Raw::default(),
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = self.command();
        if command.is_empty() {
            write!(f, "process {}", self.pid)
        } else {
            write!(f, "process {} ({command})", self.pid)
        }
    }
}

/// What `/proc/<pid>/stat` says, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) command: Raw,
    /// A zombie, or dead: no memory, files or namespaces are left.
    pub(super) ended: bool,
    pub(super) kernel: bool,
}

impl Stat {
    /// The command may hold blanks and parentheses; the last `)` ends it. Text of another form is
    /// taken for a live process of unknown name.
    fn parse(bytes: &[u8]) -> Self {
        let open = bytes.iter().position(|&b| b == b'(');
        let close = bytes.iter().rposition(|&b| b == b')');
        let (command, rest) = match (open, close) {
            (Some(open), Some(close)) if open < close => (
                bytes.get(open.saturating_add(1)..close).unwrap_or_default(),
                bytes.get(close.saturating_add(1)..).unwrap_or_default(),
            ),
            _ => (&[][..], &[][..]),
        };
        let mut fields = rest
            .split(u8::is_ascii_whitespace)
            .filter(|field| !field.is_empty());
        let state = fields.next().unwrap_or_default();
        let flags = fields
            .nth(5)
            .and_then(|flags| std::str::from_utf8(flags).ok())
            .and_then(|flags| flags.parse::<u64>().ok())
            .unwrap_or(0);
        Self {
            command: Raw::from(command),
            ended: matches!(state, b"Z" | b"X" | b"x"),
            kernel: flags & KERNEL_THREAD != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_tells_zombies_and_kernel_threads_whatever_the_name() {
        let stat = Stat::parse(b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0");
        assert_eq!(
            stat,
            Stat {
                command: "kthreadd".into(),
                ended: false,
                kernel: true
            }
        );
        let stat = Stat::parse(b"7 (a) Z (b) Z 1 1 1 0 -1 4227084 1981 0");
        assert_eq!(
            stat,
            Stat {
                command: "a) Z (b".into(),
                ended: true,
                kernel: false
            }
        );
        assert!(!Stat::parse(b"").ended && !Stat::parse(b"").kernel);
    }

    #[test]
    fn this_process_is_listed_and_has_a_name() {
        let places = Places::default();
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(pids(&places).unwrap().contains(&pid));
        let task = Task::process(&places, pid);
        assert!(!task.holds_nothing().unwrap());
        assert!(!task.command().is_empty());
    }

    #[test]
    fn a_process_that_hangs_costs_time_but_does_not_hang_the_look() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = std::sync::Mutex::new(held);
        let known: Known<()> = patiently(Duration::from_millis(50), move |present| {
            present.at(77);
            held.lock().unwrap().recv().unwrap();
            Known::Absent
        });
        release.send(()).unwrap();
        let why = known.why().unwrap().to_string();
        assert!(
            why.starts_with("process 77 did not let itself be looked at"),
            "{why}"
        );
        assert_eq!(look_at_all(|_| Known::Known(1)), Known::Known(1));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "tests make their own files")]
    fn processes_that_start_meanwhile_are_looked_at_too_but_not_for_ever() {
        let tree = tempfile::tempdir().unwrap();
        let start = |pid: usize| std::fs::create_dir(tree.path().join(pid.to_string())).unwrap();
        start(1);
        start(30);
        let places = Places {
            proc: tree.path().into(),
            ..Places::default()
        };
        let mut looked = Vec::new();
        in_rounds::<ListError>(&places, |new| {
            looked.push(new);
            if looked.len() < 3 {
                start(looked.len() + 10);
            }
            Ok(())
        })
        .unwrap();
        assert_eq!(looked, [vec![1, 30], vec![11], vec![12]]);
        let mut rounds = 0;
        in_rounds::<ListError>(&places, |_new| {
            rounds += 1;
            start(rounds + 100);
            Ok(())
        })
        .unwrap();
        assert_eq!(rounds, 5);
    }

    #[test]
    fn a_proc_without_pid_1_is_not_whole() {
        let tree = tempfile::tempdir().unwrap();
        let places = Places {
            proc: tree.path().into(),
            ..Places::default()
        };
        let error = pids(&places).unwrap_err().to_string();
        assert!(error.contains("pid 1 is missing"), "{error}");
    }
}

//! What a command asks of the kernel, and runs in which one of those calls goes wrong.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// One call of a reference run: the `number`-th of this name in its thread.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Point {
    pub(crate) call: String,
    pub(crate) number: u32,
    /// Whether it may change something.
    pub(crate) changes: bool,
    /// What it was about, for the reader.
    pub(crate) about: String,
}

/// What is done to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Injury {
    Error(&'static str),
    Delay,
    Kill,
}

impl Injury {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Error(errno) => errno,
            Self::Delay => "delay",
            Self::Kill => "kill",
        }
    }

    fn order(self) -> String {
        match self {
            Self::Error(errno) => format!("error={errno}"),
            Self::Delay => "delay_enter=30000".to_owned(),
            Self::Kill => "signal=KILL".to_owned(),
        }
    }
}

/// Everything that names, opens, reads or changes files, and what makes descriptors.
const TRACED: &str =
    "%file,%desc,mount,umount2,fsopen,fsconfig,fsmount,move_mount,open_tree,syncfs,sync,socket";

/// Calls that are left out: they can't fail, or are about memory and waiting.
const LEFT_OUT: [&str; 14] = [
    "execve",
    "close",
    "mmap",
    "poll",
    "ppoll",
    "epoll_wait",
    "epoll_pwait",
    "epoll_ctl",
    "select",
    "pselect6",
    "access",
    "munmap",
    "close_range",
    "getcwd",
];

/// The errors that a call may give, so that the reader sees which were tried.
pub(crate) fn injuries(point: &Point) -> Vec<Injury> {
    let errors: &[&str] = match (point.call.as_str(), point.changes) {
        ("open" | "openat" | "openat2", true) => &["EIO", "ENOSPC", "EROFS", "EINTR", "EMFILE"],
        ("open" | "openat" | "openat2", false) => &["EIO", "EINTR", "EMFILE"],
        (
            "mkdir" | "mkdirat" | "mknodat" | "symlinkat" | "linkat" | "rename" | "renameat"
            | "renameat2" | "ioctl",
            true,
        ) => &["EIO", "ENOSPC", "EROFS"],
        (
            "unlink" | "unlinkat" | "rmdir" | "fchmod" | "fchmodat" | "fchown" | "fchownat"
            | "utimensat" | "mount" | "umount2" | "move_mount" | "fsconfig" | "fsmount",
            true,
        ) => &["EIO", "EROFS"],
        (
            "fsync" | "fdatasync" | "syncfs" | "write" | "pwrite64" | "ftruncate" | "fallocate",
            _,
        ) => &["EIO", "ENOSPC", "EROFS", "EINTR"],
        ("flock", _) => &["EINTR", "ENOLCK"],
        ("read" | "pread64" | "getdents64", _) => &["EIO", "EINTR"],
        (
            "dup" | "dup3" | "fcntl" | "socket" | "epoll_create1" | "eventfd2" | "inotify_init1"
            | "pipe2" | "socketpair" | "timerfd_create",
            _,
        ) => &["EMFILE"],
        (_, _) => &["EIO"],
    };
    let mut all: Vec<Injury> = errors.iter().map(|errno| Injury::Error(errno)).collect();
    // To die before a call that changes nothing is to die before the next one.
    if point.changes {
        all.extend([Injury::Delay, Injury::Kill]);
    }
    all
}

fn changes(call: &str, args: &str) -> bool {
    match call {
        "open" | "openat" | "openat2" => ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"]
            .iter()
            .any(|flag| args.contains(flag)),
        "ioctl" => ![
            "_IOC(_IOC_READ,",
            "TCGETS",
            "GETFLAGS",
            "FSGETXATTR",
            "BLKGETSIZE",
            "GET",
            "TIOC",
        ]
        .iter()
        .any(|known| args.contains(known)),
        "fcntl" => args.contains("F_SETFL"),
        _ => [
            "mkdir",
            "mkdirat",
            "mknodat",
            "symlinkat",
            "link",
            "linkat",
            "rename",
            "renameat",
            "renameat2",
            "unlink",
            "unlinkat",
            "rmdir",
            "fchmod",
            "fchmodat",
            "fchown",
            "fchownat",
            "utimensat",
            "mount",
            "umount2",
            "move_mount",
            "fsconfig",
            "fsmount",
            "open_tree",
            "fsync",
            "fdatasync",
            "syncfs",
            "sync",
            "write",
            "pwrite64",
            "ftruncate",
            "fallocate",
            "flock",
            "setxattr",
            "fsetxattr",
            "removexattr",
            "fremovexattr",
            "copy_file_range",
            "sendfile",
            "lsetxattr",
        ]
        .contains(&call),
    }
}

/// Pipes between threads and to children, sockets, timers: no files, which can't fail as such.
fn is_inner(args: &str) -> bool {
    let descriptor = args.split([',', ')']).next().unwrap_or_default();
    let out = descriptor.starts_with("1<") || descriptor.starts_with("2<");
    ["<anon_inode:", "<socket:", "<UNIX", "<pipe:"]
        .iter()
        .any(|kind| descriptor.contains(kind) && !out)
}

/// Whether the call was met, by what strace wrote, and nothing but it: strace counts calls by thread,
/// so that the same number may hit a pipe in one and a file in another. What a program makes of a pipe
/// that fails tells nothing.
fn met(log: &str, mark: &str) -> bool {
    let mut begun: BTreeMap<&str, &str> = BTreeMap::new();
    let mut hits = false;
    for line in log.lines() {
        let (thread, call) = line.split_once(' ').unwrap_or_default();
        let args = call.split_once('(').map_or("", |(_, args)| args);
        if call.ends_with("<unfinished ...>") {
            begun.insert(thread, args);
        }
        if line.contains(mark) {
            // What was begun before another thread's line ends in one that does not repeat it.
            let resumed = call.trim_start().starts_with("<...");
            let args = if resumed {
                begun.get(thread)
            } else {
                Some(&args)
            };
            if args.is_none_or(|args| is_inner(args)) {
                return false;
            }
            hits = true;
        }
    }
    hits
}

/// A traced run: how it ended, and its calls.
#[derive(Debug)]
pub(crate) struct Traced {
    pub(crate) code: i32,
    /// How many calls were seen at all.
    pub(crate) calls: usize,
    pub(crate) points: Vec<Point>,
}

/// What the calls of one kind on one kind of file have in common.
fn group(call: &str, args: &str) -> String {
    let mut parts = args.split(", ");
    let takes = match call {
        "open" | "openat" | "openat2" | "newfstatat" | "statx" | "readlink" | "readlinkat"
        | "unlinkat" | "mkdirat" | "name_to_handle_at" | "mkdir" | "ioctl" => 2,
        "renameat2" => 4,
        _ => 1,
    };
    let named: Vec<&str> = parts.by_ref().take(takes).collect();
    let mut plain = String::new();
    for char in named.join(", ").chars() {
        if !char.is_ascii_digit() {
            plain.push(char);
        } else if !plain.ends_with('#') {
            plain.push('#');
        }
    }
    format!("{call}({plain}")
}

/// Reads a trace. Of calls that look at the same thing the first, the last and a middle one stand for
/// all, unless `all` of them are wanted.
fn read(text: &str, begins: &str, all: bool) -> (usize, Vec<Point>) {
    let mut counts: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    let mut points: BTreeMap<(String, u32), Point> = BTreeMap::new();
    let mut looks: BTreeMap<String, Vec<(String, u32)>> = BTreeMap::new();
    let (mut begun, mut calls) = (false, 0);
    for line in text.lines() {
        let Some((thread, rest)) = line.split_once(' ') else {
            continue;
        };
        let Some((call, args)) = rest.trim_start().split_once('(') else {
            continue;
        };
        if !call
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            continue;
        }
        calls += 1;
        let number = counts.entry((thread, call)).or_default();
        *number += 1;
        begun |= args.contains(begins) && call != "execve";
        if !begun || LEFT_OUT.contains(&call) || is_inner(args) {
            continue;
        }
        let point = Point {
            call: call.to_owned(),
            number: *number,
            changes: changes(call, args),
            about: args.chars().take(140).collect(),
        };
        let key = (point.call.clone(), point.number);
        if !point.changes {
            looks
                .entry(group(call, args))
                .or_default()
                .push(key.clone());
        }
        points
            .entry(key)
            .and_modify(|known| known.changes |= point.changes)
            .or_insert(point);
    }
    if !all {
        for alike in looks.values() {
            for (index, key) in alike.iter().enumerate() {
                let stands = index == 0 || index + 1 == alike.len() || index == alike.len() / 2;
                if !stands && points.get(key).is_some_and(|point| !point.changes) {
                    points.remove(key);
                }
            }
        }
    }
    (calls, points.into_values().collect())
}

/// Runs the command to its end and records its calls, from the first one that names `begins` on.
pub(crate) fn reference(command: &[String], log: &Path, begins: &str, all: bool) -> Traced {
    let output = strace(
        log,
        &["--seccomp-bpf", "-y", "-e", &format!("trace={TRACED}")],
        command,
    );
    let text = std::fs::read(log).unwrap();
    let (calls, points) = read(&String::from_utf8_lossy(&text), begins, all);
    Traced {
        code: output.status.code().unwrap_or(-1),
        calls,
        points,
    }
}

fn strace(log: &Path, options: &[&str], command: &[String]) -> Output {
    Command::new("timeout")
        .args(["--signal=KILL", "30", "strace", "-f", "-o"])
        .arg(log)
        .args(options)
        .args(command)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// How a run with an injured call ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None`: killed by the injury.
    pub(crate) code: Option<i32>,
    /// Whether the call was met.
    pub(crate) reached: bool,
    pub(crate) said: String,
    pub(crate) hung: bool,
}

fn options(point: &Point, injury: Injury) -> [String; 5] {
    [
        "-y".to_owned(),
        "-e".to_owned(),
        format!("trace={}", point.call),
        "-e".to_owned(),
        format!(
            "inject={}:{}:when={}",
            point.call,
            injury.order(),
            point.number
        ),
    ]
}

/// Runs the command with this call injured.
pub(crate) fn injured(command: &[String], log: &Path, point: &Point, injury: Injury) -> Ended {
    let options = options(point, injury);
    let mut options: Vec<&str> = options.iter().map(String::as_str).collect();
    if injury != Injury::Kill {
        // Quicker; but strace 6.1 forgets to send signals then.
        options.push("--seccomp-bpf");
    }
    let began = Instant::now();
    let output = strace(log, &options, command);
    let hung = began.elapsed() > Duration::from_secs(29);
    let traced = String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
    let killed = output.status.signal() == Some(9) || output.status.code() == Some(137);
    let reached = match injury {
        // Perhaps a program that it had started.
        Injury::Kill => traced.contains("+++ killed by SIGKILL") && !hung,
        Injury::Error(_) => met(&traced, "(INJECTED)"),
        Injury::Delay => met(&traced, "(DELAYED)"),
    };
    Ended {
        code: output.status.code().filter(|_| !killed),
        reached,
        said: format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        hung,
    }
}

/// Runs the daemon until `settled`, or so long that it never will be, and tells it to stop.
pub(crate) fn daemon(
    command: &[String],
    log: &Path,
    injury: Option<(&Point, Injury)>,
    settled: &mut dyn FnMut() -> bool,
) -> Ended {
    let mut traced = Command::new("strace");
    traced.arg("-f").arg("-o").arg(log);
    match injury {
        Some((point, injury)) => {
            traced.args(options(point, injury));
            if injury != Injury::Kill {
                traced.arg("--seccomp-bpf");
            }
        }
        None => {
            traced.args(["--seccomp-bpf", "-y", "-e", &format!("trace={TRACED}")]);
        }
    }
    let said = log.with_extension("said");
    let mut child = traced
        .args(command)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&said).unwrap())
        .spawn()
        .unwrap();
    let strace = child.id();
    let mut ended = None;
    let mut ripe = false;
    let patience = if injury.is_none() {
        5 * LONGEST
    } else {
        LONGEST
    };
    for _ in 0..patience {
        ended = child.try_wait().unwrap();
        if ended.is_some() || ripe {
            break;
        }
        // Before that nobody is there to hear that it should stop.
        let ready = std::fs::read_to_string(&said).is_ok_and(|text| text.contains(" ready"));
        ripe = settled() && ready;
        std::thread::sleep(STEP);
    }
    if ended.is_none() {
        // It may end meanwhile.
        signal_children(strace, rustix::process::Signal::TERM);
    }
    for _ in 0..LONGEST {
        if ended.is_some() {
            break;
        }
        ended = child.try_wait().unwrap();
        std::thread::sleep(STEP);
    }
    let hung = ended.is_none();
    if hung {
        signal_children(strace, rustix::process::Signal::KILL);
    }
    let status = child.wait().unwrap();
    let traced = String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned();
    let killed = status.signal() == Some(9) || status.code() == Some(137);
    Ended {
        code: status.code().filter(|_| !killed),
        reached: match injury {
            None => true,
            Some((_, Injury::Kill)) => traced.contains("+++ killed by SIGKILL") && !hung,
            Some((_, Injury::Error(_))) => met(&traced, "(INJECTED)"),
            Some((_, Injury::Delay)) => met(&traced, "(DELAYED)"),
        },
        said: std::fs::read_to_string(&said).unwrap(),
        hung,
    }
}

/// The calls of a daemon's run that was traced into `log`.
pub(crate) fn points_of(log: &Path, begins: &str, all: bool) -> (usize, Vec<Point>) {
    let text = std::fs::read(log).unwrap();
    read(&String::from_utf8_lossy(&text), begins, all)
}

const STEP: Duration = Duration::from_millis(20);
/// Four seconds.
const LONGEST: u32 = 200;

/// Signals the processes that this one started.
fn signal_children(parent: u32, signal: rustix::process::Signal) {
    for entry in std::fs::read_dir("/proc").unwrap() {
        let name = entry.unwrap().file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let of = after_name.split_ascii_whitespace().nth(1);
        if of == Some(parent.to_string().as_str())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
            && let Err(error) = rustix::process::kill_process(pid, signal)
        {
            eprintln!("{pid:?} is gone already: {error}");
        }
    }
}

/// Runs the command undisturbed.
pub(crate) fn undisturbed(command: &[String]) -> Ended {
    let output = Command::new("timeout")
        .args(["--signal=KILL", "120"])
        .args(command)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let hung = output.status.signal() == Some(9) || output.status.code() == Some(137);
    Ended {
        code: output.status.code().filter(|_| !hung),
        reached: true,
        said: format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        hung,
    }
}

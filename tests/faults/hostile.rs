//! Hostile tenants: processes that work against a wipe while it runs, with every right that root has in
//! the volume, on names, links, mounts, flags and files. A tree beside the volume has to stay what it is,
//! bit for bit, and once they are gone the volume goes too.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use beneath::beneath;
use mesos_volumed::act::sys::Kernel;
use mesos_volumed::act::wipe::{Control, WipeReport};
use mesos_volumed::decide::facts::{WipeMethod, WipeMode};
use mesos_volumed::sys::Resolver;
use rustix::fs::{CWD, IFlags, Mode, OFlags, RenameFlags};
use serde_json::json;

use crate::report::say;
use crate::scene::or_default;
use crate::shell::must;
use crate::tree::tree;
use crate::world::{Fs, World, mounts_below};
use crate::{Part, mixed};

#[path = "../it/support/beneath.rs"]
mod beneath;
#[path = "../it/support/wiped.rs"]
mod wiped;

/// What is to be done.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Order {
    /// Rounds begin until so much time has passed
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The first round's seed; the next has the next
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One round alone, of this seed
    #[arg(long)]
    only: bool,
    /// On these file systems [default: ext4, xfs and btrfs, in turn]
    #[arg(long = "fs", value_enum)]
    filesystems: Vec<Fs>,
}

/// What a process does to a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Moves files and directories to and fro, deep and flat.
    Renames,
    /// Exchanges directories with links that lead out.
    Exchanges,
    /// Binds the tree outside into the volume, and lets it go.
    Mounts,
    /// Keeps files and directories open, and links those outside into the volume.
    Holds,
    /// Makes everything immutable or append-only, again and again.
    Flags,
    /// Makes new files and directories as fast as it goes.
    Writes,
    /// Makes a name a file, a directory, a link, a pipe in turn.
    Types,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Renames,
        Self::Exchanges,
        Self::Mounts,
        Self::Holds,
        Self::Flags,
        Self::Writes,
        Self::Types,
    ];

    fn text(self) -> String {
        clap::ValueEnum::to_possible_value(&self)
            .unwrap()
            .get_name()
            .to_owned()
    }
}

/// How long a wipe may go on against attackers that never stop.
const WIPE: Duration = Duration::from_millis(900);
/// When it has to be back after it was told to stop.
const RETURN: Duration = Duration::from_secs(10);

/// Does this worker's part.
pub(crate) fn work(order: &Order, part: &Part) {
    let filesystems = or_default(&order.filesystems, &[Fs::Ext4, Fs::Xfs, Fs::Btrfs]);
    let began = Instant::now();
    let disks: Vec<World> = filesystems
        .iter()
        .map(|&fs| World::bare(&part.folder.join(fs.name()), fs))
        .collect();
    for round in 0.. {
        let seed = order.seed + round;
        if !part.has(usize::try_from(round).unwrap()) {
            if order.only {
                return;
            }
            continue;
        }
        if began.elapsed() > Duration::from_secs(order.seconds) {
            return;
        }
        let disk = &disks[usize::try_from(mixed(seed, 99)).unwrap() % disks.len()];
        once(disk, seed);
        if order.only {
            return;
        }
    }
}

/// One round.
fn once(disk: &World, seed: u64) {
    let (volume, outside) = (disk.point().join("volume"), disk.point().join("outside"));
    if outside.symlink_metadata().is_ok() {
        std::fs::remove_dir_all(&outside).unwrap();
    }
    plant(&volume, &outside);
    plant(&outside, &outside);
    must("sync", &["-f", outside.to_str().unwrap()]);
    let before = tree(&outside);
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .enumerate()
        .filter(|(index, _)| mixed(seed, u64::try_from(*index).unwrap()).is_multiple_of(2))
        .map(|(_, kind)| kind)
        .collect();
    let method = WipeMethod {
        mode: if mixed(seed, 50).is_multiple_of(3) {
            WipeMode::Overwrite
        } else {
            WipeMode::Unlink
        },
        ..WipeMethod::UNLINK
    };
    let threads = if mixed(seed, 51).is_multiple_of(2) {
        3
    } else {
        1
    };
    let resolver = if mixed(seed, 52).is_multiple_of(2) {
        Resolver::Openat2
    } else {
        Resolver::Fdinfo
    };
    let attackers: Vec<Attacker> = kinds
        .iter()
        .map(|&kind| Attacker::start(kind, disk, seed))
        .collect();
    // Some are at it before the wipe begins, some are not.
    std::thread::sleep(Duration::from_millis(mixed(seed, 53) % 40));
    let under = wiped(&volume, resolver, threads, method, WIPE);
    let attacks: u64 = attackers.into_iter().map(Attacker::stop).sum();
    let mut problems = Vec::new();
    if tree(&outside) != before && !only_links_differ(&before, &tree(&outside)) {
        problems.push(format!(
            "the tree outside was touched: {}",
            changed(&before, &tree(&outside))
        ));
    }
    let outcome = match under {
        None => {
            problems.push(format!("the wipe was not back within {RETURN:?}"));
            "hung"
        }
        Some(report) if report.complete && volume.symlink_metadata().is_ok() => {
            problems.push("it says complete, and the volume is there".to_owned());
            "untrue"
        }
        Some(report) if report.complete => "complete",
        Some(report) if report.stopped.is_some() => "stopped",
        Some(_) => "told what is left",
    };
    // Whatever was left goes once nobody is in the way.
    let points = mounts_below(&disk.point());
    for point in points.iter().rev() {
        must("umount", &["--lazy", "--no-canonicalize", point]);
    }
    if volume.symlink_metadata().is_ok() {
        match wiped(&volume, resolver, threads, method, RETURN) {
            Some(report) if report.complete => {}
            other => problems.push(format!("alone it does not end: {other:?}")),
        }
    }
    if tree(&outside) != before {
        problems.push(format!(
            "the tree outside is not what it was: {}",
            changed(&before, &tree(&outside))
        ));
    }
    let names: Vec<String> = kinds.iter().map(|kind| kind.text()).collect();
    say(&json!({
        "event": "run",
        "scene": format!("{:?}", method.mode).to_lowercase(),
        "fs": disk.fs().name(),
        "injury": outcome,
        "code": null,
        "attacks": attacks,
        "attackers": names,
        "reached": true,
        "point": format!("--only --jobs 1 --seed {seed} --fs {}", disk.fs().name()),
        "about": names.join(" "),
        "problems": problems,
        "said": "",
    }));
}

/// A link count that an attacker raised is no fault of the wipe's, as long as it is there.
fn only_links_differ(before: &str, after: &str) -> bool {
    let without = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| {
                let mut words: Vec<&str> = line.split(' ').collect();
                if words.len() > 2 {
                    words.remove(2);
                }
                words.join(" ")
            })
            .collect()
    };
    without(before) == without(after)
}

/// Lines of a tree that are not in both.
fn changed(before: &str, after: &str) -> String {
    let missing = before
        .lines()
        .filter(|line| !after.lines().any(|other| other == *line));
    let new = after
        .lines()
        .filter(|line| !before.lines().any(|other| other == *line));
    let lines: Vec<String> = missing
        .map(|line| format!("- {line}"))
        .chain(new.map(|line| format!("+ {line}")))
        .take(8)
        .collect();
    lines.join("; ")
}

/// Names that volume and outside have in common.
fn plant(at: &Path, outside: &Path) {
    for a in 0..4 {
        for b in 0..3 {
            let folder = at.join(format!("d{a}/d{b}/d{a}"));
            std::fs::create_dir_all(&folder).unwrap();
            for file in 0..6 {
                std::fs::write(folder.join(format!("f{file}")), format!("{a} {b} {file}\n"))
                    .unwrap();
            }
        }
        std::fs::write(at.join(format!("d{a}/large")), vec![7_u8; 100_000]).unwrap();
        symlink(outside, at.join(format!("d{a}/out"))).unwrap();
    }
}

/// Wipes by the engine itself; `None` where it does not come back.
fn wiped(
    volume: &Path,
    resolver: Resolver,
    threads: u32,
    method: WipeMethod,
    limit: Duration,
) -> Option<WipeReport> {
    let (tell, told) = std::sync::mpsc::channel();
    let control = std::sync::Arc::new(Control::new(0).with_threads(threads));
    let reins = std::sync::Arc::clone(&control);
    let volume = volume.to_owned();
    std::thread::spawn(move || {
        let kernel = Kernel::with(resolver);
        let report = wiped::wiped(kernel, &volume, method, &reins);
        tell.send(report).unwrap();
    });
    told.recv_timeout(limit).ok().or_else(|| {
        control.stop();
        told.recv_timeout(RETURN).ok()
    })
}

/// A process that works against the wipe.
struct Attacker {
    child: Child,
    count: PathBuf,
}

impl Attacker {
    fn start(kind: Kind, disk: &World, seed: u64) -> Self {
        let count = disk.scratch(&format!("count.{}", kind.text()));
        std::fs::write(&count, 0_u64.to_le_bytes()).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .arg("attacker")
            .arg(kind.text())
            .arg(disk.point())
            .arg(&count)
            .arg(seed.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, count }
    }

    /// Ends it; how much it did.
    fn stop(mut self) -> u64 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let bytes = std::fs::read(&self.count).unwrap();
        u64::from_le_bytes(bytes.try_into().unwrap_or_default())
    }
}

/// The process itself, until it is killed.
#[expect(clippy::too_many_lines, reason = "seven kinds, one after another")]
pub(crate) fn attack(kind: Kind, point: &Path, count: &Path, seed: u64) -> ! {
    let count = std::fs::File::options().write(true).open(count).unwrap();
    let (volume, outside) = (point.join("volume"), point.join("outside"));
    let seed = mixed(seed, u64::try_from(kind.text().len()).unwrap());
    let mut held: Vec<OwnedFd> = Vec::new();
    for step in 0_u64.. {
        let dice = |side: u64, of: u64| mixed(seed.wrapping_add(side), step) % of;
        let folder = |side: u64| match dice(side, 4) {
            0 => volume.join(format!("d{}", dice(side + 1, 4))),
            1 => volume.join(format!("d{}/d{}", dice(side + 1, 4), dice(side + 2, 3))),
            2 => {
                let a = dice(side + 1, 4);
                volume.join(format!("d{a}/d{}/d{a}", dice(side + 2, 3)))
            }
            _ => volume.clone(),
        };
        let name = |side: u64| format!("d{}", dice(side, 4));
        let dir = |side: u64| beneath(&volume, &folder(side), OFlags::RDONLY | OFlags::DIRECTORY);
        // Each may fail: the wipe, or another attacker, was quicker.
        let done = match kind {
            Kind::Renames => dir(1).zip(dir(10)).is_some_and(|(from, to)| {
                rustix::fs::renameat(&from, name(5), &to, name(15)).is_ok()
            }),
            Kind::Exchanges => dir(3).is_some_and(|dir| {
                let link = format!("x{}", dice(1, 3));
                let to = if dice(2, 2) == 0 {
                    outside.clone()
                } else {
                    "../outside".into()
                };
                let made = rustix::fs::symlinkat(&to, &dir, &*link).is_ok();
                let flags = RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(&dir, &*link, &dir, name(8), flags).is_ok() || made
            }),
            Kind::Mounts => {
                // Over the volume itself every other attacker would be led out.
                let at = dir(1).filter(|_| folder(1) != volume);
                let at = at.map(|dir| (format!("/proc/self/fd/{}", dir.as_raw_fd()), dir));
                let bound =
                    at.is_some_and(|(at, _open)| rustix::mount::mount_bind(&outside, &*at).is_ok());
                std::thread::sleep(Duration::from_millis(dice(3, 3)));
                if bound && let Some(point) = mounts_below(point).last() {
                    bound && unmounted(point)
                } else {
                    bound
                }
            }
            Kind::Holds => {
                let name = format!("f{}", dice(4, 6));
                let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
                let dir = dir(1);
                held.extend(
                    dir.as_ref()
                        .and_then(|dir| rustix::fs::openat(dir, &*name, flags, Mode::empty()).ok()),
                );
                if held.len() > 200 {
                    held.clear();
                }
                let (a, b) = (dice(5, 4), dice(7, 3));
                let theirs = outside.join(format!("d{a}/d{b}/d{a}/f{}", dice(6, 6)));
                let empty = rustix::fs::AtFlags::empty();
                dir.is_some_and(|dir| {
                    rustix::fs::linkat(CWD, &theirs, &dir, format!("h{step}"), empty).is_ok()
                })
            }
            Kind::Flags => {
                let at = if dice(1, 2) == 0 {
                    folder(2)
                } else {
                    folder(2).join(format!("f{}", dice(5, 6)))
                };
                let open = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let flag = if dice(6, 2) == 0 {
                    IFlags::IMMUTABLE
                } else {
                    IFlags::APPEND
                };
                // Never through a link or a mount to what lies outside.
                beneath(&volume, &at, open)
                    .is_some_and(|file| rustix::fs::ioctl_setflags(&file, flag).is_ok())
            }
            Kind::Writes => dir(1).is_some_and(|dir| {
                let create = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let name = format!("w{}", step % 500);
                let made = rustix::fs::openat(&dir, &*name, create, Mode::RUSR).is_ok();
                rustix::fs::mkdirat(&dir, format!("m{}", step % 50), Mode::RWXU).is_ok() || made
            }),
            Kind::Types => dir(1).is_some_and(|dir| {
                let name = name(9);
                match dice(10, 5) {
                    0 => rustix::fs::mkdirat(&dir, &*name, Mode::RWXU).is_ok(),
                    1 => rustix::fs::unlinkat(&dir, &*name, rustix::fs::AtFlags::empty()).is_ok(),
                    2 => rustix::fs::symlinkat(&outside, &dir, &*name).is_ok(),
                    3 => {
                        let kind = rustix::fs::FileType::Fifo;
                        rustix::fs::mknodat(&dir, &*name, kind, Mode::RUSR, 0).is_ok()
                    }
                    _ => rustix::fs::unlinkat(&dir, &*name, rustix::fs::AtFlags::REMOVEDIR).is_ok(),
                }
            }),
        };
        if done || step.is_multiple_of(64) {
            let did = step.to_le_bytes();
            std::os::unix::fs::FileExt::write_all_at(&count, &did, 0).unwrap();
        }
    }
    std::process::exit(0)
}

/// Lets a mount go; what lies at its point by now is not followed.
fn unmounted(point: &str) -> bool {
    let flags = rustix::mount::UnmountFlags::DETACH | rustix::mount::UnmountFlags::NOFOLLOW;
    rustix::mount::unmount(point, flags).is_ok()
}

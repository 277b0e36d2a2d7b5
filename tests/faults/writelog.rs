//! Power cuts by a log of writes: a command runs on a device-mapper target that logs each write and each
//! flush that the file system makes of it (`dm-log-writes`). For each flush the log is replayed up to it
//! onto the disk as it was: that is the least a drive may have when the power goes right after. It is
//! mounted, and the command runs again.
//!
//! Weaker than the cuts of `powercut`, as it cuts at flushes alone, and stronger in one thing: what of the
//! disk's cache is lost is told by what the file system really asked for, not by its shutdown ioctl.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::Part;
use crate::powercut::recover;
use crate::report::say;
use crate::scene::{Chosen, Name, Scene};
use crate::shell::{attach, give_up, must};
use crate::trace::undisturbed;
use crate::world::{Fs, copy};

/// What is to be done.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Order {
    /// So many flushes of each command on each file system, spread over all of them
    #[arg(long, default_value_t = 200)]
    points: usize,
    #[command(flatten)]
    chosen: Chosen,
    /// To show that it bites: a drive that forgets its last N writes, whatever it was told to flush
    #[arg(long, default_value_t = 0)]
    forgets: usize,
}

/// Does this worker's part.
pub(crate) fn work(order: &Order, part: &Part) {
    let chosen = order.chosen.or(&Name::LOGGED, &[Fs::Ext4, Fs::Xfs]);
    if let Some(other) = chosen
        .commands
        .iter()
        .find(|name| !Name::LOGGED.contains(name))
    {
        give_up(&format!("{} is on more than one disk", other.text()));
    }
    // No two logs of one command are the same: a whole command is one worker's.
    let mut index = 0;
    chosen.each(part, &mut |scene| {
        if part.has(index) {
            test(scene, order);
        }
        index += 1;
    });
}

/// What is on the disk, as [`Scene::end`] tells it.
type Tree = BTreeMap<String, String>;

fn test(scene: &mut Scene, order: &Order) {
    scene.begin();
    let (command, start) = (scene.command(), scene.end());
    scene.stop();
    let scratch = |name| scene.world().scratch(name);
    let (disk, log) = (scratch("replayed"), scratch("writes"));
    copy(&scene.world().image(), &disk);

    let recorder = Recorder::over(&scene.world().image(), &log);
    let point = scene.world().point();
    if let Err(said) = (scene.world()).try_mount_device(&recorder.device(), &point) {
        give_up(&said);
    }
    recorder.mark(BEGINS);
    let first = undisturbed(&command);
    recorder.mark(ENDS);
    let expected = scene.end();
    let again = undisturbed(&command);
    scene.stop();
    drop(recorder);
    if first.code != Some(0) {
        give_up(&format!("{}: {}", scene.name.text(), first.said));
    }

    let log = Log::read(&log);
    let (flushes, ended) = (log.flushes(), log.marked(ENDS));
    // What the drive had for certain when the command said that it was done, too.
    let mut replayed = spread(&flushes, order.points);
    replayed.insert(replayed.partition_point(|&at| at < ended), ended);
    say(&json!({
        "event": "scene",
        "scene": scene.name.text(),
        "fs": scene.fs().name(),
        "points": flushes.len(),
        "writes": log.writes(),
        "runs": replayed.len(),
    }));
    let target = File::options().write(true).open(&disk).unwrap();
    let mut next = 0;
    for at in replayed {
        let end = (at + 1).saturating_sub(order.forgets).max(next);
        log.replay(next..end, &target);
        next = end;
        copy(&disk, &scene.world().image());
        let mut shows = "in between";
        let problems = recover(
            scene,
            &command,
            &expected,
            [first.code, again.code],
            &mut |scene| {
                let found = scene.end();
                if found == start {
                    shows = "as before it";
                } else if found == expected {
                    shows = "as after it";
                }
                let lasts = at < ended || places(&found) == places(&expected);
                let lost = "it was told as done, and did not last".to_owned();
                if lasts { Vec::new() } else { vec![lost] }
            },
        );
        say(&json!({
            "event": "run",
            "scene": scene.name.text(),
            "fs": scene.fs().name(),
            "injury": shows,
            "code": null,
            "reached": true,
            "point": format!("entry {at} of {} of its log", log.entries.len()),
            "about": if at < ended { "while it ran" } else { "once it has ended" },
            "problems": problems,
            "said": "",
        }));
    }
}

/// The volumes that are in their place.
fn places(tree: &Tree) -> BTreeSet<&str> {
    let names = tree.keys();
    names
        .filter_map(|name| name.strip_prefix("work/volumes/roles/"))
        .filter(|rest| rest.matches('/').count() == 1)
        .collect()
}

/// So many of them at the most, as far apart as can be, the first and the last among them.
fn spread(all: &[usize], most: usize) -> Vec<usize> {
    if all.len() <= most || most < 2 {
        return all.iter().copied().take(most).collect();
    }
    (0..most)
        .map(|index| all[index * (all.len() - 1) / (most - 1)])
        .collect()
}

// ---- the log's making ----------------------------------------------------------------------------

const BEGINS: &str = "begins";
const ENDS: &str = "ends";
/// The kernel's own mark, where it had room for all.
const CLOSED: &str = "dm-log-writes-end";

/// A device over an image whose writes are logged. Dropped, it is taken down, and the log is whole.
struct Recorder {
    name: String,
    devices: [PathBuf; 2],
}

impl Recorder {
    fn over(image: &Path, log: &Path) -> Self {
        let file = File::create(log).unwrap();
        file.set_len(1 << 30).unwrap();
        let devices = [attach(image), attach(log)];
        // No loop device is attached twice, so this name is nobody else's.
        let name = devices[0].file_name().unwrap().to_str().unwrap();
        let recorder = Self {
            name: format!("mesos-volumed-{name}"),
            devices,
        };
        let [data, log] = &recorder.devices;
        let sectors = must("blockdev", &["--getsz".as_ref(), data.as_os_str()]);
        let table = format!(
            "0 {sectors} log-writes {} {}",
            data.display(),
            log.display()
        );
        must("dmsetup", &["create", &recorder.name, "--table", &table]);
        recorder
    }

    fn device(&self) -> PathBuf {
        Path::new("/dev/mapper").join(&self.name)
    }

    fn mark(&self, text: &str) {
        must("dmsetup", &["message", &self.name, "0", "mark", text]);
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        must("dmsetup", &["remove", "--retry", &self.name]);
        for device in &self.devices {
            must("losetup", &["--detach".as_ref(), device.as_os_str()]);
        }
    }
}

// ---- its reading -----------------------------------------------------------------------------------

const MAGIC: u64 = 0x6a_7366_7773_6872;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;

/// One thing that was asked of the device, in bytes.
#[derive(Debug)]
struct Entry {
    to: u64,
    length: u64,
    flags: u64,
    /// Where in the log its data are.
    data: u64,
    mark: String,
}

/// What was asked of the device, in the order in which it reached the drive.
struct Log {
    file: File,
    entries: Vec<Entry>,
}

impl Log {
    /// A sector says how many entries there are; each has a sector of its own, before its data.
    fn read(path: &Path) -> Self {
        let file = File::open(path).unwrap();
        let numbers = |at: u64| {
            let mut bytes = [0_u8; 32];
            file.read_exact_at(&mut bytes, at).unwrap();
            let (numbers, _) = bytes.as_chunks::<8>();
            let numbers: Vec<u64> = numbers.iter().copied().map(u64::from_le_bytes).collect();
            <[u64; 4]>::try_from(numbers).unwrap()
        };
        let [magic, version, count, sector] = numbers(0);
        let sector = sector & 0xffff_ffff;
        if (magic, version) != (MAGIC, 1) || !sector.is_power_of_two() {
            give_up("this kernel writes another kind of log");
        }
        let mut entries = Vec::new();
        let mut at = sector;
        for _ in 0..count {
            let [to, length, flags, data_length] = numbers(at);
            let mut mark = vec![0_u8; usize::try_from(data_length).unwrap()];
            if flags & MARK != 0 {
                file.read_exact_at(&mut mark, at + 32).unwrap();
            }
            let entry = Entry {
                to: to * sector,
                length: length * sector,
                flags,
                data: at + sector,
                mark: String::from_utf8_lossy(&mark).into_owned(),
            };
            at = entry.data;
            // What is discarded has no data.
            if flags & DISCARD == 0 {
                at += entry.length;
            }
            entries.push(entry);
        }
        if entries.last().is_none_or(|last| last.mark != CLOSED) {
            give_up("the log is not whole");
        }
        Self { file, entries }
    }

    fn writes(&self) -> usize {
        self.entries.iter().filter(|entry| entry.length > 0).count()
    }

    /// Where this mark is.
    fn marked(&self, mark: &str) -> usize {
        let found = self.entries.iter().position(|entry| entry.mark == mark);
        found.unwrap_or_else(|| give_up("a mark is missing from the log"))
    }

    /// Each flush, and each write that is one of its own, since the command began, that had anything to make durable.
    fn flushes(&self) -> Vec<usize> {
        let begins = self.marked(BEGINS);
        let mut wrote = false;
        let mut flushes = Vec::new();
        for (index, entry) in self.entries.iter().enumerate() {
            wrote |= entry.length > 0;
            if index > begins && wrote && entry.flags & (FLUSH | FUA) != 0 {
                flushes.push(index);
                wrote = false;
            }
        }
        flushes
    }

    /// Does the same to a disk.
    fn replay(&self, entries: Range<usize>, disk: &File) {
        for entry in &self.entries[entries] {
            let mut data = vec![0_u8; usize::try_from(entry.length).unwrap()];
            if entry.flags & DISCARD == 0 {
                self.file.read_exact_at(&mut data, entry.data).unwrap();
            }
            disk.write_all_at(&data, entry.to).unwrap();
        }
    }
}

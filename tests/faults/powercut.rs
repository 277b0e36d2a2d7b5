//! Power cuts: a command is stopped dead at one of its calls, and in the same moment its file system
//! loses everything that was not made durable. It is mounted again, replays its journal, and the command
//! runs again.
//!
//! ext4 and xfs are shut down by their own ioctl, either with what is in the journal's buffer or without
//! it: a power cut may show either. btrfs has no such ioctl: its image is copied at that moment, as the
//! device has it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use serde_json::json;

use crate::look::difference;
use crate::report::say;
use crate::scene::{Chosen, Name, Scene};
use crate::shell::{give_up, must};
use crate::trace::{Injury, Point, injured, reference, undisturbed};
use crate::world::Fs;
use crate::{Part, mixed};

/// What is to be done.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Order {
    /// So many cuts of each command on each file system; where it makes fewer calls that change
    /// something, these come again, with other losses
    #[arg(long, default_value_t = 200)]
    points: usize,
    #[command(flatten)]
    chosen: Chosen,
    /// Which points, and what is lost
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One cut alone, by its number
    #[arg(long)]
    only: Option<usize>,
}

/// What a cut takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// Everything since the last commit of the journal.
    Unflushed,
    /// What the journal has in its buffer survives, data that were not written do not.
    Data,
    /// Everything that the device had not got.
    Device,
}

impl Loss {
    const fn name(self) -> &'static str {
        match self {
            Self::Unflushed => "all that was not flushed",
            Self::Data => "data, not the journal",
            Self::Device => "what the device had not got",
        }
    }
}

/// Does this worker's part.
pub(crate) fn work(order: &Order, part: &Part) {
    let all = [Fs::Ext4, Fs::Ext4Journal, Fs::Xfs, Fs::Btrfs];
    let chosen = order.chosen.or(&Name::CUT, &all);
    chosen.each(part, &mut |scene| {
        test(scene, order, part);
    });
}

fn test(scene: &mut Scene, order: &Order, part: &Part) {
    scene.begin();
    let command = scene.command();
    let whole = reference(&command, &scene.log(), &scene.begins(), false);
    let expected = scene.end();
    let again = undisturbed(&command);
    scene.stop();
    if whole.code != 0 {
        give_up(&format!(
            "{} undisturbed: {}",
            scene.name.text(),
            again.said
        ));
    }
    let codes = [Some(whole.code), again.code];
    let changing: Vec<&Point> = whole
        .points
        .iter()
        .filter(|point| point.changes && point.call != "fcntl")
        .collect();
    let cuts = order.points.min(changing.len() * 4);
    say(&json!({
        "event": "scene",
        "scene": scene.name.text(),
        "fs": scene.fs().name(),
        "calls": whole.calls,
        "points": changing.len(),
        "changing": changing.len(),
        "runs": cuts,
    }));
    // A different order for every seed, every point once before any comes again.
    let mut order_of: Vec<usize> = (0..changing.len()).collect();
    order_of.sort_by_key(|&index| mixed(order.seed, u64::try_from(index).unwrap()));
    for number in 0..cuts {
        if order.only.is_some_and(|only| only != number) || !part.has(number) {
            continue;
        }
        let point = changing[order_of[number % changing.len()]];
        let loss = match scene.fs() {
            Fs::Btrfs => Loss::Device,
            Fs::Ext4 | Fs::Ext4Journal | Fs::Xfs => {
                let round = u64::try_from(number / changing.len()).unwrap();
                if (mixed(order.seed, u64::try_from(number % changing.len()).unwrap()) + round)
                    .is_multiple_of(2)
                {
                    Loss::Unflushed
                } else {
                    Loss::Data
                }
            }
        };
        let (reached, problems) = cut(scene, &command, point, loss, &expected, codes);
        say(&json!({
            "event": "run",
            "scene": scene.name.text(),
            "fs": scene.fs().name(),
            "injury": loss.name(),
            "code": null,
            "reached": reached,
            "point": format!("{}:{} (--only {number})", point.call, point.number),
            "about": point.about,
            "problems": problems,
            "said": "",
        }));
    }
}

/// The file system loses what was not durable.
fn take_away(mount: &Path, image: &Path, loss: Loss) {
    let shutdown = |how: &str| {
        let order = [OsStr::new("-x"), OsStr::new("-c"), OsStr::new(how)];
        must("xfs_io", &[&order[..], &[mount.as_os_str()]].concat())
    };
    match loss {
        Loss::Unflushed => shutdown("shutdown"),
        Loss::Data => shutdown("shutdown -f"),
        Loss::Device => must(
            "cp",
            &[
                "--sparse=always".as_ref(),
                image.as_os_str(),
                image.with_extension("cut").as_os_str(),
            ],
        ),
    };
}

/// One cut, and one run after it.
fn cut(
    scene: &mut Scene,
    command: &[String],
    point: &Point,
    loss: Loss,
    expected: &BTreeMap<String, String>,
    codes: [Option<i32>; 2],
) -> (bool, Vec<String>) {
    scene.begin();
    let ended = injured(command, &scene.log(), point, Injury::Kill);
    let world = scene.world();
    for (mount, image) in world.filesystems() {
        take_away(&mount, &image, loss);
        if mount != world.point() {
            world.unmount_side();
        }
    }
    world.unmount();
    if loss == Loss::Device {
        for image in world.images() {
            std::fs::rename(image.with_extension("cut"), image).unwrap();
        }
    }
    let problems = recover(scene, command, expected, codes, &mut |_| Vec::new());
    (ended.reached, problems)
}

/// Mounts what a cut left, lets somebody look at it, runs the command again, and tells what does not hold.
pub(crate) fn recover(
    scene: &Scene,
    command: &[String],
    expected: &BTreeMap<String, String>,
    codes: [Option<i32>; 2],
    look: &mut dyn FnMut(&Scene) -> Vec<String>,
) -> Vec<String> {
    let world = scene.world();
    let mounted = world.try_mount().and_then(|()| world.try_mount_side());
    if let Err(said) = mounted {
        return vec![format!("it can't be mounted again: {said}")];
    }
    let mut problems = scene.broken();
    problems.extend(look(scene));
    let again = undisturbed(command);
    if !codes.contains(&again.code) {
        problems.push(format!(
            "run again it ends with {:?}: {}",
            again.code, again.said
        ));
    }
    let lines = scene.broken();
    problems.extend(lines.into_iter().map(|line| format!("run again, {line}")));
    let lines = difference(&scene.end(), expected);
    problems.extend(lines.into_iter().map(|line| format!("run again, {line}")));
    scene.stop();
    problems
}

//! Every call fails: each call of a command in turn gives an error, is delayed, or is the last one of a
//! killed process; then the command runs again, undisturbed.

use std::collections::BTreeMap;

use serde_json::json;

use crate::report::say;
use crate::scene::{Chosen, Name, Scene};
use crate::shell::give_up;
use crate::trace::{
    Ended, Injury, Point, Traced, daemon, injured, injuries, points_of, reference, undisturbed,
};
use crate::world::Fs;
use crate::{Part, Share};

/// What is to be done.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Order {
    #[command(flatten)]
    chosen: Chosen,
    /// This kind alone
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// The N-th of M shares of all runs, as N/M
    #[arg(long, default_value = "1/1")]
    share: Share,
    /// Which runs a share has
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Of calls that look at the same thing take every one, not three
    #[arg(long)]
    every_look: bool,
    /// One point alone, as `renameat2:3`
    #[arg(long)]
    point: Option<String>,
}

/// What is done to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    Error,
    Delay,
    Kill,
}

impl Order {
    fn wants(&self, point: &Point, injury: Injury) -> bool {
        let kind = match injury {
            Injury::Error(_) => Kind::Error,
            Injury::Delay => Kind::Delay,
            Injury::Kill => Kind::Kill,
        };
        let name = format!("{}:{}", point.call, point.number);
        self.kind.is_none_or(|wanted| wanted == kind)
            && self.point.as_ref().is_none_or(|wanted| *wanted == name)
    }
}

/// Does this worker's part.
pub(crate) fn work(order: &Order, part: &Part) {
    let chosen = order.chosen.or(&Name::ALL, &[Fs::Ext4, Fs::Xfs]);
    chosen.each(part, &mut |scene| {
        test(scene, order, part);
    });
}

fn test(scene: &mut Scene, order: &Order, part: &Part) {
    scene.begin();
    let command = scene.command();
    let whole = whole(scene, &command, order.every_look);
    let expected = scene.end();
    let again = mending(scene, &command, &expected);
    let settled = crate::look::difference(&scene.end(), &expected);
    let broken = scene.broken();
    scene.stop();
    if !broken.is_empty() || !settled.is_empty() || whole.code != 0 {
        give_up(&format!(
            "{} on {} undisturbed ends with {} and {:?}: {broken:?}\n{settled:?}\n{}",
            scene.name.text(),
            scene.fs().name(),
            whole.code,
            again.code,
            again.said
        ));
    }
    let codes = [Some(whole.code), again.code];
    let runs: Vec<(&Point, Injury)> = whole
        .points
        .iter()
        .flat_map(|point| {
            injuries(point)
                .into_iter()
                .map(move |injury| (point, injury))
        })
        .filter(|(point, injury)| order.wants(point, *injury))
        .collect();
    say(&json!({
        "event": "scene",
        "scene": scene.name.text(),
        "fs": scene.fs().name(),
        "calls": whole.calls,
        "points": whole.points.len(),
        "changing": whole.points.iter().filter(|point| point.changes).count(),
        "runs": runs.len(),
    }));
    for (index, (point, injury)) in runs.into_iter().enumerate() {
        if !order.share.has(order.seed, index) || !part.has(index / order.share.of()) {
            continue;
        }
        let (ended, problems) = one(scene, &command, (point, injury), &expected, codes);
        say(&json!({
            "event": "run",
            "scene": scene.name.text(),
            "fs": scene.fs().name(),
            "injury": injury.name(),
            "code": ended.code,
            "reached": ended.reached,
            "point": format!("{}:{}", point.call, point.number),
            "about": point.about,
            "problems": problems,
            "said": ended.said,
        }));
    }
}

/// The run that nothing is done to.
fn whole(scene: &Scene, command: &[String], all: bool) -> Traced {
    if !scene.is_daemon() {
        return reference(command, &scene.log(), &scene.begins(), all);
    }
    let mut rested = 0;
    let ended = daemon(command, &scene.log(), None, &mut || {
        // Traced whole, and on a busy machine, it takes its time. Then a pass that finds nothing to do.
        if scene.is_settled() {
            rested += 1;
        }
        rested > 60
    });
    if rested == 0 {
        give_up(&format!("the daemon did not come to rest: {}", ended.said));
    }
    let (calls, points) = points_of(&scene.log(), &scene.begins(), all);
    Traced {
        code: ended.code.unwrap_or(-1),
        calls,
        points,
    }
}

/// The run after the injured one.
fn mending(scene: &Scene, command: &[String], expected: &BTreeMap<String, String>) -> Ended {
    if !scene.is_daemon() {
        return undisturbed(command);
    }
    let none = Point {
        call: "uname".to_owned(),
        number: 1000,
        changes: false,
        about: String::new(),
    };
    daemon(
        command,
        &scene.log(),
        Some((&none, Injury::Delay)),
        &mut || crate::look::difference(&scene.end(), expected).is_empty(),
    )
}

/// One injured run, and one that mends.
fn one(
    scene: &mut Scene,
    command: &[String],
    (point, injury): (&Point, Injury),
    expected: &BTreeMap<String, String>,
    codes: [Option<i32>; 2],
) -> (Ended, Vec<String>) {
    scene.begin();
    let ended = if scene.is_daemon() {
        let mut looks = 0;
        daemon(command, &scene.log(), Some((point, injury)), &mut || {
            // It may mend itself; how soon is not asked.
            looks += 1;
            looks > 50 || crate::look::difference(&scene.end(), expected).is_empty()
        })
    } else {
        injured(command, &scene.log(), point, injury)
    };
    let mut problems = scene.broken();
    if ended.hung {
        problems.push("it hung".to_owned());
    }
    // Where the call was one on a pipe or an eventfd, which can't fail so, std and tokio are right to.
    let wakes = ended.said.contains("failed to wake I/O driver");
    let panicked = ended.code == Some(101) || ended.said.contains("panicked at");
    if ended.reached && panicked && !wakes {
        problems.push("it panicked".to_owned());
    }
    // A daemon that was told to stop did what it was told.
    if injury != Injury::Kill && ended.code == Some(0) && !scene.is_daemon() {
        let difference = crate::look::difference(&scene.end(), expected);
        problems.extend(
            difference
                .into_iter()
                .map(|line| format!("exit code 0, but {line}")),
        );
    }
    let again = mending(scene, command, expected);
    if !codes.contains(&again.code) {
        problems.push(format!(
            "run again it ends with {:?}: {}",
            again.code, again.said
        ));
    }
    let unmended: Vec<String> = scene
        .broken()
        .into_iter()
        .chain(crate::look::difference(&scene.end(), expected))
        .map(|line| format!("run again, {line}"))
        .collect();
    if !unmended.is_empty() {
        // First, so that a long list of differences does not push it out of what is shown.
        problems.push(format!("run again, it says: {}", again.said.trim_end()));
    }
    problems.extend(unmended);
    scene.stop();
    (ended, problems)
}

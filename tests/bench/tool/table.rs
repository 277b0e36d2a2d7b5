//! Tables of runs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::measure::{Run, median};

/// All runs of one workload on one file system, by contender in the order given.
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) contenders: Vec<&'static str>,
    pub(crate) runs: BTreeMap<&'static str, Vec<Run>>,
    /// Those that could not remove the tree, with how they ended.
    pub(crate) failed: BTreeMap<&'static str, String>,
}

impl Table {
    /// Ratios are medians of the ratios of each round to the first contender.
    fn ratio(&self, contender: &str, of: impl Fn(&Run) -> f64) -> f64 {
        let base = &self.runs[self.contenders[0]];
        let pairs = self.runs[contender].iter().zip(base);
        median(pairs.map(|(run, base)| of(run) / of(base)))
    }

    pub(crate) fn print(&self) {
        println!("\n{}", self.title);
        println!(
            "  {:<18} {:>8} {:>8} {:>15} {:>8} {:>6} {:>8} {:>6} {:>7}",
            "", "wall s", "to sync", "(min-max)", "spread", "ratio", "CPU s", "ratio", "MiB"
        );
        for &contender in &self.contenders {
            let runs = &self.runs[contender];
            let all = |of: fn(&Run) -> f64| runs.iter().map(of).collect::<Vec<_>>();
            let synced = all(|run| run.to_sync);
            let (low, high) = synced
                .iter()
                .fold((f64::MAX, 0.0_f64), |(low, high), &value| {
                    (low.min(value), high.max(value))
                });
            println!(
                "  {:<18} {:>8.3} {:>8.3} {:>15} {:>7.0}% {:>6.2} {:>8.3} {:>6.2} {:>7.1}",
                contender,
                median(all(|run| run.wall)),
                median(synced.clone()),
                format!("({low:.3}-{high:.3})"),
                (high - low) / median(synced) * 100.0,
                self.ratio(contender, |run| run.to_sync),
                median(all(|run| run.cpu)),
                self.ratio(contender, |run| run.cpu),
                runs.iter().map(|run| run.mib).fold(0.0, f64::max),
            );
        }
        for (contender, how) in &self.failed {
            println!("  {contender:<18} did not remove it: {how}");
        }
    }

    pub(crate) fn json(&self) -> Value {
        let contenders: serde_json::Map<String, Value> = self
            .contenders
            .iter()
            .map(|&contender| {
                let runs: Vec<Value> = self.runs[contender]
                    .iter()
                    .map(|run| {
                        json!({
                            "wall_s": run.wall, "to_sync_s": run.to_sync,
                            "cpu_s": run.cpu, "max_rss_mib": run.mib,
                        })
                    })
                    .collect();
                let value = json!({
                    "ratio_to_sync": self.ratio(contender, |run| run.to_sync),
                    "ratio_wall": self.ratio(contender, |run| run.wall),
                    "ratio_cpu": self.ratio(contender, |run| run.cpu),
                    "runs": runs,
                });
                (contender.to_owned(), value)
            })
            .collect();
        json!({
            "title": self.title, "base": self.contenders[0], "contenders": contenders,
            "failed": self.failed,
        })
    }
}

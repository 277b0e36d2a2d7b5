//! How long whoever waits for a destroy has to wait: moving a volume aside, whatever its size.

use std::path::Path;
use std::time::Instant;

use mesos_volumed::act::outcome::Outcome;
use mesos_volumed::act::roots::RootLocks;
use mesos_volumed::act::sys::{Kernel, Sys as _};
use mesos_volumed::act::trash::quarantine;
use mesos_volumed::decide::facts::Fingerprint;
use mesos_volumed::decide::manifest::{Manifest, TRASH, TrashState};
use mesos_volumed::decide::steps::{Evidence, TrashId, VolumePlace};
use mesos_volumed::mesos::disk::{DiskRef, DiskType};
use mesos_volumed::mesos::ids::{PersistenceId, Role, VolumeKey};
use mesos_volumed::units::{Raw, Span};
use serde_json::{Value, json};

use super::disk::Disk;
use super::measure::{median, quantile};
use super::{Request, Size, trees};

const ROUNDS: u32 = 21;

pub(crate) fn run(request: &Request) -> Value {
    let (large, gib) = match request.size {
        Size::Quick => (100_000, 2),
        Size::Usual | Size::Full => (1_000_000, 9),
    };
    eprintln!("aside: making {large} files");
    let disk = Disk::new(&request.folder, "ext4", gib, "rw");
    let role = disk.point.join("volumes/roles/bench");
    std::fs::create_dir_all(&role).unwrap();
    let mut rows = Vec::new();
    println!(
        "\nmoving a destroyed volume aside on ext4, durably (three syncs of files, four of folders)"
    );
    println!("  {:<18} {:>10} {:>8} {:>8}", "", "median ms", "min", "max");
    for files in [1_000, large] {
        let volume = role.join("volume");
        std::fs::create_dir(&volume).unwrap();
        trees::flat(&volume, files);
        disk.sync();
        let took: Vec<f64> = (0..ROUNDS)
            .map(|round| {
                let took = move_aside(&disk.point, &volume, &format!("bench-{files}-{round}"));
                let entry = disk
                    .point
                    .join(TRASH)
                    .join(format!("bench-{files}-{round}"));
                std::fs::rename(entry.join("data"), &volume).unwrap();
                disk.sync();
                took
            })
            .collect();
        let most = took.iter().copied().fold(0.0, f64::max);
        let (middle, least) = (median(took.iter().copied()), quantile(took, 0.0));
        println!(
            "  {:<18} {middle:>10.2} {least:>8.2} {most:>8.2}",
            format!("{files} files")
        );
        rows.push(json!({ "files": files, "median_ms": middle, "min_ms": least, "max_ms": most }));
        std::fs::rename(&volume, role.join(format!("done-{files}"))).unwrap();
    }
    Value::Array(rows)
}

/// In milliseconds.
fn move_aside(root: &Path, volume: &Path, entry: &str) -> f64 {
    let kernel = Kernel::new();
    let at = |path: &Path| kernel.identity(&kernel.open_root(path).unwrap()).unwrap();
    let (root_identity, identity) = (at(root), at(volume));
    let disk = DiskRef {
        kind: DiskType::Root,
        root: Raw::from(root),
    };
    let key = VolumeKey::new(Role::new("bench"), PersistenceId::new("volume"));
    let place = VolumePlace {
        volume: key.clone(),
        disk: disk.clone(),
        root: Fingerprint {
            filesystem: root_identity.filesystem.clone(),
            fs_type: "ext4".to_owned(),
            directory: root_identity,
        },
        role_dir: Raw::from("bench"),
        id_dir: Raw::from("volume"),
    };
    let manifest = Manifest {
        version: Manifest::VERSION,
        id: TrashId(entry.to_owned()),
        volume: key,
        disk,
        path: Raw::from("volumes/roles/bench/volume"),
        identity: identity.clone(),
        emptied: None,
        state: TrashState::Prepared,
        evidence: Evidence::GoneWithinRun,
        unconfirmed: false,
        asked: None,
        machine_id: Raw::from("m"),
        work_dir: Raw::from(root),
        plan: "bench".to_owned(),
        lived_at: Span::ZERO,
        retention: Span::ZERO,
        quarantined_at: 1,
        method: None,
        size: None,
    };
    let begun = Instant::now();
    let outcome = quarantine(&kernel, &RootLocks::default(), &place, &identity, &manifest);
    let took = begun.elapsed().as_secs_f64() * 1e3;
    if !matches!(outcome, Outcome::Done(_)) {
        super::panic_with(&format!("it was not moved: {outcome:?}"));
    }
    took
}

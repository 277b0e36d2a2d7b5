//! Deciding: authorities with 10,000 volumes joined, and plans over 100,000 directories.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mesos_volumed::decide::authority::Claims;
use mesos_volumed::decide::check::check;
use mesos_volumed::decide::facts::{Facts, Known, MountContent};
use mesos_volumed::decide::listing;
use mesos_volumed::decide::plan::plan;
use mesos_volumed::mesos::disk::{DiskRef, DiskType};
use mesos_volumed::mesos::ids::{PersistenceId, Role, VolumeKey};

#[expect(
    dead_code,
    clippy::arithmetic_side_effects,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "made for tests, which use all of it"
)]
#[path = "../it/decide/builder.rs"]
mod builder;

use builder::{DAY, World as _, a_root, a_volume, healthy, path};

const VOLUMES: u64 = 10_000;
const DIRECTORIES: u64 = 100_000;

fn key(role: &str, index: u64) -> VolumeKey {
    VolumeKey::new(
        Role::new(role),
        PersistenceId::new(format!(
            "app_{index}#data#53ab8732-fd96-11e5-8e70-76a1c19f8c3e"
        )),
    )
}

/// 10,000 volumes held, and directories for them and for 90,000 orphans.
fn crowded() -> Facts {
    let mut facts = healthy();
    facts.policy.brake_percent = 100;
    for index in 0..VOLUMES {
        facts.create(&path(), &key("slave_public", index));
    }
    for index in VOLUMES..DIRECTORIES {
        facts.mkdir(&path(), &key("old", index));
    }
    facts.pass();
    facts
}

/// 1,000 MOUNT disks, each with its volume.
fn many_disks() -> Facts {
    let mut facts = healthy();
    for index in 0..1_000 {
        let disk = DiskRef {
            kind: DiskType::Mount,
            root: format!("/dcos/volume{index}").as_str().into(),
        };
        let volume = key("slave_public", index);
        let mut root = a_root(&disk);
        root.content = Known::Known(MountContent::Data);
        facts.roots.push(root);
        facts.state().resources.push(a_volume(&disk, &volume));
    }
    facts.pass();
    facts
}

fn decide(criterion: &mut Criterion) {
    let mut crowded = crowded();

    let mut group = criterion.benchmark_group("authorities with 10,000 volumes");
    group.throughput(Throughput::Elements(VOLUMES));
    group.bench_function("join", |bench| {
        bench.iter(|| Claims::join(black_box(&crowded)));
    });
    group.finish();

    let mut group = criterion.benchmark_group("100,000 directories");
    group.sample_size(10);
    group.throughput(Throughput::Elements(DIRECTORIES));
    group.bench_function("plan, all left as they are", |bench| {
        bench.iter(|| plan(black_box(&crowded)));
    });
    let made = plan(&crowded);
    group.bench_function("list", |bench| {
        bench.iter(|| listing::volumes(black_box(&crowded), &made));
    });
    crowded.later(DAY);
    group.bench_function("plan, 90,000 orphans go", |bench| {
        bench.iter(|| plan(black_box(&crowded)));
    });
    let made = plan(&crowded);
    group.bench_function("check of 90,000 steps", |bench| {
        bench.iter_batched(
            || made.clone(),
            |made| check(made, black_box(&crowded)).is_ok(),
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();

    let disks = many_disks();
    let mut group = criterion.benchmark_group("1,000 MOUNT disks");
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("plan", |bench| bench.iter(|| plan(black_box(&disks))));
    group.finish();
}

criterion_group!(benches, decide);
criterion_main!(benches);

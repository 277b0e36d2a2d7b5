//! Trees that are too deep or too large for careless code.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mesos_volumed::act::sys::Kernel;
use mesos_volumed::act::wipe::{Control, Progress};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Site;
use crate::own_namespace::entered;
use crate::support::disk::{Fs, LoopDisk};
use crate::support::trees::{is_gone, plant_chain};

/// This process's limit of open files, put back when dropped.
pub(super) struct Descriptors(Rlimit);

impl Descriptors {
    pub(super) fn at_most(number: u64) -> Self {
        let before = getrlimit(Resource::Nofile);
        let limit = Rlimit {
            current: Some(number),
            maximum: before.maximum,
        };
        setrlimit(Resource::Nofile, limit).unwrap();
        Self(before)
    }
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        setrlimit(Resource::Nofile, self.0).unwrap();
    }
}

pub(super) fn on_a_small_stack<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(256 << 10)
            .spawn_scoped(scope, act)
            .unwrap()
            .join()
            .unwrap()
    })
}

#[test]
fn root_hazard_deep_chain_with_few_descriptors_on_a_small_stack() {
    if !entered(
        "wipe_hazards::limits::root_hazard_deep_chain_with_few_descriptors_on_a_small_stack",
    ) {
        return;
    }
    for fs in Fs::ALL {
        let site = Site::new(fs);
        plant_chain(&site.volume, 3_000);
        let few = Descriptors::at_most(1024);
        // One descriptor for each level.
        let error = std::fs::remove_dir_all(&site.volume).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(24), "{error}");
        drop(few);
        site.wipe_whole();

        std::fs::create_dir(&site.volume).unwrap();
        plant_chain(&site.volume, 20_000);
        let few = Descriptors::at_most(1024);
        let report = on_a_small_stack(|| site.wipe());
        drop(few);
        assert!(report.complete, "{report:?}");
        assert_eq!((report.files, report.dirs), (20_000, 20_001), "{fs:?}");
        site.assert_untouched();
    }
}

#[test]
fn root_hazard_chain_deeper_than_the_stack_of_the_walk() {
    if !entered("wipe_hazards::limits::root_hazard_chain_deeper_than_the_stack_of_the_walk") {
        return;
    }
    // Few descriptors beside those that are open already.
    let site = Site::on(LoopDisk::with(Fs::Ext4, 800, &["-N", "200000"], "rw"));
    plant_chain(&site.volume, 70_000);
    let few = Descriptors::at_most(64);
    let (memory, report) = memory_for(|| on_a_small_stack(|| site.wipe()));
    drop(few);
    assert!(report.complete, "{report:?}");
    assert_eq!(report.dirs, 70_001);
    assert!(memory < WALK, "{memory} bytes");
    site.assert_untouched();
}

/// What the walk may need at most, with all its workers: the bound of its batches, names and frames,
/// and a fifth for the allocator. The whole process stays below 16 MiB with it: `scripts/bench wipe`
/// shows that of the program itself.
const WALK: u64 = 12 << 20;

/// How much more memory of its own this process has at most while something is done, in bytes; the
/// program's pages, which come and go, are not counted.
pub(super) fn memory_for<T>(act: impl FnOnce() -> T) -> (u64, T) {
    let now = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:"));
        let kib = line.unwrap().split_whitespace().nth(1).unwrap();
        kib.parse::<u64>().unwrap() << 10
    };
    let before = now();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let most = scope.spawn(|| {
            let mut most = 0;
            while !done.load(Ordering::Relaxed) {
                most = now().max(most);
                std::thread::sleep(Duration::from_millis(2));
            }
            most
        });
        let result = act();
        done.store(true, Ordering::Relaxed);
        (most.join().unwrap().saturating_sub(before), result)
    })
}

#[test]
fn root_hazard_flat_directory_of_any_size_in_bounded_memory() {
    if !entered("wipe_hazards::limits::root_hazard_flat_directory_of_any_size_in_bounded_memory") {
        return;
    }
    let site = Site::on(LoopDisk::with(Fs::Ext4, 2000, &["-N", "300000"], "rw"));
    for i in 0..250_000 {
        File::create(site.volume.join(format!("a-name-of-some-length-{i:08}"))).unwrap();
    }
    let (memory, report) = memory_for(|| site.wipe_whole());
    assert_eq!((report.files, report.dirs), (250_000, 1));

    assert!(memory < WALK, "{memory} bytes");
}

#[test]
fn root_hazard_directories_in_numbers_in_bounded_memory() {
    if !entered("wipe_hazards::limits::root_hazard_directories_in_numbers_in_bounded_memory") {
        return;
    }
    let site = Site::on(LoopDisk::with(Fs::Ext4, 2000, &["-N", "150000"], "rw"));
    for i in 0..100_000 {
        let name = format!("a-name-of-some-length-{i:08}");
        std::fs::create_dir(site.volume.join(name)).unwrap();
    }
    let (memory, report) = memory_for(|| site.wipe_whole());
    assert_eq!((report.files, report.dirs), (0, 100_001));

    assert!(memory < WALK, "{memory} bytes");
    assert!(is_gone(&site.volume));
}

#[test]
fn root_hazard_huge_file_is_shortened_step_by_step_when_there_is_a_rate() {
    if !entered(
        "wipe_hazards::limits::root_hazard_huge_file_is_shortened_step_by_step_when_there_is_a_rate",
    ) {
        return;
    }
    for (links, stepwise) in [(1, true), (2, false)] {
        let site = Site::on(LoopDisk::new(Fs::Ext4, 1200));
        let path = site.volume.join("huge");
        let file = File::create(&path).unwrap();
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 640 << 20).unwrap();
        if links == 2 {
            std::fs::hard_link(&path, site.outside.join("linked")).unwrap();
        }
        let watched = file.try_clone().unwrap();
        let looking = std::thread::spawn(move || {
            let mut sizes = vec![watched.metadata().unwrap().len()];
            while std::os::unix::fs::MetadataExt::nlink(&watched.metadata().unwrap()) == links {
                let length = watched.metadata().unwrap().len();
                if sizes.last() != Some(&length) {
                    sizes.push(length);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            sizes
        });
        let report = site.wipe_by(Kernel::new(), &Control::new(20_000), &Progress::default());
        assert!(report.complete, "{report:?}");
        let sizes = looking.join().unwrap();
        if stepwise {
            assert!(sizes.len() >= 8, "{sizes:?}");
            assert!(sizes.windows(2).all(|pair| pair[0] - pair[1] <= 128 << 20));
            drop(file);
        } else {
            assert_eq!(sizes, [640 << 20], "not shortened: it has a name outside");
        }
    }
}

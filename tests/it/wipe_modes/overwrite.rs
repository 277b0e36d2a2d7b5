//! What an overwrite must not let pass: what comes late, lies deep, is in many pieces, or can't be read back.

use std::os::unix::fs::MetadataExt as _;

use rustix::io::Errno;

use super::*;

/// How deep files lie that are overwritten one by one.
const DEEP: usize = 36;

fn deep(site: &Site) -> PathBuf {
    let path = site.volume.join(["d"; DEEP].join("/"));
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Overwrites a large file to which something is appended when a part of it was written over; `None` where
/// all of it was by then.
fn appended_meanwhile(site: &Site, path: &Path) -> Option<WipeReport> {
    const SIZE: usize = 32 * MIB;
    std::fs::write(path, pattern(SIZE)).unwrap();
    sh!("sync", "-f", site.volume);
    // By the steps of one thread.
    let control = Control::new(1_000_000);
    let mut file = File::options().append(true).open(path).unwrap();
    let reader = File::open(path).unwrap();
    let is_zero = |at: usize| {
        let mut byte = [b'x'];
        reader.read_exact_at(&mut byte, at as u64).unwrap();
        byte == [0]
    };
    std::thread::scope(|scope| {
        let wipe = scope.spawn(|| site.wipe_by(OVERWRITE, &control));
        while !is_zero(0) && !wipe.is_finished() {
            std::hint::spin_loop();
        }
        control.pause();
        std::thread::sleep(Duration::from_millis(20));
        let in_time = !is_zero(SIZE - 1);
        file.write_all(&pattern(MIB)).unwrap();
        file.sync_all().unwrap();
        drop(file);
        control.resume();
        let report = wipe.join().unwrap();
        in_time.then_some(report)
    })
}

#[test]
fn root_what_is_appended_while_a_file_is_overwritten_is_overwritten_too() {
    if !entered(
        "wipe_modes::overwrite::root_what_is_appended_while_a_file_is_overwritten_is_overwritten_too",
    ) {
        return;
    }
    for lies_deep in [false, true] {
        // A busy machine may be too late.
        let seen = (0..10).find_map(|_| {
            let site = Site::on(LoopDisk::new(Fs::Ext4, 128));
            let dir = if lies_deep {
                deep(&site)
            } else {
                site.volume.clone()
            };
            let report = appended_meanwhile(&site, &dir.join("f"))?;
            Some((site, report))
        });
        let Some((site, report)) = seen else {
            println!("skipped: needs a machine that is less busy");
            return;
        };
        assert!(report.complete, "{report:?}");
        assert_eq!(report.proof.guarantee, Guarantee::Guaranteed, "{report:?}");
        site.disk.unmount();
        assert_eq!(found(&site.disk.image()), 0, "deep: {lies_deep}");
    }
}

#[test]
fn root_what_several_threads_meet_before_it_was_overwritten_stays_for_the_one_that_does_it() {
    if !entered(
        "wipe_modes::overwrite::root_what_several_threads_meet_before_it_was_overwritten_stays_for_the_one_that_does_it",
    ) {
        return;
    }
    let site = Site::on(LoopDisk::new(Fs::Ext4, 64));
    let deep = deep(&site);
    for file in 0..20 {
        std::fs::write(deep.join(format!("f{file}")), pattern(3000)).unwrap();
    }
    let sparse = File::create(deep.join("sparse")).unwrap();
    sparse.set_len(1 << 20).unwrap();
    drop(sparse);
    sh!("sync", "-f", site.volume);
    let report = site.wipe_by(OVERWRITE, &Control::new(0).with_threads(3));
    assert!(report.complete, "{report:?}");
    assert_eq!(report.proof.guarantee, Guarantee::Guaranteed, "{report:?}");
    assert_eq!(report.proof.overwritten_files, 21);
    site.disk.unmount();
    assert_eq!(found(&site.disk.image()), 0);
}

#[test]
fn root_a_file_in_hundreds_of_pieces_is_overwritten_to_its_end() {
    if !entered(
        "wipe_modes::overwrite::root_a_file_in_hundreds_of_pieces_is_overwritten_to_its_end",
    ) {
        return;
    }
    for fs in [Fs::Ext4, Fs::Xfs] {
        let site = Site::new(fs);
        for dir in [site.volume.clone(), deep(&site)] {
            let file = File::create(dir.join("f")).unwrap();
            for piece in 0..300 {
                file.write_all_at(&pattern(4096), piece * 3 * 4096).unwrap();
            }
        }
        sh!("sync", "-f", site.volume);
        assert_eq!(site.promise(OVERWRITE), Err("d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d: lies too deep to be looked at beforehand".to_owned()));
        let report = site.wipe(OVERWRITE);
        assert_eq!(report.proof.guarantee, Guarantee::Guaranteed, "{report:?}");
        // xfs has some space more, allocated ahead.
        let bytes = report.proof.overwritten_bytes;
        assert_eq!(bytes > 2 * 300 * 4096, fs == Fs::Xfs, "{bytes}");
        assert!(
            (2 * 300 * 4096..10 * MIB as u64).contains(&bytes),
            "{bytes}"
        );
        assert_eq!(report.proof.read_back_bytes, bytes, "{fs:?}");
        site.disk.unmount();
        assert_eq!(found(&site.disk.image()), 0, "{fs:?}");
    }
}

/// The first or the last of more pieces than one call tells of.
#[test]
fn root_blocks_that_are_shared_are_found_in_whatever_piece_and_not_written_to() {
    if !entered(
        "wipe_modes::overwrite::root_blocks_that_are_shared_are_found_in_whatever_piece_and_not_written_to",
    ) {
        return;
    }
    for last in [true, false] {
        let site = Site::on(LoopDisk::new(Fs::Xfs, 320));
        let path = site.volume.join("f");
        std::fs::write(&path, pattern(4096)).unwrap();
        sh!("sync", "-f", site.volume);
        sh!("cp", "--reflink=always", path, site.outside.join("copy"));
        let file = File::options().write(true).open(&path).unwrap();
        // So that xfs allocates nothing ahead.
        file.set_len((4 << 20) + 4096).unwrap();
        for piece in 1..300 {
            file.write_all_at(&pattern(4096), piece * 3 * 4096).unwrap();
        }
        if last {
            let order = format!("reflink {} 0 4194304 4096", path.display());
            sh!("xfs_io", "-c", order, path);
            // Another block than the one that is shared.
            file.write_all_at(&pattern(4096), 0).unwrap();
        }
        sh!("sync", "-f", site.volume);
        let refused = site.promise(OVERWRITE).unwrap_err();
        assert!(refused.starts_with("f: "), "{refused}");
        let report = site.wipe(OVERWRITE);
        assert_eq!(short(&report), [(ShortOf::SharedBlocks, 1)]);
        let pieces = if last { 300 } else { 299 };
        assert_eq!(report.proof.overwritten_bytes, pieces * 4096);
    }
}

#[test]
fn root_one_file_whose_data_goes_through_the_journal_is_told() {
    if !entered("wipe_modes::overwrite::root_one_file_whose_data_goes_through_the_journal_is_told")
    {
        return;
    }
    let site = Site::on(LoopDisk::new(Fs::Ext4, 64));
    for name in ["journaled", "plain"] {
        std::fs::write(site.volume.join(name), pattern(100_000)).unwrap();
    }
    // As chattr +j does, for which root needs CAP_SYS_RESOURCE.
    site.disk.unmount();
    let flags = "set_inode_field /volume/journaled flags 0x84000";
    sh!("debugfs", "-w", "-R", flags, site.disk.image());
    sh!("mount", "-o", "loop", site.disk.image(), site.disk.path());
    let refused = site.promise(OVERWRITE).unwrap_err();
    assert!(refused.starts_with("journaled: "), "{refused}");
    let report = site.wipe(OVERWRITE);
    assert_eq!(short(&report), [(ShortOf::JournaledData, 1)]);
    assert_eq!(report.proof.short[0].paths, ["journaled".into()]);
}

/// No device of the volume's disk in `/dev`, and one of its name that is another.
#[test]
fn root_without_the_very_device_nothing_is_called_read_back() {
    if !entered("wipe_modes::overwrite::root_without_the_very_device_nothing_is_called_read_back") {
        return;
    }
    let zeros = LoopDisk::new(Fs::Ext4, 64);
    for other in [false, true] {
        let site = Site::on(LoopDisk::new(Fs::Ext4, 64));
        std::fs::write(site.volume.join("f"), pattern(100_000)).unwrap();
        sh!("sync", "-f", site.volume);
        let name = site.disk.device().file_name().unwrap();
        let minor = rustix::fs::minor(std::fs::metadata(zeros.device()).unwrap().rdev());
        sh!("mount", "-t", "tmpfs", "tmpfs", "/dev");
        if other {
            let (kind, number) = (
                rustix::fs::FileType::BlockDevice,
                rustix::fs::makedev(7, minor),
            );
            let node = Path::new("/dev").join(name);
            rustix::fs::mknodat(rustix::fs::CWD, node, kind, rustix::fs::Mode::RWXU, number)
                .unwrap();
        }
        let refused = site.promise(OVERWRITE);
        let strict = WipeMethod {
            strict: true,
            ..OVERWRITE
        };
        let stays = site.wipe_by(strict, &Control::new(0));
        let report = site.wipe_by(OVERWRITE, &Control::new(0));
        // No program is started without /dev/null.
        rustix::mount::unmount("/dev", rustix::mount::UnmountFlags::empty()).unwrap();
        assert!(
            refused
                .unwrap_err()
                .starts_with(".: could not be read back")
        );
        assert_eq!(stays.left[0].kind, LeftKind::Promise);
        assert!(report.complete, "{report:?}");
        let errno = Errno::NODEV.raw_os_error();
        assert_eq!(
            short(&report),
            [(ShortOf::NotReadBack { errno }, 1)],
            "other: {other}"
        );
        assert_eq!(report.proof.guarantee, Guarantee::BestEffort);
        assert_eq!(report.proof.read_back_bytes, 0);
    }
}

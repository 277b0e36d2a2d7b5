//! Flags that keep even root from removing.

use std::ffi::OsStr;
use std::process::Command;

use mesos_volumed::act::wipe::LeftKind;

use super::{Site, chattr, left};
use crate::own_namespace::entered;
use crate::support::disk::{Fs, LoopDisk, sh, try_run};
use crate::support::trees::plant;

#[test]
fn root_hazard_immutable_and_append_only_files_and_directories() {
    if !entered("wipe_hazards::flags::root_hazard_immutable_and_append_only_files_and_directories")
    {
        return;
    }
    for fs in Fs::ALL {
        for flag in ["+i", "+a"] {
            let site = Site::new(fs);
            plant(&site.volume, 3, 3);
            for path in [
                "file1",
                "dir0/file2",
                "dir1/dir1/file0",
                "dir0/dir2/dir2",
                "dir0/dir2",
                "dir2",
                "",
            ] {
                chattr(flag, &site.volume.join(path));
            }
            std::fs::remove_dir_all(&site.volume).unwrap_err();
            site.wipe_whole();
        }
    }
}

#[test]
fn root_hazard_immutable_file_with_a_name_outside_keeps_its_flag_there() {
    if !entered(
        "wipe_hazards::flags::root_hazard_immutable_file_with_a_name_outside_keeps_its_flag_there",
    ) {
        return;
    }
    for fs in Fs::ALL {
        let site = Site::new(fs);
        let kept = site.disk.path().join("kept");
        std::fs::write(&kept, "content").unwrap();
        std::fs::hard_link(&kept, site.volume.join("linked")).unwrap();
        chattr("+i", &kept);
        site.wipe_whole();
        assert_eq!(std::fs::read(&kept).unwrap(), b"content");
        std::fs::remove_file(&kept).unwrap_err();
        chattr("-i", &kept);
        std::fs::remove_file(&kept).unwrap();
    }
}

/// `file_setattr(2)`: the only way to flag what can't be opened, and the only way back.
const FLAG_BY_NAME: &str = "
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
attr = (ctypes.c_uint64 * 3)(0, 0, 0)
if libc.syscall(468, -100, os.fsencode(sys.argv[1]), attr, 24, 0x100):
    sys.exit('getattr: errno %d' % ctypes.get_errno())
attr[0] |= 8
if libc.syscall(469, -100, os.fsencode(sys.argv[1]), attr, 24, 0x100):
    sys.exit('setattr: errno %d' % ctypes.get_errno())
";

#[test]
fn root_hazard_immutable_fifo() {
    if !entered("wipe_hazards::flags::root_hazard_immutable_fifo") {
        return;
    }
    let site = Site::new(Fs::Xfs);
    let fifo = site.volume.join("fifo");
    sh!("mkfifo", &fifo);
    let flagged = Command::new("python3")
        .args(["-c", FLAG_BY_NAME])
        .arg(&fifo)
        .output();
    match flagged {
        Ok(output) if output.status.success() => {
            std::fs::remove_file(&fifo).unwrap_err();
            site.wipe_whole();
        }
        other => println!("skipped: an immutable FIFO needs python3 and Linux 6.17: {other:?}"),
    }
}

#[test]
fn root_hazard_active_swap_file() {
    if !entered("wipe_hazards::flags::root_hazard_active_swap_file") {
        return;
    }
    for fs in [Fs::Ext4, Fs::Xfs] {
        let site = Site::new(fs);
        plant(&site.volume, 2, 1);
        let swap = site.volume.join("dir1/swap file");
        std::fs::write(&swap, vec![0_u8; 4 << 20]).unwrap();
        sh!("chmod", "600", &swap);
        sh!("mkswap", &swap);
        let on = try_run("swapon", &[swap.as_os_str()]);
        if !on.status.success() {
            println!("skipped: swapon is refused here: {on:?}");
            return;
        }
        let off = SwapOff(swap.as_os_str());
        let report = site.wipe();
        assert_eq!(
            left(&report),
            [(LeftKind::Swap, 1, "dir1/swap file".to_owned())]
        );
        site.assert_untouched();
        drop(off);
        site.wipe_whole();
    }
}

struct SwapOff<'a>(&'a OsStr);

impl Drop for SwapOff<'_> {
    fn drop(&mut self) {
        try_run("swapoff", &[self.0]);
    }
}

#[test]
fn root_hazard_what_the_kernel_calls_not_permitted_without_capabilities() {
    if !entered(
        "wipe_hazards::flags::root_hazard_what_the_kernel_calls_not_permitted_without_capabilities",
    ) {
        return;
    }
    let site = Site::on(LoopDisk::new(Fs::Ext4, 64));
    std::fs::write(site.volume.join("flagged"), "").unwrap();
    std::fs::write(site.volume.join("plain"), "").unwrap();
    chattr("+i", &site.volume.join("flagged"));
    let strace = super::Strace::inject("ioctl:error=EPERM");
    // The file system's UUID is then read from its superblock.
    let report = site.wipe();
    drop(strace);
    assert_eq!(
        left(&report),
        [(LeftKind::NotPermitted, 1, "flagged".to_owned())]
    );
    assert_eq!(report.files, 1);
    site.wipe_whole();
}

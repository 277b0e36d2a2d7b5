//! Loop devices that are wiped whole.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "tests make devices of their own, by the system's own program"
)]

use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::process::Command;

use rustix::fs::fstat;

use super::*;
use crate::act::wipe::tests::temp;
use crate::decide::facts::{BlockDevice, DeviceNumber, Known};
use crate::decide::ledger::Ledger;
use crate::decide::whole_device::tests::device;
use crate::decide::whole_device::{Seen, authorize};

const MIB: u64 = 1 << 20;

/// A loop device full of `x`. It is gone when this is dropped, also where the test is killed.
struct Device {
    path: String,
    open: File,
    image: File,
    folder: tempfile::TempDir,
}

impl Device {
    /// `None`, said aloud, without root.
    fn new(bytes: u64) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: needs root");
            return None;
        }
        let folder = temp();
        let name = folder.path().join("image");
        std::fs::write(&name, vec![b'x'; usize::try_from(bytes).unwrap()]).unwrap();
        let losetup = |arguments: &[&std::ffi::OsStr]| {
            let said = Command::new("losetup").args(arguments).output().unwrap();
            assert!(said.status.success(), "losetup: {said:?}");
            String::from_utf8(said.stdout).unwrap().trim().to_owned()
        };
        let path = losetup(&["--find".as_ref(), "--show".as_ref(), name.as_os_str()]);
        let open = File::open(&path).unwrap();
        // Not at once, but when nobody has it open any more.
        losetup(&["--detach".as_ref(), path.as_ref()]);
        let image = File::open(&name).unwrap();
        Some(Self {
            path,
            open,
            image,
            folder,
        })
    }

    /// The right to wipe it, with its size and number changed by so much.
    fn authorization(&self, larger: u64, further: u32) -> DeviceAuthorization {
        let found = fstat(&self.open).unwrap().st_rdev;
        let device = BlockDevice {
            number: DeviceNumber {
                major: rustix::fs::major(found),
                minor: rustix::fs::minor(found) + further,
            },
            size_bytes: Known::Known(self.size() + larger),
            is_virtual: true,
            ..device(self.path.trim_start_matches("/dev/"), 0)
        };
        let seen = Seen {
            devices: &[device],
            mounts: &[],
            swaps: &[],
            ledger: &Ledger::default(),
        };
        authorize(&seen, &self.path.as_str().into(), "S3R1AL").unwrap()
    }

    fn size(&self) -> u64 {
        self.image.metadata().unwrap().size()
    }

    fn go(&self, mode: DeviceMode, verify: bool, control: &Control) -> Result<Proof, Outcome> {
        let progress = Progress::default();
        go(&self.authorization(0, 0), mode, verify, control, &progress)
    }

    /// Whether all of it is this byte.
    fn is_full_of(&self, byte: u8) -> bool {
        let mut bytes = vec![byte ^ 1; usize::try_from(self.size()).unwrap()];
        self.image.read_exact_at(&mut bytes, 0).unwrap();
        bytes.iter().all(|found| *found == byte)
    }
}

#[test]
fn root_every_byte_of_a_device_is_wiped_and_read_back() {
    for mode in [DeviceMode::Zero, DeviceMode::Discard] {
        // More than one call does, and no whole blocks.
        let Some(device) = Device::new(CHUNK + 3 * MIB + 4096) else {
            return;
        };
        let proof = device.go(mode, true, &Control::new(0)).unwrap();
        assert!(device.is_full_of(0), "{mode:?}");
        let size = device.size();
        let zeroed = if mode == DeviceMode::Zero { size } else { 0 };
        let expected = Proof {
            mode: mode.name(),
            overwritten_bytes: zeroed,
            discarded_bytes: size - zeroed,
            read_back_bytes: size,
            ..Proof::plain(crate::decide::facts::WipeMode::Unlink)
        };
        assert_eq!(proof, expected);
    }
}

#[test]
fn root_what_was_not_read_back_is_not_guaranteed() {
    let Some(device) = Device::new(MIB) else {
        return;
    };
    let proof = device
        .go(DeviceMode::Zero, false, &Control::new(0))
        .unwrap();
    assert_eq!(proof.guarantee, Guarantee::BestEffort);
    assert!(
        matches!(proof.short[0].why, ShortOf::NotReadBack { .. }),
        "{proof:?}"
    );
    assert_eq!((proof.read_back_bytes, proof.overwritten_bytes), (0, MIB));
}

#[test]
fn one_byte_that_is_not_zero_is_found_wherever_it_lies() {
    let size = CHUNK + 3 * MIB;
    for at in [0, CHUNK - 1, CHUNK, size - 1] {
        let file = tempfile::tempfile_in(temp().path()).unwrap();
        file.set_len(size).unwrap();
        file.write_all_at(b"x", at).unwrap();
        let account = Account::default();
        look(file.as_fd(), size, &Control::new(0), &account).unwrap();
        let proof = account.proof(WipeMethod::UNLINK);
        assert_eq!(proof.short.len(), 1, "{at}");
        assert_eq!(proof.short[0].why, ShortOf::NotZero);
        assert_eq!(proof.read_back_bytes, size - MIB);
    }
}

#[test]
fn root_a_device_that_is_another_by_now_or_is_held_is_not_touched() {
    let Some(device) = Device::new(MIB) else {
        return;
    };
    let (control, progress) = (Control::new(0), Progress::default());
    for (larger, further) in [(512, 0), (0, 1)] {
        let other = device.authorization(larger, further);
        let ended = go(&other, DeviceMode::Zero, true, &control, &progress);
        assert!(matches!(ended, Err(Outcome::Stale(_))), "{ended:?}");
    }
    let held = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC;
    let held = openat(CWD, device.path.as_str(), held, Mode::empty()).unwrap();
    let ended = device.go(DeviceMode::Zero, true, &control);
    let Err(Outcome::Refused(reason)) = ended else {
        panic!("{ended:?}");
    };
    assert_eq!(reason.code, Refusal::InUseMount);
    drop(held);
    control.stop();
    let ended = device.go(DeviceMode::Zero, true, &control);
    assert!(matches!(ended, Err(Outcome::Failed(_))), "{ended:?}");
    assert!(device.is_full_of(b'x'));
    assert!(device.folder.path().metadata().is_ok());
}

/// What is read back must come from the device, and a program that is started meanwhile must not keep it.
#[test]
fn root_a_device_is_opened_past_all_caches_and_for_nobody_else() {
    let Some(device) = Device::new(MIB) else {
        return;
    };
    let control = Control::new(0);
    control.pause();
    let flags = |fd: &std::fs::DirEntry| {
        let at = std::path::Path::new("/proc/self/fdinfo").join(fd.file_name());
        let text = std::fs::read_to_string(at).ok()?;
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
        u32::from_str_radix(flags.trim(), 8).ok()
    };
    // The one that can be written to is not ours.
    let opened = || {
        let fds = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        fds.filter(|fd| {
            std::fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == device.path.as_str())
        })
        .filter_map(|fd| flags(&fd))
        .map(OFlags::from_bits_retain)
        .find(|flags| flags.contains(OFlags::RDWR))
    };
    std::thread::scope(|scope| {
        let wipes = scope.spawn(|| device.go(DeviceMode::Zero, true, &control));
        let mut found = None;
        while found.is_none() && !wipes.is_finished() {
            found = opened();
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        control.resume();
        let found = found.unwrap();
        assert!(
            found.contains(OFlags::DIRECT | OFlags::CLOEXEC),
            "{found:?}"
        );
        wipes.join().unwrap().unwrap();
    });
}

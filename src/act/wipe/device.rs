//! Wiping a whole block device that nobody uses.
//!
//! It is opened exclusively, which the kernel refuses while it, or a partition of it, is mounted or
//! held in any namespace. Then the kernel zeroes or discards it, and every byte is read back past all
//! caches: only what reads as zeros to its end is called guaranteed. `BLKZEROOUT` may be carried out by
//! the device or by what lies below without a byte being written; what is promised is what can be read
//! through the device from then on. In the words of NIST SP 800-88 a device zeroed and read back meets
//! *clear* where the device writes in place (a hard disk), and never *purge*.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, Mode, OFlags, fsync, openat};
use rustix::io::{Errno, retry_on_intr};

use super::control::Control;
use super::overwrite::{Aligned, Halt, Range, in_time, is_device, read_back};
use super::progress::Progress;
use crate::act::executor::Desk;
use crate::act::outcome::{Outcome, Receipt, StepError};
use crate::act::sys::Sys;
use crate::decide::facts::{Who, WipeMethod};
use crate::decide::guards::{Reason, Refusal};
use crate::decide::whole_device::DeviceAuthorization;
use crate::mesos::disk::{DiskRef, DiskType};
use crate::sys::ioctl::{device_size, discard_device, zero_device};
use crate::units::{Raw, Span};

use super::proof::{Account, Guarantee, Proof, ShortOf};

/// How a whole device is wiped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceMode {
    /// `BLKZEROOUT`.
    Zero,
    /// `BLKDISCARD`.
    Discard,
}

impl DeviceMode {
    /// As in receipts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zero => "zero_device",
            Self::Discard => "discard_device",
        }
    }
}

/// So much is done by one call: a stop waits for no more.
const CHUNK: u64 = 64 << 20;

/// Wipes it, with a line in the audit log before and after.
pub fn wipe_device<S: Sys>(
    desk: &Desk<S>,
    authorization: &DeviceAuthorization,
    mode: DeviceMode,
    verify: bool,
    by: &Who,
    (control, progress): (&Control, &Progress),
) -> Outcome {
    let name = authorization.name().to_string();
    let begun = desk.sys.now();
    desk.audited("", "wipe_device", &name, Some(by), || {
        match go(authorization, mode, verify, control, progress) {
            Err(outcome) => outcome,
            Ok(proof) => Outcome::Done(Box::new(Receipt {
                step: "wipe_device",
                plan: String::new(),
                volume: None,
                disk: DiskRef {
                    kind: DiskType::Mount,
                    root: Raw::default(),
                },
                path: Raw::from("/dev").join(authorization.name()),
                evidence: Some(crate::decide::steps::Evidence::Operator),
                mode: Some(mode.name()),
                files: 0,
                directories: 0,
                freed_bytes: 0,
                milliseconds: Span(desk.sys.now().saturating_sub(begun)).as_milliseconds(),
                verified: proof.guarantee == Guarantee::Guaranteed,
                proof: Some(proof),
                filesystem: None,
            })),
        }
    })
}

fn go(
    authorization: &DeviceAuthorization,
    mode: DeviceMode,
    verify: bool,
    control: &Control,
    progress: &Progress,
) -> Result<Proof, Outcome> {
    let path = Raw::from("/dev").join(authorization.name());
    let failed = |what: &'static str, left: &'static str| {
        let path = path.clone();
        move |source: Errno| {
            Outcome::Failed(StepError::Call {
                what,
                path,
                left,
                source,
            })
        }
    };
    let stopped = || {
        Outcome::Failed(StepError::Call {
            what: "finish",
            path: path.clone(),
            left: "part of it is wiped; wipe it again",
            source: Errno::CANCELED,
        })
    };
    let flags = OFlags::RDWR | OFlags::EXCL | OFlags::DIRECT | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let device = match retry_on_intr(|| openat(CWD, path.as_path(), flags, Mode::empty())) {
        Ok(device) => device,
        Err(Errno::BUSY) => {
            return Err(Outcome::Refused(Reason::new(
                Refusal::InUseMount,
                format!("{path} is mounted or held, perhaps in another namespace"),
            )));
        }
        Err(errno) => return Err(failed("open", "nothing was changed")(errno)),
    };
    let size = device_size(device.as_fd()).map_err(failed("measure", "nothing was changed"))?;
    if !is_device(device.as_fd(), authorization.number()) || size != authorization.size_bytes() {
        return Err(Outcome::Stale(format!("{path} is another device by now")));
    }
    if mode == DeviceMode::Discard && !discards(authorization)? {
        return Err(Outcome::Refused(Reason::new(
            Refusal::ModeRefused,
            format!("{path} takes no discard; zero_device does what it can"),
        )));
    }
    let account = Account::default();
    let mut at = 0;
    while at < size {
        if !control.proceed() {
            return Err(stopped());
        }
        let length = size.saturating_sub(at).min(CHUNK);
        let done = in_time(device.as_fd(), control, move |fd| match mode {
            DeviceMode::Zero => zero_device(fd, at, length),
            DeviceMode::Discard => discard_device(fd, at, length),
        });
        match done {
            Ok(()) => {}
            Err(Halt::Stopped) => return Err(stopped()),
            Err(Halt::Io(errno)) => {
                return Err(failed("wipe", "part of it is wiped; wipe it again")(errno));
            }
        }
        match mode {
            DeviceMode::Zero => account.written(length),
            DeviceMode::Discard => account.discarded(length),
        }
        progress.overwritten(length);
        at = at.saturating_add(length);
    }
    match in_time(device.as_fd(), control, |fd| retry_on_intr(|| fsync(fd))) {
        Ok(()) => {}
        Err(Halt::Stopped) => return Err(stopped()),
        Err(Halt::Io(errno)) => return Err(failed("sync", "it may be wiped in part")(errno)),
    }
    if verify {
        look(device.as_fd(), size, control, &account).map_err(|halt| match halt {
            Halt::Stopped => stopped(),
            Halt::Io(errno) => failed("read back", "it is wiped as far as can be told")(errno),
        })?;
    } else {
        let errno = Errno::CANCELED.raw_os_error();
        account.short(ShortOf::NotReadBack { errno }, None);
    }
    let mut proof = account.proof(WipeMethod::UNLINK);
    proof.mode = mode.name();
    Ok(proof)
}

/// Whether the device takes discards.
fn discards(authorization: &DeviceAuthorization) -> Result<bool, Outcome> {
    let number = authorization.number();
    let path = format!(
        "/sys/dev/block/{}:{}/queue/discard_max_bytes",
        number.major, number.minor
    );
    let text = crate::sys::read_bounded(Path::new(&path), 64)
        .map_err(|_unreadable| Outcome::Stale(format!("{path} can't be read")))?;
    Ok(text.trim_ascii() != b"0")
}

/// Reads all of it back.
fn look(
    device: BorrowedFd<'_>,
    size: u64,
    control: &Control,
    account: &Account,
) -> Result<(), Halt> {
    let zeros = Aligned::zeros();
    let differs = AtomicBool::new(false);
    let mut from = 0;
    while from < size {
        let range = Range {
            from,
            length: size.saturating_sub(from).min(CHUNK),
        };
        read_back(device, &[range], control, &|range, bytes| {
            if zeros.get().get(..bytes.len()) == Some(bytes) {
                account.read_back(range.length);
            } else {
                differs.store(true, Ordering::Relaxed);
            }
        })?;
        from = from.saturating_add(range.length);
    }
    if differs.load(Ordering::Relaxed) {
        account.short(ShortOf::NotZero, None);
    }
    Ok(())
}

#[cfg(test)]
mod tests;

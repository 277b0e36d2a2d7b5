//! Hints that the disks of this host may have changed: the kernel's uevents of block devices, and
//! its mount table. They only say when to look; what is so, the look tells.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

/// The kernel's own messages; udev sends its own to group 2.
const KERNEL: u32 = 1;
/// A message holds some lines of `KEY=value`; the kernel gives it 2 KiB.
const MESSAGE: usize = 8 << 10;
/// So many messages are taken up at once; what is left then wakes the next wait.
const AT_ONCE: u32 = 4096;

/// What was heard of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// A block device came, went, or changed, or messages were lost that may have said so.
    pub devices: bool,
    /// Something was mounted, unmounted, or moved in this mount namespace.
    pub mounts: bool,
}

/// Listens. Dropped, it ends.
#[derive(Debug)]
pub struct Hints {
    mounts: File,
    uevents: Result<OwnedFd, Errno>,
}

impl Hints {
    /// Listens from now on.
    ///
    /// # Errors
    /// Where the mount table can't be opened.
    pub fn open() -> io::Result<Self> {
        let mounts = File::open("/proc/self/mountinfo")?;
        let hints = Self {
            mounts,
            uevents: uevents(),
        };
        // The first answer tells of what was before.
        let _before = hints.ready(Some(0))?;
        Ok(hints)
    }

    /// Why uevents are not heard; then only mounts give hints.
    #[must_use]
    pub fn deaf(&self) -> Option<io::Error> {
        self.uevents.as_ref().err().map(|errno| (*errno).into())
    }

    /// Waits until something is heard.
    ///
    /// # Errors
    /// Where waiting itself fails; nothing will be heard any more.
    pub fn wait(&self) -> io::Result<Heard> {
        self.ready(None)
    }

    fn ready(&self, milliseconds: Option<i64>) -> io::Result<Heard> {
        let timeout = milliseconds.map(|milliseconds| rustix::event::Timespec {
            tv_sec: milliseconds.checked_div(1000).unwrap_or(0),
            tv_nsec: milliseconds
                .checked_rem(1000)
                .unwrap_or(0)
                .saturating_mul(1_000_000),
        });
        loop {
            let mut polled = vec![PollFd::new(&self.mounts, PollFlags::PRI)];
            if let Ok(socket) = &self.uevents {
                polled.push(PollFd::new(socket, PollFlags::IN));
            }
            match poll(&mut polled, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let mut answers = polled.iter().map(PollFd::revents);
            let mounts = answers
                .next()
                .is_some_and(|events| events.contains(PollFlags::PRI));
            let talks = answers.next().is_some_and(|events| !events.is_empty());
            let heard = Heard {
                devices: talks && self.devices(),
                mounts,
            };
            if heard != Heard::default() || timeout.is_some() {
                return Ok(heard);
            }
        }
    }

    /// Takes up what was said, and tells whether any of it is about a block device.
    fn devices(&self) -> bool {
        let Ok(socket) = &self.uevents else {
            return false;
        };
        let mut buffer = vec![0_u8; MESSAGE];
        let mut any = false;
        for _ in 0..AT_ONCE {
            match recv(socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((length, _)) => {
                    any |= is_about_a_block_device(buffer.get(..length).unwrap_or(&buffer));
                }
                // Too much was said at once: anything may have been among it.
                Err(Errno::NOBUFS) => any = true,
                Err(Errno::INTR) => {}
                Err(_nothing_more) => break,
            }
        }
        any
    }
}

fn uevents() -> Result<OwnedFd, Errno> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(KOBJECT_UEVENT),
    )?;
    bind(&socket, &SocketAddrNetlink::new(0, KERNEL))?;
    Ok(socket)
}

/// Whether a message of the kernel is about a block device. It is `action@path` and then `KEY=value`, each
/// ended by a NUL.
#[must_use]
pub fn is_about_a_block_device(message: &[u8]) -> bool {
    message
        .split(|byte| *byte == 0)
        .any(|line| line == b"SUBSYSTEM=block")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_block_devices_are_listened_to() {
        let message = b"change@/devices/virtual/block/loop7\0ACTION=change\0\
            DEVPATH=/devices/virtual/block/loop7\0SUBSYSTEM=block\0MAJOR=7\0";
        assert!(is_about_a_block_device(message));
        assert!(is_about_a_block_device(&message[..message.len() - 1]));
        let other = b"add@/devices/x\0ACTION=add\0SUBSYSTEM=net\0INTERFACE=SUBSYSTEM=block\0";
        assert!(!is_about_a_block_device(other));
        for bytes in [
            &b""[..],
            b"\0\0\0",
            b"libudev\0\xfe\xed\xca\xfe",
            b"SUBSYSTEM=blockade",
        ] {
            assert!(!is_about_a_block_device(bytes));
        }
    }

    #[test]
    fn what_was_before_is_no_hint() {
        let hints = Hints::open().unwrap();
        assert!(!hints.ready(Some(0)).unwrap().mounts);
    }
}

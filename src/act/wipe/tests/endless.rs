//! A file system whose directory never ends, answered by a thread of this test.

use std::ffi::CString;
use std::fmt::Write as _;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::io::{read, write};
use rustix::mount::{MountFlags, UnmountFlags};

use super::{Kernel, LeftKind, Limits, empty, temp};

/// What is asked, in the numbers of the kernel's fuse.h.
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const UNLINK: u32 = 10;
const STATFS: u32 = 17;
const INIT: u32 = 26;
const OPENDIR: u32 = 27;
const READDIR: u32 = 28;
const RELEASEDIR: u32 = 29;
const BATCH_FORGET: u32 = 42;
const ENOSYS: i32 = 38;

struct Fuse {
    server: OwnedFd,
    /// How many entries were listed.
    listed: AtomicU64,
}

/// Unmounts it, which ends its server.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        rustix::mount::unmount(self.0, UnmountFlags::DETACH).unwrap();
    }
}

fn attributes(inode: u64) -> Vec<u8> {
    // Times, then mode, links, owner, device, block size.
    let mut bytes: Vec<u8> = [inode, 4096, 8, 0, 0, 0]
        .iter()
        .flat_map(|number| number.to_ne_bytes())
        .collect();
    let mode = if inode == 1 { 0o04_0755 } else { 0o10_0644 };
    for number in [0_u32, 0, 0, mode, 1, 0, 0, 0, 4096, 0] {
        bytes.extend(number.to_ne_bytes());
    }
    bytes
}

impl Fuse {
    fn mount(point: &Path) -> Self {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let server = rustix::fs::open("/dev/fuse", flags, Mode::empty()).unwrap();
        let number = server.as_raw_fd();
        let options = format!("fd={number},rootmode=40000,user_id=0,group_id=0");
        let options = CString::new(options).unwrap();
        let options = Some(options.as_c_str());
        rustix::mount::mount("endless", point, "fuse", MountFlags::empty(), options).unwrap();
        Self {
            server,
            listed: AtomicU64::new(0),
        }
    }

    /// Answers until it is unmounted.
    fn serve(&self) {
        let mut request = vec![0; 1 << 17];
        while let Ok(length) = read(self.server.as_fd(), &mut request) {
            let number = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().unwrap());
            let large = |at: usize| u64::from_ne_bytes(request[at..at + 8].try_into().unwrap());
            let (opcode, unique, inode) = (number(4), large(8), large(16));
            let (error, body) = match opcode {
                INIT => {
                    let mut body = Vec::new();
                    for word in [7_u32, 31, 0, 0, 0, 4096, 1] {
                        body.extend(word.to_ne_bytes());
                    }
                    body.resize(64, 0);
                    (0, body)
                }
                GETATTR => (0, [vec![0; 16], attributes(inode)].concat()),
                LOOKUP => {
                    // Every name is there, as a file of its own.
                    let found = unique + 2;
                    let mut body = found.to_ne_bytes().to_vec();
                    body.resize(40, 0);
                    (0, [body, attributes(found)].concat())
                }
                OPENDIR => (0, vec![0; 16]),
                STATFS => (0, vec![0; 80]),
                READDIR => (0, self.entries(large(48), number(56))),
                UNLINK | RELEASEDIR => (0, Vec::new()),
                FORGET | BATCH_FORGET => continue,
                _ => (-ENOSYS, Vec::new()),
            };
            assert!(length >= 40);
            let mut answer = u32::try_from(16 + body.len())
                .unwrap()
                .to_ne_bytes()
                .to_vec();
            answer.extend(i32::to_ne_bytes(error));
            answer.extend(unique.to_ne_bytes());
            answer.extend(body);
            // Who asked may be gone.
            match write(self.server.as_fd(), &answer) {
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// As many entries as there is room for, whatever came before.
    fn entries(&self, from: u64, room: u32) -> Vec<u8> {
        let mut body = Vec::new();
        let room = usize::try_from(room).unwrap();
        for at in from + 1.. {
            let mut name = String::new();
            write!(name, "{at:016}").unwrap();
            if body.len() + 24 + name.len() > room {
                return body;
            }
            for number in [at + 100, at] {
                body.extend(number.to_ne_bytes());
            }
            let regular = 8_u32;
            for number in [u32::try_from(name.len()).unwrap(), regular] {
                body.extend(number.to_ne_bytes());
            }
            body.extend(name.as_bytes());
            self.listed.fetch_add(1, Ordering::Relaxed);
        }
        body
    }
}

#[test]
fn root_hazard_a_listing_that_never_ends() {
    if !rustix::process::geteuid().is_root() || !std::fs::exists("/dev/fuse").unwrap() {
        println!("skipped: needs root and /dev/fuse");
        return;
    }
    let temp = temp();
    let fuse = Fuse::mount(temp.path());
    std::thread::scope(|scope| {
        scope.spawn(|| fuse.serve());
        let _mounted = Mounted(temp.path());
        // Who reads on until nothing comes reads for ever.
        let many = std::fs::read_dir(temp.path()).unwrap().take(50_000);
        assert_eq!(many.flatten().count(), 50_000);
        let before = fuse.listed.load(Ordering::Relaxed);
        let limits = Limits {
            batch: 20_000,
            ..Limits::USUAL
        };
        let (tally, stopped) = empty(&Kernel::new(), temp.path(), limits);
        assert_eq!(stopped, None, "{tally:?}");
        assert_eq!(tally.left.keys().collect::<Vec<_>>(), [&LeftKind::Busy]);
        // No reading goes beyond what a directory of this size can hold.
        let listed = fuse.listed.load(Ordering::Relaxed) - before;
        assert!((1..100_000).contains(&listed), "{listed}");
        assert!(tally.files > 0 && tally.files <= listed, "{tally:?}");
    });
}

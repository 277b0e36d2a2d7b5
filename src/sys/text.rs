//! The machine code of this program, unmapped where little of it will be run for a while.
//!
//! The kernel maps code 64 KiB around whatever is run, so that a program which parses a command line and a
//! configuration keeps several MiB mapped that it never runs again, and a daemon that waits keeps all that its
//! passes ran. What is unmapped stays in the page cache; running it maps it again, within microseconds.

use std::path::Path;

use rustix::mm::{Advice, madvise};

use super::read::read_bounded;

/// A table of mappings that is longer is nobody's who runs this.
const LONGEST_TABLE: usize = 4 << 20;

/// Has the kernel unmap the code of the program and of its libraries. What is running is mapped again at once.
///
/// Code that a debugger or a probe has written into is left alone. Where the kernel does not say what is
/// mapped nothing happens.
pub fn give_back() {
    let Ok(table) = read_bounded(Path::new("/proc/self/smaps"), LONGEST_TABLE) else {
        return;
    };
    for (from, length) in unchanged_code(&String::from_utf8_lossy(&table)) {
        unmap(from, length);
    }
}

#[expect(
    unsafe_code,
    reason = "madvise(2) takes an address: that of code which the kernel can read again from its file"
)]
fn unmap(from: usize, length: usize) {
    let address = std::ptr::with_exposed_provenance_mut(from);
    // SAFETY: it is a private mapping of a file that may be run and not be written, and no page of it differs
    // from that file. Nothing is ever unmapped from these addresses while the program runs: no library
    // is loaded or unloaded. So all that is read there, before and after, is what the file holds.
    let done = unsafe { madvise(address, length, Advice::LinuxDontNeed) };
    if let Err(errno) = done {
        tracing::debug!("code stays mapped, ignoring: {errno}");
    }
}

/// Where code lies that is what its file holds: address and length of each mapping, of smaps (proc_pid_smaps(5)).
fn unchanged_code(table: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut last = None;
    for line in table.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("Anonymous:") => {
                if let (Some(code), Some("0")) = (last.take(), words.next()) {
                    found.push(code);
                }
            }
            // Names of values end in a colon, and addresses do not.
            Some(range) if !range.ends_with(':') => last = code(range, words),
            Some(_) | None => {}
        }
    }
    found
}

/// The mapping that a line begins, if it is code that is private and of a file.
fn code<'a>(range: &str, mut words: impl Iterator<Item = &'a str>) -> Option<(usize, usize)> {
    let (from, to) = range.split_once('-')?;
    let from = usize::from_str_radix(from, 16).ok()?;
    let to = usize::from_str_radix(to, 16).ok()?;
    let is_code = words.next()? == "r-xp";
    // After its place in the file and its device; the kernel's own code has none.
    let inode = words.nth(2)?;
    (is_code && inode != "0").then_some((from, to.checked_sub(from)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
5000-7000 r--p 00000000 fe:00 77                         /usr/bin/mesos-volumed
Size:                  8 kB
Anonymous:             0 kB
VmFlags: rd mr mw me sd
7000-a000 r-xp 00002000 fe:00 77                         /usr/bin/mesos-volumed
Rss:                  12 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me sd
a000-b000 r-xp 00005000 fe:00 78                         /usr/lib/with a name.so
Anonymous:             4 kB
b000-c000 rwxp 00005000 fe:00 78                         /usr/lib/x.so
Anonymous:             0 kB
c000-e000 r-xp 00005000 fe:00 79                         /usr/lib/y.so (deleted)
AnonHugePages:         0 kB
Anonymous:             0 kB
e000-f000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
f000-10000 r-xs 00000000 fe:00 80                        /usr/lib/z.so
Anonymous:             0 kB
10000-11000 r-xp 00000000 fe:00 81                       /usr/lib/torn.so
";

    #[test]
    fn code_is_what_may_be_run_of_a_file_and_was_not_written() {
        assert_eq!(unchanged_code(TABLE), [(0x7000, 0x3000), (0xc000, 0x2000)]);
        assert_eq!(unchanged_code("nothing\n"), []);
        assert_eq!(unchanged_code("Anonymous: 0 kB\n"), []);
        for torn in [
            "7000",
            "7000-a000",
            "x-y r-xp 0 fe:00 7",
            "7000-a000 r-xp 0 fe:00",
        ] {
            assert_eq!(unchanged_code(&format!("{torn}\nAnonymous: 0 kB\n")), []);
        }
    }

    /// How much of the code of this process is mapped, in KiB.
    fn mapped() -> u64 {
        let table = read_bounded(Path::new("/proc/self/smaps"), LONGEST_TABLE).unwrap();
        let table = String::from_utf8(table).unwrap();
        let mut is_code = false;
        let mut sum = 0_u64;
        for line in table.lines() {
            match line.split_ascii_whitespace().collect::<Vec<_>>()[..] {
                ["Rss:", kib, _] if is_code => {
                    sum = sum.saturating_add(kib.parse().unwrap());
                }
                [range, how, _, _, inode, ..] if range.contains('-') => {
                    is_code = how == "r-xp" && inode != "0";
                }
                _ => {}
            }
        }
        sum
    }

    #[test]
    fn what_was_run_is_unmapped_and_what_runs_goes_on() {
        let before = mapped();
        // Other tests run code as well.
        let least = (0..20).map(|_| {
            give_back();
            mapped()
        });
        let least = least.min().unwrap();
        assert!(least < before / 2, "{least} KiB of {before}");
    }
}

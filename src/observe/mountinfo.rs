//! `/proc/<pid>/mountinfo`, read as bytes and taken apart by ourselves: names need not be UTF-8,
//! and one strange name must not hide the other mounts.
//!
//! A line, with its fields separated by exactly one space each (the source may be empty):
//!
//! ```text
//! 36 35 98:0 /sub /mnt/a\040b rw,noatime shared:1 master:2 - ext4 /dev/sda1 rw,errors=continue
//! id parent dev root mount-point options optional…        | type source super-options
//! ```

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::decide::facts::{DeviceNumber, MountEntry};
use crate::units::Raw;

/// How often a table that keeps changing is read again.
const READS: u32 = 32;

/// Why a mount table is unknown.
#[derive(Debug, thiserror::Error)]
pub enum MountinfoError {
    /// Not to be opened or read; for another process also: it is gone.
    #[error("can't read the mount table {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It kept changing while it was read: lines may be missing from what was read.
    #[error("the mount table {} changed during each of {READS} reads", .path.display())]
    Restless {
        /// The file.
        path: PathBuf,
    },
    /// Not in the kernel's form.
    #[error("can't understand the mount table {}", .path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: ParseError,
    },
}

/// Where a mount table is not in the kernel's form.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line}: {what}")]
pub struct ParseError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: LineError,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum LineError {
    /// The line ends before this field.
    #[error("the {0} is missing")]
    Missing(&'static str),
    /// The field is no number, or none of that size.
    #[error("the {0} is not a number")]
    NotANumber(&'static str),
    /// The field does not begin with `/`.
    #[error("the mount point is not absolute")]
    NotAbsolute,
    /// The last line has no line feed: the rest is missing.
    #[error("the table ends in the middle of a line")]
    CutOff,
}

/// The mount table of this process.
///
/// # Errors
/// When it can't be read, keeps changing, or is not in the kernel's form.
pub fn read_self() -> Result<Vec<MountEntry>, MountinfoError> {
    read_at(Path::new("/proc/self/mountinfo"))
}

/// The mount table in this file: `/proc/<pid>/mountinfo` or `/proc/<pid>/task/<tid>/mountinfo`.
///
/// # Errors
/// When it can't be read, keeps changing, or is not in the kernel's form.
pub fn read_at(path: &Path) -> Result<Vec<MountEntry>, MountinfoError> {
    let failed = |source| MountinfoError::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(failed)?;
    let mut text = Vec::new();
    for _ in 0..READS {
        text.clear();
        file.rewind().map_err(failed)?;
        file.read_to_end(&mut text).map_err(failed)?;
        if !changed_since_read(&file).map_err(failed)? {
            return parse(&text).map_err(|source| MountinfoError::Parse {
                path: path.to_owned(),
                source,
            });
        }
    }
    Err(MountinfoError::Restless {
        path: path.to_owned(),
    })
}

/// Whether the namespace changed since the file was opened, or since the last such question. A
/// table larger than a page is read in several steps, between which lines can move or go.
fn changed_since_read(file: &File) -> io::Result<bool> {
    let mut polled = [PollFd::new(file, PollFlags::PRI)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    rustix::event::poll(&mut polled, Some(&at_once))?;
    Ok(polled
        .iter()
        .any(|answer| answer.revents().contains(PollFlags::PRI)))
}

/// The mounts in this text.
///
/// # Errors
/// When a line is not in the kernel's form. One bad line refuses the whole table: a mount that is
/// left out could be taken for absent.
pub fn parse(text: &[u8]) -> Result<Vec<MountEntry>, ParseError> {
    let mut entries = Vec::new();
    let mut lines = text.split(|byte| *byte == b'\n').enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let at = |what| ParseError {
            line: index.saturating_add(1),
            what,
        };
        if lines.peek().is_none() {
            // What follows the last line feed: nothing, in a whole table.
            if line.is_empty() {
                break;
            }
            return Err(at(LineError::CutOff));
        }
        entries.push(parse_line(line).map_err(at)?);
    }
    Ok(entries)
}

fn parse_line(line: &[u8]) -> Result<MountEntry, LineError> {
    let mut rest = Some(line);
    let mut next = |name| {
        let field = rest.ok_or(LineError::Missing(name))?;
        let (head, tail) = split_at_space(field);
        rest = tail;
        Ok(head)
    };
    let id = number(next("mount id")?, "mount id")?;
    let parent = number(next("parent id")?, "parent id")?;
    let device = device(next("device number")?)?;
    let (root, root_deleted) = undeleted(unescape(next("root")?));
    let mount_point = unescape(next("mount point")?);
    if mount_point.first() != Some(&b'/') {
        return Err(LineError::NotAbsolute);
    }
    let options = unescape(next("list of mount options")?);
    let mut optional = Vec::new();
    loop {
        match next("separator `-`")? {
            b"-" => break,
            field => optional.push(Raw::new(unescape(field))),
        }
    }
    let fs_type = unescape(next("file-system type")?);
    let source = unescape(next("source")?);
    // The last field is all that is left: options of file systems are escaped by each of them,
    // more or less.
    let super_options = unescape(rest.ok_or(LineError::Missing("list of file-system options"))?);
    Ok(MountEntry {
        id,
        parent,
        device,
        root: Raw::new(root),
        root_deleted,
        mount_point: Raw::new(mount_point),
        options: Raw::new(options),
        optional,
        fs_type: Raw::new(fs_type),
        source: Raw::new(source),
        super_options: Raw::new(super_options),
    })
}

fn split_at_space(field: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut halves = field.splitn(2, |byte| *byte == b' ');
    (halves.next().unwrap_or_default(), halves.next())
}

fn number<T: std::str::FromStr>(field: &[u8], name: &'static str) -> Result<T, LineError> {
    let digits = !field.is_empty() && field.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(field)
        .ok()
        .filter(|_| digits)
        .and_then(|text| text.parse().ok())
        .ok_or(LineError::NotANumber(name))
}

fn device(field: &[u8]) -> Result<DeviceNumber, LineError> {
    const NAME: &str = "device number";
    let mut halves = field.splitn(2, |byte| *byte == b':');
    Ok(DeviceNumber {
        major: number(halves.next().unwrap_or_default(), NAME)?,
        minor: number(halves.next().unwrap_or_default(), NAME)?,
    })
}

/// The root without the kernel's mark for a directory that has been removed. A living directory
/// can't end so: a name holds no `/`.
fn undeleted(root: Vec<u8>) -> (Vec<u8>, bool) {
    match root.strip_suffix(b"//deleted") {
        Some([]) => (b"/".to_vec(), true),
        Some(rest) => (rest.to_vec(), true),
        None => (root, false),
    }
}

/// Undoes `\ooo` in one pass, so that `\134040` becomes `\040` and not a space. A backslash
/// that is followed by anything else stands for itself.
#[must_use]
pub fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        match tail {
            [
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                behind @ ..,
            ] if *first == b'\\' => {
                let digit = |byte: &u8| byte & 0o7;
                out.push((digit(a) << 6) | (digit(b) << 3) | digit(c));
                rest = behind;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decide::facts::FsClass;

    fn one(line: &str) -> MountEntry {
        let mut text = line.as_bytes().to_vec();
        text.push(b'\n');
        parse(&text).unwrap().remove(0)
    }

    #[test]
    fn a_line_of_a_plain_disk_is_taken_apart() {
        let entry = one(
            "36 35 98:0 /sub /mnt/disk rw,noatime shared:1 master:2 - ext4 /dev/sda1 rw,errors=continue",
        );
        assert_eq!(
            entry,
            MountEntry {
                id: 36,
                parent: 35,
                device: DeviceNumber {
                    major: 98,
                    minor: 0
                },
                root: "/sub".into(),
                root_deleted: false,
                mount_point: "/mnt/disk".into(),
                options: "rw,noatime".into(),
                optional: vec!["shared:1".into(), "master:2".into()],
                fs_type: "ext4".into(),
                source: "/dev/sda1".into(),
                super_options: "rw,errors=continue".into(),
            }
        );
    }

    #[test]
    fn all_escapes_are_undone_in_one_pass() {
        let entry = one(r"36 35 98:0 / /a\040b\011c\012d\134e\134040 rw - ext4 /dev/\043x rw");
        assert_eq!(entry.mount_point.as_bytes(), b"/a b\tc\nd\\e\\040");
        assert_eq!(entry.source.as_bytes(), b"/dev/#x");
        assert_eq!(unescape(br"\999\4\040\7"), br"\999\4 \7");
        assert_eq!(unescape(br"\777"), br"\777", "more than a byte");
        assert_eq!(unescape(br"\377"), b"\xff");
    }

    #[test]
    fn names_outside_utf8_are_kept() {
        let entries = parse(
            b"36 35 98:0 / /mnt/\xff\xfe rw - ext4 /dev/sda1 rw\n37 35 98:1 / /b rw - xfs x rw\n",
        )
        .unwrap();
        assert_eq!(entries[0].mount_point.as_bytes(), b"/mnt/\xff\xfe");
        assert_eq!(entries[1].mount_point, "/b".into());
    }

    #[test]
    fn an_empty_source_and_no_optional_fields_are_understood() {
        let entry = one("36 35 0:50 / /mnt rw - tmpfs  rw,size=4k");
        assert_eq!(entry.source, "".into());
        assert_eq!(entry.super_options, "rw,size=4k".into());
        assert!(entry.optional.is_empty());
    }

    #[test]
    fn a_removed_directory_is_marked() {
        let entry = one("36 35 98:0 /gone//deleted /mnt rw - ext4 /dev/sda1 rw");
        assert_eq!(
            (entry.root.clone(), entry.root_deleted),
            ("/gone".into(), true)
        );
        let entry = one("36 35 98:0 //deleted /mnt rw - ext4 /dev/sda1 rw");
        assert_eq!((entry.root.clone(), entry.root_deleted), ("/".into(), true));
    }

    #[test]
    fn roots_of_name_spaces_and_options_with_spaces_are_taken() {
        let entry = one("36 35 0:4 net:[4026532281] /run/netns/a rw shared:9 - nsfs nsfs rw");
        assert_eq!(entry.root, "net:[4026532281]".into());
        let entry = one("36 35 0:60 / /m rw - cifs //host/share rw,username=a b");
        assert_eq!(entry.super_options, "rw,username=a b".into());
        assert_eq!(entry.class(), FsClass::Network);
    }

    #[test]
    fn each_error_names_its_line_and_field() {
        let good = "36 35 98:0 / /mnt rw shared:1 - ext4 /dev/sda1 rw\n";
        let cases = [
            ("", "the mount id is not a number"),
            ("36", "the parent id is missing"),
            ("-1 35", "the mount id is not a number"),
            ("+1 35", "the mount id is not a number"),
            ("36 35 98", "the device number is not a number"),
            ("36 35 98:0:1 /", "the device number is not a number"),
            ("36 35 4294967296:0 /", "the device number is not a number"),
            (
                "36 35 98:0 / mnt rw - a b c",
                "the mount point is not absolute",
            ),
            (
                "36 35 98:0 / /mnt rw shared:1",
                "the separator `-` is missing",
            ),
            ("36 35 98:0 / /mnt rw -", "the file-system type is missing"),
            ("36 35 98:0 / /mnt rw - ext4", "the source is missing"),
            (
                "36 35 98:0 / /mnt rw - ext4 x",
                "the list of file-system options is missing",
            ),
        ];
        for (line, text) in cases {
            let error = parse(format!("{good}{line}\n{good}").as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), format!("line 2: {text}"), "{line}");
        }
        let error = parse(good.trim_end().as_bytes()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 1: the table ends in the middle of a line"
        );
        assert_eq!(parse(b""), Ok(Vec::new()));
    }

    #[test]
    fn the_table_of_this_process_is_read_whole() {
        let entries = read_self().unwrap();
        assert!(
            entries.iter().any(
                |entry| entry.mount_point == "/proc".into() && entry.class() == FsClass::Pseudo
            ),
            "{entries:#?}"
        );
    }

    #[test]
    fn a_missing_table_is_an_error_with_its_path() {
        let error = read_at(Path::new("/proc/0/mountinfo")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "can't read the mount table /proc/0/mountinfo"
        );
    }

    /// The kernel's own escaping of paths.
    fn escape(name: &[u8]) -> Vec<u8> {
        name.iter()
            .flat_map(|byte| match byte {
                b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{byte:03o}").into_bytes(),
                other => vec![*other],
            })
            .collect()
    }

    proptest! {
        #[test]
        fn no_bytes_at_all_bring_it_down(text in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _outcome = parse(&text);
        }

        #[test]
        fn no_change_of_a_real_line_brings_it_down(
            at in 0usize..90, byte in any::<u8>(), cut in 0usize..90,
        ) {
            let mut line =
                b"36 35 98:0 /sub//deleted /mnt/a\\040b rw,noatime shared:1 - ext4 /dev/sda1 rw,x=y\n"
                    .to_vec();
            if let Some(place) = line.get_mut(at) {
                *place = byte;
            }
            line.truncate(line.len().saturating_sub(cut));
            let _outcome = parse(&line);
        }

        #[test]
        fn every_name_comes_back_as_it_was(
            name in proptest::collection::vec(1u8..=255, 0..40),
            source in proptest::collection::vec(1u8..=255, 0..40),
        ) {
            let mut line = b"1 2 3:4 /".to_vec();
            line.extend(escape(&name));
            line.extend(b"x /");
            line.extend(escape(&name));
            line.extend(b" rw - ext4 ");
            line.extend(escape(&source));
            line.extend(b" rw\n");
            let entry = parse(&line).unwrap().remove(0);
            let mount_point = [b"/".as_slice(), &name].concat();
            prop_assert_eq!(entry.mount_point.as_bytes(), mount_point.as_slice());
            prop_assert_eq!(entry.source.as_bytes(), source.as_slice());
        }
    }
}

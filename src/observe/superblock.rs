//! What a block device carries, told from its bytes: the few signatures that a Mesos host meets.
//!
//! Pure functions over the head and the tail of a device; reading them is
//! [`super::disks`]'s. The layouts are the kernel's (`include/uapi/linux`, `fs/*/`) and those of
//! LVM, LUKS and mdadm.

use uuid::Uuid;

use crate::decide::facts::Content;
use crate::units::Raw;

/// So many bytes are looked at from the beginning: the ZFS uberblocks are the farthest.
pub const HEAD: usize = 256 << 10;
/// So many bytes are looked at before the end: md 0.90 lies up to 128 KiB before it.
pub const TAIL: usize = 128 << 10;

/// What these bytes are. `head` are the first bytes of the device (all of a small one), `tail` its
/// last ones; `None` for nothing that is known here.
#[must_use]
pub fn content(head: &[u8], tail: &[u8]) -> Option<Content> {
    // Members of something first: their inner file system may show through (md 1.0, 0.90).
    member(head, tail)
        .map(|what| Content::Member(what.to_owned()))
        .or_else(|| filesystem(head))
        .or_else(|| swap(head).then_some(Content::Swap))
        .or_else(|| partition_table(head).map(|name| Content::PartitionTable(name.to_owned())))
}

/// Whether all of this is zero: nothing was ever written there.
#[must_use]
pub fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn has(bytes: &[u8], at: usize, magic: &[u8]) -> bool {
    bytes.get(at..).is_some_and(|rest| rest.starts_with(magic))
}

fn field(bytes: &[u8], at: usize, length: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(length)?)
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(field(bytes, at, 4)?.try_into().ok()?))
}

fn member(head: &[u8], tail: &[u8]) -> Option<&'static str> {
    if (0..4u8).any(|sector| {
        let at = usize::from(sector).saturating_mul(512);
        has(head, at, b"LABELONE") && has(head, at.saturating_add(24), b"LVM2 001")
    }) {
        return Some("an LVM physical volume");
    }
    if has(head, 0, b"LUKS\xba\xbe") {
        return Some("a LUKS container");
    }
    // md 1.0 and 0.90 lie near the end, aligned to 4 and 64 KiB from the beginning.
    if md(head) || head.get(4096..).is_some_and(md) || tail.chunks_exact(512).any(md) {
        return Some("a member of a software RAID");
    }
    if has(head, 4096 + 24, &BCACHE) {
        return Some("a bcache device");
    }
    let uberblocks = head.get(128 << 10..).unwrap_or_default();
    if uberblocks
        .chunks_exact(1024)
        .any(|block| has(block, 0, &ZFS.to_le_bytes()) || has(block, 0, &ZFS.to_be_bytes()))
    {
        return Some("a member of a ZFS pool");
    }
    None
}

/// Whether an md superblock begins here: version 1, or 0.90 of a little-endian host.
fn md(bytes: &[u8]) -> bool {
    const MAGIC: [u8; 4] = 0xa92b_4efc_u32.to_le_bytes();
    has(bytes, 0, &MAGIC)
        && match le32(bytes, 4) {
            Some(1) => true,
            Some(0) => le32(bytes, 8) == Some(90),
            Some(_) | None => false,
        }
}

const BCACHE: [u8; 16] = [
    0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d, 0x81,
];
const ZFS: u64 = 0x00ba_b10c;

fn filesystem(head: &[u8]) -> Option<Content> {
    let found = |fs_type: &str, uuid: Option<String>, label: Option<Raw>| {
        Some(Content::Filesystem {
            fs_type: fs_type.to_owned(),
            uuid,
            label,
        })
    };
    if has(head, 0x438, &[0x53, 0xef]) {
        return found(
            ext_version(head),
            uuid_at(head, 0x468),
            label_at(head, 0x478, 16),
        );
    }
    if has(head, 0, b"XFSB") {
        return found("xfs", uuid_at(head, 32), label_at(head, 108, 12));
    }
    if has(head, 0x1_0040, b"_BHRfS_M") {
        return found(
            "btrfs",
            uuid_at(head, 0x1_0020),
            label_at(head, 0x1_012b, 256),
        );
    }
    if has(head, 0x400, &0xf2f5_2010_u32.to_le_bytes()) {
        return found("f2fs", uuid_at(head, 0x46c), utf16_label(head, 0x47c, 512));
    }
    if has(head, 0, b"hsqs") {
        return found("squashfs", None, None);
    }
    if has(head, 1024, &0xe0f5_e1e2_u32.to_le_bytes()) {
        return found(
            "erofs",
            uuid_at(head, 1024 + 48),
            label_at(head, 1024 + 64, 16),
        );
    }
    if has(head, 32768 + 1, b"CD001") {
        return found("iso9660", None, label_at(head, 32768 + 40, 32));
    }
    if has(head, 3, b"NTFS    ") {
        return found("ntfs", None, None);
    }
    if has(head, 3, b"EXFAT   ") {
        return found("exfat", serial_at(head, 100), None);
    }
    if has(head, 82, b"FAT32   ") {
        return found("vfat", serial_at(head, 67), dos_label(head, 71));
    }
    if has(head, 54, b"FAT16   ") || has(head, 54, b"FAT12   ") {
        return found("vfat", serial_at(head, 39), dos_label(head, 43));
    }
    if has(head, 32768, b"JFS1") {
        return found(
            "jfs",
            uuid_at(head, 32768 + 136),
            label_at(head, 32768 + 152, 16),
        );
    }
    if has(head, 65536 + 52, b"ReIsEr") {
        return found(
            "reiserfs",
            uuid_at(head, 65536 + 84),
            label_at(head, 65536 + 100, 16),
        );
    }
    None
}

fn ext_version(head: &[u8]) -> &'static str {
    const HAS_JOURNAL: u32 = 0x4;
    // extents, 64bit, flex_bg, …: what ext3 does not know.
    const BEYOND_EXT3: u32 = !0x16;
    let compatible = le32(head, 0x45c).unwrap_or(0);
    let incompatible = le32(head, 0x460).unwrap_or(0);
    if incompatible & BEYOND_EXT3 != 0 {
        "ext4"
    } else if compatible & HAS_JOURNAL != 0 {
        "ext3"
    } else {
        "ext2"
    }
}

/// `SWAPSPACE2` ends the first page, whatever its size.
fn swap(head: &[u8]) -> bool {
    [4096usize, 8192, 16384, 65536].iter().any(|page| {
        page.checked_sub(10)
            .is_some_and(|at| has(head, at, b"SWAPSPACE2") || has(head, at, b"SWAP-SPACE"))
    })
}

fn partition_table(head: &[u8]) -> Option<&'static str> {
    if has(head, 512, b"EFI PART") || has(head, 4096, b"EFI PART") {
        return Some("a GPT partition table");
    }
    // The mark alone is also on boot sectors; a table has at least one entry with a type.
    let has_entry = (0..4usize).any(|entry| {
        entry
            .checked_mul(16)
            .and_then(|at| head.get(at.checked_add(0x1be + 4)?))
            .is_some_and(|kind| *kind != 0)
    });
    (has(head, 510, &[0x55, 0xaa]) && has_entry).then_some("an MBR partition table")
}

fn uuid_at(bytes: &[u8], at: usize) -> Option<String> {
    let uuid = Uuid::from_slice(field(bytes, at, 16)?).ok()?;
    (!uuid.is_nil()).then(|| uuid.hyphenated().to_string())
}

/// A FAT volume serial number, as `lsblk` writes it.
fn serial_at(bytes: &[u8], at: usize) -> Option<String> {
    let serial = le32(bytes, at)?;
    (serial != 0).then(|| format!("{:04X}-{:04X}", serial >> 16, serial & 0xffff))
}

fn label_at(bytes: &[u8], at: usize, length: usize) -> Option<Raw> {
    let text = field(bytes, at, length)?.split(|byte| *byte == 0).next()?;
    let text = text.trim_ascii_end();
    (!text.is_empty()).then(|| Raw::from(text))
}

fn dos_label(bytes: &[u8], at: usize) -> Option<Raw> {
    label_at(bytes, at, 11).filter(|label| *label != "NO NAME".into())
}

fn utf16_label(bytes: &[u8], at: usize, units: usize) -> Option<Raw> {
    let units: Vec<u16> = field(bytes, at, units.checked_mul(2)?)?
        .chunks_exact(2)
        .map(|pair| match pair {
            [low, high] => u16::from_le_bytes([*low, *high]),
            _ => 0,
        })
        .take_while(|unit| *unit != 0)
        .collect();
    (!units.is_empty()).then(|| Raw::from(String::from_utf16_lossy(&units)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn image(parts: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; HEAD];
        for (at, part) in parts {
            bytes[*at..][..part.len()].copy_from_slice(part);
        }
        bytes
    }

    const ID: [u8; 16] = [
        0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 1, 2, 3, 4, 5, 6, 7, 8,
    ];
    const ID_TEXT: &str = "12345678-9abc-def0-0102-030405060708";

    fn fs(fs_type: &str, label: &str) -> Content {
        Content::Filesystem {
            fs_type: fs_type.to_owned(),
            uuid: Some(ID_TEXT.to_owned()),
            label: Some(label.into()),
        }
    }

    #[test]
    fn file_systems_are_told_with_uuid_and_label() {
        let ext = |compat: u8, incompat: u8| {
            image(&[
                (0x438, &[0x53, 0xef]),
                (0x45c, &[compat]),
                (0x460, &[incompat]),
                (0x468, &ID),
                (0x478, b"data0"),
            ])
        };
        assert_eq!(content(&ext(0, 0x02), &[]), Some(fs("ext2", "data0")));
        assert_eq!(content(&ext(4, 0x06), &[]), Some(fs("ext3", "data0")));
        assert_eq!(content(&ext(4, 0x46), &[]), Some(fs("ext4", "data0")));
        let xfs = image(&[(0, b"XFSB"), (32, &ID), (108, b"twelve bytes")]);
        assert_eq!(content(&xfs, &[]), Some(fs("xfs", "twelve bytes")));
        let btrfs = image(&[
            (0x1_0020, &ID),
            (0x1_0040, b"_BHRfS_M"),
            (0x1_012b, b"pool"),
        ]);
        assert_eq!(content(&btrfs, &[]), Some(fs("btrfs", "pool")));
    }

    #[test]
    fn labels_outside_utf8_are_kept_and_empty_ones_are_none() {
        let odd = image(&[(0, b"XFSB"), (32, &ID), (108, b"a\xffb")]);
        let Some(Content::Filesystem { label, .. }) = content(&odd, &[]) else {
            panic!("an xfs");
        };
        assert_eq!(label, Some(Raw::new(*b"a\xffb")));
        let bare = image(&[(0, b"XFSB")]);
        assert_eq!(
            content(&bare, &[]),
            Some(Content::Filesystem {
                fs_type: "xfs".to_owned(),
                uuid: None,
                label: None
            })
        );
    }

    #[test]
    fn swap_and_members_and_tables_are_no_file_systems() {
        assert_eq!(
            content(&image(&[(4086, b"SWAPSPACE2")]), &[]),
            Some(Content::Swap)
        );
        let lvm = image(&[(512, b"LABELONE"), (536, b"LVM2 001")]);
        assert_eq!(
            content(&lvm, &[]),
            Some(Content::Member("an LVM physical volume".to_owned()))
        );
        let luks = image(&[(0, b"LUKS\xba\xbe")]);
        assert_eq!(
            content(&luks, &[]),
            Some(Content::Member("a LUKS container".to_owned()))
        );
        let gpt = image(&[(510, &[0x55, 0xaa]), (512, b"EFI PART")]);
        assert_eq!(
            content(&gpt, &[]),
            Some(Content::PartitionTable("a GPT partition table".to_owned()))
        );
        let mbr = image(&[(0x1be + 4, &[0x83]), (510, &[0x55, 0xaa])]);
        assert_eq!(
            content(&mbr, &[]),
            Some(Content::PartitionTable("an MBR partition table".to_owned()))
        );
        let boot_sector = image(&[(510, &[0x55, 0xaa])]);
        assert_eq!(content(&boot_sector, &[]), None);
    }

    #[test]
    fn a_raid_member_with_its_superblock_at_the_end_hides_the_file_system_in_it() {
        let xfs = image(&[(0, b"XFSB"), (32, &ID)]);
        let mut tail = vec![0; TAIL];
        let at = TAIL - (8 << 10);
        tail[at..at + 4].copy_from_slice(&0xa92b_4efc_u32.to_le_bytes());
        tail[at + 4] = 1;
        assert_eq!(
            content(&xfs, &tail),
            Some(Content::Member("a member of a software RAID".to_owned()))
        );
    }

    #[test]
    fn blank_is_all_zero() {
        assert!(is_blank(&[0; 4096]));
        assert!(!is_blank(&[0, 1]));
        assert_eq!(content(&vec![0; HEAD], &vec![0; TAIL]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_at_all_bring_it_down(
            head in proptest::collection::vec(any::<u8>(), 0..5000),
            tail in proptest::collection::vec(any::<u8>(), 0..5000),
        ) {
            let _what = content(&head, &tail);
        }

        #[test]
        fn no_cut_brings_it_down(cut in 0usize..0x1_0200) {
            let whole = image(&[(0x1_0020, &ID), (0x1_0040, b"_BHRfS_M"), (0x1_012b, b"pool")]);
            let _what = content(&whole[..cut], &[]);
        }
    }
}

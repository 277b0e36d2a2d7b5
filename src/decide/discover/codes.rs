//! Why a disk is not offered: stable codes, each with a sentence and a remedy.

use serde::{Deserialize, Serialize};

use crate::decide::preflight::missing::Gone;

/// The rule that speaks against a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The operating system lies on it.
    OsDisk,
    /// It holds a file system that is mounted nowhere.
    NotMounted,
    /// Another mount hides it.
    Overmounted,
    /// It, its mount or its file system is read-only.
    ReadOnly,
    /// Its file system is on other hosts or shared with them: never asked.
    NetworkFilesystem,
    /// A process serves its file system: never asked.
    FuseFilesystem,
    /// Its file system stores nothing on a disk.
    PseudoFilesystem,
    /// Its file system is of no known type and on no block device: never asked.
    UnknownFilesystem,
    /// It gave no answer in time.
    Unanswering,
    /// Looking at it failed.
    Unreadable,
    /// Smaller than `discovery.min_size`, or nothing is left after the reserve.
    TooSmall,
    /// Another device is made of it.
    HasHolders,
    /// It, or its drive, can be taken out.
    Removable,
    /// Another root on the same file system excludes it.
    DuplicateDevice,
    /// It is, holds, lies in or binds another root.
    NestedRoot,
    /// No rule names it.
    NoRule,
    /// `discovery.exclude` names it.
    Excluded,
    /// `root.advertise` is false.
    NotAdvertised,
    /// `discovery.filesystems` does not list its type.
    FilesystemNotAllowed,
    /// The rule's labels, models or devices do not fit what the path lies on.
    WrongDevice,
    /// It has not been as it is for `discovery.settle`.
    NotSettled,
    /// The path is something else than a directory.
    NotADirectory,
    /// The root is not UTF-8, and Mesos takes JSON.
    NotUtf8Root,
    /// The root is reached through a symbolic link.
    SymlinkedRoot,
    /// The root is not an absolute path without `.` and `..`.
    NotAbsolute,
    /// The directory that was bound there has been removed.
    DeletedRoot,
    /// It is the hidden side of a MOUNT disk that `disk prepare` laid out.
    HiddenSide,
    /// It is swap.
    Swap,
    /// It has partitions, or a table of them.
    Partitioned,
    /// It is a part of something else (LVM, RAID, btrfs, …).
    Member,
    /// Nothing that is known here is on it.
    Unformatted,
    /// No medium, or no backing file.
    NoMedium,
    /// What should be there is not: the mount, or the directory.
    Missing,
    /// Another file system than the one that was verified is there.
    FingerprintMismatch,
    /// The file system is smaller than what was advertised of it.
    FilesystemShrunk,
    /// The file system refuses writes since an error, or was shut down.
    FilesystemFailed,
    /// The block device below the mounted file system is gone.
    DeviceGone,
    /// The explicit size does not fit into the file system, or into what others leave of it.
    SizeBeyondFilesystem,
    /// The agent registered without it, and its policy lets nothing be added.
    NeedsAdditive,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 39] = [
        Self::OsDisk,
        Self::NotMounted,
        Self::Overmounted,
        Self::ReadOnly,
        Self::NetworkFilesystem,
        Self::FuseFilesystem,
        Self::PseudoFilesystem,
        Self::UnknownFilesystem,
        Self::Unanswering,
        Self::Unreadable,
        Self::TooSmall,
        Self::HasHolders,
        Self::Removable,
        Self::DuplicateDevice,
        Self::NestedRoot,
        Self::NoRule,
        Self::Excluded,
        Self::NotAdvertised,
        Self::FilesystemNotAllowed,
        Self::WrongDevice,
        Self::NotSettled,
        Self::NotADirectory,
        Self::NotUtf8Root,
        Self::SymlinkedRoot,
        Self::NotAbsolute,
        Self::DeletedRoot,
        Self::HiddenSide,
        Self::Swap,
        Self::Partitioned,
        Self::Member,
        Self::Unformatted,
        Self::NoMedium,
        Self::Missing,
        Self::FingerprintMismatch,
        Self::FilesystemShrunk,
        Self::FilesystemFailed,
        Self::DeviceGone,
        Self::SizeBeyondFilesystem,
        Self::NeedsAdditive,
    ];

    /// The code as users see it; it never changes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OsDisk => "os_disk",
            Self::NotMounted => "not_mounted",
            Self::Overmounted => "overmounted",
            Self::ReadOnly => "read_only",
            Self::NetworkFilesystem => "network_filesystem",
            Self::FuseFilesystem => "fuse_filesystem",
            Self::PseudoFilesystem => "pseudo_filesystem",
            Self::UnknownFilesystem => "unknown_filesystem",
            Self::Unanswering => "unanswering",
            Self::Unreadable => "unreadable",
            Self::TooSmall => "too_small",
            Self::HasHolders => "has_holders",
            Self::Removable => "removable",
            Self::DuplicateDevice => "duplicate_device",
            Self::NestedRoot => "nested_root",
            Self::NoRule => "no_rule",
            Self::Excluded => "excluded",
            Self::NotAdvertised => "not_advertised",
            Self::FilesystemNotAllowed => "filesystem_not_allowed",
            Self::WrongDevice => "wrong_device",
            Self::NotSettled => "not_settled",
            Self::NotADirectory => "not_a_directory",
            Self::NotUtf8Root => "not_utf8_root",
            Self::SymlinkedRoot => "symlinked_root",
            Self::NotAbsolute => "not_absolute",
            Self::DeletedRoot => "deleted_root",
            Self::HiddenSide => "hidden_side",
            Self::Swap => "swap",
            Self::Partitioned => "partitioned",
            Self::Member => "member",
            Self::Unformatted => "unformatted",
            Self::NoMedium => "no_medium",
            Self::Missing => "missing",
            Self::FingerprintMismatch => "fingerprint_mismatch",
            Self::FilesystemShrunk => "filesystem_shrunk",
            Self::FilesystemFailed => "filesystem_failed",
            Self::DeviceGone => "device_gone",
            Self::SizeBeyondFilesystem => "size_beyond_filesystem",
            Self::NeedsAdditive => "needs_additive",
        }
    }

    /// What such a verdict means for a disk that was advertised before.
    #[must_use]
    pub fn meaning(self) -> Meaning {
        match self {
            Self::NoRule | Self::Excluded | Self::NotAdvertised => Meaning::Withdrawn,
            Self::NeedsAdditive => Meaning::Refused,
            Self::Missing | Self::NotMounted | Self::NotADirectory | Self::DeletedRoot => {
                Meaning::Gone(Gone::Missing)
            }
            Self::FingerprintMismatch
            | Self::Overmounted
            | Self::NetworkFilesystem
            | Self::FuseFilesystem
            | Self::PseudoFilesystem
            | Self::UnknownFilesystem => Meaning::Gone(Gone::Replaced),
            Self::FilesystemNotAllowed
            | Self::OsDisk
            | Self::ReadOnly
            | Self::Unanswering
            | Self::Unreadable
            | Self::TooSmall
            | Self::HasHolders
            | Self::Removable
            | Self::DuplicateDevice
            | Self::NestedRoot
            | Self::WrongDevice
            | Self::NotSettled
            | Self::NotUtf8Root
            | Self::SymlinkedRoot
            | Self::NotAbsolute
            | Self::HiddenSide
            | Self::Swap
            | Self::Partitioned
            | Self::Member
            | Self::Unformatted
            | Self::NoMedium
            | Self::FilesystemShrunk
            | Self::FilesystemFailed
            | Self::DeviceGone
            | Self::SizeBeyondFilesystem => Meaning::Unfit,
        }
    }
}

/// What a rejection means for a disk that was advertised before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The configuration no longer wants it.
    Withdrawn,
    /// An agent would not start with it.
    Refused,
    /// It is not there, or another is.
    Gone(Gone),
    /// It is there, and something is wrong with it: its last good number stays.
    Unfit,
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a disk is not offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The rule.
    pub code: Code,
    /// What is so, in a sentence.
    pub sentence: String,
    /// What the operator can do; none where nothing is wrong.
    pub remedy: Option<String>,
}

impl Rejection {
    /// A rejection that the operator can do something about.
    pub(in crate::decide) fn new(
        code: Code,
        sentence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            code,
            sentence: sentence.into(),
            remedy: Some(remedy.into()),
        }
    }

    /// A rejection of something that is right as it is.
    pub(super) fn plain(code: Code, sentence: impl Into<String>) -> Self {
        Self {
            code,
            sentence: sentence.into(),
            remedy: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_listed_once_and_are_the_same_in_json() {
        let names: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{code}\""));
        }
    }
}

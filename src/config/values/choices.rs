//! Values that are one of a few words.

use toml::Value;

use super::text;
use crate::config::value_error::ValueError;
use crate::decide::facts::{DiskType, OrphanPolicy, PidNamespace, WipeMode};

/// A word out of a few.
pub(in crate::config) trait Choice: Copy + 'static {
    /// The words and what each stands for.
    const WORDS: &'static [(&'static str, Self)];
}

pub(in crate::config) fn choice<T: Choice>(value: &Value) -> Result<T, ValueError> {
    let given = text(value, "one of a few words, in quotes")?;
    if let Some((_, meaning)) = T::WORDS.iter().find(|(word, _)| *word == given) {
        return Ok(*meaning);
    }
    let words: Vec<&'static str> = T::WORDS.iter().map(|(word, _)| *word).collect();
    let edits =
        |word: &str| strsim::damerau_levenshtein(&given.to_lowercase(), &word.to_lowercase());
    let nearest = words
        .iter()
        .copied()
        .filter(|word| edits(word) <= 2)
        .min_by_key(|word| edits(word));
    Err(ValueError::Word {
        given: given.to_owned(),
        words,
        nearest,
    })
}

impl Choice for OrphanPolicy {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("report", Self::Report),
        ("quarantine", Self::Quarantine),
        ("wipe", Self::Wipe),
    ];
}

impl Choice for PidNamespace {
    const WORDS: &'static [(&'static str, Self)] = &[("host", Self::Host), ("own", Self::Own)];
}

pub(in crate::config) fn disk_type(value: &Value) -> Result<DiskType, ValueError> {
    if value.as_str() == Some("ROOT") {
        return Err(ValueError::RootRule);
    }
    choice(value)
}

impl Choice for DiskType {
    const WORDS: &'static [(&'static str, Self)] = &[("PATH", Self::Path), ("MOUNT", Self::Mount)];
}

/// A mode that a directory among others can be wiped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DirectoryMode(WipeMode);

impl Choice for DirectoryMode {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("unlink", Self(WipeMode::Unlink)),
        ("discard", Self(WipeMode::Discard)),
        ("overwrite", Self(WipeMode::Overwrite)),
    ];
}

impl Choice for WipeMode {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("unlink", Self::Unlink),
        ("discard", Self::Discard),
        ("overwrite", Self::Overwrite),
        ("zero_free", Self::ZeroFree),
        ("reformat", Self::Reformat),
    ];
}

pub(in crate::config) fn wipe_mode(value: &Value) -> Result<WipeMode, ValueError> {
    choice::<DirectoryMode>(value).map(|DirectoryMode(mode)| mode)
}

/// A mode for MOUNT disks; "" for the one that all have.
pub(in crate::config) fn mount_mode(value: &Value) -> Result<Option<WipeMode>, ValueError> {
    if value.as_str() == Some("") {
        Ok(None)
    } else {
        choice(value).map(Some)
    }
}

//! Values that are paths, names, or patterns of such.

use std::path::PathBuf;

use globset::GlobBuilder;
use toml::Value;

use super::{strings, text};
use crate::config::value_error::ValueError;
use crate::units::Raw;

fn plain_path(given: &str) -> Result<&str, ValueError> {
    let rule = if !given.starts_with('/') {
        "is not absolute; write the whole path, from / on"
    } else if given.contains('\0') {
        "has a NUL byte; leave it away"
    } else if given
        .split('/')
        .any(|component| component == "." || component == "..")
    {
        "has a component . or ..; write the path without them"
    } else if given.contains("//") {
        "has an empty component; write single slashes"
    } else {
        return Ok(given);
    };
    Err(ValueError::Path {
        path: given.to_owned(),
        rule,
    })
}

/// An absolute path in its plain form; one slash at its end is dropped, because Mesos compares
/// roots as text (src/common/resources.cpp).
pub(in crate::config) fn directory(value: &Value) -> Result<Raw, ValueError> {
    let given = plain_path(text(value, "an absolute path in quotes")?)?;
    match given.strip_suffix('/').unwrap_or(given) {
        "" => Err(ValueError::Path {
            path: given.to_owned(),
            rule: "is the root of the whole system; name a directory of its own",
        }),
        path => Ok(Raw::from(path)),
    }
}

pub(in crate::config) fn optional_file(value: &Value) -> Result<Option<PathBuf>, ValueError> {
    let given = text(value, "an absolute path in quotes, or \"\" for none")?;
    if given.is_empty() {
        return Ok(None);
    }
    let given = plain_path(given)?;
    if given.ends_with('/') {
        return Err(ValueError::Path {
            path: given.to_owned(),
            rule: "names a directory; write the path of a file",
        });
    }
    Ok(Some(PathBuf::from(given)))
}

pub(in crate::config) fn group(value: &Value) -> Result<String, ValueError> {
    let given = text(value, "the name of a group in quotes, or \"\" for none")?;
    if given.contains([':', '\n', '\0']) {
        return Err(ValueError::GlobForm {
            glob: given.to_owned(),
            rule: "is no name of a group",
        });
    }
    Ok(given.to_owned())
}

pub(super) fn glob(glob: &str) -> Result<(), ValueError> {
    if glob.is_empty() {
        return Err(ValueError::GlobForm {
            glob: String::new(),
            rule: "is empty and matches nothing; leave it away",
        });
    }
    GlobBuilder::new(glob)
        .literal_separator(true)
        .build()
        .map(|_compiled| ())
        .map_err(|source| ValueError::Glob {
            glob: glob.to_owned(),
            source,
        })
}

pub(in crate::config) fn globs(value: &Value) -> Result<Vec<String>, ValueError> {
    let globs = strings(value)?;
    globs.iter().try_for_each(|one| glob(one))?;
    Ok(globs)
}

/// Plain names, none empty.
pub(in crate::config) fn names(value: &Value) -> Result<Vec<String>, ValueError> {
    let names = strings(value)?;
    if names.iter().any(String::is_empty) {
        return Err(ValueError::GlobForm {
            glob: String::new(),
            rule: "is empty and names nothing; leave it away",
        });
    }
    Ok(names)
}

pub(in crate::config) fn path_globs(value: &Value) -> Result<Vec<String>, ValueError> {
    let globs = globs(value)?;
    for given in &globs {
        plain_path(given)?;
        if given.ends_with('/') {
            return Err(ValueError::GlobForm {
                glob: given.clone(),
                rule: "ends with a slash and matches no mount point; leave the slash away",
            });
        }
    }
    Ok(globs)
}

pub(in crate::config) fn volume_globs(value: &Value) -> Result<Vec<String>, ValueError> {
    let globs = globs(value)?;
    for given in &globs {
        // A protection that protects nothing is worse than none.
        if !given.contains('/') && !given.contains("**") {
            return Err(ValueError::GlobForm {
                glob: given.clone(),
                rule: "has no slash and matches no role/persistence-id; write for example \"*/postgres*\"",
            });
        }
    }
    Ok(globs)
}

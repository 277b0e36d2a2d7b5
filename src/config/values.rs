//! What a value must look like: one function a kind of value, each with its rule and remedy.

mod choices;
mod paths;
mod sites;

use std::num::NonZeroU32;

use toml::Value;

pub(super) use self::choices::{Choice, choice, disk_type, mount_mode, wipe_mode};
use self::paths::glob;
pub(super) use self::paths::{
    directory, globs, group, names, optional_file, path_globs, volume_globs,
};
pub(super) use self::sites::{address, host_url, http_url, principal, urls};
use super::keys::WipeRate;
use super::value_error::ValueError;
use crate::decide::facts::{FreeBelow, Role, RoleRetention};
use crate::units::{Bytes, Span};

/// The type of a value with its article.
fn found(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number with a point",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date or time",
        Value::Array(_) => "an array",
        Value::Table(_) => "a table",
    }
}

fn wrong(expected: &'static str, value: &Value) -> ValueError {
    ValueError::Type {
        expected,
        found: found(value),
    }
}

fn text<'v>(value: &'v Value, expected: &'static str) -> Result<&'v str, ValueError> {
    value.as_str().ok_or_else(|| wrong(expected, value))
}

fn number(value: &Value, low: i64, high: i64) -> Result<i64, ValueError> {
    let given = value
        .as_integer()
        .ok_or_else(|| wrong("a whole number", value))?;
    if (low..=high).contains(&given) {
        Ok(given)
    } else {
        Err(ValueError::Range { given, low, high })
    }
}

pub(super) fn boolean(value: &Value) -> Result<bool, ValueError> {
    value
        .as_bool()
        .ok_or_else(|| wrong("true or false, without quotes", value))
}

pub(super) fn percent(value: &Value) -> Result<u8, ValueError> {
    let given = number(value, 0, 100)?;
    Ok(u8::try_from(given).unwrap_or(100))
}

pub(super) fn count(value: &Value) -> Result<u32, ValueError> {
    let given = number(value, 0, i64::from(u32::MAX))?;
    Ok(u32::try_from(given).unwrap_or(u32::MAX))
}

/// A number in a second, or `"auto"`.
pub(super) fn wipe_rate(value: &Value) -> Result<WipeRate, ValueError> {
    match value.as_str() {
        Some("auto") => Ok(WipeRate::ByFileSystem),
        Some(_) => Err(ValueError::Type {
            expected: "\"auto\" or a whole number",
            found: "another text",
        }),
        None => Ok(NonZeroU32::new(
            u32::try_from(number(value, 0, 1_000_000)?).unwrap_or(1_000_000),
        )
        .map_or(WipeRate::Unpaced, WipeRate::Fixed)),
    }
}

/// More were measured to gain nothing.
pub(super) fn wipe_threads(value: &Value) -> Result<u32, ValueError> {
    let given = number(value, 1, 4)?;
    Ok(u32::try_from(given).unwrap_or(1))
}

pub(super) fn at_least_one(value: &Value) -> Result<u32, ValueError> {
    let given = number(value, 1, 1024)?;
    Ok(u32::try_from(given).unwrap_or(1))
}

pub(super) fn size(value: &Value) -> Result<Bytes, ValueError> {
    Ok(text(value, "a size with its unit in quotes, such as \"5GiB\"")?.parse()?)
}

pub(super) fn optional_size(value: &Value) -> Result<Option<Bytes>, ValueError> {
    match value.as_str() {
        Some("") => Ok(None),
        Some(_) | None => size(value).map(Some),
    }
}

/// A size, or a share of the file system such as `"10%"`.
pub(super) fn optional_size_or_share(value: &Value) -> Result<Option<FreeBelow>, ValueError> {
    let given = text(
        value,
        "a size or a share in quotes, such as \"20GiB\" or \"10%\"",
    )?;
    if given.is_empty() {
        return Ok(None);
    }
    Ok(Some(match given.strip_suffix('%').map(str::parse::<i64>) {
        Some(Ok(share)) => {
            let share = number(&Value::Integer(share), 0, 100)?;
            FreeBelow::Percent(u8::try_from(share).unwrap_or(100))
        }
        Some(Err(_)) | None => FreeBelow::Bytes(given.parse::<Bytes>()?.0),
    }))
}

/// Tables of a glob on roles with retentions of their own.
pub(super) fn role_retentions(value: &Value) -> Result<Vec<RoleRetention>, ValueError> {
    let tables = value.as_array().ok_or(ValueError::Type {
        expected: "an array of tables; write each below a line [[trash.roles]]",
        found: found(value),
    })?;
    tables.iter().map(role_retention).collect()
}

fn role_retention(value: &Value) -> Result<RoleRetention, ValueError> {
    let table = value.as_table().ok_or(ValueError::Type {
        expected: "tables with role, and retention or orphan_retention",
        found: found(value),
    })?;
    let form = |glob: &str, rule| ValueError::GlobForm {
        glob: glob.to_owned(),
        rule,
    };
    if let Some(unknown) = table
        .keys()
        .find(|key| !["role", "retention", "orphan_retention"].contains(&key.as_str()))
    {
        let rule = "is no key of [[trash.roles]]; it takes role, retention and orphan_retention";
        return Err(form(unknown, rule));
    }
    let role = match table.get("role") {
        Some(role) => text(role, "a role or a glob on roles in quotes")?.to_owned(),
        None => return Err(form("role", "is missing in a [[trash.roles]]")),
    };
    glob(&role)?;
    let retention = table.get("retention").map(span).transpose()?;
    let orphan_retention = table.get("orphan_retention").map(span).transpose()?;
    if retention.is_none() && orphan_retention.is_none() {
        return Err(form(
            &role,
            "has no retention of its own; write retention, orphan_retention or both",
        ));
    }
    Ok(RoleRetention {
        role,
        retention,
        orphan_retention,
    })
}

pub(super) fn span(value: &Value) -> Result<Span, ValueError> {
    Ok(text(
        value,
        "a span of time with its unit in quotes, such as \"30s\"",
    )?
    .parse()?)
}

pub(super) fn interval(value: &Value) -> Result<Span, ValueError> {
    let given = span(value)?;
    let least = Span::seconds(1);
    if given < least {
        return Err(ValueError::TooShort { given, least });
    }
    Ok(given)
}

fn strings(value: &Value) -> Result<Vec<String>, ValueError> {
    let items = value
        .as_array()
        .ok_or_else(|| wrong("an array of strings, such as [\"/mnt/data\"]", value))?;
    items
        .iter()
        .map(|item| match item.as_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(ValueError::Item {
                found: found(item),
                example: "[\"/mnt/data\"]",
            }),
        })
        .collect()
}

/// Mesos's own rules for a role (src/common/roles.cpp).
pub(super) fn role(value: &Value) -> Result<Role, ValueError> {
    let given = text(value, "a role in quotes, or \"*\" for none")?;
    let rule = if given == "*" {
        return Ok(Role::new("*"));
    } else if given.is_empty() {
        "it is empty; write \"*\" for no role"
    } else if given.chars().any(|c| c.is_whitespace() || c.is_control()) {
        "white space is not allowed"
    } else if given.contains('\\') {
        "a backslash is not allowed"
    } else if given.split('/').any(str::is_empty) {
        "it begins or ends with a slash, or has two in a row"
    } else if given
        .split('/')
        .any(|part| part == "." || part == ".." || part == "*" || part.starts_with('-'))
    {
        "no part of it may be `.`, `..` or `*`, or begin with `-`"
    } else {
        return Ok(Role::new(given));
    };
    Err(ValueError::Role {
        role: given.to_owned(),
        rule,
    })
}

/// Resources other than disks, as the agent's own flag takes them: a JSON array, or
/// `name:value;…`. Only the outline is checked here; who writes resources reads them whole.
pub(super) fn extra_resources(value: &Value) -> Result<String, ValueError> {
    let given = text(
        value,
        "a string as the agent's --resources takes it, such as \"cpus:8;mem:16384\"",
    )?;
    let fail = |rule| {
        Err(ValueError::Resources {
            given: given.to_owned(),
            rule,
        })
    };
    let trimmed = given.trim();
    let names: Vec<String> = if trimmed.starts_with('[') {
        let Ok(entries) = serde_json::from_str::<Vec<serde_json::Value>>(trimmed) else {
            return fail("begins like a JSON array but is none; check it with a JSON tool");
        };
        let mut names = Vec::new();
        for entry in &entries {
            match entry.get("name").and_then(serde_json::Value::as_str) {
                Some(name) => names.push(name.to_owned()),
                None => return fail("has an entry without a name; each entry is a Mesos Resource"),
            }
        }
        names
    } else {
        let mut names = Vec::new();
        for entry in trimmed.split(';').filter(|entry| !entry.trim().is_empty()) {
            match entry.split_once(':') {
                // `name(role):value` is Mesos's short form of a static reservation.
                Some((name, rest)) if !name.trim().is_empty() && !rest.trim().is_empty() => {
                    names.push(name.split('(').next().unwrap_or(name).trim().to_owned());
                }
                Some(_) | None => {
                    return fail("is not of the form name:value;name:value");
                }
            }
        }
        names
    };
    if names.iter().any(|name| name == "disk") {
        return fail("names a disk; disks come from [root] and [[disks]] alone");
    }
    Ok(trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::facts::{OrphanPolicy, WipeMode};
    use crate::units::Raw;

    fn read<T>(
        kind: fn(&Value) -> Result<T, ValueError>,
        value: impl Into<Value>,
    ) -> Result<T, String> {
        kind(&value.into()).map_err(|error| error.to_string())
    }

    #[test]
    fn directories_are_absolute_and_plain() {
        assert_eq!(
            read(directory, "/var/lib/mesos"),
            Ok(Raw::from("/var/lib/mesos"))
        );
        assert_eq!(
            read(directory, "/var/lib/mesos/"),
            Ok(Raw::from("/var/lib/mesos"))
        );
        for (path, rule) in [
            ("var/lib", "is not absolute"),
            ("", "is not absolute"),
            ("/", "root of the whole system"),
            ("/a/../b", "component . or .."),
            ("/a/./b", "component . or .."),
            ("/a//b", "single slashes"),
            ("/a\0b", "NUL"),
        ] {
            let error = read(directory, path).unwrap_err();
            assert!(error.contains(rule), "{path:?}: {error}");
        }
        assert!(
            read(directory, 5)
                .unwrap_err()
                .contains("this is a whole number")
        );
    }

    #[test]
    fn roles_follow_mesos() {
        for good in ["*", "slave_public", "eng/dev", "a-b", "a.b"] {
            assert_eq!(read(role, good), Ok(Role::new(good)), "{good}");
        }
        for bad in [
            "", ".", "..", "-a", "a/-b", "a b", "a\tb", "/a", "a/", "a//b", "a/*", "a\\b", "a/..",
        ] {
            assert!(
                read(role, bad).unwrap_err().contains("is not a role"),
                "{bad}"
            );
        }
    }

    #[test]
    fn protect_globs_that_could_never_match_are_refused() {
        for good in ["*/postgres*", "prod/**", "**", "eng/dev/*"] {
            assert!(read(volume_globs, vec![good]).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("postgres*", "has no slash"),
            ("", "is empty"),
            ("a/[", "is not a glob"),
            ("a/{b", "is not a glob"),
        ] {
            let error = read(volume_globs, vec![bad]).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn path_globs_are_absolute() {
        assert!(read(path_globs, vec!["/dcos/volume*", "/mnt/[ab]/{x,y}"]).is_ok());
        for (bad, why) in [
            ("dcos/volume*", "is not absolute"),
            ("/mnt/data/", "ends with a slash"),
            ("/mnt/../x", "component . or .."),
        ] {
            let error = read(path_globs, vec![bad]).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
        assert!(
            read(path_globs, "/mnt")
                .unwrap_err()
                .contains("an array of strings")
        );
        let mixed = Value::Array(vec!["/mnt".into(), Value::Integer(5)]);
        assert_eq!(
            path_globs(&mixed).unwrap_err().to_string(),
            "the array holds a whole number; write strings in quotes, such as [\"/mnt/data\"]"
        );
    }

    #[test]
    fn a_url_is_http_with_a_host_and_no_secret() {
        assert_eq!(
            read(http_url, "http://10.0.0.1:5051/"),
            Ok(Some("http://10.0.0.1:5051".to_owned()))
        );
        assert_eq!(
            read(http_url, "https://h:5051"),
            Ok(Some("https://h:5051".to_owned()))
        );
        assert_eq!(read(http_url, ""), Ok(None));
        for (bad, why) in [
            ("127.0.0.1:5051", "is not a"),
            ("localhost:5051", "is not an HTTP URL"),
            ("http://u:p@h:5051", "holds a password"),
            ("http://h:5051/?a=b", "has a ?"),
            ("file:///etc", "is not an HTTP URL"),
            ("http://", "is not a URL"),
        ] {
            let error = read(http_url, bad).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn modes_of_whole_disks_are_for_mount_disks_alone() {
        assert_eq!(read(wipe_mode, "overwrite"), Ok(WipeMode::Overwrite));
        for other in ["reformat", "zero_free", "shred", ""] {
            let error = read(wipe_mode, other).unwrap_err();
            assert!(error.contains("is none of \"unlink\""), "{error}");
        }
        assert_eq!(read(mount_mode, ""), Ok(None));
        assert_eq!(read(mount_mode, "reformat"), Ok(Some(WipeMode::Reformat)));
        assert!(read(mount_mode, "purge").is_err());
    }

    #[test]
    fn words_name_the_nearest_where_one_is_near() {
        assert!(
            read(choice::<OrphanPolicy>, "purge")
                .unwrap_err()
                .ends_with("write one of these")
        );
        assert_eq!(
            read(choice::<OrphanPolicy>, "quarentine").unwrap_err(),
            "`quarentine` is none of \"report\", \"quarantine\", \"wipe\"; did you mean \"quarantine\"?"
        );
        assert!(
            read(disk_type, "mount")
                .unwrap_err()
                .contains("did you mean \"MOUNT\"?")
        );
        assert!(read(disk_type, "ROOT").unwrap_err().contains("[root]"));
    }

    #[test]
    fn extra_resources_name_no_disk() {
        for good in [
            "",
            "cpus:8;mem:16384",
            "ports:[31000-32000]",
            "cpus(web):2; mem:5",
            r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":8}}]"#,
        ] {
            assert!(read(extra_resources, good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("disk:100", "names a disk"),
            ("disk(web):100", "names a disk"),
            (r#"[{"name":"disk"}]"#, "names a disk"),
            ("[{]", "is none"),
            ("[{}]", "without a name"),
            ("cpus", "name:value"),
        ] {
            let error = read(extra_resources, bad).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn numbers_spans_and_sizes_say_their_rule() {
        assert_eq!(read(percent, 10), Ok(10));
        assert!(read(percent, 101).unwrap_err().contains("from 0 to 100"));
        assert!(read(count, -1).unwrap_err().contains("out of range"));
        assert!(read(wipe_rate, -1).unwrap_err().contains("out of range"));
        assert_eq!(read(wipe_rate, 0), Ok(WipeRate::Unpaced));
        assert_eq!(read(wipe_rate, "auto"), Ok(WipeRate::ByFileSystem));
        assert!(read(wipe_rate, "slow").unwrap_err().contains("\"auto\""));
        assert!(read(wipe_threads, 5).unwrap_err().contains("from 1 to 4"));
        assert!(read(interval, "10ms").unwrap_err().contains("too short"));
        assert!(read(span, 7).unwrap_err().contains("\"30s\""));
        assert!(read(size, "5").unwrap_err().contains("the unit is missing"));
        assert!(
            read(boolean, "true")
                .unwrap_err()
                .contains("without quotes")
        );
        assert_eq!(
            read(optional_size_or_share, "10%"),
            Ok(Some(FreeBelow::Percent(10)))
        );
        assert!(
            read(optional_size_or_share, "101%")
                .unwrap_err()
                .contains("out of range")
        );
        assert!(
            read(address, "localhost:1")
                .unwrap_err()
                .contains("is not an IP address")
        );
    }
}

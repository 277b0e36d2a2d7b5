//! The names of a volume: role, persistence id, and both together.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::units::Raw;

/// A role, such as `slave_public` or `eng/dev`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Role(Raw);

impl Role {
    /// The role with this name, as Mesos gives it.
    pub fn new(name: impl Into<Raw>) -> Self {
        Self(name.into())
    }

    /// The role whose directory under `volumes/roles` has this name: a space stands for `/`, and
    /// no role holds white space (src/slave/paths.cpp, src/common/roles.cpp).
    #[must_use]
    pub fn from_directory(name: &[u8]) -> Self {
        Self(Raw::new(
            name.iter()
                .map(|&b| if b == b' ' { b'/' } else { b })
                .collect::<Vec<u8>>(),
        ))
    }

    /// The name of the role's directory: `/` becomes a space.
    #[must_use]
    pub fn directory(&self) -> Raw {
        Raw::new(
            self.0
                .as_bytes()
                .iter()
                .map(|&b| if b == b'/' { b' ' } else { b })
                .collect::<Vec<u8>>(),
        )
    }

    /// The name in its exact bytes.
    #[must_use]
    pub fn as_raw(&self) -> &Raw {
        &self.0
    }

    /// Whether this is `*`, which stands for no reservation.
    #[must_use]
    pub fn is_unreserved(&self) -> bool {
        self.0.as_bytes() == b"*"
    }

    /// Whether this role lies strictly below `other`: `eng/dev` below `eng`.
    #[must_use]
    pub fn refines(&self, other: &Self) -> bool {
        self.0
            .as_bytes()
            .strip_prefix(other.0.as_bytes())
            .is_some_and(|rest| matches!(rest, [b'/', _, ..]))
    }

    /// The rule of Mesos that this name breaks (src/common/roles.cpp), as the rest of a sentence;
    /// `None` for a name that Mesos takes.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        let name = self.0.as_bytes();
        if name == b"*" {
            return None;
        }
        if name.is_empty() {
            return Some("is an empty role");
        }
        if name
            .iter()
            .any(|byte| matches!(byte, 0 | b'\t'..=b'\r' | b' ' | 0x7f))
        {
            return Some("is a role with white space, NUL or DEL");
        }
        name.split(|&byte| byte == b'/')
            .find_map(|component| match component {
                b"" => Some("is a role with a stray slash"),
                b"." | b".." => Some("is a role with the component `.` or `..`"),
                b"*" => Some("is a role with the component `*`"),
                [b'-', ..] => Some("is a role with a component that begins with a dash"),
                _ => None,
            })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A persistence id: any bytes but `/`, `\`, NUL and ASCII control characters, at most 255
/// (src/common/validation.cpp). Unique for a role on an agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PersistenceId(Raw);

impl PersistenceId {
    /// The id with this text.
    pub fn new(id: impl Into<Raw>) -> Self {
        Self(id.into())
    }

    /// The exact bytes, which are also the name of the volume's directory.
    #[must_use]
    pub fn as_raw(&self) -> &Raw {
        &self.0
    }

    /// The rule of Mesos that this id breaks (src/common/validation.cpp), as the rest of a
    /// sentence; `None` for an id that Mesos takes.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        let id = self.0.as_bytes();
        if id.is_empty() {
            return Some("is an empty persistence id");
        }
        if id.len() > 255 {
            return Some("is a persistence id of more than 255 bytes");
        }
        if id == b"." || id == b".." {
            return Some("is the persistence id `.` or `..`");
        }
        if id
            .iter()
            .any(|&byte| byte.is_ascii_control() || matches!(byte, b'/' | b'\\'))
        {
            return Some("is a persistence id with a slash, a backslash or a control character");
        }
        None
    }

    /// App and container path where the id has Marathon's form `app#containerPath#uuid`.
    #[must_use]
    pub fn marathon(&self) -> Option<MarathonVolume> {
        let mut parts = self.0.as_str()?.split('#');
        let (app, container_path, uuid) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || app.is_empty() || container_path.is_empty() {
            return None;
        }
        uuid::Uuid::try_parse(uuid).ok()?;
        Some(MarathonVolume {
            app: app.to_owned(),
            container_path: container_path.to_owned(),
            uuid: uuid.to_owned(),
        })
    }
}

impl fmt::Display for PersistenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The parts of a persistence id that Marathon made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarathonVolume {
    /// The app's id as Marathon writes it there: `/` of the path became `_`.
    pub app: String,
    /// The volume's path inside the container.
    pub container_path: String,
    /// The volume's own id.
    pub uuid: String,
}

/// What Mesos calls a volume by: role and persistence id, unique on an agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VolumeKey {
    /// The role of the last reservation.
    pub role: Role,
    /// The persistence id.
    pub id: PersistenceId,
}

impl VolumeKey {
    /// The volume of this role with this id.
    #[must_use]
    pub fn new(role: Role, id: PersistenceId) -> Self {
        Self { role, id }
    }

    /// The volume that is written as `role/persistence-id`: an id holds no slash, a role may.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        match text.rsplit_once('/') {
            Some((role, id)) if !role.is_empty() && !id.is_empty() => {
                Some(Self::new(Role::new(role), PersistenceId::new(id)))
            }
            Some(_) | None => None,
        }
    }
}

/// `role/persistence-id`, the form of `protect` globs and of the command line.
impl fmt::Display for VolumeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.role, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_directory_has_spaces_for_slashes() {
        let role = Role::new("eng/dev/db");
        assert_eq!(role.directory(), Raw::from("eng dev db"));
        assert_eq!(Role::from_directory(b"eng dev db"), role);
    }

    #[test]
    fn names_that_mesos_refuses_are_refused() {
        let long = "x".repeat(255);
        for id in [
            "a b", ".hidden", "...", "-x", "*", "#", "\u{85}", "\"", "é", &long,
        ] {
            assert_eq!(PersistenceId::new(id).fault(), None, "{id}");
        }
        assert_eq!(PersistenceId::new(&b"\xff"[..]).fault(), None);
        for id in [
            "",
            ".",
            "..",
            "a/b",
            "a\\b",
            "a\n",
            "a\u{7f}",
            "a\0",
            &"x".repeat(256),
        ] {
            assert!(PersistenceId::new(id).fault().is_some(), "{id}");
        }
        for role in [
            "*", "a/b", "a\\b", "#", "a\u{a0}b", "\u{2028}", "\u{1}", "a-b", "...", "a*",
        ] {
            assert_eq!(Role::new(role).fault(), None, "{role}");
        }
        for role in [
            "", "-x", "a/-x", ".", "..", "a/../b", "a/*", "/a", "a/", "a//b", "a b", "a\tb",
            "a\u{7f}", "a\0",
        ] {
            assert!(Role::new(role).fault().is_some(), "{role}");
        }
        assert!(Role::new("eng/dev").refines(&Role::new("eng")));
        for (role, other) in [
            ("eng", "eng"),
            ("engine", "eng"),
            ("eng/", "eng"),
            ("ops", "eng"),
        ] {
            assert!(!Role::new(role).refines(&Role::new(other)), "{role}");
        }
    }

    #[test]
    fn marathon_ids_are_taken_apart() {
        let id =
            PersistenceId::new("cwc_test_test-root#mydata#0dd1f3b2-7c1c-11e6-9f0c-024213f0d3ab");
        let parts = id.marathon().unwrap();
        assert_eq!(
            (parts.app.as_str(), parts.container_path.as_str()),
            ("cwc_test_test-root", "mydata")
        );
        for other in [
            "plain",
            "a#b",
            "a#b#c",
            "a##0dd1f3b2-7c1c-11e6-9f0c-024213f0d3ab",
        ] {
            assert_eq!(PersistenceId::new(other).marathon(), None, "{other}");
        }
    }
}

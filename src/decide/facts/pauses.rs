//! What an operator has paused.
//!
//! A pause holds until it is taken back, also across restarts of the daemon: whoever paused did it to
//! protect something, and neither a crash nor an upgrade of this program may undo that. `status` and
//! the metrics show it for as long as it lasts, so that it is not forgotten.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::units::Raw;

/// `paused.json`: whose jobs wait until somebody says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pauses {
    /// Version of this structure; see [`Pauses::VERSION`].
    version: u32,
    /// Whether every root is paused, those of [`Pauses::roots`] excepted.
    all: bool,
    /// Roots that are paused; where every root is, those that are not.
    roots: BTreeSet<Raw>,
}

impl Pauses {
    /// The version that this program writes and reads.
    pub const VERSION: u32 = 1;
    /// The file's name in `state_dir`.
    pub const NAME: &str = "paused.json";

    /// Nothing is paused.
    #[must_use]
    pub fn none() -> Self {
        Self {
            version: Self::VERSION,
            ..Self::default()
        }
    }

    /// Everything is paused.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            all: true,
            ..Self::none()
        }
    }

    /// Whether jobs on this root wait.
    #[must_use]
    pub fn holds(&self, root: &Raw) -> bool {
        self.all != self.roots.contains(root)
    }

    /// Whether every root is paused, except for those of [`Pauses::roots`].
    #[must_use]
    pub const fn all(&self) -> bool {
        self.all
    }

    /// Roots that are paused; where [`Pauses::all`] is so, roots that are not.
    #[must_use]
    pub const fn roots(&self) -> &BTreeSet<Raw> {
        &self.roots
    }

    /// With this root paused, or with every root.
    #[must_use]
    pub fn pause(self, root: Option<&Raw>) -> Self {
        self.set(root, true)
    }

    /// With this root going on, or with every root.
    #[must_use]
    pub fn resume(self, root: Option<&Raw>) -> Self {
        self.set(root, false)
    }

    fn set(mut self, root: Option<&Raw>, pause: bool) -> Self {
        let Some(root) = root else {
            return if pause {
                Self::everything()
            } else {
                Self::none()
            };
        };
        if self.all == pause {
            self.roots.remove(root);
        } else {
            self.roots.insert(root.clone());
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_and_every_root_are_paused_and_resumed_apart() {
        let (a, b) = (Raw::from("/mnt/a"), Raw::from("/mnt/b"));
        let none = Pauses::none();
        assert!(!none.holds(&a));
        let one = none.clone().pause(Some(&a));
        assert!(one.holds(&a) && !one.holds(&b));
        assert!(!one.all() && one.roots() == &BTreeSet::from([a.clone()]));
        assert_eq!(one.clone().pause(Some(&a)), one);
        assert_eq!(one.clone().resume(Some(&a)), none);
        let all = one.pause(None);
        assert!(all.holds(&a) && all.holds(&b));
        assert!(all.all() && all.roots().is_empty());
        // All but one: it goes on while the others wait, those included that come later.
        let others = all.resume(Some(&b));
        assert!(others.holds(&a) && !others.holds(&b) && others.holds(&Raw::from("/mnt/c")));
        assert_eq!(others.clone().pause(Some(&b)), Pauses::everything());
        assert_eq!(others.resume(None), none);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let pauses = Pauses::everything().resume(Some(&Raw::from("/mnt/a")));
        let text = serde_json::to_string(&pauses).unwrap();
        assert_eq!(serde_json::from_str::<Pauses>(&text).unwrap(), pauses);
    }
}

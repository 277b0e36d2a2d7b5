//! What a path that an operator typed leads to.

use rustix::fs::FileType;
use rustix::io::Errno;

use super::walk::{Viewpoint, WalkError};
use crate::decide::facts::{DeviceNumber, MountTable};
use crate::units::Raw;

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A block device.
    Block(DeviceNumber),
    /// Something in a file system, with its path without links.
    Inside(Raw),
    /// Nothing is there.
    Missing,
}

/// Why it can't be told: a sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NodeError(String);

/// Follows an absolute path, links included, without touching a file system that may not answer.
pub fn at(path: &Raw, mounts: &MountTable) -> Result<Node, NodeError> {
    // Nodes and links below /dev are the kernel's and udev's: looking at one opens no device.
    if path.below(&Raw::from("/dev")).is_some() {
        return match rustix::fs::stat(path.as_path()) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::BlockDevice => {
                Ok(Node::Block(DeviceNumber {
                    major: rustix::fs::major(stat.st_rdev),
                    minor: rustix::fs::minor(stat.st_rdev),
                }))
            }
            Ok(_) => Ok(Node::Inside(path.clone())),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(Node::Missing),
            Err(error) => Err(NodeError(format!("{path} could not be looked at: {error}"))),
        };
    }
    let followed = Viewpoint::own(mounts.clone()).and_then(|view| view.follow(path));
    match followed {
        Ok(found) => Ok(Node::Inside(found.real)),
        Err(WalkError::Missing { .. }) => Ok(Node::Missing),
        Err(error) => Err(NodeError(crate::units::chain(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::mountinfo;

    #[test]
    fn devices_folders_and_nothing_are_told_apart() {
        let mounts = MountTable::new(mountinfo::read_self().unwrap());
        let here = tempfile::tempdir().unwrap();
        let folder = Raw::from(here.path());
        assert_eq!(at(&folder, &mounts).unwrap(), Node::Inside(folder.clone()));
        assert_eq!(at(&folder.join("none"), &mounts).unwrap(), Node::Missing);
        let null = Raw::from("/dev/null");
        assert_eq!(at(&null, &mounts).unwrap(), Node::Inside(null.clone()));
        assert!(at(&Raw::from("/proc/self"), &mounts).is_err());
    }
}

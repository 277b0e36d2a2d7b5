//! The few kernel calls that observing and acting share, and the transport that both ask servers
//! through. Nothing here changes this host.
//!
//! Everything about files is relative to an open descriptor and to one name in it: no path is resolved after
//! a root was opened, no symbolic link is followed, and no mount is entered (bind mounts of the
//! same file system included), so that neither a hostile tree nor a file system that never
//! answers can lead a caller astray.

pub mod crew;
pub mod fs_uuid;
pub mod heap;
pub mod http;
pub mod identity;
pub mod ioctl;
pub mod list;
pub mod names;
pub mod open;
pub mod program;
pub mod read;
pub mod stat;
pub mod text;

pub use crew::Crew;
pub use fs_uuid::{FsUuidError, filesystem_uuid};
pub use identity::{IdentityError, identity, identity_of};
pub use list::{Batch, More, TypeHint, list};
pub use names::NameStack;
pub use open::{OpenError, Resolver, open_beneath, open_root, reopen};
pub use read::{ReadError, read_bounded, read_bounded_at};
pub use stat::{Footprint, MountId, Node, Times, entry_kind, footprint, mount_id, node, times};

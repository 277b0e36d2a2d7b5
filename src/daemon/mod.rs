//! The loop: observe → decide → check → act → record.

pub mod disks;

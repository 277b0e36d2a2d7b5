//! The loop: observe → decide → check → act → record.

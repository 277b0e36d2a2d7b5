//! Fragments (files) → inputs (merged) → settings (validated).

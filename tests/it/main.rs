//! Integration tests.

#[cfg(test)]
mod checkpoint;

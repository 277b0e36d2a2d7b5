//! Integration tests.

#[cfg(test)]
mod checkpoint;

#[cfg(test)]
mod config;

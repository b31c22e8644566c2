//! The explorer.
#![forbid(unsafe_code)]

pub mod index;

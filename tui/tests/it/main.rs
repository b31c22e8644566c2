//! The explorer as a library: its index and answers against brute force, its screens against
//! goldens.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod causality;
mod critical;
mod damage;
mod follow;
mod goroutines;
mod index;
mod marks;
mod queries;
mod replay;
mod screens;
mod support;

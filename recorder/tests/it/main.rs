//! Real small programs, recorded and read back.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test would")]

#[cfg(feature = "record")]
mod process;
#[cfg(feature = "record")]
mod recorded;
#[cfg(feature = "record")]
mod session;
#[cfg(feature = "record")]
mod sync_atomic;
#[cfg(feature = "record")]
mod sync_chan;
mod sync_compat;
#[cfg(feature = "record")]
mod sync_condvar;
#[cfg(feature = "record")]
mod sync_go;
#[cfg(feature = "record")]
mod sync_locks;
#[cfg(feature = "record")]
mod sync_mpsc;
#[cfg(feature = "record")]
mod sync_once;
#[cfg(feature = "record")]
mod sync_support;
#[cfg(feature = "record")]
mod sync_thread;

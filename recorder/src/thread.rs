//! `std::thread`, recorded.
//!
//! Without the `record` feature everything here **is** `std::thread`. With it, threads made here
//! appear in the log: who started them where, their names, their ends (also by a panic), who joined
//! them, and who woke whom by [`park()`] and unpark.
//!
//! A thread that was made by other means (a library's, std's own) is recorded from its first event
//! on, as a thread without a parent.

#[cfg(not(feature = "record"))]
pub use std::thread::*;

#[cfg(feature = "record")]
mod builder;
#[cfg(feature = "record")]
mod park;
#[cfg(feature = "record")]
mod scope;

#[cfg(feature = "record")]
pub use std::thread::{
    AccessError, LocalKey, Result, ThreadId, available_parallelism, panicking, yield_now,
};

#[cfg(feature = "record")]
pub use self::{
    builder::{Builder, JoinHandle, spawn},
    park::{Thread, current, park, park_timeout},
    scope::{Scope, ScopedJoinHandle, scope},
    sleeping::sleep,
};

#[cfg(feature = "record")]
mod sleeping {
    use std::time::Duration;

    use mmtrace_format::event::BlockReason;

    use crate::emit;

    /// Sleeps at least this long; the log says so.
    #[track_caller]
    pub fn sleep(duration: Duration) {
        emit::block(BlockReason::Sleep, 0);
        std::thread::sleep(duration);
        emit::run(BlockReason::Sleep);
    }
}

//! What lives inside a recorded Rust program: types that do what std's do, and tell an mmtrace log.
//!
//! ```
//! use mmtrace_recorder::cell::UnsafeCell;
//! use mmtrace_recorder::sync::{Arc, Mutex};
//! use mmtrace_recorder::{mark, thread};
//!
//! let hits = Arc::new(Mutex::new(0));
//! let workers: Vec<_> = (0..2)
//!     .map(|_| {
//!         let hits = Arc::clone(&hits);
//!         thread::spawn(move || *hits.lock().unwrap() += 1)
//!     })
//!     .collect();
//! for worker in workers {
//!     worker.join().unwrap();
//! }
//! mark!("all {} are in", hits.lock().unwrap());
//! # let _ = UnsafeCell::new(0);
//! ```
//!
//! `mmtrace record -o run.log -- ./program` then writes the log (it sets `MMTRACE_LOG`), and
//! `mmtrace analyze run.log` says what races, who blocks whom and where the heap grows. A test
//! records itself with a `Session`.
//!
//! # What a program in safe Rust gets
//!
//! Safe Rust has no data races, so none will be found in it. It gets deadlocks and lock orders that
//! could become one, threads that leak, contention by place, atomics whose orderings do not order
//! what they should, heap growth by stack, and a timeline of everything. Unsafe code that shares
//! memory through [`cell::UnsafeCell`] gets its races found.
//!
//! # What it costs
//!
//! - Without the cargo feature `record` (the default): nothing. The mirrored types *are* std's, and
//!   the cells are plain memory. A program turns the feature on, a library leaves that to it.
//! - With the feature and without a log asked for: one predictable branch, below 1 ns.
//! - Recording: 5 ns for an access, 40 ns for a lock with its unlock, 100 ns for an allocation, each
//!   at most and over the bare operation (`cargo bench --features record`); and whatever the
//!   background thread that compresses the log takes from the program's processors.
//!
//! | variable | |
//! |---|---|
//! | `MMTRACE_LOG` | the log, or a folder for one log for each process; unset or `off`: none |
//! | `MMTRACE_MAX_LOG`, `MMTRACE_KEEP` | how long it may get, and what to keep then |
//! | `MMTRACE_SLOT` | bytes of the open chunks that threads fill |
//! | `MMTRACE_FULL` | `1`: also accesses that repeat one since the thread's last event |
//!
//! # What it cannot see
//!
//! - Memory that is not in a cell of this crate, synchronisation that does not go through its types
//!   (a library's own locks, pipes, files), and what happens in signal handlers, which must not use
//!   recorded types at all.
//! - Stacks are walked on x86-64 Linux. A walk needs frame pointers
//!   (`-C force-frame-pointers=yes`, quicker) or unwind tables (the default); elsewhere a stack is
//!   the place in the source alone. Two stacks that agree in the hook, the stack pointer and the
//!   six innermost return addresses are taken for one, except for allocations, which compare all.
//! - A killed program loses what it did between an operation and the record of it, at most one
//!   record a thread.

pub mod alloc;
pub mod cell;
pub mod chan;
mod emit;
pub mod go;
pub mod map;
pub mod pool;
pub mod span;
pub mod sync;
pub mod thread;
pub mod wait_group;

#[cfg(any(feature = "record", feature = "go-runtime"))]
mod clock;
#[cfg(any(feature = "record", feature = "go-runtime"))]
mod cursor;
#[cfg(feature = "go-runtime")]
#[doc(hidden)]
pub mod go_runtime;
#[cfg(any(feature = "record", feature = "go-runtime"))]
mod hash;
#[cfg(feature = "record")]
mod log;
#[cfg(any(feature = "record", feature = "go-runtime"))]
mod log_file;
#[cfg(any(feature = "record", feature = "go-runtime"))]
#[cfg_attr(not(feature = "record"), allow(dead_code, reason = "Go programs need no unwind tables"))]
mod module;
#[cfg(any(feature = "record", feature = "go-runtime"))]
mod primitive;
#[cfg(feature = "record")]
mod record;
#[cfg(feature = "record")]
mod session;
#[cfg(any(feature = "record", feature = "go-runtime"))]
mod slot_writer;
#[cfg(feature = "record")]
mod stack;
#[cfg(any(feature = "record", feature = "go-runtime"))]
#[cfg_attr(not(feature = "record"), allow(dead_code, reason = "a Go process is recorded once"))]
mod stripe;

#[cfg(feature = "record")]
pub use session::{FinishError, Session, StartError, Summary};
pub use span::name;

/// Whether something is being recorded now.
#[inline]
pub fn is_recording() -> bool {
    #[cfg(feature = "record")]
    return record::enabled();
    #[cfg(not(feature = "record"))]
    false
}

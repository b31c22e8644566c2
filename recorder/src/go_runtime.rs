//! What the C functions do that Go's race builds call: see `recorder/go`, which gives them their
//! names.
//!
//! A race build tells its runtime of every access to memory and every synchronisation, with a
//! pointer that stands for the goroutine. Go's own runtime (`ThreadSanitizer`) judges at once, with
//! the memory that it has; this one writes everything down, and the analyzer judges later.
//!
//! Every hook runs on the system's stack of its thread and is not preempted by Go, so it may lock,
//! allocate and write files; the usual ones do none of that. A hook cannot fail.
//!
//! # Who writes where
//! Each processor of Go's (a P) has one stream (`proc`); what a goroutine is between two hooks is
//! a few words (`goroutine`). Memory does not grow with the number of goroutines but for those.
//!
//! # Stacks
//! Instrumented functions tell when they are entered and left; the stack of an access is kept that
//! way. Synchronisation, allocations and parking walk the frame pointers instead (`walk`), which
//! shows the functions that are not instrumented, too.

mod activations;
mod atomics;
mod goroutine;
mod hooks;
mod layout;
pub mod offsets;
mod park;
mod proc;
mod recording;
mod sealer;
mod sites;
mod symbols;
mod walk;
mod words;

pub use atomics::*;
pub use goroutine::Goroutine;
pub use hooks::*;
pub use layout::{ENTRIES, TABLE_MARK};
pub use park::*;
pub use words::*;

pub use mmtrace_format::AccessKind;

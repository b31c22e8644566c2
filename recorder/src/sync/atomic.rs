//! `std::sync::atomic`, recorded.
//!
//! While a log is written, an operation and its order number are taken together under the spin bit
//! of the address's stripe: the log's order of the operations on one atomic *is* its modification
//! order, and each load stands behind the store that it observed. The memory order that the program
//! asked for is recorded as it is; the analyzer gives it the meaning that C++20 does, whatever the
//! machine happened to do.
//!
//! Each operation is also an access, so that plain reads and writes of the same bytes are caught.
//!
//! A load that observes the same write as this thread's last load of the place, with the same memory
//! order and nothing published in between, is silent: it takes no lock and writes nothing that
//! others read, so that spinning readers stay as cheap as they were. It could not have changed a
//! verdict (the reason is in the source, `sync/seen.rs`).

mod flag;
mod integer;
mod operation;
mod pointer;
mod version;

use mmtrace_format::EventKind;
use mmtrace_format::event::MemoryOrder;

use crate::emit;

pub use std::sync::atomic::{Ordering, compiler_fence};

pub use self::flag::AtomicBool;
pub use self::integer::{
    AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16, AtomicU32,
    AtomicU64, AtomicUsize,
};
pub use self::pointer::AtomicPtr;

/// `std::sync::atomic::fence`, recorded.
///
/// # Panics
/// If `order` is [`Ordering::Relaxed`].
#[inline]
#[track_caller]
pub fn fence(order: Ordering) {
    std::sync::atomic::fence(order);
    if emit::on() {
        emit::note(EventKind::Fence, detail(order), 0, 0);
    }
}

/// The memory order as events have it.
fn detail(order: Ordering) -> u32 {
    let order = match order {
        Ordering::Acquire => MemoryOrder::Acquire,
        Ordering::Release => MemoryOrder::Release,
        Ordering::AcqRel => MemoryOrder::AcquireRelease,
        Ordering::SeqCst => MemoryOrder::SequentiallyConsistent,
        // `Ordering` may grow; relaxed claims the least.
        _ => MemoryOrder::Relaxed,
    };
    order as u32
}

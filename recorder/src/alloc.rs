//! The heap: an allocator that tells the recorder what it hands out and takes back.
//!
//! ```
//! use mmtrace_recorder::alloc::Recorded;
//!
//! #[global_allocator]
//! static HEAP: Recorded = Recorded::system();
//! # fn main() { drop(vec![1]) }
//! ```

#![expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};

/// An allocator whose blocks are recorded, each with the stack that asked for it.
///
/// Without the `record` feature it only passes on. With it and without a log asked for it does so
/// behind one predictable branch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recorded<A = System> {
    inner: A,
}

impl Recorded {
    /// The system's allocator, recorded.
    pub const fn system() -> Self {
        Self { inner: System }
    }
}

impl<A> Recorded<A> {
    /// Another allocator, recorded.
    pub const fn new(inner: A) -> Self {
        Self { inner }
    }
}

/// The allocator returned a block.
#[inline]
fn took(block: *mut u8, size: usize, detail: u32) {
    #[cfg(feature = "record")]
    if crate::record::enabled() && !block.is_null() {
        let kind = mmtrace_format::EventKind::Alloc;
        crate::record::allocator_event(kind, detail, block.addr() as u64, size as u64);
    }
    #[cfg(not(feature = "record"))]
    let _ = (block, size, detail);
}

/// A block is about to go back.
#[inline]
fn gives(block: *mut u8, detail: u32) {
    #[cfg(feature = "record")]
    if crate::record::enabled() {
        let kind = mmtrace_format::EventKind::Free;
        crate::record::allocator_event(kind, detail, block.addr() as u64, 0);
    }
    #[cfg(not(feature = "record"))]
    let _ = (block, detail);
}

/// Marks the two halves of a reallocation.
const REALLOCATION: u32 = 1;

// SAFETY: every method passes its arguments unchanged to the allocator inside, and its answer
// unchanged back, so this keeps GlobalAlloc's promises as well as that does. What is done beside
// touches neither the blocks nor the layouts, and does not unwind: the recorder's paths that could
// panic would do so on a bug of its own only, and its own allocations come back here, where they are
// passed on unrecorded.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Recorded<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about the layout, passed on.
        let block = unsafe { self.inner.alloc(layout) };
        took(block, layout.size(), 0);
        block
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about the layout, passed on.
        let block = unsafe { self.inner.alloc_zeroed(layout) };
        took(block, layout.size(), 0);
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        gives(block, 0);
        // SAFETY: the caller's promise about the block and its layout, passed on; every block comes
        // from the allocator inside.
        unsafe { self.inner.dealloc(block, layout) };
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Before the allocator may give the block to somebody else. If it then refuses, the block
        // lives on, and is said to be allocated again.
        gives(block, REALLOCATION);
        // SAFETY: the caller's promise about the block, its layout and the size, passed on.
        let moved = unsafe { self.inner.realloc(block, layout, size) };
        if moved.is_null() {
            took(block, layout.size(), REALLOCATION);
        } else {
            took(moved, size, REALLOCATION);
        }
        moved
    }
}

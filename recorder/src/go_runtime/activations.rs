//! The functions of a goroutine that were entered and have not returned.
//!
//! The hooks of function entries and exits are the most frequent of all after those of accesses, and
//! mostly done in assembly (`recorder/go`), on the goroutine's own stack and with nothing but
//! registers. So this is a buffer between plain pointers, at offsets that the assembly knows.

#![expect(unsafe_code, reason = "a growing array whose top the assembly moves")]

use std::mem::offset_of;
use std::ptr::NonNull;

use mmtrace_format::StackId;

/// A function that was entered and has not returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Activation {
    /// The stack of whoever called it.
    pub(super) callers: u32,
    /// How deep in the goroutine's stack it is: bytes from the stack's upper end, which stay the
    /// same when Go moves the stack. Never 0.
    pub(super) depth: u32,
}

/// What lies below the outermost function: nothing is less deep.
static BOTTOM: Activation = Activation { callers: 0, depth: 0 };
/// Activations that the first buffer has room for.
const FIRST_CAPACITY: usize = 15;

/// Outermost first, each deeper than the one before it.
///
/// What is not in a buffer yet is in none: `top` and `end` then both point behind [`BOTTOM`], so
/// that there is always one activation below `top` to compare with.
#[derive(Debug)]
pub(super) struct Activations {
    /// Behind the innermost.
    top: NonNull<Activation>,
    /// Behind the buffer.
    end: NonNull<Activation>,
    /// Entries of the buffer, that of the bottom included; 0 without one.
    len: usize,
}

// SAFETY: the buffer is this value's alone; the bottom is never written.
unsafe impl Send for Activations {}

impl Activations {
    /// Where the assembly finds `top` and `end`.
    pub(super) const TOP: usize = offset_of!(Self, top);
    pub(super) const END: usize = offset_of!(Self, end);

    pub(super) const fn new() -> Self {
        let bottom = NonNull::from_ref(&BOTTOM);
        // SAFETY: one behind a single entry.
        let top = unsafe { bottom.add(1) };
        Self { top, end: top, len: 0 }
    }

    /// Takes the innermost off if it is this deep or deeper.
    #[inline]
    pub(super) fn pop(&mut self, depth: u32) -> Option<Activation> {
        // SAFETY: there is always an entry below `top`: the bottom at least.
        let last = unsafe { self.top.sub(1) };
        // SAFETY: as above, and entries below `top` are initialised.
        let activation = unsafe { last.read() };
        // The bottom has no depth, and no function has depth 0.
        if activation.depth < depth.max(1) {
            return None;
        }
        self.top = last;
        Some(activation)
    }

    /// Adds one; nothing may be as deep.
    #[inline]
    pub(super) fn push(&mut self, activation: Activation) {
        if self.top == self.end {
            self.grow();
        }
        // SAFETY: below `end`, in a buffer: the bottom's is always full.
        unsafe { self.top.write(activation) };
        // SAFETY: `top` was below `end`.
        self.top = unsafe { self.top.add(1) };
    }

    #[cold]
    fn grow(&mut self) {
        let mut entries = Vec::with_capacity((self.len * 2).max(FIRST_CAPACITY + 1));
        entries.extend_from_slice(self.entries());
        let used = entries.len();
        entries.resize(entries.capacity(), BOTTOM);
        let entries = Box::leak(entries.into_boxed_slice());
        let len = entries.len();
        let start = NonNull::from(entries).cast::<Activation>();
        // SAFETY: `used` is below `len`: the capacity doubled.
        let top = unsafe { start.add(used) };
        // SAFETY: behind the last.
        let end = unsafe { start.add(len) };
        // The old buffer goes with the old value.
        *self = Self { top, end, len };
    }

    /// All, the bottom first.
    fn entries(&self) -> &[Activation] {
        if self.len == 0 {
            return std::slice::from_ref(&BOTTOM);
        }
        // SAFETY: the buffer begins `len` entries before its end.
        let start = unsafe { self.end.sub(self.len) };
        // SAFETY: both are of the one buffer, `top` the higher.
        let used = unsafe { self.top.offset_from(start) }.cast_unsigned();
        // SAFETY: entries below `top` are initialised, and borrowed with `self`.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), used) }
    }
}

impl Drop for Activations {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: the buffer begins `len` entries before its end.
            let start = unsafe { self.end.sub(self.len) };
            let buffer = NonNull::slice_from_raw_parts(start, self.len);
            // SAFETY: leaked from a box of this length by `grow`, and nobody else's.
            drop(unsafe { Box::from_raw(buffer.as_ptr()) });
        }
    }
}

impl Activation {
    pub(super) fn new(callers: StackId, depth: u32) -> Self {
        Self { callers: callers.as_u32(), depth }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_comes_back_innermost_first_however_deep() {
        let mut activations = Activations::new();
        for deep in 1..=100 {
            activations.push(Activation { callers: deep * 7, depth: deep * 10 });
        }
        assert_eq!(activations.pop(1001), None);
        for deep in (1..=100).rev() {
            let expected = Activation { callers: deep * 7, depth: deep * 10 };
            assert_eq!(activations.pop(deep * 10), Some(expected));
        }
        assert_eq!(activations.pop(1), None);
        assert_eq!(activations.pop(0), None, "not even for a depth that no function has");
        activations.push(Activation { callers: 1, depth: 8 });
        assert_eq!(activations.pop(8), Some(Activation { callers: 1, depth: 8 }));
    }
}

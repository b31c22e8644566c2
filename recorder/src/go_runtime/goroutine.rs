//! A goroutine as the race hooks know it: what Go keeps in `g.racectx`.

use std::mem::offset_of;

use mmtrace_format::{StackId, ThreadId};

use super::activations::{Activation, Activations};
use super::proc::mix;

/// What is to be known of a goroutine between two hooks.
///
/// Go runs a goroutine on one thread at a time, and the hooks of one that is parked are called by
/// whoever keeps it from going on (the holder of a channel's lock), so nobody else ever looks.
#[derive(Debug)]
pub struct Goroutine {
    /// The stack of the function that runs now, without the place in it.
    pub(super) callers: StackId,
    /// How often `ignore_sync_begin` was called and not ended.
    pub(super) ignoring: u32,
    pub(super) thread: ThreadId,
    pub(super) parent: ThreadId,
    /// A number that changes whenever others may take something from it, and that other goroutines
    /// have once in 2^64.
    pub(super) epoch: u64,
    /// How many fragments it has begun.
    pub(super) fragments: u64,
    /// A number for the fragment that it is in, which no other fragment of any goroutine has but once
    /// in 2^64: the memory of a goroutine that has ended is soon another one's, with as many fragments.
    pub(super) turn: u64,
    /// The functions that are active, outermost first.
    pub(super) activations: Activations,
    /// Where it parked last: what others do for it while it is parked, happens there.
    pub(super) parked_at: StackId,
    /// The code of why it parked, plus one; 0 if it was not parked since it ran last.
    pub(super) parked: u8,
    /// Whether its first event is in the log.
    pub(super) is_started: bool,
    /// A send of its own that somebody received from while it was parked: the channel, and which one.
    /// That it is done is its first event when it runs again. Nobody takes anything from that event,
    /// so it may come late, and whoever received need not stand in for it once more.
    pub(super) sent: Option<(u64, u64)>,
    /// What it is going to wait for, if whoever parks it does not know.
    pub(super) waits_for: u64,
}

impl Goroutine {
    /// Where the assembly of `recorder/go` finds things.
    pub(super) const CALLERS: usize = offset_of!(Self, callers);
    pub(super) const EPOCH: usize = offset_of!(Self, epoch);
    pub(super) const TURN: usize = offset_of!(Self, turn);
    pub(super) const ACTIVATIONS: usize = offset_of!(Self, activations);

    pub(super) fn new(thread: ThreadId, parent: ThreadId) -> Self {
        Self {
            callers: StackId::UNKNOWN,
            ignoring: 0,
            thread,
            parent,
            epoch: mix(u64::from(thread.as_u32())),
            fragments: 0,
            turn: mix(u64::from(thread.as_u32())),
            activations: Activations::new(),
            parked_at: StackId::UNKNOWN,
            parked: 0,
            is_started: false,
            sent: None,
            waits_for: 0,
        }
    }

    /// It runs somewhere, or somewhere else.
    #[inline]
    pub(super) fn begin_fragment(&mut self) {
        self.fragments += 1;
        self.turn = self.turn.wrapping_add(1);
    }

    /// What it does from here on may be unordered with what its past is ordered with.
    #[inline]
    pub(super) fn begin_epoch(&mut self) {
        self.epoch = mix(self.epoch);
    }

    /// Forgets what lies where a function lies that is `depth` bytes from the stack's upper end, or
    /// deeper: what a panic has skipped never returned.
    #[inline]
    pub(super) fn unwind_to(&mut self, depth: u32) {
        while let Some(activation) = self.activations.pop(depth) {
            self.callers = StackId::new(activation.callers);
        }
    }

    /// A function is entered at this depth, with these callers; nothing lies deeper.
    #[inline]
    pub(super) fn enter(&mut self, callee_callers: StackId, depth: u32) {
        self.activations.push(Activation::new(self.callers, depth));
        self.callers = callee_callers;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_a_panic_has_skipped_are_forgotten() {
        let mut goroutine = Goroutine::new(ThreadId::MAIN, ThreadId::MAIN);
        for (callers, depth) in [(1, 100), (2, 200), (3, 300)] {
            goroutine.unwind_to(depth);
            goroutine.enter(StackId::new(callers), depth);
        }
        // The function at 300 panics, the one at 100 recovers and calls another one.
        goroutine.unwind_to(150);
        assert_eq!(goroutine.callers, StackId::new(1));
        goroutine.enter(StackId::new(4), 150);
        // Both return.
        goroutine.unwind_to(150);
        assert_eq!(goroutine.callers, StackId::new(1));
        goroutine.unwind_to(100);
        assert_eq!(goroutine.callers, StackId::UNKNOWN);
    }
}

//! Which number each stripe is at, and who waits for a later one.

use std::collections::HashMap;

use mmtrace_format::STRIPE_COUNT;

use crate::hash::FastHash;

/// The state of all stripes. Passing a number is O(1), whoever waits.
#[derive(Debug)]
pub(super) struct Stripes {
    /// The number that comes next.
    next: Vec<u64>,
    /// How many threads wait for a number of the stripe: most often none, and then nothing has to
    /// be looked up.
    waiting: Vec<u32>,
    waiters: HashMap<(usize, u64), usize, FastHash>,
}

impl Stripes {
    pub(super) fn new() -> Self {
        Self {
            next: vec![1; STRIPE_COUNT],
            waiting: vec![0; STRIPE_COUNT],
            waiters: HashMap::default(),
        }
    }

    #[inline]
    pub(super) fn next(&self, stripe: usize) -> u64 {
        self.next[stripe]
    }

    pub(super) fn wait(&mut self, dense: usize, stripe: usize, sequence: u64) {
        // Two events with one number come only from a damaged log: the first to wait is then
        // woken late, by the merge's own means.
        if self.waiters.insert((stripe, sequence), dense).is_none() {
            self.waiting[stripe] += 1;
        }
    }

    /// The next number is done: who waits for the one after it?
    #[inline]
    pub(super) fn pass(&mut self, stripe: usize) -> Option<usize> {
        self.next[stripe] = self.next[stripe].saturating_add(1);
        if self.waiting[stripe] == 0 { None } else { self.take_waiter(stripe) }
    }

    /// Numbers before `sequence` are given up.
    pub(super) fn skip_to(&mut self, stripe: usize, sequence: u64) {
        self.next[stripe] = sequence;
        self.take_waiter(stripe);
    }

    fn take_waiter(&mut self, stripe: usize) -> Option<usize> {
        let waiter = self.waiters.remove(&(stripe, self.next[stripe]))?;
        self.waiting[stripe] -= 1;
        Some(waiter)
    }
}

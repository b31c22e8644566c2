//! Streams: a writer's fragments lie in its stream in the order in which they ran.
//!
//! That is the order of real time and draws no edge between threads. It keeps the merge in step with
//! what no thread synchronises: what a collector frees was used before, by fragments that ended
//! before it.

use std::collections::HashMap;

use crate::hash::FastHash;
use crate::order::FragmentSpan;

/// Which fragments have run, and who waits for one to do so.
#[derive(Debug)]
pub(super) struct Streams {
    done: Vec<bool>,
    /// By the place of the fragment that is waited for: it has one follower.
    waiting: HashMap<u32, usize, FastHash>,
}

impl Streams {
    pub(super) fn new(fragment_count: usize) -> Self {
        Self { done: vec![false; fragment_count], waiting: HashMap::default() }
    }

    /// Whether a fragment may begin.
    #[inline]
    pub(super) fn lets_begin(&self, span: &FragmentSpan) -> bool {
        span.before == FragmentSpan::FIRST || self.done[span.before as usize]
    }

    /// The thread is to be told when the fragment may begin.
    pub(super) fn wait(&mut self, dense: usize, span: &FragmentSpan) {
        self.waiting.insert(span.before, dense);
    }

    /// The fragment begins although it may not: the log is damaged.
    pub(super) fn give_up(&mut self, span: &FragmentSpan) {
        self.done[span.before as usize] = true;
    }

    /// A fragment has run; gives who waited for that.
    #[inline]
    pub(super) fn end(&mut self, place: usize) -> Option<usize> {
        self.done[place] = true;
        if self.waiting.is_empty() {
            return None;
        }
        self.waiting.remove(&u32::try_from(place).ok()?)
    }
}

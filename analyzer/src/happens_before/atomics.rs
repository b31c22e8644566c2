//! Atomics: C++20 release sequences and fences, of which Go's are the sequentially consistent part.
//!
//! What a load takes is what the release sequence of the value published: a store heads a new one
//! (or none, if it is relaxed and no fence came before), read-modify-writes prolong it. Since C++20
//! later relaxed stores of the same thread no longer do.

use mmtrace_format::event::MemoryOrder;
use mmtrace_format::{Event, EventKind};

use super::clocks::Clocks;
use super::publication::{Accumulator, Publication, Published};
use crate::rules::Rule;

/// An atomic variable.
#[derive(Debug, Default)]
pub(super) struct Atomic {
    /// By the release sequence that the present value belongs to.
    sequence: Published,
    /// Gaps that its stripe had had by the last operation: see [`super::objects::Stamped`].
    gaps: u32,
}

/// What a thread's fences have to do with its relaxed operations.
#[derive(Debug, Default)]
pub(super) struct Fences {
    /// Seen by relaxed loads, to be taken by the next acquire fence.
    seen: Accumulator,
    /// Published by the last release fence, through every relaxed store after it.
    released: Option<Publication>,
}

impl Atomic {
    /// Numbers of its stripe are missing: the value may be another one by now.
    #[inline]
    pub(super) fn forget_across(&mut self, gaps: u32) {
        if self.gaps != gaps {
            *self = Self { gaps, sequence: Published::Nothing };
        }
    }

    pub(super) fn operate(
        &mut self,
        clocks: &mut Clocks,
        dense: usize,
        event: &Event,
        fences: &mut Option<Box<Fences>>,
    ) {
        let order = MemoryOrder::from_detail(event.detail);
        if event.kind != EventKind::AtomicStore {
            if order.acquires() {
                clocks.take_published(dense, Rule::Atomic, &self.sequence);
            } else {
                Fences::see(fences, &self.sequence, clocks.with_edges());
            }
        }
        let released = match event.kind {
            EventKind::AtomicStore | EventKind::AtomicRmw if order.releases() => {
                Some(clocks.publish(dense))
            }
            EventKind::AtomicStore | EventKind::AtomicRmw => {
                fences.as_ref().and_then(|fences| fences.released.clone())
            }
            _ => None,
        };
        match (event.kind, released) {
            (EventKind::AtomicStore, None) => self.sequence = Published::Nothing,
            (EventKind::AtomicStore, Some(released)) => self.sequence = Published::One(released),
            // It has taken what was there, and publishes that as well.
            (EventKind::AtomicRmw, Some(released)) if order.acquires() && order.releases() => {
                self.sequence = Published::One(released);
            }
            (EventKind::AtomicRmw, Some(released)) => {
                self.sequence.merge(released, clocks.with_edges());
            }
            _ => {}
        }
    }
}

impl Fences {
    /// A relaxed load: what it saw waits for a fence.
    fn see(fences: &mut Option<Box<Self>>, sequence: &Published, with_edges: bool) {
        match sequence {
            Published::Nothing => {}
            Published::One(publication) => {
                fences.get_or_insert_default().seen.add(publication, with_edges);
            }
            Published::Many(accumulator) => {
                fences.get_or_insert_default().seen.add_all(accumulator);
            }
        }
    }

    pub(super) fn fence(
        fences: &mut Option<Box<Self>>,
        clocks: &mut Clocks,
        dense: usize,
        order: MemoryOrder,
    ) {
        if order.acquires()
            && let Some(fences) = fences
        {
            clocks.take_accumulated(dense, Rule::Atomic, &std::mem::take(&mut fences.seen));
        }
        if order.releases() {
            fences.get_or_insert_default().released = Some(clocks.publish(dense));
        }
    }
}

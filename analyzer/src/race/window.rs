//! Windows: a quarter of a million accesses at a time, each with what its thread knew.
//!
//! The sync pass is sequential and cheap, the accesses are many and independent. So the sync pass
//! runs one window ahead: while a window's accesses are looked at in parallel, the next window's
//! *segments* (accesses of one thread with one epoch and one clock) are put together.

mod builder;
mod packed;

use std::borrow::Cow;

use crate::clock::{Epoch, VectorClock};
use crate::order::EventRef;
pub(super) use builder::Builder;
use packed::PackedClocks;

/// About as many accesses make a part: the unit of parallel work, whatever the number of workers.
const PART_ACCESSES: u64 = 1 << 14;

/// When a segment is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    pub(super) epoch: Epoch,
    /// Index of what the thread knew, in the window's clocks.
    pub(super) clock: u32,
}

/// Consecutive accesses of one thread, between two of its events.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) chunk: u32,
    /// The first one in the chunk's access lane.
    pub(super) offset: u32,
    pub(super) count: u32,
    pub(super) first: EventRef,
    /// One more than the place of the thread's last event before; 0 if there is none.
    pub(super) after_event: u64,
}

/// These bytes are another object from here on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reset {
    /// The segment before which it takes place.
    pub(super) before: u32,
    pub(super) start: u64,
    pub(super) len: u64,
}

/// A stretch of merged order.
#[derive(Debug, Default)]
pub(super) struct Window {
    pub(super) segments: Vec<Segment>,
    /// Of each segment, what the filter looks at for every access: close together.
    pub(super) moments: Vec<Moment>,
    /// Empty while they are packed.
    clocks: Vec<VectorClock>,
    packed: Option<PackedClocks>,
    pub(super) resets: Vec<Reset>,
    pub(super) accesses: u64,
    pub(super) events: u64,
    /// How many accesses came before, in merged order.
    pub(super) first_access: u64,
    /// About how many bytes the clocks take that are not packed.
    clock_bytes: usize,
}

/// A part of a window: a range of its segments, and the resets among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) segments: std::ops::Range<usize>,
    pub(super) resets: std::ops::Range<usize>,
    /// How many accesses came before, in merged order.
    pub(super) first_access: u64,
}

/// One thing of a part, in merged order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item<'w> {
    Segment(u32, &'w Segment),
    Reset(&'w Reset),
}

impl Window {
    /// Cuts the window into parts of about equal work.
    pub(super) fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        let (mut start, mut reset_start, mut accesses) = (0, 0, 0);
        let mut before = self.first_access;
        for (index, segment) in self.segments.iter().enumerate() {
            accesses += u64::from(segment.count);
            let is_last = index + 1 == self.segments.len();
            if accesses >= PART_ACCESSES && !is_last {
                let reset_end = self.resets.partition_point(|r| r.before as usize <= index);
                parts.push(Part {
                    segments: start..index + 1,
                    resets: reset_start..reset_end,
                    first_access: before,
                });
                (start, reset_start) = (index + 1, reset_end);
                before += accesses;
                accesses = 0;
            }
        }
        parts.push(Part {
            segments: start..self.segments.len(),
            resets: reset_start..self.resets.len(),
            first_access: before,
        });
        parts
    }

    /// What a part holds, in merged order.
    pub(super) fn items<'w>(&'w self, part: &Part) -> impl Iterator<Item = Item<'w>> {
        let mut resets = self.resets[part.resets.clone()].iter().peekable();
        let mut segments = part.segments.clone();
        std::iter::from_fn(move || {
            let next = segments.start;
            if let Some(reset) =
                resets.next_if(|reset| reset.before as usize <= next || segments.is_empty())
            {
                return Some(Item::Reset(reset));
            }
            segments.next().map(|index| {
                let number = u32::try_from(index).expect("a window has few segments");
                Item::Segment(number, &self.segments[index])
            })
        })
    }

    /// One of the clocks.
    pub(super) fn clock(&self, index: u32) -> VectorClock {
        let index = index as usize;
        self.packed.as_ref().map_or_else(|| self.clocks[index].clone(), |packed| packed.get(index))
    }

    /// All clocks.
    pub(super) fn clocks(&self) -> Cow<'_, [VectorClock]> {
        match &self.packed {
            Some(packed) => packed.unpack().into(),
            None => self.clocks.as_slice().into(),
        }
    }

    /// The same, in little memory if it can be had.
    pub(super) fn packed(&self) -> Self {
        let packed = PackedClocks::pack(&self.clocks, &self.clock_slots());
        let clocks = if packed.is_some() { Vec::new() } else { self.clocks.clone() };
        let (segments, moments) = (self.segments.clone(), self.moments.clone());
        Self { segments, moments, clocks, packed, resets: self.resets.clone(), ..*self }
    }

    /// Of each clock, the slot of a thread that knew so much: the first one in the window.
    fn clock_slots(&self) -> Vec<u32> {
        let mut slots = vec![0; self.clocks.len()];
        for moment in self.moments.iter().rev() {
            slots[moment.clock as usize] = moment.epoch.slot.as_u32();
        }
        slots
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> u64 {
        let clocks = self.packed.as_ref().map_or(self.clock_bytes, PackedClocks::bytes);
        let (segments, moments) = (size_of_val(&*self.segments), size_of_val(&*self.moments));
        (clocks + segments + moments + size_of_val(&*self.resets)) as u64
    }

    /// The chunks whose accesses the window needs, ascending.
    pub(super) fn chunks(&self) -> Vec<u32> {
        let mut chunks: Vec<u32> = Vec::new();
        for segment in &self.segments {
            if chunks.last() != Some(&segment.chunk) {
                chunks.push(segment.chunk);
            }
        }
        chunks.sort_unstable();
        chunks.dedup();
        chunks
    }
}

//! The accesses of suspect granules.

use std::collections::HashSet;

use mmtrace_format::{AccessKind, Address, StackId, ThreadId};
use rayon::prelude::*;

use crate::clock::{Epoch, VectorClock};
use crate::hash::{FastHash, MULTIPLIER, place};
use crate::race::AccessRef;
use crate::race::route::GRANULE_BITS;
use crate::race::scan::{AccessLanes, Consumer, Lane, NextPass, Touched};
use crate::race::shards::{ShardSet, shard_of};
use crate::race::window::{Item, Part, Segment, Window};

/// What one access, or the renewal of memory, does to one suspect granule.
#[derive(Clone, Copy, Debug)]
pub(in crate::race) struct Hit {
    pub(super) granule: u64,
    /// Its place in the merged order of accesses.
    order: u64,
    /// Its place in its thread's program order.
    index: u64,
    address: u64,
    size: u64,
    /// Index of the segment among those kept; [`RENEWAL`].
    pub(super) segment: u32,
    pub(super) stack: StackId,
    pub(super) kind: AccessKind,
    /// Which bytes of the granule.
    pub(super) bytes: u8,
    /// Whether the access begins in this granule.
    pub(super) leads: bool,
}

/// In place of a segment: these bytes are another object from here on.
pub(super) const RENEWAL: u32 = u32::MAX;

impl Hit {
    /// The whole access.
    pub(super) fn access(&self, kept: &[Kept]) -> AccessRef {
        let segment = &kept[self.segment as usize];
        AccessRef {
            thread: segment.thread,
            program_index: self.index,
            kind: self.kind,
            address: Address(self.address),
            size: self.size,
            stack: self.stack,
            epoch: segment.epoch,
            last_sync: segment.after_event.checked_sub(1),
            order: self.order,
        }
    }
}

/// A segment that has suspect accesses.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    thread: ThreadId,
    pub(super) epoch: Epoch,
    pub(super) clock: VectorClock,
    after_event: u64,
}

/// Which granules are suspect: most accesses are told "no" by one bit in the first-level cache.
#[derive(Debug)]
struct Suspects {
    bits: Vec<u64>,
    /// There are 2^this bits.
    bits_log: u32,
    granules: HashSet<u64, FastHash>,
    blocks: Touched,
}

/// Bits for each suspect granule.
const BITS_PER_SUSPECT: usize = 16;
const BITS_MIN: usize = 1 << 12;

impl Suspects {
    fn new(granules: impl Iterator<Item = u64>) -> Self {
        let granules: HashSet<u64, FastHash> = granules.collect();
        let len = (granules.len() * BITS_PER_SUSPECT).max(BITS_MIN).next_power_of_two();
        let bits_log = len.ilog2();
        let (mut bits, mut blocks) = (vec![0; len / 64], Touched::NOTHING);
        for &granule in &granules {
            let bit = place(granule, MULTIPLIER, bits_log);
            bits[bit / 64] |= 1 << (bit % 64);
            blocks.add(granule << GRANULE_BITS, 1);
        }
        Self { bits, bits_log, granules, blocks }
    }

    /// Never false of a suspect granule.
    #[inline]
    fn may_contain(&self, granule: u64) -> bool {
        let bit = place(granule, MULTIPLIER, self.bits_log);
        self.bits[bit / 64] & (1 << (bit % 64)) != 0
    }

    fn contains(&self, granule: u64) -> bool {
        self.may_contain(granule) && self.granules.contains(&granule)
    }
}

/// One access, whole.
struct Raw {
    address: u64,
    size: u64,
    kind: AccessKind,
    stack: StackId,
}

/// Collects the accesses of the suspect granules of some shards.
pub(in crate::race) struct Collector {
    suspects: Suspects,
    active: ShardSet,
    pub(super) put_off: ShardSet,
    memory: u64,
    pub(super) hits: Vec<Hit>,
    pub(super) kept: Vec<Kept>,
}

/// Bytes that a kept segment takes, its share of a clock included: a guess that is on the high side
/// for less than a thousand chains.
const KEPT_BYTES: u64 = 400;

impl Collector {
    /// Collects for the granules of `suspects` that are in these shards.
    pub(in crate::race) fn new(suspects: &[u64], active: ShardSet, memory: u64) -> Self {
        let mine = suspects.iter().copied().filter(|&granule| active.contains(shard_of(granule)));
        Self {
            suspects: Suspects::new(mine),
            active,
            put_off: ShardSet::NONE,
            memory,
            hits: Vec::new(),
            kept: Vec::new(),
        }
    }

    fn collect_part(&self, window: &Window, part: &Part, lanes: &AccessLanes<'_>) -> Vec<Hit> {
        let mut hits = Vec::new();
        let mut order = part.first_access;
        for item in window.items(part) {
            match item {
                Item::Segment(number, segment) => {
                    if let Some(lane) = lanes.lane(segment.chunk) {
                        self.look_at(number, segment, lane, order, &mut hits);
                    }
                    order += u64::from(segment.count);
                }
                Item::Reset(reset) => {
                    let renewal = Raw {
                        address: reset.start,
                        size: reset.len,
                        kind: AccessKind::RangeWrite,
                        stack: StackId::UNKNOWN,
                    };
                    self.look_at_range(&renewal, RENEWAL, order, 0, &mut hits);
                }
            }
        }
        hits
    }

    #[inline]
    fn look_at(
        &self,
        number: u32,
        segment: &Segment,
        lane: &Lane,
        order: u64,
        hits: &mut Vec<Hit>,
    ) {
        for (place, word) in (0..).zip(lane.words(segment.offset, segment.count)) {
            let room = (1 << GRANULE_BITS) - (word.address & ((1 << GRANULE_BITS) - 1));
            // One branch for nearly all accesses.
            if (word.tag.short_size().wrapping_sub(1) < room)
                & !self.suspects.may_contain(word.address >> GRANULE_BITS)
            {
                continue;
            }
            let size = lane.size_of(segment.offset + place, &word);
            let kind = word.tag.kind();
            if kind.touches_memory() && size > 0 {
                let access = Raw { address: word.address, size, kind, stack: lane.stack_of(&word) };
                let place = u64::from(place);
                self.look_at_range(
                    &access,
                    number,
                    order + place,
                    segment.first.index + place,
                    hits,
                );
            }
        }
    }

    fn look_at_range(
        &self,
        access: &Raw,
        segment: u32,
        order: u64,
        index: u64,
        hits: &mut Vec<Hit>,
    ) {
        let last_byte = access.address.saturating_add(access.size - 1);
        let (first, last) = (access.address >> GRANULE_BITS, last_byte >> GRANULE_BITS);
        let mut hit = |granule: u64| {
            hits.push(Hit {
                granule,
                order,
                index,
                address: access.address,
                size: access.size,
                segment,
                stack: access.stack,
                kind: access.kind,
                bytes: bytes_within(granule, access.address, last_byte),
                leads: granule == first,
            });
        };
        if last - first < self.suspects.granules.len() as u64 {
            (first..=last).filter(|&granule| self.suspects.contains(granule)).for_each(hit);
        } else {
            let mut within: Vec<u64> = self.suspects.granules.iter().copied().collect();
            within.retain(|granule| (first..=last).contains(granule));
            within.sort_unstable();
            within.into_iter().for_each(&mut hit);
        }
    }

    /// Puts off half of the shards for as long as what was collected is beyond the budget.
    fn fit(&mut self) {
        let bytes = |this: &Self| {
            (this.hits.len() * size_of::<Hit>()) as u64 + this.kept.len() as u64 * KEPT_BYTES
        };
        while self.active.len() > 1 && bytes(self) > self.memory {
            // Half of them at once: to look through the hits again for each would be slow.
            for _ in 0..self.active.len() / 2 {
                self.active.give_last(&mut self.put_off);
            }
            let active = self.active;
            self.hits.retain(|hit| active.contains(shard_of(hit.granule)));
            let mine = self.suspects.granules.iter().copied();
            self.suspects = Suspects::new(mine.filter(|&g| active.contains(shard_of(g))));
            self.drop_unused();
        }
    }

    /// Drops the segments that no hit is in any more.
    fn drop_unused(&mut self) {
        let old = std::mem::take(&mut self.kept);
        let mut moved = vec![RENEWAL; old.len()];
        for hit in &mut self.hits {
            if hit.segment == RENEWAL {
                continue;
            }
            let place = &mut moved[hit.segment as usize];
            if *place == RENEWAL {
                *place = u32::try_from(self.kept.len()).expect("no more than before");
                self.kept.push(old[hit.segment as usize].clone());
            }
            hit.segment = *place;
        }
    }
}

/// Which bytes of a granule lie from `first_byte` to `last_byte`.
fn bytes_within(granule: u64, first_byte: u64, last_byte: u64) -> u8 {
    let start = granule << GRANULE_BITS;
    let from = first_byte.saturating_sub(start).min(7);
    let to = last_byte.saturating_sub(start).min(7);
    (u8::MAX << from) & (u8::MAX >> (7 - to))
}

impl Consumer for Collector {
    fn next_pass(&self) -> NextPass {
        if self.put_off.is_empty() { NextPass::None } else { NextPass::Certain }
    }

    fn wanted(&self) -> Option<&Touched> {
        Some(&self.suspects.blocks)
    }

    fn consume(&mut self, window: &Window, lanes: &AccessLanes<'_>) {
        let parts = window.parts();
        let collected: Vec<Vec<Hit>> =
            parts.par_iter().map(|part| self.collect_part(window, part, lanes)).collect();
        let mut last = None;
        for mut hit in collected.into_iter().flatten() {
            if hit.segment != RENEWAL {
                if last != Some(hit.segment) {
                    last = Some(hit.segment);
                    let segment = &window.segments[hit.segment as usize];
                    let moment = &window.moments[hit.segment as usize];
                    self.kept.push(Kept {
                        thread: segment.first.thread,
                        epoch: moment.epoch,
                        clock: window.clock(moment.clock),
                        after_event: segment.after_event,
                    });
                }
                hit.segment = u32::try_from(self.kept.len() - 1)
                    .expect("the budget keeps far fewer segments than 2^32");
            }
            self.hits.push(hit);
        }
        self.fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_an_access_are_those_that_it_touches() {
        assert_eq!(bytes_within(2, 16, 23), 0xff);
        assert_eq!(bytes_within(2, 18, 18), 0b100);
        assert_eq!(bytes_within(2, 10, 17), 0b11);
        assert_eq!(bytes_within(2, 22, 40), 0b1100_0000);
        assert_eq!(bytes_within(2, 0, 400), 0xff);
    }

    #[test]
    fn only_suspects_are_suspect() {
        let suspects = Suspects::new((0..1000).map(|n| n * 3));
        assert!((0..3000).all(|n| suspects.contains(n) == (n % 3 == 0)));
    }
}

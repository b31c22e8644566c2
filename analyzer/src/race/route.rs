//! Who looks at which address: accesses cut into blocks and dealt to shards.
//!
//! A block is 512 bytes, 64 granules of 8. A routed record is what one access does to the granules
//! of one block; an access that spans blocks makes several, so that a copy of a megabyte is 2048
//! records and not 131072. The number of shards is fixed: the shard of an address must not depend
//! on the number of workers.

use mmtrace_format::AccessKind;

use super::window::{AccessLanes, Item, Lane, Part, Segment, Window, Word};
use crate::hash::{MULTIPLIER, place};

/// How many shards there are.
pub(super) const SHARD_COUNT: usize = 64;
const SHARD_BITS: u32 = SHARD_COUNT.trailing_zeros();

/// Bytes of a granule: 2^3.
pub(super) const GRANULE_BITS: u32 = 3;
/// Bytes of a block: 2^9.
pub(super) const BLOCK_BITS: u32 = 9;
/// Granules of a block: 2^6.
const PLACE_BITS: u32 = BLOCK_BITS - GRANULE_BITS;
const PLACE_MASK: u64 = (1 << PLACE_BITS) - 1;

/// It writes.
pub(super) const WRITES: u32 = 1;
/// It is atomic.
pub(super) const ATOMIC: u32 = 2;
/// It is not an access: the granules are another object from here on.
pub(super) const RESETS: u32 = 4;
const FLAG_BITS: u32 = 3;

/// In place of flags: it does not touch memory.
const NO_ACCESS: u32 = u32::MAX;
/// By kind of access.
const FLAGS: [u32; AccessKind::ALL.len()] = {
    let mut flags = [NO_ACCESS; AccessKind::ALL.len()];
    let mut index = 0;
    while index < flags.len() {
        let kind = AccessKind::ALL[index];
        if kind.touches_memory() {
            let writes = if kind.is_write() { WRITES } else { 0 };
            flags[index] = writes | if kind.is_atomic() { ATOMIC } else { 0 };
        }
        index += 1;
    }
    flags
};

/// What one access does to the granules of one block.
///
/// ```text
/// high, low   block: 55 | first granule: 6 | flags: 3
/// tail        segment: 26 | last granule: 6
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    high: u32,
    low: u32,
    tail: u32,
}

impl Record {
    #[inline]
    pub(super) fn new(first_granule: u64, last_place: u64, flags: u32, segment: u32) -> Self {
        let key = (first_granule << FLAG_BITS) | u64::from(flags);
        Self {
            high: (key >> 32) as u32,
            low: key as u32,
            tail: (segment << PLACE_BITS) | last_place as u32,
        }
    }

    /// The first granule: an address, divided by 8.
    #[inline]
    pub(super) fn granule(self) -> u64 {
        ((u64::from(self.high) << 32) | u64::from(self.low)) >> FLAG_BITS
    }

    /// All granules; never empty.
    #[inline]
    pub(super) fn granules(self) -> std::ops::RangeInclusive<u64> {
        let first = self.granule();
        first..=(first & !PLACE_MASK) | u64::from(self.tail & PLACE_MASK as u32)
    }

    /// How many granules there are.
    #[inline]
    pub(super) fn len(self) -> usize {
        let first_place = self.granule() as u32 & PLACE_MASK as u32;
        ((self.tail & PLACE_MASK as u32) - first_place + 1) as usize
    }

    /// [`WRITES`], [`ATOMIC`], [`RESETS`].
    #[inline]
    pub(super) fn flags(self) -> u32 {
        self.low & ((1 << FLAG_BITS) - 1)
    }

    /// Index of the access's segment in the window.
    #[inline]
    pub(super) fn segment(self) -> usize {
        (self.tail >> PLACE_BITS) as usize
    }

    /// Whether it is an access to one granule only.
    #[inline]
    pub(super) fn is_simple(self) -> bool {
        (self.granule() & PLACE_MASK) as u32 == self.tail & PLACE_MASK as u32
            && self.flags() & RESETS == 0
    }
}

/// The shard that looks at a granule.
#[inline]
pub(super) fn shard_of(granule: u64) -> usize {
    place(granule >> PLACE_BITS, MULTIPLIER, SHARD_BITS)
}

/// A part's records for one shard, in merged order.
#[derive(Debug, Default)]
pub(super) struct Dealt {
    pub(super) records: Vec<Record>,
    /// Whether any of them is not simply an access to one granule: mostly none is, and then they
    /// are looked at by a shorter way.
    pub(super) has_ranges: bool,
}

/// A part's records, shard by shard.
#[derive(Debug)]
pub(super) struct Routed {
    shards: Box<[Dealt; SHARD_COUNT]>,
}

impl Default for Routed {
    fn default() -> Self {
        Self { shards: Box::new(std::array::from_fn(|_| Dealt::default())) }
    }
}

impl Routed {
    /// The records for one shard.
    pub(super) fn shard(&self, shard: usize) -> &Dealt {
        &self.shards[shard]
    }

    /// Routes what a part holds, in place of what is here; only for shards in `active`.
    pub(super) fn fill(
        &mut self,
        window: &Window,
        part: &Part,
        lanes: &AccessLanes<'_>,
        active: &std::ops::Range<usize>,
    ) {
        for shard in self.shards.iter_mut() {
            shard.records.clear();
            shard.has_ranges = false;
        }
        for item in window.items(part) {
            match item {
                Item::Segment(number, segment) => {
                    if let Some(lane) = lanes.lane(segment.chunk) {
                        self.route(number, segment, lane, active);
                    }
                }
                Item::Reset(reset) => {
                    let (start, end) = whole_granules(reset.start, reset.len);
                    if start < end {
                        self.spread(start, end - 1, RESETS, 0, active);
                    }
                }
            }
        }
    }

    #[inline]
    fn route(
        &mut self,
        number: u32,
        segment: &Segment,
        lane: &Lane,
        active: &std::ops::Range<usize>,
    ) {
        let is_all = active.len() == SHARD_COUNT;
        for (place, word) in (segment.offset..).zip(lane.words(segment.offset, segment.count)) {
            let flags = FLAGS[word.kind as usize];
            // A short access that does not leave its granule: nearly all are. No size wraps around.
            let room = (1 << GRANULE_BITS) - (word.address & ((1 << GRANULE_BITS) - 1));
            if word.short_size.wrapping_sub(1) < room && flags != NO_ACCESS {
                let granule = word.address >> GRANULE_BITS;
                let shard = shard_of(granule);
                if is_all || active.contains(&shard) {
                    let record = Record::new(granule, granule & PLACE_MASK, flags, number);
                    self.shards[shard].records.push(record);
                }
            } else if flags != NO_ACCESS {
                self.route_long(number, &word, lane.size_of(place, &word), flags, active);
            }
        }
    }

    #[cold]
    fn route_long(
        &mut self,
        segment: u32,
        word: &Word,
        size: u64,
        flags: u32,
        active: &std::ops::Range<usize>,
    ) {
        let Some(rest) = size.checked_sub(1) else { return };
        let first = word.address >> GRANULE_BITS;
        let last = word.address.saturating_add(rest) >> GRANULE_BITS;
        self.spread(first, last, flags, segment, active);
    }

    /// One record for each block from granule `first` to `last`.
    fn spread(
        &mut self,
        first: u64,
        last: u64,
        flags: u32,
        segment: u32,
        active: &std::ops::Range<usize>,
    ) {
        let mut granule = first;
        loop {
            let block_end = granule | PLACE_MASK;
            let shard = shard_of(granule);
            if active.contains(&shard) {
                let last_place = last.min(block_end) & PLACE_MASK;
                let record = Record::new(granule, last_place, flags, segment);
                let dealt = &mut self.shards[shard];
                dealt.has_ranges |= !record.is_simple();
                dealt.records.push(record);
            }
            if block_end >= last {
                break;
            }
            granule = block_end + 1;
        }
    }
}

/// The granules that lie wholly inside, as a half-open range. A granule that is only partly
/// renewed keeps its history in the filter: that may make it suspect, and the refinement decides.
fn whole_granules(start: u64, len: u64) -> (u64, u64) {
    let end = start.saturating_add(len);
    (start.div_ceil(1 << GRANULE_BITS), end >> GRANULE_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_gives_back_what_went_in() {
        for (first, last_place) in [(0u64, 0u64), (0x1fff_ffff_ffff_ffc5, 63), (77, 14), (64, 63)] {
            let record = Record::new(first, last_place, WRITES | ATOMIC, (1 << 26) - 1);
            assert_eq!(record.granule(), first);
            assert_eq!(record.granules(), first..=(first & !63) | last_place);
            assert_eq!(record.flags(), WRITES | ATOMIC);
            assert_eq!(record.segment(), (1 << 26) - 1);
            assert_eq!(record.is_simple(), first & 63 == last_place);
        }
    }

    #[test]
    fn only_granules_that_are_renewed_as_a_whole_are_reset() {
        assert_eq!(whole_granules(16, 16), (2, 4));
        assert_eq!(whole_granules(17, 16), (3, 4));
        assert_eq!(whole_granules(16, 15), (2, 3));
        assert_eq!(whole_granules(17, 5), (3, 2));
    }
}

//! Who looks at which address: accesses cut into blocks and dealt to shards.
//!
//! A block is 512 bytes, 64 granules of 8. A routed record is what one access does to the granules
//! of one block; an access that spans blocks makes several, so that a copy of a megabyte is 2048
//! records and not 131072. The number of shards is fixed: the shard of an address must not depend
//! on the number of workers.

use mmtrace_format::AccessKind;

use super::window::{AccessLanes, Item, Part, Raw, Window};
use crate::hash::spread;

/// How many shards there are.
pub(super) const SHARD_COUNT: usize = 64;
const SHARD_BITS: u32 = SHARD_COUNT.trailing_zeros();

/// Bytes of a granule: 2^3.
pub(super) const GRANULE_BITS: u32 = 3;
/// Bytes of a block: 2^9.
const BLOCK_BITS: u32 = 9;
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

    /// Whether it is about one granule only.
    #[inline]
    pub(super) fn is_single(self) -> bool {
        (self.granule() & PLACE_MASK) as u32 == self.tail & PLACE_MASK as u32
    }
}

/// The shard that looks at a granule.
#[inline]
pub(super) fn shard_of(granule: u64) -> usize {
    (spread(granule >> PLACE_BITS) >> (u64::BITS - SHARD_BITS)) as usize
}

/// A part's records, shard by shard, each in merged order.
#[derive(Debug)]
pub(super) struct Routed {
    shards: Box<[Vec<Record>; SHARD_COUNT]>,
}

impl Default for Routed {
    fn default() -> Self {
        Self { shards: Box::new([const { Vec::new() }; SHARD_COUNT]) }
    }
}

impl Routed {
    /// The records for one shard.
    pub(super) fn shard(&self, shard: usize) -> &[Record] {
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
            shard.clear();
        }
        for item in window.items(part) {
            match item {
                Item::Segment(number, segment) => {
                    let Some(lane) = lanes.lane(segment.chunk) else { continue };
                    for access in lane.accesses(segment.offset, segment.count) {
                        self.route(number, &access, active);
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
    fn route(&mut self, segment: u32, access: &Raw, active: &std::ops::Range<usize>) {
        let flags = FLAGS[access.kind as usize];
        let last_byte = access.address.saturating_add(access.size.saturating_sub(1));
        let (first, last) = (access.address >> GRANULE_BITS, last_byte >> GRANULE_BITS);
        // One branch for nearly all accesses.
        if (first == last) & (access.size > 0) & (flags != NO_ACCESS) {
            self.push(first, first & PLACE_MASK, flags, segment, active);
        } else if access.size > 0 && flags != NO_ACCESS {
            self.spread(first, last, flags, segment, active);
        }
    }

    /// One record for each block from granule `first` to `last`.
    #[cold]
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
            self.push(granule, last.min(block_end) & PLACE_MASK, flags, segment, active);
            if block_end >= last {
                break;
            }
            granule = block_end + 1;
        }
    }

    #[inline]
    fn push(
        &mut self,
        granule: u64,
        last_place: u64,
        flags: u32,
        segment: u32,
        active: &std::ops::Range<usize>,
    ) {
        let shard = shard_of(granule);
        if active.contains(&shard) {
            self.shards[shard].push(Record::new(granule, last_place, flags, segment));
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
            assert_eq!(record.is_single(), first & 63 == last_place);
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

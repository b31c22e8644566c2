//! Who looks at which address: accesses cut into blocks and dealt to shards.
//!
//! A block is 512 bytes, 64 granules of 8. A routed record is what one access does to some bytes of a
//! granule, or to whole granules of one block: a copy of a megabyte is some 2048 records and not
//! 131072.

use std::ops::RangeInclusive;

use mmtrace_format::AccessKind;

use super::scan::{AccessLanes, Lane};
use super::shards::{SHARD_COUNT, ShardSet, shard_of};
use super::window::{Item, Part, Segment, Window};

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

/// What one access, or the renewal of memory, does to granules of one block.
///
/// ```text
/// high, low   block: 55 | first granule: 6 | what: 3
/// tail        segment: 26 | of one granule: first byte: 3, last byte: 3; of several: the last one: 6
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    high: u32,
    low: u32,
    tail: u32,
}

/// What a record says, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Some bytes of a granule are accessed, with these flags.
    Access(u64, u8, u32),
    /// Whole granules are accessed, with these flags.
    AccessAll(RangeInclusive<u64>, u32),
    /// Some bytes of a granule are another object from here on.
    Renew(u64, u8),
    /// Whole granules are another object from here on.
    RenewAll(RangeInclusive<u64>),
}

const WHAT_BITS: u32 = 3;
/// Below: an access to one granule, and its flags.
const ACCESS_ALL: u32 = 4;
/// Reads and writes; atomic accesses are to one granule each.
const RENEW: u32 = ACCESS_ALL + 2;
const RENEW_ALL: u32 = RENEW + 1;

impl Record {
    /// An access to the bytes `from..=to` of a granule.
    #[inline]
    pub(super) fn access(granule: u64, from: u64, to: u64, flags: u32, segment: u32) -> Self {
        Self::new(granule, (from << GRANULE_BITS) | to, flags, segment)
    }

    /// A plain access to all granules up to the one in this place of the block.
    pub(super) fn access_all(first: u64, last_place: u64, flags: u32, segment: u32) -> Self {
        Self::new(first, last_place, ACCESS_ALL + flags, segment)
    }

    /// The bytes `from..=to` of a granule are another object from here on.
    pub(super) fn renew(granule: u64, from: u64, to: u64) -> Self {
        Self::new(granule, (from << GRANULE_BITS) | to, RENEW, 0)
    }

    #[inline]
    fn new(first_granule: u64, places: u64, what: u32, segment: u32) -> Self {
        let key = (first_granule << WHAT_BITS) | u64::from(what);
        Self {
            high: (key >> 32) as u32,
            low: key as u32,
            tail: (segment << PLACE_BITS) | places as u32,
        }
    }

    /// The first granule: an address, divided by 8.
    #[inline]
    pub(super) fn granule(self) -> u64 {
        ((u64::from(self.high) << 32) | u64::from(self.low)) >> WHAT_BITS
    }

    #[inline]
    fn what(self) -> u32 {
        self.low & ((1 << WHAT_BITS) - 1)
    }

    /// Of a simple record: [`WRITES`], [`ATOMIC`].
    #[inline]
    pub(super) fn flags(self) -> u32 {
        self.what() & (WRITES | ATOMIC)
    }

    /// Of a simple record: which bytes of the granule, a bit for each.
    #[inline]
    pub(super) fn bytes(self) -> u8 {
        let (from, to) = (self.tail >> GRANULE_BITS & 7, self.tail & 7);
        (u8::MAX << from) & (u8::MAX >> (7 - to))
    }

    /// Index of the access's segment in the window.
    #[inline]
    pub(super) fn segment(self) -> usize {
        (self.tail >> PLACE_BITS) as usize
    }

    /// Whether it is an access to one granule only: nearly all are.
    #[inline]
    pub(super) fn is_simple(self) -> bool {
        self.what() < ACCESS_ALL
    }

    /// How many granules are accessed.
    pub(super) fn accessed(self) -> usize {
        match self.deed() {
            Deed::Access(..) => 1,
            Deed::AccessAll(granules, _) => (granules.end() - granules.start() + 1) as usize,
            Deed::Renew(..) | Deed::RenewAll(_) => 0,
        }
    }

    /// What it says.
    pub(super) fn deed(self) -> Deed {
        let first = self.granule();
        let last = (first & !PLACE_MASK) | u64::from(self.tail & PLACE_MASK as u32);
        match self.what() {
            RENEW => Deed::Renew(first, self.bytes()),
            RENEW_ALL => Deed::RenewAll(first..=last),
            what if what < ACCESS_ALL => Deed::Access(first, self.bytes(), what),
            what => Deed::AccessAll(first..=last, what - ACCESS_ALL),
        }
    }
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
        active: ShardSet,
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
                Item::Reset(reset) => self.spread(reset.start, reset.len, None, 0, active),
            }
        }
    }

    #[inline]
    fn route(&mut self, number: u32, segment: &Segment, lane: &Lane, active: ShardSet) {
        let is_all = active == ShardSet::ALL;
        for (place, word) in (segment.offset..).zip(lane.words(segment.offset, segment.count)) {
            let flags = FLAGS[word.tag.kind() as usize];
            // A short access that does not leave its granule: nearly all are. No size wraps around.
            let from = word.address & ((1 << GRANULE_BITS) - 1);
            let beyond = word.tag.short_size().wrapping_sub(1);
            if beyond < (1 << GRANULE_BITS) - from && flags != NO_ACCESS {
                let granule = word.address >> GRANULE_BITS;
                let shard = shard_of(granule);
                if is_all || active.contains(shard) {
                    let record = Record::access(granule, from, from + beyond, flags, number);
                    self.shards[shard].records.push(record);
                }
            } else if flags != NO_ACCESS {
                let size = lane.size_of(place, &word);
                self.spread(word.address, size, Some(flags), number, active);
            }
        }
    }

    /// Records for the `len` bytes from `start`: an access with these flags, or a renewal.
    #[cold]
    fn spread(&mut self, start: u64, len: u64, flags: Option<u32>, segment: u32, active: ShardSet) {
        let Some(rest) = len.checked_sub(1) else { return };
        let last = start.saturating_add(rest);
        let mut at = start;
        loop {
            let granule = at >> GRANULE_BITS;
            let (from, granule_end) = (at & 7, at | 7);
            let is_whole = from == 0 && granule_end <= last;
            // Whole granules go together, up to the block's end or the last one that is whole.
            let is_atomic = flags.is_some_and(|flags| flags & ATOMIC != 0);
            let end = if is_whole && !is_atomic {
                let whole = if last & 7 == 7 { last } else { (last & !7) - 1 };
                (at | ((1 << BLOCK_BITS) - 1)).min(whole)
            } else {
                granule_end.min(last)
            };
            let last_place = (end >> GRANULE_BITS) & PLACE_MASK;
            let record = match flags {
                Some(flags) if is_whole && !is_atomic => {
                    Record::access_all(granule, last_place, flags, segment)
                }
                Some(flags) => Record::access(granule, from, end & 7, flags, segment),
                None if is_whole => Record::new(granule, last_place, RENEW_ALL, 0),
                None => Record::renew(granule, from, end & 7),
            };
            let shard = shard_of(granule);
            if active.contains(shard) {
                let dealt = &mut self.shards[shard];
                dealt.has_ranges |= !record.is_simple();
                dealt.records.push(record);
            }
            if end == last {
                break;
            }
            at = end + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_gives_back_what_went_in() {
        let segment = (1 << 26) - 1;
        for granule in [0u64, 0x1fff_ffff_ffff_ffc5, 77, 64] {
            for (from, to, bytes) in [(0, 0, 1), (0, 7, 0xff), (7, 7, 0x80), (2, 4, 0b1_1100)] {
                for flags in 0..4 {
                    let record = Record::access(granule, from, to, flags, segment);
                    assert_eq!(record.deed(), Deed::Access(granule, bytes, flags));
                    assert_eq!((record.granule(), record.flags()), (granule, flags));
                    assert_eq!((record.bytes(), record.segment()), (bytes, segment as usize));
                    assert!(record.is_simple());
                }
                let record = Record::renew(granule, from, to);
                assert_eq!(record.deed(), Deed::Renew(granule, bytes));
            }
            let granules = granule..=granule | 63;
            for flags in 0..2 {
                let record = Record::access_all(granule, 63, flags, segment);
                assert_eq!(record.deed(), Deed::AccessAll(granules.clone(), flags));
                assert!(!record.is_simple());
            }
            assert_eq!(Record::new(granule, 63, RENEW_ALL, 0).deed(), Deed::RenewAll(granules));
        }
    }

    /// The bytes that records of all shards name, in ascending order, and whether they renew.
    fn bytes_of(routed: &Routed) -> Vec<u64> {
        let records = routed.shards.iter().flat_map(|dealt| &dealt.records);
        let mut bytes = Vec::new();
        let mut add = |granule: u64, mask: u8| {
            let some = (0..8).filter(|bit| mask & (1 << bit) != 0);
            bytes.extend(some.map(|bit| (granule << GRANULE_BITS) + bit));
        };
        for record in records {
            match record.deed() {
                Deed::Access(granule, mask, _) | Deed::Renew(granule, mask) => add(granule, mask),
                Deed::AccessAll(granules, _) | Deed::RenewAll(granules) => {
                    granules.for_each(|granule| add(granule, 0xff));
                }
            }
        }
        bytes.sort_unstable();
        bytes
    }

    #[test]
    fn a_range_is_cut_into_records_of_exactly_its_bytes() {
        for start in [0u64, 3, 8, 500, 509, 1 << 40] {
            for len in [0u64, 1, 5, 8, 9, 13, 16, 24, 515, 1024, 1100] {
                for flags in [None, Some(0), Some(WRITES), Some(ATOMIC | WRITES)] {
                    let mut routed = Routed::default();
                    routed.spread(start, len, flags, 7, ShardSet::ALL);
                    assert!(bytes_of(&routed).into_iter().eq(start..start + len), "{start} {len}");
                }
            }
        }
        let mut routed = Routed::default();
        routed.spread(u64::MAX - 9, u64::MAX, Some(0), 0, ShardSet::ALL);
        assert!(bytes_of(&routed).into_iter().eq(u64::MAX - 9..=u64::MAX));
    }
}

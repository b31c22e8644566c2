//! What a processor remembers so that it need not ask: direct-mapped tables, each entry the newest
//! of those that share its place.

use mmtrace_format::event::word::ADDRESS_BITS;
use mmtrace_format::{AccessKind, StackId};

const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// The index of a key among `1 << BITS`.
#[inline]
fn index<const BITS: u32>(key: u64) -> usize {
    (key.wrapping_mul(MULTIPLIER) >> (64 - BITS)) as usize
}

/// A place and who called its function, as one word. Code lies within 4 GiB.
#[inline]
fn key_of(callers: StackId, pc: u64) -> u64 {
    u64::from(callers.as_u32()) << 32 | (pc & 0xffff_ffff)
}

#[expect(clippy::unnecessary_box_returns, reason = "megabytes do not go over the stack")]
fn zeroed<T: Copy, const N: usize>(entry: T) -> Box<[T; N]> {
    let entries = vec![entry; N].into_boxed_slice().try_into();
    entries.unwrap_or_else(|_| unreachable!("that many were made"))
}

const PLACE_BITS: u32 = 13;

#[derive(Clone, Copy)]
struct Place {
    key: u64,
    /// What short accesses from here begin with in the chunk, less their kind.
    prefix: u64,
    /// A number that other places and other sizes have once in 2^64.
    mark: u64,
    size: u32,
    /// The chunk that `prefix` is of.
    chunk: u32,
}

/// What is known of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) mark: u64,
    /// None: this chunk has not defined it.
    pub(super) prefix: Option<u64>,
}

/// Places that access memory: 256 KiB a processor.
pub(super) struct Places {
    entries: Box<[Place; 1 << PLACE_BITS]>,
    chunk: u32,
}

impl Places {
    pub(super) fn new() -> Self {
        let free = Place { key: 0, prefix: 0, mark: 0, size: 0, chunk: 0 };
        Self { entries: zeroed(free), chunk: 0 }
    }

    /// What is known of accesses of this size from here.
    #[inline]
    pub(super) fn find(&self, callers: StackId, pc: u64, size: u32) -> Option<Known> {
        let key = key_of(callers, pc);
        let place = &self.entries[index::<PLACE_BITS>(key)];
        (place.key == key && place.size == size).then_some(Known {
            mark: place.mark,
            prefix: (place.chunk == self.chunk).then_some(place.prefix),
        })
    }

    /// Whether this chunk has accesses of another size from here.
    pub(super) fn has_other_size(&self, callers: StackId, pc: u64, size: u32) -> bool {
        let key = key_of(callers, pc);
        let place = &self.entries[index::<PLACE_BITS>(key)];
        place.key == key && place.chunk == self.chunk && place.size != size
    }

    pub(super) fn insert(&mut self, callers: StackId, pc: u64, size: u32, prefix: u64) {
        let key = key_of(callers, pc);
        let mark = mix(mix(key) ^ u64::from(size));
        let place = Place { key, prefix, mark, size, chunk: self.chunk };
        self.entries[index::<PLACE_BITS>(key)] = place;
    }

    /// A new chunk has no contexts.
    pub(super) fn begin_chunk(&mut self) {
        self.chunk += 1;
    }
}

/// Stirs a word until every bit of it depends on every other: the finisher of `SplitMix64`.
#[inline]
pub(in super::super) fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(MULTIPLIER);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

const CALLER_BITS: u32 = 14;

#[derive(Clone, Copy)]
struct Caller {
    key: u64,
    stack: StackId,
}

/// Stacks by their innermost call and the rest: 256 KiB a processor.
pub(super) struct Callers(Box<[Caller; 1 << CALLER_BITS]>);

impl Callers {
    pub(super) fn new() -> Self {
        Self(zeroed(Caller { key: 0, stack: StackId::UNKNOWN }))
    }

    #[inline]
    pub(super) fn find(&self, callers: StackId, pc: u64) -> Option<StackId> {
        let key = key_of(callers, pc);
        let caller = &self.0[index::<CALLER_BITS>(key)];
        (caller.key == key && key != 0).then_some(caller.stack)
    }

    pub(super) fn insert(&mut self, callers: StackId, pc: u64, stack: StackId) {
        let key = key_of(callers, pc);
        self.0[index::<CALLER_BITS>(key)] = Caller { key, stack };
    }
}

const STACK_BITS: u32 = 10;

#[derive(Clone, Copy)]
struct Stack {
    hash: u64,
    stack: StackId,
}

/// Whole stacks that were walked: 16 KiB a processor.
pub(super) struct Stacks(Box<[Stack; 1 << STACK_BITS]>);

impl Stacks {
    pub(super) fn new() -> Self {
        Self(zeroed(Stack { hash: 0, stack: StackId::UNKNOWN }))
    }

    #[inline]
    pub(super) fn find(&self, hash: u64) -> Option<StackId> {
        let stack = &self.0[index::<STACK_BITS>(hash)];
        (stack.hash == hash).then_some(stack.stack)
    }

    pub(super) fn insert(&mut self, hash: u64, stack: StackId) {
        self.0[index::<STACK_BITS>(hash)] = Stack { hash, stack };
    }
}

const SEEN_BITS: u32 = 18;

/// What was accessed since the goroutine's last event that others may take something from: 2 MiB a
/// processor, of which only what is used costs anything.
///
/// Between two such events all of a goroutine's accesses stand in the same relation to what others
/// do after them, and later ones know no less of what others did before: an access that repeats an
/// earlier one, of the same stack, to the same address, of the same kind and size, can only be part
/// of races that the earlier one is part of. Leaving it out is exact.
///
/// An entry is one word: the address and kind, stirred with marks of the place, of the goroutine in
/// its present epoch and of the collections so far. Two different accesses have the same word once in
/// 2^64.
pub(super) struct Filter {
    entries: Box<[u64; 1 << SEEN_BITS]>,
    /// How many collections there were, stirred: memory that is freed is other memory afterwards.
    memory: u64,
    is_full: bool,
}

impl Filter {
    /// A filter that lets the first of each access pass, or with `is_full` every one.
    pub(super) fn new(is_full: bool) -> Self {
        Self { entries: zeroed(0), memory: 1, is_full }
    }

    /// Whether the access need not be recorded; if it need, the next one of its kind will not.
    #[inline]
    pub(super) fn repeats(
        &mut self,
        kind: AccessKind,
        address: u64,
        place: u64,
        epoch: u64,
    ) -> bool {
        let what = address | u64::from(kind.tag()) << ADDRESS_BITS;
        let word = what ^ place ^ epoch ^ self.memory;
        // Neighbours in memory get neighbouring entries, and a read and a write of one word two.
        let at = (address >> 2 & !1 | u64::from(kind.is_write())) as usize;
        let entry = &mut self.entries[at % (1 << SEEN_BITS)];
        if *entry == word {
            return !self.is_full;
        }
        *entry = word;
        false
    }

    /// Memory may be other memory from here on.
    pub(super) fn begin_memory(&mut self) {
        self.memory = mix(self.memory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_with_its_callers_and_its_size() {
        let mut places = Places::new();
        places.begin_chunk();
        places.insert(StackId::new(3), 0x40_1000, 8, 1 << 63);
        let known = places.find(StackId::new(3), 0x40_1000, 8).unwrap();
        assert_eq!(known.prefix, Some(1 << 63));
        assert_eq!(places.find(StackId::new(4), 0x40_1000, 8), None);
        assert_eq!(places.find(StackId::new(3), 0x40_1000, 4), None);
        assert!(places.has_other_size(StackId::new(3), 0x40_1000, 4));
        places.begin_chunk();
        let later = places.find(StackId::new(3), 0x40_1000, 8).unwrap();
        assert_eq!(later, Known { prefix: None, ..known });
    }

    #[test]
    fn an_access_is_recorded_once_an_epoch_and_always_in_a_full_recording() {
        let (read, write) = (AccessKind::Read, AccessKind::Write);
        let mut filter = Filter::new(false);
        let mut pass = |kind, address, place, epoch| !filter.repeats(kind, address, place, epoch);
        assert!(pass(read, 64, 1 << 60, 1 << 50));
        assert!(!pass(read, 64, 1 << 60, 1 << 50));
        assert!(pass(write, 64, 1 << 60, 1 << 50), "of another kind");
        assert!(pass(read, 72, 1 << 60, 1 << 50), "of another address");
        assert!(!pass(read, 64, 1 << 60, 1 << 50), "neither took its place");
        assert!(pass(read, 64, 1 << 61, 1 << 50), "of another place");
        assert!(pass(read, 64, 1 << 61, 1 << 51), "of another epoch");
        filter.begin_memory();
        assert!(!filter.repeats(read, 72, 1 << 60, 1 << 50) && !filter.repeats(read, 72, 0, 0));
        let mut filter = Filter::new(true);
        assert_eq!([8, 8].map(|address| filter.repeats(read, address, 0, 0)), [false; 2]);
    }
}

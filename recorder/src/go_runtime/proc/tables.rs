//! What a processor remembers so that it need not ask: direct-mapped tables, each entry the newest
//! of those that share its place.

use std::mem::offset_of;

use mmtrace_format::event::word::ADDRESS_BITS;
use mmtrace_format::{AccessKind, StackId, StringId};

/// Spreads keys over tables.
pub const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

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

const PLACE_BITS: u32 = 14;

#[derive(Clone, Copy)]
#[repr(C)]
struct Place {
    key: u64,
    /// What short accesses from here begin with in the chunk, less their kind.
    prefix: u64,
    size: u32,
    /// The chunk that `prefix` is of.
    chunk: u32,
}

/// Places that access memory: 384 KiB a processor.
pub(in super::super) struct Places {
    entries: Box<[Place; 1 << PLACE_BITS]>,
    chunk: u32,
}

impl Places {
    /// Where the assembly of `recorder/go` finds things.
    pub(in super::super) const ENTRIES: usize = offset_of!(Self, entries);
    pub(in super::super) const CHUNK: usize = offset_of!(Self, chunk);
    pub(in super::super) const SHIFT: u32 = 64 - PLACE_BITS;
    pub(in super::super) const ENTRY_LEN: usize = size_of::<Place>();
    pub(in super::super) const ENTRY_KEY: usize = offset_of!(Place, key);
    pub(in super::super) const ENTRY_PREFIX: usize = offset_of!(Place, prefix);
    pub(in super::super) const ENTRY_SIZE: usize = offset_of!(Place, size);
    pub(in super::super) const ENTRY_CHUNK: usize = offset_of!(Place, chunk);

    pub(super) fn new() -> Self {
        let free = Place { key: 0, prefix: 0, size: 0, chunk: 0 };
        Self { entries: zeroed(free), chunk: 0 }
    }

    /// What accesses of this size from here begin with, if this chunk has defined it.
    #[inline]
    pub(super) fn find(&self, callers: StackId, pc: u64, size: u32) -> Option<u64> {
        let key = key_of(callers, pc);
        let place = &self.entries[index::<PLACE_BITS>(key)];
        let is_it = place.key == key && place.size == size && place.chunk == self.chunk;
        is_it.then_some(place.prefix)
    }

    /// Whether this chunk has accesses of another size from here.
    pub(super) fn has_other_size(&self, callers: StackId, pc: u64, size: u32) -> bool {
        let key = key_of(callers, pc);
        let place = &self.entries[index::<PLACE_BITS>(key)];
        place.key == key && place.chunk == self.chunk && place.size != size
    }

    pub(super) fn insert(&mut self, callers: StackId, pc: u64, size: u32, prefix: u64) {
        let key = key_of(callers, pc);
        let place = Place { key, prefix, size, chunk: self.chunk };
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

const CALLER_BITS: u32 = 15;

#[derive(Clone, Copy)]
#[repr(C)]
struct Caller {
    key: u64,
    stack: StackId,
}

/// Stacks by their innermost call and the rest: 512 KiB a processor.
pub(in super::super) struct Callers(Box<[Caller; 1 << CALLER_BITS]>);

impl Callers {
    /// Where the assembly of `recorder/go` finds things.
    pub(in super::super) const SHIFT: u32 = 64 - CALLER_BITS;
    pub(in super::super) const ENTRY_SHIFT: u32 = size_of::<Caller>().trailing_zeros();
    pub(in super::super) const ENTRY_KEY: usize = offset_of!(Caller, key);
    pub(in super::super) const ENTRY_STACK: usize = offset_of!(Caller, stack);

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

const STACK_BITS: u32 = 12;

#[derive(Clone, Copy)]
struct Stack {
    hash: u64,
    stack: StackId,
}

/// Whole stacks that were walked: 64 KiB a processor. A stack is in one of two neighbouring entries:
/// one that is not here costs a hundred times as much, and two that are used in turns may share a
/// place.
pub(super) struct Stacks(Box<[Stack; 1 << STACK_BITS]>);

impl Stacks {
    pub(super) fn new() -> Self {
        Self(zeroed(Stack { hash: 0, stack: StackId::UNKNOWN }))
    }

    #[inline]
    pub(super) fn find(&self, hash: u64) -> Option<StackId> {
        let place = index::<STACK_BITS>(hash);
        let is_it = |stack: &Stack| stack.hash == hash;
        let found = Some(&self.0[place]).filter(|stack| is_it(stack));
        found.or_else(|| Some(&self.0[place ^ 1]).filter(|stack| is_it(stack))).map(|it| it.stack)
    }

    /// Takes in a stack that is not here, in place of the older of the two in its entries.
    pub(super) fn insert(&mut self, hash: u64, stack: StackId) {
        let place = index::<STACK_BITS>(hash);
        self.0[place ^ 1] = std::mem::replace(&mut self.0[place], Stack { hash, stack });
    }
}

const TYPE_BITS: u32 = 10;

#[derive(Clone, Copy)]
struct TypeName {
    key: u64,
    name: StringId,
}

/// Names of what was allocated: 16 KiB a processor.
pub(super) struct TypeNames(Box<[TypeName; 1 << TYPE_BITS]>);

impl TypeNames {
    pub(super) fn new() -> Self {
        Self(zeroed(TypeName { key: 0, name: StringId::EMPTY }))
    }

    #[inline]
    pub(super) fn find(&self, key: u64) -> Option<StringId> {
        let found = &self.0[index::<TYPE_BITS>(key)];
        (found.key == key).then_some(found.name)
    }

    pub(super) fn insert(&mut self, key: u64, name: StringId) {
        self.0[index::<TYPE_BITS>(key)] = TypeName { key, name };
    }
}

/// Pairs of entries, one for reads and one for writes.
const SEEN_BITS: u32 = 17;
/// Accesses of one place within so many bytes, as a power of two, share an entry.
const GRAIN_SHIFT: u32 = 3;
/// Which bits of a place's hash those are.
const SPREAD_SHIFT: u32 = 40;
/// The hash of a place, shifted by so many bits, is mixed into itself.
const STIR_SHIFT: u32 = 29;
/// Entries of different places for the same address lie within so many, less one.
const SPREAD: u64 = (1 << 8) - 1;

/// What was accessed since the goroutine's last event that others may take something from: 2 MiB a
/// processor, of which only what is used costs anything.
///
/// Between two such events all of a goroutine's accesses stand in the same relation to what others
/// do after them, and later ones know no less of what others did before: an access that repeats an
/// earlier one, of the same stack, to the same address, of the same kind and size, can only be part
/// of races that the earlier one is part of. Leaving it out is exact.
///
/// An entry is one word: the address and kind, stirred with marks of the place and the size, of the
/// goroutine in its present epoch and of the collections so far. Two different accesses have the same
/// word once in 2^64.
///
/// Neighbours in memory that one place accesses have neighbouring entries; different places have
/// theirs elsewhere, so that those that take turns at one variable do not drive each other out.
pub(in super::super) struct Filter {
    entries: Box<[[u64; 2]; 1 << SEEN_BITS]>,
    /// How many collections there were, stirred: memory that is freed is other memory afterwards.
    memory: u64,
    is_full: bool,
}

/// An access as the filter knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pair: usize,
    is_write: bool,
    word: u64,
}

impl Filter {
    /// Where the assembly of `recorder/go` finds things.
    pub(in super::super) const ENTRIES: usize = offset_of!(Self, entries);
    pub(in super::super) const MEMORY: usize = offset_of!(Self, memory);
    pub(in super::super) const IS_FULL: usize = offset_of!(Self, is_full);
    pub(in super::super) const MASK: u64 = (1 << SEEN_BITS) - 1;
    pub(in super::super) const PAIR_SHIFT: u32 = 4;
    pub(in super::super) const GRAIN_SHIFT: u32 = GRAIN_SHIFT;
    pub(in super::super) const SPREAD: u64 = SPREAD;
    pub(in super::super) const SPREAD_SHIFT: u32 = SPREAD_SHIFT;
    pub(in super::super) const STIR_SHIFT: u32 = STIR_SHIFT;

    /// A filter that lets the first of each access pass, or with `is_full` every one.
    pub(super) fn new(is_full: bool) -> Self {
        Self { entries: zeroed([0; 2]), memory: 1, is_full }
    }

    /// Where the access is remembered, and as what. A scalar one, of which no size is known, has
    /// size 0 here.
    #[inline]
    pub(super) fn seen(
        &self,
        kind: AccessKind,
        address: u64,
        (callers, pc, size): (StackId, u64, u64),
        epoch: u64,
    ) -> Seen {
        let what = address | u64::from(kind.tag()) << ADDRESS_BITS;
        let hash = key_of(callers, pc).wrapping_mul(MULTIPLIER);
        let place = hash ^ hash >> STIR_SHIFT ^ size.wrapping_mul(MULTIPLIER);
        let at = address >> GRAIN_SHIFT ^ hash >> SPREAD_SHIFT & SPREAD;
        Seen {
            pair: at as usize % (1 << SEEN_BITS),
            is_write: kind.is_write(),
            word: what ^ place ^ epoch ^ self.memory,
        }
    }

    /// Whether the access need not be recorded.
    #[inline]
    pub(super) fn repeats(&self, seen: Seen) -> bool {
        self.entries[seen.pair][usize::from(seen.is_write)] == seen.word && !self.is_full
    }

    /// The access is recorded.
    #[inline]
    pub(super) fn remember(&mut self, seen: Seen) {
        self.entries[seen.pair][usize::from(seen.is_write)] = seen.word;
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
    fn a_place_is_known_with_its_callers_and_its_size_as_long_as_its_chunk_is_open() {
        let mut places = Places::new();
        places.begin_chunk();
        places.insert(StackId::new(3), 0x40_1000, 8, 1 << 63);
        assert_eq!(places.find(StackId::new(3), 0x40_1000, 8), Some(1 << 63));
        assert_eq!(places.find(StackId::new(4), 0x40_1000, 8), None);
        assert_eq!(places.find(StackId::new(3), 0x40_1000, 4), None);
        assert!(places.has_other_size(StackId::new(3), 0x40_1000, 4));
        places.begin_chunk();
        assert_eq!(places.find(StackId::new(3), 0x40_1000, 8), None);
        assert!(!places.has_other_size(StackId::new(3), 0x40_1000, 4));
    }

    /// Whether the access is recorded.
    fn passes(
        filter: &mut Filter,
        kind: AccessKind,
        address: u64,
        (callers, pc, size): (u32, u64, u64),
        epoch: u64,
    ) -> bool {
        let seen = filter.seen(kind, address, (StackId::new(callers), pc, size), epoch);
        let passes = !filter.repeats(seen);
        filter.remember(seen);
        passes
    }

    #[test]
    fn an_access_is_recorded_once_an_epoch_and_always_in_a_full_recording() {
        let (read, write) = (AccessKind::Read, AccessKind::Write);
        let mut filter = Filter::new(false);
        let mut pass =
            |kind, address, place, epoch| passes(&mut filter, kind, address, place, epoch);
        let here = (1, 0x40_1000, 0);
        assert!(pass(read, 64, here, 1 << 50));
        assert!(!pass(read, 64, here, 1 << 50));
        assert!(pass(write, 64, here, 1 << 50), "of another kind");
        assert!(pass(read, 72, here, 1 << 50), "of another address");
        assert!(!pass(read, 64, here, 1 << 50), "neither took its place");
        assert!(pass(read, 64, (1, 0x40_1010, 0), 1 << 50), "of another place");
        assert!(pass(read, 64, (2, 0x40_1000, 0), 1 << 50), "with other callers");
        assert!(pass(AccessKind::RangeRead, 64, (1, 0x40_1000, 16), 1 << 50), "a range");
        assert!(pass(AccessKind::RangeRead, 64, (1, 0x40_1000, 24), 1 << 50), "of another size");
        assert!(pass(read, 64, here, 1 << 51), "of another epoch");
        assert!(!pass(read, 72, here, 1 << 50));
        filter.begin_memory();
        assert!(passes(&mut filter, read, 72, here, 1 << 50), "of other memory");
        let mut filter = Filter::new(true);
        assert_eq!([8, 8].map(|at| passes(&mut filter, read, at, here, 0)), [true; 2]);
    }

    #[test]
    fn places_that_take_turns_at_a_variable_do_not_drive_each_other_out() {
        let mut filter = Filter::new(false);
        let mut round = || {
            [0x40_1000, 0x40_1234, 0x40_2000]
                .map(|pc| passes(&mut filter, AccessKind::Read, 4096, (1, pc, 0), 7))
        };
        assert_eq!(round(), [true; 3]);
        assert_eq!(round(), [false; 3]);
    }
}

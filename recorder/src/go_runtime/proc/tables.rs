//! What a processor remembers so that it need not ask: direct-mapped tables, each entry the newest
//! of those that share its place.

use mmtrace_format::StackId;

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

fn zeroed<T: Copy, const N: usize>(entry: T) -> Box<[T; N]> {
    let entries = vec![entry; N].into_boxed_slice().try_into();
    entries.unwrap_or_else(|_| unreachable!("that many were made"))
}

const PLACE_BITS: u32 = 11;

#[derive(Clone, Copy)]
struct Place {
    key: u64,
    /// A context's bits of a short access; 0 if this chunk has not defined it.
    prefix: u64,
    size: u32,
}

/// Places that access memory: 48 KiB a processor.
pub(super) struct Places(Box<[Place; 1 << PLACE_BITS]>);

impl Places {
    pub(super) fn new() -> Self {
        Self(zeroed(Place { key: 0, prefix: 0, size: 0 }))
    }

    /// What a short access from here begins with, less its kind.
    #[inline]
    pub(super) fn find(&self, callers: StackId, pc: u64, size: u32) -> Option<u64> {
        let key = key_of(callers, pc);
        let place = &self.0[index::<PLACE_BITS>(key)];
        (place.key == key && place.size == size && place.prefix != 0).then_some(place.prefix)
    }

    /// Whether this chunk has accesses of another size from here.
    pub(super) fn has_other_size(&self, callers: StackId, pc: u64, size: u32) -> bool {
        let key = key_of(callers, pc);
        let place = &self.0[index::<PLACE_BITS>(key)];
        place.key == key && place.prefix != 0 && place.size != size
    }

    pub(super) fn insert(&mut self, callers: StackId, pc: u64, size: u32, prefix: u64) {
        let key = key_of(callers, pc);
        self.0[index::<PLACE_BITS>(key)] = Place { key, prefix, size };
    }

    /// A new chunk has no contexts.
    pub(super) fn begin_chunk(&mut self) {
        for place in self.0.iter_mut() {
            place.prefix = 0;
        }
    }
}

const CALLER_BITS: u32 = 11;

#[derive(Clone, Copy)]
struct Caller {
    key: u64,
    stack: StackId,
}

/// Stacks by their innermost call and the rest: 32 KiB a processor.
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

const SEEN_BITS: u32 = 11;

#[derive(Clone, Copy)]
struct Seen {
    /// The whole record of a short access.
    word: u64,
    epoch: u64,
}

/// What was accessed since the last event: 32 KiB a processor.
///
/// Between two events of a goroutine all its accesses stand in the same relation to every other
/// goroutine's. One that repeats another, of the same stack, to the same address, of the same kind
/// and size, can only be part of the races that the first is part of: leaving it out is exact.
pub(super) struct Filter {
    entries: Box<[Seen; 1 << SEEN_BITS]>,
    epoch: u64,
    is_full: bool,
}

impl Filter {
    /// A filter that lets the first of each access pass, or with `is_full` every one.
    pub(super) fn new(is_full: bool) -> Self {
        Self { entries: zeroed(Seen { word: 0, epoch: 0 }), epoch: 1, is_full }
    }

    /// Whether the access need not be recorded; if it need, the next one of its kind will not.
    #[inline]
    pub(super) fn repeats(&mut self, word: u64) -> bool {
        let entry = &mut self.entries[(word as usize ^ (word >> 11) as usize) % (1 << SEEN_BITS)];
        if entry.word == word && entry.epoch == self.epoch {
            return !self.is_full;
        }
        *entry = Seen { word, epoch: self.epoch };
        false
    }

    #[inline]
    pub(super) fn begin_epoch(&mut self) {
        self.epoch += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_with_its_callers_and_its_size() {
        let mut places = Places::new();
        places.insert(StackId::new(3), 0x40_1000, 8, 1 << 63);
        assert_eq!(places.find(StackId::new(3), 0x40_1000, 8), Some(1 << 63));
        assert_eq!(places.find(StackId::new(4), 0x40_1000, 8), None);
        assert_eq!(places.find(StackId::new(3), 0x40_1000, 4), None);
        places.begin_chunk();
        assert_eq!(places.find(StackId::new(3), 0x40_1000, 8), None);
    }

    #[test]
    fn an_access_is_recorded_once_an_epoch_and_always_in_a_full_recording() {
        let mut filter = Filter::new(false);
        assert_eq!([8, 8, 9, 8].map(|word| filter.repeats(word)), [false, true, false, true]);
        filter.begin_epoch();
        assert!(!filter.repeats(8));
        let mut filter = Filter::new(true);
        assert_eq!([8, 8].map(|word| filter.repeats(word)), [false; 2]);
    }
}

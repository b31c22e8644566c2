//! Places that this thread knows again: the way from a hook's call to its stack without a walk.
//!
//! A place is known if everything that a walk would read is as it was: the hook's instruction and
//! location, the stack pointer there, and the return addresses, each compared where it lies. That is
//! exact as far as it goes: functions have frames of fixed size, so equal return addresses at equal
//! slots, from the innermost outwards, are equal callers.
//!
//! An access compares the [`CHECK_COUNT`] innermost: where two stacks of equal depth differ only
//! further out, the outer frames shown may be the other's. An allocation, which is at the bottom of
//! a tower of library functions, compares all.

use std::panic::Location;

use mmtrace_format::StackId;

use crate::stack::{Frame, Place};

/// Places remembered. 32 KiB a thread.
const ENTRY_COUNT: usize = 256;

/// Return addresses that an access compares.
pub(crate) const CHECK_COUNT: usize = 6;

/// What an access of known size from a known place writes, less its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// A context's bits of a short access; 0 if this chunk has not defined it.
    pub(crate) prefix: u64,
    /// The stack.
    pub(crate) stack: StackId,
}

/// A place, and what is known of it. Two cache lines, of which the first decides most lookups.
#[derive(Debug)]
#[repr(C, align(128))]
struct Entry {
    /// The low halves of the instruction's address and the location's.
    site: u64,
    sp: u64,
    known: Known,
    size: u32,
    /// Where the innermost return addresses lie, counted from the stack pointer. With fewer frames
    /// than this the outermost is compared more than once.
    offsets: [u32; CHECK_COUNT],
    return_addresses: [u64; CHECK_COUNT],
    /// The frames further out.
    outer: Box<[Frame]>,
}

/// A direct-mapped table of places.
pub(crate) struct ContextCache {
    entries: Box<[Entry; ENTRY_COUNT]>,
}

/// The frames that a lookup compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    /// The innermost [`CHECK_COUNT`].
    Inner,
    /// All.
    All,
}

#[inline]
fn site_of(place: Place, location: &'static Location<'static>) -> u64 {
    // Both lie in one module of less than 4 GiB; two modules' low halves would have to meet, too.
    let location = std::ptr::from_ref(location).addr() as u64;
    place.pc << 32 | (location & 0xffff_ffff)
}

#[inline]
fn index_of(site: u64, sp: u64, size: u32) -> usize {
    let mixed = (site ^ sp.rotate_left(24) ^ u64::from(size)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 56) as usize
}

/// Reads a return address of this thread's stack.
#[inline]
#[expect(unsafe_code, reason = "a stack has no other name than its address")]
fn read(slot: u64) -> u64 {
    let slot = std::ptr::with_exposed_provenance::<u64>(slot as usize);
    // SAFETY: mapped and aligned: a walk of this thread read the word when the stack pointer was
    // where it is now (the caller compared), and a stack in use keeps everything above its pointer.
    // Nobody else writes this thread's stack there; volatile, for the compiler does not know who did.
    unsafe { slot.read_volatile() }
}

impl ContextCache {
    pub(crate) fn new() -> Self {
        let entries: Vec<Entry> = (0..ENTRY_COUNT).map(|_| Entry::empty()).collect();
        let entries = entries.into_boxed_slice().try_into();
        Self { entries: entries.unwrap_or_else(|_| unreachable!("that many were made")) }
    }

    /// What is known of the place, if it is known.
    #[inline]
    pub(crate) fn lookup(
        &self,
        place: Place,
        location: &'static Location<'static>,
        size: u32,
        compare: Compare,
    ) -> Option<Known> {
        let site = site_of(place, location);
        let entry = &self.entries[index_of(site, place.sp, size)];
        if entry.site != site || entry.sp != place.sp || entry.size != size {
            return None;
        }
        for (offset, return_address) in entry.offsets.iter().zip(&entry.return_addresses) {
            if read(place.sp + u64::from(*offset)) != *return_address {
                return None;
            }
        }
        if compare == Compare::All {
            for frame in &entry.outer {
                if read(frame.slot) != frame.return_address {
                    return None;
                }
            }
        }
        Some(entry.known)
    }

    /// Remembers a place. One without frames cannot be told from another and is not kept.
    pub(crate) fn insert(
        &mut self,
        place: Place,
        location: &'static Location<'static>,
        size: u32,
        frames: &[Frame],
        known: Known,
    ) {
        let site = site_of(place, location);
        let Some(outermost) = frames.len().checked_sub(1) else { return };
        let mut entry = Entry { site, sp: place.sp, known, size, ..Entry::empty() };
        for check in 0..CHECK_COUNT {
            let frame = frames[check.min(outermost)];
            let Ok(offset) = u32::try_from(frame.slot - place.sp) else { return };
            entry.offsets[check] = offset;
            entry.return_addresses[check] = frame.return_address;
        }
        entry.outer = frames.get(CHECK_COUNT..).unwrap_or_default().into();
        self.entries[index_of(site, place.sp, size)] = entry;
    }

    /// Forgets which contexts are defined: a new chunk has none.
    pub(crate) fn begin_chunk(&mut self) {
        for entry in self.entries.iter_mut() {
            entry.known.prefix = 0;
        }
    }
}

impl Entry {
    fn empty() -> Self {
        Self {
            site: 0,
            sp: 0,
            known: Known { prefix: 0, stack: StackId::UNKNOWN },
            size: 0,
            offsets: [0; CHECK_COUNT],
            return_addresses: [0; CHECK_COUNT],
            outer: Box::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A stack of return addresses, and the place below it.
    fn stack_of(return_addresses: &[Cell<u64>]) -> (Vec<Cell<u64>>, Place, Vec<Frame>) {
        let words = return_addresses.to_vec();
        let sp = words.as_ptr().expose_provenance() as u64;
        let frame = |(at, word): (usize, &Cell<u64>)| Frame {
            return_address: word.get(),
            slot: sp + 8 * at as u64,
        };
        let frames = words.iter().enumerate().map(frame).collect();
        (words, Place { pc: 0x1000, sp }, frames)
    }

    const KNOWN: Known = Known { prefix: 1 << 63, stack: StackId::new(5) };

    #[test]
    fn a_place_is_known_by_all_that_is_compared() {
        let here = Location::caller();
        let (words, place, frames) = stack_of(&[1, 2, 3, 4, 5, 6, 7, 8].map(Cell::new));
        let mut cache = ContextCache::new();
        assert_eq!(cache.lookup(place, here, 8, Compare::All), None);
        cache.insert(place, here, 8, &frames, KNOWN);
        assert_eq!(cache.lookup(place, here, 8, Compare::All), Some(KNOWN));
        assert_eq!(cache.lookup(place, Location::caller(), 8, Compare::All), None);
        assert_eq!(cache.lookup(place, here, 4, Compare::All), None);
        assert_eq!(cache.lookup(Place { pc: 0x1001, ..place }, here, 8, Compare::All), None);
        assert_eq!(cache.lookup(Place { sp: place.sp + 8, ..place }, here, 8, Compare::All), None);
        for (at, word) in words.iter().enumerate() {
            let original = word.replace(100);
            let inner = cache.lookup(place, here, 8, Compare::Inner);
            assert_eq!(inner.is_some(), at >= CHECK_COUNT, "return address {at}");
            assert_eq!(cache.lookup(place, here, 8, Compare::All), None, "return address {at}");
            word.set(original);
        }
    }

    #[test]
    fn a_short_stack_is_compared_to_its_end() {
        let here = Location::caller();
        let (words, place, frames) = stack_of(&[1, 2].map(Cell::new));
        let mut cache = ContextCache::new();
        cache.insert(place, here, 8, &frames, KNOWN);
        assert_eq!(cache.lookup(place, here, 8, Compare::Inner), Some(KNOWN));
        words[1].set(9);
        assert_eq!(cache.lookup(place, here, 8, Compare::Inner), None);
        cache.insert(place, here, 8, &[], KNOWN);
        assert_eq!(cache.lookup(place, here, 8, Compare::Inner), None);
    }

    #[test]
    fn a_new_chunk_keeps_the_stacks_and_forgets_the_contexts() {
        let here = Location::caller();
        let (_words, place, frames) = stack_of(&[Cell::new(1)]);
        let mut cache = ContextCache::new();
        cache.insert(place, here, 8, &frames, KNOWN);
        cache.begin_chunk();
        let known = cache.lookup(place, here, 8, Compare::All);
        assert_eq!(known, Some(Known { prefix: 0, ..KNOWN }));
    }
}

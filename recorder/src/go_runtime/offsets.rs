//! Where the assembly of `recorder/go` finds what it needs in a processor's log and in a goroutine.
//!
//! Bytes from the beginning of the one or of the other, if nothing else is said.

use mmtrace_format::AccessKind;
use mmtrace_format::event::word::{ADDRESS_BITS, access_prefix};

use super::activations::Activations;
use super::goroutine::Goroutine;
use super::proc::{Callers, Filter, Places, Proc};
use crate::cursor::Cursor;

pub use super::proc::{MULTIPLIER, SCALAR_SIZE};

/// In a processor: its current goroutine.
pub const CURRENT: usize = Proc::CURRENT;
/// In a processor: the number of the fragment that runs.
pub const PROC_TURN: usize = Proc::TURN;
/// In a processor: the address of the open chunk's first word.
pub const WORDS: usize = Proc::WORDS;
/// In a processor: how many words it has.
pub const WORD_COUNT: usize = Proc::WORD_COUNT;
/// In a processor: how many are published.
pub const LEN: usize = Proc::CURSOR + Cursor::LEN;
/// In a processor: the address of the published copy of that.
pub const PUBLISHED: usize = Proc::CURSOR + Cursor::PUBLISHED;
/// In a processor: the address of the table of places.
pub const PLACES: usize = Proc::PLACES + Places::ENTRIES;
/// In a processor: the number of the open chunk, as places have it (32 bits).
pub const CHUNK: usize = Proc::PLACES + Places::CHUNK;
/// In a processor: the address of the table of callers.
pub const CALLERS: usize = Proc::CALLERS;
/// In a processor: the address of the filter's pairs of words.
pub const FILTER: usize = Proc::FILTER + Filter::ENTRIES;
/// In a processor: the mark of the present memory.
pub const MEMORY: usize = Proc::FILTER + Filter::MEMORY;
/// In a processor: a byte, whether repeated accesses are recorded.
pub const IS_FULL: usize = Proc::FILTER + Filter::IS_FULL;

/// In a goroutine: the stack of its innermost function (32 bits).
pub const GOROUTINE_CALLERS: usize = Goroutine::CALLERS;
/// In a goroutine: its epoch.
pub const EPOCH: usize = Goroutine::EPOCH;
/// In a goroutine: the number of the fragment that it is in.
pub const TURN: usize = Goroutine::TURN;
/// In a goroutine: the address behind its innermost activation.
pub const TOP: usize = Goroutine::ACTIVATIONS + Activations::TOP;
/// In a goroutine: the address behind the buffer of activations.
pub const END: usize = Goroutine::ACTIVATIONS + Activations::END;

/// The index of a place is the top of its key's product, shifted by so many bits.
pub const PLACE_INDEX_SHIFT: u32 = Places::SHIFT;
/// Bytes of a place.
pub const PLACE_LEN: usize = Places::ENTRY_LEN;
/// In a place: its key.
pub const PLACE_KEY: usize = Places::ENTRY_KEY;
/// In a place: what a read begins with.
pub const PLACE_PREFIX: usize = Places::ENTRY_PREFIX;
/// In a place: its size (32 bits).
pub const PLACE_SIZE: usize = Places::ENTRY_SIZE;
/// In a place: its chunk (32 bits).
pub const PLACE_CHUNK: usize = Places::ENTRY_CHUNK;

/// As [`PLACE_INDEX_SHIFT`], of a caller.
pub const CALLER_INDEX_SHIFT: u32 = Callers::SHIFT;
/// Bytes of a caller, as a power of two.
pub const CALLER_SHIFT: u32 = Callers::ENTRY_SHIFT;
/// In a caller: its key.
pub const CALLER_KEY: usize = Callers::ENTRY_KEY;
/// In a caller: its stack (32 bits).
pub const CALLER_STACK: usize = Callers::ENTRY_STACK;

/// Addresses are divided by this power of two to index the filter.
pub const FILTER_GRAIN_SHIFT: u32 = Filter::GRAIN_SHIFT;
/// The product of a place's key, shifted by so many bits, is mixed into the index of the filter.
pub const FILTER_SPREAD_SHIFT: u32 = Filter::SPREAD_SHIFT;
/// The product of a place's key, shifted by so many bits, is mixed into itself.
pub const FILTER_STIR_SHIFT: u32 = Filter::STIR_SHIFT;
/// Which bits of that are.
pub const FILTER_SPREAD: u64 = Filter::SPREAD;
/// Which bits of an index count.
pub const FILTER_MASK: u64 = Filter::MASK;
/// Bytes of a pair in the filter, as a power of two.
pub const FILTER_PAIR_SHIFT: u32 = Filter::PAIR_SHIFT;

/// What an access of this kind has in its word that a read has not.
pub const fn kind_in_word(kind: AccessKind) -> u64 {
    access_prefix(kind, 0) ^ access_prefix(AccessKind::Read, 0)
}

/// What an access of this kind has in the filter that a read has not.
pub const fn kind_in_filter(kind: AccessKind) -> u64 {
    (kind.tag() as u64) << ADDRESS_BITS
}

/// In a pair of the filter: the entry of this kind.
pub const fn entry_of(kind: AccessKind) -> usize {
    kind.is_write() as usize * 8
}

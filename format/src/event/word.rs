//! Raw records: how a recorder writes into an open chunk, one or more 64-bit words each.
//!
//! ```text
//! access, short   1 kind:3 context:13 address:47
//! context         0 tag:7=120 index:24 stack:32 | size:64
//! access, long    0 tag:7=121 kind:24  stack:32 | address:64 | size:64
//! event           0 tag:7     detail:24 stack:32 | time:64 | object | sequence | value | extra
//! ```
//!
//! An event writes only the operand words that its kind has. A *context* is what a short access
//! leaves out: the stack and the size. It is defined once in a chunk, before its first use, so that
//! a chunk needs no other to be read. The long form is for what does not fit the short one.

use crate::access::{Access, AccessKind};
use crate::event::{DETAIL_MAX, Event, EventKind, Slot};
use crate::id::StackId;
use crate::units::{Address, Timestamp};

/// Bits of the address in a short access.
pub const ADDRESS_BITS: u32 = 47;
/// How many contexts a chunk may define for its short accesses.
pub const CONTEXT_COUNT_MAX: usize = 1 << 13;
/// Tag of a context definition.
pub const TAG_CONTEXT: u8 = 120;
/// Tag of a long access.
pub const TAG_LONG_ACCESS: u8 = 121;
/// Words of the longest record.
pub const RECORD_WORDS_MAX: usize = 6;

const ACCESS_BIT: u64 = 1 << 63;
const KIND_SHIFT: u32 = 60;
const CONTEXT_SHIFT: u32 = ADDRESS_BITS;
const ADDRESS_MASK: u64 = (1 << ADDRESS_BITS) - 1;

/// What the accesses of one place have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AccessContext {
    /// Where in the program.
    pub stack: StackId,
    /// Bytes accessed; 0 if every access has a size of its own.
    pub size: u32,
}

/// A short access without its address: `prefix | address` is the whole record.
///
/// `context` is below [`CONTEXT_COUNT_MAX`].
#[inline]
pub const fn access_prefix(kind: AccessKind, context: u16) -> u64 {
    ACCESS_BIT | (kind.tag() as u64) << KIND_SHIFT | (context as u64) << CONTEXT_SHIFT
}

/// Whether an address fits a short access.
#[inline]
pub const fn fits_short(address: u64) -> bool {
    address <= ADDRESS_MASK
}

/// Whether a word is a short access.
#[inline]
pub const fn is_short_access(word: u64) -> bool {
    word & ACCESS_BIT != 0
}

/// Takes a short access apart: kind, context, address.
#[inline]
pub const fn split_access(word: u64) -> (AccessKind, u16, u64) {
    (
        AccessKind::from_tag((word >> KIND_SHIFT) as u8),
        (word >> CONTEXT_SHIFT) as u16 & (CONTEXT_COUNT_MAX as u16 - 1),
        word & ADDRESS_MASK,
    )
}

#[inline]
const fn head(tag: u8, detail: u32, stack: StackId) -> u64 {
    (tag as u64) << 56 | (detail as u64 & DETAIL_MAX as u64) << 32 | stack.as_u32() as u64
}

/// The definition of a context.
#[inline]
pub const fn context_definition(index: u16, context: AccessContext) -> [u64; 2] {
    [head(TAG_CONTEXT, index as u32, context.stack), context.size as u64]
}

/// A long access.
#[inline]
pub const fn long_access(access: &Access) -> [u64; 3] {
    let kind = access.kind.tag() as u32;
    [head(TAG_LONG_ACCESS, kind, access.stack), access.address.0, access.size]
}

/// Writes an event's record into the first words of `out` and gives their number.
///
/// Fields that the kind does not have are not among them; the words behind are left with anything.
#[inline]
pub fn encode_event(event: &Event, out: &mut [u64; RECORD_WORDS_MAX]) -> usize {
    let spec = event.kind.shape();
    out[0] = head(event.kind.tag(), event.detail, event.stack);
    out[1] = event.time.ns;
    let mut len = 2;
    // Without branches: what the kind does not have is overwritten by the next one that it has.
    for slot in [Slot::Object, Slot::Sequence, Slot::Value, Slot::Extra] {
        out[len] = event.slot(slot);
        len += usize::from(spec.has(slot));
    }
    len
}

/// A raw record, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A short access: kind, index of its context, address.
    Short(AccessKind, u16, u64),
    /// A long access.
    Long(Access),
    /// The definition of a context.
    Context(u16, AccessContext),
    /// An event.
    Event(Event),
}

/// Words that no recorder writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WordError {
    /// The tag is of no known kind. Records after it cannot be told apart from its operands.
    #[error("word {at}: record with unknown tag {tag}")]
    UnknownTag {
        /// Index of the word.
        at: usize,
        /// The tag.
        tag: u8,
    },
    /// The words end inside a record.
    #[error("word {at}: record of {needed} words, but only {available} are left")]
    Truncated {
        /// Index of the record's first word.
        at: usize,
        /// Words of the whole record.
        needed: usize,
        /// Words left.
        available: usize,
    },
    /// A field holds what its kind does not allow.
    #[error("word {at}: {what} is {found}, which no recorder writes")]
    Field {
        /// Index of the record's first word.
        at: usize,
        /// The field.
        what: &'static str,
        /// Its value.
        found: u64,
    },
}

/// Decodes the record that begins at word `at`, and gives the index of the next.
///
/// # Errors
/// [`WordError`] if no recorder writes such words; a total function otherwise.
#[inline]
pub fn decode_record(words: &[u64], at: usize) -> Result<(Record, usize), WordError> {
    let Some(&first) = words.get(at) else {
        return Err(WordError::Truncated { at, needed: 1, available: 0 });
    };
    Ok(match form_of(first) {
        Form::Short => {
            let (kind, context, address) = split_access(first);
            (Record::Short(kind, context, address), at + 1)
        }
        Form::Context => {
            let (index, context, next) = decode_context(words, at, first)?;
            (Record::Context(index, context), next)
        }
        Form::Long => {
            let (access, next) = decode_long(words, at, first)?;
            (Record::Long(access), next)
        }
        Form::Event => {
            let mut event = Event::new(EventKind::Unknown);
            let next = decode_event(words, at, first, &mut event)?;
            (Record::Event(event), next)
        }
    })
}

/// What kind of record begins with this word, which is no short access: [`TAG_CONTEXT`],
/// [`TAG_LONG_ACCESS`] or an event's.
#[inline]
pub(crate) const fn tag_of(first: u64) -> u8 {
    (first >> 56) as u8
}

/// What a record is by its first word, if it is anything: it says which function decodes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One word: [`split_access`].
    Short,
    /// [`decode_context`].
    Context,
    /// [`decode_long`].
    Long,
    /// [`decode_event`].
    Event,
}

/// The form of the record that begins with this word.
#[inline]
pub(crate) const fn form_of(first: u64) -> Form {
    if is_short_access(first) {
        return Form::Short;
    }
    match tag_of(first) {
        TAG_CONTEXT => Form::Context,
        TAG_LONG_ACCESS => Form::Long,
        _ => Form::Event,
    }
}

/// The index of a context, what it is, and the index of the next record.
pub(crate) fn decode_context(
    words: &[u64],
    at: usize,
    first: u64,
) -> Result<(u16, AccessContext, usize), WordError> {
    let operands = operands(words, at, 1)?;
    let detail = detail_of(first);
    let index = u16::try_from(detail).ok().filter(|&i| usize::from(i) < CONTEXT_COUNT_MAX);
    let index =
        index.ok_or(WordError::Field { at, what: "context index", found: u64::from(detail) })?;
    let size = u32::try_from(operands[0]).map_err(|_| WordError::Field {
        at,
        what: "context size",
        found: operands[0],
    })?;
    Ok((index, AccessContext { stack: StackId::new(first as u32), size }, at + 2))
}

/// An access of the long form, and the index of the next record.
pub(crate) fn decode_long(
    words: &[u64],
    at: usize,
    first: u64,
) -> Result<(Access, usize), WordError> {
    let operands = operands(words, at, 2)?;
    let detail = detail_of(first);
    if detail > 7 {
        return Err(WordError::Field { at, what: "access kind", found: u64::from(detail) });
    }
    let kind = AccessKind::from_tag(detail as u8);
    let (address, size) = (Address(operands[0]), operands[1]);
    Ok((Access { kind, address, size, stack: StackId::new(first as u32) }, at + 3))
}

#[inline]
const fn detail_of(first: u64) -> u32 {
    (first >> 32) as u32 & DETAIL_MAX
}

/// Decodes an event in place, and gives the index of the next record: for those who decode millions,
/// and would feel every copy.
///
/// `first` is the word at `at`. After an error the event is anything.
#[inline]
pub(crate) fn decode_event(
    words: &[u64],
    at: usize,
    first: u64,
    event: &mut Event,
) -> Result<usize, WordError> {
    let tag = tag_of(first);
    // What stands for the kinds of later versions is only ever read.
    let kind = EventKind::from_tag(tag).filter(|&kind| kind != EventKind::Unknown);
    let kind = kind.ok_or(WordError::UnknownTag { at, tag })?;
    let shape = kind.shape();
    let detail = detail_of(first);
    if detail != 0 && !shape.has(Slot::Detail) {
        return Err(WordError::Field { at, what: "detail", found: u64::from(detail) });
    }
    let operands = operands(words, at, 1 + kind.operand_words())?;
    let mut read = 1;
    // Without branches: which kinds follow each other is the program's secret.
    let mut next = |slot| {
        let has = usize::from(shape.has(slot));
        // What the kind does not have is read, too, where there is anything, and made zero.
        let operand = operands.get(read).map_or(0, |&operand| operand * has as u64);
        read += has;
        operand
    };
    event.kind = kind;
    event.detail = detail;
    event.stack = StackId::new(first as u32);
    event.time = Timestamp::from_ns(operands[0]);
    event.object = next(Slot::Object);
    event.sequence = next(Slot::Sequence);
    event.value = next(Slot::Value);
    event.extra = next(Slot::Extra);
    Ok(at + 1 + operands.len())
}

/// The words behind the first of the record at `at`.
#[inline]
fn operands(words: &[u64], at: usize, count: usize) -> Result<&[u64], WordError> {
    let needed = 1 + count;
    let found = words.get(at + 1..at + needed);
    found.ok_or(WordError::Truncated { at, needed, available: words.len() - at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::spec::SPECS;

    fn example(kind: EventKind) -> Event {
        let mut event = Event::new(kind);
        for field in kind.spec().fields {
            event.set_slot(field.slot, 0x0012_3456_789a + field.slot as u64);
        }
        event.stack = StackId::new(77);
        event.time = Timestamp::from_ns(u64::MAX - 5);
        event
    }

    #[test]
    fn every_kind_comes_back_from_its_words() {
        for spec in SPECS.iter().filter(|spec| spec.kind != EventKind::Unknown) {
            let event = example(spec.kind);
            let mut words = [0; RECORD_WORDS_MAX];
            let len = encode_event(&event, &mut words);
            assert_eq!(len, 2 + spec.operand_words());
            assert_eq!(decode_record(&words[..len], 0), Ok((Record::Event(event), len)));
            for cut in 0..len {
                assert!(matches!(
                    decode_record(&words[..cut], 0),
                    Err(WordError::Truncated { .. })
                ));
            }
        }
    }

    #[test]
    fn a_short_access_is_its_prefix_and_its_address() {
        let address = (1 << ADDRESS_BITS) - 1;
        for kind in AccessKind::ALL {
            let word = access_prefix(kind, 8191) | address;
            assert_eq!(decode_record(&[word], 0), Ok((Record::Short(kind, 8191, address), 1)));
        }
    }

    #[test]
    fn contexts_and_long_accesses_come_back() {
        let context = AccessContext { stack: StackId::new(9), size: 8 };
        let words = context_definition(5, context);
        assert_eq!(decode_record(&words, 0), Ok((Record::Context(5, context), 2)));
        let access = Access {
            kind: AccessKind::RangeWrite,
            address: Address(u64::MAX),
            size: 1 << 40,
            stack: StackId::new(3),
        };
        assert_eq!(decode_record(&long_access(&access), 0), Ok((Record::Long(access), 3)));
    }

    #[test]
    fn kinds_of_later_versions_are_no_record() {
        let tag = EventKind::Unknown.tag();
        let mut words = [0; RECORD_WORDS_MAX];
        words[0] = u64::from(tag) << 56;
        assert_eq!(decode_record(&words, 0), Err(WordError::UnknownTag { at: 0, tag }));
    }

    #[test]
    fn zeroed_words_are_no_record() {
        assert_eq!(decode_record(&[0; 8], 0), Err(WordError::UnknownTag { at: 0, tag: 0 }));
    }
}

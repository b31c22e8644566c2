//! The text form: one line an event or access, reversible.
//!
//! ```text
//! 1200ns t3 mutex-lock try=0 mutex=0x7f00 seq=12 @st5
//! 1350ns t3 chan-send chan=0xc000 seq=3 k=0 @st6
//! t3 write 0x7f08 8 @st7
//! ```
//!
//! Events begin with their time; accesses have none. Every operand of the kind is there, under the
//! name that the table gives it, so that a line can be read back without a context.

use std::fmt::{self, Write as _};

use crate::access::{Access, AccessKind};
use crate::event::{BlockReason, Event, EventKind, FieldType, MemoryOrder};
use crate::id::{StackId, ThreadId};
use crate::units::{Address, Timestamp};

/// An event or an access, with its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// An event.
    Event(ThreadId, Event),
    /// An access.
    Access(ThreadId, Access),
}

/// A line is not the text form of anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found `{found}`")]
pub struct TextError {
    /// What should have been there.
    pub expected: String,
    /// The word that was.
    pub found: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(thread, event) => {
                write!(f, "{}ns {thread} {}", event.time.ns, event.kind)?;
                for field in event.kind.spec().fields {
                    write!(f, " {}=", field.name)?;
                    write_operand(f, field.field_type, event.slot(field.slot))?;
                }
                write_stack(f, event.stack)
            }
            Self::Access(thread, access) => {
                let name = access.kind.name();
                write!(f, "{thread} {name} {} {}", access.address, access.size)?;
                write_stack(f, access.stack)
            }
        }
    }
}

fn write_stack(f: &mut fmt::Formatter<'_>, stack: StackId) -> fmt::Result {
    if stack == StackId::UNKNOWN { Ok(()) } else { write!(f, " @{stack}") }
}

fn write_operand(f: &mut fmt::Formatter<'_>, field_type: FieldType, number: u64) -> fmt::Result {
    // A code that this version has no name for is printed as its number, and read back as such.
    let code = u32::try_from(number).unwrap_or(u32::MAX);
    match field_type {
        FieldType::Signed => write!(f, "{}", number.cast_signed()),
        FieldType::Thread => write!(f, "t{number}"),
        FieldType::String => write!(f, "str{number}"),
        FieldType::Address => write!(f, "{number:#x}"),
        FieldType::Order if code <= 4 => f.write_str(MemoryOrder::from_detail(code).name()),
        FieldType::Reason if (code as usize) < BlockReason::ALL.len() => {
            f.write_str(BlockReason::from_detail(code).name())
        }
        _ => write!(f, "{number}"),
    }
}

/// Reads a line back.
///
/// # Errors
/// [`TextError`] names the first word that does not fit.
pub fn parse(line: &str) -> Result<Line, TextError> {
    let mut words = line.split_ascii_whitespace();
    let first = next(&mut words, "a time or a thread")?;
    if let Some(time) = first.strip_suffix("ns") {
        let ns = number(time, "a time in ns")?;
        let thread = thread(next(&mut words, "a thread")?)?;
        let name = next(&mut words, "an event's name")?;
        let kind = EventKind::from_name(name).ok_or_else(|| wrong("an event's name", name))?;
        let mut event = Event { time: Timestamp::from_ns(ns), ..Event::new(kind) };
        for field in kind.spec().fields {
            let word = next(&mut words, field.name)?;
            let operand = word.strip_prefix(field.name).and_then(|rest| rest.strip_prefix('='));
            let operand = operand.ok_or_else(|| wrong(&format!("{}=...", field.name), word))?;
            let value = parse_operand(field.field_type, operand)?;
            event.set_slot(field.slot, value);
            if event.slot(field.slot) != value {
                return Err(wrong("a number of at most 24 bits", operand));
            }
        }
        event.stack = stack(words.next())?;
        end(words.next())?;
        Ok(Line::Event(thread, event))
    } else {
        let thread = thread(first)?;
        let name = next(&mut words, "an access's name")?;
        let kind = AccessKind::from_name(name).ok_or_else(|| wrong("an access's name", name))?;
        let address = Address(address(next(&mut words, "an address")?)?);
        let size = number(next(&mut words, "a size")?, "a size")?;
        let stack = stack(words.next())?;
        end(words.next())?;
        Ok(Line::Access(thread, Access { kind, address, size, stack }))
    }
}

fn wrong(expected: &str, found: &str) -> TextError {
    TextError { expected: expected.to_owned(), found: found.to_owned() }
}

fn next<'a>(
    words: &mut impl Iterator<Item = &'a str>,
    expected: &str,
) -> Result<&'a str, TextError> {
    words.next().ok_or_else(|| wrong(expected, "end of line"))
}

fn end(word: Option<&str>) -> Result<(), TextError> {
    word.map_or(Ok(()), |word| Err(wrong("the end of the line", word)))
}

fn number(word: &str, expected: &str) -> Result<u64, TextError> {
    word.parse().map_err(|_| wrong(expected, word))
}

fn prefixed(word: &str, prefix: &str, expected: &str) -> Result<u64, TextError> {
    number(word.strip_prefix(prefix).ok_or_else(|| wrong(expected, word))?, expected)
}

fn thread(word: &str) -> Result<ThreadId, TextError> {
    let number = prefixed(word, "t", "a thread, like t3")?;
    u32::try_from(number).map(ThreadId::new).map_err(|_| wrong("a thread, like t3", word))
}

fn address(word: &str) -> Result<u64, TextError> {
    let digits = word.strip_prefix("0x").ok_or_else(|| wrong("an address, like 0x7f00", word))?;
    u64::from_str_radix(digits, 16).map_err(|_| wrong("an address, like 0x7f00", word))
}

fn stack(word: Option<&str>) -> Result<StackId, TextError> {
    let Some(word) = word else { return Ok(StackId::UNKNOWN) };
    let number = prefixed(word, "@st", "a stack, like @st5")?;
    u32::try_from(number).map(StackId::new).map_err(|_| wrong("a stack, like @st5", word))
}

fn parse_operand(field_type: FieldType, word: &str) -> Result<u64, TextError> {
    let by_name = |index: Option<usize>| match index {
        Some(index) => Ok(index as u64),
        None => number(word, "a name or its number"),
    };
    match field_type {
        FieldType::Number | FieldType::Sequence => number(word, "a number"),
        FieldType::Signed => {
            word.parse::<i64>().map(i64::cast_unsigned).map_err(|_| wrong("a signed number", word))
        }
        FieldType::Thread => prefixed(word, "t", "a thread, like t3"),
        FieldType::String => prefixed(word, "str", "a string, like str2"),
        FieldType::Address => address(word),
        FieldType::Order => {
            by_name((0..=4).position(|code| MemoryOrder::from_detail(code).name() == word))
        }
        FieldType::Reason => by_name(BlockReason::ALL.iter().position(|r| r.name() == word)),
    }
}

/// The lines of a whole trace, for snapshots in tests.
pub fn print_all<'a>(lines: impl IntoIterator<Item = &'a Line>) -> String {
    let mut text = String::new();
    for line in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::spec::SPECS;

    #[test]
    fn every_kind_reads_back_what_it_prints() {
        for spec in SPECS {
            for number in [0, 1, 4, 5, 18, 19, 0xff_ffff] {
                let mut event = Event::new(spec.kind);
                for field in spec.fields {
                    event.set_slot(field.slot, number);
                }
                event.time = Timestamp::from_ns(9);
                event.stack = StackId::new(u32::try_from(number).unwrap());
                let line = Line::Event(ThreadId::new(3), event);
                assert_eq!(parse(&line.to_string()), Ok(line), "{line}");
            }
        }
    }

    #[test]
    fn every_access_reads_back_what_it_prints() {
        for kind in AccessKind::ALL {
            let access =
                Access { kind, address: Address(u64::MAX), size: 16, stack: StackId::new(2) };
            let line = Line::Access(ThreadId::new(0), access);
            assert_eq!(parse(&line.to_string()), Ok(line), "{line}");
        }
    }

    #[test]
    fn an_event_is_one_readable_line() {
        let event = Event {
            object: 0x7f00,
            sequence: 12,
            time: Timestamp::from_ns(1200),
            stack: StackId::new(5),
            ..Event::new(EventKind::MutexLock)
        };
        let line = Line::Event(ThreadId::new(3), event);
        assert_eq!(line.to_string(), "1200ns t3 mutex-lock try=0 mutex=0x7f00 seq=12 @st5");
    }

    #[test]
    fn a_wrong_word_is_named() {
        let error = parse("5ns t1 mutex-lock try=0 chan=0x1 seq=1").unwrap_err();
        assert_eq!(error.to_string(), "expected mutex=..., found `chan=0x1`");
        let error = parse("t1 poke 0x1 8").unwrap_err();
        assert_eq!(error.to_string(), "expected an access's name, found `poke`");
        assert!(parse("t1 read 0x1 8 @st1 more").is_err());
        assert!(parse("").is_err());
    }
}

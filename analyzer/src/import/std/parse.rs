//! Lines of STD text, one at a time.

use ::std::io::Read;

use super::{NUMBER_LIMIT, StdError};

/// Bytes read at one time: also the longest line.
pub(super) const BUFFER_LEN: usize = 1 << 18;

/// The most bytes of a line that an error repeats.
const FOUND_LEN: usize = 40;

/// What a line does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Read,
    Write,
    Acquire,
    Release,
    Fork,
    Join,
    Begin,
    End,
}

/// The name of a thread, variable or lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name<'l> {
    /// The usual letter (`T`, `V`, `L`) and a number.
    Numbered {
        /// The number, below [`NUMBER_LIMIT`].
        number: u64,
        /// All of the name.
        text: &'l [u8],
    },
    /// Anything else.
    Other(&'l [u8]),
}

/// What stands for the name of an atomic block, which is not kept.
const NO_NAME: Name<'static> = Name::Other(b"");

/// One line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Statement<'l> {
    /// Its number, from 1.
    pub(super) line: u64,
    /// Its bytes, its end included.
    pub(super) len: u64,
    pub(super) thread: Name<'l>,
    pub(super) operation: Operation,
    pub(super) operand: Name<'l>,
    pub(super) location: u32,
}

/// Lines of a text of any length, in a buffer of fixed length.
pub(super) struct Lines<'r, R> {
    reader: &'r mut R,
    buffer: Vec<u8>,
    /// What is in the buffer and was not given out.
    start: usize,
    end: usize,
    line: u64,
    is_over: bool,
}

impl<'r, R: Read> Lines<'r, R> {
    pub(super) fn new(reader: &'r mut R) -> Self {
        Self { reader, buffer: vec![0; BUFFER_LEN], start: 0, end: 0, line: 0, is_over: false }
    }

    /// The next line that says something.
    pub(super) fn next(&mut self) -> Result<Option<Statement<'_>>, StdError> {
        loop {
            let Some((from, to, len)) = self.next_line()? else { return Ok(None) };
            if from < to {
                let line = Line { number: self.line, text: &self.buffer[from..to] };
                return line.parse(len).map(Some);
            }
        }
    }

    /// Where the next line lies in the buffer, without its end, and its length with it.
    fn next_line(&mut self) -> Result<Option<(usize, usize, u64)>, StdError> {
        let mut searched = self.start;
        loop {
            let rest = &self.buffer[searched..self.end];
            let (stop, next) = match rest.iter().position(|&byte| byte == b'\n') {
                Some(len) => (searched + len, searched + len + 1),
                None if self.is_over && self.start == self.end => return Ok(None),
                None if self.is_over => (self.end, self.end),
                None => {
                    let unread = self.end - self.start;
                    self.fill()?;
                    searched = self.start + unread;
                    continue;
                }
            };
            let from = self.start;
            self.start = next;
            self.line += 1;
            let carriage_return = self.buffer[from..stop].ends_with(b"\r");
            return Ok(Some((from, stop - usize::from(carriage_return), (next - from) as u64)));
        }
    }

    /// Moves what is left to the front of the buffer, and reads on behind it.
    fn fill(&mut self) -> Result<(), StdError> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            let line = Line { number: self.line + 1, text: &self.buffer };
            return Err(line.wrong(0, "a line of less than 256 KiB"));
        }
        let line = self.line + 1;
        let read = self.reader.read(&mut self.buffer[self.end..]);
        let count = read.map_err(|source| StdError::Read { line, source })?;
        self.end += count;
        self.is_over = count == 0;
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Line<'l> {
    number: u64,
    text: &'l [u8],
}

impl<'l> Line<'l> {
    fn parse(self, len: u64) -> Result<Statement<'l>, StdError> {
        let bar = self.find(0, b'|', "a thread and `|`")?;
        let thread = self.name(0, bar, b'T', "a thread's name")?;
        let start = bar + 1;
        let stop = self.find(start, b'|', "an operation and `|`")?;
        let (operation, operand) = self.operation(start, stop)?;
        let location = self.location(stop + 1)?;
        Ok(Statement { line: self.number, len, thread, operation, operand, location })
    }

    fn operation(self, from: usize, to: usize) -> Result<(Operation, Name<'l>), StdError> {
        let text = &self.text[from..to];
        let paren = text.iter().position(|&byte| byte == b'(');
        let (operation, letter, expected) = match &text[..paren.unwrap_or(text.len())] {
            b"r" | b"read" => (Operation::Read, b'V', "a variable's name"),
            b"w" | b"write" => (Operation::Write, b'V', "a variable's name"),
            b"acq" | b"acquire" => (Operation::Acquire, b'L', "a lock's name"),
            b"rel" | b"release" => (Operation::Release, b'L', "a lock's name"),
            b"fork" => (Operation::Fork, b'T', "a thread's name"),
            b"join" => (Operation::Join, b'T', "a thread's name"),
            b"begin" => return Ok((Operation::Begin, NO_NAME)),
            b"end" => return Ok((Operation::End, NO_NAME)),
            _ => return Err(self.wrong(from, "r, w, acq, rel, fork, join, begin or end")),
        };
        let Some(paren) = paren else { return Err(self.wrong(to, "`(` and an operand")) };
        if text.last() != Some(&b')') {
            return Err(self.wrong(to, "`)` after the operand"));
        }
        Ok((operation, self.name(from + paren + 1, to - 1, letter, expected)?))
    }

    fn name(
        self,
        from: usize,
        to: usize,
        letter: u8,
        expected: &'static str,
    ) -> Result<Name<'l>, StdError> {
        let text = &self.text[from..to];
        let Some((&first, digits)) = text.split_first() else {
            return Err(self.wrong(from, expected));
        };
        // With leading zeros it is another name than without.
        let is_plain = first == letter && (digits.len() == 1 || digits.first() != Some(&b'0'));
        let number = if is_plain { number(digits) } else { None };
        Ok(number.map_or(Name::Other(text), |number| Name::Numbered { number, text }))
    }

    fn location(self, from: usize) -> Result<u32, StdError> {
        let location = number(&self.text[from..]).and_then(|number| u32::try_from(number).ok());
        location.ok_or_else(|| self.wrong(from, "a location: a number below 4294967296"))
    }

    fn find(self, from: usize, byte: u8, expected: &'static str) -> Result<usize, StdError> {
        let place = self.text[from..].iter().position(|&found| found == byte);
        place.map(|place| from + place).ok_or_else(|| self.wrong(from, expected))
    }

    fn wrong(self, at: usize, expected: &'static str) -> StdError {
        let rest = &self.text[at.min(self.text.len())..];
        let shown = String::from_utf8_lossy(&rest[..rest.len().min(FOUND_LEN)]);
        let found = match rest.len() {
            0 => "the end of the line".to_owned(),
            len if len > FOUND_LEN => format!("`{shown}...`"),
            _ => format!("`{shown}`"),
        };
        StdError::Syntax { line: self.number, column: at + 1, expected, found }
    }
}

/// The number that these digits are, if it is one that an address can be made of.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut number = 0_u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u64::from(digit - b'0');
        if number >= NUMBER_LIMIT {
            return None;
        }
    }
    Some(number)
}

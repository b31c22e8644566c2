//! Bytes of a table that are not to be trusted, and the small programs in it.

use std::rc::Rc;

/// Which of a function's programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// Files, by their number in the function's compilation unit.
    File,
    /// Lines.
    Line,
    /// Inlined calls, by their number in the function's tree.
    Inlined,
}

/// A stretch of a section. Whatever lies outside is `None`.
pub(super) struct Bytes {
    bytes: Rc<[u8]>,
    start: u64,
}

impl Bytes {
    pub(super) fn new(bytes: Rc<[u8]>) -> Self {
        Self { bytes, start: 0 }
    }

    /// What follows `start`.
    pub(super) fn from(bytes: Rc<[u8]>, start: u64) -> Self {
        Self { bytes, start }
    }

    pub(super) fn len(&self) -> u64 {
        (self.bytes.len() as u64).saturating_sub(self.start)
    }

    fn rest(&self, at: u64) -> Option<&[u8]> {
        self.bytes.get(usize::try_from(self.start.checked_add(at)?).ok()?..)
    }

    pub(super) fn u8(&self, at: u64) -> Option<u8> {
        self.rest(at)?.first().copied()
    }

    pub(super) fn u32(&self, at: u64) -> Option<u32> {
        Some(u32::from_le_bytes(*self.rest(at)?.first_chunk()?))
    }

    pub(super) fn u64(&self, at: u64) -> Option<u64> {
        Some(u64::from_le_bytes(*self.rest(at)?.first_chunk()?))
    }

    /// A text that ends with a zero byte.
    pub(super) fn text(&self, at: u64) -> Option<String> {
        let rest = self.rest(at)?;
        let end = rest.iter().position(|&byte| byte == 0)?;
        Some(String::from_utf8_lossy(&rest[..end]).into_owned())
    }

    /// What the program at `program` says of the code `pc` bytes behind its function's entry.
    ///
    /// A program is pairs of LEB128 numbers: how much the value changes (zigzag, at first from -1),
    /// and for how many bytes of code it holds then. A change of 0 ends it, but not at its beginning.
    pub(super) fn value_at(&self, program: u64, pc: u32) -> Option<i32> {
        let mut rest = self.rest(program)?;
        let (mut value, mut end) = (-1_i32, 0_u64);
        let mut is_first = true;
        loop {
            let change = number(&mut rest)?;
            if change == 0 && !is_first {
                return None;
            }
            is_first = false;
            let difference = if change & 1 == 1 { !(change >> 1) } else { change >> 1 };
            value = value.wrapping_add(difference.cast_signed());
            end += u64::from(number(&mut rest)?);
            if u64::from(pc) < end {
                return Some(value);
            }
        }
    }
}

/// Takes a LEB128 number of at most 32 bits.
fn number(rest: &mut &[u8]) -> Option<u32> {
    let mut value = 0_u32;
    for shift in (0..35).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_holds_each_value_for_its_stretch_of_code() {
        // -1 +1 for 3 bytes, then +4 for 130, then -2 for 1.
        let bytes = Bytes::new([0xff, 2, 3, 8, 0x82, 1, 3, 1, 0].into());
        let values = [(0, 0), (2, 0), (3, 4), (132, 4), (133, 2)];
        for (pc, value) in values {
            assert_eq!(bytes.value_at(1, pc), Some(value), "at {pc}");
        }
        assert_eq!(bytes.value_at(1, 134), None);
        assert_eq!(bytes.value_at(9, 0), None);
        assert_eq!(bytes.value_at(u64::MAX, 0), None);
    }

    #[test]
    fn a_change_of_nothing_ends_no_program_at_its_beginning() {
        let bytes = Bytes::new([0, 3, 2, 1, 0].into());
        assert_eq!(bytes.value_at(0, 0), Some(-1));
        assert_eq!(bytes.value_at(0, 3), Some(0));
    }

    #[test]
    fn a_number_that_does_not_end_is_none() {
        assert_eq!(number(&mut &[0xff; 9][..]), None);
        assert_eq!(number(&mut &[0x80][..]), None);
    }
}

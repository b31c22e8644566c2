//! Columns of numbers: LEB128 for unsigned ones, zigzag before it for differences.

use super::ChunkError;

/// Appends an unsigned number in LEB128.
#[inline]
pub(crate) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends the difference from `last` to `number`, so that small steps either way are short.
#[inline]
pub(crate) fn put_delta(out: &mut Vec<u8>, last: u64, number: u64) {
    put(out, zigzag(number.wrapping_sub(last)));
}

/// Two's complement to sign-in-the-lowest-bit.
#[inline]
pub(crate) const fn zigzag(difference: u64) -> u64 {
    (difference << 1) ^ ((difference.cast_signed() >> 63).cast_unsigned())
}

/// The inverse of [`zigzag`].
#[inline]
pub(crate) const fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}

/// Reads numbers back. Total: any bytes give numbers or an error.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    part: &'static str,
    bytes: &'a [u8],
    at: usize,
    /// Where `bytes` begin in the lane, for messages.
    base: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(part: &'static str, bytes: &'a [u8], base: usize) -> Self {
        Self { part, bytes, at: 0, base }
    }

    /// The next number.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<u64, ChunkError> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_number(),
        }
    }

    fn long_number(&mut self) -> Result<u64, ChunkError> {
        let mut number = 0u64;
        let mut shift = 0;
        loop {
            let Some(&byte) = self.bytes.get(self.at) else {
                return Err(self.error("the column ends inside a number"));
            };
            let bits = u64::from(byte & 0x7f);
            if shift > 63 || (shift == 63 && bits > 1) {
                return Err(self.error("a number has more than 64 bits"));
            }
            number |= bits << shift;
            self.at += 1;
            if byte < 0x80 {
                return Ok(number);
            }
            shift += 7;
        }
    }

    /// The next number, if it fits 32 bits.
    #[inline]
    pub(crate) fn number_u32(&mut self) -> Result<u32, ChunkError> {
        let number = self.number()?;
        u32::try_from(number).map_err(|_| self.error("a number has more than 32 bits"))
    }

    /// The number that the next difference leads to.
    #[inline]
    pub(crate) fn delta(&mut self, last: u64) -> Result<u64, ChunkError> {
        Ok(last.wrapping_add(unzigzag(self.number()?)))
    }

    /// The next `len` bytes as they are.
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], ChunkError> {
        let end = self.at.checked_add(len);
        let bytes = end.and_then(|end| self.bytes.get(self.at..end));
        let bytes = bytes.ok_or_else(|| self.error("the lane ends inside a column"))?;
        self.at += len;
        Ok(bytes)
    }

    /// A column of its own length, written by [`put_column`].
    pub(crate) fn column(&mut self) -> Result<Reader<'a>, ChunkError> {
        let len = self.number()?;
        let len = usize::try_from(len).map_err(|_| self.error("a column's length"))?;
        let base = self.base + self.at;
        Ok(Reader::new(self.part, self.take(len)?, base))
    }

    /// What has not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Checks that nothing is left over.
    pub(crate) fn finish(&self) -> Result<(), ChunkError> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.error("bytes are left over")) }
    }

    /// An error at the current place.
    #[cold]
    pub(crate) fn error(&self, what: &'static str) -> ChunkError {
        ChunkError::Column { part: self.part, what, at: (self.base + self.at) as u64 }
    }
}

/// Appends a column with its length before it.
pub(crate) fn put_column(out: &mut Vec<u8>, column: &[u8]) {
    put(out, column.len() as u64);
    out.extend_from_slice(column);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_differences_come_back() {
        let numbers = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX / 2, u64::MAX];
        let mut bytes = Vec::new();
        for &number in &numbers {
            put(&mut bytes, number);
            put_delta(&mut bytes, 300, number);
        }
        let mut reader = Reader::new("test", &bytes, 0);
        for &number in &numbers {
            assert_eq!(reader.number(), Ok(number));
            assert_eq!(reader.delta(300), Ok(number));
        }
        assert_eq!(reader.finish(), Ok(()));
        assert!(reader.number().is_err());
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        let mut reader = Reader::new("test", &[0xff; 11], 100);
        let error = reader.number().unwrap_err();
        assert!(matches!(error, ChunkError::Column { at: 109, .. }), "{error:?}");
        let mut reader = Reader::new("test", &[0x80, 0x80], 0);
        assert!(reader.number().is_err());
    }
}

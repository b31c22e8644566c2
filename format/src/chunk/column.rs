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

/// A column that is being written.
///
/// Numbers are written eight bytes at a time, and what is too much is written over by the next one:
/// how long a number is decides nothing but where that begins, so no branch has to guess it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ColumnWriter {
    /// Longer than the column.
    bytes: Vec<u8>,
    len: usize,
}

/// Bytes of the longest number.
const NUMBER_LEN_MAX: usize = 10;
/// Numbers of at most eight bytes are below.
const EIGHT_BYTES: u64 = 1 << 56;

impl ColumnWriter {
    /// Begins another column in the same memory.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// What has been written.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The next eight bytes, of which the column is to keep `len`.
    #[inline]
    pub(crate) fn put_bytes(&mut self, bytes: u64, len: usize) {
        if self.bytes.len() < self.len + NUMBER_LEN_MAX {
            self.grow();
        }
        if let Some(place) = self.bytes.get_mut(self.len..self.len + 8) {
            place.copy_from_slice(&bytes.to_le_bytes());
        }
        self.len += len;
    }

    #[cold]
    fn grow(&mut self) {
        let len = (self.bytes.len() * 2).max(1 << 10);
        self.bytes.resize(len, 0);
    }

    /// Appends a byte.
    #[inline]
    pub(crate) fn put_byte(&mut self, byte: u8) {
        self.put_bytes(u64::from(byte), 1);
    }

    /// Appends an unsigned number in LEB128; most are below 128.
    #[inline]
    pub(crate) fn put(&mut self, number: u64) {
        if number < 0x80 {
            self.put_bytes(number, 1);
        } else {
            self.put_any(number);
        }
    }

    /// The same, for numbers of all lengths.
    #[inline]
    pub(crate) fn put_any(&mut self, number: u64) {
        if number >= EIGHT_BYTES {
            self.put_long(number);
            return;
        }
        let bits = u64::BITS - (number | 1).leading_zeros();
        // Divided by 7, rounded up, for as many bits as there can be.
        let len = (bits * 9 + 64) >> 6;
        let continued = 0x8080_8080_8080_8080 & ((1 << (8 * (len - 1))) - 1);
        self.put_bytes(spread(number) | continued, len as usize);
    }

    #[cold]
    fn put_long(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.put_byte(number as u8 | 0x80);
            number >>= 7;
        }
        self.put_byte(number as u8);
    }

    /// Appends the difference from `last` to `number`, so that small steps either way are short.
    #[inline]
    pub(crate) fn put_delta(&mut self, last: u64, number: u64) {
        self.put(zigzag(number.wrapping_sub(last)));
    }

    /// The same, for differences of all lengths.
    #[inline]
    pub(crate) fn put_any_delta(&mut self, last: u64, number: u64) {
        self.put_any(zigzag(number.wrapping_sub(last)));
    }
}

/// Each seven bits of a number below 2^56 to a byte of its own.
#[inline]
const fn spread(number: u64) -> u64 {
    let halves = (number & 0x0fff_ffff) | (number & 0x00ff_ffff_f000_0000) << 4;
    let quarters = (halves & 0x0000_3fff_0000_3fff) | (halves & 0x0fff_c000_0fff_c000) << 2;
    (quarters & 0x007f_007f_007f_007f) | (quarters & 0x3f80_3f80_3f80_3f80) << 1
}

/// The inverse of [`spread`]; the highest bit of each byte is 0.
#[inline]
const fn gather(bytes: u64) -> u64 {
    let quarters = (bytes & 0x007f_007f_007f_007f) | (bytes & 0x7f00_7f00_7f00_7f00) >> 1;
    let halves = (quarters & 0x0000_3fff_0000_3fff) | (quarters & 0x3fff_0000_3fff_0000) >> 2;
    (halves & 0x0fff_ffff) | (halves & 0x0fff_ffff_0000_0000) >> 4
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
            _ => self.any_number(),
        }
    }

    /// The next number, where it may be of any length: no branch guesses which.
    #[inline]
    pub(crate) fn any_number(&mut self) -> Result<u64, ChunkError> {
        if let Some(bytes) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) {
            let bytes = u64::from_le_bytes(*bytes);
            let ends = !bytes & 0x8080_8080_8080_8080;
            if ends != 0 {
                self.at += (ends.trailing_zeros() / 8 + 1) as usize;
                // Up to the first byte that is the last of a number.
                return Ok(gather(bytes & (ends ^ (ends - 1)) & 0x7f7f_7f7f_7f7f_7f7f));
            }
        }
        self.long_number()
    }

    /// Byte by byte: near the column's end, and numbers of more than eight bytes.
    #[cold]
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

    /// The same, where differences may be of any length.
    #[inline]
    pub(crate) fn any_delta(&mut self, last: u64) -> Result<u64, ChunkError> {
        Ok(last.wrapping_add(unzigzag(self.any_number()?)))
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
        let powers = (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        let numbers: Vec<u64> = powers.chain([300, u64::MAX / 2, u64::MAX]).collect();
        let (mut bytes, mut column) = (Vec::new(), ColumnWriter::default());
        for &number in &numbers {
            put(&mut bytes, number);
            put(&mut bytes, zigzag(number.wrapping_sub(300)));
            put(&mut bytes, number);
            column.put(number);
            column.put_delta(300, number);
            column.put_any(number);
        }
        assert_eq!(column.as_bytes(), bytes);
        let mut reader = Reader::new("test", &bytes, 0);
        for &number in &numbers {
            assert_eq!(reader.number(), Ok(number));
            assert_eq!(reader.any_delta(300), Ok(number));
            assert_eq!(reader.any_number(), Ok(number));
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

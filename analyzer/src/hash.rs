//! A fast hash for keys that are numbers: addresses, threads, sequence numbers.
//!
//! Multiply and fold, as in `FxHash`; not proof against keys made to collide, which here would cost
//! the maker of the log some of their own time.

use std::hash::{BuildHasherDefault, Hasher};

/// For `HashMap<K, V, FastHash>`.
pub(crate) type FastHash = BuildHasherDefault<FastHasher>;

pub(crate) const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FastHasher(u64);

impl Hasher for FastHasher {
    #[inline]
    fn finish(&self) -> u64 {
        // The multiplication moves entropy up; tables look at the low bits as well.
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    #[inline]
    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(MULTIPLIER);
    }

    #[inline]
    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }
}

/// The `bits` high bits of a multiplicative hash: where a number goes in a table of 2^`bits`. One
/// multiplication; neighbours go far from each other. `bits` is from 1 to 64.
#[inline]
pub(crate) const fn place(number: u64, multiplier: u64, bits: u32) -> usize {
    (number.wrapping_mul(multiplier) >> (u64::BITS - bits)) as usize
}

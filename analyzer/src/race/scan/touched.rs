//! Which memory a chunk touches, roughly: a filter in the manner of Bloom (1970), of one hash.
//!
//! Refining looks at few granules. A chunk that touches none of their blocks need not be decoded
//! again. Blocks, not granules: a chunk of a sweep over memory has some thousands of blocks.

use crate::hash::{MULTIPLIER, place};
use crate::race::route::BLOCK_BITS;

const BITS: u32 = 12;
const WORDS: usize = (1 << BITS) / 64;

/// The blocks that something touches, and perhaps others. 512 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::race) struct Touched([u64; WORDS]);

impl Touched {
    /// Nothing.
    pub(in crate::race) const NOTHING: Self = Self([0; WORDS]);

    /// Adds the `size` bytes from `address`.
    #[inline]
    pub(in crate::race) fn add(&mut self, address: u64, size: u64) {
        let first = address >> BLOCK_BITS;
        let last = address.saturating_add(size.saturating_sub(1)) >> BLOCK_BITS;
        self.add_block(first);
        if first != last {
            self.add_blocks(first, last);
        }
    }

    #[cold]
    fn add_blocks(&mut self, first: u64, last: u64) {
        if last - first >= 1 << BITS {
            self.0.fill(u64::MAX);
        } else {
            (first..=last).for_each(|block| self.add_block(block));
        }
    }

    #[inline]
    fn add_block(&mut self, block: u64) {
        let bit = place(block, MULTIPLIER, BITS);
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    /// Whether the two may have a block in common. Never false if they have.
    pub(in crate::race) fn may_meet(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touched(address: u64, size: u64) -> Touched {
        let mut touched = Touched::NOTHING;
        touched.add(address, size);
        touched
    }

    #[test]
    fn what_has_a_byte_in_common_meets() {
        for (address, size) in [(0, 1), (511, 2), (1 << 40, 8), (1 << 40, 1 << 30), (u64::MAX, 9)] {
            let whole = touched(address, size);
            for at in [0, size / 3, size / 2, size - 1] {
                assert!(whole.may_meet(&touched(address.saturating_add(at), 1)), "{address} {at}");
            }
        }
    }

    #[test]
    fn few_blocks_meet_few_others() {
        let mut few = Touched::NOTHING;
        (0..64).for_each(|n| few.add(n * 4096, 8));
        let met = (0..10_000).filter(|n| few.may_meet(&touched((1 << 40) + n * 512, 8))).count();
        assert!(met < 400, "{met} of 10,000, expected about 64 / 4096 of them");
        assert!(!few.may_meet(&Touched::NOTHING));
    }
}

//! Shards: memory by a hash of its address, so that many can look at it side by side, and so that a
//! pass can leave a part of it to the next one.

use super::route::BLOCK_BITS;
use super::route::GRANULE_BITS;
use crate::hash::{MULTIPLIER, place};

/// How many shards there are. Fixed: the shard of an address must not depend on who looks.
pub(super) const SHARD_COUNT: usize = u64::BITS as usize;
const SHARD_BITS: u32 = SHARD_COUNT.trailing_zeros();

/// The shard that looks at a granule; those of a block have the same.
#[inline]
pub(super) fn shard_of(granule: u64) -> usize {
    place(granule >> (BLOCK_BITS - GRANULE_BITS), MULTIPLIER, SHARD_BITS)
}

/// Some of the shards, a bit for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShardSet(u64);

impl ShardSet {
    /// None of them.
    pub(super) const NONE: Self = Self(0);
    /// All of them: what a first pass tries.
    pub(super) const ALL: Self = Self(u64::MAX);

    /// Whether it has none.
    pub(super) fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// How many it has.
    pub(super) fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether it has this one.
    #[inline]
    pub(super) fn contains(self, shard: usize) -> bool {
        self.0 >> shard & 1 != 0
    }

    /// Takes the last one out and puts it into `other`. `None` if there is only one.
    pub(super) fn give_last(&mut self, other: &mut Self) -> Option<usize> {
        if self.len() <= 1 {
            return None;
        }
        let last = self.0.ilog2();
        self.0 &= !(1 << last);
        other.0 |= 1 << last;
        Some(last as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_off_comes_again_and_somebody_always_stays() {
        let (mut active, mut put_off) = (ShardSet::ALL, ShardSet::NONE);
        while active.give_last(&mut put_off).is_some() {}
        assert_eq!((active.len(), put_off.len()), (1, SHARD_COUNT - 1));
        assert!(active.contains(0) && !put_off.contains(0) && put_off.contains(63));
        assert!((0..SHARD_COUNT).all(|shard| active.contains(shard) != put_off.contains(shard)));
        assert!(ShardSet::NONE.is_empty() && !active.is_empty());
    }
}

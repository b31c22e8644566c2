//! Clocks in as little memory as can be had for little time.
//!
//! Most of a window is clocks. A thread knows little more at one access than at the last one: so a
//! clock is packed as what it has more than the last one of its chain in the window, half a byte for
//! each chain if that is enough. Clocks of very many chains are not packed: they share most of their
//! memory with each other.

use std::collections::HashMap;

use crate::clock::{LocalTime, VectorClock};
use crate::hash::FastHash;

/// Clocks, each as what it has more than another one.
#[derive(Debug)]
pub(super) struct PackedClocks {
    items: Vec<PackedClock>,
    /// The differences, little-endian.
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct PackedClock {
    /// Which earlier clock it is the difference to; [`NOTHING`].
    base: u32,
    /// Its first byte.
    start: u32,
    /// How many times it has: an even number.
    len: u16,
    /// How many bits a difference has: 4, 8, 16 or 32.
    bits: u8,
}

/// In place of a base: the clock that knows of nothing.
const NOTHING: u32 = u32::MAX;

impl PackedClocks {
    /// Packs clocks; `slots` has the chain of each. `None` if one of them has too many chains.
    pub(super) fn pack(clocks: &[VectorClock], slots: &[u32]) -> Option<Self> {
        let (mut items, mut bytes) = (Vec::with_capacity(clocks.len()), Vec::new());
        let mut differences: Vec<LocalTime> = Vec::new();
        let mut last: HashMap<u32, u32, FastHash> = HashMap::default();
        for (index, (clock, &slot)) in (0..).zip(clocks.iter().zip(slots)) {
            let times = clock.flat_times()?;
            let base = last.insert(slot, index);
            // A clock never becomes shorter.
            let before = base.map_or(&[][..], |base| clocks[base as usize].first_times());
            let base = base.filter(|_| before.len() <= times.len());
            let before = base.map_or(&[][..], |_| before);
            differences.clear();
            differences.extend_from_slice(times);
            for (time, before) in differences.iter_mut().zip(before) {
                *time = time.wrapping_sub(*before);
            }
            let bits = bits_for(differences.iter().fold(0, |all, one| all | one));
            let start = u32::try_from(bytes.len()).ok()?;
            put(&differences, bits, &mut bytes);
            let len = u16::try_from(times.len()).expect("flat clocks have few chains");
            items.push(PackedClock { base: base.unwrap_or(NOTHING), start, len, bits });
        }
        bytes.shrink_to_fit();
        Some(Self { items, bytes })
    }

    /// How much memory they take.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.items) + self.bytes.len()
    }

    /// One of them.
    pub(super) fn get(&self, index: usize) -> VectorClock {
        let mut item = self.items[index];
        let (mut times, mut more) = (Vec::new(), Vec::new());
        self.take(item, &mut times);
        while item.base != NOTHING {
            item = self.items[item.base as usize];
            self.take(item, &mut more);
            times.iter_mut().zip(&more).for_each(|(time, &more)| *time = time.wrapping_add(more));
        }
        VectorClock::from_times(&times)
    }

    /// All of them.
    pub(super) fn unpack(&self) -> Vec<VectorClock> {
        let mut clocks: Vec<VectorClock> = Vec::with_capacity(self.items.len());
        let mut times = Vec::new();
        for &item in &self.items {
            self.take(item, &mut times);
            if item.base != NOTHING {
                let before = clocks[item.base as usize].first_times();
                times
                    .iter_mut()
                    .zip(before)
                    .for_each(|(time, &more)| *time = time.wrapping_add(more));
            }
            clocks.push(VectorClock::from_times(&times));
        }
        clocks
    }

    /// The differences that an item stands for.
    fn take(&self, item: PackedClock, times: &mut Vec<LocalTime>) {
        times.resize(usize::from(item.len), 0);
        take(&self.bytes[item.start as usize..], item.bits, times);
    }
}

/// How many bits a number has that is packed with others up to `largest`.
fn bits_for(largest: LocalTime) -> u8 {
    match largest {
        0..=0xf => 4,
        0x10..=0xff => 8,
        0x100..=0xffff => 16,
        _ => 32,
    }
}

/// Appends an even count of numbers of so many bits.
fn put(numbers: &[LocalTime], bits: u8, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    bytes.resize(start + numbers.len() * usize::from(bits) / 8, 0);
    let bytes = &mut bytes[start..];
    // Loops without a branch, so that they become vector instructions.
    match bits {
        4 => {
            let (low, high) = numbers.split_at(bytes.len());
            let pairs = low.iter().zip(high);
            bytes.iter_mut().zip(pairs).for_each(|(b, (low, high))| *b = (low | high << 4) as u8);
        }
        8 => bytes.iter_mut().zip(numbers).for_each(|(b, &one)| *b = one as u8),
        16 => {
            let pairs = bytes.as_chunks_mut().0.iter_mut();
            pairs.zip(numbers).for_each(|(b, &one)| *b = (one as u16).to_le_bytes());
        }
        _ => {
            let words = bytes.as_chunks_mut().0.iter_mut();
            words.zip(numbers).for_each(|(b, &one)| *b = one.to_le_bytes());
        }
    }
}

/// Reads back what [`put`] wrote at the beginning of `bytes`.
fn take(bytes: &[u8], bits: u8, numbers: &mut [LocalTime]) {
    match bits {
        4 => {
            let (low, high) = numbers.split_at_mut(numbers.len() / 2);
            low.iter_mut().zip(bytes).for_each(|(one, &b)| *one = LocalTime::from(b & 0xf));
            high.iter_mut().zip(bytes).for_each(|(one, &b)| *one = LocalTime::from(b >> 4));
        }
        8 => numbers.iter_mut().zip(bytes).for_each(|(one, &b)| *one = LocalTime::from(b)),
        16 => {
            let pairs = numbers.iter_mut().zip(bytes.as_chunks().0);
            pairs.for_each(|(one, &b)| *one = LocalTime::from(u16::from_le_bytes(b)));
        }
        _ => {
            let words = numbers.iter_mut().zip(bytes.as_chunks().0);
            words.for_each(|(one, &b)| *one = LocalTime::from_le_bytes(b));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::{Epoch, Slot};

    /// Steps of threads: each learns an epoch, and a clock of each state is taken.
    fn history() -> impl Strategy<Value = Vec<(u32, u32, u32)>> {
        let time = prop_oneof![1..20u32, 250..260u32, 65_530..65_540u32, 1..1u32 << 24];
        let slot = prop_oneof![0..16u32, 0..500u32];
        prop::collection::vec((0..4u32, slot, time), 0..60)
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(history in history()) {
            let mut threads = vec![VectorClock::new(); 4];
            let (mut clocks, mut slots) = (Vec::new(), Vec::new());
            for (thread, slot, time) in history {
                let clock = &mut threads[thread as usize];
                clock.learn(Epoch { slot: Slot::new(slot), time });
                clocks.push(clock.clone());
                slots.push(thread);
            }
            let packed = PackedClocks::pack(&clocks, &slots).unwrap();
            prop_assert_eq!(&packed.unpack(), &clocks);
            let one_by_one: Vec<VectorClock> = (0..clocks.len()).map(|it| packed.get(it)).collect();
            prop_assert_eq!(one_by_one, clocks);
        }
    }

    #[test]
    fn a_thread_that_learns_little_takes_half_a_byte_for_each_chain() {
        let mut clock = VectorClock::new();
        let mut clocks = Vec::new();
        for time in 1..100 {
            for slot in 0..300 {
                clock.learn(Epoch { slot: Slot::new(slot), time: time * 15 });
            }
            clocks.push(clock.clone());
        }
        let packed = PackedClocks::pack(&clocks, &[7; 99]).unwrap();
        assert!(packed.bytes.len() <= 99 * 256, "{} bytes", packed.bytes.len());
    }

    #[test]
    fn a_clock_of_very_many_chains_is_not_packed() {
        let mut clock = VectorClock::new();
        clock.learn(Epoch { slot: Slot::new(100_000), time: 1 });
        assert!(PackedClocks::pack(&[clock], &[0]).is_none());
    }
}

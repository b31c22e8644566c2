//! What a thread does in one chunk, packed: a log of goroutines has millions of fragments, and the
//! second pass wants them lane by lane, which is not the order in which the first pass finds them.
//!
//! A *visit* is a thread's fragments in one chunk, in program order, as a few bytes each. It is
//! written once, found by its place, and read once.

use super::holds::Effects;
use super::scan::pack;
use super::state::State;

/// The state of a lane changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// When.
    pub(crate) time_ns: u64,
    /// To what.
    pub(crate) state: State,
    /// What is waited for, if the state is a wait; 0 if that is not known.
    pub(crate) object: u64,
}

/// A fragment, as the first pass found it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fragment {
    /// How many times its thread was switched to before.
    pub(crate) count: u64,
    /// Its place in the chunk.
    pub(crate) place: u32,
    /// Its events and accesses, without switches.
    pub(crate) records: u32,
    /// When its first record happened.
    pub(crate) first_ns: u64,
    /// What it does to the locks that its thread holds.
    pub(crate) effects: Effects,
    /// Its changes of state.
    pub(crate) changes: Vec<Change>,
}

/// A thread is made runnable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ready {
    /// When.
    pub(crate) time_ns: u64,
    /// The number of the thread that did it.
    pub(crate) by: u32,
}

/// Packs fragments. All of a visit go through one packer.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    last: Fragment,
    last_time: u64,
    last_object: u64,
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_step(out: &mut Vec<u8>, last: u64, number: u64) {
    let step = number.wrapping_sub(last);
    put(out, (step << 1) ^ (step.cast_signed() >> 63).cast_unsigned());
}

/// A change's time and state in a number: the step of time, and the state below it.
fn packed_step(last: u64, change: &Change) -> u64 {
    // `pack` saturates times at 56 bits, which is 2 years: the same is done here.
    let step = (pack(change.time_ns, change.state) >> 8).wrapping_sub(last);
    (step << 1) ^ (step.cast_signed() >> 63).cast_unsigned()
}

impl Packer {
    pub(crate) fn put(&mut self, fragment: &Fragment, out: &mut Vec<u8>) {
        put_step(out, self.last.count, fragment.count);
        put_step(out, u64::from(self.last.place), u64::from(fragment.place));
        put(out, u64::from(fragment.records));
        put_step(out, self.last.first_ns, fragment.first_ns);
        fragment.effects.put(fragment.first_ns, out);
        put(out, fragment.changes.len() as u64);
        self.last_time = fragment.first_ns.min(u64::MAX >> 8);
        for change in &fragment.changes {
            put(out, packed_step(self.last_time, change));
            out.push(change.state as u8);
            self.last_time = change.time_ns.min(u64::MAX >> 8);
            if change.state.is_waiting() {
                put_step(out, self.last_object, change.object);
                self.last_object = change.object;
            }
        }
        self.last.count = fragment.count;
        self.last.place = fragment.place;
        self.last.first_ns = fragment.first_ns;
    }
}

/// Appends the readies of one thread, packed.
pub(crate) fn put_readies(readies: &[Ready], out: &mut Vec<u8>) {
    let mut last = 0;
    for ready in readies {
        put_step(out, last, ready.time_ns);
        put(out, u64::from(ready.by));
        last = ready.time_ns;
    }
}

/// Reads back what was packed. What is not whole ends it: a file that was just written is whole.
#[derive(Debug, Default)]
pub(crate) struct Unpacker {
    bytes: Vec<u8>,
    at: usize,
    last: Fragment,
    last_object: u64,
}

impl Unpacker {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        let mut shift = 0;
        loop {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(number);
            }
            shift += 7;
        }
    }

    pub(crate) fn step(&mut self, last: u64) -> Option<u64> {
        let number = self.number()?;
        Some(last.wrapping_add((number >> 1) ^ (number & 1).wrapping_neg()))
    }

    /// The next fragment, into storage that is used again; `None` after the last.
    pub(crate) fn fragment(&mut self, into: &mut Fragment) -> Option<()> {
        into.count = self.step(self.last.count)?;
        into.place = u32::try_from(self.step(u64::from(self.last.place))?).ok()?;
        into.records = u32::try_from(self.number()?).ok()?;
        into.first_ns = self.step(self.last.first_ns)?;
        into.effects.take(into.first_ns, self)?;
        into.changes.clear();
        let mut time_ns = into.first_ns.min(u64::MAX >> 8);
        for _ in 0..self.number()? {
            time_ns = self.step(time_ns)?;
            let state = State::from_number(*self.bytes.get(self.at)?);
            self.at += 1;
            let mut object = 0;
            if state.is_waiting() {
                object = self.step(self.last_object)?;
                self.last_object = object;
            }
            into.changes.push(Change { time_ns, state, object });
        }
        (self.last.count, self.last.place) = (into.count, into.place);
        self.last.first_ns = into.first_ns;
        Some(())
    }

    /// The next ready after one at `last_ns`.
    pub(crate) fn ready(&mut self, last_ns: u64) -> Option<Ready> {
        let time_ns = self.step(last_ns)?;
        Some(Ready { time_ns, by: u32::try_from(self.number()?).ok()? })
    }
}

/// Appends a number, for those who pack more.
pub(crate) fn put_number(out: &mut Vec<u8>, number: u64) {
    put(out, number);
}

/// Appends the step from a number to another, for those who pack more.
pub(crate) fn put_difference(out: &mut Vec<u8>, last: u64, number: u64) {
    put_step(out, last, number);
}

#[cfg(test)]
mod tests {
    use mmtrace_format::EventKind;

    use super::*;
    use crate::index::holds::Hold;

    #[test]
    fn fragments_and_readies_come_back() {
        let change = |time_ns, state, object| Change { time_ns, state, object };
        let hold = Hold { object: u64::MAX, kind: EventKind::ReadLock, since_ns: 70 };
        let fragments = [
            Fragment {
                count: 9,
                place: 3,
                records: u32::MAX,
                first_ns: 50,
                effects: Effects { released: vec![7, 1], taken: vec![hold] },
                changes: vec![
                    change(60, State::Running, 0),
                    change(55, State::Mutex, u64::MAX),
                    change(1 << 55, State::Send, 3),
                ],
            },
            Fragment { count: 2, place: 1, first_ns: 10, ..Fragment::default() },
        ];
        let (mut packer, mut bytes) = (Packer::default(), Vec::new());
        for fragment in &fragments {
            packer.put(fragment, &mut bytes);
        }
        let mut unpacker = Unpacker::new(bytes);
        let mut found = Fragment::default();
        for fragment in &fragments {
            unpacker.fragment(&mut found).unwrap();
            assert_eq!(found, *fragment);
        }
        assert_eq!(unpacker.fragment(&mut found), None);
        let readies = [Ready { time_ns: 5, by: 70_000 }, Ready { time_ns: 3, by: 0 }];
        let mut bytes = Vec::new();
        put_readies(&readies, &mut bytes);
        let mut unpacker = Unpacker::new(bytes);
        assert_eq!(unpacker.ready(0), Some(readies[0]));
        assert_eq!(unpacker.ready(5), Some(readies[1]));
        assert_eq!(unpacker.ready(3), None);
    }
}

//! Locks that lanes hold beyond the fragment in which they took them.
//!
//! # Definition
//! A lane holds a lock from the event that takes it to the one that gives it up, in its program
//! order; of the same lock taken several times, the one taken last is given up first.
//!
//! # Algorithm
//! What a fragment takes and gives up again concerns nobody but who looks into it. What is left of
//! it, its [`Effects`], is composed lane by lane into *holds* that reach from one fragment into
//! later ones: records of object, kind and time, the fragment that took the lock, and the one that
//! gave it up. A lane's holds are sorted by the first; every 64th has the latest end of the 64 from
//! it on, so that those which reach over a fragment are found without looking at the others.

use mmtrace_format::{Event, EventKind};

use super::visit::{Unpacker, put_difference, put_number};

/// A lock that a lane holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Its address.
    pub object: u64,
    /// `mutex-lock`, `read-lock` or `write-lock`.
    pub kind: EventKind,
    /// When it was taken.
    pub since_ns: u64,
}

/// What a fragment does to the locks that its thread holds, all in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// Locks that were held before, and are not any more.
    pub(crate) released: Vec<u64>,
    /// Locks that were not, and are, in the order in which they were taken.
    pub(crate) taken: Vec<Hold>,
}

/// Kinds of events that take a lock.
const TAKING: [EventKind; 3] = [EventKind::MutexLock, EventKind::ReadLock, EventKind::WriteLock];

/// Follows the locks of a lane. Gives the lock that an event gives up although it is not `held`.
pub(crate) fn follow(held: &mut Vec<Hold>, event: &Event) -> Option<u64> {
    match event.kind {
        EventKind::MutexLock | EventKind::ReadLock | EventKind::WriteLock => {
            let (object, kind, since_ns) = (event.object, event.kind, event.time.ns);
            held.push(Hold { object, kind, since_ns });
        }
        EventKind::MutexUnlock | EventKind::ReadUnlock | EventKind::WriteUnlock => {
            match held.iter().rposition(|lock| lock.object == event.object) {
                Some(place) => drop(held.remove(place)),
                None => return Some(event.object),
            }
        }
        _ => {}
    }
    None
}

impl Effects {
    pub(crate) fn add(&mut self, event: &Event) {
        self.released.extend(follow(&mut self.taken, event));
    }

    pub(crate) fn clear(&mut self) {
        self.released.clear();
        self.taken.clear();
    }

    pub(super) fn put(&self, base_ns: u64, out: &mut Vec<u8>) {
        // Nearly all fragments have none: one byte.
        put_number(out, (self.released.len() + self.taken.len()) as u64);
        for &object in &self.released {
            out.push(0);
            put_number(out, object);
        }
        for hold in &self.taken {
            let kind = TAKING.iter().position(|&kind| kind == hold.kind).unwrap_or(0);
            // Three kinds.
            out.push(kind as u8 + 1);
            put_number(out, hold.object);
            put_difference(out, base_ns, hold.since_ns);
        }
    }

    pub(super) fn take(&mut self, base_ns: u64, from: &mut Unpacker) -> Option<()> {
        self.clear();
        for _ in 0..from.number()? {
            match from.number()? {
                0 => self.released.push(from.number()?),
                kind => {
                    let kind = *TAKING.get(usize::try_from(kind).ok()? - 1)?;
                    let object = from.number()?;
                    self.taken.push(Hold { object, kind, since_ns: from.step(base_ns)? });
                }
            }
        }
        Some(())
    }
}

/// Words of a hold: object, time with the kind in its lowest byte, first and last fragment, and the
/// latest end of a block.
pub(crate) const HOLD_WORDS: usize = 4;

/// Holds of a block.
pub(crate) const HOLD_BLOCK: usize = 64;

/// A lane's holds, collected fragment by fragment.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    /// What is held, in which fragment it was taken, and how many locks were taken before.
    open: Vec<(Hold, u32, u64)>,
    /// How many locks were taken before, first fragment, last one.
    closed: Vec<(u64, u32, u32, Hold)>,
    taken: u64,
}

impl Holds {
    /// The lane's fragment with this number does that.
    pub(crate) fn add(&mut self, effects: &Effects, fragment: u32) {
        for &object in &effects.released {
            if let Some(at) = self.open.iter().rposition(|(hold, ..)| hold.object == object) {
                let (hold, first, nth) = self.open.remove(at);
                self.closed.push((nth, first, fragment, hold));
            }
        }
        for &hold in &effects.taken {
            self.open.push((hold, fragment, self.taken));
            self.taken += 1;
        }
    }

    /// The holds as words; those that were not given up last to the end.
    pub(crate) fn finish(mut self) -> Vec<u64> {
        let open = self.open.drain(..).map(|(hold, first, nth)| (nth, first, u32::MAX, hold));
        self.closed.extend(open);
        self.closed.sort_unstable_by_key(|&(nth, ..)| nth);
        let mut words = Vec::with_capacity(self.closed.len() * HOLD_WORDS);
        for block in self.closed.chunks(HOLD_BLOCK) {
            let mut latest = block.iter().map(|&(_, _, last, _)| u64::from(last)).max();
            for &(_, first, last, hold) in block {
                words.extend([
                    hold.object,
                    hold.since_ns.min(u64::MAX >> 8) << 8 | kind_number(hold.kind),
                    u64::from(first) << 32 | u64::from(last),
                    latest.take().unwrap_or(0),
                ]);
            }
        }
        words
    }
}

fn kind_number(kind: EventKind) -> u64 {
    TAKING.iter().position(|&it| it == kind).unwrap_or(0) as u64
}

/// The hold in these words, with its first and last fragment.
pub(crate) fn hold_of(words: &[u64; HOLD_WORDS]) -> (Hold, u32, u32) {
    let kind = TAKING.get((words[1] & 0xff) as usize).copied().unwrap_or(EventKind::MutexLock);
    let hold = Hold { object: words[0], kind, since_ns: words[1] >> 8 };
    (hold, (words[2] >> 32) as u32, (words[2] & u64::from(u32::MAX)) as u32)
}

//! Which writes a read may observe: what "CPUs and compilers may reorder" means for one read.
//!
//! # Definition
//! Read `r` may observe write `w` to a common byte iff not `r -> w`, and there is no other write
//! `w'` to the place with `w -> w' -> r` (The Go Memory Model, "Memory model"; docs/RACES.md). For
//! a race-free read that is exactly one write. If no write happens before `r`, it may also observe
//! what the memory held before.
//!
//! # Algorithm
//! One walk in merged order. Every write to the place gets a mark that spreads along the edges as
//! in [`crate::explain`]; so does the read. At the end the marks answer who happens before whom.
//!
//! # Where we differ
//! Memory that is allocated anew or retired forgets its writes. At most [`WRITES_MAX`] writes are
//! followed, the latest ones; [`Visible::truncated`] says when older ones were given up.
//!
//! # What it cannot see
//! Values of plain writes: logs have those of atomic operations alone. Out-of-thin-air values,
//! which no machine makes, and mixtures of several writes to parts of the place, which some do.

use std::collections::HashMap;

use mmtrace_format::chunk::{AccessColumns, LaneDecoder};
use mmtrace_format::{Access, EventKind, ThreadId};

use crate::explain::{What, moment};
use crate::happens_before::{Step, SyncVisitor, walk};
use crate::order::{EventRef, Trace};

/// How many writes to the place are followed.
pub const WRITES_MAX: usize = 256;
/// How many decoded access lanes are kept.
const LANES_MAX: usize = 32;

/// A write that the read may observe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VisibleWrite {
    /// Which.
    pub at: EventRef,
    /// The access.
    pub access: Access,
    /// The value, if an atomic operation wrote it.
    pub value: Option<u64>,
    /// Whether it happens before the read. The other visible writes race with it, unless atomic.
    pub is_ordered: bool,
}

/// What a read may observe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visible {
    /// The read.
    pub read: Access,
    /// The writes, in merged order.
    pub writes: Vec<VisibleWrite>,
    /// Whether it may observe what was there before any of them.
    pub initial: bool,
    /// Whether there were more writes than are followed.
    pub truncated: bool,
}

/// The writes that the access at `read` may observe; `None` if there is no access there.
pub fn visible_writes(trace: &Trace<'_>, read: EventRef) -> Option<Visible> {
    let What::Access(place) = moment(trace, read)? else { return None };
    if !place.kind.touches_memory() {
        return None;
    }
    let mut follow = Follow {
        trace,
        place,
        read: Mark::new(read),
        writes: Vec::new(),
        values: HashMap::new(),
        lanes: HashMap::new(),
        decoder: LaneDecoder::default(),
        truncated: false,
    };
    walk(trace, &mut follow);
    Some(follow.answer())
}

/// From where on each thread comes after an event.
#[derive(Debug)]
struct Mark {
    at: EventRef,
    from: HashMap<ThreadId, u64>,
}

impl Mark {
    fn new(at: EventRef) -> Self {
        Self { at, from: HashMap::from([(at.thread, at.index)]) }
    }

    fn spread(&mut self, step: &Step<'_>) {
        if self.from.contains_key(&step.at.thread) {
            return;
        }
        let comes_after = |source: EventRef| {
            self.from.get(&source.thread).is_some_and(|&from| from <= source.index)
        };
        if step.edges.iter().any(|edge| comes_after(edge.from)) {
            self.from.insert(step.at.thread, step.at.index);
        }
    }

    fn happens_before(&self, other: &Self) -> bool {
        let from = self.from.get(&other.at.thread);
        self.at != other.at && from.is_some_and(|&from| from <= other.at.index)
    }
}

struct Write {
    mark: Mark,
    access: Access,
    value: Option<u64>,
}

struct Follow<'t> {
    trace: &'t Trace<'t>,
    place: Access,
    read: Mark,
    writes: Vec<Write>,
    /// The last atomic operation of each thread: its place, its object and the value it left.
    values: HashMap<ThreadId, (EventRef, u64, u64)>,
    lanes: HashMap<usize, AccessColumns>,
    decoder: LaneDecoder,
    truncated: bool,
}

impl SyncVisitor for Follow<'_> {
    fn visit(&mut self, step: &Step<'_>) {
        if !step.edges.is_empty() {
            self.read.spread(step);
            for write in &mut self.writes {
                write.mark.spread(step);
            }
        }
        match step.event.kind {
            EventKind::AtomicStore | EventKind::AtomicRmw => {
                let operation = (step.at, step.event.object, step.event.value);
                self.values.insert(step.at.thread, operation);
            }
            EventKind::Alloc | EventKind::Retire => {
                let (start, len) = (step.event.object, step.event.value);
                if overlap(start, len, self.place.address.0, self.place.size) {
                    self.writes.clear();
                }
            }
            _ => {}
        }
    }

    fn accesses(&mut self, first: EventRef, chunk: usize, offset: u32, count: u32) {
        if self.lanes.len() >= LANES_MAX && !self.lanes.contains_key(&chunk) {
            self.lanes.clear();
        }
        let (trace, decoder) = (self.trace, &mut self.decoder);
        let lane = self.lanes.entry(chunk).or_insert_with(|| {
            let mut columns = AccessColumns::default();
            if trace.lanes().decode_accesses(chunk, decoder, &mut columns).is_err() {
                columns.clear();
            }
            columns
        });
        let (offset, count) = (offset as usize, count as usize);
        // Sizes are looked up only where the address can match: most accesses are elsewhere.
        let near = |&address: &u64| address < self.place.address.0.saturating_add(self.place.size);
        let Some(addresses) = lane.addresses.get(offset..offset + count) else { return };
        if !addresses.iter().any(near) {
            return;
        }
        let found: Vec<(u64, Access)> = (0..)
            .zip(lane.iter().skip(offset).take(count))
            .filter(|(_, access)| access.kind.is_write() && touches(access, &self.place))
            .collect();
        for (place, access) in found {
            let at = EventRef { thread: first.thread, index: first.index + place };
            self.write(at, access);
        }
    }
}

impl Follow<'_> {
    fn write(&mut self, at: EventRef, access: Access) {
        if at == self.read.at {
            return;
        }
        if self.writes.len() == WRITES_MAX {
            self.writes.remove(0);
            self.truncated = true;
        }
        let value = self.values.get(&at.thread).and_then(|&(operation, object, value)| {
            let is_its = operation.index + 1 == at.index || operation.index + 2 == at.index;
            (is_its && object == access.address.0 && access.kind.is_atomic()).then_some(value)
        });
        self.writes.push(Write { mark: Mark::new(at), access, value });
    }

    fn answer(self) -> Visible {
        let before = |write: &Write| write.mark.happens_before(&self.read);
        let hidden = |write: &Write| {
            let hides = |other: &Write| write.mark.happens_before(&other.mark) && before(other);
            self.writes.iter().any(hides)
        };
        let may_be_seen = |write: &&Write| !self.read.happens_before(&write.mark) && !hidden(write);
        let visible = |write: &Write| VisibleWrite {
            at: write.mark.at,
            access: write.access,
            value: write.value,
            is_ordered: before(write),
        };
        Visible {
            read: self.place,
            writes: self.writes.iter().filter(may_be_seen).map(visible).collect(),
            initial: !self.writes.iter().any(before) && !self.truncated,
            truncated: self.truncated,
        }
    }
}

fn touches(a: &Access, b: &Access) -> bool {
    overlap(a.address.0, a.size, b.address.0, b.size)
}

fn overlap(a: u64, a_len: u64, b: u64, b_len: u64) -> bool {
    a < b.saturating_add(b_len) && b < a.saturating_add(a_len)
}

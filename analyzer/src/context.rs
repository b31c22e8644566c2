//! What surrounds an access: where its thread came from, what it held, what it synchronised last.
//!
//! One walk in merged order, without clocks, answers the questions about all accesses that a report
//! shows. It keeps a few dozen bytes a thread and, of the heap, only the blocks that hold an address
//! in question. It pauses once nothing is left to learn: a report shows the first accesses of each
//! pair of sites that raced, and those are mostly near the beginning of the log.

mod lives;

use std::sync::LazyLock;

use mmtrace_format::event::MemoryOrder;
use mmtrace_format::{Address, Event, EventKind, StackId, StringId, ThreadId};

use crate::order::{EventRef, MergeSink, OrderGap};
use crate::rules::{RULES, Rule};
pub use lives::{Life, Lives};

/// An access to be told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Which.
    pub event: EventRef,
    /// The first byte that it accesses.
    pub address: Address,
}

/// What surrounds an access.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Its thread's last synchronisation before it.
    pub before: Option<SyncEvent>,
    /// Its thread's first synchronisation after it.
    pub after: Option<SyncEvent>,
    /// Its thread's last taking of what others published, before it.
    pub acquire_before: Option<SyncEvent>,
    /// Its thread's first publishing after it.
    pub release_after: Option<SyncEvent>,
    /// What its thread held, in the order in which it was taken.
    pub locks: Vec<Held>,
    /// The heap block that the address lies in.
    pub block: Option<Block>,
    /// The test that its thread belongs to.
    pub test: Option<StringId>,
    /// Whether that test had already ended.
    pub test_over: bool,
}

/// An event that synchronises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncEvent {
    /// Which.
    pub at: EventRef,
    /// Its place in merged order.
    pub position: u64,
    /// The event.
    pub event: Event,
}

/// A lock that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// [`EventKind::MutexLock`], [`EventKind::ReadLock`] or [`EventKind::WriteLock`].
    pub kind: EventKind,
    /// The lock.
    pub object: Address,
    /// Where it was taken.
    pub stack: StackId,
}

/// A live block of the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its first byte.
    pub address: Address,
    /// How many bytes.
    pub size: u64,
    /// What is in it; the empty string if unknown.
    pub type_name: StringId,
    /// Where it was allocated.
    pub stack: StackId,
    /// By whom.
    pub thread: ThreadId,
}

/// In place of a place: nothing is asked about the thread.
const NONE: usize = usize::MAX;

/// The walk.
#[derive(Debug)]
pub struct Context<'t> {
    lives: Lives<'t>,
    questions: Vec<Question>,
    answers: Vec<Surroundings>,
    /// By dense number: the place of the questions about the thread; [`NONE`].
    places: Vec<usize>,
    pending: Vec<Pending>,
    /// How many threads have questions that something is still to be learned of.
    unsettled: usize,
    /// The addresses in question, ascending, and the blocks that hold them at the moment.
    blocks: Vec<(u64, Option<Block>)>,
    position: u64,
}

/// The questions about one thread, and what it did so far.
#[derive(Debug, Default)]
struct Pending {
    /// Ascending by place in the thread.
    questions: Vec<usize>,
    /// How many have been reached.
    reached: usize,
    /// How many of those reached know what came after them.
    with_after: usize,
    with_release: usize,
    locks: Vec<Held>,
    before: Option<SyncEvent>,
    acquire: Option<SyncEvent>,
    /// All its questions are answered.
    is_settled: bool,
}

impl<'t> Context<'t> {
    /// A walk over a log of these threads, ascending, that answers these questions.
    pub fn new(threads: &'t [ThreadId], questions: Vec<Question>) -> Self {
        let (mut places, mut pending) = (vec![NONE; threads.len()], Vec::<Pending>::new());
        for (index, question) in questions.iter().enumerate() {
            let Ok(dense) = threads.binary_search(&question.event.thread) else { continue };
            if places[dense] == NONE {
                places[dense] = pending.len();
                pending.push(Pending::default());
            }
            pending[places[dense]].questions.push(index);
        }
        for thread in &mut pending {
            thread.questions.sort_by_key(|&index| questions[index].event.index);
        }
        let mut blocks: Vec<(u64, Option<Block>)> =
            questions.iter().map(|question| (question.address.0, None)).collect();
        blocks.sort_unstable_by_key(|&(address, _)| address);
        blocks.dedup_by_key(|&mut (address, _)| address);
        Self {
            lives: Lives::new(threads),
            answers: vec![Surroundings::default(); questions.len()],
            questions,
            places,
            unsettled: pending.len(),
            pending,
            blocks,
            position: 0,
        }
    }

    /// The answers, in the order of the questions.
    pub fn answers(&self) -> &[Surroundings] {
        &self.answers
    }

    /// Notes what is known when the thread reaches its questions before `end`.
    fn reach(&mut self, dense: usize, end: u64) {
        let Some(pending) = self.pending.get_mut(self.places[dense]) else { return };
        let test = self.lives.test_of(dense);
        while let Some(&index) = pending.questions.get(pending.reached) {
            let question = self.questions[index];
            if question.event.index >= end {
                break;
            }
            pending.reached += 1;
            let block = self.blocks.binary_search_by_key(&question.address.0, |&(at, _)| at);
            self.answers[index] = Surroundings {
                before: pending.before,
                acquire_before: pending.acquire,
                locks: pending.locks.clone(),
                block: block.ok().and_then(|place| self.blocks[place].1),
                test: test.map(|(test, _)| test),
                test_over: test.is_some_and(|(_, is_over)| is_over),
                ..Surroundings::default()
            };
        }
    }

    /// Tells the thread's questions, those behind it and those to come, of an event.
    fn tell(&mut self, dense: usize, sync: &SyncEvent) {
        let Some(pending) = self.pending.get_mut(self.places[dense]) else { return };
        if synchronises(sync.event.kind) {
            for &index in &pending.questions[pending.with_after..pending.reached] {
                self.answers[index].after = Some(*sync);
            }
            pending.with_after = pending.reached;
            pending.before = Some(*sync);
        }
        if releases(&sync.event) {
            for &index in &pending.questions[pending.with_release..pending.reached] {
                self.answers[index].release_after = Some(*sync);
            }
            pending.with_release = pending.reached;
        }
        if acquires(sync.at, &sync.event) {
            pending.acquire = Some(*sync);
        }
        pending.hold(&sync.event);
        let asked = pending.questions.len();
        if pending.with_after == asked && pending.with_release == asked {
            self.settle(dense);
        }
    }

    /// Nothing more can be learned about the thread's questions.
    fn settle(&mut self, dense: usize) {
        if let Some(pending) = self.pending.get_mut(self.places[dense])
            && !std::mem::replace(&mut pending.is_settled, true)
        {
            self.unsettled -= 1;
        }
    }

    /// Follows the blocks that hold an address in question.
    fn follow_blocks(&mut self, thread: ThreadId, event: &Event) {
        let from = |address| self.blocks.partition_point(|&(at, _)| at < address);
        match event.kind {
            EventKind::Alloc => {
                let block = Block {
                    address: Address(event.object),
                    size: event.value,
                    type_name: StringId::new(u32::try_from(event.extra).unwrap_or(0)),
                    stack: event.stack,
                    thread,
                };
                let end = event.object.saturating_add(event.value);
                let within = from(event.object)..from(end);
                for (_, holder) in &mut self.blocks[within] {
                    *holder = Some(block);
                }
            }
            EventKind::Free => {
                let start = from(event.object);
                for (_, holder) in &mut self.blocks[start..] {
                    match holder {
                        Some(block) if block.address.0 == event.object => *holder = None,
                        _ => break,
                    }
                }
            }
            _ => {}
        }
    }
}

impl Pending {
    fn hold(&mut self, event: &Event) {
        match event.kind {
            EventKind::MutexLock | EventKind::ReadLock | EventKind::WriteLock => {
                let object = Address(event.object);
                self.locks.push(Held { kind: event.kind, object, stack: event.stack });
            }
            EventKind::MutexUnlock | EventKind::ReadUnlock | EventKind::WriteUnlock => {
                let held = |lock: &Held| lock.object.0 == event.object;
                if let Some(place) = self.locks.iter().rposition(held) {
                    self.locks.remove(place);
                }
            }
            _ => {}
        }
    }
}

impl MergeSink for Context<'_> {
    fn event(&mut self, dense: usize, at: EventRef, event: &Event) {
        self.reach(dense, at.index);
        let sync = SyncEvent { at, position: self.position, event: *event };
        self.position += 1;
        match event.kind {
            EventKind::Alloc | EventKind::Free => self.follow_blocks(at.thread, event),
            _ => {
                self.tell(dense, &sync);
                self.lives.event(dense, at, event);
            }
        }
    }

    fn accesses(&mut self, dense: usize, first: EventRef, _: usize, _: u32, count: u32) {
        self.reach(dense, first.index + u64::from(count));
    }

    fn thread_done(&mut self, dense: usize) {
        self.reach(dense, u64::MAX);
        self.settle(dense);
    }

    fn gap(&mut self, _gap: &OrderGap) {}

    fn is_full(&self) -> bool {
        self.unsettled == 0
    }
}

/// Bits of [`ROLES`].
const FROM: u8 = 1;
const TO: u8 = 2;
const ATOMIC: u8 = 4;

/// By kind: which ends of the rules' edges it can be. Reuse of memory is left out: it orders
/// nothing that a person would look for.
static ROLES: LazyLock<[u8; 256]> = LazyLock::new(|| {
    let mut roles = [0; 256];
    for row in RULES.iter().filter(|row| row.rule != Rule::Reuse) {
        let atomic = if row.rule == Rule::Atomic { ATOMIC } else { 0 };
        for (kinds, role) in [(row.from, FROM), (row.to, TO)] {
            for &kind in kinds {
                roles[kind as usize] |= role | atomic;
            }
        }
    }
    roles
});

/// Whether some rule draws an edge from or to such an event.
pub fn synchronises(kind: EventKind) -> bool {
    ROLES[kind as usize] != 0
}

/// Whether others may take what the event publishes.
pub fn releases(event: &Event) -> bool {
    ROLES[event.kind as usize] & FROM != 0 && order_of(event).is_none_or(MemoryOrder::releases)
}

/// Whether the event takes what others published. The program's own start takes from nobody.
pub fn acquires(at: EventRef, event: &Event) -> bool {
    let is_root = event.kind == EventKind::Start && u64::from(at.thread.as_u32()) == event.value;
    !is_root
        && ROLES[event.kind as usize] & TO != 0
        && order_of(event).is_none_or(MemoryOrder::acquires)
}

/// The memory order of an atomic operation or a fence.
pub fn order_of(event: &Event) -> Option<MemoryOrder> {
    (ROLES[event.kind as usize] & ATOMIC != 0).then(|| MemoryOrder::from_detail(event.detail))
}

#[cfg(test)]
mod tests;

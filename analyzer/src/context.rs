//! What surrounds an access: where its thread came from, what it held, what it synchronised last.
//!
//! One walk in merged order, without clocks, answers the questions about all accesses that a report
//! shows, and feeds the heap on the way. It keeps a few dozen bytes a thread and, of the heap, only
//! the blocks that hold an address in question.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use mmtrace_format::event::{BlockReason, MemoryOrder};
use mmtrace_format::{Address, Event, EventKind, StackId, StringId, ThreadId};

use crate::heap::LiveHeap;
use crate::order::{EventRef, MergeSink, OrderGap};
use crate::rules::{RULES, Rule};

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

/// Where a thread came from, and where it got to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// Its name; the empty string if it has none.
    pub name: StringId,
    /// The spawn that started it, and where that is in the program.
    pub started: Option<(EventRef, StackId)>,
    /// Its last event, if that is one of beginning to wait.
    blocked: Option<Box<SyncEvent>>,
    test: Option<StringId>,
}

/// The walk.
#[derive(Debug)]
pub struct Context<'t> {
    /// All threads, ascending: places here are dense numbers.
    threads: &'t [ThreadId],
    heap: LiveHeap,
    has_heap: bool,
    lives: Vec<Life>,
    questions: Vec<Question>,
    answers: Vec<Surroundings>,
    /// The questions about each thread.
    pending: HashMap<usize, Pending>,
    /// The addresses in question, ascending, and the blocks that hold them at the moment.
    blocks: Vec<(u64, Option<Block>)>,
    tests_over: HashSet<StringId>,
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
}

impl<'t> Context<'t> {
    /// A walk over a log of these threads, ascending, that answers these questions.
    pub fn new(threads: &'t [ThreadId], questions: Vec<Question>, heap: LiveHeap) -> Self {
        let mut pending: HashMap<usize, Pending> = HashMap::new();
        for (index, question) in questions.iter().enumerate() {
            if let Ok(dense) = threads.binary_search(&question.event.thread) {
                pending.entry(dense).or_default().questions.push(index);
            }
        }
        for thread in pending.values_mut() {
            thread.questions.sort_by_key(|&index| questions[index].event.index);
        }
        let mut blocks: Vec<(u64, Option<Block>)> =
            questions.iter().map(|question| (question.address.0, None)).collect();
        blocks.sort_unstable_by_key(|&(address, _)| address);
        blocks.dedup_by_key(|&mut (address, _)| address);
        Self {
            threads,
            heap,
            has_heap: false,
            lives: vec![Life::default(); threads.len()],
            answers: vec![Surroundings::default(); questions.len()],
            questions,
            pending,
            blocks,
            tests_over: HashSet::new(),
            position: 0,
        }
    }

    /// The answers, in the order of the questions.
    pub fn answers(&self) -> &[Surroundings] {
        &self.answers
    }

    /// What is known of a thread.
    pub fn life(&self, thread: ThreadId) -> Option<&Life> {
        self.lives.get(self.dense(thread)?)
    }

    /// The threads whose last event says that they wait, ascending.
    pub fn blocked(&self) -> Vec<SyncEvent> {
        self.lives.iter().filter_map(|life| life.blocked.as_deref().copied()).collect()
    }

    /// The heap at the end, if the log has anything about it.
    pub fn into_heap(self) -> Option<LiveHeap> {
        self.has_heap.then_some(self.heap)
    }

    fn dense(&self, thread: ThreadId) -> Option<usize> {
        match self.threads.get(thread.index()) {
            Some(&found) if found == thread => Some(thread.index()),
            _ => self.threads.binary_search(&thread).ok(),
        }
    }

    /// Notes what is known when the thread reaches its questions before `end`.
    fn reach(&mut self, dense: usize, end: u64) {
        let Some(pending) = self.pending.get_mut(&dense) else { return };
        let test = self.lives[dense].test;
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
                test,
                test_over: test.is_some_and(|test| self.tests_over.contains(&test)),
                ..Surroundings::default()
            };
        }
    }

    /// Tells the thread's questions, those behind it and those to come, of an event.
    fn tell(&mut self, dense: usize, sync: &SyncEvent) {
        let Some(pending) = self.pending.get_mut(&dense) else { return };
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
        if acquires(&sync.event) {
            pending.acquire = Some(*sync);
        }
        pending.hold(&sync.event);
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

    /// Follows the thread's life.
    fn live(&mut self, dense: usize, sync: &SyncEvent) {
        let event = &sync.event;
        let life = &mut self.lives[dense];
        // Whatever a thread does next, it is not waiting any more.
        life.blocked = (event.kind == EventKind::Block).then(|| Box::new(*sync));
        match event.kind {
            EventKind::Name => life.name = StringId::new(low_32(event.value)),
            EventKind::TestStart => life.test = Some(StringId::new(low_32(event.value))),
            EventKind::TestEnd => {
                self.tests_over.insert(StringId::new(low_32(event.value)));
            }
            EventKind::Spawn => {
                let test = life.test;
                if let Some(child) = self.dense(ThreadId::new(low_32(event.value))) {
                    let child = &mut self.lives[child];
                    child.started = Some((sync.at, event.stack));
                    child.test = test;
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
            EventKind::Alloc | EventKind::Free => {
                self.has_heap = true;
                self.follow_blocks(at.thread, event);
            }
            _ => {
                self.tell(dense, &sync);
                self.live(dense, &sync);
            }
        }
        self.heap.event(event);
    }

    fn accesses(&mut self, dense: usize, first: EventRef, _: usize, _: u32, count: u32) {
        self.reach(dense, first.index + u64::from(count));
    }

    fn thread_done(&mut self, dense: usize) {
        self.reach(dense, u64::MAX);
    }

    fn gap(&mut self, _gap: &OrderGap) {}
}

fn low_32(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
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

/// Whether the event takes what others published.
pub fn acquires(event: &Event) -> bool {
    ROLES[event.kind as usize] & TO != 0 && order_of(event).is_none_or(MemoryOrder::acquires)
}

/// The memory order of an atomic operation or a fence.
pub fn order_of(event: &Event) -> Option<MemoryOrder> {
    (ROLES[event.kind as usize] & ATOMIC != 0).then(|| MemoryOrder::from_detail(event.detail))
}

/// What a blocked thread waits for, in words.
pub fn reason(event: &Event) -> &'static str {
    BlockReason::from_detail(event.detail).name()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::Limits;

    const THREADS: [ThreadId; 3] = [ThreadId::new(0), ThreadId::new(1), ThreadId::new(2)];

    fn at(thread: u32, index: u64) -> EventRef {
        EventRef { thread: ThreadId::new(thread), index }
    }

    fn event(kind: EventKind, object: u64, value: u64) -> Event {
        Event { object, value, ..Event::new(kind) }
    }

    /// Runs a merged order of events; places in a thread that no event has are accesses.
    fn walk(questions: &[(EventRef, u64)], order: &[(EventRef, Event)]) -> Context<'static> {
        let question =
            |&(event, address): &(EventRef, u64)| Question { event, address: Address(address) };
        let questions = questions.iter().map(question).collect();
        let mut context = Context::new(&THREADS, questions, LiveHeap::new(Limits::default()));
        for (at, event) in order {
            context.event(at.thread.index(), *at, event);
        }
        for thread in 0..THREADS.len() {
            context.reach(thread, u64::MAX);
        }
        context
    }

    #[test]
    fn an_access_knows_the_locks_around_it_and_what_came_before_and_after() {
        let context = walk(
            &[(at(1, 2), 0x8000)],
            &[
                (at(1, 0), event(EventKind::Start, 0, 0)),
                (at(1, 1), event(EventKind::MutexLock, 0x10, 0)),
                (at(1, 3), event(EventKind::MutexLock, 0x20, 0)),
                (at(1, 4), event(EventKind::MutexUnlock, 0x20, 0)),
                (at(1, 5), event(EventKind::MutexUnlock, 0x10, 0)),
            ],
        );
        let around = &context.answers()[0];
        assert_eq!(around.locks.iter().map(|l| l.object.0).collect::<Vec<_>>(), [0x10]);
        assert_eq!(around.before.unwrap().at, at(1, 1));
        assert_eq!(around.acquire_before.unwrap().at, at(1, 1));
        assert_eq!(around.after.unwrap().at, at(1, 3));
        assert_eq!(around.release_after.unwrap().at, at(1, 4));
    }

    #[test]
    fn a_relaxed_store_synchronises_nothing_but_is_seen() {
        let relaxed = event(EventKind::AtomicStore, 0x10, 1);
        let release = Event { detail: 2, ..relaxed };
        let context = walk(&[(at(1, 0), 1)], &[(at(1, 1), relaxed), (at(1, 3), release)]);
        let around = &context.answers()[0];
        assert_eq!(around.after.unwrap().at, at(1, 1));
        assert_eq!(around.release_after.unwrap().at, at(1, 3));
    }

    #[test]
    fn the_block_is_the_one_that_was_live_at_the_access() {
        let context = walk(
            &[(at(1, 1), 0x108), (at(1, 5), 0x108), (at(1, 7), 0x108)],
            &[
                (at(0, 0), event(EventKind::Alloc, 0x100, 16)),
                (at(1, 0), event(EventKind::Start, 0, 0)),
                (at(1, 3), event(EventKind::Free, 0x100, 0)),
                (at(1, 4), event(EventKind::Alloc, 0x108, 8)),
                (at(1, 6), event(EventKind::Free, 0x108, 0)),
                (at(1, 8), event(EventKind::End, 0, 0)),
            ],
        );
        let blocks: Vec<_> =
            context.answers().iter().map(|a| a.block.map(|b| (b.address.0, b.thread))).collect();
        assert_eq!(blocks, [Some((0x100, THREADS[0])), Some((0x108, THREADS[1])), None]);
    }

    #[test]
    fn a_thread_left_behind_by_a_test_belongs_to_that_test() {
        let test = |kind, name| event(kind, 0, name);
        let context = walk(
            &[(at(1, 1), 1), (at(0, 4), 1)],
            &[
                (at(0, 0), test(EventKind::TestStart, 7)),
                (at(0, 1), event(EventKind::Spawn, 0, 1)),
                (at(1, 0), event(EventKind::Start, 0, 0)),
                (at(0, 2), test(EventKind::TestEnd, 7)),
                (at(0, 3), test(EventKind::TestStart, 8)),
            ],
        );
        let tests: Vec<_> = context.answers().iter().map(|a| (a.test, a.test_over)).collect();
        let name = |number| Some(StringId::new(number));
        assert_eq!(tests, [(name(7), true), (name(8), false)]);
        assert_eq!(context.life(THREADS[1]).unwrap().started.unwrap().0, at(0, 1));
    }

    #[test]
    fn who_waits_at_the_end_is_known() {
        let context = walk(
            &[],
            &[
                (at(1, 0), event(EventKind::Block, 0x10, 0)),
                (at(2, 0), event(EventKind::Block, 0x10, 0)),
                (at(1, 1), event(EventKind::MutexLock, 0x10, 0)),
            ],
        );
        assert_eq!(context.blocked().iter().map(|b| b.at).collect::<Vec<_>>(), [at(2, 0)]);
    }
}

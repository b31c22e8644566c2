//! The merge: a topological sort of all events by the numbers they carry.

mod streams;
mod stripes;
mod sync_cache;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use mmtrace_format::{Event, EventKind, ThreadId, Timestamp, stripe_of};

use super::{EventRef, FragmentSpan, GapCause, OrderGap, Trace};
use streams::Streams;
use stripes::Stripes;
use sync_cache::SyncCache;

/// How many events a thread runs, on average, before the others get their turn.
const ABREAST_EVENTS: u64 = 32;

/// Takes what the merge gives, in merged order.
pub trait MergeSink {
    /// The next event, of the thread with the dense number `dense`. `Switch` events are not given.
    fn event(&mut self, dense: usize, at: EventRef, event: &Event);

    /// `count` accesses of a thread before its next event, in `chunk`'s access lane from `offset`.
    fn accesses(&mut self, dense: usize, first: EventRef, chunk: usize, offset: u32, count: u32);

    /// The thread has nothing more to give.
    fn thread_done(&mut self, dense: usize);

    /// The order was not known here.
    fn gap(&mut self, gap: &OrderGap);

    /// Whether the merge should pause.
    fn is_full(&self) -> bool {
        false
    }
}

/// Nobody.
impl MergeSink for () {
    fn event(&mut self, _: usize, _: EventRef, _: &Event) {}
    fn accesses(&mut self, _: usize, _: EventRef, _: usize, _: u32, _: u32) {}
    fn thread_done(&mut self, _: usize) {}
    fn gap(&mut self, _: &OrderGap) {}
}

/// One walk for two.
impl<A: MergeSink, B: MergeSink> MergeSink for (&mut A, &mut B) {
    fn event(&mut self, dense: usize, at: EventRef, event: &Event) {
        self.0.event(dense, at, event);
        self.1.event(dense, at, event);
    }

    fn accesses(&mut self, dense: usize, first: EventRef, chunk: usize, offset: u32, count: u32) {
        self.0.accesses(dense, first, chunk, offset, count);
        self.1.accesses(dense, first, chunk, offset, count);
    }

    fn thread_done(&mut self, dense: usize) {
        self.0.thread_done(dense);
        self.1.thread_done(dense);
    }

    fn gap(&mut self, gap: &OrderGap) {
        self.0.gap(gap);
        self.1.gap(gap);
    }

    fn is_full(&self) -> bool {
        self.0.is_full() || self.1.is_full()
    }
}

/// Whether a merge has more to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merged {
    /// The sink was full.
    Paused,
    /// Everything was given.
    All,
}

/// Where a thread is.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    /// Its place among the thread's fragments.
    fragment: u32,
    /// The next event in the chunk's sync lane.
    event: u32,
    /// The next access in the chunk's access lane.
    access: u32,
    /// Program order index of whatever comes next.
    index: u64,
    phase: Phase,
    /// The next event goes even if it is not next.
    forced: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Can run, or is running.
    #[default]
    Ready,
    /// Waits for a number.
    WaitingNumber,
    /// Waits for the fragment before its own in the stream.
    WaitingStream,
    /// Waits for its spawn.
    WaitingSpawn,
    /// Waits for another thread's end.
    WaitingEnd,
    Ended,
}

impl Phase {
    fn is_waiting(self) -> bool {
        !matches!(self, Self::Ready | Self::Ended)
    }
}

/// What a thread's next event waits for, if it cannot go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Wait {
    Number { stripe: usize, sequence: u64 },
    Spawned,
    Ended { child: usize },
}

/// The state of a merge: it can be paused between any two events.
#[derive(Debug)]
pub struct Merge<'t> {
    trace: &'t Trace<'t>,
    cursors: Vec<Cursor>,
    /// Has the spawn of this thread been seen?
    spawned: Vec<bool>,
    /// Who waits for this thread's end.
    joiners: HashMap<usize, Vec<usize>>,
    stripes: Stripes,
    streams: Streams,
    lanes: SyncCache<'t>,
    ready: VecDeque<usize>,
    /// Threads whose next event lies beyond the horizon, by its time.
    ahead: BinaryHeap<Reverse<(u64, usize)>>,
    horizon_ns: u64,
    horizon_step_ns: u64,
    /// Once numbers were found missing: all waiting threads, by the time of their events.
    stuck: Option<BinaryHeap<Reverse<(u64, usize)>>>,
    unfinished: usize,
    /// Whether the damage that the trace knows of has been reported.
    begun: bool,
}

impl<'t> Merge<'t> {
    /// A merge at its beginning.
    pub fn new(trace: &'t Trace<'t>) -> Self {
        let count = trace.threads().len();
        let mut cursors = vec![Cursor::default(); count];
        for (dense, cursor) in cursors.iter_mut().enumerate() {
            if let Some(first) = trace.fragments(dense).first() {
                (cursor.event, cursor.access) = (first.event_start, first.access_start);
            }
        }
        let totals = trace.totals();
        let rounds = totals.events / (ABREAST_EVENTS * count.max(1) as u64) + 1;
        Self {
            trace,
            cursors,
            spawned: vec![false; count],
            joiners: HashMap::new(),
            stripes: Stripes::new(),
            streams: Streams::new(trace.fragment_count()),
            lanes: SyncCache::new(trace),
            ready: (0..count).collect(),
            ahead: BinaryHeap::new(),
            horizon_ns: 0,
            horizon_step_ns: (totals.duration_ns / rounds).max(1),
            stuck: None,
            unfinished: count,
            begun: false,
        }
    }

    /// Gives `sink` what comes next, until it is full or nothing is left.
    pub fn run(&mut self, sink: &mut impl MergeSink) -> Merged {
        if !std::mem::replace(&mut self.begun, true) {
            for &chunk in self.trace.damaged_chunks() {
                let at = EventRef { thread: ThreadId::MAIN, index: 0 };
                let cause = GapCause::LostChunk { chunk };
                sink.gap(&OrderGap { at, time: Timestamp::from_ns(0), cause });
            }
        }
        loop {
            while let Some(dense) = self.ready.pop_front() {
                if self.run_thread(dense, sink) == Merged::Paused {
                    self.ready.push_front(dense);
                    return Merged::Paused;
                }
            }
            if self.unfinished == 0 {
                return Merged::All;
            }
            if !self.move_horizon() {
                self.force_one();
            }
        }
    }

    /// Lets the threads go on that are nearest ahead. Says whether there are any.
    fn move_horizon(&mut self) -> bool {
        let Some(&Reverse((first_ns, _))) = self.ahead.peek() else { return false };
        self.horizon_ns = first_ns.saturating_add(self.horizon_step_ns);
        while let Some(&Reverse((time_ns, dense))) = self.ahead.peek() {
            if time_ns > self.horizon_ns {
                break;
            }
            self.ahead.pop();
            self.ready.push_back(dense);
        }
        true
    }

    /// Everybody waits: a number is missing. The earliest event goes without it.
    fn force_one(&mut self) {
        let cursors = &self.cursors;
        let lanes = &self.lanes;
        let trace = self.trace;
        let stuck = self.stuck.get_or_insert_with(|| {
            let waiting = (0..cursors.len()).filter(|&d| cursors[d].phase.is_waiting());
            waiting.map(|d| Reverse((next_time(trace, lanes, d, &cursors[d]), d))).collect()
        });
        while let Some(Reverse((_, dense))) = stuck.pop() {
            let cursor = &mut self.cursors[dense];
            if cursor.phase.is_waiting() {
                cursor.phase = Phase::Ready;
                cursor.forced = true;
                self.ready.push_back(dense);
                return;
            }
        }
        unreachable!("a thread that is unfinished is ready, ahead or waiting");
    }

    /// Runs one thread until its next event cannot go, lies beyond the horizon, or does not exist.
    fn run_thread(&mut self, dense: usize, sink: &mut impl MergeSink) -> Merged {
        let thread = self.trace.threads()[dense];
        let spans = self.trace.fragments(dense);
        let mut cursor = self.cursors[dense];
        let mut outcome = Merged::All;
        'fragments: while let Some(span) = spans.get(cursor.fragment as usize) {
            let is_new = (cursor.event, cursor.access) == (span.event_start, span.access_start);
            if is_new && !self.streams.lets_begin(span) {
                if !std::mem::take(&mut cursor.forced) {
                    cursor.phase = self.wait_for_stream(dense, span, &cursor);
                    break;
                }
                self.streams.give_up(span);
            }
            let chunk = span.chunk as usize;
            let Some(lane) = self.lanes.take(chunk) else {
                let lost = span.event_end - cursor.event + span.access_end - cursor.access;
                cursor.index += u64::from(lost);
                let at = EventRef { thread, index: cursor.index };
                let cause = GapCause::LostChunk { chunk };
                sink.gap(&OrderGap { at, time: Timestamp::from_ns(0), cause });
                self.next_fragment(dense, &mut cursor, spans);
                continue;
            };
            while cursor.event < span.event_end {
                let place = cursor.event as usize;
                let event = &lane.events[place];
                let access_end = lane.access_ends[place].min(span.access_end);
                give_accesses(&mut cursor, dense, thread, chunk, access_end, sink);
                if sink.is_full() {
                    outcome = Merged::Paused;
                    self.lanes.put_back(chunk, lane);
                    break 'fragments;
                }
                let time_ns = event.time.ns;
                if time_ns > self.horizon_ns && !cursor.forced {
                    self.ahead.push(Reverse((time_ns, dense)));
                    self.lanes.put_back(chunk, lane);
                    break 'fragments;
                }
                let at = EventRef { thread, index: cursor.index };
                if let Some(wait) = self.blocker(dense, at, event) {
                    if cursor.forced {
                        self.give_up(wait, at, event, sink);
                    } else {
                        cursor.phase = self.wait(dense, wait, time_ns);
                        self.lanes.put_back(chunk, lane);
                        break 'fragments;
                    }
                }
                cursor.forced = false;
                self.pass(at, event, sink);
                cursor.event += 1;
                if event.kind != EventKind::Switch {
                    sink.event(dense, at, event);
                    cursor.index += 1;
                }
            }
            give_accesses(&mut cursor, dense, thread, chunk, span.access_end, sink);
            self.lanes.put_back(chunk, lane);
            self.next_fragment(dense, &mut cursor, spans);
        }
        if cursor.fragment as usize == spans.len() {
            sink.thread_done(dense);
            self.end(dense);
            cursor.phase = Phase::Ended;
        }
        self.cursors[dense] = cursor;
        outcome
    }

    fn next_fragment(&mut self, dense: usize, cursor: &mut Cursor, spans: &[FragmentSpan]) {
        self.lanes.done(spans[cursor.fragment as usize].chunk as usize);
        let place = self.trace.first_fragment(dense) + cursor.fragment as usize;
        if let Some(waiter) = self.streams.end(place)
            && self.cursors[waiter].phase == Phase::WaitingStream
        {
            self.wake(waiter);
        }
        cursor.fragment += 1;
        if let Some(next) = spans.get(cursor.fragment as usize) {
            (cursor.event, cursor.access) = (next.event_start, next.access_start);
        }
    }

    /// What the event has to wait for.
    #[inline]
    fn blocker(&self, dense: usize, at: EventRef, event: &Event) -> Option<Wait> {
        if event.sequence != 0 {
            let stripe = stripe_of(event.object);
            // A smaller number is late; it cannot get any earlier by waiting.
            let must_wait = event.sequence > self.stripes.next(stripe);
            return must_wait.then_some(Wait::Number { stripe, sequence: event.sequence });
        }
        match event.kind {
            EventKind::Start if !self.spawned[dense] && !is_root(at, event) => Some(Wait::Spawned),
            EventKind::Join => {
                let child = self.child(event)?;
                (self.cursors[child].phase != Phase::Ended).then_some(Wait::Ended { child })
            }
            _ => None,
        }
    }

    fn child(&self, event: &Event) -> Option<usize> {
        self.trace.dense(ThreadId::new(u32::try_from(event.value).ok()?))
    }

    fn wait(&mut self, dense: usize, wait: Wait, time_ns: u64) -> Phase {
        if let Some(stuck) = &mut self.stuck {
            stuck.push(Reverse((time_ns, dense)));
        }
        match wait {
            Wait::Number { stripe, sequence } => {
                self.stripes.wait(dense, stripe, sequence);
                Phase::WaitingNumber
            }
            Wait::Spawned => Phase::WaitingSpawn,
            Wait::Ended { child } => {
                self.joiners.entry(child).or_default().push(dense);
                Phase::WaitingEnd
            }
        }
    }

    fn wait_for_stream(&mut self, dense: usize, span: &FragmentSpan, cursor: &Cursor) -> Phase {
        self.streams.wait(dense, span);
        if let Some(stuck) = &mut self.stuck {
            let time_ns = next_time(self.trace, &self.lanes, dense, cursor);
            stuck.push(Reverse((time_ns, dense)));
        }
        Phase::WaitingStream
    }

    /// The event goes without what it waited for.
    fn give_up(&mut self, wait: Wait, at: EventRef, event: &Event, sink: &mut impl MergeSink) {
        let cause = match wait {
            Wait::Number { stripe, sequence } => {
                let count = sequence - self.stripes.next(stripe);
                self.stripes.skip_to(stripe, sequence);
                GapCause::MissingNumbers { stripe, count }
            }
            Wait::Spawned => GapCause::MissingSpawn,
            Wait::Ended { .. } => GapCause::MissingEnd,
        };
        sink.gap(&OrderGap { at, time: event.time, cause });
    }

    /// Marks the event as done and wakes whoever waited for that.
    #[inline]
    fn pass(&mut self, at: EventRef, event: &Event, sink: &mut impl MergeSink) {
        if event.sequence != 0 {
            let stripe = stripe_of(event.object);
            if event.sequence < self.stripes.next(stripe) {
                let cause = GapCause::LateNumber { stripe, sequence: event.sequence };
                sink.gap(&OrderGap { at, time: event.time, cause });
            } else if let Some(waiter) = self.stripes.pass(stripe)
                && self.cursors[waiter].phase == Phase::WaitingNumber
            {
                self.wake(waiter);
            }
        } else if event.kind == EventKind::Spawn
            && let Some(child) = self.child(event)
        {
            self.spawned[child] = true;
            if self.cursors[child].phase == Phase::WaitingSpawn {
                self.wake(child);
            }
        }
    }

    fn wake(&mut self, dense: usize) {
        self.cursors[dense].phase = Phase::Ready;
        self.ready.push_back(dense);
    }

    fn end(&mut self, dense: usize) {
        self.unfinished -= 1;
        for joiner in self.joiners.remove(&dense).unwrap_or_default() {
            if self.cursors[joiner].phase == Phase::WaitingEnd {
                self.wake(joiner);
            }
        }
    }
}

/// Whether a thread that starts here was spawned by nobody: the first one, or a foreign one, which
/// is its own parent.
fn is_root(at: EventRef, start: &Event) -> bool {
    at.thread == ThreadId::MAIN || start.value == u64::from(at.thread.as_u32())
}

fn give_accesses(
    cursor: &mut Cursor,
    dense: usize,
    thread: ThreadId,
    chunk: usize,
    end: u32,
    sink: &mut impl MergeSink,
) {
    if cursor.access < end {
        let count = end - cursor.access;
        let first = EventRef { thread, index: cursor.index };
        sink.accesses(dense, first, chunk, cursor.access, count);
        cursor.index += u64::from(count);
        cursor.access = end;
    }
}

/// The time of the event that a waiting thread waits with.
fn next_time(trace: &Trace<'_>, lanes: &SyncCache<'_>, dense: usize, cursor: &Cursor) -> u64 {
    let span = trace.fragments(dense)[cursor.fragment as usize];
    lanes
        .peek(span.chunk as usize)
        .map_or(0, |lane| lane.events.get(cursor.event as usize).map_or(0, |event| event.time.ns))
}

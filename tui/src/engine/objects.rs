//! Objects and addresses at a moment: who holds a lock, what lies in a channel, who wrote last.
//!
//! The log is read backwards from the moment, newest chunks first, until nothing older can change
//! the answer or [`CHUNKS_MAX`] chunks were read: then the answer says so.

use std::collections::BTreeMap;

use mmtrace_format::event::EventGroup;
use mmtrace_format::{Access, Event, EventKind, Log, ThreadId};
use rayon::prelude::*;

use super::moment::decode;
use super::{Engine, Moment, duration, time};
use crate::index::{Index, State};

/// Chunks that are read for one question.
pub const CHUNKS_MAX: usize = 2048;

/// Chunks that are read at one time.
const CHUNKS_AT_ONCE: usize = 8;

/// What an object is at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectState {
    /// What kind of object its events say it is.
    pub group: Option<EventGroup>,
    /// Who holds it, if it is a lock: thread, when it was taken, and whether for reading.
    pub holders: Vec<(ThreadId, u64, bool)>,
    /// Values in it, if it is a channel.
    pub occupancy: Option<u64>,
    /// Room in it, if it is a channel and its making was found.
    pub capacity: Option<u64>,
    /// Whether it is a closed channel.
    pub is_closed: bool,
    /// The last events on it, the latest first.
    pub last_events: Vec<(ThreadId, Event)>,
    /// The lanes that wait for it.
    pub waiters: Vec<(ThreadId, State, u64)>,
    /// The last write of the address.
    pub last_write: Option<AccessAt>,
    /// The reads of the address since then, one a thread, the latest first.
    pub last_reads: Vec<AccessAt>,
    /// Whether older parts of the log were not looked at, and may say more.
    pub is_partial: bool,
}

/// An access, and when it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessAt {
    /// Who.
    pub thread: ThreadId,
    /// When.
    pub time_ns: u64,
    /// Its place in the thread's program order.
    pub index: u64,
    /// What.
    pub access: Access,
}

/// What a chunk says about an address.
#[derive(Default)]
struct Found {
    events: Vec<(ThreadId, Event)>,
    blocks: Vec<(ThreadId, Event)>,
    accesses: Vec<(u64, u32, u32, AccessAt)>,
}

/// Events of one object that are shown.
const EVENTS_SHOWN: usize = 8;

impl Engine<'_> {
    /// What an object or address is at a moment. Accesses are looked for if `with_accesses`.
    pub fn object_at(&mut self, address: u64, time_ns: u64, with_accesses: bool) -> ObjectState {
        let mut chunks: Vec<usize> = (0..self.log.chunks().len())
            .filter(|&chunk| self.log.chunks()[chunk].header.first_time.ns <= time_ns)
            .collect();
        chunks.sort_unstable_by_key(|&chunk| {
            std::cmp::Reverse(self.log.chunks()[chunk].header.last_time.ns)
        });
        let mut state = ObjectState::default();
        let mut history = History { with_accesses, ..History::default() };
        for (number, batch) in chunks.chunks(CHUNKS_AT_ONCE).enumerate() {
            if number * CHUNKS_AT_ONCE >= CHUNKS_MAX {
                state.is_partial = true;
                break;
            }
            let newest = self.log.chunks()[batch[0]].header.last_time.ns;
            if history.is_settled(newest) {
                break;
            }
            let (log, index) = (self.log, &*self.index);
            let look = Look { log, index, address, until_ns: time_ns, with_accesses };
            let found: Vec<Found> = batch.par_iter().map(|&chunk| look.chunk(chunk)).collect();
            for found in found {
                history.events.extend(found.events);
                history.accesses.extend(found.accesses);
            }
        }
        history.answer(&mut state);
        self.add_waiters(address, time_ns, &mut state);
        state
    }

    fn add_waiters(&mut self, address: u64, time_ns: u64, state: &mut ObjectState) {
        let index = std::sync::Arc::clone(&self.index);
        // Lanes that wait at all are told by the index; what for, by their last event.
        let mut budget = 2_000;
        for lane in 0..index.lane_count() {
            let facts = index.lane(lane);
            if !index.state_at(&facts, time_ns).is_waiting() {
                continue;
            }
            if budget == 0 {
                state.is_partial = true;
                return;
            }
            budget -= 1;
            if let Some((_, event)) = self.event_at(lane, time_ns)
                && event.kind == EventKind::Block
                && event.object == address
            {
                let waits = super::super::index::scan::state_after(&event);
                state.waiters.push((facts.thread, waits, event.time.ns));
            }
        }
    }

    /// An object's state as lines. `asking` knows of itself that it waits.
    pub fn object_lines(
        &mut self,
        address: u64,
        time_ns: u64,
        with_accesses: bool,
        asking: Option<ThreadId>,
    ) -> Vec<String> {
        let state = self.object_at(address, time_ns, with_accesses);
        let mut lines = Vec::new();
        let ago = |then: u64| format!("{} ago", duration(time_ns.saturating_sub(then)));
        if let Some(occupancy) = state.occupancy {
            let room = match state.capacity {
                Some(u64::MAX) => " of any number".to_owned(),
                Some(capacity) => format!(" of {capacity}"),
                None => String::new(),
            };
            let closed = if state.is_closed { ", closed" } else { "" };
            lines.push(format!("channel with {occupancy}{room} values{closed}"));
        }
        for &(thread, since, is_read) in &state.holders {
            let how = if is_read { "held for reading by" } else { "held by" };
            lines.push(format!("{how} {}, taken {}", self.lane_name(thread), ago(since)));
        }
        if state.group == Some(EventGroup::Lock) && state.holders.is_empty() {
            lines.push("held by nobody".to_owned());
        }
        for &(thread, waits, since) in &state.waiters {
            if Some(thread) == asking {
                continue;
            }
            let who = self.lane_name(thread);
            lines.push(format!("{who} waits for it ({}), since {}", waits.spec().name, ago(since)));
        }
        if let Some(write) = state.last_write {
            lines.push(self.access_line("last written by", &write, &ago(write.time_ns)));
            lines
                .extend(self.stack_lines(write.access.stack).into_iter().map(|l| format!("  {l}")));
        }
        for read in &state.last_reads {
            lines.push(self.access_line("read since by", read, &ago(read.time_ns)));
        }
        if !state.last_events.is_empty() {
            lines.push("last events on it".to_owned());
        }
        for (thread, event) in &state.last_events {
            let who = self.lane_name(*thread);
            let site = self.names.site(event.stack).unwrap_or_default();
            lines.push(format!("  {} {} {who}  {site}", time(event.time.ns), event.kind.name()));
        }
        if lines.is_empty() {
            lines.push("nothing in the log is about it, before this moment".to_owned());
        }
        if state.is_partial {
            lines.push(format!("only the newest {CHUNKS_MAX} chunks were read"));
        }
        lines
    }

    fn access_line(&self, how: &str, it: &AccessAt, ago: &str) -> String {
        let who = self.lane_name(it.thread);
        let (kind, size) = (it.access.kind.name(), it.access.size);
        format!("{how} {who}: {kind} of {size} bytes, {ago}")
    }

    /// The moment of an access.
    pub fn moment_of_access(&self, it: &AccessAt) -> Option<Moment> {
        let lane = self.index.lane_of(it.thread)?;
        Some(Moment { lane, index: it.index, time_ns: it.time_ns })
    }
}

/// Looks for an address in chunks.
struct Look<'a> {
    log: &'a Log,
    index: &'a Index,
    address: u64,
    until_ns: u64,
    with_accesses: bool,
}

impl Look<'_> {
    fn chunk(&self, chunk: usize) -> Found {
        let Self { address, until_ns, with_accesses, .. } = *self;
        let mut found = Found::default();
        let Some(decoded) = decode(self.log, chunk) else { return found };
        let entry = &self.log.chunks()[chunk];
        // There are fewer than 2^32 chunks.
        let number = chunk as u32;
        let accesses = if with_accesses { decoded.accesses(self.log, number) } else { &[] };
        let touches = |access: &Access| {
            let start = access.address.0;
            access.kind.touches_memory() && start <= address && address - start < access.size.max(1)
        };
        let wanted = accesses.iter().any(touches);
        for (place, fragment) in (0..).zip(&entry.header.fragments) {
            let (events, _) = entry.fragment_extent(place as usize);
            let events = events.start as usize..events.end as usize;
            for event in decoded.sync.events.get(events).unwrap_or_default() {
                if event.object == address && event.time.ns <= until_ns {
                    let on = if event.kind == EventKind::Block {
                        &mut found.blocks
                    } else {
                        &mut found.events
                    };
                    on.push((fragment.thread, *event));
                }
            }
            if !wanted {
                continue;
            }
            let base = self.first_index(fragment.thread, number, place);
            decoded.each(self.log, number, place, |at, record| {
                let super::Record::Accesses { count, time_ns, first } = record else { return };
                if time_ns > until_ns {
                    return;
                }
                let run = accesses.get(first as usize..(first + count) as usize);
                for (nth, access) in (0..).zip(run.unwrap_or_default()) {
                    if touches(access) {
                        let thread = fragment.thread;
                        let index = base + at + nth;
                        let it = AccessAt { thread, time_ns, index, access: *access };
                        found.accesses.push((time_ns, number, place, it));
                    }
                }
            });
        }
        found
    }

    /// The place in program order of the first record of a fragment.
    fn first_index(&self, thread: ThreadId, chunk: u32, place: u32) -> u64 {
        let lane = self.index.lane_of(thread).map(|lane| self.index.lane(lane));
        lane.and_then(|lane| self.index.first_index_of(&lane, chunk, place)).unwrap_or(0)
    }
}

/// What was found so far.
#[derive(Default)]
struct History {
    with_accesses: bool,
    events: Vec<(ThreadId, Event)>,
    accesses: Vec<(u64, u32, u32, AccessAt)>,
}

impl History {
    /// Whether nothing at or before `newest_ns` can change the answer.
    fn is_settled(&self, newest_ns: u64) -> bool {
        use EventKind as Kind;

        let after = |event: &Event| event.time.ns > newest_ns;
        let has = |kinds: &[EventKind]| {
            self.events.iter().any(|(_, event)| kinds.contains(&event.kind) && after(event))
        };
        let lock = has(&[Kind::MutexLock, Kind::MutexUnlock, Kind::WriteLock, Kind::WriteUnlock]);
        let is_channel =
            self.events.iter().any(|(_, event)| event.kind.spec().group == EventGroup::Channel);
        let events = lock
            || (is_channel
                // Nothing is sent after a close: an older one cannot be missed.
                && (has(&[Kind::ChanMake]) || (has(&[Kind::ChanSend]) && has(&[Kind::ChanRecv]))));
        let written = self
            .accesses
            .iter()
            .any(|(time_ns, .., it)| it.access.kind.is_write() && *time_ns > newest_ns);
        if self.with_accesses { written && (self.events.is_empty() || events) } else { events }
    }

    fn answer(mut self, state: &mut ObjectState) {
        self.events.sort_by_key(|(_, event)| (event.sequence, event.time));
        let mut readers: BTreeMap<ThreadId, (u64, u32)> = BTreeMap::new();
        let mut writer = None;
        let (mut sent, mut received) = (None, None);
        for &(thread, event) in &self.events {
            let group = event.kind.spec().group;
            if group != EventGroup::Memory {
                state.group = Some(group);
            }
            match event.kind {
                EventKind::MutexLock | EventKind::WriteLock => {
                    writer = Some((thread, event.time.ns, false));
                }
                EventKind::MutexUnlock | EventKind::WriteUnlock => writer = None,
                EventKind::ReadLock => {
                    readers.entry(thread).or_insert((event.time.ns, 0)).1 += 1;
                }
                EventKind::ReadUnlock => {
                    if let Some(held) = readers.get_mut(&thread) {
                        held.1 -= 1;
                        if held.1 == 0 {
                            readers.remove(&thread);
                        }
                    }
                }
                // Another channel may have been at this address before.
                EventKind::ChanMake => {
                    (sent, received, state.is_closed) = (None, None, false);
                    state.capacity = Some(event.value);
                }
                EventKind::ChanSend => sent = sent.max(Some(event.value + 1)),
                EventKind::ChanRecv => received = received.max(Some(event.value + 1)),
                EventKind::ChanClose => state.is_closed = true,
                _ => {}
            }
        }
        state.holders.extend(writer);
        state.holders.extend(readers.iter().map(|(&thread, &(since, _))| (thread, since, true)));
        if state.group == Some(EventGroup::Channel) {
            let in_it = sent.unwrap_or(0_u64).saturating_sub(received.unwrap_or(0));
            state.occupancy = Some(in_it);
        }
        state.last_events = self.events.iter().rev().take(EVENTS_SHOWN).copied().collect();
        // Times order accesses of different threads for people only; within one chunk, places do.
        self.accesses.sort_by_key(|&(time_ns, chunk, place, it)| (time_ns, chunk, place, it.index));
        for &(.., it) in self.accesses.iter().rev() {
            if it.access.kind.is_write() {
                state.last_write = Some(it);
                break;
            }
            if state.last_reads.iter().all(|read| read.thread != it.thread) {
                state.last_reads.push(it);
            }
        }
    }
}

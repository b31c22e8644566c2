//! Objects and addresses at a moment: who holds a lock, what lies in a channel, who wrote last.
//!
//! The log is read backwards from the moment, newest chunks first, until nothing older can change
//! the answer. Of the chunks, only those are read that the index says have the object. Accesses are
//! in no index: for an address, up to [`CHUNKS_MAX`] chunks are read, and the answer says if older
//! ones were not.

use std::collections::BTreeMap;
use std::sync::Arc;

use mmtrace_format::event::EventGroup;
use mmtrace_format::{Access, Event, EventKind, Log, ThreadId};
use rayon::prelude::*;

use super::moment::{decode, fragment_at};
use super::{Engine, Moment, duration, time};
use crate::index::{Detail, Index, LaneFragment, State};

/// Chunks whose accesses are read for one question.
pub const CHUNKS_MAX: usize = 2048;

/// Chunks whose accesses are read at one time.
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

/// Events of one object that are shown.
const EVENTS_SHOWN: usize = 8;

impl Engine<'_> {
    /// What an object or address is at a moment. Accesses are looked for if `with_accesses`, unless
    /// the events say that it is a lock or a channel: its words are its own business.
    pub fn object_at(&mut self, address: u64, time_ns: u64, with_accesses: bool) -> ObjectState {
        let mut state = ObjectState::default();
        let made = self.index.made(address, time_ns);
        let mut history = History { made, ..History::default() };
        self.read_events(address, time_ns, &mut history, &mut state);
        if with_accesses && !history.is_opaque() {
            let (log, index) = (self.log, &*self.index);
            let look = Look { log, index, address, until_ns: time_ns };
            look.accesses(&self.by_end, &mut history.accesses, &mut state.is_partial);
        }
        let may_be_held_for_longer = history.has_readers_only();
        history.answer(&mut state);
        if may_be_held_for_longer {
            state.holders = self.readers_of(address, time_ns);
        }
        self.add_waiters(address, time_ns, &mut state);
        state
    }

    /// Reads the events on an object, the newest first, until older ones change nothing.
    fn read_events(
        &mut self,
        address: u64,
        until_ns: u64,
        history: &mut History,
        state: &mut ObjectState,
    ) {
        let index = Arc::clone(&self.index);
        let knows_objects = index.detail() == Detail::States;
        let mut chunks = 0;
        for at in 0..self.by_end.len() {
            let chunk = self.by_end[at];
            let header = &self.log.chunks()[chunk as usize].header;
            if header.first_time.ns > until_ns
                || (knows_objects && !index.has_object(chunk as usize, address))
            {
                continue;
            }
            if history.settle(header.last_time.ns) {
                return;
            }
            // While the index is being made.
            if !knows_objects && chunks >= CHUNKS_MAX {
                state.is_partial = true;
                return;
            }
            chunks += 1;
            // The chunks around the cursor are those that its lane's questions decoded, too.
            let Some(decoded) = self.cache.get(self.log, chunk) else { continue };
            for (place, fragment) in decoded.header.fragments.iter().enumerate() {
                let (events, _) = decoded.header.fragment_extent(place);
                let events = decoded.sync.events.get(events.start as usize..events.end as usize);
                let wanted = events.unwrap_or_default().iter().filter(|event| {
                    event.object == address
                        && event.time.ns <= until_ns
                        && event.kind != EventKind::Block
                });
                history.events.extend(wanted.map(|event| (fragment.thread, *event)));
            }
        }
    }

    /// Who holds a lock for reading that nobody took for writing as far as the newest events tell:
    /// whoever held it when its present fragment began, or took it there.
    fn readers_of(&mut self, address: u64, time_ns: u64) -> Vec<(ThreadId, u64, bool)> {
        let index = Arc::clone(&self.index);
        let mut candidates = Vec::new();
        for lane in 0..index.lane_count() {
            let facts = index.lane(lane);
            let Some(number) = fragment_at(&index, &facts, time_ns) else { continue };
            let chunk = index.fragment(&facts, number).chunk;
            let held = index.holds_before(&facts, number);
            if index.has_object(chunk as usize, address)
                || held.iter().any(|hold| hold.object == address)
            {
                candidates.push((chunk, lane, facts.thread));
            }
        }
        // Those of one chunk together: it is decoded once.
        candidates.sort_unstable();
        let mut readers = Vec::new();
        for (_, lane, thread) in candidates {
            let held = self.locks_held(lane, time_ns);
            let since = held.iter().find(|hold| hold.object == address).map(|hold| hold.since_ns);
            readers.extend(since.map(|since| (thread, since, true)));
        }
        readers.sort_unstable();
        readers
    }

    fn add_waiters(&mut self, address: u64, time_ns: u64, state: &mut ObjectState) {
        let Some(wanted) = self.index.waited_number(address) else { return };
        for lane in 0..self.index.lane_count() {
            let facts = self.index.lane(lane);
            let number = self.index.span_at(&facts, time_ns);
            let Some(number) =
                number.filter(|&it| self.index.waits_for(&facts, it) == Some(wanted))
            else {
                continue;
            };
            let span = self.index.span(&facts, number);
            state.waiters.push((facts.thread, span.state, span.start_ns));
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
        let (kind, size) = (it.access.kind.name(), super::counted(it.access.size, "byte"));
        format!("{how} {who}: {kind} of {size}, {ago}")
    }

    /// The moment of an access.
    pub fn moment_of_access(&self, it: &AccessAt) -> Option<Moment> {
        let lane = self.index.lane_of(it.thread)?;
        Some(Moment { lane, index: it.index, time_ns: it.time_ns })
    }
}

/// Looks for accesses of an address.
struct Look<'a> {
    log: &'a Log,
    index: &'a Index,
    address: u64,
    until_ns: u64,
}

impl Look<'_> {
    /// Goes through chunks from the newest to the oldest until the last write is found.
    fn accesses(&self, by_end: &[u32], found: &mut Vec<FoundAccess>, is_partial: &mut bool) {
        let header = |chunk: u32| &self.log.chunks()[chunk as usize].header;
        let wanted = |&chunk: &u32| header(chunk).first_time.ns <= self.until_ns;
        let chunks: Vec<u32> = by_end.iter().copied().filter(wanted).collect();
        for (number, batch) in chunks.chunks(CHUNKS_AT_ONCE).enumerate() {
            if is_written_after(found, header(batch[0]).last_time.ns) {
                return;
            }
            if number * CHUNKS_AT_ONCE >= CHUNKS_MAX {
                *is_partial = true;
                return;
            }
            found.par_extend(batch.par_iter().flat_map_iter(|&chunk| self.chunk(chunk)));
        }
    }

    fn chunk(&self, chunk: u32) -> Vec<FoundAccess> {
        let Self { address, until_ns, .. } = *self;
        let mut found = Vec::new();
        let Some(decoded) = decode(self.log, chunk as usize) else { return found };
        let accesses = decoded.accesses(self.log, chunk);
        let touches = |access: &Access| {
            let start = access.address.0;
            access.kind.touches_memory() && start <= address && address - start < access.size.max(1)
        };
        if !accesses.iter().any(touches) {
            return found;
        }
        for (place, fragment) in (0..).zip(&decoded.header.fragments) {
            let thread = fragment.thread;
            let mut base = None;
            decoded.each(place, |at, record| {
                let super::Record::Accesses { count, time_ns, first } = record else { return };
                if time_ns > until_ns {
                    return;
                }
                let run = accesses.get(first as usize..(first + count) as usize);
                for (nth, access) in (0..).zip(run.unwrap_or_default()) {
                    if touches(access) {
                        let first = || self.first_index(thread, decoded.fragment(chunk, place));
                        let index = *base.get_or_insert_with(first) + at + nth;
                        let it = AccessAt { thread, time_ns, index, access: *access };
                        found.push((time_ns, chunk, place, it));
                    }
                }
            });
        }
        found
    }

    /// The place in program order of the first record of a fragment.
    fn first_index(&self, thread: ThreadId, at: LaneFragment) -> u64 {
        let lane = self.index.lane_of(thread).map(|lane| self.index.lane(lane));
        lane.and_then(|lane| self.index.first_index_of(&lane, at)).unwrap_or(0)
    }
}

type FoundAccess = (u64, u32, u32, AccessAt);

/// Whether the last write is among these, if all that are younger than `newest_ns` are here.
fn is_written_after(accesses: &[FoundAccess], newest_ns: u64) -> bool {
    accesses.iter().any(|(time_ns, .., it)| it.access.kind.is_write() && *time_ns > newest_ns)
}

/// What was found so far.
#[derive(Default)]
struct History {
    /// When the channel was made, and its room.
    made: Option<(u64, u64)>,
    events: Vec<(ThreadId, Event)>,
    accesses: Vec<FoundAccess>,
}

impl History {
    /// Whether nothing at or before `newest_ns` can change the answer. What is that old is forgotten
    /// then: there may be more of it.
    fn settle(&mut self, newest_ns: u64) -> bool {
        use EventKind as Kind;

        let newer = || self.events.iter().filter(|(_, event)| event.time.ns > newest_ns);
        if newer().count() < EVENTS_SHOWN {
            return false;
        }
        let has = |kind: Kind| newer().any(|(_, event)| event.kind == kind);
        let group = |group| newer().any(|(_, event)| event.kind.spec().group == group);
        // Nothing is sent after a close: an older one cannot be missed. Readers that are not among
        // these are known from what their lanes hold.
        let is_settled = !group(EventGroup::Channel)
            || self.made.is_some_and(|(made_ns, _)| made_ns > newest_ns)
            || (has(Kind::ChanSend) && has(Kind::ChanRecv));
        if is_settled {
            self.events.retain(|(_, event)| event.time.ns > newest_ns);
        }
        is_settled
    }

    /// Whether nobody reads or writes the object's words but its own operations.
    fn is_opaque(&self) -> bool {
        let group = |event: &Event| event.kind.spec().group;
        let is = |(_, event): &(ThreadId, Event)| {
            matches!(group(event), EventGroup::Lock | EventGroup::Channel)
        };
        self.events.iter().any(is)
    }

    /// Whether the object is a lock, and all that is known of it is who reads.
    fn has_readers_only(&self) -> bool {
        use EventKind as Kind;

        let is = |kinds: &[Kind]| self.events.iter().any(|(_, event)| kinds.contains(&event.kind));
        is(&[Kind::ReadLock, Kind::ReadUnlock])
            && !is(&[Kind::MutexLock, Kind::MutexUnlock, Kind::WriteLock, Kind::WriteUnlock])
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
                EventKind::ChanClose | EventKind::ChanRecvClosed => state.is_closed = true,
                _ => {}
            }
        }
        state.capacity = state.capacity.or(self.made.map(|(_, room)| room));
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

//! Places in a lane: which record is at a time, what a record is, when it happened.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use mmtrace_analyzer::EventRef;
use mmtrace_format::chunk::{AccessColumns, ChunkHeader, LaneDecoder, SyncColumns};
use mmtrace_format::{Access, Event, EventKind, Log};

use super::Engine;
use crate::index::scan::{first_ns, is_live, start_ns};
use crate::index::{Index, Lane, LaneFragment, partition};

/// Decoded chunks that are kept.
const CHUNKS_KEPT: usize = 12;

/// A record of a lane: its place in program order, and when it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    /// The lane.
    pub lane: usize,
    /// Its place in the lane's program order, as [`EventRef`] counts.
    pub index: u64,
    /// When.
    pub time_ns: u64,
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// An event of the sync lane.
    Event(Event),
    /// So many accesses in a row, all at one time.
    Accesses {
        /// How many.
        count: u32,
        /// When.
        time_ns: u64,
        /// The first one's place in the access lane of its chunk.
        first: u32,
    },
}

impl Record {
    /// When it happened.
    pub fn time_ns(&self) -> u64 {
        match self {
            Self::Event(event) => event.time.ns,
            Self::Accesses { time_ns, .. } => *time_ns,
        }
    }

    /// How many places of program order it takes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Event(event) => u64::from(event.kind != EventKind::Switch),
            Self::Accesses { count, .. } => u64::from(*count),
        }
    }

    /// Whether it takes no place: the stream's business, not the lane's.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A decoded chunk.
#[derive(Debug)]
pub struct Decoded {
    /// What it says of itself, its fragments included.
    pub header: ChunkHeader,
    /// The events.
    pub sync: SyncColumns,
    /// Whether they are in the order of time.
    is_live: bool,
    accesses: OnceLock<Vec<Access>>,
}

/// The chunks that were looked at last.
#[derive(Debug, Default)]
pub struct ChunkCache {
    chunks: VecDeque<(u32, Option<Arc<Decoded>>)>,
    decoder: LaneDecoder,
}

impl ChunkCache {
    /// A chunk's events; `None` if they cannot be read.
    pub fn get(&mut self, log: &Log, chunk: u32) -> Option<Arc<Decoded>> {
        if let Some(place) = self.chunks.iter().position(|&(known, _)| known == chunk) {
            let found = self.chunks.remove(place)?;
            self.chunks.push_front(found);
        } else {
            // The storage of the chunk that was looked at longest ago is used again.
            let last = if self.chunks.len() < CHUNKS_KEPT { None } else { self.chunks.pop_back() };
            let storage = last.and_then(|(_, last)| Arc::try_unwrap(last?).ok());
            let sync = storage.map(|last| last.sync).unwrap_or_default();
            let decoded = Decoded::read(log, chunk as usize, &mut self.decoder, sync);
            self.chunks.push_front((chunk, decoded.map(Arc::new)));
        }
        self.chunks.front().and_then(|(_, decoded)| decoded.clone())
    }
}

/// A chunk's events; `None` if they cannot be read.
pub(crate) fn decode(log: &Log, chunk: usize) -> Option<Decoded> {
    Decoded::read(log, chunk, &mut LaneDecoder::default(), SyncColumns::default())
}

impl Decoded {
    fn read(
        log: &Log,
        chunk: usize,
        decoder: &mut LaneDecoder,
        mut sync: SyncColumns,
    ) -> Option<Self> {
        let read = log.chunk(chunk).ok()?;
        let is_read = read.decode_sync(decoder, &mut sync).is_ok();
        log.advise_done(chunk);
        if !is_read {
            return None;
        }
        let (header, is_live) = (read.header().clone(), is_live(&sync.events));
        Some(Self { header, sync, is_live, accesses: OnceLock::new() })
    }

    /// A fragment as a lane has it, but for its place in the lane's program order.
    pub fn fragment(&self, chunk: u32, place: u32) -> LaneFragment {
        let first_ns = first_ns(&self.header, &self.sync, place as usize, self.is_live);
        LaneFragment { first_index: 0, first_ns, chunk, place }
    }

    /// The chunk's accesses, decoded when first asked for; none if they cannot be read.
    pub fn accesses(&self, log: &Log, chunk: u32) -> &[Access] {
        self.accesses.get_or_init(|| {
            let mut columns = AccessColumns::default();
            let mut decoder = LaneDecoder::default();
            let read = log.chunk(chunk as usize).ok();
            let read = read.map(|it| it.decode_accesses(&mut decoder, &mut columns));
            log.advise_done(chunk as usize);
            match read {
                Some(Ok(())) => columns.iter().collect(),
                _ => Vec::new(),
            }
        })
    }

    /// Goes through a fragment in program order: each record with its place in the fragment.
    pub fn each(&self, place: u32, mut visit: impl FnMut(u64, Record)) {
        let (events, accesses) = self.header.fragment_extent(place as usize);
        let mut time_ns = start_ns(&self.header, &self.sync.events, &events, self.is_live);
        let mut next_access = accesses.start;
        let mut index = 0;
        for at in events.start as usize..events.end as usize {
            let Some(event) = self.sync.events.get(at) else { break };
            let end = self.sync.access_ends[at].clamp(next_access, accesses.end);
            if end > next_access {
                let count = end - next_access;
                visit(index, Record::Accesses { count, time_ns, first: next_access });
                index += u64::from(count);
                next_access = end;
            }
            if event.kind == EventKind::Switch && !self.is_live {
                continue;
            }
            time_ns = event.time.ns;
            let record = Record::Event(*event);
            visit(index, record);
            index += record.len();
        }
        if accesses.end > next_access {
            let count = accesses.end - next_access;
            visit(index, Record::Accesses { count, time_ns, first: next_access });
        }
    }
}

/// The number of the fragment that a place of program order lies in.
fn fragment_of_index(index: &Index, lane: &Lane, at: u64) -> Option<usize> {
    let begins = |number| index.fragment(lane, number).first_index <= at;
    partition(index.fragment_count(lane), begins).checked_sub(1)
}

/// How many fragments are looked at for something that may not be in the last one.
const FRAGMENTS_BACK_MAX: u32 = 64;

/// The number of the last fragment that begins not after a time.
pub(crate) fn fragment_at(index: &Index, lane: &Lane, time_ns: u64) -> Option<usize> {
    let begins = |number| index.fragment(lane, number).first_ns <= time_ns;
    partition(index.fragment_count(lane), begins).checked_sub(1)
}

impl Engine<'_> {
    pub(crate) fn decoded(&mut self, fragment: LaneFragment) -> Option<Arc<Decoded>> {
        if fragment.chunk as usize >= self.log.chunks().len() {
            return None;
        }
        self.cache.get(self.log, fragment.chunk)
    }

    /// The last record of a lane that happened not after a time, with what it is.
    pub fn moment_at(&mut self, lane: usize, time_ns: u64) -> Option<(Moment, Record)> {
        self.last_at(lane, time_ns, |record| Some((record.len() - 1, record)))
    }

    /// The last record of a lane, not after a time and not empty, of which `pick` makes something:
    /// what, and its place in the record.
    fn last_at<T>(
        &mut self,
        lane: usize,
        time_ns: u64,
        pick: impl Fn(Record) -> Option<(u64, T)>,
    ) -> Option<(Moment, T)> {
        let index = Arc::clone(&self.index);
        let facts = index.lane(lane);
        let mut number = fragment_at(&index, &facts, time_ns)?;
        // A fragment may have nothing but a switch in it.
        for _ in 0..FRAGMENTS_BACK_MAX {
            let fragment = index.fragment(&facts, number);
            let mut found = None;
            if let Some(decoded) = self.decoded(fragment) {
                decoded.each(fragment.place, |at, record| {
                    if record.time_ns() <= time_ns
                        && !record.is_empty()
                        && let Some((place, picked)) = pick(record)
                    {
                        let index = fragment.first_index + at + place;
                        let moment = Moment { lane, index, time_ns: record.time_ns() };
                        found = Some((moment, picked));
                    }
                });
            }
            if found.is_some() {
                return found;
            }
            number = number.checked_sub(1)?;
        }
        None
    }

    /// The record at a place of a lane's program order.
    pub fn moment_of(&mut self, lane: usize, at: u64) -> Option<(Moment, Record)> {
        let index = Arc::clone(&self.index);
        let facts = index.lane(lane);
        let fragment = index.fragment(&facts, fragment_of_index(&index, &facts, at)?);
        let decoded = self.decoded(fragment)?;
        let mut found = None;
        decoded.each(fragment.place, |place, record| {
            let first = fragment.first_index + place;
            if first <= at && at < first + record.len() {
                found = Some((Moment { lane, index: at, time_ns: record.time_ns() }, record));
            }
        });
        found
    }

    /// The access at a moment, if it is one.
    pub fn access(&mut self, moment: Moment) -> Option<Access> {
        let index = Arc::clone(&self.index);
        let facts = index.lane(moment.lane);
        let number = fragment_of_index(&index, &facts, moment.index)?;
        let fragment = index.fragment(&facts, number);
        let decoded = self.decoded(fragment)?;
        let mut place = None;
        decoded.each(fragment.place, |at, record| {
            let start = fragment.first_index + at;
            if let Record::Accesses { count, first, .. } = record
                && start <= moment.index
                && moment.index < start + u64::from(count)
            {
                // Less than `count`, which is a u32.
                place = Some(first as usize + (moment.index - start) as usize);
            }
        });
        decoded.accesses(self.log, fragment.chunk).get(place?).copied()
    }

    /// The moment that an event reference names.
    pub fn resolve(&mut self, event: EventRef) -> Option<Moment> {
        let lane = self.index.lane_of(event.thread)?;
        self.moment_of(lane, event.index).map(|(moment, _)| moment)
    }

    /// The last event of a lane, accesses aside, that happened not after a time.
    pub fn event_at(&mut self, lane: usize, time_ns: u64) -> Option<(Moment, Event)> {
        self.last_at(lane, time_ns, |record| match record {
            Record::Event(event) => Some((0, event)),
            Record::Accesses { .. } => None,
        })
    }

    /// The last event of a lane, not after a time, of which `is_it` holds.
    pub fn event_where(
        &mut self,
        lane: usize,
        time_ns: u64,
        is_it: impl Fn(&Event) -> bool,
    ) -> Option<Moment> {
        let found = self.last_at(lane, time_ns, |record| match record {
            Record::Event(event) if is_it(&event) => Some((0, ())),
            _ => None,
        });
        found.map(|(moment, ())| moment)
    }

    /// The first event of a lane, at or after a place of its program order, of which `is_it` holds;
    /// `None` if there is none near.
    pub fn next_event(
        &mut self,
        lane: usize,
        at: u64,
        is_it: impl Fn(&Event) -> bool,
    ) -> Option<(Moment, Event)> {
        let index = Arc::clone(&self.index);
        let facts = index.lane(lane);
        let first = fragment_of_index(&index, &facts, at)?;
        let count = index.fragment_count(&facts);
        for number in (first..count).take(FRAGMENTS_BACK_MAX as usize) {
            let fragment = index.fragment(&facts, number);
            let Some(decoded) = self.decoded(fragment) else { continue };
            let mut found = None;
            decoded.each(fragment.place, |place, record| {
                let index = fragment.first_index + place;
                if let Record::Event(event) = record
                    && !record.is_empty()
                    && found.is_none()
                    && index >= at
                    && is_it(&event)
                {
                    found = Some((Moment { lane, index, time_ns: event.time.ns }, event));
                }
            });
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

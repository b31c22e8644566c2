//! The first pass over a log: one chunk at a time, in parallel.
//!
//! Only sync lanes are decoded: they say how many accesses lie before each event, and that is all
//! that a timeline needs of accesses.

use std::collections::HashSet;

use mmtrace_format::chunk::{ChunkHeader, LaneDecoder, SyncColumns};
use mmtrace_format::event::{BlockReason, EventGroup};
use mmtrace_format::{Event, EventKind, Log, StackId, StringId, ThreadId};

use super::bins::Bins;
use super::state::State;
use super::visit::{Change, Fragment, Packer, Ready, put_readies};

/// A moment from which on a lane is in a state: the time in ns, and the state in the lowest byte.
pub(crate) fn pack(time_ns: u64, state: State) -> u64 {
    time_ns.min(u64::MAX >> 8) << 8 | u64::from(state as u8)
}

/// What [`pack`] packed.
pub(crate) fn unpack(word: u64) -> (u64, State) {
    (word >> 8, State::from_number((word & 0xff) as u8))
}

/// Something that concerns the whole program, or a lane as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Note {
    /// A thread was started.
    Spawn { child: ThreadId, parent: ThreadId, stack: StackId, time_ns: u64 },
    /// A thread got a name.
    Name { thread: ThreadId, name: StringId },
    /// A thread began a test.
    Test { thread: ThreadId, test: StringId },
    /// A channel was made.
    Make { object: u64, time_ns: u64, room: u64 },
    /// A collection began, or ended if there is a goal.
    Gc { time_ns: u64, live: u64, goal: Option<u64> },
}

/// Some bytes of [`ChunkScan::packed`] that are about one thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// Whose.
    pub(crate) thread: ThreadId,
    /// By what parts of one thread are ordered: its first fragment's count, its first ready's time.
    pub(crate) key: u64,
    /// How many bytes.
    pub(crate) len: u32,
}

/// What the first pass says of a chunk.
#[derive(Debug, Default)]
pub(crate) struct ChunkScan {
    /// What the parts say, one after the other: visits, then readies.
    pub(crate) packed: Vec<u8>,
    /// Each thread's visit.
    pub(crate) visits: Vec<Part>,
    /// What makes each thread runnable, by time.
    pub(crate) readies: Vec<Part>,
    /// Objects of its events, those of memory aside: ascending.
    pub(crate) objects: Vec<u64>,
    /// Records by time: bins, and how many more are in them.
    pub(crate) density: Vec<(u32, u64)>,
    pub(crate) notes: Vec<Note>,
    /// The chunk cannot be read.
    pub(crate) is_damaged: bool,
}

/// Scans a chunk.
pub(crate) fn scan(
    log: &Log,
    chunk: usize,
    bins: Bins,
    (decoder, lane): &mut (LaneDecoder, SyncColumns),
) -> ChunkScan {
    let read = log.chunk(chunk);
    let is_read = read.as_ref().is_ok_and(|chunk| chunk.decode_sync(decoder, lane).is_ok());
    let header = read.ok().map(|chunk| chunk.header().clone());
    log.advise_done(chunk);
    let mut scan = ChunkScan::default();
    match header {
        Some(header) if is_read => scan.read(&header, lane, bins),
        header => {
            scan.is_damaged = true;
            scan.directory(log, chunk, header.as_ref(), State::Gap);
        }
    }
    scan
}

/// What is known of a chunk from the directory alone: who was there at all.
pub(crate) fn presence(log: &Log, chunk: usize, bins: Bins) -> ChunkScan {
    let mut scan = ChunkScan::default();
    scan.directory(log, chunk, None, State::Seen);
    let entry = &log.chunks()[chunk];
    let (first, last) = (entry.header.first_time.ns, entry.header.last_time.ns);
    let (first, last) = (bins.of(first), bins.of(last.max(first)));
    let share = entry.record_count() / u64::from(last - first + 1);
    scan.density.extend((first..=last).map(|bin| (bin, share)));
    scan
}

impl ChunkScan {
    /// All lanes of the chunk are in this state for as long as it lasts. Without a header each has
    /// one fragment, of which only the time is known.
    fn directory(&mut self, log: &Log, chunk: usize, header: Option<&ChunkHeader>, state: State) {
        let entry = &log.chunks()[chunk];
        let first_ns = entry.header.first_time.ns;
        let change = Change { time_ns: first_ns, state, object: 0 };
        let mut fragment = Fragment { first_ns, changes: vec![change], ..Fragment::default() };
        let Some(header) = header else {
            for thread in log.threads_of(chunk) {
                fragment.count = first_ns;
                self.visit(thread, std::iter::once(&fragment));
            }
            return;
        };
        self.fragments_of(header, |place, fragment| {
            let (events, accesses) = header.fragment_extent(place);
            fragment.first_ns = first_ns;
            fragment.records =
                (events.end - events.start).saturating_add(accesses.end - accesses.start);
            fragment.changes.push(change);
        });
    }

    fn read(&mut self, header: &ChunkHeader, lane: &SyncColumns, bins: Bins) {
        let is_live = is_live(&lane.events);
        let mut readies: Vec<(ThreadId, Ready)> = Vec::new();
        let mut objects = Objects::default();
        let mut density = Density { bins, current: (0, 0), out: Vec::new() };
        let mut notes = Vec::new();
        let decoded = Lane { header, columns: lane, is_live };
        self.fragments_of(header, |place, fragment| {
            let thread = header.fragments[place].thread;
            decoded.scan(place, fragment, &mut density, |event| {
                if event.object != 0 && event.kind.spec().group != EventGroup::Memory {
                    objects.insert(event.object);
                }
                match ready_of(thread, event) {
                    Some(ready) => readies.push(ready),
                    None => notes.extend(note(thread, event)),
                }
            });
        });
        density.flush();
        (self.density, self.notes) = (density.out, notes);
        self.objects = objects.all.into_iter().collect();
        self.objects.sort_unstable();
        readies.sort_unstable();
        let mut own = Vec::new();
        for readies in readies.chunk_by(|a, b| a.0 == b.0) {
            let start = self.packed.len();
            own.clear();
            own.extend(readies.iter().map(|&(_, ready)| ready));
            put_readies(&own, &mut self.packed);
            // A chunk has fewer bytes than 2^32.
            let len = (self.packed.len() - start) as u32;
            self.readies.push(Part { thread: readies[0].0, key: own[0].time_ns, len });
        }
    }

    /// Packs a chunk's fragments, those of each thread in its program order. `fill` says what is in
    /// the one at a place.
    fn fragments_of(&mut self, header: &ChunkHeader, mut fill: impl FnMut(usize, &mut Fragment)) {
        let fragments = (0..).zip(&header.fragments);
        let mut order: Vec<(ThreadId, u64, u32)> =
            fragments.map(|(place, it)| (it.thread, it.count, place)).collect();
        order.sort_unstable();
        let mut fragment = Fragment::default();
        for own in order.chunk_by(|a, b| a.0 == b.0) {
            let start = self.packed.len();
            let mut packer = Packer::default();
            for &(_, count, place) in own {
                fragment.changes.clear();
                fragment.effects.clear();
                (fragment.count, fragment.place) = (count, place);
                fill(place as usize, &mut fragment);
                packer.put(&fragment, &mut self.packed);
            }
            let (thread, key, _) = own[0];
            let len = (self.packed.len() - start) as u32;
            self.visits.push(Part { thread, key, len });
        }
    }

    fn visit<'a>(&mut self, thread: ThreadId, fragments: impl Iterator<Item = &'a Fragment>) {
        let start = self.packed.len();
        let mut packer = Packer::default();
        let mut key = None;
        for fragment in fragments {
            key.get_or_insert(fragment.count);
            packer.put(fragment, &mut self.packed);
        }
        let len = (self.packed.len() - start) as u32;
        self.visits.push(Part { thread, key: key.unwrap_or(0), len });
    }
}

/// A chunk's sync lane, with what it says about time.
struct Lane<'a> {
    header: &'a ChunkHeader,
    columns: &'a SyncColumns,
    is_live: bool,
}

impl Lane<'_> {
    /// Fills in what a fragment does. `hear` is told of its events.
    fn scan(
        &self,
        place: usize,
        fragment: &mut Fragment,
        density: &mut Density,
        mut hear: impl FnMut(&Event),
    ) {
        let Self { header, columns: lane, is_live } = *self;
        let (events, accesses) = header.fragment_extent(place);
        let mut time_ns = start_ns(header, &lane.events, &events, is_live);
        let first_ns = first_ns(header, lane, place, is_live);
        fragment.first_ns = first_ns;
        density.go_to(first_ns);
        let mut changes = Changes { state: None, out: &mut fragment.changes };
        let mut next_access = accesses.start;
        let mut records = 0_u32;
        for at in events.start..events.end {
            let event = &lane.events[at as usize];
            let access_end = lane.access_ends[at as usize].clamp(next_access, accesses.end);
            if access_end > next_access {
                // Whatever a thread does, it is not waiting any more.
                changes.push(time_ns, State::Running, 0);
                density.add(time_ns, u64::from(access_end - next_access));
                records = records.saturating_add(access_end - next_access);
                next_access = access_end;
            }
            if event.kind == EventKind::Switch && !is_live {
                continue;
            }
            time_ns = event.time.ns;
            changes.push(time_ns, state_after(event), event.object);
            if event.kind != EventKind::Switch {
                records = records.saturating_add(1);
                density.add(time_ns, 1);
                fragment.effects.add(event);
                hear(event);
            }
        }
        if accesses.end > next_access {
            changes.push(time_ns, State::Running, 0);
            density.add(time_ns, u64::from(accesses.end - next_access));
            records = records.saturating_add(accesses.end - next_access);
        }
        // Whoever is switched away from without waiting for anything can go on.
        let next = lane.events.get(events.end as usize);
        if let Some(next) = next.filter(|_| is_live && changes.state == Some(State::Running)) {
            changes.push(next.time.ns, State::Runnable, 0);
        }
        fragment.records = records;
    }
}

/// The objects of a chunk, each once. Most events are about one that was seen shortly before.
struct Objects {
    recent: [u64; 64],
    all: HashSet<u64>,
}

impl Default for Objects {
    fn default() -> Self {
        Self { recent: [0; 64], all: HashSet::new() }
    }
}

impl Objects {
    fn insert(&mut self, object: u64) {
        let recent = &mut self.recent[(object >> 4) as usize % 64];
        if *recent != object {
            *recent = object;
            self.all.insert(object);
        }
    }
}

/// When the first record of a fragment happened.
pub(crate) fn first_ns(
    header: &ChunkHeader,
    lane: &SyncColumns,
    place: usize,
    is_live: bool,
) -> u64 {
    let (events, accesses) = header.fragment_extent(place);
    let start_ns = start_ns(header, &lane.events, &events, is_live);
    match lane.events.get(events.start as usize) {
        Some(first) if is_live && !events.is_empty() => {
            let is_first = lane.access_ends[events.start as usize] <= accesses.start;
            if is_first { first.time.ns } else { start_ns }
        }
        _ => start_ns,
    }
}

/// A thread that an event makes runnable.
fn ready_of(thread: ThreadId, event: &Event) -> Option<(ThreadId, Ready)> {
    let target = u32::try_from(event.value).ok().filter(|_| event.kind == EventKind::Ready)?;
    Some((ThreadId::new(target), Ready { time_ns: event.time.ns, by: thread.as_u32() }))
}

/// Whether events are as a live recorder wrote them: a stream is then in the order of time. In a log
/// that was put together afterwards, a switch is the writer's: its time says nothing, nor does it
/// say who could run.
pub(crate) fn is_live(events: &[Event]) -> bool {
    events.is_sorted_by_key(|event| event.time)
}

/// When the accesses of a fragment happen that come before its first event: at the time of the event
/// before, of whatever thread; where that means nothing, at that of the thread's own next one.
pub(crate) fn start_ns(
    header: &ChunkHeader,
    lane: &[Event],
    events: &std::ops::Range<u32>,
    is_live: bool,
) -> u64 {
    let event = if is_live {
        events.start.checked_sub(1).and_then(|before| lane.get(before as usize))
    } else {
        let own = lane.get(events.start as usize..events.end as usize).unwrap_or_default();
        own.iter().find(|event| event.kind != EventKind::Switch)
    };
    event.map_or(header.first_time.ns, |event| event.time.ns)
}

/// What a thread does from this event of its own on.
pub(crate) fn state_after(event: &Event) -> State {
    match event.kind {
        EventKind::Block => State::of_wait(BlockReason::from_detail(event.detail)),
        EventKind::SyscallEnter => State::Syscall,
        EventKind::End => State::Ended,
        _ => State::Running,
    }
}

fn note(thread: ThreadId, event: &Event) -> Option<Note> {
    let number = || u32::try_from(event.value).ok();
    let time_ns = event.time.ns;
    Some(match event.kind {
        EventKind::Spawn => {
            let child = ThreadId::new(number()?);
            Note::Spawn { child, parent: thread, stack: event.stack, time_ns }
        }
        EventKind::Name => Note::Name { thread, name: StringId::new(number()?) },
        EventKind::TestStart => Note::Test { thread, test: StringId::new(number()?) },
        EventKind::ChanMake => Note::Make { object: event.object, time_ns, room: event.value },
        EventKind::GcStart => Note::Gc { time_ns, live: event.value, goal: None },
        EventKind::GcEnd => Note::Gc { time_ns, live: event.value, goal: Some(event.extra) },
        _ => return None,
    })
}

/// A fragment's changes of state.
struct Changes<'a> {
    state: Option<State>,
    out: &'a mut Vec<Change>,
}

impl Changes<'_> {
    fn push(&mut self, time_ns: u64, state: State, object: u64) {
        // Two waits in a row are two.
        if self.state != Some(state) || state.is_waiting() {
            self.out.push(Change { time_ns, state, object });
            self.state = Some(state);
        }
    }
}

/// Counts records by bins; most come in the bin of the one before.
struct Density {
    bins: Bins,
    current: (u32, u64),
    out: Vec<(u32, u64)>,
}

impl Density {
    fn go_to(&mut self, time_ns: u64) {
        let bin = self.bins.of(time_ns);
        if bin != self.current.0 {
            self.flush();
            self.current.0 = bin;
        }
    }

    fn add(&mut self, time_ns: u64, count: u64) {
        self.go_to(time_ns);
        self.current.1 += count;
    }

    fn flush(&mut self) {
        if self.current.1 > 0 {
            self.out.push(self.current);
            self.current.1 = 0;
        }
    }
}

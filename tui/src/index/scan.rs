//! The first pass over a log: one chunk at a time, in parallel.
//!
//! Only sync lanes are decoded: they say how many accesses lie before each event, and that is all
//! that a timeline needs of accesses.

use mmtrace_format::chunk::SyncColumns;
use mmtrace_format::event::BlockReason;
use mmtrace_format::log::ChunkEntry;
use mmtrace_format::{Event, EventKind, Log, StackId, StringId, ThreadId};

use super::bins::Bins;
use super::state::State;

/// A moment from which on a lane is in a state: the time in ns, and the state in the lowest byte.
pub(crate) fn pack(time_ns: u64, state: State) -> u64 {
    time_ns.min(u64::MAX >> 8) << 8 | u64::from(state as u8)
}

/// What [`pack`] packed.
pub(crate) fn unpack(word: u64) -> (u64, State) {
    (word >> 8, State::from_number((word & 0xff) as u8))
}

/// What the first pass says of a fragment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FragmentScan {
    /// Where its changes of state end among those of the chunk.
    pub(crate) end: u32,
    /// Its events and accesses, without switches.
    pub(crate) records: u32,
    /// When its first record happened.
    pub(crate) first_ns: u64,
}

/// Something that concerns other lanes than the one that says it, or the whole program.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Note {
    /// A thread was made runnable.
    Ready { thread: ThreadId, time_ns: u64 },
    /// A thread was started.
    Spawn { child: ThreadId, parent: ThreadId, stack: StackId, time_ns: u64 },
    /// A thread got a name.
    Name { thread: ThreadId, name: StringId },
    /// A thread began a test.
    Test { thread: ThreadId, test: StringId },
    /// A collection began, or ended if there is a goal.
    Gc { time_ns: u64, live: u64, goal: Option<u64> },
}

/// What the first pass says of a chunk.
#[derive(Debug, Default)]
pub(crate) struct ChunkScan {
    /// Changes of state, packed, fragment after fragment.
    pub(crate) changes: Vec<u64>,
    /// The chunk's fragments.
    pub(crate) fragments: Vec<FragmentScan>,
    /// Records by time: bins, and how many more are in them.
    pub(crate) density: Vec<(u32, u64)>,
    pub(crate) notes: Vec<Note>,
    /// The chunk cannot be read.
    pub(crate) is_damaged: bool,
}

/// Scans a chunk.
pub(crate) fn scan(log: &Log, chunk: usize, bins: Bins, lane: &mut SyncColumns) -> ChunkScan {
    let entry = &log.chunks()[chunk];
    let is_read = log.chunk(chunk).is_ok_and(|chunk| chunk.decode_sync(lane).is_ok());
    log.advise_done(chunk);
    if !is_read {
        return damaged(entry);
    }
    let mut scan = ChunkScan::default();
    let is_live = is_live(&lane.events);
    for place in 0..entry.header.fragments.len() {
        scan_fragment(entry, place, lane, bins, is_live, &mut scan);
    }
    scan
}

/// What is known of a chunk from the directory alone: who was there at all.
pub(crate) fn presence(entry: &ChunkEntry, bins: Bins) -> ChunkScan {
    let mut scan = known(entry, State::Seen);
    let (first, last) = (entry.header.first_time.ns, entry.header.last_time.ns);
    let (first, last) = (bins.of(first), bins.of(last.max(first)));
    let share = entry.record_count() / u64::from(last - first + 1);
    scan.density.extend((first..=last).map(|bin| (bin, share)));
    scan
}

fn damaged(entry: &ChunkEntry) -> ChunkScan {
    ChunkScan { is_damaged: true, ..known(entry, State::Gap) }
}

/// All lanes of the chunk are in this state for as long as it lasts.
fn known(entry: &ChunkEntry, state: State) -> ChunkScan {
    let first_ns = entry.header.first_time.ns;
    let mut scan = ChunkScan::default();
    for place in 0..entry.header.fragments.len() {
        let (events, accesses) = entry.fragment_extent(place);
        scan.changes.push(pack(first_ns, state));
        scan.fragments.push(FragmentScan {
            end: scan.changes.len() as u32,
            records: (events.end - events.start).saturating_add(accesses.end - accesses.start),
            first_ns,
        });
    }
    scan
}

fn scan_fragment(
    entry: &ChunkEntry,
    place: usize,
    lane: &SyncColumns,
    bins: Bins,
    is_live: bool,
    scan: &mut ChunkScan,
) {
    let thread = entry.header.fragments[place].thread;
    let (events, accesses) = entry.fragment_extent(place);
    let mut time_ns = start_ns(entry, &lane.events, &events, is_live);
    let first_ns = match lane.events.get(events.start as usize) {
        Some(first) if is_live && !events.is_empty() => {
            let is_first = lane.access_ends[events.start as usize] <= accesses.start;
            if is_first { first.time.ns } else { time_ns }
        }
        _ => time_ns,
    };
    let mut density = Density { bins, current: (bins.of(first_ns), 0), out: &mut scan.density };
    let mut changes = Changes { state: None, out: &mut scan.changes };
    let mut next_access = accesses.start;
    let mut records = 0_u32;
    for at in events.start..events.end {
        let event = &lane.events[at as usize];
        let access_end = lane.access_ends[at as usize].clamp(next_access, accesses.end);
        if access_end > next_access {
            // Whatever a thread does, it is not waiting any more.
            changes.push(time_ns, State::Running);
            density.add(time_ns, u64::from(access_end - next_access));
            records = records.saturating_add(access_end - next_access);
            next_access = access_end;
        }
        if event.kind == EventKind::Switch && !is_live {
            continue;
        }
        time_ns = event.time.ns;
        changes.push(time_ns, state_after(event));
        if event.kind != EventKind::Switch {
            records = records.saturating_add(1);
            density.add(time_ns, 1);
            scan.notes.extend(note(thread, event));
        }
    }
    if accesses.end > next_access {
        changes.push(time_ns, State::Running);
        density.add(time_ns, u64::from(accesses.end - next_access));
        records = records.saturating_add(accesses.end - next_access);
    }
    density.flush();
    // Whoever is switched away from without waiting for anything can go on.
    let next = lane.events.get(events.end as usize);
    if let Some(next) = next.filter(|_| is_live && changes.state == Some(State::Running)) {
        changes.push(next.time.ns, State::Runnable);
    }
    scan.fragments.push(FragmentScan { end: scan.changes.len() as u32, records, first_ns });
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
    entry: &ChunkEntry,
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
    event.map_or(entry.header.first_time.ns, |event| event.time.ns)
}

/// What a thread does from this event of its own on.
pub(crate) fn state_after(event: &Event) -> State {
    match event.kind {
        EventKind::Block => State::of_wait(BlockReason::from_detail(event.detail)),
        EventKind::SyscallEnter => State::Syscall,
        EventKind::Preempt => State::Runnable,
        EventKind::End => State::Ended,
        _ => State::Running,
    }
}

fn note(thread: ThreadId, event: &Event) -> Option<Note> {
    let number = || u32::try_from(event.value).ok();
    let time_ns = event.time.ns;
    Some(match event.kind {
        EventKind::Ready => Note::Ready { thread: ThreadId::new(number()?), time_ns },
        EventKind::Spawn => {
            let child = ThreadId::new(number()?);
            Note::Spawn { child, parent: thread, stack: event.stack, time_ns }
        }
        EventKind::Name => Note::Name { thread, name: StringId::new(number()?) },
        EventKind::TestStart => Note::Test { thread, test: StringId::new(number()?) },
        EventKind::GcStart => Note::Gc { time_ns, live: event.value, goal: None },
        EventKind::GcEnd => Note::Gc { time_ns, live: event.value, goal: Some(event.extra) },
        _ => return None,
    })
}

/// A fragment's changes of state.
struct Changes<'a> {
    state: Option<State>,
    out: &'a mut Vec<u64>,
}

impl Changes<'_> {
    fn push(&mut self, time_ns: u64, state: State) {
        // Two waits in a row are two.
        if self.state != Some(state) || state.is_waiting() {
            self.out.push(pack(time_ns, state));
            self.state = Some(state);
        }
    }
}

/// Counts records by bins; most come in the bin of the one before.
struct Density<'a> {
    bins: Bins,
    current: (u32, u64),
    out: &'a mut Vec<(u32, u64)>,
}

impl Density<'_> {
    fn add(&mut self, time_ns: u64, count: u64) {
        let bin = self.bins.of(time_ns);
        if bin != self.current.0 {
            self.flush();
            self.current.0 = bin;
        }
        self.current.1 += count;
    }

    fn flush(&mut self) {
        if self.current.1 > 0 {
            self.out.push(self.current);
            self.current.1 = 0;
        }
    }
}

//! The level-of-detail index: what every lane did in any window of time, in O(log spans).
//!
//! # Definition
//! A lane is a thread or goroutine. Its *spans* are the stretches in which it is in one
//! [`State`]: from an event of its own (a block, a system call, anything else means that it runs) or
//! of another's (who makes it runnable) to the next such change. Accesses have no times of their
//! own: they happen at the time of the event before them in their chunk.
//!
//! # Algorithm
//! Spans lie in one array, lane after lane, as 8 bytes each: start and state. Every 64th has the
//! sums of time in each state before it, so the time in each state within a window is the difference
//! of two sums, each a binary search and at most 64 spans away. Groups of many lanes have tables of
//! 1,024 bins. A wait is linked to the object that it is for, and what follows it to the thread that
//! ended it. Locks that are held beyond a fragment, and the objects of each chunk, are kept so that a
//! question about a moment reads a few chunks, wherever it is. Severity is not kept here: findings are few, and each drawn cell asks their sorted
//! times, so none is lost at any zoom.
//!
//! The index is built in parallel from the sync lanes alone, kept beside the log, and valid for one
//! content of the log only: see [`content_key`]. Until it is there, the log's directory is made into
//! one of the same shape that knows who was there when.

mod bins;
mod build;
mod file;
mod gather;
mod holds;
mod lane;
pub(crate) mod scan;
mod spans;
mod spill;
mod state;
mod store;
mod visit;

use mmtrace_format::sidecar::Sidecar;
use mmtrace_format::{Log, ThreadId};

pub use bins::{BIN_COUNT, Bins};
pub use build::{Detail, Watch};
pub use file::content_key;
pub use holds::Hold;
pub(crate) use holds::follow;
pub use lane::{Group, Lane};
pub use state::{Hue, STATE_COUNT, STATES, State, StateSpec, Times};
pub use store::{IndexError, Kept, build_in_memory, index_path, open_or_build};

use file::{SECTION_COUNT, Section, word};
use holds::{HOLD_BLOCK, HOLD_WORDS, hold_of};
use lane::{GROUP_WORDS, LANE_WORDS};
use scan::unpack;
use spans::{BLOCK, SUM_WORDS};

/// A stretch of a lane in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The state.
    pub state: State,
    /// When it begins.
    pub start_ns: u64,
    /// When it ends: at the next one, or with the log.
    pub end_ns: u64,
}

impl Span {
    /// How long it lasts.
    pub fn len_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }
}

/// A stretch of a lane inside one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneFragment {
    /// The place of its first record in the lane's program order.
    pub first_index: u64,
    /// When its first record happened.
    pub first_ns: u64,
    /// The chunk's place in the log.
    pub chunk: u32,
    /// The fragment's place in the chunk.
    pub place: u32,
}

/// A collection of garbage begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collection {
    /// When.
    pub time_ns: u64,
    /// Live bytes.
    pub live: u64,
    /// The next goal, if it ends.
    pub goal: Option<u64>,
}

/// An index, opened.
#[derive(Debug)]
pub struct Index {
    bytes: Sidecar,
    sections: [(usize, usize); SECTION_COUNT],
    detail: Detail,
    first_ns: u64,
    last_ns: u64,
}

impl Index {
    /// The index in these bytes, if it is that of a log with this key.
    fn new(bytes: Sidecar, key: u64, detail: Detail) -> Option<Self> {
        let sections = file::check(&bytes, key)?;
        let (first_ns, last_ns) = (word(&bytes[16..]), word(&bytes[24..]));
        Some(Self { bytes, sections, detail, first_ns, last_ns })
    }

    /// Says that nothing is looked at for now: what was no longer counts as memory in use.
    pub fn advise_done(&self) {
        self.bytes.advise_done(0..self.bytes.len());
    }

    /// How much it knows.
    pub fn detail(&self) -> Detail {
        self.detail
    }

    /// When the log begins and ends, in ns.
    pub fn range(&self) -> (u64, u64) {
        (self.first_ns, self.last_ns)
    }

    /// The bins of [`Index::density`] and of groups.
    pub fn bins(&self) -> Bins {
        Bins::new(self.first_ns, self.last_ns)
    }

    /// How many lanes there are.
    pub fn lane_count(&self) -> usize {
        self.sections[Section::Lanes as usize].1 / LANE_WORDS
    }

    /// A lane.
    ///
    /// # Panics
    /// If there is no such lane.
    pub fn lane(&self, lane: usize) -> Lane {
        assert!(lane < self.lane_count(), "lane {lane} of {}", self.lane_count());
        Lane::from_words(&self.words(Section::Lanes, lane * LANE_WORDS))
    }

    /// The lane of a thread.
    pub fn lane_of(&self, thread: ThreadId) -> Option<usize> {
        let at = |lane: usize| (self.word(Section::Lanes, lane * LANE_WORDS) >> 32) as u32;
        let lane = partition(self.lane_count(), |lane| at(lane) < thread.as_u32());
        (lane < self.lane_count() && at(lane) == thread.as_u32()).then_some(lane)
    }

    /// How many groups there are.
    pub fn group_count(&self) -> usize {
        self.sections[Section::Groups as usize].1 / GROUP_WORDS
    }

    /// A group.
    pub fn group(&self, group: usize) -> Group {
        Group::from_words(&self.words(Section::Groups, group * GROUP_WORDS))
    }

    /// The lanes of a group, ascending.
    pub fn members(&self, group: usize) -> impl Iterator<Item = usize> + '_ {
        let Group { member_start, lane_count, .. } = self.group(group);
        let lane = move |at| self.word(Section::Members, member_start as usize + at) as usize;
        (0..lane_count as usize).map(lane).filter(|&lane| lane < self.lane_count())
    }

    /// Records of all lanes in a bin.
    pub fn density(&self, bin: u32) -> u64 {
        self.word(Section::Density, bin as usize)
    }

    /// Time that all lanes, or those of a group, spent in each state during a bin. `None` for a
    /// group that is too small to have bins.
    pub fn binned(&self, group: Option<usize>, bin: u32) -> Option<Times> {
        let table = match group {
            Some(group) => self.group(group).bins?,
            None => 0,
        };
        let at = (table as usize * BIN_COUNT as usize + bin as usize) * STATE_COUNT;
        Some(self.words(Section::Bins, at))
    }

    /// Collections of garbage, by time.
    pub fn collections(&self) -> impl Iterator<Item = Collection> + '_ {
        let count = self.sections[Section::Collections as usize].1 / 3;
        (0..count).map(|at| {
            let [time_ns, live, goal] = self.words(Section::Collections, at * 3);
            Collection { time_ns, live, goal: (goal > 0).then_some(goal) }
        })
    }

    /// How many fragments a lane has.
    pub fn fragment_count(&self, lane: &Lane) -> usize {
        lane.fragment_count as usize
    }

    /// A lane's fragment, in program order.
    pub fn fragment(&self, lane: &Lane, number: usize) -> LaneFragment {
        let at = (lane.fragment_start as usize + number) * 3;
        let [first_index, first_ns, packed] = self.words(Section::Fragments, at);
        let place = (packed & u64::from(u32::MAX)) as u32;
        LaneFragment { first_index, first_ns, chunk: (packed >> 32) as u32, place }
    }

    /// The place in program order of the first record of a fragment, which is found by its time: that
    /// of its first record. Only a damaged log takes a look at all of the lane's fragments.
    pub fn first_index_of(&self, lane: &Lane, at: LaneFragment) -> Option<u64> {
        let count = self.fragment_count(lane);
        let is_it = |number: &usize| {
            let it = self.fragment(lane, *number);
            (it.chunk, it.place) == (at.chunk, at.place)
        };
        let time_ns = |number: usize| self.fragment(lane, number).first_ns;
        let first = partition(count, |number| time_ns(number) < at.first_ns);
        let mut near = (first..count).take_while(|&number| time_ns(number) == at.first_ns);
        let found = near.find(is_it).or_else(|| (0..count).find(is_it))?;
        Some(self.fragment(lane, found).first_index)
    }

    /// The locks that a lane holds when one of its fragments begins, in the order in which it took
    /// them.
    pub fn holds_before(&self, lane: &Lane, fragment: usize) -> Vec<Hold> {
        let hold = |number: usize| -> (Hold, u32, u32) {
            let at = (lane.hold_start as usize + number) * HOLD_WORDS;
            hold_of(&self.words(Section::Holds, at))
        };
        let latest_end = |block: usize| {
            let first = lane.hold_start as usize + block * HOLD_BLOCK;
            self.word(Section::Holds, first * HOLD_WORDS + HOLD_WORDS - 1)
        };
        let count = partition(lane.hold_count as usize, |it| (hold(it).1 as usize) < fragment);
        let blocks =
            (0..count.div_ceil(HOLD_BLOCK)).filter(|&it| latest_end(it) >= fragment as u64);
        blocks
            .flat_map(|block| block * HOLD_BLOCK..count.min((block + 1) * HOLD_BLOCK))
            .map(hold)
            .filter(|&(_, _, last)| last as usize >= fragment)
            .map(|(hold, ..)| hold)
            .collect()
    }

    /// The number under which lanes wait for an object, if any does.
    pub fn waited_number(&self, object: u64) -> Option<u32> {
        let address = |at: usize| self.word(Section::Waited, at * 2);
        let count = self.sections[Section::Waited as usize].1 / 2;
        let at = partition(count, |at| address(at) < object);
        let number = (at < count && address(at) == object)
            .then(|| u32::try_from(self.word(Section::Waited, at * 2 + 1)).ok());
        number.flatten()
    }

    /// The number of what a lane waits for in a span, if it does and that is known: see
    /// [`Index::waited_number`].
    pub fn waits_for(&self, lane: &Lane, number: usize) -> Option<u32> {
        let is_waiting = self.span_start(lane, number).1.is_waiting();
        Some(self.link(lane, number)).filter(|&link| is_waiting && link > 0)
    }

    /// Who made a lane runnable at the beginning of a span, if the log says so.
    pub fn woken_by(&self, lane: &Lane, number: usize) -> Option<ThreadId> {
        let is_runnable = self.span_start(lane, number).1 == State::Runnable;
        let by = self.link(lane, number).checked_sub(1).filter(|_| is_runnable)?;
        Some(ThreadId::new(by))
    }

    fn link(&self, lane: &Lane, number: usize) -> u32 {
        let word = self.word(Section::Links, lane.link_start as usize + number / 2);
        // Two in each word, the first in the lower half.
        (word >> (number % 2 * 32) & u64::from(u32::MAX)) as u32
    }

    /// When the channel at an address was made, the last time up to a moment, and its room.
    pub fn made(&self, object: u64, time_ns: u64) -> Option<(u64, u64)> {
        let make = |at: usize| -> [u64; 3] { self.words(Section::Makes, at * 3) };
        let count = self.sections[Section::Makes as usize].1 / 3;
        let after = partition(count, |at| {
            let [address, made_ns, _] = make(at);
            (address, made_ns) <= (object, time_ns)
        });
        let [address, made_ns, room] = make(after.checked_sub(1)?);
        (address == object).then_some((made_ns, room))
    }

    /// Whether any event of a chunk is about an object; those of the heap do not count.
    pub fn has_object(&self, chunk: usize, object: u64) -> bool {
        let start = self.word(Section::ChunkStarts, chunk) as usize;
        let end = self.word(Section::ChunkStarts, chunk + 1) as usize;
        let address = |at: usize| self.word(Section::Objects, start + at);
        let count = end.saturating_sub(start);
        let at = partition(count, |at| address(at) < object);
        at < count && address(at) == object
    }

    /// How many spans a lane has.
    pub fn span_count(&self, lane: &Lane) -> usize {
        lane.span_count as usize
    }

    /// A lane's span.
    pub fn span(&self, lane: &Lane, number: usize) -> Span {
        let (start_ns, state) = self.span_start(lane, number);
        let is_last = number + 1 >= self.span_count(lane);
        let end_ns = if is_last { self.last_ns } else { self.span_start(lane, number + 1).0 };
        Span { state, start_ns, end_ns: end_ns.max(start_ns) }
    }

    /// The number of the span that a moment lies in; `None` before the lane is born.
    pub fn span_at(&self, lane: &Lane, time_ns: u64) -> Option<usize> {
        let starts_after = |number| self.span_start(lane, number).0 <= time_ns;
        partition(self.span_count(lane), starts_after).checked_sub(1)
    }

    /// What a lane does at a moment.
    pub fn state_at(&self, lane: &Lane, time_ns: u64) -> State {
        self.span_at(lane, time_ns).map_or(State::NotBorn, |at| self.span_start(lane, at).1)
    }

    /// Time in each state from the lane's birth to a moment.
    pub fn times_until(&self, lane: &Lane, time_ns: u64) -> Times {
        let Some(last) = self.span_at(lane, time_ns) else { return [0; STATE_COUNT] };
        let block = last / BLOCK;
        let mut times: Times = self.words(Section::Sums, Self::sum_at(lane, block));
        let mut current = self.span_start(lane, block * BLOCK);
        for number in block * BLOCK + 1..=last {
            let next = self.span_start(lane, number);
            times[current.1 as usize] += next.0.saturating_sub(current.0);
            current = next;
        }
        times[current.1 as usize] += time_ns.saturating_sub(current.0);
        times
    }

    /// Time in each state within a window; what is missing to its length is before birth.
    pub fn times_between(&self, lane: &Lane, from_ns: u64, to_ns: u64) -> Times {
        difference(&self.times_until(lane, to_ns), &self.times_until(lane, from_ns))
    }

    /// The longest span that lies wholly within a window, or reaches into it, in ns.
    pub fn longest_between(&self, lane: &Lane, from_ns: u64, to_ns: u64) -> u64 {
        let Some(last) = self.span_at(lane, to_ns.saturating_sub(1)) else { return 0 };
        let first = self.span_at(lane, from_ns).unwrap_or(0);
        // The last span ends with the log: a window after that sees nothing.
        let first = if self.span(lane, first).end_ns <= from_ns { first + 1 } else { first };
        let len = |number: usize| self.span(lane, number).len_ns();
        let longest = |block: usize, column: usize| {
            self.word(Section::Sums, Self::sum_at(lane, block) + STATE_COUNT + column)
        };
        let (mut at, mut most) = (first, 0);
        while at <= last {
            let step = if at % (BLOCK * BLOCK) == 0 && at + BLOCK * BLOCK <= last {
                most = longest(at / BLOCK, 1).max(most);
                BLOCK * BLOCK
            } else if at % BLOCK == 0 && at + BLOCK <= last {
                most = longest(at / BLOCK, 0).max(most);
                BLOCK
            } else {
                most = len(at).max(most);
                1
            };
            at += step;
        }
        most
    }

    fn span_start(&self, lane: &Lane, number: usize) -> (u64, State) {
        unpack(self.word(Section::Spans, lane.span_start as usize + number))
    }

    fn sum_at(lane: &Lane, block: usize) -> usize {
        (lane.sum_start as usize + block) * SUM_WORDS
    }

    /// A word of a section. What a damaged index does not have is 0.
    fn word(&self, section: Section, at: usize) -> u64 {
        let (start, len) = self.sections[section as usize];
        if at >= len {
            return 0;
        }
        self.bytes.get((start + at) * 8..).map_or(0, word)
    }

    fn words<const N: usize>(&self, section: Section, at: usize) -> [u64; N] {
        std::array::from_fn(|place| self.word(section, at + place))
    }
}

/// What was added to each state.
pub fn difference(later: &Times, earlier: &Times) -> Times {
    std::array::from_fn(|state| later[state].saturating_sub(earlier[state]))
}

/// The first place of `count` for which `is_before` does not hold; it holds up to some place.
pub(crate) fn partition(count: usize, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// Whether a log is so long that its index is worth a file.
pub(crate) fn is_worth_keeping(log: &Log) -> bool {
    log.event_count() + log.access_count() > 1 << 20
}

//! What the index says of a lane as a whole.

use mmtrace_format::{StackId, StringId, ThreadId};

use super::state::{STATE_COUNT, Times};

/// Words of a lane's record.
pub(crate) const LANE_WORDS: usize = LANE_FACTS + STATE_COUNT;

/// Words before the totals.
const LANE_FACTS: usize = 14;

/// "None" where a thread is expected.
const NOBODY: u32 = u32::MAX;

/// One thread or goroutine, from its beginning to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Who.
    pub thread: ThreadId,
    /// Who started it.
    pub parent: Option<ThreadId>,
    /// Its name; the empty string if it has none.
    pub name: StringId,
    /// The test that it began; the empty string if none.
    pub test: StringId,
    /// Where it was started.
    pub created_at: StackId,
    /// The number of its group: lanes that were started at the same place.
    pub group: u32,
    /// When it began to be there.
    pub born_ns: u64,
    /// When it ended; `u64::MAX` if it did not.
    pub ended_ns: u64,
    /// Its events and accesses.
    pub records: u64,
    /// Its first span.
    pub(crate) span_start: u64,
    /// How many spans it has.
    pub(crate) span_count: u64,
    /// The sums of its first block of spans.
    pub(crate) sum_start: u64,
    /// Its first fragment.
    pub(crate) fragment_start: u64,
    /// How many fragments it has.
    pub(crate) fragment_count: u64,
    /// The links of its first spans.
    pub(crate) link_start: u64,
    /// Its first hold.
    pub(crate) hold_start: u64,
    /// How many holds it has.
    pub(crate) hold_count: u64,
    /// Time in each state until the end of the log.
    pub totals: Times,
}

impl Lane {
    pub(crate) fn to_words(self) -> [u64; LANE_WORDS] {
        let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        let parent = self.parent.map_or(NOBODY, ThreadId::as_u32);
        let mut words = [0; LANE_WORDS];
        words[..LANE_FACTS].copy_from_slice(&[
            pair(self.thread.as_u32(), parent),
            pair(self.name.as_u32(), self.test.as_u32()),
            pair(self.created_at.as_u32(), self.group),
            self.born_ns,
            self.ended_ns,
            self.records,
            self.span_start,
            self.span_count,
            self.sum_start,
            self.fragment_start,
            self.fragment_count,
            self.link_start,
            self.hold_start,
            self.hold_count,
        ]);
        words[LANE_FACTS..].copy_from_slice(&self.totals);
        words
    }

    pub(crate) fn from_words(words: &[u64; LANE_WORDS]) -> Self {
        let high = |word: u64| (word >> 32) as u32;
        let low = |word: u64| (word & u64::from(u32::MAX)) as u32;
        let parent = low(words[0]);
        let mut totals = [0; STATE_COUNT];
        totals.copy_from_slice(&words[LANE_FACTS..]);
        Self {
            thread: ThreadId::new(high(words[0])),
            parent: (parent != NOBODY).then_some(ThreadId::new(parent)),
            name: StringId::new(high(words[1])),
            test: StringId::new(low(words[1])),
            created_at: StackId::new(high(words[2])),
            group: low(words[2]),
            born_ns: words[3],
            ended_ns: words[4],
            records: words[5],
            span_start: words[6],
            span_count: words[7],
            sum_start: words[8],
            fragment_start: words[9],
            fragment_count: words[10],
            link_start: words[11],
            hold_start: words[12],
            hold_count: words[13],
            totals,
        }
    }

    /// Time in states of waiting.
    pub fn waiting_ns(&self) -> u64 {
        let waiting = |state: &&super::State| state.is_waiting();
        super::State::ALL.iter().filter(waiting).map(|&state| self.totals[state as usize]).sum()
    }
}

/// Lanes that were started at the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Where.
    pub created_at: StackId,
    /// How many lanes it has.
    pub lane_count: u32,
    /// Where its lanes are among the members.
    pub(crate) member_start: u64,
    /// Which of the tables of bins is its, if it has one.
    pub(crate) bins: Option<u32>,
}

/// Words of a group's record.
pub(crate) const GROUP_WORDS: usize = 3;

impl Group {
    pub(crate) fn to_words(self) -> [u64; GROUP_WORDS] {
        let bins = self.bins.map_or(0, |bins| u64::from(bins) + 1);
        let count = u64::from(self.lane_count);
        [u64::from(self.created_at.as_u32()) << 32 | count, self.member_start, bins]
    }

    pub(crate) fn from_words(words: &[u64; GROUP_WORDS]) -> Self {
        Self {
            created_at: StackId::new((words[0] >> 32) as u32),
            lane_count: (words[0] & u64::from(u32::MAX)) as u32,
            member_start: words[1],
            bins: words[2].checked_sub(1).and_then(|bins| u32::try_from(bins).ok()),
        }
    }
}

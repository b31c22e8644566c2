//! The second pass: one lane's spans from its changes of state, and sums over them.

use std::io;

use super::gather::Readies;
use super::scan::{pack, unpack};
use super::state::{STATE_COUNT, State, Times};
use super::visit::Ready;

/// Spans of a block, which have their sums in common.
pub(crate) const BLOCK: usize = 64;

/// Words of a block's sums: time in each state before it, its longest span, and, in every 64th
/// block, the longest span of the 64 blocks from it on.
pub(crate) const SUM_WORDS: usize = STATE_COUNT + 2;

/// Builds the spans of one lane: contiguous, each longer than nothing but perhaps the last.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    /// Where each begins, packed with its state.
    pub(crate) starts: Vec<u64>,
    /// Of each, what it waits for, or who ended the wait before it; 0 for nothing that is known.
    pub(crate) links: Vec<u32>,
}

/// Who makes a lane runnable, one after the other.
pub(crate) trait Wakers {
    /// The first of those that are left.
    fn peek(&self) -> Option<Ready>;
    /// Goes on to the next.
    fn pop(&mut self) -> io::Result<()>;
}

impl Wakers for Readies<'_> {
    fn peek(&self) -> Option<Ready> {
        Readies::peek(self)
    }

    fn pop(&mut self) -> io::Result<()> {
        Readies::pop(self)
    }
}

impl Spans {
    /// The lane is in this state from now on. Times that go back are taken for the last one.
    pub(crate) fn push(
        &mut self,
        time_ns: u64,
        state: State,
        link: u32,
        wakers: &mut impl Wakers,
    ) -> io::Result<()> {
        let Some((last_ns, last)) = self.last() else {
            self.add(time_ns, state, link);
            return Ok(());
        };
        let time_ns = time_ns.max(last_ns);
        self.wake(last_ns, last, time_ns, wakers)?;
        self.put(time_ns, state, link);
        Ok(())
    }

    /// The lane does nothing more; others may still make it runnable.
    pub(crate) fn finish(&mut self, wakers: &mut impl Wakers) -> io::Result<()> {
        match self.last() {
            Some((last_ns, last)) => self.wake(last_ns, last, u64::MAX, wakers),
            None => Ok(()),
        }
    }

    /// If the lane waits, the first that makes it runnable before `until_ns` does.
    fn wake(
        &mut self,
        last_ns: u64,
        last: State,
        until_ns: u64,
        wakers: &mut impl Wakers,
    ) -> io::Result<()> {
        while let Some(ready) = wakers.peek().filter(|ready| ready.time_ns < until_ns) {
            wakers.pop()?;
            if ready.time_ns > last_ns && last.is_waiting() {
                self.add(ready.time_ns, State::Runnable, ready.by.saturating_add(1));
                return Ok(());
            }
        }
        Ok(())
    }

    fn put(&mut self, time_ns: u64, state: State, link: u32) {
        // A state that lasted no time was none.
        while self.last().is_some_and(|(last_ns, _)| last_ns == time_ns) {
            self.starts.pop();
            self.links.pop();
        }
        // Two waits in a row are two.
        if state.is_waiting() || self.last().is_none_or(|(_, last)| last != state) {
            self.add(time_ns, state, link);
        }
    }

    fn add(&mut self, time_ns: u64, state: State, link: u32) {
        self.starts.push(pack(time_ns, state));
        self.links.push(link);
    }

    /// The links as words, two in each, the first in the lower half.
    pub(crate) fn link_words(&self) -> Vec<u64> {
        let pair =
            |pair: &[u32]| u64::from(pair.get(1).copied().unwrap_or(0)) << 32 | u64::from(pair[0]);
        self.links.chunks(2).map(pair).collect()
    }

    pub(crate) fn last(&self) -> Option<(u64, State)> {
        self.starts.last().copied().map(unpack)
    }

    /// The sums of all blocks, when the log ends at `end_ns`; and the sums over the whole lane.
    pub(crate) fn sums(&self, end_ns: u64) -> (Vec<u64>, Times) {
        let block_count = self.starts.len().div_ceil(BLOCK);
        let mut sums = Vec::with_capacity(block_count * SUM_WORDS);
        let mut times = [0; STATE_COUNT];
        let mut longest_of_64 = 0;
        for (block, starts) in self.starts.chunks(BLOCK).enumerate() {
            sums.extend(times);
            let mut longest = 0;
            for (place, &start) in starts.iter().enumerate() {
                let next = self.starts.get(block * BLOCK + place + 1);
                let (start_ns, state) = unpack(start);
                let len = next.map_or(end_ns, |&next| unpack(next).0).saturating_sub(start_ns);
                times[state as usize] += len;
                longest = len.max(longest);
            }
            longest_of_64 = longest.max(longest_of_64);
            sums.extend([longest, 0]);
            if block % BLOCK == BLOCK - 1 || block + 1 == block_count {
                let first = block - block % BLOCK;
                sums[first * SUM_WORDS + STATE_COUNT + 1] = longest_of_64;
                longest_of_64 = 0;
            }
        }
        (sums, times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Given(std::collections::VecDeque<Ready>);

    impl Wakers for Given {
        fn peek(&self) -> Option<Ready> {
            self.0.front().copied()
        }

        fn pop(&mut self) -> io::Result<()> {
            self.0.pop_front();
            Ok(())
        }
    }

    fn built(changes: &[(u64, State)], readies: &[u64]) -> Spans {
        let readies = (7..).zip(readies).map(|(by, &time_ns)| Ready { time_ns, by });
        let mut wakers = Given(readies.collect());
        let mut spans = Spans::default();
        for (link, &(time, state)) in (100..).zip(changes) {
            spans.push(time, state, link, &mut wakers).unwrap();
        }
        spans.finish(&mut wakers).unwrap();
        spans
    }

    fn spans(changes: &[(u64, State)], readies: &[u64]) -> Vec<(u64, State)> {
        built(changes, readies).starts.into_iter().map(unpack).collect()
    }

    #[test]
    fn equal_states_are_one_span_unless_they_wait() {
        use State::{Mutex, Running};
        let found = spans(&[(1, Running), (2, Running), (3, Mutex), (5, Mutex), (9, Running)], &[]);
        assert_eq!(found, [(1, Running), (3, Mutex), (5, Mutex), (9, Running)]);
    }

    #[test]
    fn a_state_that_lasts_no_time_is_none() {
        use State::{Mutex, Running};
        assert_eq!(spans(&[(1, Running), (3, Mutex), (3, Running)], &[]), [(1, Running)]);
        assert_eq!(spans(&[(3, Running), (1, Mutex)], &[]), [(3, Mutex)]);
    }

    #[test]
    fn a_waiting_lane_that_others_made_ready_is_runnable_until_it_runs() {
        use State::{Receive, Runnable, Running};
        let found = spans(&[(1, Running), (3, Receive), (9, Running)], &[2, 6, 7]);
        assert_eq!(found, [(1, Running), (3, Receive), (6, Runnable), (9, Running)]);
    }

    #[test]
    fn links_stay_with_their_spans_and_name_the_waker() {
        use State::{Receive, Running};
        let changes = [(1, Running), (3, Receive), (9, Running), (9, Receive), (12, Receive)];
        let spans = built(&changes, &[2, 6, 7]);
        // 2 is before the wait; 6 ends it, by the thread with number 8; what lasted no time is gone.
        assert_eq!(spans.links, [100, 101, 9, 103, 104]);
        assert_eq!(spans.link_words(), [101 * (1 << 32) + 100, 103 * (1 << 32) + 9, 104]);
    }
}

//! The second pass: one lane's spans from its changes of state, and sums over them.

use super::scan::{pack, unpack};
use super::state::{STATE_COUNT, State, Times};

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
    /// When the lane was made runnable by others, ascending; taken from the front.
    pub(crate) readies: std::collections::VecDeque<u64>,
}

impl Spans {
    /// The lane is in this state from now on. Times that go back are taken for the last one.
    pub(crate) fn push(&mut self, time_ns: u64, state: State) {
        if let Some((last_ns, last)) = self.last() {
            let time_ns = time_ns.max(last_ns);
            self.wake(last_ns, last, time_ns);
            self.put(time_ns, state);
        } else {
            self.starts.push(pack(time_ns, state));
        }
    }

    /// The lane does nothing more; others may still make it runnable.
    pub(crate) fn finish(&mut self) {
        if let Some((last_ns, last)) = self.last() {
            self.wake(last_ns, last, u64::MAX);
        }
    }

    /// If the lane waits, the first that makes it runnable before `until_ns` does.
    fn wake(&mut self, last_ns: u64, last: State, until_ns: u64) {
        while let Some(&ready) = self.readies.front().filter(|&&ready| ready < until_ns) {
            self.readies.pop_front();
            if ready > last_ns && last.is_waiting() {
                self.starts.push(pack(ready, State::Runnable));
                return;
            }
        }
    }

    fn put(&mut self, time_ns: u64, state: State) {
        // A state that lasted no time was none.
        while self.last().is_some_and(|(last_ns, _)| last_ns == time_ns) {
            self.starts.pop();
        }
        // Two waits in a row are two.
        if state.is_waiting() || self.last().is_none_or(|(_, last)| last != state) {
            self.starts.push(pack(time_ns, state));
        }
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

    fn spans(changes: &[(u64, State)], readies: &[u64]) -> Vec<(u64, State)> {
        let mut spans = Spans { readies: readies.iter().copied().collect(), ..Spans::default() };
        for &(time, state) in changes {
            spans.push(time, state);
        }
        spans.finish();
        spans.starts.into_iter().map(unpack).collect()
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
}

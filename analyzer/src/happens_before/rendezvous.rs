//! Wait groups, condition variables, barriers and park tokens.

use std::collections::VecDeque;

use super::clocks::Clocks;
use super::objects::Map;
use super::publication::{Accumulator, Publication};
use crate::rules::Rule;

/// A wait group, which may be used for one round after the other.
#[derive(Debug, Default)]
pub(super) struct WaitGroup {
    count: i64,
    /// Done in the round that is on.
    current: Accumulator,
    /// Done in the round before, for a wait that returns when the next has begun.
    previous: Accumulator,
}

impl WaitGroup {
    pub(super) fn add(&mut self, clocks: &mut Clocks, dense: usize, delta: i64) {
        if delta > 0 && self.count <= 0 {
            // A new round: what ended the last one is not for the waits of this one.
            self.previous = std::mem::take(&mut self.current);
        }
        self.count = self.count.saturating_add(delta);
        if delta < 0 {
            clocks.add_to(dense, &mut self.current);
        }
    }

    pub(super) fn wait(&mut self, clocks: &mut Clocks, dense: usize) {
        let round = if self.count > 0 { &self.previous } else { &self.current };
        clocks.take_accumulated(dense, Rule::WaitGroup, round);
    }
}

/// A condition variable: the notifies that somebody is still to wake from, by order number.
#[derive(Debug, Default)]
pub(super) struct Cond {
    notifies: Map<u64, Notify>,
}

#[derive(Debug)]
struct Notify {
    publication: Publication,
    /// How many it woke that have not yet returned.
    left: u64,
}

impl Cond {
    pub(super) fn notify(&mut self, clocks: &mut Clocks, dense: usize, number: u64, woken: u64) {
        let publication = clocks.publish(dense);
        if woken > 0 {
            self.notifies.insert(number, Notify { publication, left: woken });
        }
    }

    pub(super) fn wake(&mut self, clocks: &mut Clocks, dense: usize, by: u64) {
        let Some(notify) = self.notifies.get_mut(&by) else { return };
        clocks.take(dense, Rule::Cond, &notify.publication);
        notify.left -= 1;
        if notify.left == 0 {
            self.notifies.remove(&by);
        }
    }
}

/// A barrier: arrivals by generation.
#[derive(Debug, Default)]
pub(super) struct Barrier {
    /// At most two: a thread may still leave generation n while others arrive at n + 1, but
    /// everybody has left n when somebody arrives at n + 2.
    generations: VecDeque<(u64, Accumulator)>,
}

impl Barrier {
    pub(super) fn arrive(&mut self, clocks: &mut Clocks, dense: usize, generation: u64) {
        let known = self.generations.iter_mut().find(|(number, _)| *number == generation);
        if let Some((_, arrivals)) = known {
            clocks.add_to(dense, arrivals);
            return;
        }
        let mut arrivals = Accumulator::default();
        clocks.add_to(dense, &mut arrivals);
        if self.generations.len() == 2 {
            self.generations.pop_front();
        }
        self.generations.push_back((generation, arrivals));
    }

    pub(super) fn leave(&mut self, clocks: &mut Clocks, dense: usize, generation: u64) {
        if let Some((_, arrivals)) = self.generations.iter().find(|(n, _)| *n == generation) {
            clocks.take_accumulated(dense, Rule::Barrier, arrivals);
        }
    }
}

/// A park token. All unparks before a park happen before its return, those that found the token
/// there already included.
#[derive(Debug, Default)]
pub(super) struct Token {
    unparks: Accumulator,
}

impl Token {
    pub(super) fn unpark(&mut self, clocks: &mut Clocks, dense: usize) {
        clocks.add_to(dense, &mut self.unparks);
    }

    pub(super) fn park(&mut self, clocks: &mut Clocks, dense: usize) {
        // The token's owner alone parks on it: what it has taken it need not take again.
        clocks.take_accumulated(dense, Rule::Park, &std::mem::take(&mut self.unparks));
    }
}

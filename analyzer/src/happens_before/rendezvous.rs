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

/// A barrier: the generations that somebody has still to leave.
///
/// Mostly one. But a barrier may have more users than it waits for, and then a thread that is slow
/// to return still has to leave a generation when others are several ahead.
#[derive(Debug, Default)]
pub(super) struct Barrier {
    generations: VecDeque<Generation>,
}

#[derive(Debug)]
struct Generation {
    number: u64,
    arrivals: Accumulator,
    /// How many arrived and have not left.
    inside: u64,
}

/// Generations of one barrier that are kept. More are not left any more: the log lost the leaves.
const GENERATIONS_MAX: usize = 1024;

impl Barrier {
    pub(super) fn arrive(&mut self, clocks: &mut Clocks, dense: usize, number: u64) {
        if self.generations.back().is_none_or(|last| last.number != number) {
            if self.generations.len() == GENERATIONS_MAX {
                self.generations.pop_front();
            }
            let arrivals = Accumulator::default();
            self.generations.push_back(Generation { number, arrivals, inside: 0 });
        }
        if let Some(generation) = self.generations.back_mut() {
            generation.inside += 1;
            clocks.add_to(dense, &mut generation.arrivals);
        }
    }

    pub(super) fn leave(&mut self, clocks: &mut Clocks, dense: usize, number: u64) {
        let left = self.generations.iter().position(|left| left.number == number);
        let Some(place) = left else { return };
        let generation = &mut self.generations[place];
        clocks.take_accumulated(dense, Rule::Barrier, &generation.arrivals);
        generation.inside -= 1;
        if generation.inside == 0 {
            self.generations.remove(place);
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

//! What was published and is still to be taken.

use crate::clock::{Epoch, VectorClock};
use crate::order::EventRef;

/// What a thread knew when it published.
#[derive(Clone, Debug)]
pub(super) struct Publication {
    /// The publisher's own epoch. If a clock knows it, it knows `clock` as well.
    pub(super) epoch: Option<Epoch>,
    pub(super) clock: VectorClock,
    pub(super) from: EventRef,
}

impl Publication {
    /// Whether all of `older` is in it; false if that is not cheap to tell.
    fn includes(&self, older: &Self) -> bool {
        match older.epoch {
            Some(epoch) => {
                epoch.happens_before(&self.clock)
                    || self
                        .epoch
                        .is_some_and(|own| own.slot == epoch.slot && own.time >= epoch.time)
            }
            None => older.clock.shares_all_with(&self.clock),
        }
    }
}

/// What several threads published side by side.
#[derive(Clone, Debug, Default)]
pub(super) struct Accumulator {
    /// Everything, the publishers' own epochs included.
    pub(super) clock: VectorClock,
    /// The last publishing event of each thread; kept only when edges are asked for.
    pub(super) from: Vec<EventRef>,
}

impl Accumulator {
    pub(super) fn add(&mut self, publication: &Publication, with_edges: bool) {
        if with_edges {
            self.add_source(publication.from);
        }
        match publication.epoch {
            Some(epoch) if epoch.happens_before(&self.clock) => {}
            Some(epoch) => {
                self.clock.join(&publication.clock);
                self.clock.learn(epoch);
            }
            None => {
                self.clock.join(&publication.clock);
            }
        }
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        self.clock.join(&other.clock);
        for &from in &other.from {
            self.add_source(from);
        }
    }

    fn add_source(&mut self, from: EventRef) {
        match self.from.iter_mut().find(|event| event.thread == from.thread) {
            // An earlier event of the same thread happens before this one anyway.
            Some(event) => event.index = event.index.max(from.index),
            None => self.from.push(from),
        }
    }
}

/// What an object holds for whoever takes next.
#[derive(Clone, Debug, Default)]
pub(super) enum Published {
    #[default]
    Nothing,
    One(Publication),
    Many(Box<Accumulator>),
}

impl Published {
    /// Publishes beside what is there. A copy is enough if the publisher knows what is there.
    ///
    /// As far as clocks go, that is: they tell accesses apart, not every two events. Where edges are
    /// asked for each source stays; whoever takes all before it publishes should not come here.
    pub(super) fn merge(&mut self, publication: Publication, with_edges: bool) {
        match self {
            Self::Nothing => *self = Self::One(publication),
            Self::One(there) if !with_edges && publication.includes(there) => {
                *self = Self::One(publication);
            }
            Self::One(there) => {
                let mut accumulator = Accumulator::default();
                accumulator.add(there, with_edges);
                accumulator.add(&publication, with_edges);
                *self = Self::Many(Box::new(accumulator));
            }
            Self::Many(accumulator)
                if !with_edges && accumulator.clock.is_known_to(&publication.clock) =>
            {
                *self = Self::One(publication);
            }
            Self::Many(accumulator) => accumulator.add(&publication, with_edges),
        }
    }
}

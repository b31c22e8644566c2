//! Order numbers for writers that know the order of everything.

use crate::units::{STRIPE_COUNT, stripe_of};

/// The counters that number the events of each stripe (see [`stripe_of`]).
///
/// For a writer that sees all events in one order, as an importer does; a recorder has to take its
/// numbers inside the program's own operations.
#[derive(Clone, Debug)]
pub struct Sequencer {
    last: Box<[u64]>,
}

impl Default for Sequencer {
    fn default() -> Self {
        Self::new()
    }
}

impl Sequencer {
    /// Counters of which none was used.
    pub fn new() -> Self {
        Self { last: vec![0; STRIPE_COUNT].into_boxed_slice() }
    }

    /// The number of the next event on the object at this address, from 1.
    #[inline]
    pub fn next(&mut self, object: u64) -> u64 {
        let last = &mut self.last[stripe_of(object)];
        *last += 1;
        *last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_one_stripe_share_their_numbers_and_others_do_not() {
        let mut sequencer = Sequencer::new();
        let (object, stripe) = (0x1000, stripe_of(0x1000));
        let mut others = (0x1008..).step_by(8);
        let same = others.clone().find(|&o| stripe_of(o) == stripe).unwrap();
        let other = others.find(|&o| stripe_of(o) != stripe).unwrap();
        assert_eq!(sequencer.next(object), 1);
        assert_eq!(sequencer.next(same), 2);
        assert_eq!(sequencer.next(other), 1);
        assert_eq!(sequencer.next(object), 3);
    }
}

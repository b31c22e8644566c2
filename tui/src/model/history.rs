//! Where the cursor was before each jump, and where it was after.

use crate::page::Window;

/// Jumps that are remembered.
const JUMPS_MAX: usize = 10_000;

/// A place of the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The lane.
    pub lane: usize,
    /// The time.
    pub time_ns: u64,
    /// Exactly which record, if that was known.
    pub index: Option<u64>,
    /// What was on the screen.
    pub window: Window,
}

/// The way here, and the way back there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    behind: Vec<Place>,
    ahead: Vec<Place>,
}

impl History {
    /// A jump leaves this place.
    pub fn leave(&mut self, place: Place) {
        self.ahead.clear();
        if self.behind.len() == JUMPS_MAX {
            self.behind.remove(0);
        }
        self.behind.push(place);
    }

    /// Goes back, from here.
    pub fn back(&mut self, here: Place) -> Option<Place> {
        let place = self.behind.pop()?;
        self.ahead.push(here);
        Some(place)
    }

    /// Goes forward, from here.
    pub fn forward(&mut self, here: Place) -> Option<Place> {
        let place = self.ahead.pop()?;
        self.behind.push(here);
        Some(place)
    }

    /// How many jumps can be taken back.
    pub fn len(&self) -> usize {
        self.behind.len()
    }

    /// Whether there is nothing to go back to.
    pub fn is_empty(&self) -> bool {
        self.behind.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(time_ns: u64) -> Place {
        let window = Window { from_ns: 0, to_ns: 100 };
        Place { lane: 0, time_ns, index: None, window }
    }

    #[test]
    fn back_and_forward_undo_each_other_and_a_jump_forgets_forward() {
        let mut history = History::default();
        history.leave(place(1));
        history.leave(place(2));
        assert_eq!(history.back(place(3)), Some(place(2)));
        assert_eq!(history.back(place(2)), Some(place(1)));
        assert_eq!(history.back(place(1)), None);
        assert_eq!(history.forward(place(1)), Some(place(2)));
        history.leave(place(2));
        assert_eq!(history.forward(place(9)), None);
        assert_eq!(history.len(), 2);
    }
}

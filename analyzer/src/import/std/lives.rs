//! Which thread a name means at each line: a name that is forked again begins another life.

use ::std::collections::HashMap;

use super::parse::Name;

/// Names with a number below this are looked up in a list rather than in a map.
const LISTED: u64 = 1 << 20;

/// No thread has this number: a log can have 2^32 - 1.
const NONE: u32 = u32::MAX;

/// What a text says of one thread.
#[derive(Clone, Copy, Debug, Default)]
struct Life {
    /// Somebody forks it, before it does anything.
    is_forked: bool,
    /// How often it is joined.
    joins: u32,
    /// It does something after it was joined.
    outlives: bool,
}

/// Threads in the order in which they are first named, which is their number in the log.
#[derive(Debug, Default)]
pub(super) struct Lives {
    all: Vec<Life>,
    /// The life that each name means now: by number, if that is small, or by name.
    listed: Vec<u32>,
    others: HashMap<Box<[u8]>, u32>,
}

impl Lives {
    /// How many threads there are.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.all.len()).unwrap_or(NONE)
    }

    /// The thread does something.
    pub(super) fn acts(&mut self, name: Name<'_>) -> u32 {
        let life = self.current(name);
        let known = &mut self.all[life as usize];
        known.outlives |= known.joins > 0;
        life
    }

    /// The thread is forked: it is a new one, whoever had the name before.
    pub(super) fn forked(&mut self, name: Name<'_>) -> u32 {
        let life = self.begin(name);
        self.all[life as usize].is_forked = true;
        life
    }

    /// The thread is joined.
    pub(super) fn joined(&mut self, name: Name<'_>) -> u32 {
        let life = self.current(name);
        self.all[life as usize].joins += 1;
        life
    }

    /// Whether somebody forks the thread.
    pub(super) fn is_forked(&self, life: u32) -> bool {
        self.all[life as usize].is_forked
    }

    /// Whether the thread is joined once and does nothing after it.
    pub(super) fn ends_with_its_join(&self, life: u32) -> bool {
        let life = &self.all[life as usize];
        life.joins == 1 && !life.outlives
    }

    fn current(&mut self, name: Name<'_>) -> u32 {
        let found = match place(name) {
            Ok(place) => self.listed.get(place).copied().filter(|&life| life != NONE),
            Err(name) => self.others.get(name).copied(),
        };
        found.unwrap_or_else(|| self.begin(name))
    }

    fn begin(&mut self, name: Name<'_>) -> u32 {
        let life = self.count();
        self.all.push(Life::default());
        match place(name) {
            Ok(place) => {
                if self.listed.len() <= place {
                    self.listed.resize(place + 1, NONE);
                }
                self.listed[place] = life;
            }
            Err(name) => {
                self.others.insert(name.into(), life);
            }
        }
        life
    }
}

/// A name's place in the list, or its text.
fn place(name: Name<'_>) -> Result<usize, &[u8]> {
    match name {
        Name::Numbered { number, .. } if number < LISTED => {
            Ok(usize::try_from(number).expect("it is below 2^20"))
        }
        Name::Numbered { text, .. } | Name::Other(text) => Err(text),
    }
}

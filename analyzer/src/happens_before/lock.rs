//! Mutexes and read-write locks.

use super::clocks::Clocks;
use super::publication::{Accumulator, Published};
use crate::rules::Rule;

/// A mutex: every unlock happens before every later lock.
#[derive(Debug, Default)]
pub(super) struct Mutex {
    unlocked: Published,
    /// Who locked it last, until it is unlocked. The holder has taken all that was published, so
    /// that its unlock takes the place of all earlier ones; Go lets others unlock, too.
    holder: Option<usize>,
}

impl Mutex {
    #[inline]
    pub(super) fn lock(&mut self, clocks: &mut Clocks, dense: usize) {
        clocks.take_published(dense, Rule::Mutex, &self.unlocked);
        self.holder = Some(dense);
    }

    #[inline]
    pub(super) fn unlock(&mut self, clocks: &mut Clocks, dense: usize) {
        if self.holder.take() == Some(dense) {
            self.unlocked = Published::One(clocks.publish(dense));
        } else {
            clocks.merge_into(dense, &mut self.unlocked);
        }
    }
}

/// A read-write lock.
#[derive(Debug, Default)]
pub(super) struct RwLock {
    /// By writers, for everybody.
    written: Published,
    /// By readers, for the next writer. Readers order nothing among themselves.
    read: Accumulator,
    /// Who locked it last for writing, until it is unlocked: see [`Mutex`].
    writer: Option<usize>,
}

impl RwLock {
    pub(super) fn read_lock(&mut self, clocks: &mut Clocks, dense: usize) {
        clocks.take_published(dense, Rule::RwLock, &self.written);
    }

    pub(super) fn read_unlock(&mut self, clocks: &mut Clocks, dense: usize) {
        clocks.add_to(dense, &mut self.read);
    }

    pub(super) fn write_lock(&mut self, clocks: &mut Clocks, dense: usize) {
        clocks.take_published(dense, Rule::RwLock, &self.written);
        clocks.take_accumulated(dense, Rule::RwLock, &std::mem::take(&mut self.read));
        self.writer = Some(dense);
    }

    pub(super) fn write_unlock(&mut self, clocks: &mut Clocks, dense: usize) {
        if self.writer.take() == Some(dense) {
            self.written = Published::One(clocks.publish(dense));
        } else {
            clocks.merge_into(dense, &mut self.written);
        }
    }
}

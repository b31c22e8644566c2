//! Channels: the k-th send meets the k-th receive.

use std::collections::VecDeque;

use super::clocks::Clocks;
use super::publication::Publication;
use crate::rules::Rule;

/// A channel's capacity that stands for "unbounded".
const UNBOUNDED: u64 = u64::MAX;

/// The most operations of which the log may have lost all trace before the older ones are
/// forgotten: bounds what a damaged log can make us allocate.
const HOLE_MAX: u64 = 1 << 16;

/// What the operations of one side published, by k, until the other side takes it.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// The k of the first item.
    first: u64,
    items: VecDeque<Option<Publication>>,
}

impl Pending {
    pub(super) fn put(&mut self, k: u64, publication: Publication) {
        let Some(place) = k.checked_sub(self.first) else { return };
        let len = self.items.len() as u64;
        if self.items.is_empty() || place > len + HOLE_MAX {
            self.items.clear();
            self.first = k;
            self.items.push_back(Some(publication));
            return;
        }
        while (self.items.len() as u64) <= place {
            self.items.push_back(None);
        }
        let place = usize::try_from(place).expect("it lies within the items");
        self.items[place] = Some(publication);
    }

    pub(super) fn take(&mut self, k: u64) -> Option<Publication> {
        let place = usize::try_from(k.checked_sub(self.first)?).ok()?;
        let taken = self.items.get_mut(place)?.take();
        while let Some(None) = self.items.front() {
            self.items.pop_front();
            self.first += 1;
        }
        taken
    }
}

/// A channel.
#[derive(Debug, Default)]
pub(super) struct Channel {
    /// `None` if its making was not recorded: the capacity rules then draw no edge.
    capacity: Option<u64>,
    sends: Pending,
    receives: Pending,
    closed: Option<Publication>,
}

impl Channel {
    pub(super) fn with_capacity(capacity: u64) -> Self {
        Self { capacity: Some(capacity), ..Self::default() }
    }

    /// The k-th send starts. A buffered one takes the receive that made room for it, if that was
    /// before; if not, it blocks, and takes it when it is done.
    pub(super) fn send(&mut self, clocks: &mut Clocks, dense: usize, k: u64) {
        if self.capacity.is_some_and(|capacity| capacity > 0) {
            self.take_room(clocks, dense, k);
        }
        self.sends.put(k, clocks.publish(dense));
    }

    /// The k-th send, having met its receiver or waited for room, is done.
    pub(super) fn send_done(&mut self, clocks: &mut Clocks, dense: usize, k: u64) {
        self.take_room(clocks, dense, k);
    }

    fn take_room(&mut self, clocks: &mut Clocks, dense: usize, k: u64) {
        let receive = self.capacity.and_then(|capacity| k.checked_sub(capacity));
        if let Some(receive) = receive.and_then(|k| self.receives.take(k)) {
            clocks.take(dense, Rule::ChanCapacity, &receive);
        }
    }

    /// The k-th receive has its value.
    pub(super) fn receive(&mut self, clocks: &mut Clocks, dense: usize, k: u64) {
        if let Some(send) = self.sends.take(k) {
            clocks.take(dense, Rule::ChanSend, &send);
        }
        if self.capacity.is_some_and(|capacity| capacity != UNBOUNDED) {
            self.receives.put(k, clocks.publish(dense));
        }
    }

    pub(super) fn close(&mut self, clocks: &mut Clocks, dense: usize) {
        self.closed = Some(clocks.publish(dense));
    }

    /// A receive returns because the channel is closed, and empty: values that were sent before
    /// the close come by [`Self::receive`], which takes nothing of the close.
    pub(super) fn receive_closed(&mut self, clocks: &mut Clocks, dense: usize) {
        if let Some(close) = &self.closed {
            clocks.take(dense, Rule::ChanClose, close);
        }
    }
}

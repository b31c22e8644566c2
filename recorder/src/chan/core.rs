//! The channel itself, for Go's channels and for `sync::mpsc`.
//!
//! With a buffer it is a monitor: whoever finds no room (or no value) waits to be told that there is
//! some, and looks again. Every event is so written by the thread whose operation it is, under the
//! channel's lock, and numbered there: a number is never taken on behalf of a thread that may not
//! live to write the event down.
//!
//! Without a buffer a send and a receive meet. Whoever comes first waits: a plain send with its value
//! as an *offer*, all others in a queue. Whoever comes second takes the offer, or claims a waiting
//! thread (that of a select may wait at many channels; it is claimed once) and meets it. The send
//! returns when the receiver has noted that it has the value.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mmtrace_format::EventKind;
use mmtrace_format::event::BlockReason;

use super::meeting::Meeting;
use super::waiter::{Queue, Signal, Waiter};
use crate::emit;

/// How long an operation may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not at all.
    Now,
    /// Until then.
    #[cfg_attr(
        not(feature = "record"),
        expect(dead_code, reason = "only mpsc waits with a limit, and it is std's then")
    )]
    Until(Instant),
    /// As long as it takes.
    Forever,
}

/// Why a value was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It would have had to wait.
    Full,
    /// Nothing can be sent any more.
    Closed,
}

/// Why no value was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoValue {
    /// It would have had to wait, or to wait longer.
    Yet,
    /// The channel is closed and empty.
    Ever,
}

/// A channel.
pub(crate) struct Core<T> {
    /// None: unbounded.
    capacity: Option<usize>,
    state: Mutex<State<T>>,
}

struct State<T> {
    closed: bool,
    /// How many sends have put, or offered, their value.
    sent: u64,
    /// Values with the number of their send.
    buffer: VecDeque<(u64, T)>,
    /// Without a buffer: plain sends that wait.
    offers: VecDeque<Arc<Meeting<T>>>,
    /// With a buffer: everybody who waits for room. Without: selects that would send.
    senders: Queue,
    receivers: Queue,
    /// Meetings for threads that were claimed, until they wake and find them.
    meetings: Vec<(Arc<Waiter>, Arc<Meeting<T>>)>,
}

type Locked<'a, T> = MutexGuard<'a, State<T>>;

impl<T> Core<T> {
    /// A channel with this much room.
    pub(crate) fn new(capacity: Option<usize>) -> Self {
        Self {
            capacity,
            state: Mutex::new(State {
                closed: false,
                sent: 0,
                buffer: VecDeque::new(),
                offers: VecDeque::new(),
                senders: Queue::default(),
                receivers: Queue::default(),
                meetings: Vec::new(),
            }),
        }
    }

    /// Begins the channel's life in the log, at the address where it is to stay.
    #[track_caller]
    pub(crate) fn announce(&self) {
        let capacity = self.capacity.map_or(u64::MAX, |capacity| capacity as u64);
        self.note(EventKind::ChanMake, capacity);
    }

    pub(crate) fn capacity(&self) -> Option<usize> {
        self.capacity
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().buffer.len()
    }

    /// Sends a value.
    ///
    /// # Errors
    /// If it was not sent: why, and the value.
    #[track_caller]
    pub(crate) fn send(&self, value: T, patience: Patience) -> Result<(), (Refusal, T)> {
        if self.capacity == Some(0) {
            return self.send_meeting(value, patience);
        }
        let mut value = value;
        let mut blocked = false;
        loop {
            let mut state = self.lock();
            if state.closed {
                drop(state);
                if blocked {
                    emit::run(BlockReason::Send);
                }
                return Err((Refusal::Closed, value));
            }
            value = match self.put(&mut state, value) {
                Ok(()) => return Ok(()),
                Err(value) => value,
            };
            if patience == Patience::Now {
                return Err((Refusal::Full, value));
            }
            let waiter = Arc::new(Waiter::default());
            state.senders.push(&waiter, 0);
            drop(state);
            if !blocked {
                emit::block(BlockReason::Send, self.address());
            }
            blocked = true;
            waiter.wait(None);
        }
    }

    /// With a buffer: puts a value if there is room.
    #[track_caller]
    fn put(&self, state: &mut State<T>, value: T) -> Result<(), T> {
        if self.capacity.is_some_and(|capacity| state.buffer.len() >= capacity) {
            return Err(value);
        }
        let k = self.begin_send(state);
        state.buffer.push_back((k, value));
        state.receivers.wake_one();
        Ok(())
    }

    /// Without a buffer: meets a receiver that waits, or waits for one.
    #[track_caller]
    fn send_meeting(&self, value: T, patience: Patience) -> Result<(), (Refusal, T)> {
        let mut state = self.lock();
        if state.closed {
            return Err((Refusal::Closed, value));
        }
        let receiver = state.receivers.claim();
        if receiver.is_none() && patience == Patience::Now {
            return Err((Refusal::Full, value));
        }
        let k = self.begin_send(&mut state);
        let meeting = Arc::new(Meeting::offering(k, value));
        let must_wait = receiver.is_none();
        match receiver {
            Some(receiver) => state.meetings.push((receiver, Arc::clone(&meeting))),
            None => state.offers.push_back(Arc::clone(&meeting)),
        }
        drop(state);
        if must_wait {
            emit::block(BlockReason::Send, self.address());
        }
        match meeting.wait_taken() {
            Ok(()) => {
                self.note(EventKind::ChanSendDone, k);
                Ok(())
            }
            Err(value) => {
                emit::run(BlockReason::Send);
                Err((Refusal::Closed, value))
            }
        }
    }

    /// Receives a value.
    ///
    /// # Errors
    /// If there was none: why.
    #[track_caller]
    pub(crate) fn recv(&self, patience: Patience) -> Result<T, NoValue> {
        let mut blocked = false;
        loop {
            let mut state = match self.take(self.lock()) {
                Ok(value) => return Ok(value),
                Err(state) => state,
            };
            if state.closed {
                drop(state);
                self.note(EventKind::ChanRecvClosed, 0);
                return Err(NoValue::Ever);
            }
            let deadline = match patience {
                Patience::Now => return Err(NoValue::Yet),
                Patience::Until(deadline) => Some(deadline),
                Patience::Forever => None,
            };
            let waiter = Arc::new(Waiter::default());
            state.receivers.push(&waiter, 0);
            drop(state);
            if !blocked {
                emit::block(BlockReason::Receive, self.address());
            }
            blocked = true;
            match waiter.wait(deadline) {
                Signal::Retry(_) => {}
                Signal::Claimed(_) => return Ok(self.take_claimed(&waiter)),
                Signal::Aborted => {
                    self.lock().receivers.remove(&waiter);
                    emit::run(BlockReason::Receive);
                    return Err(NoValue::Yet);
                }
            }
        }
    }

    /// Takes a value that is there, or that somebody who waits will bring; else gives the lock back.
    #[track_caller]
    fn take<'a>(&'a self, mut state: Locked<'a, T>) -> Result<T, Locked<'a, T>> {
        if let Some((k, value)) = state.buffer.pop_front() {
            self.note(EventKind::ChanRecv, k);
            state.senders.wake_one();
            return Ok(value);
        }
        if self.capacity != Some(0) {
            return Err(state);
        }
        let meeting = if let Some(offer) = state.offers.pop_front() {
            offer
        } else if let Some(sender) = state.senders.claim() {
            let meeting = Arc::new(Meeting::awaiting());
            state.meetings.push((sender, Arc::clone(&meeting)));
            meeting
        } else {
            return Err(state);
        };
        drop(state);
        Ok(self.take_from(&meeting))
    }

    /// Takes the value of the peer that has claimed this thread.
    #[track_caller]
    fn take_claimed(&self, waiter: &Arc<Waiter>) -> T {
        let meeting = Self::meeting_of(&mut self.lock(), waiter);
        self.take_from(&meeting)
    }

    #[track_caller]
    fn take_from(&self, meeting: &Meeting<T>) -> T {
        meeting.take(|k| {
            self.note(EventKind::ChanRecv, k);
        })
    }

    /// Closes the channel; false if it was closed.
    #[track_caller]
    pub(crate) fn close(&self) -> bool {
        let mut state = self.lock();
        if state.closed {
            return false;
        }
        self.note(EventKind::ChanClose, 0);
        Self::shut(&mut state);
        true
    }

    /// Closes the channel for senders and drops its values: there is no receiver any more.
    #[cfg(feature = "record")]
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        Self::shut(&mut state);
        let values = std::mem::take(&mut state.buffer);
        drop(state);
        // A value's drop is the program's code: not under our lock.
        drop(values);
    }

    fn shut(state: &mut State<T>) {
        state.closed = true;
        for offer in state.offers.drain(..) {
            offer.revoke();
        }
        state.senders.wake_all();
        state.receivers.wake_all();
    }

    /// Numbers a send, and records it. The caller puts its value before it gives the lock back.
    #[track_caller]
    fn begin_send(&self, state: &mut State<T>) -> u64 {
        let k = state.sent;
        state.sent += 1;
        self.note(EventKind::ChanSend, k);
        k
    }

    fn meeting_of(state: &mut State<T>, waiter: &Arc<Waiter>) -> Arc<Meeting<T>> {
        let index = state.meetings.iter().position(|(whose, _)| Arc::ptr_eq(whose, waiter));
        // Whoever claims a thread leaves the meeting before it gives the channel's lock back.
        let index = index.expect("a claimed thread has a meeting");
        state.meetings.swap_remove(index).1
    }

    #[track_caller]
    fn note(&self, kind: EventKind, value: u64) {
        emit::note(kind, 0, self.address(), value);
    }

    fn address(&self) -> u64 {
        emit::address_of(self)
    }

    fn lock(&self) -> Locked<'_, T> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a select does at one of its channels.
impl<T> Core<T> {
    /// Lets `waiter` wait for a value, unless there is something to be done at once.
    pub(super) fn enqueue_receiver(&self, waiter: &Arc<Waiter>, case: usize) -> bool {
        let mut state = self.lock();
        let ready = state.closed
            || !state.buffer.is_empty()
            || !state.offers.is_empty()
            || (self.capacity == Some(0) && state.senders.has_other(waiter));
        if !ready {
            state.receivers.push(waiter, case);
        }
        !ready
    }

    /// Lets `waiter` wait to send, unless there is something to be done at once.
    pub(super) fn enqueue_sender(&self, waiter: &Arc<Waiter>, case: usize) -> bool {
        let mut state = self.lock();
        let ready = state.closed
            || match self.capacity {
                Some(0) => state.receivers.has_other(waiter),
                Some(capacity) => state.buffer.len() < capacity,
                None => true,
            };
        if !ready {
            state.senders.push(waiter, case);
        }
        !ready
    }

    /// Takes `waiter` out of the queues.
    pub(super) fn dequeue(&self, waiter: &Arc<Waiter>) {
        let mut state = self.lock();
        state.receivers.remove(waiter);
        state.senders.remove(waiter);
    }

    /// Receives from the peer that has claimed this thread.
    #[track_caller]
    pub(super) fn complete_receive(&self, waiter: &Arc<Waiter>) -> T {
        self.take_claimed(waiter)
    }

    /// Sends to the peer that has claimed this thread.
    #[track_caller]
    pub(super) fn complete_send(&self, waiter: &Arc<Waiter>, value: T) {
        let mut state = self.lock();
        let meeting = Self::meeting_of(&mut state, waiter);
        let k = self.begin_send(&mut state);
        drop(state);
        meeting.offer(k, value);
        // A meeting that its receiver began is not in the list that a close revokes.
        let taken = meeting.wait_taken();
        debug_assert!(taken.is_ok(), "only an offer that waits is revoked");
        self.note(EventKind::ChanSendDone, k);
    }
}

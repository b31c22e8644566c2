//! `select!`: the one of several channel operations that can go on.
//!
//! First every case is tried, from a random one on. If none can go on, the thread queues at every
//! channel, looking once more under each channel's lock, and waits to be told or claimed. It is told
//! once: a second channel that would tell it passes on to the next who waits, so that no wake is
//! lost on a select that goes another way; and the case that it was told of is tried first.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use mmtrace_format::EventKind;
use mmtrace_format::event::{BlockReason, DETAIL_MAX};

use super::core::{NoValue, Patience, Refusal};
use super::waiter::{Signal, Waiter};
use super::{Core, Receiver, Sender};
use crate::emit;

/// Waits for the first of several channel operations that can go on, and does it.
///
/// ```
/// use mmtrace_recorder::{chan::chan, select};
///
/// let (numbers, number) = chan(1);
/// let (words, _word) = chan::<&str>(0);
/// numbers.send(7);
/// let got = select! {
///     recv(number) -> n => n.unwrap_or(0),
///     send(words, "seven") => 0,
///     default => -1,
/// };
/// assert_eq!(got, 7);
/// ```
///
/// A receive binds an `Option`: none says that the channel is closed and empty. Values to be sent
/// are computed before anything is tried, in the order in which they stand. With `default` nothing
/// waits.
///
/// # Panics
/// If a send is tried on a closed channel.
#[macro_export]
macro_rules! select {
    ($($cases:tt)+) => { $crate::__select!(@parse [] [] [] $($cases)+) };
}

/// The steps of [`select!`]: `[made] [arms] [default]`, then what is left to parse. Each case's
/// variable is written in another step, and so is another variable, though all have one name.
#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    (@parse $made:tt $arms:tt $default:tt , $($rest:tt)*) => {
        $crate::__select!(@parse $made $arms $default $($rest)*)
    };
    (@parse [$($made:tt)*] [$($arms:tt)*] $default:tt
     recv($channel:expr) -> $value:pat => $body:block $($rest:tt)*) => {
        $crate::__select!(@parse
            [$($made)* (case, $crate::chan::select::Receive::new(&$channel))]
            [$($arms)* (case, recv $value, $body)]
            $default $($rest)*)
    };
    (@parse [$($made:tt)*] [$($arms:tt)*] $default:tt
     recv($channel:expr) -> $value:pat => $body:expr $(, $($rest:tt)*)?) => {
        $crate::__select!(@parse
            [$($made)* (case, $crate::chan::select::Receive::new(&$channel))]
            [$($arms)* (case, recv $value, $body)]
            $default $($($rest)*)?)
    };
    (@parse [$($made:tt)*] [$($arms:tt)*] $default:tt
     send($channel:expr, $value:expr) => $body:block $($rest:tt)*) => {
        $crate::__select!(@parse
            [$($made)* (case, $crate::chan::select::Send::new(&$channel, $value))]
            [$($arms)* (case, send, $body)]
            $default $($rest)*)
    };
    (@parse [$($made:tt)*] [$($arms:tt)*] $default:tt
     send($channel:expr, $value:expr) => $body:expr $(, $($rest:tt)*)?) => {
        $crate::__select!(@parse
            [$($made)* (case, $crate::chan::select::Send::new(&$channel, $value))]
            [$($arms)* (case, send, $body)]
            $default $($($rest)*)?)
    };
    (@parse $made:tt $arms:tt [] default => $body:block $($rest:tt)*) => {
        $crate::__select!(@parse $made $arms [$body] $($rest)*)
    };
    (@parse $made:tt $arms:tt [] default => $body:expr $(, $($rest:tt)*)?) => {
        $crate::__select!(@parse $made $arms [$body] $($($rest)*)?)
    };
    (@parse [$(($case:ident, $new:expr))*] $arms:tt []) => {{
        $(let mut $case = $new;)*
        let chosen = $crate::chan::select::wait(&mut [$(&mut $case),*]);
        $crate::__select!(@choose chosen, 0usize, unreachable!("one of the cases"), $arms)
    }};
    (@parse [$(($case:ident, $new:expr))*] $arms:tt [$default:expr]) => {{
        $(let mut $case = $new;)*
        match $crate::chan::select::try_now(&mut [$(&mut $case),*]) {
            Some(chosen) => {
                $crate::__select!(@choose chosen, 0usize, unreachable!("one of the cases"), $arms)
            }
            None => $default,
        }
    }};
    (@choose $chosen:ident, $index:expr, $none:expr, []) => { $none };
    (@choose $chosen:ident, $index:expr, $none:expr,
     [($case:ident, recv $value:pat, $body:expr) $($arms:tt)*]) => {
        if $chosen == $index {
            let $value = $case.into_value();
            $body
        } else {
            $crate::__select!(@choose $chosen, $index + 1, $none, [$($arms)*])
        }
    };
    (@choose $chosen:ident, $index:expr, $none:expr,
     [($case:ident, send, $body:expr) $($arms:tt)*]) => {
        if $chosen == $index {
            $body
        } else {
            $crate::__select!(@choose $chosen, $index + 1, $none, [$($arms)*])
        }
    };
}

/// One case of a select. Made by [`select!`].
pub trait Case: sealed::Steps {}

mod sealed {
    use std::sync::Arc;

    use crate::chan::waiter::Waiter;

    /// What a select does with a case.
    pub trait Steps {
        /// Goes on if that needs no waiting.
        #[track_caller]
        fn attempt(&mut self) -> bool;
        /// Queues at the channel, unless there is something to be done at once.
        #[expect(private_interfaces, reason = "the trait is sealed: nobody outside names it")]
        fn enqueue(&self, waiter: &Arc<Waiter>, index: usize) -> bool;
        /// Leaves the channel's queue.
        #[expect(private_interfaces, reason = "the trait is sealed: nobody outside names it")]
        fn dequeue(&self, waiter: &Arc<Waiter>);
        /// Goes on with the peer that has claimed this thread.
        #[expect(private_interfaces, reason = "the trait is sealed: nobody outside names it")]
        #[track_caller]
        fn complete(&mut self, waiter: &Arc<Waiter>);
    }
}

/// A receive that a select may choose.
pub struct Receive<'a, T> {
    channel: Option<&'a Core<T>>,
    received: Received<T>,
}

/// A send that a select may choose.
pub struct Send<'a, T> {
    channel: Option<&'a Core<T>>,
    /// Gone when it was sent.
    value: Option<T>,
}

enum Received<T> {
    Nothing,
    Value(T),
    Closed,
}

impl<'a, T> Receive<'a, T> {
    /// A receive from this channel.
    pub fn new(receiver: &'a Receiver<T>) -> Self {
        Self { channel: receiver.core.as_deref(), received: Received::Nothing }
    }

    /// What was received; none if the channel was closed, or the case not chosen.
    pub fn into_value(self) -> Option<T> {
        match self.received {
            Received::Value(value) => Some(value),
            Received::Closed | Received::Nothing => None,
        }
    }
}

impl<'a, T> Send<'a, T> {
    /// A send of this value to this channel.
    pub fn new(sender: &'a Sender<T>, value: T) -> Self {
        Self { channel: sender.core.as_deref(), value: Some(value) }
    }
}

impl<T> Case for Receive<'_, T> {}
impl<T> Case for Send<'_, T> {}

#[expect(private_interfaces, reason = "the trait is sealed: nobody outside names it")]
impl<T> sealed::Steps for Receive<'_, T> {
    fn attempt(&mut self) -> bool {
        let Some(channel) = self.channel else { return false };
        self.received = match channel.recv(Patience::Now) {
            Ok(value) => Received::Value(value),
            Err(NoValue::Ever) => Received::Closed,
            Err(NoValue::Yet) => return false,
        };
        true
    }

    fn enqueue(&self, waiter: &Arc<Waiter>, index: usize) -> bool {
        self.channel.is_none_or(|channel| channel.enqueue_receiver(waiter, index))
    }

    fn dequeue(&self, waiter: &Arc<Waiter>) {
        if let Some(channel) = self.channel {
            channel.dequeue(waiter);
        }
    }

    fn complete(&mut self, waiter: &Arc<Waiter>) {
        let channel = self.channel.expect("nobody is claimed at a nil channel");
        self.received = Received::Value(channel.complete_receive(waiter));
    }
}

#[expect(private_interfaces, reason = "the trait is sealed: nobody outside names it")]
impl<T> sealed::Steps for Send<'_, T> {
    fn attempt(&mut self) -> bool {
        let Some(channel) = self.channel else { return false };
        let Some(value) = self.value.take() else { return false };
        match channel.send(value, Patience::Now) {
            Ok(()) => true,
            Err((Refusal::Full, value)) => {
                self.value = Some(value);
                false
            }
            Err((Refusal::Closed, _)) => panic!("send on closed channel"),
        }
    }

    fn enqueue(&self, waiter: &Arc<Waiter>, index: usize) -> bool {
        self.channel.is_none_or(|channel| channel.enqueue_sender(waiter, index))
    }

    fn dequeue(&self, waiter: &Arc<Waiter>) {
        if let Some(channel) = self.channel {
            channel.dequeue(waiter);
        }
    }

    fn complete(&mut self, waiter: &Arc<Waiter>) {
        let channel = self.channel.expect("nobody is claimed at a nil channel");
        let value = self.value.take().expect("a case completes once");
        channel.complete_send(waiter, value);
    }
}

/// Does one of the cases, waiting for it; says which.
///
/// # Panics
/// If a send is tried on a closed channel.
#[track_caller]
pub fn wait(cases: &mut [&mut dyn Case]) -> usize {
    let mut first = None;
    let mut blocked = false;
    loop {
        if let Some(chosen) = attempt_any(cases, first) {
            return note_choice(cases, chosen);
        }
        let waiter = Arc::new(Waiter::default());
        let queued = cases.iter().enumerate().all(|(index, case)| case.enqueue(&waiter, index));
        let signal = if queued {
            if !blocked {
                emit::block(BlockReason::Select, 0);
            }
            blocked = true;
            waiter.wait(None)
        } else {
            waiter.abort()
        };
        for case in &*cases {
            case.dequeue(&waiter);
        }
        match signal {
            Signal::Claimed(chosen) => {
                cases[chosen].complete(&waiter);
                return note_choice(cases, chosen);
            }
            Signal::Retry(index) => first = Some(index),
            // Two selects that see each other give up both, and try again in another order.
            Signal::Aborted => std::thread::yield_now(),
        }
    }
}

/// Does one of the cases if that needs no waiting; says which.
///
/// # Panics
/// If a send is tried on a closed channel.
#[track_caller]
pub fn try_now(cases: &mut [&mut dyn Case]) -> Option<usize> {
    if let Some(chosen) = attempt_any(cases, None) {
        return Some(note_choice(cases, chosen));
    }
    emit::note(EventKind::Select, DETAIL_MAX, 0, cases.len() as u64);
    None
}

#[track_caller]
fn note_choice(cases: &[&mut dyn Case], chosen: usize) -> usize {
    let detail = u32::try_from(chosen).expect("a select is written out by hand");
    emit::note(EventKind::Select, detail, 0, cases.len() as u64);
    chosen
}

/// Tries `first`, then all from a random one on, so that no case starves another.
#[track_caller]
fn attempt_any(cases: &mut [&mut dyn Case], first: Option<usize>) -> Option<usize> {
    if let Some(first) = first
        && cases[first].attempt()
    {
        return Some(first);
    }
    let count = cases.len();
    let start = random_below(count);
    (start..count).chain(0..start).find(|&index| cases[index].attempt())
}

/// A number below `count` that the next call will not repeat; 0 if there is none.
fn random_below(count: usize) -> usize {
    thread_local! {
        static STATE: Cell<u64> = const { Cell::new(0) };
    }
    let state = STATE.with(|state| {
        let mut next = state.get();
        if next == 0 {
            // Where the cell lies differs by thread.
            next = emit::address_of(state) | 1;
        }
        // Marsaglia's xorshift64: fast, and good enough to be fair.
        next ^= next << 13;
        next ^= next >> 7;
        next ^= next << 17;
        state.set(next);
        next
    });
    (state >> 33) as usize % count.max(1)
}

impl<T> fmt::Debug for Receive<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receive").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Send<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Send").finish_non_exhaustive()
    }
}

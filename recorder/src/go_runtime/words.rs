//! The hooks that the overlay adds to call things by the program's names.
//!
//! # Safety
//! As for [`super::hooks`].

#![expect(unsafe_code, reason = "called by Go, with Go's pointers")]

use mmtrace_format::event::DETAIL_MAX;
use mmtrace_format::{AccessKind, Event, EventKind};

use super::goroutine::Goroutine;
use super::hooks::{proc_of, recording, running, stack_here, sync_event};
use super::layout::{self, Entry};
use super::proc::Proc;

/// Bytes of the word that says who holds a mutex, or that a once is done.
const STATE_SIZE: u32 = 4;

/// Something that is done at a channel, by the goroutine that runs (*this*) and maybe by one that is
/// parked there (the *peer*). The channel's lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum ChannelOperation {
    /// It is made.
    Make = 0,
    /// This sends.
    Send = 1,
    /// This receives.
    Receive = 2,
    /// The peer sends: there is room for its value now.
    PeerSends = 3,
    /// The peer receives.
    PeerReceives = 4,
    /// Without a buffer: this sends to the peer.
    SendToPeer = 5,
    /// Without a buffer: this receives from the peer.
    ReceiveFromPeer = 6,
    /// This closes it.
    Close = 7,
    /// This receives the nothing of a closed channel.
    ReceiveClosed = 8,
    /// The peer does.
    PeerReceivesClosed = 9,
}

impl ChannelOperation {
    const ALL: [Self; 10] = [
        Self::Make,
        Self::Send,
        Self::Receive,
        Self::PeerSends,
        Self::PeerReceives,
        Self::SendToPeer,
        Self::ReceiveFromPeer,
        Self::Close,
        Self::ReceiveClosed,
        Self::PeerReceivesClosed,
    ];
}

/// How many values were sent and received so far: kept in the channel itself.
struct Counts(*mut [u64; 2]);

impl Counts {
    const SENT: usize = 0;
    const RECEIVED: usize = 1;

    unsafe fn next(&self, which: usize) -> u64 {
        // SAFETY: the overlay added the two words to the channel, whose lock is held.
        let counts = unsafe { &mut *self.0 };
        let k = counts[which];
        counts[which] += 1;
        k
    }
}

/// Something is done at a channel.
pub unsafe extern "C" fn channel(
    context: *mut Goroutine,
    object: u64,
    operation: u64,
    peer: *mut Goroutine,
    g: usize,
    frame: u64,
) {
    use ChannelOperation as Op;

    let Some(&operation) = ChannelOperation::ALL.get(operation as usize) else { return };
    // SAFETY: see the module.
    if let Some(proc) = unsafe { proc_of(g) } {
        // What happens at once has one time.
        proc.hold_clock();
    }
    let counts = object as usize + layout::entry(Entry::ChannelCounts);
    let counts = Counts(std::ptr::with_exposed_provenance_mut(counts));
    let note = |who, kind, value| {
        // SAFETY: see the module; the peer is parked, and whoever holds the lock keeps it so.
        unsafe { sync_event(who, Event { object, value, ..Event::new(kind) }, g, frame) };
    };
    // SAFETY: the channel's lock is held: see `ChannelOperation`.
    let next = |which| unsafe { counts.next(which) };
    match operation {
        Op::Make => {
            // SAFETY: a channel that nobody else knows yet.
            let capacity =
                unsafe { layout::word(object as usize, layout::entry(Entry::ChannelCapacity)) };
            note(context, EventKind::ChanMake, capacity as u64);
        }
        Op::Send => note(context, EventKind::ChanSend, next(Counts::SENT)),
        Op::Receive => note(context, EventKind::ChanRecv, next(Counts::RECEIVED)),
        Op::PeerSends => note(peer, EventKind::ChanSend, next(Counts::SENT)),
        Op::PeerReceives => note(peer, EventKind::ChanRecv, next(Counts::RECEIVED)),
        Op::SendToPeer | Op::ReceiveFromPeer => {
            let (sender, receiver) =
                if operation == Op::SendToPeer { (context, peer) } else { (peer, context) };
            let k = next(Counts::SENT);
            next(Counts::RECEIVED);
            note(sender, EventKind::ChanSend, k);
            note(receiver, EventKind::ChanRecv, k);
            if operation == Op::SendToPeer {
                note(sender, EventKind::ChanSendDone, k);
            } else {
                // SAFETY: see the module; the peer is parked, and whoever holds the lock keeps it so.
                if let Some(sender) = unsafe { sender.as_mut() }.filter(|peer| peer.ignoring == 0) {
                    sender.sent = Some((object, k));
                }
            }
        }
        Op::Close => note(context, EventKind::ChanClose, 0),
        Op::ReceiveClosed => note(context, EventKind::ChanRecvClosed, 0),
        Op::PeerReceivesClosed => note(peer, EventKind::ChanRecvClosed, 0),
    }
    // SAFETY: see the module.
    if let Some(proc) = unsafe { proc_of(g) } {
        proc.release_clock();
    }
}

/// A select chose a case, or the default (-1).
pub unsafe extern "C" fn select(
    context: *mut Goroutine,
    chosen: u64,
    cases: u64,
    _unused: u64,
    g: usize,
    frame: u64,
) {
    // 24 bits: all ones for the default.
    let detail = chosen as u32 & DETAIL_MAX;
    let event = Event { detail, value: cases, ..Event::new(EventKind::Select) };
    // SAFETY: see the module.
    unsafe { sync_event(context, event, g, frame) };
}

/// Something is done with an object of package `sync`, or at a weak edge: `kind` is the event's tag,
/// with its detail from bit 8 on.
pub unsafe extern "C" fn operation(
    context: *mut Goroutine,
    object: u64,
    kind: u64,
    value: u64,
    g: usize,
    frame: u64,
) {
    // The low eight bits.
    let Some(known) = EventKind::from_tag(kind as u8) else { return };
    if !known.spec().is_sequenced() {
        return;
    }
    let detail = (kind >> 8) as u32 & DETAIL_MAX;
    let event = Event { detail, object, value, ..Event::new(known) };
    let word = match known {
        EventKind::MutexLock | EventKind::MutexUnlock | EventKind::OnceDone => {
            Some(AccessKind::AtomicWrite)
        }
        EventKind::OnceWait => Some(AccessKind::AtomicRead),
        _ => None,
    };
    match word {
        // SAFETY: see the module.
        Some(word) => unsafe { with_word(context, event, word, g, frame) },
        // SAFETY: see the module.
        None => unsafe { sync_event(context, event, g, frame) },
    }
}

/// A mutex is locked or is going to be unlocked, a once is done or seen to be. Its own word is changed or
/// read with that: the overlay has it done by atomics that tell nothing, but who writes over a mutex that
/// is in use races with it.
#[inline]
unsafe fn with_word(context: *mut Goroutine, event: Event, kind: AccessKind, g: usize, frame: u64) {
    // SAFETY: see the module.
    if unsafe { context.as_ref() }.is_none_or(|goroutine| goroutine.ignoring != 0) {
        return;
    }
    // SAFETY: see the module.
    let Some(proc) = (unsafe { running(context, g) }) else { return };
    // SAFETY: see the module.
    let stack = unsafe { stack_here(proc, &[], g, frame) };
    let word = |proc: &mut Proc| proc.access_at(kind, event.object, STATE_SIZE, stack);
    // After what is taken, before what is given.
    if matches!(event.kind, EventKind::MutexLock | EventKind::OnceWait) {
        proc.event(Event { stack, ..event });
        word(proc);
    } else {
        word(proc);
        proc.event(Event { stack, ..event });
    }
}

/// A test begins or ends: `kind` is the event's tag, with the outcome from bit 8 on.
pub unsafe extern "C" fn test(
    context: *mut Goroutine,
    kind: u64,
    name: *const u8,
    len: usize,
    g: usize,
    _frame: u64,
) {
    let Some(recording) = recording() else { return };
    let kind_of = EventKind::from_tag(kind as u8);
    let Some(known @ (EventKind::TestStart | EventKind::TestEnd)) = kind_of else { return };
    // SAFETY: a string of Go's, which its caller holds.
    let name = unsafe { std::slice::from_raw_parts(name, len) };
    let value = u64::from(recording.string(&String::from_utf8_lossy(name)).as_u32());
    // SAFETY: see the module.
    let Some(proc) = (unsafe { running(context, g) }) else { return };
    let detail = (kind >> 8) as u32 & DETAIL_MAX;
    proc.event(Event { detail, value, ..Event::new(known) });
}

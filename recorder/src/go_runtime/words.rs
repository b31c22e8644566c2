//! The hooks that the overlay adds to call things by the program's names.
//!
//! # Safety
//! As for [`super::hooks`].

#![expect(unsafe_code, reason = "called by Go, with Go's pointers")]
#![expect(clippy::missing_safety_doc, reason = "the same for all: see the module")]

use mmtrace_format::{Event, EventKind};

use super::goroutine::Goroutine;
use super::hooks::sync_event;
use super::layout::{self, Entry};

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
            note(sender, EventKind::ChanSendDone, k);
        }
        Op::Close => note(context, EventKind::ChanClose, 0),
        Op::ReceiveClosed => note(context, EventKind::ChanRecvClosed, 0),
        Op::PeerReceivesClosed => note(peer, EventKind::ChanRecvClosed, 0),
    }
}

/// Something is done with an object of package `sync`, or at a weak edge: `kind` is the event's tag,
/// `detail` its detail.
pub unsafe extern "C" fn operation(
    context: *mut Goroutine,
    object: u64,
    kind: u64,
    detail: u64,
    g: usize,
    frame: u64,
) {
    let kind = u8::try_from(kind).ok().and_then(EventKind::from_tag);
    let Some(kind) = kind.filter(|kind| kind.spec().is_sequenced()) else { return };
    // 24 bits.
    let event = Event { detail: detail as u32, object, ..Event::new(kind) };
    // SAFETY: see the module.
    unsafe { sync_event(context, event, g, frame) };
}

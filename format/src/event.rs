//! Events: everything that happened except plain memory accesses.
//!
//! One table, [`spec`], says which kinds there are, which fields each has, and what they mean. The
//! encoder, the decoder, the text form, `docs/FORMAT.md` and the fuzz seeds all follow from it, so
//! a new kind is one row there (and, if it orders anything, one row in the analyzer's rules).

pub mod spec;
pub mod text;
pub mod word;

pub use spec::{EventGroup, EventKind, EventSpec, Field, FieldType, Slot};

use crate::id::StackId;
use crate::units::Timestamp;

/// One record of the sync lane.
///
/// Which fields a kind uses is said by [`EventKind::spec`]; the others are zero, and writers and
/// readers both keep it so. The thread is not here: a stream's current thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// A small code of the kind's own (an ordering, a reason, a flag); 24 bits.
    pub detail: u32,
    /// Where in the program.
    pub stack: StackId,
    /// When.
    pub time: Timestamp,
    /// The address of the object it was done to.
    pub object: u64,
    /// Its number among the events of the object's stripe, from 1 (see [`crate::stripe_of`]).
    pub sequence: u64,
    /// The kind's first operand.
    pub value: u64,
    /// The kind's second operand.
    pub extra: u64,
}

/// The largest [`Event::detail`].
pub const DETAIL_MAX: u32 = (1 << 24) - 1;

impl Event {
    /// An event of this kind with every other field zero.
    #[inline]
    pub const fn new(kind: EventKind) -> Self {
        Self {
            kind,
            detail: 0,
            stack: StackId::UNKNOWN,
            time: Timestamp::from_ns(0),
            object: 0,
            sequence: 0,
            value: 0,
            extra: 0,
        }
    }

    /// The operand in `slot`, as the raw number that is written to the log.
    #[inline]
    pub fn slot(&self, slot: Slot) -> u64 {
        match slot {
            Slot::Detail => u64::from(self.detail),
            Slot::Object => self.object,
            Slot::Sequence => self.sequence,
            Slot::Value => self.value,
            Slot::Extra => self.extra,
        }
    }

    /// Sets the operand in `slot`; a detail is cut to its 24 bits.
    #[inline]
    pub fn set_slot(&mut self, slot: Slot, number: u64) {
        match slot {
            Slot::Detail => self.detail = (number & u64::from(DETAIL_MAX)) as u32,
            Slot::Object => self.object = number,
            Slot::Sequence => self.sequence = number,
            Slot::Value => self.value = number,
            Slot::Extra => self.extra = number,
        }
    }

    /// Whether every field that the kind does not use is zero and the detail fits its bits.
    pub fn is_canonical(&self) -> bool {
        let used = self.kind.spec();
        self.detail <= DETAIL_MAX
            && Slot::ALL.into_iter().all(|slot| used.has(slot) || self.slot(slot) == 0)
    }
}

/// Memory order of an atomic operation, as its event's detail has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MemoryOrder {
    /// Orders nothing.
    Relaxed = 0,
    /// A load that takes what a release published.
    Acquire = 1,
    /// A store that publishes.
    Release = 2,
    /// Both, for a read-modify-write or a fence.
    AcquireRelease = 3,
    /// Both, and one total order of all such operations. Every atomic of Go is this.
    SequentiallyConsistent = 4,
}

impl MemoryOrder {
    /// The order with this code; an unknown code is the strongest that is sure: relaxed.
    #[inline]
    pub const fn from_detail(detail: u32) -> Self {
        match detail {
            1 => Self::Acquire,
            2 => Self::Release,
            3 => Self::AcquireRelease,
            4 => Self::SequentiallyConsistent,
            _ => Self::Relaxed,
        }
    }

    /// Whether a load with this order takes what a release published.
    #[inline]
    pub const fn acquires(self) -> bool {
        matches!(self, Self::Acquire | Self::AcquireRelease | Self::SequentiallyConsistent)
    }

    /// Whether a store with this order publishes.
    #[inline]
    pub const fn releases(self) -> bool {
        matches!(self, Self::Release | Self::AcquireRelease | Self::SequentiallyConsistent)
    }

    /// The name in dumps and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Relaxed => "relaxed",
            Self::Acquire => "acquire",
            Self::Release => "release",
            Self::AcquireRelease => "acq-rel",
            Self::SequentiallyConsistent => "seq-cst",
        }
    }
}

/// What a blocked thread waits for, as the detail of `Block` and `Run` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum BlockReason {
    /// The recorder could not tell.
    Unknown = 0,
    /// A channel has no room, or no receiver.
    Send = 1,
    /// A channel has no value.
    Receive = 2,
    /// No case of a select is ready.
    Select = 3,
    /// A mutex is held.
    Mutex = 4,
    /// A read-write mutex is held, or wanted, by a writer.
    ReadLock = 5,
    /// A read-write mutex is held.
    WriteLock = 6,
    /// A wait group is not done.
    WaitGroup = 7,
    /// A condition variable was not signalled.
    Condition = 8,
    /// It sleeps.
    Sleep = 9,
    /// It waits for the network or a file.
    Io = 10,
    /// It is in a system call.
    Syscall = 11,
    /// The garbage collector holds it up.
    GarbageCollector = 12,
    /// A thread has not ended.
    Join = 13,
    /// Nobody unparked it.
    Park = 14,
    /// A barrier is not full.
    Barrier = 15,
    /// Somebody else is initialising.
    Once = 16,
    /// A nil channel: for ever.
    NilChannel = 17,
    /// A pool has no item.
    Pool = 18,
}

impl BlockReason {
    /// Every reason, in the order of their codes.
    pub const ALL: [Self; 19] = [
        Self::Unknown,
        Self::Send,
        Self::Receive,
        Self::Select,
        Self::Mutex,
        Self::ReadLock,
        Self::WriteLock,
        Self::WaitGroup,
        Self::Condition,
        Self::Sleep,
        Self::Io,
        Self::Syscall,
        Self::GarbageCollector,
        Self::Join,
        Self::Park,
        Self::Barrier,
        Self::Once,
        Self::NilChannel,
        Self::Pool,
    ];

    /// The reason with this code; an unknown code is [`BlockReason::Unknown`].
    pub fn from_detail(detail: u32) -> Self {
        usize::try_from(detail)
            .ok()
            .and_then(|index| Self::ALL.get(index).copied())
            .unwrap_or(Self::Unknown)
    }

    /// The name in dumps and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Select => "select",
            Self::Mutex => "mutex",
            Self::ReadLock => "read-lock",
            Self::WriteLock => "write-lock",
            Self::WaitGroup => "wait-group",
            Self::Condition => "condition",
            Self::Sleep => "sleep",
            Self::Io => "io",
            Self::Syscall => "syscall",
            Self::GarbageCollector => "gc",
            Self::Join => "join",
            Self::Park => "park",
            Self::Barrier => "barrier",
            Self::Once => "once",
            Self::NilChannel => "nil-channel",
            Self::Pool => "pool",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_reason_has_its_own_code_and_name() {
        for (code, reason) in BlockReason::ALL.into_iter().enumerate() {
            assert_eq!(BlockReason::from_detail(u32::try_from(code).unwrap()), reason);
            assert_eq!(BlockReason::ALL.iter().filter(|r| r.name() == reason.name()).count(), 1);
        }
        assert_eq!(BlockReason::from_detail(999), BlockReason::Unknown);
    }

    #[test]
    fn a_field_that_the_kind_does_not_use_makes_an_event_uncanonical() {
        let mut event = Event::new(EventKind::End);
        assert!(event.is_canonical());
        event.object = 1;
        assert!(!event.is_canonical());
    }
}

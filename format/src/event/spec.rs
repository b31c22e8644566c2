//! The table of event kinds. Everything else about events is derived from it.

use std::fmt;

/// Where an operand of an event is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// [`Event::detail`](super::Event::detail): 24 bits.
    Detail,
    /// [`Event::object`](super::Event::object): an address.
    Object,
    /// [`Event::sequence`](super::Event::sequence): the order number in the object's stripe.
    Sequence,
    /// [`Event::value`](super::Event::value).
    Value,
    /// [`Event::extra`](super::Event::extra).
    Extra,
}

impl Slot {
    /// Every slot, in the order in which raw records write them.
    pub const ALL: [Self; 5] =
        [Self::Detail, Self::Object, Self::Sequence, Self::Value, Self::Extra];
}

/// How an operand is to be read and printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// An unsigned count or code.
    Number,
    /// A two's complement difference.
    Signed,
    /// A [`ThreadId`](crate::ThreadId).
    Thread,
    /// A [`StringId`](crate::StringId).
    String,
    /// An address of the recorded process.
    Address,
    /// An order number.
    Sequence,
    /// A [`MemoryOrder`](super::MemoryOrder).
    Order,
    /// A [`BlockReason`](super::BlockReason).
    Reason,
}

/// One operand of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where it is kept.
    pub slot: Slot,
    /// How it is read.
    pub field_type: FieldType,
    /// Its name in dumps.
    pub name: &'static str,
}

/// What a kind is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventGroup {
    /// Threads and goroutines begin, end, switch; tests.
    Flow,
    /// Edges without a primitive's name.
    Generic,
    /// Mutual exclusion.
    Lock,
    /// Once, wait groups, condition variables, barriers, parking.
    Rendezvous,
    /// Channels and select.
    Channel,
    /// Atomic operations and fences.
    Atomic,
    /// Pools, maps, timers, finalizers, package initialisation.
    Runtime,
    /// Waiting and being woken.
    Blocking,
    /// The heap and its collector.
    Memory,
    /// The user's marks and spans, and the recorder's own remarks.
    Meta,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSpec {
    /// The kind.
    pub kind: EventKind,
    /// The number written to the log; never reused for another meaning.
    pub tag: u8,
    /// The name in dumps.
    pub name: &'static str,
    /// What it is about.
    pub group: EventGroup,
    /// Its operands, in the order of [`Slot::ALL`].
    pub fields: &'static [Field],
    /// What it means, in one sentence.
    pub meaning: &'static str,
    mask: u8,
}

impl EventSpec {
    /// Whether the kind uses this slot.
    #[inline]
    pub const fn has(&self, slot: Slot) -> bool {
        self.mask & (1 << slot as u8) != 0
    }

    /// Whether the event is numbered in its object's stripe.
    #[inline]
    pub const fn is_sequenced(&self) -> bool {
        self.has(Slot::Sequence)
    }

    /// Which operands there are and how they are predicted: bits 0 to 4 are the slots in the order
    /// of [`Slot::ALL`], bit 5 says that the object is a block of memory. Sealed chunks carry the
    /// shape of each kind in them, so that a reader can skip a kind that it does not know.
    #[inline]
    pub const fn shape(&self) -> u8 {
        self.mask | (matches!(self.group, EventGroup::Memory) as u8) << 5
    }

    /// Words of a raw record after the first two (kind and time): one for each slot but the detail.
    #[inline]
    pub const fn operand_words(&self) -> usize {
        (self.mask >> 1).count_ones() as usize
    }
}

/// A kind's [shape](EventSpec::shape), as read from a lane or taken from the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape(pub(crate) u8);

impl Shape {
    const MEMORY_BIT: u8 = 1 << 5;
    /// All shapes are below.
    pub(crate) const LIMIT: u8 = 1 << 6;

    /// Whether the kind uses this slot.
    #[inline]
    pub(crate) const fn has(self, slot: Slot) -> bool {
        self.0 & (1 << slot as u8) != 0
    }

    /// Whether its object is a block of memory.
    #[inline]
    pub(crate) const fn in_memory(self) -> bool {
        self.0 & Self::MEMORY_BIT != 0
    }
}

const fn mask_of(fields: &[Field]) -> u8 {
    let mut mask = 0;
    let mut i = 0;
    while i < fields.len() {
        mask |= 1 << fields[i].slot as u8;
        i += 1;
    }
    mask
}

macro_rules! events {
    ($($tag:literal $kind:ident $name:literal $group:ident [$($slot:ident $ty:ident $field:literal),*] $meaning:literal;)*) => {
        /// What an event says happened.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum EventKind {
            $(#[doc = $meaning] $kind = $tag,)*
        }

        impl EventKind {
            /// Every kind, by ascending tag.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];
        }

        /// The table, by ascending tag.
        pub static SPECS: &[EventSpec] = &[$(EventSpec {
            kind: EventKind::$kind,
            tag: $tag,
            name: $name,
            group: EventGroup::$group,
            fields: &[$(Field { slot: Slot::$slot, field_type: FieldType::$ty, name: $field }),*],
            meaning: $meaning,
            mask: mask_of(&[$(Field { slot: Slot::$slot, field_type: FieldType::$ty, name: $field }),*]),
        }),*];
    };
}

events! {
    // Tag 0 is never an event: a zeroed word must not decode.
    1 Spawn "spawn" Flow [Value Thread "child"] "This thread starts another.";
    2 Start "start" Flow [Value Thread "parent", Extra Number "os-thread"] "A thread's first event.";
    3 End "end" Flow [] "A thread's last event. It orders nothing by itself.";
    4 Join "join" Flow [Value Thread "child"] "A join of a thread that has ended returns.";
    5 Name "name" Flow [Value String "name"] "This thread has this name from now on.";
    6 Switch "switch" Flow [Value Thread "thread", Extra Number "count"] "From here on the stream runs this thread, which so begins the fragment with this number.";
    7 TestStart "test-start" Flow [Value String "test"] "This thread begins a test.";
    8 TestEnd "test-end" Flow [Detail Number "outcome", Value String "test"] "A test ended: 0 passed, 1 failed, 2 skipped.";

    10 Acquire "acquire" Generic [Detail Number "flags", Object Address "object", Sequence Sequence "seq"] "Takes what was released into the object; flag 1: a weak edge, an accident of the implementation.";
    11 Release "release" Generic [Detail Number "flags", Object Address "object", Sequence Sequence "seq"] "Publishes to the object, in place of what was there.";
    12 ReleaseMerge "release-merge" Generic [Detail Number "flags", Object Address "object", Sequence Sequence "seq"] "Publishes to the object, beside what is there.";
    13 AcquireRelease "acquire-release" Generic [Detail Number "flags", Object Address "object", Sequence Sequence "seq"] "Takes what was released into the object, then publishes to it.";

    14 MutexLock "mutex-lock" Lock [Detail Number "try", Object Address "mutex", Sequence Sequence "seq"] "A mutex is held from now on; 1: by try-lock.";
    15 MutexUnlock "mutex-unlock" Lock [Object Address "mutex", Sequence Sequence "seq"] "A mutex is about to be given up.";
    16 MutexTryFailed "mutex-try-failed" Lock [Object Address "mutex"] "A try-lock failed. It orders nothing.";
    17 ReadLock "read-lock" Lock [Detail Number "try", Object Address "rwlock", Sequence Sequence "seq"] "A read-write lock is held for reading.";
    18 ReadUnlock "read-unlock" Lock [Object Address "rwlock", Sequence Sequence "seq"] "A read lock is about to be given up.";
    19 WriteLock "write-lock" Lock [Detail Number "try", Object Address "rwlock", Sequence Sequence "seq"] "A read-write lock is held for writing.";
    20 WriteUnlock "write-unlock" Lock [Object Address "rwlock", Sequence Sequence "seq"] "A write lock is about to be given up.";
    21 RwTryFailed "rw-try-failed" Lock [Detail Number "write", Object Address "rwlock"] "A try-lock of a read-write lock failed. It orders nothing.";

    22 OnceDone "once-done" Rendezvous [Object Address "once", Sequence Sequence "seq"] "The function of a once has completed.";
    23 OnceWait "once-wait" Rendezvous [Object Address "once", Sequence Sequence "seq"] "A once returns to its caller, initialiser or not.";
    24 WaitGroupAdd "wait-group-add" Rendezvous [Object Address "group", Sequence Sequence "seq", Value Signed "delta"] "A wait group's counter changes. It orders nothing.";
    25 WaitGroupDone "wait-group-done" Rendezvous [Object Address "group", Sequence Sequence "seq"] "One piece of a wait group's work is done; the counter is about to go down.";
    26 WaitGroupWait "wait-group-wait" Rendezvous [Object Address "group", Sequence Sequence "seq"] "A wait for a wait group returns.";
    27 CondNotify "cond-notify" Rendezvous [Detail Number "all", Object Address "cond", Sequence Sequence "seq", Value Number "woken"] "A condition variable is signalled; it wakes this many waiters.";
    28 CondWake "cond-wake" Rendezvous [Object Address "cond", Sequence Sequence "seq", Value Sequence "by"] "A wait for a condition variable returns, woken by the notify with this number; 0: by a time-out.";

    29 ChanMake "chan-make" Channel [Object Address "chan", Sequence Sequence "seq", Value Number "capacity"] "A channel begins its life; the largest number is an unbounded one.";
    30 ChanSend "chan-send" Channel [Object Address "chan", Sequence Sequence "seq", Value Number "k"] "The k-th send (from 0) puts its value.";
    31 ChanSendDone "chan-send-done" Channel [Object Address "chan", Sequence Sequence "seq", Value Number "k"] "The k-th send, having met its receiver, returns.";
    32 ChanRecv "chan-recv" Channel [Object Address "chan", Sequence Sequence "seq", Value Number "k"] "The k-th receive has its value.";
    33 ChanClose "chan-close" Channel [Object Address "chan", Sequence Sequence "seq"] "A channel is about to be closed.";
    34 ChanRecvClosed "chan-recv-closed" Channel [Object Address "chan", Sequence Sequence "seq"] "A receive returns because the channel is closed and empty.";
    35 Select "select" Channel [Detail Number "chosen", Value Number "cases"] "A select chose a case, 16777215: the default. The case's own event says what it did.";

    36 AtomicLoad "atomic-load" Atomic [Detail Order "order", Object Address "atomic", Sequence Sequence "seq", Value Number "value", Extra Number "size"] "An atomic load.";
    37 AtomicStore "atomic-store" Atomic [Detail Order "order", Object Address "atomic", Sequence Sequence "seq", Value Number "value", Extra Number "size"] "An atomic store.";
    38 AtomicRmw "atomic-rmw" Atomic [Detail Order "order", Object Address "atomic", Sequence Sequence "seq", Value Number "value", Extra Number "size"] "An atomic read-modify-write; the value is the new one.";
    39 AtomicCasFailed "atomic-cas-failed" Atomic [Detail Order "order", Object Address "atomic", Sequence Sequence "seq", Value Number "value", Extra Number "size"] "A compare-and-swap found another value: a load with the failure order.";
    40 Fence "fence" Atomic [Detail Order "order"] "An atomic fence.";

    41 BarrierArrive "barrier-arrive" Rendezvous [Object Address "barrier", Sequence Sequence "seq", Value Number "generation"] "A thread arrives at a barrier.";
    42 BarrierLeave "barrier-leave" Rendezvous [Object Address "barrier", Sequence Sequence "seq", Value Number "generation"] "A thread leaves a barrier that is full.";
    43 Unpark "unpark" Rendezvous [Object Address "token", Sequence Sequence "seq", Value Thread "thread"] "A thread's park token is about to be made available.";
    44 Park "park" Rendezvous [Object Address "token", Sequence Sequence "seq"] "A park returns with its token.";

    45 PoolPut "pool-put" Runtime [Object Address "pool", Sequence Sequence "seq", Value Number "item"] "An item goes into a pool.";
    46 PoolGet "pool-get" Runtime [Object Address "pool", Sequence Sequence "seq", Value Number "item"] "An item comes from a pool; 0: freshly made.";
    47 MapWrite "map-write" Runtime [Object Address "map", Sequence Sequence "seq", Value Number "key"] "A concurrent map's entry changes; the key is a hash.";
    48 MapRead "map-read" Runtime [Object Address "map", Sequence Sequence "seq", Value Number "key"] "A concurrent map's entry is observed.";
    49 TimerStart "timer-start" Runtime [Object Address "timer", Sequence Sequence "seq"] "A timer is started or reset.";
    50 TimerFire "timer-fire" Runtime [Object Address "timer", Sequence Sequence "seq"] "A timer's function runs, or its value is sent.";
    51 FinalizerSet "finalizer-set" Runtime [Object Address "object", Sequence Sequence "seq"] "A finalizer or cleanup is attached.";
    52 FinalizerRun "finalizer-run" Runtime [Object Address "object", Sequence Sequence "seq"] "A finalizer or cleanup runs.";
    53 InitDone "init-done" Runtime [Object Address "package", Sequence Sequence "seq", Value String "name"] "A package's initialisation is complete.";
    54 InitStart "init-start" Runtime [Object Address "package", Sequence Sequence "seq", Value String "name"] "Code that imports the package begins: after its initialisation.";

    55 Block "block" Blocking [Detail Reason "reason", Object Address "object"] "This thread cannot go on for now.";
    56 Ready "ready" Blocking [Value Thread "thread"] "This thread makes another one runnable.";
    57 Run "run" Blocking [Detail Reason "reason"] "This thread goes on, where no other event says so.";
    58 SyscallEnter "syscall-enter" Blocking [Value Number "number"] "A system call begins.";
    59 SyscallExit "syscall-exit" Blocking [] "A system call returned.";

    60 Alloc "alloc" Memory [Detail Number "realloc", Object Address "address", Sequence Sequence "seq", Value Number "size", Extra String "type"] "The allocator returned a block; 1: as the second half of a realloc.";
    61 Free "free" Memory [Detail Number "realloc", Object Address "address", Sequence Sequence "seq"] "A block is about to go back to the allocator; 1: as the first half of a realloc.";
    62 Retire "retire" Memory [Object Address "address", Sequence Sequence "seq", Value Number "size"] "From now on these bytes are not what they were: a new stack, a dropped cell.";
    63 GcStart "gc-start" Memory [Value Number "live"] "A collection begins, with this many live bytes.";
    64 GcEnd "gc-end" Memory [Value Number "live", Extra Number "goal"] "A collection ended, with this many live bytes and this goal for the next.";
    65 HeapLimits "heap-limits" Memory [Value Number "limit", Extra Number "gogc"] "The memory limit and GOGC in force.";

    70 Mark "mark" Meta [Value String "text"] "The program marked this moment.";
    71 SpanBegin "span-begin" Meta [Value String "name", Extra Number "span"] "A named interval of the program begins.";
    72 SpanEnd "span-end" Meta [Extra Number "span"] "A named interval of the program ends.";
    73 Lost "lost" Meta [Detail Number "reason", Value Number "count"] "The recorder lost this many events of the stream here.";
    74 Clock "clock" Meta [Value Number "ticks", Extra Number "realtime"] "The raw clock and the wall clock (ns since 1970) at this moment.";
    75 CleanEnd "clean-end" Meta [] "The recorder was shut down in good order.";

    // What Go's runtime needs.
    76 AcquireAll "acquire-all" Generic [Object Address "object", Sequence Sequence "seq"] "Takes all that was done by anybody so far, as a finalizer does: it runs after the last use of what it finalizes.";
    77 Preempt "preempt" Blocking [] "This thread was made to give up its processor. It could go on at once.";

    126 Unknown "unknown" Meta [Value Number "tag"] "Never written: a kind that this version has no name for, skipped by its shape.";
}

/// Tag -> index into [`SPECS`], 255 for none.
static BY_TAG: [u8; 128] = {
    let mut by_tag = [u8::MAX; 128];
    let mut i = 0;
    while i < SPECS.len() {
        assert!(by_tag[SPECS[i].tag as usize] == u8::MAX, "two kinds with one tag");
        by_tag[SPECS[i].tag as usize] = i as u8;
        i += 1;
    }
    by_tag
};

/// What encoders and decoders ask for every event, in four lines of the cache instead of a row of
/// the table for each kind. By tag.
static KINDS: [Option<EventKind>; 128] = {
    let mut kinds = [None; 128];
    let mut i = 0;
    while i < SPECS.len() {
        kinds[SPECS[i].tag as usize] = Some(SPECS[i].kind);
        i += 1;
    }
    kinds
};

/// [`EventSpec::shape`] and [`EventSpec::operand_words`], by tag.
static SHAPES: [(u8, u8); 128] = {
    let mut shapes = [(0, 0); 128];
    let mut i = 0;
    while i < SPECS.len() {
        shapes[SPECS[i].tag as usize] = (SPECS[i].shape(), SPECS[i].operand_words() as u8);
        i += 1;
    }
    shapes
};

impl EventKind {
    /// The kind's row in the table.
    #[inline]
    pub fn spec(self) -> &'static EventSpec {
        &SPECS[BY_TAG[self as usize] as usize]
    }

    /// [`EventSpec::shape`].
    #[inline]
    pub(crate) fn shape(self) -> Shape {
        Shape(SHAPES[usize::from(self.tag() & 127)].0)
    }

    /// [`EventSpec::operand_words`].
    #[inline]
    pub(crate) fn operand_words(self) -> usize {
        usize::from(SHAPES[usize::from(self.tag() & 127)].1)
    }

    /// The kind with this tag.
    #[inline]
    pub fn from_tag(tag: u8) -> Option<Self> {
        KINDS.get(usize::from(tag)).copied().flatten()
    }

    /// The number written to the log.
    #[inline]
    pub const fn tag(self) -> u8 {
        self as u8
    }

    /// The kind with this name in dumps.
    pub fn from_name(name: &str) -> Option<Self> {
        SPECS.iter().find(|spec| spec.name == name).map(|spec| spec.kind)
    }

    /// The name in dumps.
    pub fn name(self) -> &'static str {
        self.spec().name
    }
}

impl fmt::Debug for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_ascend_and_find_their_kind() {
        assert!(SPECS.windows(2).all(|pair| pair[0].tag < pair[1].tag));
        for spec in SPECS {
            assert_eq!(EventKind::from_tag(spec.tag), Some(spec.kind));
            assert_eq!(EventKind::from_name(spec.name), Some(spec.kind));
            assert_eq!(spec.kind.tag(), spec.tag);
        }
        assert_eq!(EventKind::from_tag(0), None);
        assert_eq!(EventKind::from_tag(127), None);
        assert_eq!(EventKind::from_tag(200), None);
    }

    #[test]
    fn operands_are_listed_in_slot_order_and_sequenced_kinds_have_an_object() {
        for spec in SPECS {
            assert!(
                spec.fields.windows(2).all(|pair| pair[0].slot < pair[1].slot),
                "{}",
                spec.name
            );
            assert!(!spec.is_sequenced() || spec.has(Slot::Object), "{}", spec.name);
        }
    }
}

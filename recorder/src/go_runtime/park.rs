//! The hooks that the overlay adds for waiting and for the collector.
//!
//! # Safety
//! As for [`super::hooks`].

#![expect(unsafe_code, reason = "called by Go, with Go's pointers")]

use std::sync::OnceLock;

use mmtrace_format::event::BlockReason;
use mmtrace_format::{Event, EventKind};

use super::goroutine::Goroutine;
use super::hooks::{procs, running, stack_here};
use super::layout::{self, Entry};

/// The object that stands for the collector: no memory of a program's has this address.
pub(super) const COLLECTION: u64 = 0x6763;

/// Why Go parks goroutines, and what that is in the log. `moved` is where the object that is waited
/// for lies before the semaphore on which Go parks (fields of `sync`'s types).
struct Reason {
    go: &'static str,
    ours: BlockReason,
    moved: u64,
}

const fn reason(go: &'static str, ours: BlockReason, moved: u64) -> Reason {
    Reason { go, ours, moved }
}

const REASONS: &[Reason] = &[
    reason("chan receive", BlockReason::Receive, 0),
    reason("chan send", BlockReason::Send, 0),
    reason("select", BlockReason::Select, 0),
    reason("chan receive (nil chan)", BlockReason::NilChannel, 0),
    reason("chan send (nil chan)", BlockReason::NilChannel, 0),
    reason("select (no cases)", BlockReason::NilChannel, 0),
    reason("chan receive (synctest)", BlockReason::Receive, 0),
    reason("chan send (synctest)", BlockReason::Send, 0),
    reason("select (synctest)", BlockReason::Select, 0),
    reason("chan receive (durable)", BlockReason::Receive, 0),
    reason("chan send (durable)", BlockReason::Send, 0),
    reason("select (durable)", BlockReason::Select, 0),
    reason("sync.Mutex.Lock", BlockReason::Mutex, 4),
    reason("sync.RWMutex.RLock", BlockReason::ReadLock, 12),
    reason("sync.RWMutex.Lock", BlockReason::WriteLock, 8),
    reason("sync.WaitGroup.Wait", BlockReason::WaitGroup, 8),
    reason("sync.WaitGroup.Wait (durable)", BlockReason::WaitGroup, 8),
    // Before Go 1.25 wait groups were the only ones to say no more than this.
    reason("semacquire", BlockReason::WaitGroup, 8),
    reason("sync.Cond.Wait", BlockReason::Condition, 0),
    reason("sync.Cond.Wait (durable)", BlockReason::Condition, 0),
    reason("sleep", BlockReason::Sleep, 0),
    reason("sleep (durable)", BlockReason::Sleep, 0),
    reason("IO wait", BlockReason::Io, 0),
    reason("garbage collection", BlockReason::GarbageCollector, 0),
    reason("garbage collection scan", BlockReason::GarbageCollector, 0),
    reason("GC assist marking", BlockReason::GarbageCollector, 0),
    reason("GC assist wait", BlockReason::GarbageCollector, 0),
    reason("GC sweep wait", BlockReason::GarbageCollector, 0),
    reason("GC scavenge wait", BlockReason::GarbageCollector, 0),
    reason("GC worker (idle)", BlockReason::GarbageCollector, 0),
    reason("GC worker (active)", BlockReason::GarbageCollector, 0),
    reason("force gc (idle)", BlockReason::GarbageCollector, 0),
    reason("finalizer wait", BlockReason::GarbageCollector, 0),
    reason("cleanup wait", BlockReason::GarbageCollector, 0),
];

/// What a goroutine waits for that waits for a timer's channel, maybe among others: no semaphore has
/// this address.
const TIMER: u64 = 1;

/// By Go's code.
static BY_CODE: OnceLock<Vec<Option<&'static Reason>>> = OnceLock::new();

/// Reads Go's table of reasons.
pub(super) fn learn_reasons() {
    let (start, count) = (layout::entry(Entry::WaitReasons), layout::entry(Entry::WaitReasonCount));
    let by_code = (0..count.min(256)).map(|code| {
        // SAFETY: the table's entries say where that many strings of Go's lie.
        let name = unsafe { layout::string(start + code * 16) }?;
        REASONS.iter().find(|known| known.go == name)
    });
    let _ = BY_CODE.set(by_code.collect());
}

fn reason_of(code: u64) -> Option<&'static Reason> {
    *BY_CODE.get()?.get(usize::try_from(code).ok()?)?
}

/// `gopark`: a goroutine is going to wait, for a reason of Go's, at the lock that it gives up.
pub unsafe extern "C" fn park(
    context: *mut Goroutine,
    lock: u64,
    code: u64,
    _unused: u64,
    g: usize,
    frame: u64,
) {
    // SAFETY: see the module.
    let Some(proc) = (unsafe { running(context, g) }) else { return };
    // SAFETY: see the module.
    let stack = unsafe { stack_here(proc, &[], g, frame) };
    // SAFETY: see the module.
    let Some(goroutine) = (unsafe { context.as_mut() }) else { return };
    let known = reason_of(code);
    let mut reason = known.map_or(BlockReason::Unknown, |known| known.ours);
    let waits_for = std::mem::take(&mut goroutine.waits_for);
    let object = match (reason, waits_for) {
        (BlockReason::Send | BlockReason::Receive, _) if lock != 0 => {
            lock.saturating_sub(layout::entry(Entry::ChannelLock) as u64)
        }
        (_, 0 | TIMER) => lock,
        (_, semaphore) => semaphore.saturating_sub(known.map_or(0, |known| known.moved)),
    };
    if waits_for == TIMER {
        // Whoever else may come: it goes on in time.
        reason = BlockReason::Sleep;
    }
    goroutine.parked_at = stack;
    goroutine.parked = reason as u8 + 1;
    proc.event(Event { detail: reason as u32, object, stack, ..Event::new(EventKind::Block) });
}

/// What the goroutine is going to park for, where [`park`] cannot tell: a semaphore's address, or
/// `TIMER`.
pub unsafe extern "C" fn wait_for(context: *mut Goroutine, object: u64) {
    // SAFETY: see the module.
    if let Some(goroutine) = unsafe { context.as_mut() } {
        goroutine.waits_for = object;
    }
}

/// What the number of a system call is that nobody told us: its stack says which it is.
const UNKNOWN_CALL: u64 = u64::MAX;

/// A goroutine enters or leaves a system call or C, or is preempted: `kind` is the event's tag.
///
/// Nothing of this orders anything, so what the goroutine has read before stays known.
pub unsafe extern "C" fn blocking(
    context: *mut Goroutine,
    kind: u64,
    _a: u64,
    _b: u64,
    g: usize,
    frame: u64,
) {
    let Some(known) = u8::try_from(kind).ok().and_then(EventKind::from_tag) else { return };
    // SAFETY: see the module.
    let Some(proc) = (unsafe { running(context, g) }) else { return };
    let mut event = Event::new(known);
    match known {
        EventKind::SyscallEnter => {
            event.value = UNKNOWN_CALL;
            // SAFETY: see the module.
            event.stack = unsafe { stack_here(proc, &[], g, frame) };
        }
        // The stack of a preemption is the scheduler's, and says nothing.
        EventKind::SyscallExit | EventKind::Preempt => {}
        _ => return,
    }
    proc.event(event);
}

/// `ready`: `context` (null: the scheduler) lets `other` go on.
pub unsafe extern "C" fn ready(
    context: *mut Goroutine,
    other: *mut Goroutine,
    _a: u64,
    _b: u64,
    g: usize,
    frame: u64,
) {
    // SAFETY: see the module; whoever readies a goroutine is the only one to touch it.
    let Some(other) = (unsafe { other.as_mut() }) else { return };
    other.parked = 0;
    // SAFETY: see the module.
    let Some(proc) = (unsafe { running(context, g) }) else { return };
    // SAFETY: see the module.
    let stack = unsafe { stack_here(proc, &[], g, frame) };
    let value = u64::from(other.thread.as_u32());
    proc.event(Event { value, stack, ..Event::new(EventKind::Ready) });
}

/// A goroutine has moved to another stack, and this one goes back to the runtime. Whoever does it
/// for the goroutine keeps it from running.
///
/// The event is the goroutine's own: what it did on the old stack comes before, and before whatever
/// the next goroutine there does.
pub unsafe extern "C" fn stack_free(
    context: *mut Goroutine,
    low: u64,
    high: u64,
    _unused: u64,
    g: usize,
    _frame: u64,
) {
    // SAFETY: see the module.
    let Some(proc) = (unsafe { running(context, g) }) else { return };
    proc.event(Event { object: low, value: high - low, ..Event::new(EventKind::Retire) });
}

/// Something that the collector does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum CollectionPhase {
    /// It begins.
    Begin = 1,
    /// It has marked what is in use; the world is stopped.
    ///
    /// What is swept from now on was last used before: each processor says so in its stream, which
    /// puts the accesses of that time before the frees of the time to come.
    Marked = 2,
    /// It ended.
    End = 3,
}

/// The collector does something, with so many live bytes, and a goal for the next collection.
pub unsafe extern "C" fn collection(
    phase: u64,
    live: u64,
    goal: u64,
    _unused: u64,
    g: usize,
    _frame: u64,
) {
    if phase == CollectionPhase::Marked as u64 {
        for pointer in procs() {
            // SAFETY: the world is stopped: no other thread is in a hook, nor will be until we
            // return.
            unsafe { &mut *pointer.0 }.collection_ends();
        }
        return;
    }
    let (kind, extra) = match phase {
        phase if phase == CollectionPhase::Begin as u64 => (EventKind::GcStart, 0),
        _ => (EventKind::GcEnd, goal),
    };
    // SAFETY: see the module.
    if let Some(proc) = unsafe { running(std::ptr::null_mut(), g) } {
        proc.event(Event { value: live, extra, ..Event::new(kind) });
    }
}

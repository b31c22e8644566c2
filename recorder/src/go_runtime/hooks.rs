//! The hooks of Go's own race runtime but for atomics.
//!
//! # Safety
//! All of them are for Go's runtime alone, which calls them on a thread that holds a processor.
//! `context` is null or what [`go_start`] or [`init`] gave and [`go_end`] has not taken; nobody else
//! uses it meanwhile. `g` is the `g` that is current, `frame` the frame pointer of its innermost
//! function. Other pointers are to what the hook of that name documents, for as long as it runs.

#![expect(unsafe_code, reason = "called by Go, with Go's pointers")]

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use mmtrace_format::{AccessKind, Event, EventKind, StackId};

use super::goroutine::Goroutine;
use super::layout::{self, Entry};
use super::proc::{Proc, SCALAR_SIZE};
use super::recording::Recording;
use super::walk::StackBounds;
use crate::stripe;

/// Whether the program has ended: hooks of threads that still run do nothing any more.
static IS_OVER: AtomicBool = AtomicBool::new(false);
/// How long a hook may still be running after that.
const LAST_HOOKS: Duration = Duration::from_micros(200);
static RECORDING: OnceLock<Option<&'static Recording>> = OnceLock::new();
/// Go's way to tell which processor this thread holds.
static CALLBACK: AtomicUsize = AtomicUsize::new(0);
/// Whether the goroutine that Go starts with has been given to the main goroutine.
static HAS_MAIN: AtomicBool = AtomicBool::new(false);
/// Every processor there was, and those that are not used now.
static PROCS: Mutex<Procs> = Mutex::new(Procs { all: Vec::new(), unused: Vec::new() });

#[derive(Default)]
struct Procs {
    all: Vec<ProcPointer>,
    unused: Vec<ProcPointer>,
}

#[derive(Clone, Copy)]
pub(super) struct ProcPointer(pub(super) *mut Proc);

// SAFETY: a processor's log is never freed; who may use it when is Go's to say, and it does.
unsafe impl Send for ProcPointer {}

pub(super) fn recording() -> Option<&'static Recording> {
    *RECORDING.get()?
}

/// Every processor that was ever made.
pub(super) fn procs() -> Vec<ProcPointer> {
    PROCS.lock().unwrap_or_else(PoisonError::into_inner).all.clone()
}

/// The log of the processor that this thread holds.
#[inline]
pub(super) unsafe fn proc_of<'a>(g: usize) -> Option<&'a mut Proc> {
    // Relaxed: see `fini`.
    if IS_OVER.load(Ordering::Relaxed) {
        return None;
    }
    let machine_offset = layout::entry(Entry::GoroutineMachine);
    let proc = if machine_offset == 0 {
        proc_by_callback()
    } else {
        // SAFETY: `g` is current, so it has a machine; these fields are this thread's to read.
        let machine = unsafe { layout::word(g, machine_offset) };
        // SAFETY: as above.
        let proc = unsafe { layout::word(machine, layout::entry(Entry::MachineProc)) };
        if proc == 0 {
            return None;
        }
        // SAFETY: the machine holds the processor.
        unsafe { layout::word(proc, layout::entry(Entry::ProcContext)) }
    };
    // SAFETY: null, or what `proc_create` gave; this thread holds the processor until the hook
    // returns, and no hook calls another.
    unsafe { std::ptr::with_exposed_provenance_mut::<Proc>(proc).as_mut() }
}

#[cold]
fn proc_by_callback() -> usize {
    let callback = CALLBACK.load(Ordering::Relaxed);
    if callback == 0 {
        return 0;
    }
    let mut proc = 0_usize;
    // SAFETY: Go's thunk takes a command and a pointer: command 0 stores the processor's context. It
    // is code, whose address Go has told.
    let callback =
        unsafe { std::mem::transmute::<usize, unsafe extern "C" fn(usize, *mut usize)>(callback) };
    // SAFETY: as above; the pointer is to a local.
    unsafe { callback(0, &raw mut proc) };
    proc
}

/// Go's number of a goroutine, if this thread runs it.
unsafe fn number_of(g: usize, context: *mut Goroutine) -> u64 {
    if !layout::is_known() {
        return 0;
    }
    let is_its = |g: usize| {
        // SAFETY: a `g` of this thread's.
        g != 0
            && unsafe { layout::word(g, layout::entry(Entry::GoroutineContext)) } == context.addr()
    };
    // SAFETY: `g` is current.
    let current = unsafe { current_of(g) };
    let Some(g) = [g, current].into_iter().find(|&g| is_its(g)) else { return 0 };
    // SAFETY: as above.
    unsafe { layout::word(g, layout::entry(Entry::GoroutineNumber)) as u64 }
}

/// Takes a context out of the `g` that has it, if this thread runs that.
unsafe fn forget_context(g: usize, context: *mut Goroutine) {
    let offset = layout::entry(Entry::GoroutineContext);
    // SAFETY: `g` is current.
    for g in [g, unsafe { current_of(g) }] {
        // SAFETY: a `g` of this thread's.
        if g != 0 && unsafe { layout::word(g, offset) } == context.addr() {
            // SAFETY: the same; nobody else changes it.
            unsafe { layout::set_word(g, offset, 0) };
        }
    }
}

/// The goroutine under the system's `g`; 0 if that is not known.
#[inline]
unsafe fn current_of(g: usize) -> usize {
    let offset = layout::entry(Entry::MachineGoroutine);
    if offset == 0 {
        return 0;
    }
    // SAFETY: `g` is current, so it has a machine.
    let machine = unsafe { layout::word(g, layout::entry(Entry::GoroutineMachine)) };
    // SAFETY: this thread's machine.
    unsafe { layout::word(machine, offset) }
}

/// The processor's log, in which from now on `context` runs.
#[inline]
pub(super) unsafe fn running<'a>(context: *mut Goroutine, g: usize) -> Option<&'a mut Proc> {
    // SAFETY: the caller's, as all of the following.
    let proc = unsafe { proc_of(g) }?;
    // SAFETY: as above.
    if !unsafe { proc.is_current(context) } {
        // SAFETY: as above.
        let number = unsafe { number_of(g, context) };
        // SAFETY: as above.
        unsafe { proc.switch_to(context, number) };
    }
    Some(proc)
}

/// The stack of this thread's code, from `inner` return addresses and a frame pointer outwards.
#[inline]
pub(super) unsafe fn stack_here(proc: &mut Proc, inner: &[u64], g: usize, frame: u64) -> StackId {
    // SAFETY: `g` is current.
    let current = unsafe { current_of(g) };
    let under = if current == g { 0 } else { current };
    // SAFETY: the same.
    let stack = unsafe { StackBounds::of(g as u64) };
    // SAFETY: what is under it is what it works for.
    let outer = unsafe { StackBounds::of(under as u64) };
    // SAFETY: both stacks are this thread's while it runs them.
    unsafe { proc.stack_from(inner, frame, stack, outer) }
}

/// `__tsan_init`: the beginning, on the first thread, before the heap.
pub unsafe extern "C" fn init(
    context: *mut *mut Goroutine,
    proc: *mut *mut Proc,
    callback: usize,
    table: *const usize,
) {
    // SAFETY: 0 without the patch, else the table that `layout` describes.
    unsafe { layout::learn(table) };
    CALLBACK.store(callback, Ordering::Relaxed);
    super::park::learn_reasons();
    let recording = *RECORDING.get_or_init(Recording::begin);
    let main = recording.map_or(std::ptr::null_mut(), |recording| {
        let thread = recording.mint_thread();
        Box::into_raw(Box::new(Goroutine::new(thread, thread)))
    });
    // SAFETY: Go's own variable.
    unsafe { context.write(main) };
    // SAFETY: the same.
    unsafe { proc_create(proc) };
}

/// `__tsan_fini`: a return from `main`, or `os.Exit(0)`. Does not return.
pub extern "C" fn fini() {
    if let Some(recording) = recording() {
        // Who is in a hook now has taken an order number that the log should have: let it finish.
        IS_OVER.store(true, Ordering::Relaxed);
        std::thread::sleep(LAST_HOOKS);
        recording.end();
    }
    // SAFETY: ends the process; Go lets one thread come here, and waits in a system call elsewhere.
    unsafe { libc::exit(0) }
}

/// `__tsan_map_shadow`: this memory will be used. Nothing is to be done for it here.
pub extern "C" fn map_shadow() {}

/// `__tsan_proc_create`.
pub unsafe extern "C" fn proc_create(proc: *mut *mut Proc) {
    let made = recording().map_or(std::ptr::null_mut(), |recording| {
        let mut procs = PROCS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ProcPointer(unused)) = procs.unused.pop() {
            // SAFETY: nobody uses it.
            unsafe { &mut *unused }.reopen();
            return unused;
        }
        let made = Box::into_raw(Proc::new(recording));
        made.expose_provenance();
        procs.all.push(ProcPointer(made));
        made
    });
    // SAFETY: Go's own variable.
    unsafe { proc.write(made) };
}

/// `__tsan_proc_destroy`.
pub unsafe extern "C" fn proc_destroy(proc: *mut Proc) {
    // SAFETY: what `proc_create` gave, and nobody uses any more.
    if let Some(unused) = unsafe { proc.as_mut() } {
        unused.give_slot();
        let mut procs = PROCS.lock().unwrap_or_else(PoisonError::into_inner);
        procs.unused.push(ProcPointer(proc));
    }
}

/// `__tsan_go_start`: a goroutine is made by `parent`, null: by the runtime.
pub unsafe extern "C" fn go_start(
    parent: *mut Goroutine,
    child: *mut *mut Goroutine,
    _pc: u64,
    _unused: u64,
    g: usize,
    frame: u64,
) {
    let Some(recording) = recording() else {
        // SAFETY: Go's own variable.
        return unsafe { child.write(std::ptr::null_mut()) };
    };
    if !HAS_MAIN.swap(true, Ordering::Relaxed) {
        // The first is the main goroutine, made by a thread that does nothing more of its own: the
        // two are one.
        // SAFETY: Go's own variable.
        return unsafe { child.write(parent) };
    }
    let thread = recording.mint_thread();
    // SAFETY: see the module.
    let parent_thread = unsafe { parent.as_ref() }.map_or(thread, |parent| parent.thread);
    let made = Box::into_raw(Box::new(Goroutine::new(thread, parent_thread)));
    // SAFETY: Go's own variable.
    unsafe { child.write(made) };
    if parent.is_null() {
        return;
    }
    // SAFETY: see the module.
    let Some(proc) = (unsafe { running(parent, g) }) else { return };
    // SAFETY: see the module.
    let stack = unsafe { stack_here(proc, &[], g, frame) };
    let value = u64::from(thread.as_u32());
    proc.event(Event { value, stack, ..Event::new(EventKind::Spawn) });
}

/// `__tsan_go_end`: the last hook of a goroutine.
pub unsafe extern "C" fn go_end(
    context: *mut Goroutine,
    _a: u64,
    _b: u64,
    _c: u64,
    g: usize,
    _frame: u64,
) {
    if context.is_null() {
        return;
    }
    // SAFETY: see the module.
    let is_started = unsafe { &*context }.is_started;
    // SAFETY: see the module.
    if is_started && let Some(proc) = unsafe { running(context, g) } {
        // SAFETY: see the module.
        if unsafe { number_of(g, context) } != 0 {
            // Another goroutine gets this stack, and its accesses are not to race with ours.
            // SAFETY: `g` is the goroutine's own: it has a number.
            let bounds = unsafe { StackBounds::of(g as u64) };
            let (object, value) = (bounds.low, bounds.high - bounds.low);
            proc.event(Event { object, value, ..Event::new(EventKind::Retire) });
        }
        proc.event(Event::new(EventKind::End));
        proc.forget_current();
    }
    // Go keeps the pointer until it uses the `g` again, and its scheduler may still call hooks for it:
    // a goroutine that ends in a bubble of `synctest` readies the one that waits for it.
    // SAFETY: see the module.
    if unsafe { number_of(g, context) } != 0 {
        // SAFETY: its `g` is current, or under the system's: this thread's to change.
        unsafe { forget_context(g, context) };
    }
    // SAFETY: made by `go_start` from a box, and Go does not use it any more.
    drop(unsafe { Box::from_raw(context) });
}

/// `__tsan_malloc`: a block of the heap, for a type of Go's or none; from a `g` without a context,
/// memory of the runtime's.
pub unsafe extern "C" fn malloc(
    context: *mut Goroutine,
    what: u64,
    object: u64,
    size: u64,
    g: usize,
    frame: u64,
) {
    // SAFETY: see the module.
    let Some(proc) = (unsafe { running(context, g) }) else { return };
    // Long out of the cache, mostly: on its way while the stack is walked.
    stripe::prefetch(object);
    let (kind, stack, extra) = if context.is_null() {
        (EventKind::Retire, StackId::UNKNOWN, 0)
    } else {
        let name = proc.type_name(what);
        // SAFETY: see the module.
        let stack = unsafe { stack_here(proc, &[], g, frame) };
        (EventKind::Alloc, stack, u64::from(name.as_u32()))
    };
    proc.event(Event { object, value: size, extra, stack, ..Event::new(kind) });
}

/// `__tsan_free`: the collector, or an arena, gives a block back.
pub unsafe extern "C" fn free(object: u64, _size: u64, _a: u64, _b: u64, g: usize, _frame: u64) {
    // SAFETY: see the module.
    if let Some(proc) = unsafe { running(std::ptr::null_mut(), g) } {
        proc.event(Event { object, ..Event::new(EventKind::Free) });
    }
}

#[inline]
unsafe fn access(kind: AccessKind, context: *mut Goroutine, address: u64, pc: u64, g: usize) {
    // SAFETY: see the module.
    let Some(goroutine) = (unsafe { context.as_ref() }) else { return };
    // SAFETY: see the module.
    let Some(proc) = (unsafe { running(context, g) }) else { return };
    proc.access(kind, address, SCALAR_SIZE, goroutine.callers, pc);
}

/// `__tsan_read`.
pub unsafe extern "C" fn read(
    context: *mut Goroutine,
    address: u64,
    pc: u64,
    _unused: u64,
    g: usize,
) {
    // SAFETY: see the module.
    unsafe { access(AccessKind::Read, context, address, pc, g) };
}

/// `__tsan_write`.
pub unsafe extern "C" fn write(
    context: *mut Goroutine,
    address: u64,
    pc: u64,
    _unused: u64,
    g: usize,
) {
    // SAFETY: see the module.
    unsafe { access(AccessKind::Write, context, address, pc, g) };
}

#[inline]
unsafe fn access_pc(
    kind: AccessKind,
    context: *mut Goroutine,
    address: u64,
    caller_pc: u64,
    pc: u64,
    g: usize,
) {
    // SAFETY: see the module.
    let Some(goroutine) = (unsafe { context.as_ref() }) else { return };
    // SAFETY: see the module.
    let Some(proc) = (unsafe { running(context, g) }) else { return };
    let callers = proc.called_from(goroutine.callers, caller_pc);
    proc.access(kind, address, SCALAR_SIZE, callers, pc);
}

/// `__tsan_read_pc`: in a function of the runtime's that was called from `caller_pc`.
pub unsafe extern "C" fn read_pc(
    context: *mut Goroutine,
    address: u64,
    caller_pc: u64,
    pc: u64,
    g: usize,
) {
    // SAFETY: see the module.
    unsafe { access_pc(AccessKind::Read, context, address, caller_pc, pc, g) };
}

/// `__tsan_write_pc`.
pub unsafe extern "C" fn write_pc(
    context: *mut Goroutine,
    address: u64,
    caller_pc: u64,
    pc: u64,
    g: usize,
) {
    // SAFETY: see the module.
    unsafe { access_pc(AccessKind::Write, context, address, caller_pc, pc, g) };
}

#[inline]
unsafe fn range(
    kind: AccessKind,
    context: *mut Goroutine,
    address: u64,
    size: u64,
    pc: u64,
    g: usize,
) {
    // SAFETY: see the module.
    let Some(goroutine) = (unsafe { context.as_ref() }) else { return };
    if size == 0 {
        return;
    }
    // SAFETY: see the module.
    let Some(proc) = (unsafe { running(context, g) }) else { return };
    if let Ok(size) = u32::try_from(size) {
        proc.access(kind, address, size, goroutine.callers, pc);
    } else {
        let stack = proc.called_from(goroutine.callers, pc);
        proc.long_access(kind, address, size, stack);
    }
}

/// `__tsan_read_range`.
pub unsafe extern "C" fn read_range(
    context: *mut Goroutine,
    address: u64,
    size: u64,
    pc: u64,
    g: usize,
) {
    // SAFETY: see the module.
    unsafe { range(AccessKind::RangeRead, context, address, size, pc, g) };
}

/// `__tsan_write_range`.
pub unsafe extern "C" fn write_range(
    context: *mut Goroutine,
    address: u64,
    size: u64,
    pc: u64,
    g: usize,
) {
    // SAFETY: see the module.
    unsafe { range(AccessKind::RangeWrite, context, address, size, pc, g) };
}

/// `__tsan_func_enter`: a function begins that was called from `pc`.
pub unsafe extern "C" fn func_enter(
    context: *mut Goroutine,
    pc: u64,
    _a: u64,
    _b: u64,
    g: usize,
    frame: u64,
) {
    // SAFETY: see the module.
    let Some(goroutine) = (unsafe { context.as_mut() }) else { return };
    // SAFETY: see the module.
    let Some(proc) = (unsafe { proc_of(g) }) else { return };
    // SAFETY: `g` is current.
    let depth = unsafe { depth_of(g, frame) };
    goroutine.unwind_to(depth);
    let callers = proc.called_from(goroutine.callers, pc);
    goroutine.enter(callers, depth);
}

/// How deep in the stack of `g` a frame is.
#[inline]
unsafe fn depth_of(g: usize, frame: u64) -> u32 {
    // SAFETY: the caller's.
    let bounds = unsafe { StackBounds::of(g as u64) };
    // A stack has at most one gigabyte.
    bounds.high.wrapping_sub(frame) as u32
}

/// `__tsan_func_exit`: the innermost function returns.
pub unsafe extern "C" fn func_exit(
    context: *mut Goroutine,
    _a: u64,
    _b: u64,
    _c: u64,
    g: usize,
    frame: u64,
) {
    // SAFETY: see the module.
    if let Some(goroutine) = unsafe { context.as_mut() } {
        // It calls this hook from where it called that of its entry.
        // SAFETY: `g` is current.
        goroutine.unwind_to(unsafe { depth_of(g, frame) });
    }
}

/// Appends an event of a goroutine with an object that is exclusively its own now.
#[inline]
pub(super) unsafe fn sync_event(context: *mut Goroutine, event: Event, g: usize, frame: u64) {
    // SAFETY: see the module.
    let Some(goroutine) = (unsafe { context.as_ref() }) else { return };
    if goroutine.ignoring != 0 {
        return;
    }
    let is_parked = goroutine.parked != 0;
    let parked_at = goroutine.parked_at;
    // SAFETY: see the module.
    let Some(proc) = (unsafe { running(context, g) }) else { return };
    let stack = if is_parked {
        // Somebody does it for a goroutine that waits.
        parked_at
    } else {
        // SAFETY: see the module.
        unsafe { stack_here(proc, &[], g, frame) }
    };
    proc.event(Event { stack, ..event });
}

macro_rules! generic {
    ($($(#[$doc:meta])* $name:ident $kind:ident;)*) => {$(
        $(#[$doc])*
        pub unsafe extern "C" fn $name(
            context: *mut Goroutine,
            object: u64,
            _a: u64,
            _b: u64,
            g: usize,
            frame: u64,
        ) {
            let detail = u32::from(object == layout::entry(Entry::CgoSync) as u64 && object != 0);
            let event = Event { detail, object, ..Event::new(EventKind::$kind) };
            // SAFETY: see the module.
            unsafe { sync_event(context, event, g, frame) };
        }
    )*};
}

generic! {
    /// `__tsan_acquire`.
    acquire Acquire;
    /// `__tsan_release`.
    release Release;
    /// `__tsan_release_merge`.
    release_merge ReleaseMerge;
    /// `__tsan_release_acquire`.
    release_acquire AcquireRelease;
}

/// `__tsan_finalizer_goroutine`: what finalizers do comes after all that was done.
pub unsafe extern "C" fn finalizer_goroutine(
    context: *mut Goroutine,
    _a: u64,
    _b: u64,
    _c: u64,
    g: usize,
    frame: u64,
) {
    let object = super::park::COLLECTION;
    let event = Event { object, ..Event::new(EventKind::AcquireAll) };
    // SAFETY: see the module.
    unsafe { sync_event(context, event, g, frame) };
}

/// `__tsan_go_ignore_sync_begin`: what this goroutine synchronises is an implementation's own.
pub unsafe extern "C" fn ignore_sync_begin(context: *mut Goroutine) {
    // SAFETY: see the module.
    if let Some(goroutine) = unsafe { context.as_mut() } {
        goroutine.ignoring += 1;
    }
}

/// `__tsan_go_ignore_sync_end`.
pub unsafe extern "C" fn ignore_sync_end(context: *mut Goroutine) {
    // SAFETY: see the module.
    if let Some(goroutine) = unsafe { context.as_mut() } {
        goroutine.ignoring = goroutine.ignoring.saturating_sub(1);
    }
}

/// `__tsan_report_count`: nothing is judged here, so nothing was found.
pub unsafe extern "C" fn report_count(count: *mut u64) {
    // SAFETY: Go's own variable.
    unsafe { count.write(0) };
}

/// What a hook that Go never calls is linked to.
pub extern "C" fn nothing(_unused: *mut c_void) {}

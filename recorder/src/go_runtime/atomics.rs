//! The hooks of `sync/atomic`, which do the operation and record it.
//!
//! Go passes the addresses of its arguments: the variable's address, the operands, then room for the
//! result. The operation and its order number are one step under the spin bit of the variable's
//! stripe. Its access is recorded where it stands in no wrong relation to others that go by the same
//! variable: before the event of an operation that publishes, after that of one that only takes.
//!
//! # Safety
//! As for [`super::hooks`]. `arguments` is the frame of the function of `sync/atomic` that this hook
//! stands for; the variable that it names is aligned and is accessed by others atomically or not at
//! all (the program's own races with it are what is being recorded).

#![expect(unsafe_code, reason = "called by Go, with Go's pointers")]

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use mmtrace_format::event::MemoryOrder;
use mmtrace_format::{AccessKind, Event, EventKind};

use super::goroutine::Goroutine;
use super::hooks::{running, stack_here};
use crate::stripe;

/// What an operation did.
struct Done {
    kind: EventKind,
    /// What the variable holds after it, or was found to hold.
    value: u64,
}

/// Who does it, and where.
struct Caller {
    context: *mut Goroutine,
    called_from: u64,
    pc: u64,
    g: usize,
    frame: u64,
}

#[inline]
unsafe fn perform(caller: &Caller, address: u64, size: u32, operation: impl FnOnce() -> Done) {
    // SAFETY: see the module.
    let goroutine = unsafe { caller.context.as_ref() };
    let Some(goroutine) = goroutine.filter(|goroutine| goroutine.ignoring == 0) else {
        operation();
        return;
    };
    // SAFETY: see the module.
    let Some(proc) = (unsafe { running(caller.context, caller.g) }) else {
        operation();
        return;
    };
    let stripe = stripe::lock(address);
    let done = operation();
    let sequence = stripe.number();
    let inner = [caller.pc, caller.called_from];
    // SAFETY: see the module.
    let stack = unsafe { stack_here(proc, &inner, caller.g, caller.frame) };
    let callers = proc.called_from(goroutine.callers, caller.called_from);
    let event = Event {
        detail: MemoryOrder::SequentiallyConsistent as u32,
        object: address,
        sequence,
        value: done.value,
        extra: u64::from(size),
        stack,
        ..Event::new(done.kind)
    };
    if matches!(done.kind, EventKind::AtomicLoad | EventKind::AtomicCasFailed) {
        proc.numbered_event(event);
        proc.access(AccessKind::AtomicRead, address, size, callers, caller.pc);
    } else {
        proc.access(AccessKind::AtomicWrite, address, size, callers, caller.pc);
        proc.numbered_event(event);
    }
}

/// An argument, `offset` bytes into the frame.
unsafe fn argument<T: Copy>(arguments: *const u8, offset: usize) -> T {
    // SAFETY: see the module; the frame has the operand there.
    let place = unsafe { arguments.add(offset) };
    // SAFETY: the same.
    unsafe { place.cast::<T>().read_unaligned() }
}

unsafe fn answer<T>(arguments: *mut u8, offset: usize, value: T) {
    // SAFETY: see the module; the frame has room for the result there.
    let place = unsafe { arguments.add(offset) };
    // SAFETY: the same.
    unsafe { place.cast::<T>().write_unaligned(value) };
}

macro_rules! hook {
    (
        $(#[$doc:meta])* $name:ident, $int:ty, $atomic:ty,
        |$variable:ident, $arguments:ident| $operation:expr
    ) => {
        $(#[$doc])*
        pub unsafe extern "C" fn $name(
            context: *mut Goroutine,
            caller_pc: u64,
            pc: u64,
            $arguments: *mut u8,
            g: usize,
            frame: u64,
        ) {
            // SAFETY: see the module: the first argument is the variable's address.
            let address: u64 = unsafe { argument($arguments, 0) };
            let variable = std::ptr::with_exposed_provenance_mut::<$int>(address as usize);
            // SAFETY: see the module.
            let $variable = unsafe { <$atomic>::from_ptr(variable) };
            let caller = Caller { context, called_from: caller_pc, pc, g, frame };
            let operation = || $operation;
            // SAFETY: see the module.
            unsafe { perform(&caller, address, size_of::<$int>() as u32, operation) };
        }
    };
}

macro_rules! hooks {
    (
        $int:ty, $atomic:ty, $old:literal, $swapped:literal,
        $load:ident $store:ident $exchange:ident $fetch_add:ident $fetch_and:ident $fetch_or:ident
        $compare_exchange:ident
    ) => {
        hook! {
            /// A load.
            $load, $int, $atomic, |variable, arguments| {
                let value = variable.load(Ordering::SeqCst);
                // SAFETY: see the module.
                unsafe { answer(arguments, 8, value) };
                Done { kind: EventKind::AtomicLoad, value: value.into() }
            }
        }
        hook! {
            /// A store.
            $store, $int, $atomic, |variable, arguments| {
                // SAFETY: see the module.
                let value: $int = unsafe { argument(arguments, 8) };
                variable.store(value, Ordering::SeqCst);
                Done { kind: EventKind::AtomicStore, value: value.into() }
            }
        }
        hooks!(@modify $int, $atomic, $old, $exchange, swap, |_old, operand| operand);
        hooks!(@modify $int, $atomic, $old, $fetch_add, fetch_add, <$int>::wrapping_add);
        hooks!(@modify $int, $atomic, $old, $fetch_and, fetch_and, |old, operand| old & operand);
        hooks!(@modify $int, $atomic, $old, $fetch_or, fetch_or, |old, operand| old | operand);
        hook! {
            /// A compare-and-swap.
            $compare_exchange, $int, $atomic, |variable, arguments| {
                // SAFETY: see the module.
                let current: $int = unsafe { argument(arguments, 8) };
                // SAFETY: see the module.
                let new: $int = unsafe { argument(arguments, 8 + size_of::<$int>()) };
                let order = Ordering::SeqCst;
                let result = variable.compare_exchange(current, new, order, order);
                // SAFETY: see the module.
                unsafe { answer(arguments, $swapped, result.is_ok()) };
                match result {
                    Ok(_) => Done { kind: EventKind::AtomicRmw, value: new.into() },
                    Err(found) => Done { kind: EventKind::AtomicCasFailed, value: found.into() },
                }
            }
        }
    };
    (@modify $int:ty, $atomic:ty, $old:literal, $name:ident, $method:ident, $new:expr) => {
        hook! {
            /// A read-modify-write.
            $name, $int, $atomic, |variable, arguments| {
                // SAFETY: see the module.
                let operand: $int = unsafe { argument(arguments, 8) };
                let old = variable.$method(operand, Ordering::SeqCst);
                // SAFETY: see the module.
                unsafe { answer(arguments, $old, old) };
                let new: fn($int, $int) -> $int = $new;
                Done { kind: EventKind::AtomicRmw, value: new(old, operand).into() }
            }
        }
    };
}

hooks! {
    u32, AtomicU32, 16, 16,
    atomic32_load atomic32_store atomic32_exchange atomic32_fetch_add atomic32_fetch_and
    atomic32_fetch_or atomic32_compare_exchange
}
hooks! {
    u64, AtomicU64, 16, 24,
    atomic64_load atomic64_store atomic64_exchange atomic64_fetch_add atomic64_fetch_and
    atomic64_fetch_or atomic64_compare_exchange
}

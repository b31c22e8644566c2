//! The hot paths in assembly: what Go calls on the goroutine's own stack.
//!
//! To call a C function, Go switches to the system's stack and back; for what is done at every access
//! to memory and every function call, that costs more than the work. These routines do the common
//! case of `Proc::access`, `func_enter` and `func_exit` with registers alone: no call, no stack. In
//! every other case they jump, with all arguments in place, to where Go calls the C function.
//!
//! # What holds on entry
//! - RDI is the goroutine's context or null, R12 the processor's or null, R11 where to go on.
//! - Arguments are as for the C function: RSI, RDX, RCX. Return is to Go code.
//! - R8 to R10, R13 and RBX are free. RAX, RDX, RBP, R14 and X15 must stay as they are.
//! - An address is one of Go's heap or data, so it fits a short access.
//! - The thread holds the processor and is not preempted: signals find a program counter that is not
//!   Go's.
//!
//! # Why it is sound
//! The record is stored before the length that publishes it, as in `Cursor`; the processor keeps
//! stores in order. A goroutine that does not run here (another one's context, or one that has run
//! elsewhere since) is never current, so nothing of it is touched. A null processor, and one without
//! a slot (its length is not below its number of words, 0), do not get to the store.

#![expect(unsafe_code, reason = "names that Go links to; assembly")]

use core::arch::naked_asm;

use mmtrace_recorder::go_runtime::{AccessKind, offsets as at};

/// The routine of one kind of access: `$pc` is the register of the return address. What the lists do
/// differs: `$stir` stirs what a place has besides its key into R13, which `$stirred` mixes in;
/// `$size` compares the size of a place (R9); `$kind_seen` and `$kind_word` tell kinds apart.
macro_rules! access {
    (
        $(#[$doc:meta])* $name:ident, $kind:ident, $pc:literal,
        stir [$($stir:literal),*], stirred [$($stirred:literal),*], size [$($size:literal),*],
        kind [$($kind_seen:literal),*] [$($kind_word:literal),*]
        $(, $operand:ident = $value:expr)*
    ) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// For Go's runtime alone: see the module.
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        pub(crate) unsafe extern "C" fn $name() {
            naked_asm!(
                // Whoever calls is current here.
                "test r12, r12",
                "jz 2f",
                "cmp rdi, [r12 + {current}]",
                "jne 2f",
                "mov r8, [rdi + {turn}]",
                "cmp r8, [r12 + {proc_turn}]",
                "jne 2f",
                // R8: the key of the place, by the callers and the return address. R9: its product.
                "mov r8d, [rdi + {callers}]",
                "shl r8, 32",
                concat!("mov r9d, ", $pc),
                "or r8, r9",
                "movabs r9, {multiplier}",
                $($stir,)*
                "imul r9, r8",
                // R10: the pair of words in the filter.
                "mov r10, r9",
                "shr r10, {filter_spread_shift}",
                "and r10d, {filter_spread}",
                "mov rbx, rsi",
                "shr rbx, {grain_shift}",
                "xor r10, rbx",
                "and r10d, {filter_mask}",
                "shl r10, {pair_shift}",
                "add r10, [r12 + {filter}]",
                // RBX: the word of the filter.
                "mov rbx, r9",
                "shr rbx, {stir_shift}",
                "xor rbx, r9",
                $($stirred,)*
                "xor rbx, [rdi + {epoch}]",
                "xor rbx, [r12 + {memory}]",
                "xor rbx, rsi",
                $($kind_seen,)*
                "cmp rbx, [r10 + {entry}]",
                "je 3f",
                "4:",
                // R9: the place.
                "shr r9, {place_index_shift}",
                "imul r9, r9, {place_len}",
                "add r9, [r12 + {places}]",
                "cmp r8, [r9 + {place_key}]",
                "jne 2f",
                $($size,)*
                "jne 2f",
                "mov r13d, [r9 + {place_chunk}]",
                "cmp r13d, [r12 + {chunk}]",
                "jne 2f",
                "mov r8, [r12 + {len}]",
                "cmp r8, [r12 + {word_count}]",
                "jae 2f",
                "mov [r10 + {entry}], rbx",
                "mov r13, [r9 + {place_prefix}]",
                "or r13, rsi",
                $($kind_word,)*
                "mov r9, [r12 + {words}]",
                "mov [r9 + 8 * r8], r13",
                "inc r8",
                "mov [r12 + {len}], r8",
                "mov r9, [r12 + {published}]",
                "mov [r9], r8",
                "ret",
                // A repetition: nothing, unless all are asked for.
                "3:",
                "cmp byte ptr [r12 + {is_full}], 0",
                "jne 4b",
                "ret",
                "2:",
                "jmp r11",
                current = const at::CURRENT,
                turn = const at::TURN,
                proc_turn = const at::PROC_TURN,
                callers = const at::GOROUTINE_CALLERS,
                multiplier = const at::MULTIPLIER,
                filter_spread_shift = const at::FILTER_SPREAD_SHIFT,
                filter_spread = const at::FILTER_SPREAD,
                grain_shift = const at::FILTER_GRAIN_SHIFT,
                filter_mask = const at::FILTER_MASK,
                pair_shift = const at::FILTER_PAIR_SHIFT,
                filter = const at::FILTER,
                stir_shift = const at::FILTER_STIR_SHIFT,
                epoch = const at::EPOCH,
                memory = const at::MEMORY,
                entry = const at::entry_of(AccessKind::$kind),
                place_index_shift = const at::PLACE_INDEX_SHIFT,
                place_len = const at::PLACE_LEN,
                places = const at::PLACES,
                place_key = const at::PLACE_KEY,
                place_size = const at::PLACE_SIZE,
                place_chunk = const at::PLACE_CHUNK,
                place_prefix = const at::PLACE_PREFIX,
                chunk = const at::CHUNK,
                len = const at::LEN,
                word_count = const at::WORD_COUNT,
                words = const at::WORDS,
                published = const at::PUBLISHED,
                is_full = const at::IS_FULL,
                $($operand = const $value,)*
            )
        }
    };
}

access! {
    /// `__tsan_read` in the common case.
    __mmtrace_go_fast_read, Read, "edx",
    stir [], stirred [], size ["cmp dword ptr [r9 + {place_size}], {scalar}"], kind [] [],
    scalar = at::SCALAR_SIZE
}
access! {
    /// `__tsan_write` in the common case.
    __mmtrace_go_fast_write, Write, "edx",
    stir [], stirred [], size ["cmp dword ptr [r9 + {place_size}], {scalar}"],
    kind ["movabs r13, {kind_seen}", "xor rbx, r13"] ["movabs rbx, {kind_word}", "or r13, rbx"],
    scalar = at::SCALAR_SIZE,
    kind_seen = at::kind_in_filter(AccessKind::Write),
    kind_word = at::kind_in_word(AccessKind::Write)
}
/// The routine of one kind of range. A place has no size 0: the C function sees to that.
macro_rules! range {
    ($(#[$doc:meta])* $name:ident, $kind:ident) => {
        access! {
            $(#[$doc])*
            $name, $kind, "ecx",
            stir ["mov r13, rdx", "imul r13, r9"], stirred ["xor rbx, r13"],
            size ["mov r13d, [r9 + {place_size}]", "cmp r13, rdx"],
            kind ["movabs r13, {kind_seen}", "xor rbx, r13"]
                ["movabs rbx, {kind_word}", "or r13, rbx"],
            kind_seen = at::kind_in_filter(AccessKind::$kind),
            kind_word = at::kind_in_word(AccessKind::$kind)
        }
    };
}

range! {
    /// `__tsan_read_range` in the common case.
    __mmtrace_go_fast_read_range, RangeRead
}
range! {
    /// `__tsan_write_range` in the common case.
    __mmtrace_go_fast_write_range, RangeWrite
}

/// `__tsan_func_enter` in the common case; R13 is the upper end of the goroutine's stack.
///
/// # Safety
/// For Go's runtime alone: see the module.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn __mmtrace_go_fast_enter() {
    naked_asm!(
        "test rdi, rdi",
        "jz 2f",
        "test r12, r12",
        "jz 2f",
        // R13: the depth. What lies as deep is left over from a panic.
        "sub r13, rbp",
        "mov r8, [rdi + {top}]",
        "cmp [r8 - 4], r13d",
        "jae 2f",
        "cmp r8, [rdi + {end}]",
        "je 2f",
        // R10: the stack of who was called, by its caller's and the place of the call.
        "mov r9d, [rdi + {callers}]",
        "mov rcx, r9",
        "shl rcx, 32",
        "mov r10d, esi",
        "or rcx, r10",
        "movabs r10, {multiplier}",
        "imul r10, rcx",
        "shr r10, {index_shift}",
        "shl r10, {entry_shift}",
        "add r10, [r12 + {table}]",
        "cmp rcx, [r10 + {key}]",
        "jne 2f",
        "mov r10d, [r10 + {stack}]",
        "mov [r8], r9d",
        "mov [r8 + 4], r13d",
        "add r8, 8",
        "mov [rdi + {top}], r8",
        "mov [rdi + {callers}], r10d",
        "ret",
        "2:",
        "jmp r11",
        top = const at::TOP,
        end = const at::END,
        callers = const at::GOROUTINE_CALLERS,
        multiplier = const at::MULTIPLIER,
        index_shift = const at::CALLER_INDEX_SHIFT,
        entry_shift = const at::CALLER_SHIFT,
        table = const at::CALLERS,
        key = const at::CALLER_KEY,
        stack = const at::CALLER_STACK,
    )
}

/// `__tsan_func_exit` in the common case; R13 is the upper end of the goroutine's stack.
///
/// # Safety
/// For Go's runtime alone: see the module.
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn __mmtrace_go_fast_exit() {
    naked_asm!(
        "test rdi, rdi",
        "jz 2f",
        "sub r13, rbp",
        "mov r8, [rdi + {top}]",
        "cmp [r8 - 4], r13d",
        "jne 2f",
        "mov r9d, [r8 - 8]",
        "mov [rdi + {callers}], r9d",
        "sub r8, 8",
        "mov [rdi + {top}], r8",
        "ret",
        "2:",
        "jmp r11",
        top = const at::TOP,
        callers = const at::GOROUTINE_CALLERS,
    )
}

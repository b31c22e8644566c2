//! The race runtime of Go's race builds, which records instead of judging.
//!
//! A Go program that is built with `-race` calls some forty C functions, which the Go distribution
//! brings along as an object file. This library has functions of the same names, and a few more for
//! the overlay that `mmtrace go` compiles the program with. What they do is in
//! `mmtrace_recorder::go_runtime`; here they get their names, and what Go leaves in registers.

#![expect(unsafe_code, reason = "names that C code links to")]

mod fast;

use core::arch::naked_asm;

use mmtrace_recorder::go_runtime as runtime;

/// Functions with C names. Go passes up to four arguments; its current `g` is in R14 and the frame
/// pointer of its innermost function in RBP, which become the fifth and the sixth.
macro_rules! hooks {
    ($($name:ident => $target:ident;)*) => {$(
        #[doc = concat!("Calls `", stringify!($target), "` of the recorder.")]
        ///
        /// # Safety
        /// For Go's runtime alone: see `mmtrace_recorder::go_runtime`.
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        pub unsafe extern "C" fn $name() {
            naked_asm!("mov r8, r14", "mov r9, rbp", "jmp {target}", target = sym runtime::$target)
        }
    )*};
}

hooks! {
    __tsan_init => init;
    __tsan_fini => fini;
    __tsan_map_shadow => map_shadow;
    __tsan_proc_create => proc_create;
    __tsan_proc_destroy => proc_destroy;
    __tsan_go_start => go_start;
    __tsan_go_end => go_end;
    __tsan_malloc => malloc;
    __tsan_free => free;
    __tsan_read => read;
    __tsan_write => write;
    __tsan_read_pc => read_pc;
    __tsan_write_pc => write_pc;
    __tsan_read_range => read_range;
    __tsan_write_range => write_range;
    __tsan_func_enter => func_enter;
    __tsan_func_exit => func_exit;
    __tsan_acquire => acquire;
    __tsan_release => release;
    __tsan_release_merge => release_merge;
    __tsan_release_acquire => release_acquire;
    __tsan_finalizer_goroutine => finalizer_goroutine;
    __tsan_go_ignore_sync_begin => ignore_sync_begin;
    __tsan_go_ignore_sync_end => ignore_sync_end;
    __tsan_report_count => report_count;

    __tsan_go_atomic32_load => atomic32_load;
    __tsan_go_atomic64_load => atomic64_load;
    __tsan_go_atomic32_store => atomic32_store;
    __tsan_go_atomic64_store => atomic64_store;
    __tsan_go_atomic32_exchange => atomic32_exchange;
    __tsan_go_atomic64_exchange => atomic64_exchange;
    __tsan_go_atomic32_fetch_add => atomic32_fetch_add;
    __tsan_go_atomic64_fetch_add => atomic64_fetch_add;
    __tsan_go_atomic32_fetch_and => atomic32_fetch_and;
    __tsan_go_atomic64_fetch_and => atomic64_fetch_and;
    __tsan_go_atomic32_fetch_or => atomic32_fetch_or;
    __tsan_go_atomic64_fetch_or => atomic64_fetch_or;
    __tsan_go_atomic32_compare_exchange => atomic32_compare_exchange;
    __tsan_go_atomic64_compare_exchange => atomic64_compare_exchange;

    __mmtrace_go_park => park;
    __mmtrace_go_wait_for => wait_for;
    __mmtrace_go_blocking => blocking;
    __mmtrace_go_ready => ready;
    __mmtrace_go_stack_free => stack_free;
    __mmtrace_go_collection => collection;
    __mmtrace_go_channel => channel;
    __mmtrace_go_select => select;
    __mmtrace_go_test => test;
    __mmtrace_go_operation => operation;
}

//! What happens to the process as a whole: its begin, its exit, its forks.

#![expect(unsafe_code, reason = "exit, fork and signal masks have only C interfaces")]

use std::cell::RefCell;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::path::Path;
use std::sync::{MutexGuard, Once};

use mmtrace_format::handshake::{self, Handshake};
use mmtrace_format::live::LiveOptions;

use super::{NUMBER, Plan, State, begin};
use crate::log_file;
use crate::primitive::Ordering;

/// Asks for every access, repeated ones as well.
const FULL: &str = "MMTRACE_FULL";

/// Runs before `main`, on the main thread.
#[used]
// SAFETY: the section is the list of functions that the system calls when the program starts; this
// is one, with the type that the list has, and it needs nothing that `main` would set up.
#[unsafe(link_section = ".init_array")]
static BEGIN: extern "C" fn() = begin_from_environment;

extern "C" fn begin_from_environment() {
    if std::env::var_os(handshake::LOG).is_some() && !is_the_tool() {
        crate::log::unrecorded(begin_as_asked);
        crate::log::begin_main();
    }
}

/// Whether this is the command-line tool, not running as what its demonstration records.
///
/// A log that the environment asks for is meant for other programs, and may be the very one that
/// the tool is to read.
fn is_the_tool() -> bool {
    let mut words = std::env::args_os();
    let is_tool = words.next().is_some_and(|path| {
        Path::new(&path).file_name().is_some_and(|name| name == handshake::TOOL)
    });
    is_tool && words.next().is_none_or(|command| command != handshake::TOOL_WORKLOAD)
}

#[expect(clippy::print_stderr, reason = "who asked for a log is told why there is none")]
fn begin_as_asked() {
    let handshake = match Handshake::read(|name| std::env::var_os(name)) {
        Ok(handshake) => handshake,
        Err(error) => return eprintln!("mmtrace: nothing is recorded: {error}"),
    };
    let program = std::env::current_exe().unwrap_or_default();
    let path = handshake.log_file(&program, std::process::id(), Path::is_dir);
    let Some(path) = path else { return };
    let mut state = super::state();
    let begun =
        log_file::begin(&path, |path| begin(&mut state, Plan { path, ..plan_of(&handshake) }));
    drop(state);
    if let Err(error) = begun {
        eprintln!("mmtrace: nothing is recorded: {error}");
    }
}

/// What the environment says of a recording, whose path is given.
pub(super) fn plan_of(handshake: &Handshake) -> Plan {
    let mut options =
        LiveOptions { max_log: handshake.max_log, keep: handshake.keep, ..LiveOptions::default() };
    if let Some(slot_len) = handshake.slot_len {
        options.slot_len = slot_len;
    }
    let is_full = std::env::var_os(FULL).is_some_and(|full| !full.is_empty() && full != "0");
    let path = handshake.log.clone().unwrap_or_default();
    Plan { path, options, is_full, copies_symbols: true }
}

/// Asks the system to tell of exits and forks. Once in a process; a fork's child has it too.
pub(super) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the function may be called at any exit: it locks, joins and writes files, none of
        // which an exit forbids, and does not unwind (a panic in `extern "C"` aborts).
        unsafe { libc::atexit(at_exit) };
        // SAFETY: the three functions may be called around any fork; see each.
        unsafe { libc::pthread_atfork(Some(before_fork), Some(in_parent), Some(in_child)) };
    });
}

extern "C" fn at_exit() {
    // Whoever asked for the log will find out: it says that it is not complete.
    let _ = super::end(None);
}

thread_local! {
    /// The state's lock while this thread forks, so that the child finds it whole and free.
    static HELD: RefCell<Option<MutexGuard<'static, State>>> = const { RefCell::new(None) };
}

extern "C" fn before_fork() {
    let state = super::state();
    let _ = HELD.try_with(|held| *held.borrow_mut() = Some(state));
}

extern "C" fn in_parent() {
    let _ = HELD.try_with(|held| held.borrow_mut().take());
}

/// The child has a copy of this thread, and everybody's memory: the logs are the parent's.
extern "C" fn in_child() {
    let _ = HELD.try_with(|held| {
        let Some(mut state) = held.borrow_mut().take() else { return };
        let State::On(recording) = std::mem::take(&mut *state) else { return };
        // Never dropped: other threads' copies hold it in any case, and its locks may be held by
        // threads that do not exist here.
        let recording = ManuallyDrop::new(recording);
        let is_going_on = NUMBER.load(Ordering::Relaxed) == recording.number();
        let plan = recording.plan();
        let plan = Plan { path: log_file::of_child(&plan.path), ..plan.clone() };
        crate::log::forget();
        if is_going_on {
            // A number that no log has: the next event of this process begins one.
            NUMBER.store(u64::MAX - 1, Ordering::Relaxed);
            *state = State::Forked(plan);
        }
    });
}

/// While it lives, no signal reaches this thread, nor threads that are started now.
pub(super) struct SignalsBlocked {
    previous: Option<libc::sigset_t>,
}

impl SignalsBlocked {
    pub(super) fn new() -> Self {
        let mut all = MaybeUninit::uninit();
        let mut previous = MaybeUninit::uninit();
        // SAFETY: writes a signal set of ours.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: the first set was written just now, the second is ours to be written.
        let result = unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), previous.as_mut_ptr())
        };
        // SAFETY: the call succeeded, so it wrote the set.
        let previous = (result == 0).then(|| unsafe { previous.assume_init() });
        Self { previous }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        if let Some(previous) = self.previous {
            // SAFETY: the mask that this thread had before.
            unsafe {
                libc::pthread_sigmask(libc::SIG_SETMASK, &raw const previous, std::ptr::null_mut())
            };
        }
    }
}

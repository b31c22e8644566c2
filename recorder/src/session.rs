//! The process's one recording: who begins it, who ends it, and what happens in between to the
//! process.
//!
//! It is begun before `main` if `MMTRACE_LOG` asks for it, or by a [`Session`], and ended by the
//! program's exit (a return from `main` or `std::process::exit`), or by the session's end. A program
//! that is killed, aborts or replaces itself (`exec`) leaves a log that is readable up to the last
//! event; what it becomes writes another one (`crate::log_file`). A child of `fork` never touches its parent's log: it gets one of its own,
//! `<log>.<process id>`, as soon as it does something to be recorded.

mod guard;
mod lifecycle;
mod recording;
mod sealer;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::guard::{FinishError, Session, StartError, Summary};
pub(crate) use self::recording::{Plan, Recording};
use crate::primitive::{AtomicU64, Ordering};

/// The number of the recording that goes on; 0 if none does.
static NUMBER: AtomicU64 = AtomicU64::new(0);
/// How many recordings this process has begun.
static COUNT: AtomicU64 = AtomicU64::new(0);
static STATE: Mutex<State> = Mutex::new(State::Off);

#[derive(Default)]
enum State {
    #[default]
    Off,
    /// Recording, or stopped and not yet closed.
    On(Arc<Recording>),
    /// A child of fork that has not done anything yet.
    Forked(Plan),
}

/// See [`NUMBER`]. What every hook looks at first.
#[inline]
pub(crate) fn number() -> u64 {
    // Relaxed: a hint. Who acts on it finds the recording under a lock, or has it already.
    NUMBER.load(Ordering::Relaxed)
}

/// The recording that goes on. Begins that of a forked child.
pub(crate) fn current() -> Option<Arc<Recording>> {
    let mut state = state();
    match &*state {
        State::Off => None,
        State::On(recording) => (recording.number() == number()).then(|| Arc::clone(recording)),
        State::Forked(_) => {
            let State::Forked(plan) = std::mem::take(&mut *state) else { unreachable!() };
            let begun = begin(&mut state, plan).ok();
            if begun.is_none() {
                NUMBER.store(0, Ordering::Relaxed);
            }
            begun
        }
    }
}

/// Begins a recording. Its first event is to come from this thread: see
/// [`crate::log::begin_main`].
fn begin(
    state: &mut MutexGuard<'_, State>,
    plan: Plan,
) -> Result<Arc<Recording>, mmtrace_format::live::CreateError> {
    lifecycle::watch();
    crate::stripe::reset();
    let number = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
    let recording = Recording::begin(number, plan)?;
    **state = State::On(Arc::clone(&recording));
    NUMBER.store(number, Ordering::Relaxed);
    Ok(recording)
}

/// Ends the recording that goes on, if it is this one (or any, for `None`).
fn end(
    this: Option<&Arc<Recording>>,
) -> Option<Result<mmtrace_format::live::Closed, mmtrace_format::live::CloseError>> {
    let recording = {
        let mut state = state();
        match std::mem::take(&mut *state) {
            State::On(recording) if this.is_none_or(|this| Arc::ptr_eq(this, &recording)) => {
                recording
            }
            State::Forked(_) if this.is_none() => {
                NUMBER.store(0, Ordering::Relaxed);
                return None;
            }
            other => {
                *state = other;
                return None;
            }
        }
    };
    crate::log::end_main(&recording);
    NUMBER.store(0, Ordering::Relaxed);
    Some(crate::log::unrecorded(|| recording.end()))
}

/// Stops recording before its end: nothing more can be written.
pub(crate) fn stop(recording: &Recording) {
    let number = recording.number();
    // Fails if another recording has begun, which is then not concerned.
    let _ = NUMBER.compare_exchange(number, 0, Ordering::Relaxed, Ordering::Relaxed);
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

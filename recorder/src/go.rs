//! `go(f)`: Go's way to start a thread, with nothing to join.

/// Starts a thread that runs `f`, and lets it go.
///
/// Unlike a join, its end orders nothing: whoever wants what it did must hear so through a channel,
/// a wait group or a lock. If it panics, it ends, and the program goes on (Go's would not).
///
/// ```
/// use mmtrace_recorder::{chan::chan, go::go};
///
/// let (sender, receiver) = chan(0);
/// go(move || sender.send("hello"));
/// assert_eq!(receiver.recv(), Some("hello"));
/// ```
///
/// # Panics
/// If the system cannot start another thread.
#[track_caller]
pub fn go<F: FnOnce() + Send + 'static>(f: F) {
    drop(crate::thread::spawn(f));
}

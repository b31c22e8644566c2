//! The thread beside the program that seals full slots.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;

use mmtrace_format::Timestamp;
use mmtrace_format::chunk::SealScratch;
use mmtrace_format::live::Slot;

use super::recording::Recording;

/// Slots that may wait. Beyond that whoever fills slots faster than they are sealed seals them
/// itself: memory stays bounded, and who writes most pays most.
const WAITING_MAX: usize = 8;

/// See the module.
#[derive(Default)]
pub(super) struct Sealer {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Tables of compression, for whoever seals.
    scratches: Mutex<Vec<SealScratch>>,
}

#[derive(Default)]
struct Queue {
    slots: VecDeque<(Slot, Timestamp)>,
    is_served: bool,
}

impl Sealer {
    /// Starts the thread. If the system has none to give, the program's threads seal.
    pub(super) fn start(recording: &'static Recording) {
        let is_served = background("mmtrace-seal", move || {
            loop {
                let (slot, last_time) = recording.sealer().next();
                recording.seal(slot, last_time);
            }
        });
        recording.sealer().queue().is_served = is_served;
    }

    /// Takes a slot to be sealed soon, or gives it back if too many wait.
    pub(super) fn give(&self, slot: Slot, last_time: Timestamp) -> Result<(), Slot> {
        let mut queue = self.queue();
        if !queue.is_served || queue.slots.len() >= WAITING_MAX {
            return Err(slot);
        }
        queue.slots.push_back((slot, last_time));
        drop(queue);
        self.changed.notify_one();
        Ok(())
    }

    /// Does something with tables of compression.
    pub(super) fn with_scratch<R>(&self, work: impl FnOnce(&mut SealScratch) -> R) -> R {
        let scratches = || self.scratches.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = scratches().pop().unwrap_or_default();
        let result = work(&mut scratch);
        scratches().push(scratch);
        result
    }

    fn next(&self) -> (Slot, Timestamp) {
        let mut queue = self.queue();
        loop {
            if let Some(slot) = queue.slots.pop_front() {
                return slot;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a thread that no signal of the program's reaches. Says whether there is one.
#[expect(unsafe_code, reason = "signal masks have only a C interface")]
pub(super) fn background(name: &str, work: impl FnOnce() + Send + 'static) -> bool {
    let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: writes a signal set of ours.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: the first set was written just now, the second is ours to be written.
    let blocked =
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) } == 0;
    let thread = Builder::new().name(name.to_owned()).stack_size(256 << 10).spawn(work);
    if blocked {
        // SAFETY: the mask that the call above has written.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
        }
    }
    thread.is_ok()
}

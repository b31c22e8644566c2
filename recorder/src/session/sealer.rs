//! The thread beside the program that seals full slots, so that the program need not.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{Builder, JoinHandle};

use mmtrace_format::chunk::SealScratch;
use mmtrace_format::live::{AppendError, LiveLog, Slot};
use mmtrace_format::{ModuleId, Timestamp};

use super::Recording;
use crate::module::{self, LoadedModule};

/// Slots that may wait. Beyond that whoever fills slots faster than they are sealed seals them
/// itself: memory stays bounded, and who writes most pays most.
const WAITING_MAX: usize = 16;

/// See the module.
pub(crate) struct Sealer {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Tables of compression, for whoever seals: at most one for each thread that ever did at once.
    scratches: Mutex<Vec<SealScratch>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Queue {
    slots: VecDeque<(Slot, Timestamp)>,
    /// Whether a thread takes from the queue, and will until it is finished.
    is_served: bool,
    is_finished: bool,
}

impl Sealer {
    pub(super) fn new() -> Self {
        Self {
            queue: Mutex::default(),
            changed: Condvar::new(),
            scratches: Mutex::default(),
            threads: Mutex::default(),
        }
    }

    /// Starts the thread that seals, and another that copies these modules' symbols and ends.
    ///
    /// If the system has no thread to give, the program's threads seal for themselves.
    pub(super) fn start(recording: &Arc<Recording>, modules: Vec<(ModuleId, LoadedModule)>) {
        let sealer = &recording.sealer();
        // Weak: a recording that nobody ends, of a forked parent, is not kept alive by its sealer.
        let (weak, strong) = (Arc::downgrade(recording), Arc::clone(recording));
        let serve = background("mmtrace-seal", move || serve(&weak));
        let copies = !modules.is_empty();
        let copy = copies.then(|| {
            background("mmtrace-symbols", move || {
                for (id, module) in &modules {
                    module::copy_symbols(strong.log(), *id, module);
                }
            })
        });
        sealer.queue().is_served = serve.is_some();
        let mut threads = sealer.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.extend(serve.into_iter().chain(copy.flatten()));
    }

    /// Takes a slot to be sealed soon, or gives it back if too many wait.
    pub(super) fn give(&self, slot: Slot, last_time: Timestamp) -> Result<(), Slot> {
        let mut queue = self.queue();
        if !queue.is_served || queue.is_finished || queue.slots.len() >= WAITING_MAX {
            return Err(slot);
        }
        queue.slots.push_back((slot, last_time));
        self.changed.notify_one();
        Ok(())
    }

    /// Seals a slot on this thread.
    pub(super) fn seal(
        &self,
        log: &LiveLog,
        slot: Slot,
        last_time: Timestamp,
    ) -> Result<(), AppendError> {
        let mut scratch = self.scratches().pop().unwrap_or_default();
        let result = log.seal(slot, last_time, &mut scratch);
        self.scratches().push(scratch);
        result
    }

    /// Waits until all that was given is sealed and all symbols are copied.
    pub(super) fn finish(&self) {
        self.queue().is_finished = true;
        self.changed.notify_one();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A panic of theirs is a bug of ours; the slots are in the file all the same.
            let _ = thread.join();
        }
    }

    fn next(&self) -> Option<(Slot, Timestamp)> {
        let mut queue = self.queue();
        loop {
            if let Some(slot) = queue.slots.pop_front() {
                return Some(slot);
            }
            if queue.is_finished {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn scratches(&self) -> MutexGuard<'_, Vec<SealScratch>> {
        self.scratches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(recording: &Weak<Recording>) {
    let Some(recording) = recording.upgrade() else { return };
    while let Some((slot, last_time)) = recording.sealer().next() {
        recording.seal(slot, last_time);
    }
}

/// Starts a thread of the recorder's: not recorded, and deaf to the program's signals.
fn background(name: &str, work: impl FnOnce() + Send + 'static) -> Option<JoinHandle<()>> {
    let deaf = super::lifecycle::SignalsBlocked::new();
    let work = move || {
        crate::log::never_record();
        work();
    };
    let thread = Builder::new().name(name.to_owned()).stack_size(256 << 10).spawn(work);
    drop(deaf);
    thread.ok()
}

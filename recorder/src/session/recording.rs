//! What one recording consists of.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use mmtrace_format::layout::LossReason;
use mmtrace_format::live::{
    CloseError, Closed, CreateError, LiveLog, LiveOptions, Slot, SlotLabel,
};
use mmtrace_format::meta::SETTING_SOURCE;
use mmtrace_format::table::TableEntry;
use mmtrace_format::{ModuleId, ProcessInfo, StackId, StreamId, StringId, ThreadId, Timestamp};

use super::sealer::Sealer;
use crate::clock::{self, Clock};
use crate::log::{CallPlace, CommonLog};
use crate::module::{self, LoadedModule};
use crate::primitive::{AtomicU64, Ordering};
use crate::stack::intern::Interner;
use crate::stack::{Unwinder, Walk, Walker};

/// How to record, and where to.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) path: PathBuf,
    pub(crate) options: LiveOptions,
    /// Whether repeated accesses are recorded, too.
    pub(crate) is_full: bool,
    /// Whether modules' symbols go into the log.
    pub(crate) copies_symbols: bool,
}

/// See the module. Shared by every thread's log; the last one unmaps it.
pub(crate) struct Recording {
    number: u64,
    plan: Plan,
    clock: Clock,
    log: LiveLog,
    interner: Mutex<Interner>,
    unwinder: RwLock<Unwinder>,
    /// How many modules the linker had loaded when they were looked at.
    load_count: AtomicU64,
    sealer: Sealer,
    common: CommonLog,
    streams: AtomicU64,
    threads: AtomicU64,
}

impl Recording {
    /// Creates the log and starts what runs beside the program.
    pub(super) fn begin(number: u64, plan: Plan) -> Result<Arc<Self>, CreateError> {
        let clock = Clock::start();
        let log = LiveLog::create(&plan.path, &process_info(&plan, clock), plan.options)?;
        let recording = Arc::new(Self {
            number,
            plan,
            clock,
            log,
            interner: Mutex::new(Interner::new()),
            unwinder: RwLock::new(Unwinder::new()),
            load_count: AtomicU64::new(0),
            sealer: Sealer::new(),
            common: CommonLog::default(),
            streams: AtomicU64::new(0),
            threads: AtomicU64::new(0),
        });
        let mut modules = recording.look_at_modules();
        if !recording.plan.copies_symbols {
            modules.clear();
        }
        Sealer::start(&recording, modules);
        Ok(recording)
    }

    /// Ends it: everything that was published is in the file when this returns.
    pub(super) fn end(self: &Arc<Self>) -> Result<Closed, CloseError> {
        self.common.end();
        self.sealer.finish();
        self.log.close(self.clock.now())
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn is_full(&self) -> bool {
        self.plan.is_full
    }

    pub(crate) fn common(&self) -> &CommonLog {
        &self.common
    }

    pub(super) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    pub(super) fn log(&self) -> &LiveLog {
        &self.log
    }

    /// A stream that nobody has.
    pub(crate) fn mint_stream(&self) -> StreamId {
        StreamId::new(self.streams.fetch_add(1, Ordering::Relaxed) as u32)
    }

    /// A thread that nobody is. The first is the main thread.
    pub(crate) fn mint_thread(&self) -> ThreadId {
        ThreadId::new(self.threads.fetch_add(1, Ordering::Relaxed) as u32)
    }

    /// A slot to write into; none once the recording has stopped.
    pub(crate) fn acquire_slot(&self, label: &SlotLabel) -> Option<Slot> {
        let slot = self.log.acquire_slot(label);
        if slot.is_none() {
            super::stop(self);
        }
        slot
    }

    /// Takes a slot to be sealed: by the sealer, or at once if that is behind.
    pub(crate) fn give(&self, slot: Slot, last_time: Timestamp) {
        if slot.is_empty() {
            self.log.release(slot);
        } else if let Err(slot) = self.sealer.give(slot, last_time) {
            self.seal(slot, last_time);
        }
    }

    /// Seals a slot on this thread.
    pub(super) fn seal(&self, slot: Slot, last_time: Timestamp) {
        if self.sealer.seal(&self.log, slot, last_time).is_err() {
            super::stop(self);
        }
    }

    /// Counts events that found no room.
    pub(crate) fn count_lost(&self, events: u64) {
        self.log.count_lost(LossReason::Stopped, events);
    }

    /// The number of a string.
    pub(crate) fn string(&self, text: &str) -> StringId {
        self.interner().string(text, &mut |entry| self.publish(&entry))
    }

    /// Walks this thread's stack.
    pub(crate) fn walk(&self, walker: &mut Walker, floor: u64, walk: &mut Walk) {
        let unwinder = self.unwinder.read().unwrap_or_else(PoisonError::into_inner);
        walker.walk(floor, &unwinder, walk);
    }

    /// The number of a stack that this thread has not met. Modules that were loaded since are taken
    /// in first, and the stack is walked again then.
    pub(crate) fn intern_stack(
        &self,
        walker: &mut Walker,
        at: CallPlace,
        walk: &mut Walk,
    ) -> StackId {
        if module::load_count() != self.load_count.load(Ordering::Relaxed) {
            let modules = self.look_at_modules();
            for (id, module) in modules.iter().filter(|_| self.plan.copies_symbols) {
                module::copy_symbols(&self.log, *id, module);
            }
            self.walk(walker, at.place.sp, walk);
        }
        let location = Some(at.location);
        let publish = &mut |entry| self.publish(&entry);
        self.interner().stack(at.place.pc, location, &walk.frames, publish)
    }

    /// Takes in the modules that are new.
    fn look_at_modules(&self) -> Vec<(ModuleId, LoadedModule)> {
        let load_count = module::load_count();
        let mut new = Vec::new();
        for module in module::loaded() {
            let id = self.interner().add_module(&module, &mut |entry| self.publish(&entry));
            if let Some(id) = id {
                let mut unwinder = self.unwinder.write().unwrap_or_else(PoisonError::into_inner);
                unwinder.add(&module);
                new.push((id, module));
            }
        }
        self.load_count.store(load_count, Ordering::Relaxed);
        new
    }

    fn publish(&self, entry: &TableEntry) {
        if self.log.append_table_entry(entry).is_err() {
            super::stop(self);
        }
    }

    fn interner(&self) -> MutexGuard<'_, Interner> {
        self.interner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn process_info(plan: &Plan, clock: Clock) -> ProcessInfo {
    let mut args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
    let name = args.next().unwrap_or_default();
    let program = std::env::current_exe().map_or(name, |path| path.to_string_lossy().into_owned());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let start_realtime_ns = clock::realtime_ns();
    let pid = std::process::id();
    ProcessInfo {
        run_id: clock::run_id(start_realtime_ns, pid),
        program,
        args: args.collect(),
        pid,
        parent_pid: std::os::unix::process::parent_id(),
        start_realtime_ns,
        host: host.trim_end().to_owned(),
        recorder: concat!("mmtrace-recorder ", env!("CARGO_PKG_VERSION")).to_owned(),
        runtime: "rust".to_owned(),
        page_size: 4096,
        cpu_count: std::thread::available_parallelism().map_or(0, |count| count.get() as u32),
        clock: clock.name().to_owned(),
        settings: vec![
            ("full".to_owned(), u8::from(plan.is_full).to_string()),
            // Where our own frames are, for programs whose debug information has no paths.
            (SETTING_SOURCE.to_owned(), concat!(env!("CARGO_MANIFEST_DIR"), "/src/").to_owned()),
        ],
    }
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording").field("number", &self.number).finish_non_exhaustive()
    }
}

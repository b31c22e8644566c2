//! The process's one recording: its log, its tables, and who writes into it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mmtrace_format::handshake::{self, Handshake};
use mmtrace_format::layout::LossReason;
use mmtrace_format::live::{LiveLog, LiveOptions, Slot, SlotLabel};
use mmtrace_format::meta::SETTING_STREAMS_IN_TIME;
use mmtrace_format::table::TableEntry;
use mmtrace_format::{ProcessInfo, StackId, StreamId, StringId, ThreadId, Timestamp};

use super::layout::{self, Entry};
use super::sealer::{Sealer, background};
use super::sites::Sites;
use super::symbols;
use crate::clock::{self, Clock};
use crate::log_file;

/// Asks for every access, repeated ones as well.
const FULL: &str = "MMTRACE_FULL";

/// See the module.
pub(super) struct Recording {
    log: LiveLog,
    clock: Clock,
    is_full: bool,
    sites: Mutex<Sites>,
    sealer: Sealer,
    streams: AtomicU32,
    threads: AtomicU32,
    /// Whether the program has ended: what its other threads still do is not missed.
    is_over: AtomicBool,
}

impl Recording {
    /// Begins what the environment asks for; none if that is nothing, or if it cannot be had, which
    /// the user is told.
    #[expect(clippy::print_stderr, reason = "who wants a log is told why there is none")]
    pub(super) fn begin() -> Option<&'static Self> {
        match Self::try_begin() {
            Ok(recording) => recording,
            Err(problem) => {
                eprintln!("mmtrace: nothing is recorded: {problem}");
                None
            }
        }
    }

    fn try_begin() -> Result<Option<&'static Self>, String> {
        let handshake =
            Handshake::read(|name| std::env::var_os(name)).map_err(|error| error.to_string())?;
        let is_off = std::env::var_os(handshake::LOG).is_some_and(|log| log == handshake::LOG_OFF);
        if is_off {
            return Ok(None);
        }
        let program = std::env::current_exe().unwrap_or_default();
        let pid = std::process::id();
        let asked = handshake.log_file(&program, pid, Path::is_dir);
        let path = asked.unwrap_or_else(|| PathBuf::from(format!("run-{pid}.log")));
        let mut options =
            LiveOptions { max_log: handshake.max_log, keep: handshake.keep, ..Default::default() };
        if let Some(slot_len) = handshake.slot_len {
            options.slot_len = slot_len;
        }
        let clock = Clock::start();
        let is_full = std::env::var_os(FULL).is_some_and(|full| !full.is_empty() && full != "0");
        let info = process_info(&program, clock, is_full);
        let log = log_file::begin(&path, |path| LiveLog::create(path, &info, options));
        let log = log.map_err(|error| error.to_string())?;
        let recording = Box::leak(Box::new(Self {
            log,
            clock,
            is_full,
            sites: Mutex::new(Sites::new()),
            sealer: Sealer::default(),
            streams: AtomicU32::new(0),
            threads: AtomicU32::new(0),
            is_over: AtomicBool::new(false),
        }));
        recording.start();
        Ok(Some(recording))
    }

    /// Starts what runs beside the program.
    fn start(&'static self) {
        let modules = self.sites().look_at_modules(&mut |entry| self.publish(&entry));
        Sealer::start(self);
        let (program, others) = modules.split_at(1.min(modules.len()));
        for (id, module) in program {
            // At once: a program may end at any moment, in ways that wait for nobody.
            symbols::copy(&self.log, *id, module);
        }
        let others = others.to_vec();
        background("mmtrace-symbols", move || {
            for (id, module) in &others {
                symbols::copy(&self.log, *id, module);
            }
        });
    }

    /// Ends it: everything that was published is in the file when this returns.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        // If it fails the log stays as that of a killed program, and says so to its reader.
        let _ = self.log.close(self.clock.now());
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    pub(super) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// A stream that nobody has.
    pub(super) fn mint_stream(&self) -> StreamId {
        StreamId::new(self.streams.fetch_add(1, Ordering::Relaxed))
    }

    /// A thread that nobody is. The first is the main goroutine.
    pub(super) fn mint_thread(&self) -> ThreadId {
        ThreadId::new(self.threads.fetch_add(1, Ordering::Relaxed))
    }

    /// A slot to write into; none once the recording has stopped.
    pub(super) fn acquire_slot(&self, label: &SlotLabel) -> Option<Slot> {
        self.log.acquire_slot(label)
    }

    /// Takes a slot to be sealed: by the sealer, or at once if that is behind.
    pub(super) fn give(&self, slot: Slot, last_time: Timestamp) {
        if slot.is_empty() {
            self.log.release(slot);
        } else if let Err(slot) = self.sealer.give(slot, last_time) {
            self.seal(slot, last_time);
        }
    }

    /// Seals a slot on this thread.
    pub(super) fn seal(&self, slot: Slot, last_time: Timestamp) {
        // A slot that cannot be sealed keeps what it has, for whoever reads the log.
        let _ = self.sealer.with_scratch(|scratch| self.log.seal(slot, last_time, scratch));
    }

    /// Counts events that found no room.
    pub(super) fn count_lost(&self, events: u64) {
        if !self.is_over.load(Ordering::Relaxed) {
            self.log.count_lost(LossReason::Stopped, events);
        }
    }

    /// The number of a string.
    pub(super) fn string(&self, text: &str) -> StringId {
        self.sites().string(text, &mut |entry| self.publish(&entry))
    }

    /// The stack of what was called from `address` in a function that was called from `callers`.
    pub(super) fn called_from(&self, callers: StackId, address: u64) -> StackId {
        self.sites().called_from(callers, address, &mut |entry| self.publish(&entry))
    }

    /// The stack with these return addresses, innermost first.
    pub(super) fn stack(&self, addresses: &[u64]) -> StackId {
        let mut sites = self.sites();
        addresses.iter().rev().fold(StackId::UNKNOWN, |callers, &address| {
            sites.called_from(callers, address, &mut |entry| self.publish(&entry))
        })
    }

    fn publish(&self, entry: &TableEntry) {
        // It fails if the recording has stopped: then no event will name the entry either.
        let _ = self.log.append_table_entry(entry);
    }

    fn sites(&self) -> MutexGuard<'_, Sites> {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn process_info(program: &Path, clock: Clock, is_full: bool) -> ProcessInfo {
    let args = std::env::args_os().skip(1);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let start_realtime_ns = clock::realtime_ns();
    let pid = std::process::id();
    let mut settings = vec![
        ("full".to_owned(), u8::from(is_full).to_string()),
        (SETTING_STREAMS_IN_TIME.to_owned(), "1".to_owned()),
        ("patched".to_owned(), u8::from(layout::is_known()).to_string()),
    ];
    for name in ["GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG"] {
        if let Ok(value) = std::env::var(name) {
            settings.push((name.to_owned(), value));
        }
    }
    ProcessInfo {
        run_id: clock::run_id(start_realtime_ns, pid),
        program: program.to_string_lossy().into_owned(),
        args: args.map(|arg| arg.to_string_lossy().into_owned()).collect(),
        pid,
        parent_pid: std::os::unix::process::parent_id(),
        start_realtime_ns,
        host: host.trim_end().to_owned(),
        recorder: concat!("mmtrace-go-runtime ", env!("CARGO_PKG_VERSION")).to_owned(),
        runtime: go_version(),
        page_size: 4096,
        cpu_count: std::thread::available_parallelism().map_or(0, |count| count.get() as u32),
        clock: clock.name().to_owned(),
        settings,
    }
}

/// `go 1.26.6`; `go` if the runtime did not say.
#[expect(unsafe_code, reason = "a string of Go's")]
fn go_version() -> String {
    // SAFETY: the table's entry is the address of `runtime.buildVersion`, which the linker wrote.
    let version = unsafe { layout::string(layout::entry(Entry::Version)) };
    match version {
        Some(version) => format!("go {}", version.trim_start_matches("go")),
        None => "go".to_owned(),
    }
}

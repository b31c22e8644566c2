//! Recording a piece of a test, and reading what it left.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use mmtrace_format::chunk::{AccessColumns, LaneDecoder, SyncColumns};
use mmtrace_format::event::text::Line;
use mmtrace_format::table::CallSite;
use mmtrace_format::{Access, Event, EventKind, Log, StackId, ThreadId};
use mmtrace_recorder::Session;

/// Records what `f` does, and opens the log. Recordings are a process's, so there is one at a time.
pub(crate) fn record(f: impl FnOnce()) -> Log {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.log");
    let session = Session::start_without_symbols(&path).unwrap();
    f();
    let summary = session.finish().unwrap();
    let log = Log::open(&path).unwrap();
    assert!(log.is_complete());
    assert_eq!(log.gaps(), []);
    assert_eq!((log.event_count(), log.access_count()), (summary.events, summary.accesses));
    log
}

/// Everything in a log: each thread's events and accesses in program order.
pub(crate) fn threads(log: &Log) -> Vec<(ThreadId, Vec<Line>)> {
    let (mut events, mut accesses) = (SyncColumns::default(), AccessColumns::default());
    let mut decoder = LaneDecoder::default();
    let read = |&thread: &ThreadId| {
        let mut lines = Vec::new();
        for fragment in log.fragments_of(thread) {
            let chunk = log.chunk(fragment.chunk as usize).unwrap();
            chunk.decode_sync(&mut decoder, &mut events).unwrap();
            chunk.decode_accesses(&mut decoder, &mut accesses).unwrap();
            lines_of_chunk(thread, &events, &accesses, &mut lines);
        }
        (thread, lines)
    };
    log.threads().iter().map(read).collect()
}

/// A recorder that writes a stream per thread has one fragment in each chunk: all of it.
fn lines_of_chunk(
    thread: ThreadId,
    events: &SyncColumns,
    columns: &AccessColumns,
    lines: &mut Vec<Line>,
) {
    let accesses: Vec<Access> = columns.iter().collect();
    let mut done = 0;
    for (event, &end) in events.events.iter().zip(&events.access_ends) {
        lines.extend(accesses[done..end as usize].iter().map(|&it| Line::Access(thread, it)));
        done = end as usize;
        lines.push(Line::Event(thread, *event));
    }
    lines.extend(accesses[done..].iter().map(|&it| Line::Access(thread, it)));
}

/// The events of a thread.
pub(crate) fn events(lines: &[Line]) -> Vec<Event> {
    let event = |line: &Line| match line {
        Line::Event(_, event) => Some(*event),
        Line::Access(..) => None,
    };
    lines.iter().filter_map(event).collect()
}

/// The accesses of a thread.
pub(crate) fn accesses(lines: &[Line]) -> Vec<Access> {
    let access = |line: &Line| match line {
        Line::Access(_, access) => Some(*access),
        Line::Event(..) => None,
    };
    lines.iter().filter_map(access).collect()
}

/// All events of all threads.
pub(crate) fn all_events(log: &Log) -> Vec<(ThreadId, Event)> {
    let of = |(thread, lines): (ThreadId, Vec<Line>)| {
        events(&lines).into_iter().map(move |event| (thread, event)).collect::<Vec<_>>()
    };
    threads(log).into_iter().flat_map(of).collect()
}

/// The numbers of every stripe: each one from 1 on, none missing, none twice.
pub(crate) fn assert_numbers_are_complete(log: &Log) {
    let mut numbers = std::collections::BTreeMap::<usize, Vec<u64>>::new();
    for (_, event) in all_events(log) {
        if event.kind.spec().is_sequenced() {
            let stripe = mmtrace_format::stripe_of(event.object);
            numbers.entry(stripe).or_default().push(event.sequence);
        }
    }
    for (stripe, mut numbers) in numbers {
        numbers.sort_unstable();
        assert!(
            numbers.iter().copied().eq(1..=numbers.len() as u64),
            "stripe {stripe}: {numbers:?}"
        );
    }
}

/// The source location of the innermost frame.
pub(crate) fn location(log: &Log, stack: StackId) -> (String, u32) {
    let tables = log.tables();
    let site = tables.frames(stack).next().expect("a stack");
    match tables.site(site).expect("in the log") {
        CallSite::Code { location: Some(location), .. } | CallSite::Source { location, .. } => {
            (tables.string(location.file).expect("in the log").to_owned(), location.line)
        }
        CallSite::Code { location: None, .. } => panic!("no location"),
    }
}

/// The strings that events of a kind carry.
pub(crate) fn strings(log: &Log, kind: EventKind) -> Vec<String> {
    let string = |event: Event| {
        let id = mmtrace_format::StringId::new(u32::try_from(event.value).unwrap());
        log.tables().string(id).unwrap().to_owned()
    };
    let of_kind = |(_, event): (ThreadId, Event)| (event.kind == kind).then(|| string(event));
    all_events(log).into_iter().filter_map(of_kind).collect()
}

/// Opens the log that another process left.
pub(crate) fn open(path: &Path) -> Log {
    Log::open(path).unwrap_or_else(|error| panic!("{error}"))
}

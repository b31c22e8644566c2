//! The search language: what the explorer counts, what the command line lists, and what going
//! through all lines of the trace counts, are one.

use mmtrace_fixtures::generate::random_trace;
use mmtrace_fixtures::trace::Trace;
use mmtrace_format::event::BlockReason;
use mmtrace_format::event::text::Line;
use mmtrace_format::{Event, EventKind, Log, ThreadId};
use mmtrace_tui::index::State;
use mmtrace_tui::query::{Query, Term};
use mmtrace_tui::script::{ScriptOptions, run_script};

use crate::support::{analysed, small_program};

const QUERIES: [&str; 50] = [
    "state:running",
    "state:mutex",
    "state:receive",
    "state:waiting",
    "-state:waiting",
    "state:ended",
    "state:sleep",
    "state:syscall",
    "reason:send",
    "reason:receive",
    "reason:mutex",
    "reason:select",
    "reason:wait-group",
    "reason:condition",
    "reason:sleep",
    "-reason:mutex state:waiting",
    "kind:mutex-lock",
    "kind:mutex-unlock",
    "kind:chan-send",
    "kind:chan-recv",
    "kind:spawn",
    "kind:fence",
    "kind:atomic-rmw",
    "kind:alloc",
    "kind:read",
    "kind:write",
    "-kind:write touches:0x300",
    "dur>1ns",
    "dur>50ns",
    "dur>200ns reason:receive",
    "dur<100ns",
    "dur>10ns dur<300ns",
    "g:t0",
    "g:1",
    "-g:0",
    "g:t2 state:receive",
    "from:100ns to:400ns",
    "-from:300ns",
    "to:0ns",
    "obj:0x100",
    "obj:0x200 kind:chan-send",
    "touches:0x300",
    "touches:0x304",
    "touches:0x308",
    "mutex",
    "-lock",
    "chan g:1",
    "main",
    "from:50ns -g:1 lock",
    "kind:mutex-lock -obj:0x100",
];

/// How many items match, by going through all lines.
fn brute_count(trace: &Trace, log: &Log, query: &Query) -> u64 {
    let times = access_times(trace, log);
    let lines = trace.lines().iter().enumerate();
    let count = lines.filter(|(at, line)| {
        query.terms.iter().all(|(term, is_turned)| match line {
            Line::Event(thread, event) => {
                event_holds(trace, log, *at, *thread, event, term) != *is_turned
            }
            Line::Access(thread, access) => {
                let kind = access.kind;
                let holds = match term {
                    Term::State(state) => *state == State::Running,
                    Term::Access(wanted) => kind == *wanted,
                    Term::Thread(number) => thread.as_u32() == *number,
                    Term::Object(object) => access.address.0 == *object,
                    Term::Touches(byte) => {
                        (access.address.0..access.address.0 + access.size).contains(byte)
                    }
                    Term::From(time) => times[*at] >= *time,
                    Term::To(time) => times[*at] < *time,
                    Term::Text(text) => "access".contains(text) || name_has(trace, *thread, text),
                    _ => false,
                };
                query.wants_accesses() && holds != *is_turned
            }
        })
    });
    count.count() as u64
}

fn name_has(trace: &Trace, thread: ThreadId, text: &str) -> bool {
    let named = trace.lines().iter().rev().find_map(|line| match line {
        Line::Event(other, event) if *other == thread && event.kind == EventKind::Name => {
            let name = mmtrace_format::StringId::new(u32::try_from(event.value).unwrap());
            Some(trace.tables().string(name).unwrap_or_default())
        }
        _ => None,
    });
    let name = match named.unwrap_or_default() {
        "" if thread == ThreadId::MAIN => "t0 main".to_owned(),
        "" => thread.to_string(),
        name => format!("{thread} {name}").to_lowercase(),
    };
    name.contains(text)
}

fn after(event: &Event) -> State {
    match event.kind {
        EventKind::Block => State::of_wait(BlockReason::from_detail(event.detail)),
        EventKind::SyscallEnter => State::Syscall,
        EventKind::Preempt => State::Runnable,
        EventKind::End => State::Ended,
        _ => State::Running,
    }
}

fn event_holds(
    trace: &Trace,
    log: &Log,
    at: usize,
    thread: ThreadId,
    event: &Event,
    term: &Term,
) -> bool {
    let wait = || {
        // Until the thread's next line; an access right after has the event's own time.
        let next = trace.lines()[at + 1..].iter().find_map(|line| match line {
            Line::Event(other, next) if *other == thread => Some(next.time.ns),
            Line::Access(other, _) if *other == thread => Some(event.time.ns),
            _ => None,
        });
        let end = next.unwrap_or_else(|| log.time_range().unwrap().1.ns);
        end.saturating_sub(event.time.ns)
    };
    match term {
        Term::State(state) => after(event) == *state,
        Term::Waiting => after(event).is_waiting(),
        Term::Reason(reason) => {
            event.kind == EventKind::Block && BlockReason::from_detail(event.detail) == *reason
        }
        Term::Kind(kind) => event.kind == *kind,
        Term::Longer(ns) => after(event).is_waiting() && wait() >= *ns,
        Term::Shorter(ns) => after(event).is_waiting() && wait() < *ns,
        Term::Thread(number) => thread.as_u32() == *number,
        Term::Object(object) => event.object == *object,
        Term::From(time) => event.time.ns >= *time,
        Term::To(time) => event.time.ns < *time,
        Term::Text(text) => {
            let tables = trace.tables();
            let in_stack = tables.frames(event.stack).any(|site| match tables.site(site) {
                Some(mmtrace_format::table::CallSite::Source { location, function }) => {
                    let has =
                        |id| tables.string(id).unwrap_or_default().to_lowercase().contains(text);
                    has(*function) || has(location.file)
                }
                _ => false,
            });
            in_stack || event.kind.name().contains(text) || name_has(trace, thread, text)
        }
        _ => false,
    }
}

/// The time of each access: that of the event before it in its chunk, which is what the log knows.
fn access_times(trace: &Trace, log: &Log) -> Vec<u64> {
    let mut engine = crate::support::engine_of(log);
    let references = trace.references();
    let time = |(thread, at): (ThreadId, u64)| {
        let lane = engine.index().lane_of(thread).unwrap();
        engine.moment_of(lane, at).unwrap().0.time_ns
    };
    references.into_iter().map(time).collect()
}

#[test]
fn fifty_queries_count_alike_in_the_explorer_on_the_command_line_and_by_brute_force() {
    let mut nonzero = 0;
    for (number, trace) in
        [small_program(), random_trace(2, 500), random_trace(11, 900)].iter().enumerate()
    {
        let log = trace.log();
        let mut engine = analysed(&log);
        for text in QUERIES {
            let query: Query = text.parse().unwrap();
            let expected = brute_count(trace, &log, &query);
            let matches = engine.search(&query, &mut |_, _, _| true);
            assert_eq!(matches.total, expected, "trace {number}: {text}");
            assert_eq!(matches.hits.len() as u64, expected, "trace {number}: {text}");
            assert!(matches.hits.is_sorted_by_key(|hit| (hit.time_ns, hit.lane, hit.index)));
            nonzero += u32::from(expected > 0);
        }
    }
    assert!(nonzero > 75, "only {nonzero} of 150 queries find anything");
}

#[test]
fn the_screen_shows_the_count_of_the_command_line() {
    let log = small_program().log();
    let mut engine = analysed(&log);
    for text in QUERIES {
        let total = engine.search(&text.parse().unwrap(), &mut |_, _, _| true).total;
        let script = format!("search {text}\n");
        let output = run_script(&log, &script, &ScriptOptions::default()).unwrap();
        let model = &output.shots[0].model;
        let shown = model.search.as_ref().unwrap().matches.as_ref().unwrap().total;
        assert_eq!(shown, total, "{text}");
    }
}

//! The level-of-detail index says what going through all events says.

use std::collections::BTreeMap;

use mmtrace_fixtures::generate::{random_trace, well_formed_trace};
use mmtrace_fixtures::trace::Trace;
use mmtrace_format::chunk::{LaneDecoder, SyncColumns};
use mmtrace_format::event::BlockReason;
use mmtrace_format::event::text::Line;
use mmtrace_format::{Event, EventKind, Log, ThreadId};
use mmtrace_tui::index::{Detail, Index, STATE_COUNT, State, Times, build_in_memory};
use proptest::prelude::*;

fn index_of(log: &Log) -> Index {
    build_in_memory(log, Detail::States, &mut |_, _| true).unwrap()
}

/// Each thread's changes of state, from all events of the log: when, and to what.
fn changes(trace: &Trace, log: &Log) -> BTreeMap<ThreadId, Vec<(u64, State)>> {
    let mut lanes: BTreeMap<ThreadId, Vec<(u64, State)>> = BTreeMap::new();
    let events = || {
        trace.lines().iter().filter_map(|line| match line {
            Line::Event(thread, event) => Some((*thread, *event)),
            Line::Access(..) => None,
        })
    };
    for (_, event) in events().filter(|(_, event)| event.kind == EventKind::Spawn) {
        let child = ThreadId::new(u32::try_from(event.value).unwrap());
        lanes.entry(child).or_default().push((event.time.ns, State::Runnable));
    }
    for &thread in log.threads() {
        let lane = lanes.entry(thread).or_default();
        for place in log.fragments_of(thread) {
            fragment_changes(log, place.chunk as usize, place.fragment as usize, lane);
        }
        let mut latest = 0;
        for (time, _) in lane.iter_mut() {
            latest = latest.max(*time);
            *time = latest;
        }
    }
    for (_, ready) in events().filter(|(_, event)| event.kind == EventKind::Ready) {
        let target = ThreadId::new(u32::try_from(ready.value).unwrap());
        let lane = lanes.entry(target).or_default();
        let at = lane.partition_point(|&(time, _)| time <= ready.time.ns);
        let waits = at.checked_sub(1).map(|before| lane[before]);
        if waits.is_some_and(|(time, state)| state.is_waiting() && time < ready.time.ns) {
            lane.insert(at, (ready.time.ns, State::Runnable));
        }
    }
    lanes
}

fn fragment_changes(log: &Log, chunk: usize, place: usize, lane: &mut Vec<(u64, State)>) {
    let mut columns = SyncColumns::default();
    let read = log.chunk(chunk).unwrap();
    read.decode_sync(&mut LaneDecoder::default(), &mut columns).unwrap();
    let header = read.header();
    let is_live = columns.events.is_sorted_by_key(|event| event.time.ns);
    let (events, accesses) = header.fragment_extent(place);
    let own = &columns.events[events.start as usize..events.end as usize];
    let before = if is_live {
        events.start.checked_sub(1).map(|at| &columns.events[at as usize])
    } else {
        own.iter().find(|event| event.kind != EventKind::Switch)
    };
    let mut time = before.map_or(header.first_time.ns, |event| event.time.ns);
    let mut done = accesses.start;
    for at in events.clone() {
        if columns.access_ends[at as usize] > done {
            lane.push((time, State::Running));
            done = columns.access_ends[at as usize];
        }
        if !is_live && columns.events[at as usize].kind == EventKind::Switch {
            continue;
        }
        time = columns.events[at as usize].time.ns;
        lane.push((time, after(&columns.events[at as usize])));
    }
    if accesses.end > done {
        lane.push((time, State::Running));
    }
    if let Some(next) = columns.events.get(events.end as usize)
        && is_live
        && lane.last().is_some_and(|&(_, state)| state == State::Running)
    {
        lane.push((next.time.ns, State::Runnable));
    }
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

/// Time in each state within a window, a nanosecond at a time where it changes.
fn brute_times(changes: &[(u64, State)], from: u64, to: u64) -> Times {
    let mut times = [0; STATE_COUNT];
    for (place, &(start, state)) in changes.iter().enumerate() {
        let end = changes.get(place + 1).map_or(u64::MAX, |&(time, _)| time);
        times[state as usize] += end.min(to).saturating_sub(start.max(from));
    }
    times
}

fn compare(trace: &Trace, windows: &[(u64, u64)]) {
    let log = trace.log();
    let index = index_of(&log);
    let expected = changes(trace, &log);
    for lane in 0..index.lane_count() {
        let lane = index.lane(lane);
        let Some(changes) = expected.get(&lane.thread) else { continue };
        let records =
            trace.references().iter().filter(|(thread, _)| *thread == lane.thread).count();
        assert_eq!(lane.records, records as u64);
        for &(from, to) in windows {
            let found = index.times_between(&lane, from, to);
            let spans: Vec<_> =
                (0..index.span_count(&lane)).map(|number| index.span(&lane, number)).collect();
            let expected = brute_times(changes, from, to);
            assert_eq!(found, expected, "{} {from}..{to} {changes:?} {spans:?}", lane.thread);
            let longest = (0..index.span_count(&lane))
                .map(|number| index.span(&lane, number))
                .filter(|span| span.start_ns < to && span.end_ns > from)
                .map(|span| span.len_ns())
                .max();
            assert_eq!(index.longest_between(&lane, from, to), longest.unwrap_or(0));
        }
    }
}

#[test]
fn a_long_trace_has_its_times_in_every_window() {
    for seed in 0..20 {
        let trace = random_trace(seed, 3_000);
        let last = trace.lines().len() as u64 * 10 + 20;
        let windows: Vec<(u64, u64)> = (0..200)
            .map(|n| (n * 7919 % last, n * 104_729 % last))
            .map(|(a, b)| (a.min(b), a.max(b)))
            .collect();
        compare(&trace, &windows);
    }
}

proptest! {
    #[test]
    fn any_trace_has_its_times_in_any_window(
        trace in well_formed_trace(),
        windows in prop::collection::vec((0_u64..3_000, 0_u64..3_000), 1..20),
    ) {
        let windows: Vec<_> = windows.into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect();
        compare(&trace, &windows);
    }
}

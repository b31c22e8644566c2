//! Walking along edges, and what is before and after an event.

use std::collections::BTreeSet;

use mmtrace_fixtures::generate::random_trace;
use mmtrace_fixtures::oracle::Oracle;
use mmtrace_format::event::BlockReason;
use mmtrace_format::{EventKind, StackId, ThreadId};
use mmtrace_tui::engine::Moment;
use mmtrace_tui::engine::causality::Causality;
use mmtrace_tui::script::{ScriptOptions, run_script};

use crate::support::{Program, engine_of, index_of};

/// A ring: each goroutine receives from the one before and sends to the next.
fn ring(size: u32, hops: u32) -> Program {
    let mut program = Program::new(size);
    let channel = |worker: u32| 0x1_0000 + u64::from(worker) * 64;
    for worker in 1..=size {
        program.event(0, EventKind::ChanMake, StackId::UNKNOWN, |event| {
            // Room for all: no send has to wait for a receive.
            (event.object, event.value) = (channel(worker), 8);
        });
    }
    for hop in 0..hops {
        let (from, to) = (1 + hop % size, 1 + (hop + 1) % size);
        let k = u64::from(hop / size);
        program.event(from, EventKind::ChanSend, StackId::UNKNOWN, |event| {
            (event.object, event.value) = (channel(to), k);
        });
        program.event(to, EventKind::ChanRecv, StackId::UNKNOWN, |event| {
            (event.object, event.value) = (channel(to), k);
        });
    }
    program
}

#[test]
fn a_thousand_steps_back_along_a_ring_of_a_thousand_visit_the_reverse_chain_and_return() {
    const SIZE: u32 = 1_000;
    let log = ring(SIZE, SIZE + 1).trace.log();
    let mut engine = engine_of(&log);
    let lane = |engine: &mmtrace_tui::engine::Engine<'_>, worker: u32| {
        engine.index().lane_of(ThreadId::new(worker)).unwrap()
    };
    let start = lane(&engine, 1 + (SIZE + 1) % SIZE);
    let mut at = engine.moment_at(start, u64::MAX >> 8).unwrap().0;
    let mut visited = Vec::new();
    for _ in 0..SIZE {
        let hop = engine.cause(at.lane, at.index).unwrap();
        at = hop.from;
        visited.push(engine.index().lane(at.lane).thread.as_u32());
    }
    let expected: Vec<u32> = (0..SIZE).map(|back| 1 + (SIZE - back) % SIZE).collect();
    assert_eq!(visited, expected);

    // The same by keys, and back again.
    let script = format!(
        "goto-lane t{}\ngoto 1s\nscreen start\n{}screen far\n{}screen home\n",
        1 + (SIZE + 1) % SIZE,
        "cause\n".repeat(SIZE as usize),
        "back\n".repeat(SIZE as usize)
    );
    let output = run_script(&log, &script, &ScriptOptions::default()).unwrap();
    let place = |shot: usize| {
        let model = &output.shots[shot].model;
        (model.lane(), model.cursor_ns, model.window)
    };
    assert_eq!(place(0), place(2));
    let far = output.shots[1].model.lane().unwrap();
    assert_eq!(engine.index().lane(far).thread.as_u32(), visited[SIZE as usize - 1]);
}

/// Past and future of an event are those of the definition.
#[test]
fn what_is_shaded_as_before_and_after_is_what_the_oracle_says() {
    for seed in 0..40 {
        let trace = random_trace(seed, 150);
        let log = trace.log();
        let index = index_of(&log);
        let edges = Causality::of(&log, &index);
        let oracle = Oracle::new(&trace);
        let references = trace.references();
        for (line, &(thread, at)) in references.iter().enumerate().step_by(7) {
            let Some(lane) = index.lane_of(thread) else { continue };
            let past = edges.past(lane, at);
            let future = edges.future(lane, at);
            for (other, &(other_thread, other_at)) in references.iter().enumerate() {
                let Some(other_lane) = index.lane_of(other_thread) else { continue };
                if other_lane == lane {
                    continue;
                }
                let is_past = past.get(&other_lane).is_some_and(|&last| other_at <= last);
                let is_future = future.get(&other_lane).is_some_and(|&first| first <= other_at);
                let says = |what: &str| {
                    format!("seed {seed}: {thread}#{at} {what} {other_thread}#{other_at}")
                };
                assert_eq!(is_past, oracle.ordered(other, line), "{}", says("after"));
                assert_eq!(is_future, oracle.ordered(line, other), "{}", says("before"));
            }
        }
    }
}

/// Every record is found by its time and by its place.
#[test]
fn moments_by_place_and_by_time_are_those_of_the_trace() {
    for seed in 0..20 {
        let trace = random_trace(seed, 400);
        let log = trace.log();
        let mut engine = engine_of(&log);
        let mut seen = BTreeSet::new();
        for &(thread, at) in &trace.references() {
            let lane = engine.index().lane_of(thread).unwrap();
            let (moment, _) = engine.moment_of(lane, at).unwrap();
            assert_eq!((moment.lane, moment.index), (lane, at));
            let (last, _) = engine.moment_at(lane, moment.time_ns).unwrap();
            assert!(last.index >= at && last.time_ns <= moment.time_ns, "{last:?} {moment:?}");
            assert!(seen.insert(Moment { ..moment }));
        }
    }
}

/// Edges arrive at what a lane does after a sleep, too: they did not end it.
#[test]
fn nobody_ends_a_sleep_and_nothing_ends_a_wait_that_begins_later() {
    let (slept, later) = (0x200, 0x300);
    let mut program = Program::new(1);
    let site = program.site("app::serve", 10);
    for (reason, channel) in [(BlockReason::Sleep, slept), (BlockReason::Receive, later)] {
        let is_sleep = reason == BlockReason::Sleep;
        program.event(0, EventKind::ChanMake, site, |event| {
            (event.object, event.value) = (channel, 2);
        });
        let send = |program: &mut Program| {
            program.event(0, EventKind::ChanSend, site, |event| event.object = channel);
        };
        if !is_sleep {
            send(&mut program);
        }
        program.block(1, reason, if is_sleep { 0 } else { channel }, site);
        program.pass(0, 2);
        if is_sleep {
            send(&mut program);
        }
        program.event(1, EventKind::ChanRecv, site, |event| event.object = channel);
    }
    let log = program.trace.log();
    let mut engine = engine_of(&log);
    let lane = 1;
    let facts = engine.index().lane(lane);
    let waits: Vec<u64> = (0..engine.index().span_count(&facts))
        .map(|number| engine.index().span(&facts, number))
        .filter(|span| span.state.is_waiting())
        .map(|span| span.start_ns)
        .collect();
    assert_eq!(waits.len(), 2);
    for since_ns in waits {
        assert_eq!(engine.waker_of(lane, since_ns), None, "{since_ns}");
    }
    let last = engine.moment_at(lane, u64::MAX).unwrap().0;
    assert!(engine.cause(lane, last.index).is_some(), "the edge is there all the same");
}

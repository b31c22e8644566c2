//! The critical path of a wait: it sums to the wait, and blames who is to blame.

use mmtrace_fixtures::generate::random_trace;
use mmtrace_format::event::BlockReason;
use mmtrace_format::{EventKind, StackId, ThreadId};

use crate::support::{Program, engine_of};

#[test]
fn the_parts_of_a_thousand_random_waits_follow_each_other_and_sum_to_them() {
    let mut waits = 0;
    for seed in 0.. {
        if waits >= 1_000 {
            break;
        }
        assert!(seed < 2_000, "only {waits} waits");
        let log = random_trace(seed, 400).log();
        let mut engine = engine_of(&log);
        let index = std::sync::Arc::clone(engine.index());
        for lane in 0..index.lane_count() {
            let facts = index.lane(lane);
            for number in 0..index.span_count(&facts) {
                let span = index.span(&facts, number);
                if !span.state.is_waiting() || span.len_ns() == 0 {
                    continue;
                }
                let path = engine.critical_path(lane, span.start_ns).unwrap();
                waits += 1;
                let mut at = span.start_ns;
                for part in &path.segments {
                    assert_eq!(part.from_ns, at, "seed {seed}: {path:?}");
                    assert!(part.to_ns > part.from_ns);
                    at = part.to_ns;
                }
                assert_eq!(at, span.end_ns, "seed {seed}: {path:?}");
            }
        }
    }
}

/// A program in which `culprit` works at one place while it holds a lock that a chain of others
/// waits for, each holding the lock that the one before it waits for.
fn planted(chain: u32, work: u32) -> Program {
    let mut program = Program::new(chain + 2);
    let culprit = chain + 2;
    let lock = |number: u32| 0x1000 + u64::from(number) * 64;
    let slow = program.site(&format!("app::slow_{work}"), 99);
    let other = program.site("app::other", 50);
    program.on(culprit, EventKind::MutexLock, lock(chain), slow);
    for number in (0..chain).rev() {
        // This one holds `number`, and waits for the next.
        let thread = 2 + number;
        program.on(thread, EventKind::MutexLock, lock(number), other);
        program.block(thread, BlockReason::Mutex, lock(number + 1), other);
    }
    program.block(1, BlockReason::Mutex, lock(0), other);
    for _ in 0..work {
        program.event(culprit, EventKind::Fence, slow, |_| {});
    }
    program.on(culprit, EventKind::MutexUnlock, lock(chain), slow);
    for number in (0..chain).rev() {
        let thread = 2 + number;
        program.on(thread, EventKind::MutexLock, lock(number + 1), other);
        program.on(thread, EventKind::MutexUnlock, lock(number + 1), other);
        program.on(thread, EventKind::MutexUnlock, lock(number), other);
    }
    program.on(1, EventKind::MutexLock, lock(0), other);
    program.on(1, EventKind::MutexUnlock, lock(0), other);
    for thread in 0..=culprit {
        program.event(thread, EventKind::End, StackId::UNKNOWN, |_| {});
    }
    program
}

#[test]
fn twenty_programs_with_planted_contention_have_their_culprit_named() {
    for case in 0..20_u32 {
        let (chain, work) = (1 + case % 5, 40 + case * 7);
        let log = planted(chain, work).trace.log();
        let mut engine = engine_of(&log);
        let lane = engine.index().lane_of(ThreadId::new(1)).unwrap();
        let facts = engine.index().lane(lane);
        let wait = (0..engine.index().span_count(&facts))
            .map(|number| engine.index().span(&facts, number))
            .find(|span| span.state.is_waiting())
            .unwrap();
        let path = engine.critical_path(lane, wait.start_ns).unwrap();
        let longest = path.segments.iter().max_by_key(|part| part.to_ns - part.from_ns).unwrap();
        let culprit = engine.index().lane(longest.lane).thread;
        assert_eq!(culprit, ThreadId::new(chain + 2), "case {case}: {path:#?}");
        let named = path.lines.iter().any(|line| line.contains(&format!("app::slow_{work}")));
        assert!(named, "case {case}: {:#?}", path.lines);
    }
}

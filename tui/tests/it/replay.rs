//! The state at the cursor is what replaying the trace up to there says.

use std::collections::BTreeMap;

use mmtrace_fixtures::generate::random_trace;
use mmtrace_fixtures::trace::Trace;
use mmtrace_format::event::text::Line;
use mmtrace_format::{EventKind, ThreadId};

use crate::support::engine_of;

/// What a naive replay knows at a time.
#[derive(Default)]
struct Replay {
    held: BTreeMap<ThreadId, Vec<u64>>,
    owners: BTreeMap<u64, Option<ThreadId>>,
    sent: BTreeMap<u64, u64>,
    received: BTreeMap<u64, u64>,
    closed: BTreeMap<u64, bool>,
    last_write: BTreeMap<u64, ThreadId>,
}

impl Replay {
    fn until(trace: &Trace, times: &[u64], time_ns: u64) -> Self {
        let mut replay = Self::default();
        for (line, &time) in trace.lines().iter().zip(times) {
            if time > time_ns {
                continue;
            }
            match *line {
                Line::Event(thread, event) => replay.event(thread, event.kind, event.object),
                Line::Access(thread, access) => {
                    if access.kind.is_write() {
                        for byte in access.address.0..access.address.0 + access.size {
                            replay.last_write.insert(byte, thread);
                        }
                    }
                }
            }
        }
        replay
    }

    fn event(&mut self, thread: ThreadId, kind: EventKind, object: u64) {
        match kind {
            EventKind::MutexLock | EventKind::ReadLock | EventKind::WriteLock => {
                self.held.entry(thread).or_default().push(object);
                if kind != EventKind::ReadLock {
                    self.owners.insert(object, Some(thread));
                }
            }
            EventKind::MutexUnlock | EventKind::ReadUnlock | EventKind::WriteUnlock => {
                let held = self.held.entry(thread).or_default();
                if let Some(at) = held.iter().rposition(|&lock| lock == object) {
                    held.remove(at);
                }
                if kind != EventKind::ReadUnlock {
                    self.owners.insert(object, None);
                }
            }
            EventKind::ChanMake => {
                self.sent.insert(object, 0);
                self.received.insert(object, 0);
                self.closed.remove(&object);
            }
            EventKind::ChanSend => *self.sent.entry(object).or_default() += 1,
            EventKind::ChanRecv => *self.received.entry(object).or_default() += 1,
            EventKind::ChanClose => {
                self.closed.insert(object, true);
            }
            _ => {}
        }
    }
}

#[test]
fn ten_thousand_questions_at_random_times_are_answered_as_a_replay_answers_them() {
    let mut asked = 0_u32;
    let mut random = 0x9E37_79B9_u64;
    let mut below = |limit: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (random >> 33) % limit.max(1)
    };
    for seed in 0.. {
        if asked >= 10_000 {
            break;
        }
        let trace = random_trace(seed, 300);
        let log = trace.log();
        let mut engine = engine_of(&log);
        let times: Vec<u64> = trace
            .references()
            .into_iter()
            .map(|(thread, at)| {
                let lane = engine.index().lane_of(thread).unwrap();
                engine.moment_of(lane, at).unwrap().0.time_ns
            })
            .collect();
        let last = times.iter().copied().max().unwrap_or(0);
        for _ in 0..25 {
            let time_ns = below(last + 20);
            let replay = Replay::until(&trace, &times, time_ns);
            for (&thread, held) in &replay.held {
                let lane = engine.index().lane_of(thread).unwrap();
                let locks = engine.locks_held(lane, time_ns);
                let found: Vec<u64> = locks.iter().map(|lock| lock.object).collect();
                assert_eq!(&found, held, "seed {seed}, {time_ns}: {thread}");
                asked += 1;
            }
            for (&object, owner) in &replay.owners {
                let state = engine.object_at(object, time_ns, false);
                let found = state.holders.iter().find(|holder| !holder.2).map(|holder| holder.0);
                assert_eq!(found, *owner, "seed {seed}, {time_ns}: {object:#x}");
                asked += 1;
            }
            for (&object, &sent) in &replay.sent {
                let state = engine.object_at(object, time_ns, false);
                let received = replay.received.get(&object).copied().unwrap_or(0);
                let expected = Some(sent.saturating_sub(received));
                assert_eq!(state.occupancy, expected, "seed {seed}, {time_ns}: {object:#x}");
                assert_eq!(state.is_closed, replay.closed.contains_key(&object));
                asked += 1;
            }
            // Of accesses at one time nobody can say which came last: several writers are no claim.
            for &byte in replay.last_write.keys().take(6) {
                let state = engine.object_at(byte, time_ns, true);
                let write = state.last_write.unwrap();
                let latest = latest_writers(&trace, &times, byte, time_ns);
                assert!(latest.contains(&write.thread), "seed {seed}, {time_ns}: {byte:#x}");
                asked += 1;
            }
        }
    }
}

/// The threads whose write of a byte has the latest time.
fn latest_writers(trace: &Trace, times: &[u64], byte: u64, until: u64) -> Vec<ThreadId> {
    let writes = || {
        trace.lines().iter().zip(times).filter_map(|(line, &time)| match *line {
            Line::Access(thread, access)
                if time <= until
                    && access.kind.is_write()
                    && (access.address.0..access.address.0 + access.size).contains(&byte) =>
            {
                Some((time, thread))
            }
            _ => None,
        })
    };
    let latest = writes().map(|(time, _)| time).max();
    writes().filter(|(time, _)| Some(*time) == latest).map(|(_, thread)| thread).collect()
}

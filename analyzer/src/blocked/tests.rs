use mmtrace_fixtures::notation::trace;

use super::*;
use crate::order::memory::MemoryLanes;

fn blocked_in(story: &str) -> Blocked {
    let lanes = MemoryLanes::new(trace(story).lines(), 64);
    find(&Trace::new(&lanes))
}

#[test]
fn locks_in_opposite_order_are_a_cycle() {
    let found = blocked_in(
        "
        t1 lock a
        t1 lock b
        t1 unlock b
        t1 unlock a
        t2 lock b
        t2 lock a
        t2 unlock a
        t2 unlock b
        ",
    );
    let [cycle] = &found.lock_cycles[..] else { panic!("{found:?}") };
    assert_eq!(cycle.edges.len(), 2);
    assert_eq!(cycle.edges[0].taken, cycle.edges[1].held);
    assert_eq!(cycle.edges[1].taken, cycle.edges[0].held);
    assert_eq!(found.threads, []);
}

#[test]
fn a_gate_lock_around_both_orders_makes_them_safe() {
    let found = blocked_in(
        "
        t1 lock gate
        t1 lock a
        t1 lock b
        t1 unlock b
        t1 unlock a
        t1 unlock gate
        t2 lock gate
        t2 lock b
        t2 lock a
        t2 unlock a
        t2 unlock b
        t2 unlock gate
        ",
    );
    assert_eq!(found.lock_cycles, []);
}

#[test]
fn one_thread_cannot_deadlock_with_itself_by_order() {
    let found = blocked_in(
        "
        t1 lock a
        t1 lock b
        t1 unlock b
        t1 unlock a
        t1 lock b
        t1 lock a
        t1 unlock a
        t1 unlock b
        ",
    );
    assert_eq!(found.lock_cycles, []);
}

#[test]
fn threads_of_which_one_starts_after_the_other_cannot_deadlock() {
    let found = blocked_in(
        "
        t0 lock a
        t0 lock b
        t0 unlock b
        t0 unlock a
        t0 spawn t1
        t1 lock b
        t1 lock a
        t1 unlock a
        t1 unlock b
        ",
    );
    assert_eq!(found.lock_cycles, []);
}

#[test]
fn readers_do_not_deadlock_with_readers() {
    let story = |second: &str| {
        blocked_in(&format!(
            "
            t1 rlock a
            t1 lock b
            t1 unlock b
            t1 runlock a
            t2 lock b
            t2 {second} a
            t2 {} a
            t2 unlock b
            ",
            second.replace("lock", "unlock"),
        ))
    };
    assert_eq!(story("rlock").lock_cycles.len(), 0);
    assert_eq!(story("wlock").lock_cycles.len(), 1);
}

#[test]
fn a_lock_that_is_only_tried_cannot_deadlock() {
    let found = blocked_in(
        "
        t1 lock a
        t1 lock b
        t1 unlock b
        t1 unlock a
        t2 lock b
        t2 lock a try=1
        t2 unlock a
        t2 unlock b
        ",
    );
    assert_eq!(found.lock_cycles, []);
}

#[test]
fn two_threads_that_hold_what_the_other_wants_are_deadlocked() {
    let found = blocked_in(
        "
        t1 lock a
        t2 lock b
        t1 block mutex b
        t2 block mutex a
        t3 block receive c
        ",
    );
    assert_eq!(found.deadlocks, [vec![0, 1]]);
    let deadlocked: Vec<bool> = found.threads.iter().map(|thread| thread.is_deadlocked).collect();
    assert_eq!(deadlocked, [true, true, false]);
    assert_eq!(found.threads[0].wakers[0].at.thread, found.threads[1].at.thread);
    assert_eq!(found.threads[2].wakers, []);
}

#[test]
fn who_waits_for_a_running_thread_is_blocked_but_not_deadlocked() {
    let found = blocked_in(
        "
        live t2
        t2 lock a
        t1 block mutex a
        t2 write x
        ",
    );
    assert_eq!(found.threads.len(), 1);
    assert!(!found.threads[0].is_deadlocked);
    assert_eq!(found.threads[0].wakers.len(), 1);
    assert_eq!(found.deadlocks, Vec::<Vec<usize>>::new());
}

#[test]
fn receivers_whose_senders_wait_for_each_other_are_deadlocked_without_a_lock() {
    let found = blocked_in(
        "
        t0 make c cap=1
        t0 make d cap=1
        t1 send c
        t2 recv c
        t2 send d
        t1 recv d
        t1 block receive d
        t2 block receive c
        ",
    );
    let deadlocked: Vec<bool> = found.threads.iter().map(|thread| thread.is_deadlocked).collect();
    assert_eq!(deadlocked, [true, true]);
    assert_eq!(found.deadlocks, Vec::<Vec<usize>>::new());
}

/// A select waits for several channels, and its event names none of them.
#[test]
fn who_waits_for_something_unknown_is_not_taken_for_a_waiter_on_the_same() {
    let found = blocked_in(
        "
        t0 make c cap=1
        t1 select 0 2
        t1 send c
        t2 select 0 2
        t2 recv c
        t1 block select
        t2 block select
        ",
    );
    let waits: Vec<(usize, bool)> =
        found.threads.iter().map(|thread| (thread.wakers.len(), thread.is_deadlocked)).collect();
    assert_eq!(waits, [(0, false), (0, false)]);
}

#[test]
fn a_thread_that_locks_its_own_mutex_again_is_deadlocked_alone() {
    let found = blocked_in(
        "
        t1 lock a
        t1 block mutex a
        ",
    );
    assert_eq!(found.deadlocks, [vec![0]]);
}

/// A hundred thousand goroutines may wait for each other: asking all of them again for each that can
/// go on would never end.
#[test]
fn a_long_chain_of_waits_is_followed_to_its_end() {
    let count = 100_000;
    let reasons = vec![BlockReason::Mutex; count];
    let mut needs: Vec<Vec<Option<usize>>> = (1..=count).map(|next| vec![Some(next)]).collect();
    needs[count - 1] = vec![None];
    assert!(!deadlocked(&reasons, &needs).contains(&true));
    needs[count - 1] = vec![Some(0)];
    assert!(!deadlocked(&reasons, &needs).contains(&false));
}

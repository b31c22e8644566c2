//! Surroundings of accesses in small merged orders.

use super::*;

const THREADS: [ThreadId; 3] = [ThreadId::new(0), ThreadId::new(1), ThreadId::new(2)];

fn at(thread: u32, index: u64) -> EventRef {
    EventRef { thread: ThreadId::new(thread), index }
}

fn event(kind: EventKind, object: u64, value: u64) -> Event {
    Event { object, value, ..Event::new(kind) }
}

/// Runs a merged order of events; places in a thread that no event has are accesses.
fn walk(questions: &[(EventRef, u64)], order: &[(EventRef, Event)]) -> Context<'static> {
    let question =
        |&(event, address): &(EventRef, u64)| Question { event, address: Address(address) };
    let questions = questions.iter().map(question).collect();
    let mut context = Context::new(&THREADS, questions);
    for (at, event) in order {
        context.event(at.thread.index(), *at, event);
    }
    for thread in 0..THREADS.len() {
        context.reach(thread, u64::MAX);
    }
    context
}

#[test]
fn an_access_knows_the_locks_around_it_and_what_came_before_and_after() {
    let context = walk(
        &[(at(1, 2), 0x8000)],
        &[
            (at(1, 0), event(EventKind::Start, 0, 0)),
            (at(1, 1), event(EventKind::MutexLock, 0x10, 0)),
            (at(1, 3), event(EventKind::MutexLock, 0x20, 0)),
            (at(1, 4), event(EventKind::MutexUnlock, 0x20, 0)),
            (at(1, 5), event(EventKind::MutexUnlock, 0x10, 0)),
        ],
    );
    let around = &context.answers()[0];
    assert_eq!(around.locks.iter().map(|l| l.object.0).collect::<Vec<_>>(), [0x10]);
    assert_eq!(around.before.unwrap().at, at(1, 1));
    assert_eq!(around.acquire_before.unwrap().at, at(1, 1));
    assert_eq!(around.after.unwrap().at, at(1, 3));
    assert_eq!(around.release_after.unwrap().at, at(1, 4));
}

#[test]
fn a_relaxed_store_synchronises_nothing_but_is_seen() {
    let relaxed = event(EventKind::AtomicStore, 0x10, 1);
    let release = Event { detail: 2, ..relaxed };
    let context = walk(&[(at(1, 0), 1)], &[(at(1, 1), relaxed), (at(1, 3), release)]);
    let around = &context.answers()[0];
    assert_eq!(around.after.unwrap().at, at(1, 1));
    assert_eq!(around.release_after.unwrap().at, at(1, 3));
}

#[test]
fn the_block_is_the_one_that_was_live_at_the_access() {
    let context = walk(
        &[(at(1, 1), 0x108), (at(1, 5), 0x108), (at(1, 7), 0x108)],
        &[
            (at(0, 0), event(EventKind::Alloc, 0x100, 16)),
            (at(1, 0), event(EventKind::Start, 0, 0)),
            (at(1, 3), event(EventKind::Free, 0x100, 0)),
            (at(1, 4), event(EventKind::Alloc, 0x108, 8)),
            (at(1, 6), event(EventKind::Free, 0x108, 0)),
            (at(1, 8), event(EventKind::End, 0, 0)),
        ],
    );
    let blocks: Vec<_> =
        context.answers().iter().map(|a| a.block.map(|b| (b.address.0, b.thread))).collect();
    assert_eq!(blocks, [Some((0x100, THREADS[0])), Some((0x108, THREADS[1])), None]);
}

#[test]
fn a_thread_left_behind_by_a_test_belongs_to_that_test() {
    let test = |kind, name| event(kind, 0, name);
    let context = walk(
        &[(at(1, 1), 1), (at(0, 4), 1)],
        &[
            (at(0, 0), test(EventKind::TestStart, 7)),
            (at(0, 1), event(EventKind::Spawn, 0, 1)),
            (at(1, 0), event(EventKind::Start, 0, 0)),
            (at(0, 2), test(EventKind::TestEnd, 7)),
            (at(0, 3), test(EventKind::TestStart, 8)),
        ],
    );
    let tests: Vec<_> = context.answers().iter().map(|a| (a.test, a.test_over)).collect();
    let name = |number| Some(StringId::new(number));
    assert_eq!(tests, [(name(7), true), (name(8), false)]);
    assert_eq!(context.lives.life(THREADS[1]).unwrap().started.unwrap().0, at(0, 1));
}

#[test]
fn the_walk_goes_on_as_long_as_something_is_to_be_learned_and_no_longer() {
    let order = [
        (at(1, 1), event(EventKind::MutexLock, 0x10, 0)),
        (at(2, 1), event(EventKind::MutexLock, 0x20, 0)),
        (at(1, 2), event(EventKind::MutexUnlock, 0x10, 0)),
        (at(1, 3), event(EventKind::MutexLock, 0x10, 0)),
        (at(2, 2), event(EventKind::MutexUnlock, 0x20, 0)),
    ];
    let ask = |event, address| Question { event, address: Address(address) };
    let questions = vec![ask(at(1, 0), 0x8000), ask(at(2, 0), 0x8000)];
    let mut context = Context::new(&THREADS, questions);
    let full = order.map(|(at, event)| {
        let was_full = context.is_full();
        context.event(at.thread.index(), at, &event);
        was_full
    });
    assert_eq!(full, [false; 5]);
    assert!(context.is_full());
    assert_eq!(context.answers()[1].release_after.unwrap().at, at(2, 2));

    let mut alone = Context::new(&THREADS, vec![ask(at(1, 0), 0x8000)]);
    assert!(!alone.is_full());
    alone.thread_done(1);
    alone.thread_done(1);
    assert!(alone.is_full(), "who has ended does nothing afterwards");
}

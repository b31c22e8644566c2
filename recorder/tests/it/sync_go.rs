//! Wait groups, pools and maps.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use mmtrace_recorder::map::SyncMap;
use mmtrace_recorder::pool::Pool;
use mmtrace_recorder::thread;
use mmtrace_recorder::wait_group::WaitGroup;

use crate::sync_support::{Recorded, Sleeper, record};

fn panic_message(f: impl FnOnce()) -> &'static str {
    let message = catch_unwind(AssertUnwindSafe(f)).expect_err("it panics");
    *message.downcast::<&str>().expect("with a literal")
}

#[test]
fn a_wait_stands_behind_every_done_that_it_waited_for() {
    let group = Arc::new(WaitGroup::new());
    let log = record(|| {
        let workers: Vec<_> = (0..5).map(|_| Arc::new(Sleeper::default())).collect();
        for worker in &workers {
            let here = Arc::clone(worker);
            WaitGroup::go(&group, move || here.is_here());
        }
        group.wait();
        for worker in &workers {
            worker.wait_until_gone();
        }
    });
    let order: Vec<&str> = log.object("wait-group-add").iter().map(Recorded::name).collect();
    assert_eq!(order.iter().filter(|name| **name == "wait-group-done").count(), 5);
    assert_eq!(order.last(), Some(&"wait-group-wait"));
}

#[test]
fn a_wait_that_must_wait_says_so_first() {
    let group = Arc::new(WaitGroup::new());
    let sleeper = Arc::new(Sleeper::default());
    let log = record(|| {
        group.add(2);
        let (theirs, here) = (Arc::clone(&group), Arc::clone(&sleeper));
        let child = thread::spawn(move || {
            here.is_here();
            theirs.wait();
        });
        sleeper.wait_until_asleep();
        group.add(-2);
        child.join().unwrap();
    });
    assert_eq!(
        log.thread(1),
        "\
t1 start parent=t0
t1 block reason=wait-group object=a
t1 wait-group-wait group=a
t1 end
"
    );
    assert!(
        log.text().contains("t0 wait-group-add group=a delta=-1\nt0 wait-group-done group=a\n")
    );
}

#[test]
fn a_wait_group_is_reused_round_after_round() {
    let group = WaitGroup::new();
    let log = record(|| {
        for _ in 0..50 {
            thread::scope(|s| {
                group.add(3);
                for _ in 0..3 {
                    s.spawn(|| group.done());
                }
                group.wait();
            });
        }
    });
    let mut count = 0;
    for event in log.object("wait-group-add") {
        match event.name() {
            "wait-group-add" => count += event.event.value.cast_signed(),
            "wait-group-done" => count -= 1,
            _ => assert_eq!(count, 0, "a wait returns when nothing is left"),
        }
    }
}

#[test]
fn misuse_of_a_wait_group_panics_as_in_go() {
    record(|| {
        let group = WaitGroup::new();
        assert_eq!(panic_message(|| group.done()), "negative WaitGroup counter");
        group.add(1);
        assert_eq!(panic_message(|| group.add(-2)), "negative WaitGroup counter");
        group.done();
        group.wait();
    });
}

#[test]
fn work_that_panics_is_done() {
    record(|| {
        let group = Arc::new(WaitGroup::new());
        let worker = Arc::new(Sleeper::default());
        let here = Arc::clone(&worker);
        WaitGroup::go(&group, move || {
            here.is_here();
            panic!("on purpose");
        });
        group.wait();
        worker.wait_until_gone();
    });
}

#[test]
fn a_get_names_the_put_of_its_item() {
    let pool: Pool<String> = Pool::new(String::new);
    let log = record(|| {
        assert_eq!(pool.get(), "");
        pool.put("one".to_owned());
        pool.put("two".to_owned());
        assert_eq!(pool.get(), "two");
        assert_eq!(pool.get(), "one");
    });
    assert_eq!(
        log.text(),
        "\
t0 pool-get pool=a item=0
t0 pool-put pool=a item=1
t0 pool-put pool=a item=2
t0 pool-get pool=a item=2
t0 pool-get pool=a item=1
"
    );
}

#[test]
fn reads_and_writes_of_a_map_are_as_go_documents_them() {
    let map = SyncMap::new();
    let names = |f: &dyn Fn()| {
        let log = record(f);
        log.events().map(|event| event.kind.name()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&|| map.store("k", 1)), "map-write");
    assert_eq!(names(&|| assert_eq!(map.load("k"), Some(1))), "map-read");
    assert_eq!(names(&|| assert_eq!(map.load("other"), None)), "map-read");
    assert_eq!(names(&|| assert_eq!(map.load_or_store("k", 2), (1, true))), "map-read");
    assert_eq!(names(&|| assert_eq!(map.load_or_store("n", 2), (2, false))), "map-write");
    assert_eq!(names(&|| assert_eq!(map.swap("k", 3), Some(1))), "map-read map-write");
    assert_eq!(names(&|| assert!(!map.compare_and_swap("k", &9, 4))), "map-read");
    assert_eq!(names(&|| assert!(map.compare_and_swap("k", &3, 4))), "map-read map-write");
    assert_eq!(names(&|| assert!(!map.compare_and_delete("k", &9))), "map-read");
    assert_eq!(names(&|| assert!(map.compare_and_delete("k", &4))), "map-read map-write");
    assert_eq!(names(&|| assert_eq!(map.load_and_delete("k"), None)), "map-read");
    assert_eq!(names(&|| map.range(|key, value| (*key, *value) == ("n", 2))), "map-read");
    assert_eq!(names(&|| map.clear()), "map-write");
    record(|| assert_eq!(map.load("n"), None));
}

#[test]
fn a_key_has_one_hash_for_all_threads_and_another_key_another() {
    let map = SyncMap::new();
    let log = record(|| {
        map.store("a".to_owned(), 1);
        map.store("b".to_owned(), 1);
        thread::scope(|s| {
            s.spawn(|| map.load("a"));
        });
    });
    let hashes: Vec<u64> = log.object("map-write").iter().map(|event| event.event.value).collect();
    assert_eq!(hashes[0], hashes[2]);
    assert_ne!(hashes[0], hashes[1]);
}

#[test]
fn a_map_may_be_used_while_it_is_walked() {
    record(|| {
        let map = SyncMap::new();
        (0..10).for_each(|n| map.store(n, n));
        let mut seen = 0;
        map.range(|key, _| {
            map.delete(key);
            seen += 1;
            true
        });
        assert_eq!(seen, 10);
        assert_eq!(map.load(&3), None);
    });
}

//! Go's channels: what they do, and the order of their events.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mmtrace_recorder::chan::{Receiver, Sender, TryRecvError, TrySendError, chan};
use mmtrace_recorder::go::go;
use mmtrace_recorder::{select, thread};

use crate::sync_support::{Recording, Sleeper, record};

/// Checks the contract of a channel's numbers, and returns how many values went through.
fn check_order(log: &Recording, capacity: u64) -> usize {
    let mut sequence: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    for event in log.object("chan-make") {
        let key = (event.name(), event.event.value);
        let again = sequence.insert(key, event.event.sequence);
        assert!(again.is_none() || key.0 == "chan-recv-closed", "{key:?} twice");
    }
    let mut received = 0;
    for (&(name, k), &recv) in &sequence {
        if name != "chan-recv" {
            continue;
        }
        received += 1;
        assert!(sequence[&("chan-send", k)] < recv, "send {k} before its receive");
        if capacity == 0 {
            assert!(recv < sequence[&("chan-send-done", k)], "receive {k} before its send returns");
        } else if let Some(&later) = sequence.get(&("chan-send", k + capacity)) {
            assert!(recv < later, "receive {k} before send {}", k + capacity);
        }
    }
    received
}

#[test]
fn a_buffered_channel_gives_what_it_took_in_order() {
    let log = record(|| {
        let (sender, receiver) = chan(2);
        sender.send('a');
        sender.send('b');
        assert_eq!(sender.try_send('c'), Err(TrySendError::Full('c')));
        assert_eq!((receiver.len(), receiver.capacity()), (2, 2));
        sender.close();
        assert_eq!(receiver.recv(), Some('a'));
        assert_eq!(receiver.recv(), Some('b'), "a closed channel is drained");
        assert_eq!(receiver.recv(), None);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
    });
    assert_eq!(
        log.text(),
        "\
t0 chan-make chan=a capacity=2
t0 chan-send chan=a k=0
t0 chan-send chan=a k=1
t0 chan-close chan=a
t0 chan-recv chan=a k=0
t0 chan-recv chan=a k=1
t0 chan-recv-closed chan=a
t0 chan-recv-closed chan=a
"
    );
}

#[test]
fn an_unbuffered_send_returns_after_its_receive() {
    let log = record(|| {
        let (sender, receiver) = chan(0);
        let sleeper = Arc::new(Sleeper::default());
        let here = Arc::clone(&sleeper);
        let child = thread::spawn(move || {
            here.is_here();
            sender.send(5);
        });
        sleeper.wait_until_asleep();
        assert_eq!(receiver.recv(), Some(5));
        child.join().unwrap();
    });
    assert_eq!(
        log.thread(1),
        "\
t1 start parent=t0
t1 chan-send chan=a k=0
t1 block reason=send object=a
t1 chan-send-done chan=a k=0
t1 end
"
    );
    assert_eq!(check_order(&log, 0), 1);
}

#[test]
fn a_receive_that_must_wait_says_so_first() {
    for capacity in [0, 1] {
        let log = record(|| {
            let (sender, receiver) = chan(capacity);
            let sleeper = Arc::new(Sleeper::default());
            let here = Arc::clone(&sleeper);
            let child = thread::spawn(move || {
                here.is_here();
                assert_eq!(receiver.recv(), Some(5));
            });
            sleeper.wait_until_asleep();
            sender.send(5);
            child.join().unwrap();
        });
        assert_eq!(
            log.thread(1),
            "\
t1 start parent=t0
t1 block reason=receive object=a
t1 chan-recv chan=a k=0
t1 end
"
        );
    }
}

#[test]
fn a_send_that_waits_for_room_is_recorded_when_it_has_it() {
    let log = record(|| {
        let (sender, receiver) = chan(1);
        sender.send(1);
        let sleeper = Arc::new(Sleeper::default());
        let here = Arc::clone(&sleeper);
        let child = thread::spawn(move || {
            here.is_here();
            sender.send(2);
        });
        sleeper.wait_until_asleep();
        assert_eq!(receiver.recv(), Some(1));
        assert_eq!(receiver.recv(), Some(2));
        child.join().unwrap();
    });
    assert!(log.thread(1).contains("t1 block reason=send object=a\nt1 chan-send chan=a k=1\n"));
    assert_eq!(check_order(&log, 1), 2);
}

#[test]
fn values_without_a_size_are_counted() {
    let log = record(|| {
        let (sender, receiver) = chan::<()>(3);
        for _ in 0..3 {
            sender.send(());
        }
        sender.close();
        assert_eq!(receiver.iter().count(), 3);
    });
    assert_eq!(check_order(&log, 3), 3);
}

#[test]
fn misuse_panics_as_in_go() {
    record(misuse);
}

fn misuse() {
    let message = |f: &dyn Fn()| {
        let f = std::panic::AssertUnwindSafe(f);
        *catch_unwind(f).unwrap_err().downcast::<&str>().unwrap()
    };
    let (sender, _receiver) = chan(1);
    sender.close();
    assert_eq!(message(&|| sender.send(1)), "send on closed channel");
    assert_eq!(message(&|| sender.close()), "close of closed channel");
    assert_eq!(message(&|| Sender::<u8>::nil().close()), "close of nil channel");
    assert_eq!(
        message(&|| select! { send(sender, 2) => {}, default => {} }),
        "send on closed channel"
    );
    assert_eq!(sender.try_send(7), Err(TrySendError::Closed(7)));
}

#[test]
fn a_close_panics_the_sends_that_wait_and_ends_the_receives_that_wait() {
    for capacity in [0, 1] {
        let log = record(|| {
            let (sender, receiver) = chan(capacity);
            if capacity == 1 {
                sender.send(0);
            }
            let sleeper = Arc::new(Sleeper::default());
            let (theirs, here) = (sender.clone(), Arc::clone(&sleeper));
            let child = thread::spawn(move || {
                here.is_here();
                theirs.send(1);
            });
            sleeper.wait_until_asleep();
            sender.close();
            assert!(child.join().is_err());
            assert_eq!(receiver.iter().count(), capacity, "what waited was not sent");
        });
        assert!(log.thread(1).contains("block reason=send object=a\nt1 run reason=send\n"));
    }
    record(|| {
        let (sender, receiver) = chan::<u8>(0);
        let sleeper = Arc::new(Sleeper::default());
        let here = Arc::clone(&sleeper);
        let child = thread::spawn(move || {
            here.is_here();
            receiver.recv()
        });
        sleeper.wait_until_asleep();
        sender.close();
        assert_eq!(child.join().unwrap(), None);
    });
}

#[test]
fn a_nil_channel_is_never_ready() {
    let (sender, receiver) = (Sender::nil(), Receiver::<u8>::nil());
    let log = record(|| {
        assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        let chosen = select! {
            send(sender, 2) => "sent",
            recv(receiver) -> _ => "received",
            default => "neither",
        };
        assert_eq!(chosen, "neither");
    });
    assert_eq!(log.text(), "t0 select chosen=16777215 cases=2\n");
}

#[test]
fn a_select_takes_the_case_that_can_go_on() {
    let log = record(|| {
        let (numbers, number) = chan(1);
        let (words, word) = chan(0);
        numbers.send(7);
        let got = select! {
            recv(word) -> w => { assert_eq!(w, Some("never")); 0 }
            send(words, "seven") => 1,
            recv(number) -> n => n.unwrap(),
        };
        assert_eq!(got, 7);
        numbers.close();
        let got = select! { recv(number) -> n => n };
        assert_eq!(got, None);
    });
    assert_eq!(
        log.text(),
        "\
t0 chan-make chan=a capacity=1
t0 chan-make chan=b capacity=0
t0 chan-send chan=a k=0
t0 chan-recv chan=a k=0
t0 select chosen=2 cases=3
t0 chan-close chan=a
t0 chan-recv-closed chan=a
t0 select chosen=0 cases=1
"
    );
}

#[test]
fn a_select_that_waits_is_woken_by_any_of_its_channels() {
    for (capacity, wake) in [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (1, 2)] {
        let log = record(|| {
            let ((a, from_a), (b, from_b)) = (chan(capacity), chan(capacity));
            let sleeper = Arc::new(Sleeper::default());
            let here = Arc::clone(&sleeper);
            let child = thread::spawn(move || {
                here.is_here();
                select! {
                    recv(from_a) -> value => (0, value),
                    recv(from_b) -> value => (1, value),
                }
            });
            sleeper.wait_until_asleep();
            match wake {
                0 => a.send(10),
                1 => b.send(10),
                _ => b.close(),
            }
            let expected = if wake == 2 { (1, None) } else { (wake, Some(10)) };
            assert_eq!(child.join().unwrap(), expected);
        });
        let text = log.thread(1);
        assert!(text.contains("t1 block reason=select object=0x0\nt1 chan-recv"), "{text}");
        assert!(text.contains(&format!("t1 select chosen={} cases=2\n", wake.min(1))), "{text}");
    }
}

#[test]
fn a_select_may_meet_a_select() {
    const ROUNDS: u64 = 300;
    let log = record(|| {
        let ((a, from_a), (b, from_b)) = (chan(0), chan(0));
        let child = thread::spawn(move || {
            let mut sum = 0;
            for _ in 0..ROUNDS {
                sum += select! {
                    recv(from_a) -> value => value.unwrap(),
                    recv(from_b) -> value => value.unwrap(),
                };
            }
            sum
        });
        for round in 0..ROUNDS {
            // The other way round than the receiver has it.
            select! {
                send(b, round) => {}
                send(a, round) => {}
            }
        }
        assert_eq!(child.join().unwrap(), ROUNDS * (ROUNDS - 1) / 2);
    });
    assert_eq!(log.count("chan-send"), 300);
    assert_eq!(log.count("chan-send-done"), 300);
    assert_eq!(log.count("chan-recv"), 300);
}

#[test]
fn the_numbers_of_a_busy_channel_keep_the_contract() {
    const SENDERS: u64 = 4;
    const RECEIVERS: usize = 3;
    const EACH: u64 = 150;
    for capacity in [0, 1, 7] {
        let log = record(|| {
            let (sender, receiver) = chan(capacity);
            let sum = AtomicU64::new(0);
            thread::scope(|s| {
                for _ in 0..RECEIVERS {
                    let (receiver, sum) = (receiver.clone(), &sum);
                    s.spawn(move || {
                        for value in &receiver {
                            sum.fetch_add(value, Ordering::Relaxed);
                        }
                    });
                }
                let senders: Vec<_> = (0..SENDERS)
                    .map(|me| {
                        let sender = sender.clone();
                        s.spawn(move || (0..EACH).for_each(|n| sender.send(me * EACH + n)))
                    })
                    .collect();
                for sender in senders {
                    sender.join().unwrap();
                }
                sender.close();
            });
            let count = SENDERS * EACH;
            assert_eq!(sum.into_inner(), count * (count - 1) / 2);
        });
        assert_eq!(check_order(&log, capacity as u64), 600);
    }
}

#[test]
fn a_crowd_of_selects_loses_and_doubles_nothing() {
    const THREADS: u64 = 4;
    const EACH: u64 = 100;
    for capacity in [0, 2] {
        let log = record(|| {
            let channels: Vec<_> = (0..3).map(|_| chan(capacity)).collect();
            let sum = AtomicU64::new(0);
            thread::scope(|s| {
                for me in 0..THREADS {
                    let (channels, sum) = (&channels, &sum);
                    s.spawn(move || {
                        for n in 0..EACH {
                            let value = me * EACH + n;
                            select! {
                                send(channels[0].0, value) => {}
                                send(channels[1].0, value) => {}
                                send(channels[2].0, value) => {}
                            }
                        }
                    });
                    s.spawn(move || {
                        for _ in 0..EACH {
                            let value = select! {
                                recv(channels[2].1) -> value => value,
                                recv(channels[0].1) -> value => value,
                                recv(channels[1].1) -> value => value,
                            };
                            sum.fetch_add(value.unwrap(), Ordering::Relaxed);
                        }
                    });
                }
            });
            let count = THREADS * EACH;
            assert_eq!(sum.into_inner(), count * (count - 1) / 2);
        });
        assert_eq!(log.count("chan-send"), log.count("chan-recv"));
        assert_eq!(log.count("select"), 800);
    }
}

#[test]
fn plain_ends_and_selects_share_an_unbuffered_channel() {
    const EACH: u64 = 200;
    let log = record(|| {
        let (sender, receiver) = chan(0);
        let sum = AtomicU64::new(0);
        thread::scope(|s| {
            s.spawn(|| (0..EACH).for_each(|n| sender.send(n)));
            s.spawn(|| (0..EACH).for_each(|n| select! { send(sender, n) => {} }));
            s.spawn(|| {
                for _ in 0..EACH {
                    sum.fetch_add(receiver.recv().unwrap(), Ordering::Relaxed);
                }
            });
            s.spawn(|| {
                for _ in 0..EACH {
                    let value = select! { recv(receiver) -> value => value.unwrap() };
                    sum.fetch_add(value, Ordering::Relaxed);
                }
            });
        });
        assert_eq!(sum.into_inner(), EACH * (EACH - 1));
    });
    assert_eq!(check_order(&log, 0), 400);
}

#[test]
fn a_goroutine_that_is_let_go_leaves_no_join() {
    let log = record(|| {
        let (sender, receiver) = chan(0);
        let goroutine = Arc::new(Sleeper::default());
        let here = Arc::clone(&goroutine);
        go(move || {
            here.is_here();
            sender.send(1);
        });
        assert_eq!(receiver.recv(), Some(1));
        goroutine.wait_until_gone();
    });
    assert_eq!(log.count("spawn"), 1);
    assert_eq!(log.count("join"), 0);
}

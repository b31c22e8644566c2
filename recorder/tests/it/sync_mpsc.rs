//! `sync::mpsc`: std's channels with numbers.

use std::sync::Arc;
use std::time::Duration;

use mmtrace_recorder::sync::mpsc::{
    RecvTimeoutError, SendError, TryRecvError, TrySendError, channel, sync_channel,
};
use mmtrace_recorder::thread;

use crate::sync_support::{Sleeper, alone, record};

#[test]
fn the_last_sender_closes_the_channel_after_the_others() {
    let log = record(|| {
        let (sender, receiver) = channel();
        let other = sender.clone();
        sender.send(1).unwrap();
        drop(sender);
        other.send(2).unwrap();
        drop(other);
        assert_eq!(receiver.iter().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));
    });
    assert_eq!(
        log.text(),
        "\
t0 chan-make chan=a capacity=18446744073709551615
t0 chan-send chan=a k=0
t0 release-merge flags=0 object=b
t0 chan-send chan=a k=1
t0 release-merge flags=0 object=b
t0 acquire flags=0 object=b
t0 chan-close chan=a
t0 chan-recv chan=a k=0
t0 chan-recv chan=a k=1
t0 chan-recv-closed chan=a
t0 chan-recv-closed chan=a
t0 release flags=0 object=c
"
    );
}

#[test]
fn a_send_without_a_receiver_gets_its_value_back_and_the_receivers_last_words() {
    let log = record(|| {
        let (sender, receiver) = sync_channel(1);
        drop(receiver);
        assert_eq!(sender.send(7), Err(SendError(7)));
        assert_eq!(sender.try_send(8), Err(TrySendError::Disconnected(8)));
    });
    assert_eq!(
        log.text(),
        "\
t0 chan-make chan=a capacity=1
t0 release flags=0 object=b
t0 acquire flags=0 object=b
t0 acquire flags=0 object=b
t0 release-merge flags=0 object=c
t0 acquire flags=0 object=c
"
    );
}

#[test]
fn a_bounded_channel_is_full_when_it_is() {
    record(|| {
        let (sender, receiver) = sync_channel(1);
        sender.try_send(1).unwrap();
        assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1]);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        let (sender, _receiver) = sync_channel(0);
        assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)), "nobody is receiving");
    });
}

#[test]
fn a_receive_with_a_limit_gives_up_and_can_be_used_again() {
    let log = record(|| {
        let (sender, receiver) = channel();
        let limit = Duration::from_millis(1);
        assert_eq!(receiver.recv_timeout(limit), Err(RecvTimeoutError::Timeout));
        sender.send(3).unwrap();
        assert_eq!(receiver.recv_timeout(Duration::MAX), Ok(3));
        drop(sender);
        assert_eq!(receiver.recv_timeout(limit), Err(RecvTimeoutError::Disconnected));
    });
    let text = log.text();
    assert!(text.contains("t0 block reason=receive object=a\nt0 run reason=receive\n"), "{text}");
}

#[test]
fn a_rendezvous_that_is_given_up_returns_the_value() {
    let sleeper = Arc::new(Sleeper::default());
    let here = Arc::clone(&sleeper);
    record(|| {
        let (sender, receiver) = sync_channel(0);
        let child = thread::spawn(move || {
            here.is_here();
            sender.send("kept")
        });
        sleeper.wait_until_asleep();
        drop(receiver);
        assert_eq!(child.join().unwrap(), Err(SendError("kept")));
    });
}

#[test]
fn many_senders_and_one_receiver_lose_nothing() {
    for bound in [None, Some(0), Some(5)] {
        let log = record(|| {
            let sum: u64 = thread::scope(|s| match bound {
                None => {
                    let (sender, receiver) = channel();
                    for me in 0..4 {
                        let sender = sender.clone();
                        s.spawn(move || (0..100).for_each(|n| sender.send(me * 100 + n).unwrap()));
                    }
                    drop(sender);
                    receiver.into_iter().sum()
                }
                Some(bound) => {
                    let (sender, receiver) = sync_channel(bound);
                    for me in 0..4 {
                        let sender = sender.clone();
                        s.spawn(move || (0..100).for_each(|n| sender.send(me * 100 + n).unwrap()));
                    }
                    drop(sender);
                    receiver.into_iter().sum()
                }
            });
            assert_eq!(sum, 400 * 399 / 2);
        });
        assert_eq!(log.count("chan-send"), 400);
        assert_eq!(log.count("chan-recv"), 400);
        assert_eq!(log.count("chan-close"), 1);
    }
}

#[test]
fn a_channel_from_before_the_recording_goes_on_silently() {
    alone("sync_mpsc::a_channel_from_before_the_recording_goes_on_silently", || {
        let (sender, receiver) = channel();
        sender.send(1).unwrap();
        let log = record(|| {
            sender.send(2).unwrap();
            drop(sender);
            assert_eq!(receiver.iter().collect::<Vec<_>>(), [1, 2]);
        });
        assert_eq!(log.text(), "");
    });
}

//! The program that `mmtrace demo` records: a small server with two bugs.

use std::time::Duration;

use mmtrace_recorder::cell::RacyCell;
use mmtrace_recorder::chan::{Receiver, chan};
use mmtrace_recorder::sync::Mutex;
use mmtrace_recorder::thread::{Builder, sleep};

use crate::exit::Outcome;

/// Enough for the heap's growth to be a trend.
const REQUESTS: u64 = 400;
/// How far apart they come: a steady pace, whatever else the machine does.
const PAUSE: Duration = Duration::from_millis(1);
const WORKERS: usize = 3;
const ANSWER_LEN: usize = 4096;

/// The server's memory. Nothing is ever removed from it: that is one bug.
static ANSWERS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
/// Which request was served last. Nothing protects it: that is the other bug.
static LAST_SERVED: RacyCell = RacyCell::new(0);

/// Serves all requests, and ends.
pub(crate) fn run() -> Outcome {
    let (requests, inbox) = chan(4);
    let mut workers = Vec::new();
    for number in 1..=WORKERS {
        let inbox = inbox.clone();
        let worker = Builder::new().name(format!("worker-{number}"));
        workers.push(worker.spawn(move || serve(&inbox)).expect("a thread can be started"));
    }
    for request in 0..REQUESTS {
        requests.send(request);
        sleep(PAUSE);
    }
    requests.close();
    for worker in workers {
        worker.join().expect("no worker panics");
    }
    Outcome::Clean
}

fn serve(inbox: &Receiver<u64>) {
    for request in inbox {
        remember(&answer(request));
        note_last_served(request);
    }
}

/// Takes a while, and gives back all memory that it takes.
fn answer(request: u64) -> Vec<u8> {
    let mut state = request;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    let mut answer: Vec<u8> = (0..ANSWER_LEN).map(|_| next()).collect();
    answer.sort_unstable();
    answer
}

#[inline(never)]
fn remember(answer: &[u8]) {
    ANSWERS.lock().expect("no worker panics").push(answer.to_vec());
}

/// A write that the next worker's write does not wait for.
#[inline(never)]
fn note_last_served(request: u64) {
    LAST_SERVED.set(request);
}

//! The program that `mmtrace demo` records: a small server with two bugs.

use std::hint::black_box;

use mmtrace_recorder::cell::RacyCell;
use mmtrace_recorder::chan::{Receiver, chan};
use mmtrace_recorder::sync::Mutex;
use mmtrace_recorder::thread::Builder;

use crate::exit::Outcome;

/// Enough for the heap's growth to be a trend.
const REQUESTS: u64 = 600;
const WORKERS: usize = 3;
const ANSWER_LEN: usize = 4096;

/// The server's memory. It is never empty again: that is the second bug.
static ANSWERS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
/// How many requests were served. Nothing protects it: that is the first bug.
static SERVED: RacyCell = RacyCell::new(0);

/// Serves all requests, and ends.
pub(crate) fn run() -> Outcome {
    let (requests, inbox) = chan(4);
    let workers: Vec<_> = (0..WORKERS)
        .map(|number| {
            let inbox = inbox.clone();
            let worker = Builder::new().name(format!("worker-{number}"));
            worker.spawn(move || serve(&inbox)).expect("a thread can be started")
        })
        .collect();
    for request in 0..REQUESTS {
        requests.send(request);
    }
    requests.close();
    // The workers are not done: whatever they count after their last receive is not seen here.
    black_box(requests_served());
    for worker in workers {
        worker.join().expect("no worker panics");
    }
    Outcome::Clean
}

fn serve(inbox: &Receiver<u64>) {
    for request in inbox.iter() {
        remember(&answer(request));
        count_request();
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

#[inline(never)]
fn count_request() {
    SERVED.set(SERVED.get() + 1);
}

#[inline(never)]
fn requests_served() -> u64 {
    SERVED.get()
}

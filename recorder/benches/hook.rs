//! What a hook costs over the bare operation: not recording (*off*), and recording (*on*).
//!
//! Budgets: a tracked access 5 ns, lock and unlock 40 ns, an allocation with a known stack 100 ns,
//! anything while off 1 ns. `cargo bench -p mmtrace-recorder --features record`

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use divan::Bencher;
use mmtrace_recorder::alloc::Recorded;
use mmtrace_recorder::cell::TrackedSlice;
use mmtrace_recorder::sync::Mutex;
use mmtrace_recorder::sync::atomic::{AtomicU64, Ordering};
use mmtrace_recorder::{Session, span};

fn main() {
    divan::main();
}

/// Records while `f` runs, into memory if the system has a file system there.
fn recording(f: impl FnOnce()) {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let folder = folder.expect("a folder for a log");
    let session = Session::start_without_symbols(folder.path().join("bench.log"));
    let session = session.expect("nothing else records");
    // As in a program that has been recorded for a while: every slot was written to before, so that
    // no page of the map is touched for the first time while the clock runs.
    let slice = TrackedSlice::new(vec![0_u64; LEN]);
    for index in 0..64 * LEN {
        slice.get(index % LEN);
    }
    f();
    session.finish().expect("there is room for the log");
}

/// Elements of a sweep: more than the filter of repeated accesses remembers.
const LEN: usize = 1 << 16;

fn sweep(bencher: Bencher) {
    let (slice, at) = (TrackedSlice::new(vec![1_u64; LEN]), Cell::new(0));
    bencher.bench_local(|| {
        at.set((at.get() + 1) % LEN);
        slice.get(at.get())
    });
}

fn repeat(bencher: Bencher) {
    let slice = TrackedSlice::new(vec![1_u64; LEN]);
    bencher.bench_local(|| slice.get(black_box(7)));
}

fn lock(bencher: Bencher) {
    let mutex = Mutex::new(1);
    bencher.bench_local(|| *mutex.lock().expect("nobody panics") += 1);
}

fn fetch_add(bencher: Bencher) {
    let atomic = AtomicU64::new(1);
    bencher.bench_local(|| atomic.fetch_add(1, Ordering::Relaxed));
}

fn allocate(bencher: Bencher, heap: &impl GlobalAlloc) {
    let layout = Layout::new::<[u64; 8]>();
    bencher.bench_local(|| {
        // SAFETY: the layout is not empty.
        let block = black_box(unsafe { heap.alloc(layout) });
        // SAFETY: allocated just now with this layout.
        unsafe { heap.dealloc(block, layout) };
    });
}

#[divan::bench_group]
mod access {
    use super::{Bencher, Cell, LEN, recording, repeat, sweep};

    #[divan::bench]
    fn bare(bencher: Bencher) {
        let (slice, at) = (vec![1_u64; LEN], Cell::new(0));
        bencher.bench_local(|| {
            at.set((at.get() + 1) % LEN);
            slice[at.get()]
        });
    }

    #[divan::bench]
    fn off(bencher: Bencher) {
        sweep(bencher);
    }

    #[divan::bench(sample_count = 100, sample_size = 4000)]
    fn on_sweep(bencher: Bencher) {
        recording(|| sweep(bencher));
    }

    #[divan::bench(sample_count = 100, sample_size = 4000)]
    fn on_repeat(bencher: Bencher) {
        recording(|| repeat(bencher));
    }
}

#[divan::bench_group]
mod lock_and_unlock {
    use super::{Bencher, lock, recording};

    #[divan::bench]
    fn bare(bencher: Bencher) {
        let mutex = std::sync::Mutex::new(1);
        bencher.bench_local(|| *mutex.lock().expect("nobody panics") += 1);
    }

    #[divan::bench]
    fn off(bencher: Bencher) {
        lock(bencher);
    }

    #[divan::bench(sample_count = 100, sample_size = 300)]
    fn on(bencher: Bencher) {
        recording(|| lock(bencher));
    }
}

#[divan::bench_group]
mod atomic_add {
    use super::{Bencher, Ordering, fetch_add, recording};

    #[divan::bench]
    fn bare(bencher: Bencher) {
        let atomic = std::sync::atomic::AtomicU64::new(1);
        bencher.bench_local(|| atomic.fetch_add(1, Ordering::Relaxed));
    }

    #[divan::bench]
    fn off(bencher: Bencher) {
        fetch_add(bencher);
    }

    #[divan::bench(sample_count = 100, sample_size = 300)]
    fn on(bencher: Bencher) {
        recording(|| fetch_add(bencher));
    }
}

#[divan::bench_group]
mod allocate_and_free {
    use super::{Bencher, Recorded, System, allocate, recording};

    #[divan::bench]
    fn bare(bencher: Bencher) {
        allocate(bencher, &System);
    }

    #[divan::bench]
    fn off(bencher: Bencher) {
        allocate(bencher, &Recorded::system());
    }

    #[divan::bench(sample_count = 100, sample_size = 300)]
    fn on(bencher: Bencher) {
        recording(|| allocate(bencher, &Recorded::system()));
    }
}

#[divan::bench(sample_count = 100, sample_size = 300)]
fn span_on(bencher: Bencher) {
    recording(|| bencher.bench_local(|| span!("a span")));
}

// Included by sync_compat.rs, which says what `sync`, `thread` and `run` are here.

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::PoisonError;
use std::time::Duration;

use sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use sync::{
    Arc, Barrier, Condvar, LazyLock, LockResult, Mutex, MutexGuard, Once, OnceLock, RwLock,
    TryLockError, mpsc,
};

static MUTEX: Mutex<Vec<u32>> = Mutex::new(Vec::new());
static LOCK: RwLock<u32> = RwLock::new(0);
static CONDITION: Condvar = Condvar::new();
static ONCE: Once = Once::new();
static CELL: OnceLock<String> = OnceLock::new();
static LAZY: LazyLock<String> = LazyLock::new(|| "made".repeat(2));
static COUNT: AtomicUsize = AtomicUsize::new(0);
static BARRIER: Barrier = Barrier::new(1);
const INNER: u32 = AtomicU32::new(5).into_inner();

macro_rules! assert_not {
    ($type:ty: $trait:path) => {
        const _: fn() = || {
            // If the type had the trait, `_` could be either of two, and this would not compile.
            trait Ambiguous<A> {
                fn item() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            struct Has;
            impl<T: ?Sized + $trait> Ambiguous<Has> for T {}
            let _ = <$type as Ambiguous<_>>::item;
        };
    };
}

assert_not!(MutexGuard<'static, u8>: Send);
assert_not!(sync::RwLockReadGuard<'static, u8>: Send);
assert_not!(sync::RwLockWriteGuard<'static, u8>: Send);
assert_not!(mpsc::Receiver<u8>: Sync);
assert_not!(Mutex<std::rc::Rc<u8>>: Sync);
assert_not!(OnceLock<std::cell::Cell<u8>>: Sync);
assert_not!(RwLock<std::cell::Cell<u8>>: Sync);

fn shared<T: Send + Sync>() {}
fn sendable<T: Send>() {}
fn unwind_safe<T: UnwindSafe + RefUnwindSafe>() {}
fn sharable<T: Sync>() {}

#[test]
fn what_is_shared_in_std_is_shared() {
    shared::<Mutex<std::cell::Cell<u8>>>();
    shared::<RwLock<u8>>();
    shared::<OnceLock<u8>>();
    shared::<LazyLock<u8>>();
    shared::<Condvar>();
    shared::<Once>();
    shared::<Barrier>();
    shared::<mpsc::Sender<u8>>();
    shared::<mpsc::SyncSender<u8>>();
    shared::<AtomicPtr<u8>>();
    shared::<thread::Thread>();
    shared::<thread::JoinHandle<u8>>();
    sendable::<mpsc::Receiver<std::cell::Cell<u8>>>();
    sharable::<MutexGuard<'static, u8>>();
}

#[test]
fn what_may_cross_a_caught_panic_in_std_may() {
    unwind_safe::<Mutex<std::cell::Cell<u8>>>();
    unwind_safe::<RwLock<std::cell::Cell<u8>>>();
    unwind_safe::<OnceLock<u8>>();
    unwind_safe::<LazyLock<u8>>();
    unwind_safe::<Condvar>();
    unwind_safe::<Once>();
    unwind_safe::<Barrier>();
    unwind_safe::<AtomicUsize>();
    unwind_safe::<AtomicPtr<u8>>();
    unwind_safe::<mpsc::Sender<u8>>();
    unwind_safe::<mpsc::SyncSender<u8>>();
    unwind_safe::<mpsc::Receiver<u8>>();
    unwind_safe::<thread::Thread>();
}

#[test]
fn statics_work() {
    run(|| {
        MUTEX.lock().unwrap().push(1);
        *LOCK.write().unwrap() += 1;
        CONDITION.notify_all();
        ONCE.call_once(|| assert!(CELL.set("set".to_owned()).is_ok()));
        assert_eq!(CELL.get().map(String::as_str), Some("set"));
        assert_eq!(LAZY.len(), 8);
        COUNT.fetch_add(1, Ordering::Relaxed);
        assert!(BARRIER.wait().is_leader());
        assert_eq!(INNER, 5);
        assert_eq!(MUTEX.lock().unwrap().len(), 1);
    });
}

/// A function that names the types in full, as programs do.
fn locked(mutex: &Mutex<u32>) -> LockResult<MutexGuard<'_, u32>> {
    mutex.lock()
}

#[test]
fn locks_have_stds_methods() {
    run(|| {
        let mut mutex = Mutex::from(1);
        *mutex.get_mut().unwrap() += 1;
        *locked(&mutex).unwrap() += 1;
        let held = mutex.lock().unwrap();
        assert_eq!(format!("{held:?} {held}"), "3 3");
        assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
        assert!(format!("{mutex:?}").contains("<locked>"));
        drop(held);
        assert_eq!(format!("{mutex:?}"), "Mutex { data: 3, poisoned: false, .. }");
        assert_eq!(mutex.into_inner().unwrap(), 3);

        let unsized_mutex: &Mutex<[u8]> = &Mutex::new([1, 2, 3]);
        assert_eq!(unsized_mutex.lock().unwrap().len(), 3);
        let shared: Arc<Mutex<dyn Fn() -> u8 + Send>> = Arc::new(Mutex::new(|| 9));
        assert_eq!((shared.lock().unwrap())(), 9);

        let mut lock: RwLock<u8> = RwLock::default();
        *lock.get_mut().unwrap() = 4;
        assert_eq!(*lock.try_read().unwrap() + *lock.read().unwrap(), 8);
        *lock.try_write().unwrap() = 5;
        assert_eq!(format!("{lock:?}"), "RwLock { data: 5, poisoned: false, .. }");
        let sized: &RwLock<[u8]> = &RwLock::new([1, 2]);
        assert_eq!(sized.read().unwrap().len(), 2);
        assert_eq!(lock.into_inner().unwrap(), 5);
    });
}

#[test]
fn a_panic_poisons() {
    run(|| {
        let pair = Arc::new((Mutex::new(1), RwLock::new(2)));
        let theirs = Arc::clone(&pair);
        let result = thread::spawn(move || {
            let (_mutex, _lock) = (theirs.0.lock().unwrap(), theirs.1.write().unwrap());
            panic!("on purpose");
        })
        .join();
        assert!(result.is_err());
        assert!(pair.0.is_poisoned() && pair.1.is_poisoned());
        assert!(matches!(pair.0.try_lock(), Err(TryLockError::Poisoned(_))));
        assert_eq!(*pair.0.lock().unwrap_or_else(PoisonError::into_inner), 1);
        assert_eq!(*pair.1.read().unwrap_or_else(PoisonError::into_inner), 2);
        pair.0.clear_poison();
        pair.1.clear_poison();
        assert!(pair.0.lock().is_ok() && pair.1.write().is_ok());
    });
}

#[test]
fn conditions_have_stds_methods() {
    run(|| {
        let (mutex, condition) = (Mutex::new(0), Condvar::default());
        let limit = Duration::from_millis(1);
        let (guard, result) = condition.wait_timeout(mutex.lock().unwrap(), limit).unwrap();
        assert!(result.timed_out());
        let (mut guard, result) =
            condition.wait_timeout_while(guard, limit, |value| *value == 0).unwrap();
        assert!(result.timed_out());
        *guard = 1;
        let guard = condition.wait_while(guard, |value| *value == 0).unwrap();
        drop(guard);
        thread::scope(|s| {
            s.spawn(|| {
                let mut guard = mutex.lock().unwrap();
                while *guard != 2 {
                    guard = condition.wait(guard).unwrap();
                }
            });
            *mutex.lock().unwrap() = 2;
            condition.notify_one();
        });
    });
}

#[test]
fn onces_have_stds_methods() {
    run(|| {
        let once = Once::new();
        assert!(!once.is_completed());
        once.call_once_force(|state| assert!(!state.is_poisoned()));
        assert!(once.is_completed());
        once.wait();

        let mut cell: OnceLock<u8> = OnceLock::from(3);
        assert_eq!((cell.get_mut().copied(), cell.take(), cell.get()), (Some(3), Some(3), None));
        assert_eq!(format!("{cell:?}"), "OnceLock(<uninit>)");
        assert_eq!(*cell.get_or_init(|| 4), 4);
        assert_eq!(cell.clone(), cell);
        assert_eq!(format!("{cell:?}"), "OnceLock(4)");

        let lazy: LazyLock<u8, _> = LazyLock::new(|| 7);
        assert_eq!(format!("{lazy:?}"), "LazyLock(<uninit>)");
        assert_eq!(*LazyLock::force(&lazy), 7);
        assert_eq!(format!("{lazy:?}"), "LazyLock(7)");
    });
}

#[test]
fn atomics_have_stds_methods() {
    run(|| {
        let mut atomic = AtomicI64::from(3);
        *atomic.get_mut() += 1;
        assert_eq!(atomic.fetch_max(9, Ordering::SeqCst), 4);
        let halve = |value: i64| (value > 1).then_some(value / 2);
        let order = Ordering::Relaxed;
        assert_eq!(atomic.fetch_update(order, order, halve), Ok(9));
        assert_eq!(atomic.fetch_update(order, order, |_| None), Err(4));
        while atomic.compare_exchange_weak(4, 5, order, order).is_err() {}
        assert_eq!(format!("{atomic:?}"), "5");
        assert_eq!(size_of::<AtomicBool>(), 1);
        assert_eq!(align_of::<AtomicI64>(), align_of::<i64>());
        let flag = AtomicBool::default();
        assert!(!flag.swap(true, order) && flag.fetch_and(false, order) && !flag.into_inner());
        let mut value = 3_u8;
        let pointer = AtomicPtr::new(&raw mut value);
        assert_eq!(pointer.swap(std::ptr::null_mut(), order), &raw mut value);
        sync::atomic::fence(Ordering::SeqCst);
        sync::atomic::compiler_fence(Ordering::SeqCst);
    });
}

#[test]
fn channels_have_stds_methods() {
    run(|| {
        let (sender, receiver) = mpsc::channel();
        let other: mpsc::Sender<u8> = sender.clone();
        sender.send(1).unwrap();
        other.send(2).unwrap();
        assert_eq!(receiver.recv(), Ok(1));
        assert_eq!(receiver.try_recv(), Ok(2));
        assert_eq!(receiver.try_recv(), Err(mpsc::TryRecvError::Empty));
        let limit = Duration::from_millis(1);
        assert_eq!(receiver.recv_timeout(limit), Err(mpsc::RecvTimeoutError::Timeout));
        drop((sender, other));
        assert_eq!(receiver.recv(), Err(mpsc::RecvError));
        let (sender, receiver) = mpsc::sync_channel(2);
        sender.send(1).unwrap();
        sender.try_send(2).unwrap();
        assert_eq!(sender.try_send(3), Err(mpsc::TrySendError::Full(3)));
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1, 2]);
        drop(receiver);
        assert_eq!(sender.send(4), Err(mpsc::SendError(4)));
    });
}

#[test]
fn threads_have_stds_methods() {
    run(|| {
        let handle = thread::Builder::new()
            .name("named".to_owned())
            .stack_size(128 * 1024)
            .spawn(|| {
                thread::park();
                thread::current().name().map(str::to_owned)
            })
            .unwrap();
        let id: thread::ThreadId = handle.thread().id();
        assert_ne!(id, thread::current().id());
        handle.thread().unpark();
        assert_eq!(handle.join().unwrap().as_deref(), Some("named"));
        thread::current().unpark();
        thread::park_timeout(Duration::MAX);
        thread::sleep(Duration::ZERO);
        thread::yield_now();
        assert!(!thread::panicking() && thread::available_parallelism().is_ok());

        let mut numbers = vec![1, 2, 3];
        let total: i32 = thread::scope(|s| {
            let sum = s.spawn(|| numbers.iter().sum::<i32>());
            let named = thread::Builder::new().spawn_scoped(s, || numbers.len()).unwrap();
            let result: thread::Result<usize> = named.join();
            assert_eq!(result.unwrap(), 3);
            sum.join().unwrap()
        });
        numbers.push(total);
        assert_eq!(numbers, [1, 2, 3, 6]);
    });
}

//! One source against std and against the recorder's types: what compiles and runs with the one does
//! with the other. Without the `record` feature they are the same types.

/// Compiles the source with these as its `sync` and `thread`.
macro_rules! compiled_with {
    ($name:ident, $library:ident, $run:path) => {
        mod $name {
            use $library::{sync, thread};

            use $run as run;

            include!("compat_source.rs");
        }
    };
}

/// Runs a test as it is.
fn plainly(test: impl FnOnce()) {
    test();
}

/// Runs a test while it is recorded, alone: its events are not to be in other tests' recordings.
#[cfg(feature = "record")]
fn recorded(test: impl FnOnce()) {
    crate::sync_support::record(test);
}

#[cfg(not(feature = "record"))]
use plainly as recorded;

compiled_with!(with_std, std, super::plainly);
compiled_with!(with_recorder, mmtrace_recorder, super::recorded);

#[cfg(not(feature = "record"))]
#[test]
fn without_the_feature_the_types_are_stds() {
    use std::any::TypeId;

    macro_rules! same {
        ($($module:ident :: $($path:ident)::+ $(<$($parameter:tt),+>)?;)*) => {$(
            assert_eq!(
                TypeId::of::<mmtrace_recorder::$module::$($path)::+ $(<$($parameter),+>)?>(),
                TypeId::of::<std::$module::$($path)::+ $(<$($parameter),+>)?>(),
            );
        )*};
    }
    same! {
        sync::Mutex<u8>;
        sync::MutexGuard<'static, u8>;
        sync::RwLock<u8>;
        sync::RwLockReadGuard<'static, u8>;
        sync::RwLockWriteGuard<'static, u8>;
        sync::Condvar;
        sync::WaitTimeoutResult;
        sync::Once;
        sync::OnceState;
        sync::OnceLock<u8>;
        sync::LazyLock<u8>;
        sync::Barrier;
        sync::BarrierWaitResult;
        sync::Arc<u8>;
        sync::Weak<u8>;
        sync::PoisonError<u8>;
        sync::TryLockError<u8>;
        sync::mpsc::Sender<u8>;
        sync::mpsc::SyncSender<u8>;
        sync::mpsc::Receiver<u8>;
        sync::atomic::AtomicBool;
        sync::atomic::AtomicI8;
        sync::atomic::AtomicI16;
        sync::atomic::AtomicI32;
        sync::atomic::AtomicI64;
        sync::atomic::AtomicIsize;
        sync::atomic::AtomicU8;
        sync::atomic::AtomicU16;
        sync::atomic::AtomicU32;
        sync::atomic::AtomicU64;
        sync::atomic::AtomicUsize;
        sync::atomic::AtomicPtr<u8>;
        sync::atomic::Ordering;
        thread::JoinHandle<u8>;
        thread::ScopedJoinHandle<'static, u8>;
        thread::Scope<'static, 'static>;
        thread::Builder;
        thread::Thread;
        thread::ThreadId;
    }
}

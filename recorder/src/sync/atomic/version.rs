//! Which write a load observed, told without writing anything: a seqlock for each stripe.
//!
//! A writer (a store, a read-modify-write) holds the stripe's spin bit, so there is one at a time: it
//! makes the version odd, does its operation, and makes it even again, two higher. A reader that
//! finds the same even version before and after its load observed what was there at that version.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use mmtrace_format::{STRIPE_COUNT, stripe_of};

/// By stripe. Half a megabyte of zeroes that is only there once it is touched.
static VERSIONS: [AtomicU64; STRIPE_COUNT] = [const { AtomicU64::new(0) }; STRIPE_COUNT];

/// The version word of the stripe of `address`.
#[derive(Clone, Copy)]
pub(super) struct Version(&'static AtomicU64);

impl Version {
    #[inline]
    pub(super) fn of(address: u64) -> Self {
        Self(&VERSIONS[stripe_of(address)])
    }

    /// Does `load`, and says at which version; `None` if a write was going on.
    #[inline]
    pub(super) fn observe<R>(self, load: impl FnOnce() -> R) -> (R, Option<u64>) {
        // Acquire: the load is not done before the version is read.
        let before = self.0.load(Ordering::Acquire);
        let value = load();
        // With the writer's fence: if `load` observed its operation, the version below is its odd
        // one or a later one.
        fence(Ordering::Acquire);
        let after = self.0.load(Ordering::Relaxed);
        (value, (before == after && before.is_multiple_of(2)).then_some(before))
    }

    /// The version, for one who holds the stripe's spin bit.
    pub(super) fn current(self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Does `write` as a new version, for one who holds the stripe's spin bit.
    pub(super) fn write<R>(self, write: impl FnOnce() -> R) -> R {
        self.write_if(write, |_| true)
    }

    /// Does `write`, which is a new version if `counts` says so of its result, for one who holds the
    /// stripe's spin bit.
    pub(super) fn write_if<R>(
        self,
        write: impl FnOnce() -> R,
        counts: impl FnOnce(&R) -> bool,
    ) -> R {
        let version = self.0.load(Ordering::Relaxed);
        self.0.store(version + 1, Ordering::Relaxed);
        // Release: whoever observes `write` observes the odd version too.
        fence(Ordering::Release);
        let result = write();
        let next = if counts(&result) { version + 2 } else { version };
        // Release: whoever observes the even version observes `write` too.
        self.0.store(next, Ordering::Release);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_changes_the_version_and_a_load_does_not() {
        let version = Version::of(0x10);
        let ((), first) = version.observe(|| ());
        let ((), second) = version.observe(|| ());
        assert_eq!(first, second);
        version.write(|| ());
        let ((), third) = version.observe(|| ());
        assert_ne!(first, third);
    }

    #[test]
    fn a_write_that_wrote_nothing_leaves_the_version() {
        let version = Version::of(0x20);
        let ((), first) = version.observe(|| ());
        version.write_if(|| (), |()| false);
        let ((), second) = version.observe(|| ());
        assert_eq!(first, second);
    }

    /// With relaxed operations, which order nothing themselves. Under Miri, which shows weak memory,
    /// with `-Zmiri-many-seeds -Zmiri-preemption-rate=0.2`: each fence that is taken away is missed.
    #[test]
    fn one_version_has_one_value() {
        static PLACE: AtomicU64 = AtomicU64::new(0);
        let rounds = if cfg!(miri) { 100 } else { 20_000 };
        let version = Version::of(0x28);
        std::thread::scope(|s| {
            s.spawn(|| {
                for round in 1..=rounds {
                    version.write(|| PLACE.store(round, Ordering::Relaxed));
                }
            });
            let mut last = (0, None);
            for _ in 0..rounds {
                let (value, at) = version.observe(|| PLACE.load(Ordering::Relaxed));
                if at.is_some() && at == last.1 {
                    assert_eq!(value, last.0);
                }
                last = (value, at);
            }
        });
    }

    #[test]
    fn a_load_during_a_write_has_no_version() {
        let version = Version::of(0x18);
        let ((), observed) = version.write(|| version.observe(|| ()));
        assert_eq!(observed, None);
    }
}

//! Time stamps: the processor's time stamp counter where it can be trusted, the kernel's monotonic
//! clock elsewhere.
//!
//! Times are for people and drawings; nothing is ordered by them. The counter's rate is measured
//! once, against the kernel's clock over a millisecond at the start, to about 20 millionths: an hour
//! later a time may be 70 ms off, the distance of two neighbouring events still right to a
//! nanosecond.

use std::time::{SystemTime, UNIX_EPOCH};

use mmtrace_format::Timestamp;

/// How long the rate is measured.
const CALIBRATION_NS: u64 = 1_000_000;

/// Turns the raw clock into time since the log began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    source: Source,
    start: u64,
    /// Nanoseconds in a tick, times 2^32.
    multiplier: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The processor's counter, which runs at one rate on all cores.
    #[cfg(target_arch = "x86_64")]
    Counter,
    /// `clock_gettime(CLOCK_MONOTONIC)`.
    Kernel,
}

impl Clock {
    /// A clock that begins now. Takes a millisecond where the counter is used.
    pub(crate) fn start() -> Self {
        #[cfg(target_arch = "x86_64")]
        if counter::is_invariant() {
            let first = counter::with_kernel_time();
            let mut last = first;
            while last.1 - first.1 < CALIBRATION_NS {
                std::hint::spin_loop();
                last = counter::with_kernel_time();
            }
            if let Some(multiplier) = multiplier(last.0 - first.0, last.1 - first.1) {
                return Self { source: Source::Counter, start: first.0, multiplier };
            }
        }
        Self { source: Source::Kernel, start: kernel_ns(), multiplier: 1 << 32 }
    }

    /// What the times come from.
    pub(crate) fn name(&self) -> &'static str {
        match self.source {
            #[cfg(target_arch = "x86_64")]
            Source::Counter => "tsc",
            Source::Kernel => "clock_monotonic",
        }
    }

    /// The raw clock.
    #[inline]
    pub(crate) fn ticks(&self) -> u64 {
        match self.source {
            #[cfg(target_arch = "x86_64")]
            Source::Counter => counter::read(),
            Source::Kernel => kernel_ns(),
        }
    }

    /// The time since the log began.
    #[inline]
    pub(crate) fn now(&self) -> Timestamp {
        self.at(self.ticks())
    }

    #[inline]
    fn at(&self, ticks: u64) -> Timestamp {
        // Two cores' counters may differ by less than it takes to look at both: never below zero.
        let elapsed = u128::from(ticks.saturating_sub(self.start));
        Timestamp::from_ns(((elapsed * u128::from(self.multiplier)) >> 32) as u64)
    }
}

/// The wall clock, in nanoseconds since 1970.
pub(crate) fn realtime_ns() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)
}

/// Sixteen bytes that no other run has: the time, the process, and an address that is random.
pub(crate) fn run_id(time_ns: u64, pid: u32) -> [u8; 16] {
    let local = 0_u8;
    let address = std::ptr::from_ref(&local).addr() as u64;
    let mixed = (address ^ u64::from(pid) << 32).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut id = [0; 16];
    id[..8].copy_from_slice(&time_ns.to_le_bytes());
    id[8..].copy_from_slice(&mixed.to_le_bytes());
    id
}

fn multiplier(ticks: u64, ns: u64) -> Option<u64> {
    let scaled = (u128::from(ns) << 32).checked_div(u128::from(ticks))?;
    u64::try_from(scaled).ok().filter(|&multiplier| multiplier != 0)
}

#[expect(unsafe_code, reason = "the kernel's clock has no safe form that gives a number")]
fn kernel_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a local that may be written; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

#[cfg(target_arch = "x86_64")]
mod counter {
    use std::arch::x86_64::{__cpuid, _rdtsc};

    /// Extended function with the capability bits of the counter.
    const LEAF_POWER: u32 = 0x8000_0007;
    const INVARIANT_COUNTER: u32 = 1 << 8;

    #[inline]
    #[expect(unsafe_code, reason = "the instruction has no safe form")]
    pub(super) fn read() -> u64 {
        // SAFETY: every x86-64 has the instruction; where the kernel forbids it (prctl), the program
        // has asked for that itself and gets the signal it asked for.
        unsafe { _rdtsc() }
    }

    /// Whether the counter runs at one rate whatever the processor does.
    pub(super) fn is_invariant() -> bool {
        __cpuid(0x8000_0000).eax >= LEAF_POWER && __cpuid(LEAF_POWER).edx & INVARIANT_COUNTER != 0
    }

    /// Both clocks at one moment: of a few attempts, the one with the least time in between.
    pub(super) fn with_kernel_time() -> (u64, u64) {
        let attempt = |_| {
            let before = read();
            let ns = super::kernel_ns();
            let after = read();
            (after.wrapping_sub(before), before.wrapping_add(after.wrapping_sub(before) / 2), ns)
        };
        let (_, ticks, ns) = (0..4).map(attempt).min().expect("there were four attempts");
        (ticks, ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_and_agrees_with_the_kernel() {
        let clock = Clock::start();
        let (ours, kernels) = (clock.now().ns, kernel_ns());
        while kernel_ns() < kernels + 20_000_000 {}
        let (ours, kernels) = (clock.now().ns - ours, kernel_ns() - kernels);
        // Generous: another program may run between the two readings.
        assert!(ours.abs_diff(kernels) < kernels / 4, "{ours} ns here, {kernels} ns in the kernel");
    }

    #[test]
    fn a_rate_is_exact_over_days() {
        // 3 GHz for 10 days: one nanosecond is three ticks.
        let multiplier = multiplier(3_000_000, 1_000_000).unwrap();
        #[cfg(target_arch = "x86_64")]
        let source = Source::Counter;
        #[cfg(not(target_arch = "x86_64"))]
        let source = Source::Kernel;
        let clock = Clock { source, start: 1000, multiplier };
        let day_ns = 864_000_000_000_000_u64;
        assert!(clock.at(1000 + 3 * day_ns).ns.abs_diff(day_ns) < 1_000_000);
        assert_eq!(clock.at(0).ns, 0);
    }
}

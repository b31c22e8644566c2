//! Writing to the file: at a place, surviving limits.
//!
//! A process that writes beyond `RLIMIT_FSIZE` gets SIGXFSZ, which kills it. The signal is blocked
//! around every write of ours and taken back if it came, so that the program never notices and we
//! get an error.

#![expect(unsafe_code, reason = "signal masks and allocation of file space have no safe interface")]

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;

use crate::layout::StopReason;

/// The log's file, open for writing.
#[derive(Debug)]
pub(crate) struct Disk {
    file: File,
    /// How many more bytes tests let through.
    #[cfg(test)]
    pub(crate) budget: std::sync::atomic::AtomicU64,
}

impl Disk {
    pub(crate) fn new(file: File) -> Self {
        Self {
            file,
            #[cfg(test)]
            budget: std::sync::atomic::AtomicU64::new(u64::MAX),
        }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Writes all of `bytes` at `at`.
    pub(crate) fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let _guard = FileSizeSignal::block();
        #[cfg(test)]
        if let Some(granted) = self.spend(bytes.len() as u64) {
            // The system looks for a kill between pages: what lies within one is written whole or
            // not at all, the first page and every block header above all.
            let granted = ((at + granted) & !4095).saturating_sub(at);
            self.file.write_all_at(&bytes[..granted as usize], at)?;
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        self.file.write_all_at(bytes, at)
    }

    /// Cuts the file, or makes it longer.
    pub(crate) fn set_len(&self, len: u64) -> io::Result<()> {
        let _guard = FileSizeSignal::block();
        #[cfg(test)]
        if self.spend(1).is_some() {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        self.file.set_len(len)
    }

    /// Makes sure that the disk has room for these bytes. New ones are zero, old ones stay.
    pub(crate) fn allocate(&self, at: u64, len: u64) -> io::Result<()> {
        let _guard = FileSizeSignal::block();
        #[cfg(test)]
        if self.spend(1).is_some() {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
        let offset = libc::off_t::try_from(at).map_err(too_large)?;
        let len = libc::off_t::try_from(len).map_err(too_large)?;
        loop {
            // SAFETY: takes numbers only; the descriptor is open as long as `self.file`.
            let error = unsafe { libc::posix_fallocate(self.file.as_raw_fd(), offset, len) };
            match error {
                0 => return Ok(()),
                libc::EINTR => {}
                _ => return Err(io::Error::from_raw_os_error(error)),
            }
        }
    }

    /// Takes `wanted` bytes off the test's budget; how many were left if that is not enough.
    #[cfg(test)]
    fn spend(&self, wanted: u64) -> Option<u64> {
        use std::sync::atomic::Ordering;
        let left = self.budget.load(Ordering::Relaxed);
        self.budget.store(left.saturating_sub(wanted), Ordering::Relaxed);
        (left < wanted).then_some(left)
    }
}

/// Why a recording stops that met this error.
pub(crate) fn stop_reason(error: &io::Error) -> StopReason {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => StopReason::DiskFull,
        Some(libc::EFBIG) => StopReason::FileSizeLimit,
        _ => StopReason::WriteFailed,
    }
}

/// While it lives, SIGXFSZ does not reach this thread.
struct FileSizeSignal {
    /// The mask to go back to; `None` if the signal was blocked before us, or waits for the program.
    previous: Option<libc::sigset_t>,
}

impl FileSizeSignal {
    fn block() -> Self {
        if is_pending() {
            // Blocked by the program and waiting for it: then it is blocked for us, too.
            return Self { previous: None };
        }
        let set = only_file_size();
        let mut previous = MaybeUninit::uninit();
        // SAFETY: both pointers are to signal sets of ours.
        let result = unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, previous.as_mut_ptr())
        };
        if result != 0 {
            return Self { previous: None };
        }
        // SAFETY: written by the call above, which succeeded.
        let previous = unsafe { previous.assume_init() };
        // SAFETY: a signal set and a valid signal number.
        let was_blocked = unsafe { libc::sigismember(&raw const previous, libc::SIGXFSZ) } == 1;
        Self { previous: (!was_blocked).then_some(previous) }
    }
}

impl Drop for FileSizeSignal {
    fn drop(&mut self) {
        let Some(previous) = self.previous else { return };
        if is_pending() {
            let set = only_file_size();
            let mut signal = 0;
            // Does not wait: the signal is pending, on this thread, which blocks it.
            // SAFETY: both pointers are to variables of ours.
            unsafe { libc::sigwait(&raw const set, &raw mut signal) };
        }
        // SAFETY: the mask that this thread had before.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const previous, std::ptr::null_mut())
        };
    }
}

fn only_file_size() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: a pointer to a signal set of ours.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: the set was initialised by the line above; the number is valid.
    unsafe { libc::sigaddset(set.as_mut_ptr(), libc::SIGXFSZ) };
    // SAFETY: initialised above.
    unsafe { set.assume_init() }
}

fn is_pending() -> bool {
    let mut set = MaybeUninit::uninit();
    // SAFETY: a pointer to a signal set of ours.
    if unsafe { libc::sigpending(set.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: written by the call above, which succeeded; the number is valid.
    unsafe { libc::sigismember(set.as_ptr(), libc::SIGXFSZ) == 1 }
}

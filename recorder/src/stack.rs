//! Where in the program a hook was called from.
//!
//! A hook has three things for nothing: the `Location` that the compiler passes to it, the
//! instruction it lies at and the stack pointer there: a [`Place`]. The whole stack is walked once
//! ([`Walker`]); from then on a place is known again by comparing itself and the return addresses
//! above it, each of which still lies where the walk found it, with those of that time (see
//! [`crate::log::context`]).
//!
//! The walk follows frame pointers in threads where they were found to tell the same as the unwind
//! tables (`-C force-frame-pointers=yes`), and the unwind tables otherwise. On other architectures
//! than x86-64 there is no walk, and a stack is the location alone.

pub(crate) mod intern;
mod unwind;
mod walk;

pub(crate) use unwind::Unwinder;
pub(crate) use walk::{Walk, Walker};

/// The call of a hook, as the compiled program has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// An address inside the hook's inlined code.
    pub(crate) pc: u64,
    /// The stack pointer there.
    pub(crate) sp: u64,
}

/// The place of the function that this is inlined into.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it is about the function that it is inlined into")]
#[expect(unsafe_code, reason = "two registers that the language has no name for")]
pub(crate) fn here() -> Place {
    #[cfg(target_arch = "x86_64")]
    {
        let (pc, sp): (u64, u64);
        // SAFETY: copies two registers into two others; no memory, no flags, no stack.
        unsafe {
            std::arch::asm!(
                "lea {pc}, [rip]", "mov {sp}, rsp",
                pc = out(reg) pc, sp = out(reg) sp,
                options(nomem, nostack, preserves_flags)
            );
        }
        Place { pc, sp }
    }
    #[cfg(not(target_arch = "x86_64"))]
    Place { pc: 0, sp: 0 }
}

/// A return address on a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Where it will return to.
    pub(crate) return_address: u64,
    /// Where on the stack that is written.
    pub(crate) slot: u64,
}

/// Most frames of a stack; of a deeper one, the outermost are left out.
pub(crate) const DEPTH_MAX: usize = 192;

/// Addresses of a thread's stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StackRange {
    /// The lowest.
    pub(crate) low: u64,
    /// One beyond the highest.
    pub(crate) high: u64,
}

impl StackRange {
    /// Whether a word lies in it.
    #[inline]
    pub(crate) fn contains_word(self, address: u64) -> bool {
        address >= self.low && address < self.high.saturating_sub(7) && address.is_multiple_of(8)
    }

    /// The stack of this thread, as the system made it; empty if the system does not say.
    #[expect(unsafe_code, reason = "asking the thread library for the bounds of a stack")]
    pub(crate) fn of_this_thread() -> Self {
        // SAFETY: asks for the handle of this thread; there is nothing to get wrong.
        let this = unsafe { libc::pthread_self() };
        let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
        // SAFETY: the thread is this one, hence alive; the attributes are ours to be written.
        if unsafe { libc::pthread_getattr_np(this, attributes.as_mut_ptr()) } != 0 {
            return Self::default();
        }
        let (mut low, mut len) = (std::ptr::null_mut(), 0);
        // SAFETY: the call above initialised the attributes; both results are locals of ours.
        let error =
            unsafe { libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut low, &raw mut len) };
        // SAFETY: they were initialised above and are not used again.
        unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
        let low = low.addr() as u64;
        if error == 0 { Self { low, high: low + len as u64 } } else { Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locals_lie_in_their_threads_stack() {
        let local = 0_u64;
        let address = std::ptr::from_ref(&local).addr() as u64;
        assert!(StackRange::of_this_thread().contains_word(address));
        std::thread::spawn(move || {
            let mine = StackRange::of_this_thread();
            assert!(!mine.contains_word(address));
            #[cfg(target_arch = "x86_64")]
            assert!(mine.contains_word(here().sp));
        })
        .join()
        .unwrap();
    }
}

//! Walking Go's stacks by their frame pointers, which every Go function with a frame keeps.

#![expect(unsafe_code, reason = "a stack has no other name than its address")]

/// Most frames of a stack; of a deeper one, the outermost are left out.
pub(super) const DEPTH_MAX: usize = 128;

/// The stack of a goroutine, or of the thread that runs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StackBounds {
    pub(super) low: u64,
    pub(super) high: u64,
}

impl StackBounds {
    /// The bounds that a `g` begins with.
    ///
    /// # Safety
    /// 0, or the address of a `g`.
    #[inline]
    pub(super) unsafe fn of(goroutine: u64) -> Self {
        if goroutine == 0 {
            return Self::default();
        }
        let words = std::ptr::with_exposed_provenance::<[u64; 2]>(goroutine as usize);
        // SAFETY: the first field of a `g` is its stack: low and high, in all versions of Go.
        let [low, high] = unsafe { words.read() };
        Self { low, high }
    }

    /// Whether a frame pointer with its return address lies in it.
    #[inline]
    fn has_frame(self, pointer: u64) -> bool {
        pointer >= self.low && pointer < self.high.saturating_sub(15) && pointer.is_multiple_of(8)
    }
}

/// A stack that can be walked: where it begins, and where it may lead.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk<'a> {
    /// Return addresses that come before the first frame, innermost first.
    inner: &'a [u64],
    pointer: u64,
    stack: StackBounds,
    outer: StackBounds,
}

impl<'a> Walk<'a> {
    /// A walk from the frame pointer `pointer` outwards: first on `stack`, then, if the chain leads
    /// there, on `outer` (a goroutine's stack under the system's).
    ///
    /// # Safety
    /// As long as it is used, both stacks are mapped from the frame pointer on, and this thread runs
    /// on them (or they are of a goroutine that this thread keeps from running).
    #[inline]
    pub(super) const unsafe fn new(
        inner: &'a [u64],
        pointer: u64,
        stack: StackBounds,
        outer: StackBounds,
    ) -> Self {
        Self { inner, pointer, stack, outer }
    }

    /// A number that two different stacks share once in 2^64. Costs a few instructions a frame.
    #[inline]
    pub(super) fn hash(&self) -> u64 {
        let (mut hash, mut len) = (0_u64, 0_u64);
        self.each(|address| {
            hash = (hash.rotate_left(23) ^ address).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            len += 1;
        });
        hash ^ len
    }

    /// The return addresses, innermost first.
    pub(super) fn addresses(&self) -> Vec<u64> {
        let mut addresses = Vec::with_capacity(DEPTH_MAX);
        self.each(|address| addresses.push(address));
        addresses
    }

    #[inline]
    fn each(&self, mut take: impl FnMut(u64)) {
        self.inner.iter().for_each(|&address| take(address));
        let (mut stack, mut outer) = (self.stack, self.outer);
        let mut pointer = self.pointer;
        for _ in self.inner.len()..DEPTH_MAX {
            if !stack.has_frame(pointer) {
                if !outer.has_frame(pointer) {
                    return;
                }
                stack = std::mem::take(&mut outer);
            }
            let frame = std::ptr::with_exposed_provenance::<[u64; 2]>(pointer as usize);
            // SAFETY: inside a stack of ours above its present end: the promise of `new`.
            let [saved, return_address] = unsafe { frame.read_volatile() };
            if return_address < 4096 {
                return;
            }
            take(return_address);
            // Frames lie one above the other, or on the other stack.
            if saved <= pointer && !outer.has_frame(saved) {
                return;
            }
            pointer = saved;
        }
    }
}

//! One thread's way to walk its stack.

use super::unwind::{self, Registers, UnwindCache, Unwinder, read_word};
use super::{DEPTH_MAX, Frame, StackRange};

/// What a frame pointer walk may lack at the outer end and still be trusted: the C library's own
/// start of a thread is mostly compiled without frame pointers.
const OUTERMOST_UNSEEN_MAX: usize = 4;

/// A stack that was walked.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// Innermost first.
    pub(crate) frames: Vec<Frame>,
}

/// Walks the stack of the thread that it belongs to.
pub(crate) struct Walker {
    stack: StackRange,
    cache: Box<UnwindCache>,
    frame_pointers: FramePointers,
    spare: Vec<Frame>,
}

/// Whether frame pointers can be followed in this thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FramePointers {
    /// Nobody has looked yet.
    Unknown,
    /// They told the same as the tables, and led to a last return address in this slot. A walk that
    /// ends elsewhere went astray.
    EndAt(u64),
    /// They do not.
    Missing,
}

impl Walker {
    /// A walker for this thread.
    pub(crate) fn new(stack: StackRange) -> Self {
        Self {
            stack,
            cache: Box::new(UnwindCache::new()),
            frame_pointers: FramePointers::Unknown,
            spare: Vec::new(),
        }
    }

    /// Walks from here outwards, beginning with the function whose stack pointer is `floor`: what
    /// lies below are the recorder's own frames.
    ///
    /// No frame is found on a stack that the system did not make for this thread.
    #[inline(never)]
    pub(crate) fn walk(&mut self, floor: u64, unwinder: &Unwinder, walk: &mut Walk) {
        walk.frames.clear();
        let from = unwind::registers();
        if !self.stack.contains_word(floor) || from.sp > floor || from.sp < self.stack.low {
            return;
        }
        // What is below the stack pointer may be unmapped: the first touch of it grows the stack.
        let stack = StackRange { low: from.sp & !7, high: self.stack.high };
        match self.frame_pointers {
            FramePointers::EndAt(end) => {
                follow(from, floor, stack, &mut walk.frames);
                if walk.frames.last().is_some_and(|last| last.slot == end) {
                    return;
                }
                self.compare(from, floor, stack, unwinder, walk);
            }
            FramePointers::Unknown => {
                follow(from, floor, stack, &mut walk.frames);
                self.compare(from, floor, stack, unwinder, walk);
            }
            FramePointers::Missing => {
                unwinder.walk(from, floor, stack, &mut self.cache, &mut walk.frames);
            }
        }
    }

    /// Judges a walk along frame pointers by one through the tables, and keeps the better.
    fn compare(
        &mut self,
        from: Registers,
        floor: u64,
        stack: StackRange,
        unwinder: &Unwinder,
        walk: &mut Walk,
    ) {
        self.spare.clear();
        unwinder.walk(from, floor, stack, &mut self.cache, &mut self.spare);
        let unseen = self.spare.len().checked_sub(walk.frames.len());
        let agrees = self.spare.starts_with(&walk.frames)
            && unseen.is_some_and(|unseen| unseen <= OUTERMOST_UNSEEN_MAX);
        match walk.frames.last() {
            Some(last) if agrees && walk.frames.len() < DEPTH_MAX => {
                self.frame_pointers = FramePointers::EndAt(last.slot);
            }
            _ => {
                if self.frame_pointers == FramePointers::Unknown {
                    self.frame_pointers = FramePointers::Missing;
                }
                std::mem::swap(&mut self.spare, &mut walk.frames);
            }
        }
    }
}

/// Follows the chain of saved frame pointers.
fn follow(from: Registers, floor: u64, stack: StackRange, frames: &mut Vec<Frame>) {
    let mut pointer = from.bp;
    let mut above = from.sp;
    while frames.len() < DEPTH_MAX && pointer >= above {
        let slot = pointer.wrapping_add(8);
        let (Some(saved), Some(return_address)) =
            (read_word(stack, pointer), read_word(stack, slot))
        else {
            return;
        };
        if return_address < 4096 {
            return;
        }
        if slot >= floor {
            frames.push(Frame { return_address, slot });
        }
        above = slot;
        pointer = saved;
    }
}

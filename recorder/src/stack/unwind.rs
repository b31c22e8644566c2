//! Walking by unwind tables: every module's, read where the program has them mapped.

use framehop::{
    CacheNative, ExplicitModuleSectionInfo, MayAllocateDuringUnwind, Unwinder as _, UnwinderNative,
};

use super::{DEPTH_MAX, Frame, StackRange};
use crate::module::LoadedModule;

/// The unwind tables of the process.
pub(crate) struct Unwinder {
    inner: UnwinderNative<Box<[u8]>, MayAllocateDuringUnwind>,
}

/// What one thread remembers of them.
pub(crate) struct UnwindCache(CacheNative<MayAllocateDuringUnwind>);

impl UnwindCache {
    pub(crate) fn new() -> Self {
        Self(CacheNative::new())
    }
}

/// The registers that a walk begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    pub(crate) pc: u64,
    pub(crate) sp: u64,
    pub(crate) bp: u64,
}

/// The registers of the function that this is inlined into, all of one moment.
#[inline(always)]
#[expect(clippy::inline_always, reason = "it is about the function that it is inlined into")]
#[expect(unsafe_code, reason = "three registers that the language has no name for")]
pub(crate) fn registers() -> Registers {
    #[cfg(target_arch = "x86_64")]
    {
        let (pc, sp, bp): (u64, u64, u64);
        // SAFETY: copies three registers into three others; no memory, no flags, no stack.
        unsafe {
            std::arch::asm!(
                "lea {pc}, [rip]", "mov {sp}, rsp", "mov {bp}, rbp",
                pc = out(reg) pc, sp = out(reg) sp, bp = out(reg) bp,
                options(nomem, nostack, preserves_flags)
            );
        }
        Registers { pc, sp, bp }
    }
    #[cfg(not(target_arch = "x86_64"))]
    Registers { pc: 0, sp: 0, bp: 0 }
}

/// Reads a word of this thread's stack.
#[inline]
#[expect(unsafe_code, reason = "a stack has no other name than its address")]
pub(crate) fn read_word(stack: StackRange, address: u64) -> Option<u64> {
    if !stack.contains_word(address) {
        return None;
    }
    let word = std::ptr::with_exposed_provenance::<u64>(usize::try_from(address).ok()?);
    // SAFETY: the word lies in the stack of this thread, above the stack pointer: `stack` begins at
    // it (see `Walker::walk`). So it is mapped, aligned, and nobody else writes it now; volatile, for
    // the compiler does not know who wrote it.
    Some(unsafe { word.read_volatile() })
}

impl Unwinder {
    /// An unwinder that knows no module.
    pub(crate) fn new() -> Self {
        Self { inner: UnwinderNative::new() }
    }

    /// Takes in a module's tables. They are copied: a shared object may be unloaded.
    pub(crate) fn add(&mut self, module: &LoadedModule) {
        let Some(tables) = module.unwind_tables() else { return };
        let base = module.base;
        let sections = ExplicitModuleSectionInfo {
            base_svma: 0,
            eh_frame_hdr_svma: Some(
                tables.index_address - base
                    ..tables.index_address - base + tables.index.len() as u64,
            ),
            eh_frame_hdr: Some(tables.index),
            eh_frame_svma: Some(
                tables.frames_address - base
                    ..tables.frames_address - base + tables.frames.len() as u64,
            ),
            eh_frame: Some(tables.frames),
            text_svma: Some(module.range.start - base..module.range.end - base),
            ..ExplicitModuleSectionInfo::default()
        };
        self.inner.add_module(framehop::Module::new(
            String::new(),
            module.range.clone(),
            base,
            sections,
        ));
    }

    /// Walks from `from` outwards, and keeps the frames whose return address lies at `floor` or
    /// above.
    pub(crate) fn walk(
        &self,
        from: Registers,
        floor: u64,
        stack: StackRange,
        cache: &mut UnwindCache,
        frames: &mut Vec<Frame>,
    ) {
        #[cfg(target_arch = "x86_64")]
        {
            let mut registers = framehop::UnwindRegsNative::new(from.pc, from.sp, from.bp);
            let mut address = framehop::FrameAddress::from_instruction_pointer(from.pc);
            let mut read = |address| read_word(stack, address).ok_or(());
            while frames.len() < DEPTH_MAX {
                let sp = registers.sp();
                let unwound =
                    self.inner.unwind_frame(address, &mut registers, &mut cache.0, &mut read);
                let Ok(Some(return_address)) = unwound else { break };
                // A return pops its own address: it lay just below where the stack is now.
                let slot = registers.sp().wrapping_sub(8);
                let Some(next) = framehop::FrameAddress::from_return_address(return_address) else {
                    break;
                };
                if slot < sp || read_word(stack, slot) != Some(return_address) {
                    // No call made this frame (a signal's handler): what is above it is not ours.
                    break;
                }
                if slot >= floor {
                    frames.push(Frame { return_address, slot });
                }
                address = next;
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (&self.inner, from, floor, stack, &cache.0, frames, DEPTH_MAX);
    }
}

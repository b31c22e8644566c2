//! A log's bytes: mapped, or in memory.
//!
//! This module is where reading buys `unsafe`: a log of 5 GB is read through a map, so that memory
//! holds only what is being looked at (`read` into a buffer would copy all of it, or need a cache of
//! its own). The risk is named at the one place where it is taken, [`LogBytes::map`].

#![expect(unsafe_code, reason = "memory maps; each block says why it holds")]

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{Mmap, MmapOptions, UncheckedAdvice};

/// The bytes of a log file.
#[derive(Debug)]
pub(crate) enum LogBytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl LogBytes {
    /// Maps the first `len` bytes of a file, read-only.
    pub(crate) fn map(file: &File, len: u64) -> io::Result<Self> {
        let len = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        // SAFETY: bytes that we hold as `&[u8]` must not change.
        // - A complete log is never written again by any program of ours: `recover` and `import`
        //   write new files.
        // - A log that is still being recorded changes in its first page, in its slots, in blocks
        //   that are only reserved, and, with a size cap, in blocks that are freed. Page and slots
        //   are read through `copy_words` alone, which is made of atomic loads; a reserved block's
        //   payload is not looked at. A freed block may change under a reader: accepted, its
        //   bytes are plain numbers, every use of them is bounds-checked, and its checksum is then
        //   wrong, which costs that block.
        // - A stranger who truncates the file makes us die of SIGBUS. Accepted: the cure is to copy
        //   every log before reading it.
        let map = unsafe { MmapOptions::new().len(len).map(file)? };
        Ok(Self::Mapped(map))
    }

    /// Copies `count` words from byte `at`, a multiple of 8; `None` if they are not all there.
    ///
    /// Each is whole, even if the recorded program stores to it meanwhile.
    #[expect(clippy::cast_ptr_alignment, reason = "maps begin at a page, and `at` is checked")]
    pub(crate) fn copy_words(&self, at: u64, count: usize) -> Option<Vec<u64>> {
        let start = usize::try_from(at).ok()?;
        let range = start..start.checked_add(count.checked_mul(8)?)?;
        match self {
            Self::Owned(bytes) => {
                let words = bytes.get(range)?.chunks_exact(8);
                Some(words.map(|word| super::super::layout::u64_at(word, 0)).collect())
            }
            Self::Mapped(map) => {
                if range.end > map.len() || !start.is_multiple_of(8) {
                    return None;
                }
                let load = |index: usize| {
                    // SAFETY: `start + 8 * index` lies in the map: the range was checked above.
                    let word = unsafe { map.as_ptr().add(start + 8 * index) };
                    // SAFETY: the pointer is aligned, as maps begin at a page and `start` is a
                    // multiple of 8; the map lives as long as `self`; other processes store to these
                    // words only whole, and nothing in this process has a reference to them.
                    let word = unsafe { AtomicU64::from_ptr(word.cast_mut().cast::<u64>()) };
                    // Relaxed: `copy_slot` orders the length before the words by a fence.
                    u64::from_le(word.load(Ordering::Relaxed))
                };
                Some((0..count).map(load).collect())
            }
        }
    }

    /// Tells the system that these bytes will not be needed soon: they no longer count as memory
    /// that we use.
    pub(crate) fn advise_done(&self, range: Range<usize>) {
        let Self::Mapped(map) = self else { return };
        let end = range.end.min(map.len());
        if range.start < end {
            // Pages that reach out of the range go with it: whoever needs them gets them again.
            // SAFETY: dropping pages of a read-only file map loses nothing: they are read again
            // from the file when touched.
            let advised = unsafe {
                map.unchecked_advise_range(
                    UncheckedAdvice::DontNeed,
                    range.start,
                    end - range.start,
                )
            };
            // Advice that is not taken costs memory, nothing else.
            let _ = advised;
        }
    }
}

impl Deref for LogBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "maps a file")]
    fn a_map_and_a_vector_read_alike() {
        let bytes: Vec<u8> = (0..200_000u32).map(|i| i as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let mapped = LogBytes::map(&file, bytes.len() as u64).unwrap();
        mapped.advise_done(0..bytes.len());
        let owned = LogBytes::Owned(bytes);
        assert_eq!(*mapped, *owned);
        assert_eq!(mapped.copy_words(64, 100), owned.copy_words(64, 100));
        for bytes in [mapped, owned] {
            assert_eq!(bytes.copy_words(200_000 - 8, 2), None);
            assert_eq!(bytes.copy_words(u64::MAX - 7, 1), None);
            assert_eq!(bytes.copy_words(8, usize::MAX / 4), None);
        }
    }
}

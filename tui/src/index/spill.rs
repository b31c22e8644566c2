//! Words that are too many for memory while an index is being built.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Words that stay in memory: 64 MiB.
const WORDS_IN_MEMORY: usize = 8 << 20;

/// Bytes of the file that are read at one time: neighbours are asked for one after the other.
const BLOCK_LEN: u64 = 1 << 16;

/// A growing sequence of words: in memory while it is short, then in a file of its own.
#[derive(Debug)]
pub(crate) struct Spill {
    folder: PathBuf,
    memory: Vec<u64>,
    file: Option<SpillFile>,
    len: u64,
}

#[derive(Debug)]
struct SpillFile {
    path: PathBuf,
    writer: BufWriter<File>,
    /// What was read last, and where it begins.
    block: Vec<u8>,
    block_at: u64,
    /// Whether the next write has to go back to the end first.
    is_elsewhere: bool,
}

impl Spill {
    /// An empty sequence whose file, if it needs one, is in `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), memory: Vec::new(), file: None, len: 0 }
    }

    /// How many words there are.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Appends words.
    pub(crate) fn extend(&mut self, words: &[u64]) -> io::Result<()> {
        self.len += words.len() as u64;
        if self.file.is_none() {
            if self.memory.len() + words.len() <= WORDS_IN_MEMORY {
                self.memory.extend_from_slice(words);
                return Ok(());
            }
            self.file = Some(SpillFile::create(&self.folder)?);
            let memory = std::mem::take(&mut self.memory);
            self.write(&memory)?;
        }
        self.write(words)
    }

    fn write(&mut self, words: &[u64]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        if std::mem::take(&mut file.is_elsewhere) {
            file.writer.seek(SeekFrom::End(0))?;
            file.block.clear();
        }
        for word in words {
            file.writer.write_all(&word.to_le_bytes())?;
        }
        Ok(())
    }

    /// Reads `count` words from word `at` into `out`, in place of what is there.
    pub(crate) fn read(&mut self, at: u64, count: usize, out: &mut Vec<u64>) -> io::Result<()> {
        out.clear();
        let Some(file) = &mut self.file else {
            let start = usize::try_from(at).unwrap_or(usize::MAX);
            let words = self.memory.get(start..start.saturating_add(count));
            out.extend_from_slice(words.ok_or(io::ErrorKind::UnexpectedEof)?);
            return Ok(());
        };
        let bytes = file.bytes(at * 8, count as u64 * 8)?;
        out.extend(bytes.chunks_exact(8).map(super::file::word));
        Ok(())
    }

    /// Writes all words to `sink`, little-endian.
    pub(crate) fn copy_to(&mut self, sink: &mut impl Write) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return self.memory.iter().try_for_each(|word| sink.write_all(&word.to_le_bytes()));
        };
        file.writer.flush()?;
        let reader = file.writer.get_mut();
        reader.seek(SeekFrom::Start(0))?;
        io::copy(&mut BufReader::with_capacity(1 << 20, &mut *reader), sink)?;
        reader.seek(SeekFrom::End(0))?;
        Ok(())
    }
}

impl SpillFile {
    fn create(folder: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(".mmindex-{}-{number}", std::process::id()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(Self {
            path,
            writer: BufWriter::with_capacity(1 << 20, file),
            block: Vec::new(),
            block_at: 0,
            is_elsewhere: false,
        })
    }
}

impl SpillFile {
    /// Bytes of the file, read with those around them.
    fn bytes(&mut self, at: u64, len: u64) -> io::Result<&[u8]> {
        let end = at + len;
        if at < self.block_at || end > self.block_at + self.block.len() as u64 {
            if !self.is_elsewhere {
                self.writer.flush()?;
                self.is_elsewhere = true;
            }
            let file = self.writer.get_mut();
            self.block_at = at - at % BLOCK_LEN;
            file.seek(SeekFrom::Start(self.block_at))?;
            self.block.clear();
            let wanted = (end - self.block_at).max(BLOCK_LEN);
            file.take(wanted).read_to_end(&mut self.block)?;
        }
        // Both are within the block, which is in memory.
        let (start, end) = ((at - self.block_at) as usize, (end - self.block_at) as usize);
        self.block.get(start..end).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        // What cannot be removed is a nuisance, no more.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_from_memory_and_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut spill = Spill::new(folder.path());
        let block: Vec<u64> = (0..1 << 20).collect();
        for round in 0..10 {
            spill.extend(&block).unwrap();
            let mut out = Vec::new();
            let at = round * block.len() as u64 + 5;
            spill.read(at, 3, &mut out).unwrap();
            assert_eq!(out, [5, 6, 7], "round {round}");
        }
        assert!(spill.file.is_some());
        let mut copy = Vec::new();
        spill.copy_to(&mut copy).unwrap();
        assert_eq!(copy.len() as u64, spill.len() * 8);
        drop(spill);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

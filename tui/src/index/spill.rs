//! Bytes that are too many for memory while an index is being built.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that stay in memory.
const LEN_IN_MEMORY: usize = 4 << 20;

/// Bytes of the file that are read at one time: neighbours are asked for one after the other.
const BLOCK_LEN: u64 = 1 << 16;

/// A growing sequence of bytes: in memory while it is short, then in a file of its own.
#[derive(Debug)]
pub(crate) struct Spill {
    folder: PathBuf,
    memory: Vec<u8>,
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

    /// How many bytes there are.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// How many words there are, in a sequence of words.
    pub(crate) fn word_count(&self) -> u64 {
        self.len / 8
    }

    /// Appends words, little-endian.
    pub(crate) fn extend_words(&mut self, words: &[u64]) -> io::Result<()> {
        /// Words that are turned into bytes at one time.
        const WORDS_AT_ONCE: usize = 64;
        let mut bytes = [0; WORDS_AT_ONCE * 8];
        for words in words.chunks(WORDS_AT_ONCE) {
            for (bytes, word) in bytes.chunks_exact_mut(8).zip(words) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
            self.extend(&bytes[..words.len() * 8])?;
        }
        Ok(())
    }

    /// Appends bytes.
    pub(crate) fn extend(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.len += bytes.len() as u64;
        let Some(file) = &mut self.file else {
            if self.memory.len() + bytes.len() <= LEN_IN_MEMORY {
                self.memory.extend_from_slice(bytes);
                return Ok(());
            }
            let file = self.file.insert(SpillFile::create(&self.folder)?);
            file.writer.write_all(&std::mem::take(&mut self.memory))?;
            return file.writer.write_all(bytes);
        };
        if std::mem::take(&mut file.is_elsewhere) {
            file.writer.seek(SeekFrom::End(0))?;
            file.block.clear();
        }
        file.writer.write_all(bytes)
    }

    /// The `len` bytes from byte `at`.
    pub(crate) fn read(&mut self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let Some(file) = &mut self.file else {
            let start = usize::try_from(at).unwrap_or(usize::MAX);
            let bytes = self.memory.get(start..start.saturating_add(len));
            return Ok(bytes.ok_or(io::ErrorKind::UnexpectedEof)?.to_vec());
        };
        file.bytes(at, len as u64).map(<[u8]>::to_vec)
    }

    /// Writes all bytes to `sink`.
    pub(crate) fn copy_to(&mut self, sink: &mut impl Write) -> io::Result<()> {
        let Some(file) = &mut self.file else { return sink.write_all(&self.memory) };
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
    fn bytes_read_back_from_memory_and_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut spill = Spill::new(folder.path());
        let words: Vec<u64> = (0..1 << 18).collect();
        for round in 0..4 {
            spill.extend_words(&words).unwrap();
            let at = (round * words.len() as u64 + 5) * 8;
            let found = spill.read(at, 16).unwrap();
            assert_eq!(found, [5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0], "round {round}");
        }
        assert!(spill.file.is_some());
        assert!(spill.read(spill.len() - 8, 9).is_err(), "beyond the end");
        let mut copy = Vec::new();
        spill.copy_to(&mut copy).unwrap();
        assert_eq!(copy.len() as u64, spill.len());
        assert_eq!(spill.word_count(), 4 << 18);
        drop(spill);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

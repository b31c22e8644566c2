//! A file beside a log: what a tool has worked out from the log and keeps, so as not to do it again.
//!
//! A sidecar is made under another name and renamed when it is whole, and is never written again:
//! so it can be mapped like a log, and a new one does not disturb who reads the old one.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;

use crate::log::LogBytes;

/// The bytes of a sidecar: mapped, or in memory where nothing can be kept on disk.
#[derive(Debug)]
pub struct Sidecar {
    bytes: LogBytes,
}

impl Sidecar {
    /// Maps a file.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        // An empty file cannot be mapped.
        let bytes = if len == 0 { LogBytes::Owned(Vec::new()) } else { LogBytes::map(&file, len)? };
        Ok(Self { bytes })
    }

    /// A sidecar that is in memory only.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes: LogBytes::Owned(bytes) }
    }

    /// Says that these bytes will not be needed soon: they no longer count as memory in use.
    pub fn advise_done(&self, range: Range<usize>) {
        self.bytes.advise_done(range);
    }
}

impl Deref for Sidecar {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "maps a file")]
    fn a_file_reads_as_the_bytes_that_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.log.mmindex");
        for bytes in [Vec::new(), vec![7; 10_000]] {
            std::fs::write(&path, &bytes).unwrap();
            let mapped = Sidecar::open(&path).unwrap();
            assert_eq!(*mapped, *Sidecar::from_bytes(bytes.clone()));
            mapped.advise_done(0..bytes.len());
            assert_eq!(*mapped, *bytes);
        }
        assert!(Sidecar::open(&folder.path().join("none")).is_err());
    }
}

//! Compression of lanes: the only user of the compressor.
//!
//! Miri cannot call C, so under it lanes are stored as they are: it is after our own code.

use std::fmt;

use super::ChunkError;

/// The level that recorders use: the fastest that still sees entropy.
pub const LEVEL_RECORDING: i32 = 1;
/// The level for logs that are written once and read often.
pub const LEVEL_OFFLINE: i32 = 3;

/// A compressor with its working memory, to be reused.
pub struct Compressor {
    inner: Option<(i32, zstd::bulk::Compressor<'static>)>,
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

impl Default for Compressor {
    fn default() -> Self {
        Self::new()
    }
}

impl Compressor {
    /// A compressor that has allocated nothing yet.
    pub const fn new() -> Self {
        Self { inner: None }
    }

    /// Appends `bytes`, compressed, to `out`, and gives the compressed length. Empty stays empty.
    ///
    /// # Errors
    /// The compressor's own, which for a buffer of sufficient size means that memory ran out.
    pub fn compress(
        &mut self,
        level: i32,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> std::io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        if cfg!(miri) {
            out.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        let compressor = match &mut self.inner {
            Some((at, compressor)) => {
                if *at != level {
                    compressor.set_compression_level(level)?;
                    *at = level;
                }
                compressor
            }
            none => &mut none.insert((level, zstd::bulk::Compressor::new(level)?)).1,
        };
        let start = out.len();
        let bound = zstd::zstd_safe::compress_bound(bytes.len());
        out.resize(start + bound, 0);
        let written = compressor.compress_to_buffer(bytes, &mut out[start..]);
        out.truncate(start + written.as_ref().map_or(0, |&len| len));
        written
    }
}

/// A decompressor with its working memory, to be reused.
#[derive(Default)]
pub struct Decompressor {
    inner: Option<zstd::bulk::Decompressor<'static>>,
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").finish_non_exhaustive()
    }
}

impl Decompressor {
    /// Replaces `out` by the decompressed `bytes`, which must be exactly `raw_len` long.
    ///
    /// Allocates `raw_len` bytes: the caller has bounded it.
    ///
    /// # Errors
    /// [`ChunkError::Compression`] if the bytes are not a whole frame of that length.
    pub fn decompress(
        &mut self,
        part: &'static str,
        bytes: &[u8],
        raw_len: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), ChunkError> {
        let failed = |reason: String| ChunkError::Compression { part, reason };
        if raw_len == 0 && bytes.is_empty() {
            out.clear();
            return Ok(());
        }
        if cfg!(miri) {
            out.clear();
            out.extend_from_slice(bytes);
            let wrong = || failed(format!("{} bytes, expected {raw_len}", bytes.len()));
            return if bytes.len() == raw_len { Ok(()) } else { Err(wrong()) };
        }
        let decompressor = match &mut self.inner {
            Some(decompressor) => decompressor,
            none => none.insert(
                zstd::bulk::Decompressor::new().map_err(|error| failed(error.to_string()))?,
            ),
        };
        // What was there before is written over.
        out.resize(raw_len, 0);
        let found = decompressor
            .decompress_to_buffer(bytes, out.as_mut_slice())
            .map_err(|error| failed(error.to_string()))?;
        if found == raw_len {
            Ok(())
        } else {
            Err(failed(format!("decompresses to {found} bytes, expected {raw_len}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "calls C")]
    fn bytes_come_back_and_other_lengths_are_refused() {
        let bytes = b"the same the same the same the same".repeat(9);
        let mut packed = b"before".to_vec();
        let len = Compressor::new().compress(1, &bytes, &mut packed).unwrap();
        assert_eq!(packed.len(), 6 + len);
        let mut decompressor = Decompressor::default();
        let mut out = Vec::new();
        decompressor.decompress("test", &packed[6..], bytes.len(), &mut out).unwrap();
        assert_eq!(out, bytes);
        for wrong in [0, bytes.len() - 1, bytes.len() + 1] {
            assert!(decompressor.decompress("test", &packed[6..], wrong, &mut out).is_err());
        }
        assert!(decompressor.decompress("test", b"nonsense", 10, &mut out).is_err());
    }
}

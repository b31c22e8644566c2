//! Frames: how tables, symbols, process information and the index are packed into a block's payload.
//!
//! ```text
//! raw_len:32 len:32 | len bytes | raw_len:32 len:32 | ...
//! ```
//!
//! A frame with `len == raw_len` is stored as it is, any other is compressed. A frame that would
//! shrink more than 256-fold is stored as it is, so that no file, however hostile, makes a reader
//! allocate more than 256 times its own length.

use super::u32_at;
use crate::chunk::ChunkError;
use crate::chunk::codec::{Compressor, Decompressor};

/// The most bytes that a frame holds before compression.
pub const FRAME_RAW_MAX: usize = 16 << 20;
/// How often a frame's bytes may be longer before compression than after.
pub const FRAME_RATIO_MAX: usize = 256;
const FRAME_HEADER_LEN: usize = 8;

/// A payload is not a sequence of frames.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The payload ends inside a frame.
    #[error("frame at byte {at} of the payload needs {needed} bytes, but {available} are left")]
    Truncated {
        /// Where the frame begins.
        at: usize,
        /// Its length.
        needed: u64,
        /// Bytes that are there.
        available: usize,
    },
    /// The frame claims to be longer than any writer makes it.
    #[error(
        "frame at byte {at} of the payload decompresses to {found} bytes, expected at most {limit}"
    )]
    Limit {
        /// Where the frame begins.
        at: usize,
        /// Its alleged length.
        found: usize,
        /// The longest possible.
        limit: usize,
    },
    /// The bytes do not decompress.
    #[error("frame at byte {at} of the payload: {source}")]
    Compression {
        /// Where the frame begins.
        at: usize,
        /// What the decompressor said.
        source: ChunkError,
    },
}

/// Appends a frame that holds `raw`.
///
/// Compression can only fail for want of memory; the frame is then stored as it is.
///
/// # Panics
/// If `raw` is longer than [`FRAME_RAW_MAX`].
pub fn put_frame(compressor: &mut Compressor, level: i32, raw: &[u8], out: &mut Vec<u8>) {
    assert!(raw.len() <= FRAME_RAW_MAX, "frames are cut by their writers");
    let start = out.len();
    out.extend_from_slice(&(raw.len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    let body = start + FRAME_HEADER_LEN;
    let packed = compressor.compress(level, raw, out).unwrap_or(usize::MAX);
    if packed >= raw.len() || raw.len() / FRAME_RATIO_MAX >= packed {
        out.truncate(body);
        out.extend_from_slice(raw);
    }
    let len = (out.len() - body) as u32;
    out[start + 4..body].copy_from_slice(&len.to_le_bytes());
}

/// The frames of a payload, decompressed one by one.
#[derive(Debug)]
pub struct Frames<'a> {
    payload: &'a [u8],
    at: usize,
    decompressor: Decompressor,
    raw: Vec<u8>,
}

impl<'a> Frames<'a> {
    /// The frames of this payload.
    pub fn new(payload: &'a [u8]) -> Self {
        Self { payload, at: 0, decompressor: Decompressor::default(), raw: Vec::new() }
    }

    /// The next frame's content; `None` after the last.
    ///
    /// # Errors
    /// [`FrameError`]; nothing after it can be read.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let at = self.at;
        let rest = &self.payload[at..];
        if rest.is_empty() {
            return Ok(None);
        }
        let truncated = |needed: u64| FrameError::Truncated { at, needed, available: rest.len() };
        let (header, body) = rest
            .split_at_checked(FRAME_HEADER_LEN)
            .ok_or_else(|| truncated(FRAME_HEADER_LEN as u64))?;
        let (raw_len, len) = (u32_at(header, 0) as usize, u32_at(header, 4) as usize);
        let needed = FRAME_HEADER_LEN as u64 + len as u64;
        let body = body.get(..len).ok_or_else(|| truncated(needed))?;
        let limit = FRAME_RAW_MAX.min(len.saturating_mul(FRAME_RATIO_MAX));
        if raw_len > limit {
            return Err(FrameError::Limit { at, found: raw_len, limit });
        }
        if raw_len == len {
            self.raw.clear();
            self.raw.extend_from_slice(body);
        } else {
            self.decompressor
                .decompress("frame", body, raw_len, &mut self.raw)
                .map_err(|source| FrameError::Compression { at, source })?;
        }
        self.at = at + FRAME_HEADER_LEN + len;
        Ok(Some(&self.raw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(payload: &[u8]) -> Result<Vec<Vec<u8>>, FrameError> {
        let mut frames = Frames::new(payload);
        let mut all = Vec::new();
        while let Some(raw) = frames.next_frame()? {
            all.push(raw.to_vec());
        }
        Ok(all)
    }

    #[test]
    fn frames_come_back_whatever_their_content() {
        let text = b"a table of strings, ".repeat(20);
        // Compresses ten-thousandfold, so it must be stored as it is.
        let zeros = vec![0; 1 << 20];
        let noise: Vec<u8> =
            (0..999u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let all = [text, Vec::new(), zeros, noise];
        let mut payload = Vec::new();
        for raw in &all {
            put_frame(&mut Compressor::new(), 1, raw, &mut payload);
        }
        assert_eq!(frames(&payload).unwrap(), all);
        for cut in 1..FRAME_HEADER_LEN {
            assert!(frames(&payload[..payload.len() - cut]).is_err());
        }
    }

    #[test]
    fn a_hostile_length_allocates_nothing() {
        let mut payload = Vec::new();
        payload.extend_from_slice(&u32::MAX.to_le_bytes());
        payload.extend_from_slice(&4u32.to_le_bytes());
        payload.extend_from_slice(b"bomb");
        assert_eq!(
            frames(&payload),
            Err(FrameError::Limit { at: 0, found: u32::MAX as usize, limit: 1024 })
        );
    }
}

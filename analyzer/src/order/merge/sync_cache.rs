//! Decoded sync lanes, each kept from its first fragment's turn to its last's.

use mmtrace_format::chunk::{LaneDecoder, SyncColumns};

use crate::order::Trace;

/// Emptied columns kept for the next chunk, so that their storage is not allocated again.
const SPARE_MAX: usize = 8;

#[derive(Debug)]
enum Lane {
    /// Not yet needed.
    Encoded,
    Decoded(Box<SyncColumns>),
    /// All fragments had their turn, or the lane cannot be read.
    Gone,
}

#[derive(Debug)]
pub(super) struct SyncCache<'t> {
    trace: &'t Trace<'t>,
    lanes: Vec<Lane>,
    fragments_left: Vec<u32>,
    #[expect(clippy::vec_box, reason = "lanes move in and out without being copied")]
    spare: Vec<Box<SyncColumns>>,
    decoder: LaneDecoder,
}

impl<'t> SyncCache<'t> {
    pub(super) fn new(trace: &'t Trace<'t>) -> Self {
        let fragments_left = trace.fragments_of_chunk().to_vec();
        let lanes = fragments_left.iter().map(|_| Lane::Encoded).collect();
        Self { trace, lanes, fragments_left, spare: Vec::new(), decoder: LaneDecoder::default() }
    }

    /// Lends out a lane, to be given back by [`Self::put_back`]. `None`: it cannot be read.
    #[inline]
    pub(super) fn take(&mut self, chunk: usize) -> Option<Box<SyncColumns>> {
        match std::mem::replace(&mut self.lanes[chunk], Lane::Gone) {
            Lane::Decoded(columns) => Some(columns),
            Lane::Encoded => self.decode(chunk),
            Lane::Gone => None,
        }
    }

    #[inline]
    pub(super) fn put_back(&mut self, chunk: usize, columns: Box<SyncColumns>) {
        self.lanes[chunk] = Lane::Decoded(columns);
    }

    /// One more fragment of the chunk had its turn.
    pub(super) fn done(&mut self, chunk: usize) {
        self.fragments_left[chunk] -= 1;
        if self.fragments_left[chunk] == 0
            && let Lane::Decoded(mut columns) =
                std::mem::replace(&mut self.lanes[chunk], Lane::Gone)
            && self.spare.len() < SPARE_MAX
        {
            columns.clear();
            self.spare.push(columns);
        }
    }

    /// Looks into a lane that is here already.
    pub(super) fn peek(&self, chunk: usize) -> Option<&SyncColumns> {
        match &self.lanes[chunk] {
            Lane::Decoded(columns) => Some(columns),
            Lane::Encoded | Lane::Gone => None,
        }
    }

    #[cold]
    fn decode(&mut self, chunk: usize) -> Option<Box<SyncColumns>> {
        let mut columns = self.spare.pop().unwrap_or_default();
        self.trace.lanes().decode_sync(chunk, &mut self.decoder, &mut columns).ok()?;
        Some(columns)
    }
}

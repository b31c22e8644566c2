//! A log as [`Line`]s: for dumps and tests, where speed is not what counts.

use super::{Log, ReadError};
use crate::chunk::{AccessColumns, LaneDecoder, SyncColumns};
use crate::event::text::Line;
use crate::id::ThreadId;

impl Log {
    /// Everything in a chunk, in the order in which its stream wrote it.
    ///
    /// # Errors
    /// [`ReadError`] if the chunk is damaged.
    ///
    /// # Panics
    /// If there is no such chunk.
    pub fn lines_of_chunk(&self, chunk: usize) -> Result<Vec<Line>, ReadError> {
        let fragments = self.lines_by_fragment(chunk)?;
        Ok(fragments.into_iter().flatten().collect())
    }

    /// Everything that a thread did, in program order.
    ///
    /// Decodes each chunk as often as the thread has fragments in it; holds all of the result.
    ///
    /// # Errors
    /// [`ReadError`] if one of the chunks is damaged.
    pub fn lines_of_thread(&self, thread: ThreadId) -> Result<Vec<Line>, ReadError> {
        // A header that cannot be read has no fragments to fail at.
        for chunk in self.chunks_of(thread) {
            self.chunk(chunk)?;
        }
        let mut lines = Vec::new();
        for place in self.fragments_of(thread) {
            let mut fragments = self.lines_by_fragment(place.chunk as usize)?;
            // Every fragment of the header has its place in the result.
            lines.append(&mut fragments[place.fragment as usize]);
        }
        Ok(lines)
    }

    /// Everything in a chunk, by fragment.
    ///
    /// # Errors
    /// [`ReadError`] if the chunk is damaged.
    ///
    /// # Panics
    /// If there is no such chunk.
    pub fn lines_by_fragment(&self, index: usize) -> Result<Vec<Vec<Line>>, ReadError> {
        let at = self.chunks()[index].offset;
        let chunk = self.chunk(index)?;
        let header = chunk.header();
        let (mut events, mut accesses) = (SyncColumns::default(), AccessColumns::default());
        let mut decoder = LaneDecoder::default();
        chunk
            .decode_sync(&mut decoder, &mut events)
            .map_err(|source| ReadError::Chunk { at, source })?;
        chunk
            .decode_accesses(&mut decoder, &mut accesses)
            .map_err(|source| ReadError::Chunk { at, source })?;
        let mut rest = accesses.iter();
        let mut done = 0;
        let fragments = header.fragments.iter().enumerate().map(|(fragment, it)| {
            let (event_range, access_range) = header.fragment_extent(fragment);
            let mut lines = Vec::new();
            let mut take_accesses = |end: u32, lines: &mut Vec<Line>| {
                let count = end.saturating_sub(done) as usize;
                done = done.max(end);
                lines.extend(rest.by_ref().take(count).map(|a| Line::Access(it.thread, a)));
            };
            let range = event_range.start as usize..event_range.end as usize;
            let events = events.events.iter().zip(&events.access_ends);
            for (event, &end) in events.take(range.end).skip(range.start) {
                take_accesses(end, &mut lines);
                lines.push(Line::Event(it.thread, *event));
            }
            take_accesses(access_range.end, &mut lines);
            lines
        });
        Ok(fragments.collect())
    }
}

//! Decoded access lanes, each kept from its first access's turn to its last one's, if memory allows.
//!
//! Once it is known that there will be a second pass, lanes stay for it, as far as memory allows. Of
//! the others it is noted what they touch: most of them the second pass does not need.

use std::sync::Mutex;

use mmtrace_format::StackId;
use mmtrace_format::chunk::{AccessColumns, AccessTag, LaneDecoder};
use rayon::prelude::*;

use super::{NextPass, Touched};
use crate::order::Trace;
use crate::race::window::Window;

/// Bytes that one decoded access takes.
const ACCESS_BYTES: u64 = 12;

/// Emptied lanes are kept for the next chunks, so that their storage is not allocated again: so many,
/// of at most so many accesses each. A lane of long loops over memory has millions.
const SPARE_MAX: usize = 64;
const SPARE_ACCESSES_MAX: usize = 1 << 17;

/// A decoded access lane.
#[derive(Debug, Default)]
pub(in crate::race) struct Lane {
    columns: AccessColumns,
    /// Where the accesses are whose size does not fit their context: ascending.
    long_places: Vec<u32>,
}

/// One access, as the passes look at it first.
#[derive(Clone, Copy, Debug)]
pub(in crate::race) struct Word {
    pub(in crate::race) address: u64,
    pub(in crate::race) tag: AccessTag,
}

impl Lane {
    fn index_long_sizes(&mut self) {
        self.long_places.clear();
        if self.columns.long_sizes.is_empty() {
            return;
        }
        for (place, &tag) in (0..).zip(&self.columns.tags) {
            if self.columns.contexts[tag.context()].size == 0 {
                self.long_places.push(place);
            }
        }
    }

    fn touches(&self) -> Touched {
        let mut touched = Touched::NOTHING;
        for (place, word) in (0..).zip(self.words(0, u32::MAX)) {
            if word.tag.kind().touches_memory() {
                touched.add(word.address, self.size_of(place, &word));
            }
        }
        touched
    }

    fn bytes(&self) -> u64 {
        self.columns.addresses.len() as u64 * ACCESS_BYTES
    }

    /// The accesses from `offset` on, `count` of them: fewer if the lane has fewer.
    #[inline]
    pub(in crate::race) fn words(
        &self,
        offset: u32,
        count: u32,
    ) -> impl ExactSizeIterator<Item = Word> + '_ {
        let len = self.columns.addresses.len();
        let start = (offset as usize).min(len);
        let end = (start + count as usize).min(len);
        let places = self.columns.addresses[start..end].iter().zip(&self.columns.tags[start..end]);
        places.map(|(&address, &tag)| Word { address, tag })
    }

    /// Where the access was made: `word` is what [`Self::words`] gives of it.
    pub(in crate::race) fn stack_of(&self, word: &Word) -> StackId {
        self.columns.contexts[word.tag.context()].stack
    }

    /// How many bytes the access at `place` has: `word` is what [`Self::words`] gives of it.
    #[inline]
    pub(in crate::race) fn size_of(&self, place: u32, word: &Word) -> u64 {
        let short_size = word.tag.short_size();
        if short_size != 0 {
            return short_size;
        }
        let size = self.columns.contexts[word.tag.context()].size;
        if size != 0 {
            return u64::from(size);
        }
        let long = self.long_places.binary_search(&place).ok();
        long.and_then(|index| self.columns.long_sizes.get(index)).copied().unwrap_or(0)
    }
}

/// The access lanes that the present window needs, and others as memory allows.
pub(in crate::race) struct AccessLanes<'t> {
    trace: &'t Trace<'t>,
    lanes: Vec<Option<Box<Lane>>>,
    /// For each chunk, how many of its accesses have not had their turn in this pass.
    left: Vec<u32>,
    /// The chunks of lanes that are here.
    present: Vec<u32>,
    #[expect(clippy::vec_box, reason = "lanes move in and out without being copied")]
    spare: Mutex<Vec<Box<Lane>>>,
    #[expect(clippy::vec_box, reason = "they move in and out without being copied")]
    decoders: Mutex<Vec<Box<LaneDecoder>>>,
    lost: Vec<usize>,
    /// What each chunk touches, once it has been decoded.
    touched: Vec<Option<Box<Touched>>>,
    /// Bytes of the lanes that are here.
    held_bytes: u64,
    /// While more are here, lanes are dropped when their last access had its turn.
    keep_bytes_max: u64,
    /// While more are here, lanes are dropped after every window, to be decoded again.
    held_bytes_max: u64,
}

impl<'t> AccessLanes<'t> {
    /// None yet. About half of `memory` bytes may be held.
    pub(in crate::race) fn new(trace: &'t Trace<'t>, memory: u64) -> Self {
        let lanes = (0..trace.lanes().chunk_count()).map(|_| None).collect();
        let touched = vec![None; trace.lanes().chunk_count()];
        let mut this = Self {
            trace,
            lanes,
            left: Vec::new(),
            present: Vec::new(),
            spare: Mutex::default(),
            decoders: Mutex::default(),
            lost: Vec::new(),
            touched,
            held_bytes: 0,
            keep_bytes_max: memory / 4,
            held_bytes_max: memory / 2,
        };
        this.rewind();
        this
    }

    /// Another pass begins: all accesses are to have their turn again.
    pub(super) fn rewind(&mut self) {
        self.left = vec![0; self.lanes.len()];
        for dense in 0..self.trace.threads().len() {
            for span in self.trace.fragments(dense) {
                self.left[span.chunk as usize] += span.access_end - span.access_start;
            }
        }
    }

    /// The lane of a chunk that the window needs; `None` if it cannot be read.
    #[inline]
    pub(in crate::race) fn lane(&self, chunk: u32) -> Option<&Lane> {
        self.lanes[chunk as usize].as_deref()
    }

    /// Decodes what the window needs, in parallel; of that only what may meet `wanted`, if it is given.
    pub(super) fn load(&mut self, window: &Window, wanted: Option<&Touched>) {
        let touched = &self.touched;
        let is_wanted = |chunk: u32| match (wanted, &touched[chunk as usize]) {
            (Some(wanted), Some(touched)) => touched.may_meet(wanted),
            _ => true,
        };
        let missing: Vec<u32> = window
            .chunks()
            .into_iter()
            .filter(|&chunk| self.lanes[chunk as usize].is_none() && is_wanted(chunk))
            .collect();
        let source = self.trace.lanes();
        let (spare, decoders) = (&self.spare, &self.decoders);
        let decoded: Vec<Option<Box<Lane>>> = missing
            .par_iter()
            .map(|&chunk| {
                let mut lane = pop(spare);
                let mut decoder = pop(decoders);
                let read = source.decode_accesses(chunk as usize, &mut decoder, &mut lane.columns);
                push(decoders, decoder);
                read.ok()?;
                lane.index_long_sizes();
                Some(lane)
            })
            .collect();
        for (chunk, lane) in missing.into_iter().zip(decoded) {
            match lane {
                Some(lane) => {
                    self.held_bytes += lane.bytes();
                    self.lanes[chunk as usize] = Some(lane);
                    self.present.push(chunk);
                }
                None if self.lost.contains(&(chunk as usize)) => {}
                None => self.lost.push(chunk as usize),
            }
        }
    }

    /// The window has been looked at: drops lanes while there are too many.
    pub(super) fn release(&mut self, window: &Window, next: NextPass) {
        for segment in &window.segments {
            self.left[segment.chunk as usize] -= segment.count;
        }
        for chunk in std::mem::take(&mut self.present) {
            let index = chunk as usize;
            let is_done = self.left[index] == 0;
            if is_done {
                self.trace.lanes().done_with(index);
            }
            let stays = if is_done {
                next == NextPass::Certain && self.held_bytes <= self.keep_bytes_max
            } else {
                self.held_bytes <= self.held_bytes_max
            };
            if stays {
                self.present.push(chunk);
            } else if let Some(lane) = self.lanes[index].take() {
                self.held_bytes -= lane.bytes();
                if next != NextPass::None && self.touched[index].is_none() {
                    self.touched[index] = Some(Box::new(lane.touches()));
                }
                let is_small = lane.columns.len() <= SPARE_ACCESSES_MAX;
                if is_small && pool_len(&self.spare) < SPARE_MAX {
                    push(&self.spare, lane);
                }
            }
        }
    }

    /// The chunks whose access lanes could not be read.
    pub(in crate::race) fn lost(&self) -> &[usize] {
        &self.lost
    }
}

#[expect(clippy::unnecessary_box_returns, reason = "as above")]
fn pop<T: Default>(pool: &Mutex<Vec<Box<T>>>) -> Box<T> {
    pool.lock().expect("nobody panics holding it").pop().unwrap_or_default()
}

fn pool_len<T>(pool: &Mutex<Vec<Box<T>>>) -> usize {
    pool.lock().expect("nobody panics holding it").len()
}

fn push<T>(pool: &Mutex<Vec<Box<T>>>, item: Box<T>) {
    pool.lock().expect("nobody panics holding it").push(item);
}

//! Decoded access lanes, each kept while a window needs it and, if memory allows, until its last
//! access had its turn.

use std::sync::Mutex;

use mmtrace_format::chunk::AccessColumns;
use mmtrace_format::{AccessKind, StackId};
use rayon::prelude::*;

use super::Window;
use crate::order::Trace;

/// Bytes that one decoded access takes.
const ACCESS_BYTES: u64 = 12;

/// A decoded access lane.
#[derive(Debug, Default)]
pub(in crate::race) struct Lane {
    columns: AccessColumns,
    /// Where the accesses are whose size does not fit their context: ascending.
    long_places: Vec<u32>,
}

/// One access, as the passes look at it.
#[derive(Clone, Copy, Debug)]
pub(in crate::race) struct Raw {
    pub(in crate::race) address: u64,
    pub(in crate::race) size: u64,
    pub(in crate::race) kind: AccessKind,
    pub(in crate::race) stack: StackId,
}

impl Lane {
    fn index_long_sizes(&mut self) {
        self.long_places.clear();
        if self.columns.long_sizes.is_empty() {
            return;
        }
        for (place, &tag) in (0..).zip(&self.columns.tags) {
            if self.columns.contexts[(tag & 0xffff) as usize].size == 0 {
                self.long_places.push(place);
            }
        }
    }

    /// The accesses from `offset` on, `count` of them: fewer if the lane has fewer.
    #[inline]
    pub(in crate::race) fn accesses(
        &self,
        offset: u32,
        count: u32,
    ) -> impl Iterator<Item = Raw> + '_ {
        let len = self.columns.addresses.len();
        let start = (offset as usize).min(len);
        let end = (start + count as usize).min(len);
        let addresses = &self.columns.addresses[start..end];
        let tags = &self.columns.tags[start..end];
        let mut long = self.long_places.partition_point(|&place| place < offset);
        addresses.iter().zip(tags).map(move |(&address, &tag)| {
            let context = &self.columns.contexts[(tag & 0xffff) as usize];
            let mut size = u64::from(context.size);
            if size == 0 {
                size = self.columns.long_sizes.get(long).copied().unwrap_or(0);
                long += 1;
            }
            let kind = AccessKind::from_tag((tag >> 16) as u8);
            Raw { address, size, kind, stack: context.stack }
        })
    }
}

/// The access lanes that the present window needs.
pub(in crate::race) struct AccessLanes<'t> {
    trace: &'t Trace<'t>,
    lanes: Vec<Option<Box<Lane>>>,
    /// For each chunk, how many of its accesses have not had their turn.
    left: Vec<u32>,
    /// The chunks of lanes that are here.
    present: Vec<u32>,
    spare: Mutex<Vec<Box<Lane>>>,
    lost: Vec<usize>,
    bytes_max: u64,
}

impl<'t> AccessLanes<'t> {
    /// None yet. Beyond `memory` bytes lanes are dropped early, to be decoded again.
    pub(super) fn new(trace: &'t Trace<'t>, memory: u64) -> Self {
        let mut left = vec![0; trace.lanes().chunk_count()];
        for dense in 0..trace.threads().len() {
            for span in trace.fragments(dense) {
                left[span.chunk as usize] += span.access_end - span.access_start;
            }
        }
        let lanes = left.iter().map(|_| None).collect();
        Self {
            trace,
            lanes,
            left,
            present: Vec::new(),
            spare: Mutex::default(),
            lost: Vec::new(),
            bytes_max: memory,
        }
    }

    /// The lane of a chunk that the window needs; `None` if it cannot be read.
    #[inline]
    pub(in crate::race) fn lane(&self, chunk: u32) -> Option<&Lane> {
        self.lanes[chunk as usize].as_deref()
    }

    /// Decodes what the window needs, in parallel.
    pub(super) fn load(&mut self, window: &Window) {
        let missing: Vec<u32> = window
            .chunks()
            .into_iter()
            .filter(|&chunk| self.lanes[chunk as usize].is_none())
            .collect();
        let source = self.trace.lanes();
        let spare = &self.spare;
        let decoded: Vec<Option<Box<Lane>>> = missing
            .par_iter()
            .map(|&chunk| {
                let pop = || spare.lock().expect("nobody panics holding it").pop();
                let mut lane = pop().unwrap_or_default();
                source.decode_accesses(chunk as usize, &mut lane.columns).ok()?;
                lane.index_long_sizes();
                Some(lane)
            })
            .collect();
        for (chunk, lane) in missing.into_iter().zip(decoded) {
            match lane {
                Some(lane) => {
                    self.lanes[chunk as usize] = Some(lane);
                    self.present.push(chunk);
                }
                None if self.lost.contains(&(chunk as usize)) => {}
                None => self.lost.push(chunk as usize),
            }
        }
    }

    /// The window has been looked at: drops the lanes whose accesses all had their turn, and, if
    /// the others take too much memory, all.
    pub(super) fn release(&mut self, window: &Window) {
        for segment in &window.segments {
            self.left[segment.chunk as usize] -= segment.count;
        }
        let present = std::mem::take(&mut self.present);
        let held = |chunk: &u32| {
            self.lanes[*chunk as usize].as_ref().map_or(0, |lane| lane.columns.addresses.len())
        };
        let held_bytes = present.iter().map(held).sum::<usize>() as u64 * ACCESS_BYTES;
        let keep = held_bytes <= self.bytes_max;
        for chunk in present {
            let is_done = self.left[chunk as usize] == 0;
            if is_done {
                self.trace.lanes().done_with(chunk as usize);
            }
            if keep && !is_done {
                self.present.push(chunk);
            } else if let Some(lane) = self.lanes[chunk as usize].take() {
                self.spare.lock().expect("nobody panics holding it").push(lane);
            }
        }
    }

    /// The chunks whose access lanes could not be read.
    pub(super) fn into_lost(self) -> Vec<usize> {
        self.lost
    }
}

//! The filter: which granules of 8 bytes race at all.
//!
//! # Definition
//! A granule is suspect if two accesses that touch a common byte of it are by different chains,
//! conflict (see [`crate::race`]), are unordered, and no renewal of the byte lies between them. So
//! every race is in a suspect granule. Bytes of a granule that were touched together, or by one
//! thread only, may stand for each other: not every suspect granule races.
//!
//! # Algorithm and source
//! `FastTrack` (Flanagan and Freund, PLDI 2009): the last write as an epoch, the reads since as one
//! epoch or, when they are concurrent, a set ([`epochs`]). It decides exactly whether a granule
//! races, by its first race, after which the granule needs no further looks. Atomic accesses are
//! kept beside, because they conflict with plain ones only.
//!
//! What differs is what a history belongs to: not a granule, but some of its bytes. A granule gets a
//! second history when another thread touches other bytes of it, as the small strings of two
//! goroutines do that share a block of eight bytes, or of a block's old and new owner. Such a
//! program has no suspects for it, and its log is read once.
//!
//! # Memory
//! 32 bytes a history, at most 5/8 full, and the sets of concurrent readers: a cache line each, and 4
//! bytes a chain for those of many chains. A shard whose table would grow beyond its share of the
//! budget waits until half of the shards are put off to another pass over the log.

mod epochs;
mod shard;
mod table;

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::route::{Dealt, Routed};
use super::scan::{AccessLanes, Consumer, NextPass, Touched};
use super::shards::{SHARD_COUNT, ShardSet};
use super::window::{Moment, Window};
use crate::clock::{Epoch, VectorClock};
use epochs::Now;
use shard::Shard;

static NOTHING: VectorClock = VectorClock::new();

/// The filter's state in one pass.
pub(super) struct Filter {
    shards: Vec<Shard>,
    /// The shards of this pass.
    active: ShardSet,
    /// Shards that did not fit into memory, for passes to come.
    put_off: ShardSet,
    memory: u64,
    routed: Vec<Routed>,
}

impl Filter {
    /// A filter for these shards.
    pub(super) fn new(active: ShardSet, memory: u64) -> Self {
        Self {
            shards: (0..SHARD_COUNT).map(|_| Shard::default()).collect(),
            active,
            put_off: ShardSet::NONE,
            memory,
            routed: Vec::new(),
        }
    }

    /// The suspect granules of this pass, ascending, and the shards that it had to put off.
    pub(super) fn finish(self) -> (Vec<u64>, ShardSet) {
        let mut suspects: Vec<u64> = self.shards.iter().flat_map(Shard::suspects).collect();
        suspects.sort_unstable();
        suspects.dedup();
        (suspects, self.put_off)
    }

    /// Looks at all routed parts. The tables of all shards grow at about the same time, and to twice
    /// their size: when there is no room for that, half of them are put off, and the others go on.
    fn look_at(&mut self, routed: &[Routed], nows: &[Now<'_>]) {
        let mut places = vec![Place::default(); SHARD_COUNT];
        let group_len = group_len();
        loop {
            let active = self.active;
            let room = if active.len() == 1 { u64::MAX } else { self.memory / active.len() as u64 };
            let stopped = AtomicBool::new(false);
            let groups =
                self.shards.par_chunks_mut(group_len).zip(places.par_chunks_mut(group_len));
            groups.enumerate().for_each(|(group, (shards, places))| {
                let numbers = group * group_len..;
                for (part, routed) in routed.iter().enumerate() {
                    for ((shard, place), number) in
                        shards.iter_mut().zip(&mut *places).zip(numbers.clone())
                    {
                        if place.part == part && active.contains(number) {
                            place.go_on(shard, routed.shard(number), nows, room);
                        }
                    }
                }
                let is_done = |(place, number): (&Place, usize)| {
                    place.part == routed.len() || !active.contains(number)
                };
                if !places.iter().zip(numbers).all(is_done) {
                    stopped.store(true, Ordering::Relaxed);
                }
            });
            if !stopped.into_inner() {
                break;
            }
            (0..active.len() / 2).for_each(|_| drop(self.put_off_last()));
        }
        // Sets of readers grow without their tables.
        let mut bytes: u64 = self.shards.iter().map(Shard::bytes).sum();
        while bytes > self.memory
            && let Some(shard) = self.put_off_last()
        {
            bytes -= shard.bytes();
        }
    }

    /// Puts one shard off, if there is another one, and gives back what it had.
    fn put_off_last(&mut self) -> Option<Shard> {
        let last = self.active.give_last(&mut self.put_off)?;
        Some(std::mem::take(&mut self.shards[last]))
    }
}

/// How many shards are looked at together, part by part of a window: what its segments are checked
/// against is then fetched for all of them at once. As many as leave each worker a few groups.
fn group_len() -> usize {
    const GROUPS_PER_WORKER: usize = 4;
    let groups = (rayon::current_num_threads() * GROUPS_PER_WORKER).next_power_of_two();
    SHARD_COUNT / groups.min(SHARD_COUNT)
}

/// How far a shard is in a window.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    part: usize,
    record: usize,
}

impl Place {
    /// Looks at what is left of its part, for as long as there is room.
    fn go_on(&mut self, shard: &mut Shard, dealt: &Dealt, nows: &[Now<'_>], room: u64) {
        self.record = shard.look_at(dealt, self.record, nows, room);
        if self.record == dealt.records.len() {
            *self = Self { part: self.part + 1, record: 0 };
        }
    }
}

impl Consumer for Filter {
    fn next_pass(&self) -> NextPass {
        if !self.put_off.is_empty() || self.shards.iter().any(Shard::has_suspects) {
            NextPass::Certain
        } else {
            NextPass::Possible
        }
    }

    fn wanted(&self) -> Option<&Touched> {
        None
    }

    fn consume(&mut self, window: &Window, lanes: &AccessLanes<'_>) {
        let parts = window.parts();
        if self.routed.len() < parts.len() {
            self.routed.resize_with(parts.len(), Routed::default);
        }
        let active = self.active;
        self.routed.par_iter_mut().zip(&parts).for_each(|(routed, part)| {
            routed.fill(window, part, lanes, active);
        });
        let clocks = window.clocks();
        let now = |moment: &Moment| Now::new(moment.epoch, &clocks[moment.clock as usize]);
        let mut nows: Vec<Now<'_>> = window.moments.iter().map(now).collect();
        if nows.is_empty() {
            // What is no access names a segment all the same.
            nows.push(Now::new(Epoch::default(), &NOTHING));
        }
        let nows = nows.as_slice();
        let routed = std::mem::take(&mut self.routed);
        self.look_at(&routed[..parts.len()], nows);
        self.routed = routed;
    }
}

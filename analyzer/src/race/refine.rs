//! The refinement: every racing pair of sites, exactly.
//!
//! # Definition
//! See [`crate::race`]: byte by byte, object by object.
//!
//! # Algorithm and source
//! A second pass collects the accesses of the suspect granules, with what their threads knew
//! ([`collect`]). Then each granule alone: every access is compared with all earlier ones, which
//! are kept by (chain, site, bytes) with all their times ([`granule`]). Because the times of one
//! chain ascend, those that do not happen before an access are the end of a list: they are found by
//! bisection and counted without being looked at.
//!
//! # Where we differ
//! `FastTrack` and its kin are exact up to the first race of a variable, and name its second access.
//! Here every pair of accesses is counted, whatever raced before.
//!
//! # Memory
//! 64 bytes a suspect access, and the clocks of their segments. Beyond the budget, half of the
//! shards are put off to another pass, and half of those that stay, until it fits.

mod collect;
mod granule;

use std::collections::HashMap;

use rayon::prelude::*;

use super::shards::ShardSet;
use super::{AccessRef, Site};
use crate::hash::FastHash;
pub(super) use collect::Collector;

/// Two sites, the smaller first.
pub(super) type SitePair = (Site, Site);

/// What is known of one pair of sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) event_pairs: u64,
    pub(super) addresses: u64,
    /// The racing pair of accesses whose later one is first in merged order.
    pub(super) first: AccessRef,
    pub(super) second: AccessRef,
}

/// All pairs of sites. Adding tallies up is the same in any order.
#[derive(Clone, Debug, Default)]
pub(super) struct Tallies {
    pub(super) pairs: HashMap<SitePair, Tally, FastHash>,
    /// Distinct first common bytes over all pairs.
    pub(super) addresses: u64,
}

impl Tallies {
    fn add(&mut self, pair: SitePair, tally: &Tally) {
        let Some(there) = self.pairs.get_mut(&pair) else {
            self.pairs.insert(pair, *tally);
            return;
        };
        there.event_pairs += tally.event_pairs;
        there.addresses += tally.addresses;
        if (tally.second.order, tally.first.order) < (there.second.order, there.first.order) {
            (there.first, there.second) = (tally.first, tally.second);
        }
    }

    pub(super) fn merge(mut self, other: Self) -> Self {
        let (mut large, small) = if self.pairs.len() < other.pairs.len() {
            (other, self)
        } else {
            (std::mem::take(&mut self), other)
        };
        for (pair, tally) in &small.pairs {
            large.add(*pair, tally);
        }
        large.addresses += small.addresses;
        large
    }
}

impl Collector {
    /// The races among what was collected, and the shards that were put off.
    pub(super) fn finish(self) -> (Tallies, ShardSet) {
        let Self { mut hits, kept, put_off, .. } = self;
        // Stable: within a granule, merged order stays.
        hits.par_sort_by_key(|hit| hit.granule);
        let tallies = hits
            .par_chunk_by(|a, b| a.granule == b.granule)
            .fold(Tallies::default, |mut tallies, hits| {
                granule::races(hits, &kept, &mut tallies);
                tallies
            })
            .reduce(Tallies::default, Tallies::merge);
        (tallies, put_off)
    }
}

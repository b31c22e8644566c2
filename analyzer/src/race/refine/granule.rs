//! All races of one granule.

use std::collections::HashMap;

use super::collect::{Hit, Kept, RENEWAL};
use super::{SitePair, Tallies, Tally};
use crate::clock::{LocalTime, Slot};
use crate::hash::FastHash;
use crate::race::Site;

/// What earlier accesses have in common but their times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Manner {
    site: Site,
    bytes: u8,
    leads: bool,
}

/// The accesses of one chain in one manner.
#[derive(Debug)]
struct Track {
    manner: Manner,
    /// By ascending time.
    moments: Vec<Moment>,
}

/// The accesses of a track at one time of its chain.
#[derive(Clone, Copy, Debug)]
struct Moment {
    time: LocalTime,
    /// How many accesses of the track came before.
    before: u64,
    count: u64,
    /// The first of them, among the granule's hits.
    hit: usize,
}

/// One chain's accesses.
#[derive(Debug)]
struct Chain {
    slot: Slot,
    latest: LocalTime,
    tracks: Vec<Track>,
}

/// What was counted for one pair of sites in this granule.
#[derive(Debug)]
struct Count {
    event_pairs: u64,
    /// First common bytes.
    bytes: u8,
    /// The pair to show: the later access first.
    shown: (usize, usize),
}

#[derive(Debug, Default)]
struct History {
    chains: Vec<Chain>,
    places: HashMap<Slot, usize, FastHash>,
    counts: HashMap<SitePair, Count, FastHash>,
}

/// Adds the races of one granule: `hits` are all its accesses, in merged order.
pub(super) fn races(hits: &[Hit], kept: &[Kept], tallies: &mut Tallies) {
    let mut history = History::default();
    let mut start = 0;
    // Accesses of one segment know the same, and nothing of other threads lies between them.
    for run in hits.chunk_by(|a, b| a.segment == b.segment && a.segment != RENEWAL) {
        match run {
            [renewal] if renewal.segment == RENEWAL => history.renew(renewal.bytes),
            _ => history.look_at(run, start, &kept[run[0].segment as usize]),
        }
        start += run.len();
    }
    history.tally(hits, kept, tallies);
}

impl Manner {
    fn of(hit: &Hit) -> Self {
        let site = Site { stack: hit.stack, kind: hit.kind };
        Self { site, bytes: hit.bytes, leads: hit.leads }
    }

    fn conflicts_with(self, other: Self) -> bool {
        let (a, b) = (self.site.kind, other.site.kind);
        self.bytes & other.bytes != 0
            && (a.is_write() || b.is_write())
            && !(a.is_atomic() && b.is_atomic())
    }
}

impl Track {
    fn count(&self) -> u64 {
        self.moments.last().map_or(0, |last| last.before + last.count)
    }

    /// How many accesses are later than `known`, and the first of them.
    fn after(&self, known: LocalTime) -> Option<(u64, usize)> {
        let place = self.moments.partition_point(|moment| moment.time <= known);
        let first = self.moments.get(place)?;
        Some((self.count() - first.before, first.hit))
    }
}

impl History {
    /// These bytes are another object now: what was done to them is of no consequence.
    fn renew(&mut self, bytes: u8) {
        for chain in &mut self.chains {
            chain.tracks.retain_mut(|track| {
                track.manner.bytes &= !bytes;
                track.manner.bytes != 0
            });
        }
    }

    /// Accesses of one segment.
    fn look_at(&mut self, run: &[Hit], start: usize, segment: &Kept) {
        let mut bundles: Vec<(Manner, u64, usize)> = Vec::new();
        for (place, hit) in run.iter().enumerate() {
            let manner = Manner::of(hit);
            match bundles.iter_mut().find(|(known, ..)| *known == manner) {
                Some((_, count, _)) => *count += 1,
                None => bundles.push((manner, 1, start + place)),
            }
        }
        for &(manner, count, hit) in &bundles {
            self.compare(manner, count, hit, segment);
        }
        for (manner, count, hit) in bundles {
            self.remember(manner, count, hit, segment);
        }
    }

    fn compare(&mut self, manner: Manner, count: u64, hit: usize, segment: &Kept) {
        for chain in &self.chains {
            if chain.slot == segment.epoch.slot {
                continue;
            }
            let known = segment.clock.time_of(chain.slot);
            if chain.latest <= known {
                continue;
            }
            for track in &chain.tracks {
                if !track.manner.conflicts_with(manner) {
                    continue;
                }
                let Some((racing, first)) = track.after(known) else { continue };
                let (a, b) = (track.manner.site, manner.site);
                let pair = if a <= b { (a, b) } else { (b, a) };
                let counted = self.counts.entry(pair).or_insert(Count {
                    event_pairs: 0,
                    bytes: 0,
                    shown: (hit, first),
                });
                // Two accesses that both reach over from the granule before have met there.
                if track.manner.leads || manner.leads {
                    let common = track.manner.bytes & manner.bytes;
                    counted.event_pairs += racing * count;
                    counted.bytes |= common & common.wrapping_neg();
                }
                counted.shown = counted.shown.min((hit, first));
            }
        }
    }

    fn remember(&mut self, manner: Manner, count: u64, hit: usize, segment: &Kept) {
        let slot = segment.epoch.slot;
        let place = *self.places.entry(slot).or_insert_with(|| {
            self.chains.push(Chain { slot, latest: 0, tracks: Vec::new() });
            self.chains.len() - 1
        });
        let chain = &mut self.chains[place];
        let time = segment.epoch.time;
        chain.latest = time;
        let known = chain.tracks.iter().position(|track| track.manner == manner);
        let place = known.unwrap_or_else(|| {
            chain.tracks.push(Track { manner, moments: Vec::new() });
            chain.tracks.len() - 1
        });
        let track = &mut chain.tracks[place];
        let before = track.count();
        match track.moments.last_mut() {
            Some(last) if last.time == time => last.count += count,
            _ => track.moments.push(Moment { time, before, count, hit }),
        }
    }

    fn tally(self, hits: &[Hit], kept: &[Kept], tallies: &mut Tallies) {
        let mut all_bytes = 0u8;
        for (pair, count) in self.counts {
            all_bytes |= count.bytes;
            let (second, first) = count.shown;
            let (second, first) = (hits[second].access(kept), hits[first].access(kept));
            let addresses = u64::from(count.bytes.count_ones());
            tallies.add(pair, &Tally { event_pairs: count.event_pairs, addresses, first, second });
        }
        tallies.addresses += u64::from(all_bytes.count_ones());
    }
}

//! All synchronisation objects, by what they are and where they lie.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use mmtrace_format::{STRIPE_COUNT, stripe_of};

use super::atomics::Atomic;
use super::channel::Channel;
use super::lock::{Mutex, RwLock};
use super::publication::{Publication, Published};
use super::rendezvous::{Barrier, Cond, Token, WaitGroup};
use crate::hash::FastHash;

pub(super) type Map<K, V> = HashMap<K, V, FastHash>;

/// Every object's state. Objects at one address but of different kinds are different objects.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub(super) generic: Map<u64, Stamped>,
    pub(super) mutexes: Map<u64, Mutex>,
    pub(super) rwlocks: Map<u64, RwLock>,
    pub(super) onces: Map<u64, Published>,
    pub(super) groups: Map<u64, WaitGroup>,
    pub(super) conds: Map<u64, Cond>,
    pub(super) channels: Map<u64, Channel>,
    pub(super) atomics: Map<u64, Atomic>,
    pub(super) barriers: Map<u64, Barrier>,
    pub(super) tokens: Map<u64, Token>,
    /// By pool, then by item.
    pub(super) pools: Map<u64, Map<u64, Publication>>,
    /// By map, then by key.
    pub(super) maps: Map<u64, Map<u64, Stamped>>,
    pub(super) timers: Map<u64, Published>,
    pub(super) finalizers: Map<u64, Published>,
    pub(super) packages: Map<u64, Published>,
    pub(super) pages: Pages,
    pub(super) gaps: Gaps,
}

/// A publication that a later one overwrites: not to be taken across a gap in the numbers, where
/// an overwriting may have been lost.
#[derive(Debug, Default)]
pub(super) struct Stamped {
    pub(super) published: Published,
    /// Gaps that its stripe had had when it was published.
    pub(super) gaps: u32,
}

/// How many gaps each stripe had; empty as long as none had any.
#[derive(Debug, Default)]
pub(super) struct Gaps(Vec<u32>);

impl Gaps {
    #[inline]
    pub(super) fn at(&self, object: u64) -> u32 {
        if self.0.is_empty() { 0 } else { self.0[stripe_of(object)] }
    }

    pub(super) fn add(&mut self, stripe: usize) {
        self.0.resize(STRIPE_COUNT, 0);
        self.0[stripe] += 1;
    }
}

/// The objects of each page, so that an allocation finds those it replaces.
#[derive(Debug, Default)]
pub(super) struct Pages(Map<u64, Vec<u64>>);

const PAGE_BITS: u32 = 12;

/// Blocks of more pages than this are compared with all pages there are, not with their own.
const PAGES_SOUGHT_MAX: u64 = 1 << 16;

impl Pages {
    #[cold]
    fn note(&mut self, object: u64) {
        self.0.entry(object >> PAGE_BITS).or_default().push(object);
    }

    /// Takes out the objects that lie from `start` to `last`.
    fn take(&mut self, start: u64, last: u64) -> Vec<u64> {
        let within = (start >> PAGE_BITS)..=(last >> PAGE_BITS);
        let mut taken = Vec::new();
        let mut take_from = |objects: &mut Vec<u64>| {
            objects.retain(|object| {
                let stays = !(start..=last).contains(object);
                if !stays {
                    taken.push(*object);
                }
                stays
            });
        };
        if within.end() - within.start() < PAGES_SOUGHT_MAX {
            for page in within {
                if let Some(objects) = self.0.get_mut(&page) {
                    take_from(objects);
                }
            }
        } else {
            for (page, objects) in &mut self.0 {
                if within.contains(page) {
                    take_from(objects);
                }
            }
        }
        taken
    }
}

/// The object at an address, made if it is met for the first time.
#[inline]
pub(super) fn object<'m, T: Default>(
    map: &'m mut Map<u64, T>,
    pages: &mut Pages,
    address: u64,
) -> &'m mut T {
    match map.entry(address) {
        Entry::Occupied(entry) => entry.into_mut(),
        Entry::Vacant(entry) => {
            pages.note(address);
            entry.insert(T::default())
        }
    }
}

impl Objects {
    /// The bytes from `start` are new: whatever object lay there is gone.
    pub(super) fn renew(&mut self, start: u64, len: u64) {
        let Some(rest) = len.checked_sub(1) else { return };
        for object in self.pages.take(start, start.saturating_add(rest)) {
            self.forget(object);
        }
    }

    fn forget(&mut self, object: u64) {
        self.generic.remove(&object);
        self.mutexes.remove(&object);
        self.rwlocks.remove(&object);
        self.onces.remove(&object);
        self.groups.remove(&object);
        self.conds.remove(&object);
        self.channels.remove(&object);
        self.atomics.remove(&object);
        self.barriers.remove(&object);
        self.tokens.remove(&object);
        self.pools.remove(&object);
        self.maps.remove(&object);
        self.timers.remove(&object);
        self.finalizers.remove(&object);
        self.packages.remove(&object);
    }
}

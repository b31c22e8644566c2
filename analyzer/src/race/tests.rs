//! The detection against the oracle of `mmtrace-fixtures`, on logs in memory.

use std::collections::BTreeMap;

use mmtrace_fixtures::Trace as Story;
use mmtrace_fixtures::generate;
use mmtrace_fixtures::oracle::Oracle;

use super::*;
use crate::options::Silent;
use crate::order::memory::MemoryLanes;

/// Words of a chunk in these tests: few, so that threads go over many chunks.
const CHUNK_WORDS: usize = 64;

fn detect_in(story: &Story, options: &Options) -> Races {
    let lanes = MemoryLanes::new(story.lines(), CHUNK_WORDS);
    detect(&Trace::new(&lanes), options, &Silent)
}

/// What differs between the detection and the oracle; empty if nothing does.
fn disagreement(story: &Story) -> String {
    let found = detect_in(story, &Options::default());
    let expected = Oracle::new(story).races();
    let pair_of = |site: Site| (site.stack, site.kind);
    let pairs: BTreeMap<_, _> = found
        .pairs
        .iter()
        .map(|pair| {
            let (a, b) = pair.sites();
            ((pair_of(a), pair_of(b)), pair.event_pairs)
        })
        .collect();
    if !found.gaps.is_empty() {
        return format!("gaps: {:?}", found.gaps);
    }
    if pairs != expected.site_pairs {
        return format!("found {pairs:?}, expected {:?}", expected.site_pairs);
    }
    if found.addresses != expected.addresses.len() as u64 {
        return format!("found {} addresses, expected {:?}", found.addresses, expected.addresses);
    }
    String::new()
}

#[test]
fn random_traces_agree_with_the_oracle() {
    for seed in 0..2000 {
        let len = 20 + (seed % 10) as usize * 20;
        let story = generate::random_trace(seed, len);
        if !disagreement(&story).is_empty() {
            let choices = generate::random_choices(seed, len);
            let small = generate::minimised(&choices, |story| !disagreement(story).is_empty());
            panic!("seed {seed}: {}\n{small:?}", disagreement(&small));
        }
    }
}

/// The races of a story that has some, with any number of workers.
fn racy_stories() -> impl Iterator<Item = Story> {
    (0..40).map(|seed| generate::random_trace(seed, 200))
}

#[test]
fn races_are_the_same_for_any_number_of_workers() {
    let mut pairs = 0;
    for story in racy_stories() {
        let with = |threads| {
            let options =
                Options { threads: std::num::NonZero::new(threads), ..Options::default() };
            options.install(|| detect_in(&story, &options)).unwrap()
        };
        let one = with(1);
        pairs += one.pairs.len();
        assert_eq!(one, with(2));
        assert_eq!(one, with(16));
    }
    assert!(pairs > 50, "{pairs} pairs are too few to tell");
}

#[test]
fn less_memory_takes_more_passes_and_finds_the_same() {
    let mut passes = 0;
    for story in racy_stories() {
        let all = detect_in(&story, &Options::default());
        let little = detect_in(&story, &Options { memory: 1000, ..Options::default() });
        passes = passes.max(little.passes);
        assert_eq!(all, Races { passes: all.passes, chains: all.chains, ..little });
    }
    assert!(passes > 8, "{passes} passes: the budget was never short");
}

#[test]
fn a_lost_chunk_is_a_gap_and_later_races_are_uncertain() {
    let mut uncertain = 0;
    for story in racy_stories() {
        let whole = MemoryLanes::new(story.lines(), CHUNK_WORDS);
        for lost in 0..crate::order::Lanes::chunk_count(&whole).min(6) {
            let mut lanes = whole.clone();
            lanes.damage(lost);
            let found = detect(&Trace::new(&lanes), &Options::default(), &Silent);
            assert!(!found.gaps.is_empty());
            for pair in &found.pairs {
                let after_gap = pair.second.order >= found.gaps[0].accesses_before;
                assert_eq!(pair.uncertain, after_gap);
                uncertain += usize::from(after_gap);
            }
        }
    }
    assert!(uncertain > 100, "{uncertain} uncertain pairs are too few to tell");
}

/// A relaxed operation after a release fence publishes what the fence did, which may be older than
/// what the same thread has stored there since: it once took that one's place.
#[test]
fn an_old_fence_does_not_replace_a_newer_release_of_its_own_thread() {
    let story = mmtrace_fixtures::notation::trace(
        "
        t1 fence release
        t1 write x
        t1 store a release
        t1 rmw a acquire
        t2 load a acquire
        t2 write x
        ",
    );
    assert_eq!(detect_in(&story, &Options::default()).pairs, []);
}

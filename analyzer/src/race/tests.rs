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

//! The detection against the oracle of `mmtrace-fixtures`: random traces and the corpus.
//!
//! The oracle sees the order of everything; the analyzer sees chunks of a few streams over which
//! the threads were scattered. `MMTRACE_ORACLE_TRACES` says how many random traces to try, and
//! `MMTRACE_ORACLE_SEED` where to begin.

use std::collections::{BTreeMap, HashMap};

use mmtrace_analyzer::happens_before::{Step, SyncVisitor, walk};
use mmtrace_analyzer::order::{EventRef, Lanes, Trace};
use mmtrace_analyzer::race::{self, RacePair, Races};
use mmtrace_analyzer::{Options, Silent};
use mmtrace_fixtures::Trace as Story;
use mmtrace_fixtures::oracle::Oracle;
use mmtrace_fixtures::{chunks, corpus, generate, verdict};
use mmtrace_format::chunk::{Chunk, ChunkError};
use mmtrace_format::event::text::Line;
use rayon::prelude::*;

/// Random traces that are tried unless the environment asks for more.
const TRACES: u64 = 500;

/// Words of a chunk: few, so that threads go over many chunks.
const CHUNK_WORDS: usize = 48;

/// So little memory that the race passes must cut the addresses into many parts.
const SCANT_MEMORY: u64 = 1 << 12;

struct Chunks(Vec<Vec<u8>>);

impl Lanes for Chunks {
    fn chunk_count(&self) -> usize {
        self.0.len()
    }

    fn chunk(&self, chunk: usize) -> Result<Chunk<'_>, ChunkError> {
        Chunk::parse(&self.0[chunk])
    }
}

/// How a story is written down and analysed.
#[derive(Clone, Copy, Debug)]
struct Setting {
    streams: u32,
    seed: u64,
    memory: u64,
}

impl Setting {
    fn of(seed: u64) -> Self {
        let memory = if seed % 16 == 5 { SCANT_MEMORY } else { Options::default().memory };
        Self { streams: 1 + (seed % 4) as u32, seed, memory }
    }

    fn chunks(self, story: &Story) -> Chunks {
        Chunks(chunks::cut(story, self.streams, CHUNK_WORDS, self.seed))
    }

    fn races(self, story: &Story) -> Races {
        let lanes = self.chunks(story);
        let options = Options { memory: self.memory, ..Options::default() };
        race::detect(&Trace::new(&lanes), &options, &Silent)
    }
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |number| number.parse().expect("a number"))
}

/// What differs between the detection and the oracle, if anything does.
fn disagreement(story: &Story, setting: Setting) -> Option<String> {
    let found = setting.races(story);
    let expected = Oracle::new(story).races();
    let pairs: BTreeMap<_, _> = found
        .pairs
        .iter()
        .map(|pair| {
            let (a, b) = pair.sites();
            (((a.stack, a.kind), (b.stack, b.kind)), pair.event_pairs)
        })
        .collect();
    if !found.gaps.is_empty() {
        return Some(format!("gaps in a whole log: {:?}", found.gaps));
    }
    if pairs != expected.site_pairs {
        return Some(format!("pairs: found {pairs:?}, expected {:?}", expected.site_pairs));
    }
    let addresses = expected.addresses.len() as u64;
    (found.addresses != addresses)
        .then(|| format!("addresses: found {}, expected {addresses}", found.addresses))
}

/// Runs the check on many random stories; a failure is made small, and written as notation.
fn on_random_stories(check: fn(&Story, Setting) -> Option<String>) {
    let first = from_environment("MMTRACE_ORACLE_SEED", 0);
    let seeds = first..first + from_environment("MMTRACE_ORACLE_TRACES", TRACES);
    let len = |seed: u64| 20 + (seed % 13) as usize * 15;
    let failed = seeds.into_par_iter().find_first(|&seed| {
        check(&generate::random_trace(seed, len(seed)), Setting::of(seed)).is_some()
    });
    let Some(seed) = failed else { return };
    let choices = generate::random_choices(seed, len(seed));
    let setting = Setting::of(seed);
    // The same fault, not any: the first word says which.
    let kind = |what: Option<String>| what.and_then(|w| Some(w.split_once(':')?.0.to_owned()));
    let wanted = kind(check(&generate::trace_from(&choices), setting));
    let small = generate::minimised(&choices, |story| kind(check(story, setting)) == wanted);
    let what = check(&small, setting).unwrap_or_default();
    panic!("seed {seed}, {setting:?}: {what}\n{small:?}");
}

#[test]
fn races_of_random_traces_agree_with_the_oracle() {
    on_random_stories(disagreement);
}

/// Collects the edges of every event, as lines of the story.
struct Edges<'s> {
    lines: &'s HashMap<EventRef, usize>,
    edges: Vec<(usize, usize)>,
}

impl SyncVisitor for Edges<'_> {
    fn visit(&mut self, step: &Step<'_>) {
        for edge in step.edges {
            self.edges.push((self.lines[&edge.from], self.lines[&step.at]));
        }
    }
}

/// The edges that the analyzer draws, closed with program order, against the oracle's order.
fn edges_disagreement(story: &Story, setting: Setting) -> Option<String> {
    let references = story.references();
    let at = |&(thread, index): &(_, u64)| EventRef { thread, index };
    let lines: HashMap<EventRef, usize> = references.iter().map(at).zip(0..).collect();
    let lanes = setting.chunks(story);
    let mut visitor = Edges { lines: &lines, edges: Vec::new() };
    walk(&Trace::new(&lanes), &mut visitor);
    let count = story.lines().len();
    let mut before = vec![vec![false; count]; count];
    for to in 0..count {
        let drawn = visitor.edges.iter().filter(|edge| edge.1 == to).map(|edge| edge.0);
        let own = (0..to).filter(|&from| references[from].0 == references[to].0);
        for from in drawn.chain(own).collect::<Vec<_>>() {
            if from >= to {
                return Some(format!("backwards: an edge from line {from} to {to}"));
            }
            let (earlier, row) = before.split_at_mut(to);
            row[0][from] = true;
            for (bit, &known) in row[0].iter_mut().zip(&earlier[from]) {
                *bit |= known;
            }
        }
    }
    let oracle = Oracle::new(story);
    (0..count)
        .flat_map(|b| (0..b).map(move |a| (a, b)))
        .find(|&(a, b)| before[b][a] != oracle.ordered(a, b))
        .map(|(a, b)| {
            let line = |index: usize| -> &Line { &story.lines()[index] };
            format!("order: {} -> {} is drawn: {}", line(a), line(b), before[b][a])
        })
}

#[test]
fn edges_of_random_traces_agree_with_the_oracle() {
    on_random_stories(edges_disagreement);
}

#[test]
fn races_are_the_same_at_any_number_of_worker_threads() {
    for seed in 0..40 {
        let story = generate::random_trace(seed, 200);
        let races = |threads: usize| {
            let options =
                Options { threads: std::num::NonZeroUsize::new(threads), ..Options::default() };
            options.install(|| Setting::of(seed).races(&story)).unwrap()
        };
        let one = races(1);
        assert_eq!(one, races(2), "seed {seed}");
        assert_eq!(one, races(16), "seed {seed}");
    }
}

#[test]
fn the_corpus_gets_the_verdicts_that_it_says() {
    let mut wrong = Vec::new();
    for fixture in corpus::traces() {
        let story = fixture.trace();
        let races = Setting::of(1).races(&story);
        let place = |stack| corpus::place(&story, stack);
        let places =
            |pair: &RacePair| verdict::pair(place(pair.first.stack), place(pair.second.stack));
        let found: verdict::Pairs = races.pairs.iter().map(places).collect();
        if found != fixture.expected() {
            wrong.push(format!("{}: found {found:?}", fixture.path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

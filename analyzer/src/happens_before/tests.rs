//! Edges and clocks against the oracle of `mmtrace-fixtures`, and against the table of rules.

use std::collections::{BTreeSet, HashMap};

use mmtrace_fixtures::generate;
use mmtrace_fixtures::oracle::Oracle;
use mmtrace_format::event::text::Line;
use mmtrace_format::{EventKind, ThreadId};

use super::*;
use crate::order::memory::MemoryLanes;
use crate::rules::RULES;

#[derive(Default)]
struct Seen {
    kinds: HashMap<EventRef, EventKind>,
    edges: Vec<(Edge, EventRef)>,
}

impl SyncVisitor for Seen {
    fn visit(&mut self, step: &Step<'_>) {
        self.kinds.insert(step.at, step.event.kind);
        self.edges.extend(step.edges.iter().map(|&edge| (edge, step.at)));
    }

    fn gap(&mut self, gap: &OrderGap) {
        panic!("a well-formed trace has no gap: {gap:?}");
    }
}

fn seen_in(lines: &[Line]) -> Seen {
    let lanes = MemoryLanes::new(lines, 64);
    let mut seen = Seen::default();
    walk(&Trace::new(&lanes), &mut seen);
    seen
}

#[test]
fn every_edge_has_a_row_and_every_row_an_edge() {
    let mut drawn = BTreeSet::new();
    for seed in 0..600 {
        let story = generate::random_trace(seed, 120);
        let seen = seen_in(story.lines());
        for &(edge, to) in &seen.edges {
            let row = edge.rule.row();
            let (from, to) = (seen.kinds[&edge.from], seen.kinds[&to]);
            assert!(row.from.contains(&from), "{}: an edge from {from} in\n{story:?}", row.name);
            assert!(row.to.contains(&to), "{}: an edge to {to} in\n{story:?}", row.name);
            drawn.insert(edge.rule);
        }
    }
    let missing: Vec<&str> = RULES
        .iter()
        // Program order is nobody's edge; reuse makes another object instead of drawing one.
        .filter(|row| !matches!(row.rule, Rule::ProgramOrder | Rule::Reuse))
        .filter(|row| !drawn.contains(&row.rule))
        .map(|row| row.name)
        .collect();
    assert_eq!(missing, Vec::<&str>::new(), "rules that drew nothing");
}

#[test]
fn edges_and_program_order_close_to_what_the_oracle_says() {
    for seed in 0..300 {
        let story = generate::random_trace(seed, 80);
        let seen = seen_in(story.lines());
        let oracle = Oracle::new(&story);
        let references: Vec<EventRef> = story
            .references()
            .into_iter()
            .map(|(thread, index)| EventRef { thread, index })
            .collect();
        let line_of: HashMap<EventRef, usize> =
            references.iter().enumerate().map(|(line, &event)| (event, line)).collect();
        let mut into: Vec<Vec<usize>> = vec![Vec::new(); references.len()];
        for (edge, to) in &seen.edges {
            into[line_of[to]].push(line_of[&edge.from]);
        }
        let mut last: HashMap<ThreadId, usize> = HashMap::new();
        let mut before: Vec<BTreeSet<usize>> = Vec::new();
        for (line, event) in references.iter().enumerate() {
            into[line].extend(last.insert(event.thread, line));
            let mut all = BTreeSet::new();
            for &from in &into[line] {
                assert!(from < line, "seed {seed}: an edge back in time");
                all.insert(from);
                all.extend(&before[from]);
            }
            for (other, reference) in references[..line].iter().enumerate() {
                assert_eq!(
                    all.contains(&other),
                    oracle.ordered(other, line),
                    "seed {seed}: {reference:?} before {event:?} in\n{story:?}",
                );
            }
            before.push(all);
        }
    }
}

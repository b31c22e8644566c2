//! Why two events are ordered, or not; and what a read may see. Against the oracle of
//! `mmtrace-fixtures`, and on small stories.

use mmtrace_analyzer::analysis;
use mmtrace_analyzer::explain::{ExplainError, Explanation, Relation, explain, text};
use mmtrace_analyzer::order::{EventRef, Trace};
use mmtrace_analyzer::report::text::TextOptions;
use mmtrace_analyzer::rules::Rule;
use mmtrace_analyzer::visibility::{Visible, visible_writes};
use mmtrace_fixtures::oracle::Oracle;
use mmtrace_fixtures::{Trace as Story, generate};
use mmtrace_format::Access;
use mmtrace_format::event::text::Line;

use crate::logs::{event, log_of, with_trace};

const SEEDS: u64 = 40;

fn explained(story: &str, first: &str, second: &str) -> Explanation {
    with_trace(story, |trace, _| explain(trace, event(first), event(second)).unwrap())
}

fn explained_in_words(story: &str, first: &str, second: &str) -> String {
    with_trace(story, |trace, log| {
        let explanation = explain(trace, event(first), event(second)).unwrap();
        text::render(&explanation, &mut analysis::symbols(log), &TextOptions::default())
    })
}

fn rules(relation: &Relation) -> Vec<&'static str> {
    match relation {
        Relation::Before(path) | Relation::After(path) => {
            path.iter().map(|edge| edge.rule.name()).filter(|&name| name != "PO").collect()
        }
        other => panic!("{other:?}"),
    }
}

const HANDED_ON: &str = "
    t0 make c 1                      @main(main.go:2)
    t0 spawn t1                      @main(main.go:3)
    t0 spawn t2                      @main(main.go:4)
    t0 write x                       @main(main.go:5)
    t0 send c                        @main(main.go:6)
    t1 recv c                        @relay(main.go:12)
    t1 lock m                        @relay(main.go:13)
    t1 unlock m                      @relay(main.go:14)
    t2 lock m                        @use(main.go:22)
    t2 read x                        @use(main.go:23)
    t2 unlock m                      @use(main.go:24)
";

#[test]
fn a_path_is_told_edge_by_edge() {
    insta::assert_snapshot!(explained_in_words(HANDED_ON, "t0#4", "t2#2"));
}

#[test]
fn the_nearest_missing_edge_is_told() {
    let story =
        HANDED_ON.replace("t2 lock m", "t2 lock other").replace("t2 unlock m", "t2 unlock other");
    insta::assert_snapshot!(explained_in_words(&story, "t0#4", "t2#2"));
}

#[test]
fn a_path_has_the_rules_names_in_either_direction() {
    assert_eq!(rules(&explained(HANDED_ON, "t0#4", "t2#2").relation), ["CHAN-SEND", "MUTEX"]);
    let backwards = explained(HANDED_ON, "t2#2", "t0#4").relation;
    assert!(matches!(backwards, Relation::After(_)));
    assert_eq!(rules(&backwards), ["CHAN-SEND", "MUTEX"]);
    assert_eq!(explained(HANDED_ON, "t0#4", "t0#4").relation, Relation::Same);
}

#[test]
fn an_event_that_is_not_there_is_refused_with_the_threads_end() {
    with_trace(HANDED_ON, |trace, _| {
        let error = explain(trace, event("t0#4"), event("t2#999")).unwrap_err();
        assert!(matches!(error, ExplainError::NoSuchEvent { len: 1.., .. }), "{error}");
        let error = explain(trace, event("t77#0"), event("t2#0")).unwrap_err();
        assert!(error.to_string().contains("there is no such thread"), "{error}");
    });
}

/// Pairs of a story's lines, spread over it.
fn pairs(len: usize) -> impl Iterator<Item = (usize, usize)> {
    let step = (len / 8).max(1);
    let places = move || (0..len).step_by(step);
    places().flat_map(move |a| places().map(move |b| (a, b)))
}

fn each_random_story(test: impl Fn(u64, &Story, &Oracle<'_>, &Trace<'_>, &[EventRef])) {
    for seed in 0..SEEDS {
        let story = generate::random_trace(seed, 80);
        let log = log_of(&story);
        let trace = Trace::new(&log);
        let places: Vec<EventRef> = story
            .references()
            .into_iter()
            .map(|(thread, index)| EventRef { thread, index })
            .collect();
        test(seed, &story, &Oracle::new(&story), &trace, &places);
    }
}

#[test]
fn explanations_agree_with_the_oracle_and_their_edges_are_real() {
    each_random_story(|seed, story, oracle, trace, places| {
        let line_of = |at: EventRef| places.iter().position(|&place| place == at).unwrap();
        for (a, b) in pairs(places.len()) {
            let found = explain(trace, places[a], places[b]).unwrap();
            let told = format!("seed {seed}: {} and {}\n{story:?}", places[a], places[b]);
            let (path, start, end) = match &found.relation {
                Relation::Same => {
                    assert_eq!(a, b, "{told}");
                    continue;
                }
                Relation::Concurrent(near) => {
                    assert!(!oracle.ordered(a, b) && !oracle.ordered(b, a), "{told}");
                    if let Some(common) = near.common_past {
                        let common = line_of(common.at);
                        assert!(oracle.ordered(common, a) && oracle.ordered(common, b), "{told}");
                    }
                    continue;
                }
                Relation::Before(path) => (path, a, b),
                Relation::After(path) => (path, b, a),
            };
            assert!(oracle.ordered(start, end), "{told}");
            // The edges hang together, and each is one that the rules draw.
            assert_eq!(path.first().unwrap().from.at, places[start], "{told}");
            assert_eq!(path.last().unwrap().to.at, places[end], "{told}");
            for pair in path.windows(2) {
                assert_eq!(pair[0].to.at, pair[1].from.at, "{told}");
            }
            for edge in path {
                let (from, to) = (line_of(edge.from.at), line_of(edge.to.at));
                assert!(oracle.ordered(from, to), "{told}: {edge:?}");
                if edge.rule == Rule::ProgramOrder {
                    assert_eq!(edge.from.at.thread, edge.to.at.thread, "{told}");
                }
            }
        }
    });
}

/// The visibility rule by definition.
fn visible_by_definition(
    story: &Story,
    oracle: &Oracle<'_>,
    read: usize,
    is_same_place: impl Fn(&Access) -> bool,
) -> Vec<usize> {
    let is_write = |line: &Line| matches!(line, Line::Access(_, access) if access.kind.is_write() && is_same_place(access));
    let lines = story.lines();
    let writes: Vec<usize> =
        (0..lines.len()).filter(|&w| w != read && is_write(&lines[w])).collect();
    let hides = |w: usize| {
        writes.iter().any(|&other| oracle.ordered(w, other) && oracle.ordered(other, read))
    };
    writes.iter().copied().filter(|&w| !oracle.ordered(read, w) && !hides(w)).collect()
}

#[test]
fn what_a_read_may_see_is_what_the_definition_says() {
    let mut reads = 0;
    // Memory that becomes another object is left to the stories below.
    for seed in 0..SEEDS {
        let story = generate::random_trace(seed, 80);
        let reuses = |line: &Line| {
            matches!(line, Line::Event(_, event) if matches!(
                event.kind.spec().name,
                "alloc" | "free" | "retire"
            ))
        };
        let story = story.filtered(|line| !reuses(&story.lines()[line]));
        let (oracle, log) = (Oracle::new(&story), log_of(&story));
        let trace = Trace::new(&log);
        for (line, &(thread, index)) in story.references().iter().enumerate() {
            let Line::Access(_, read) = story.lines()[line] else { continue };
            if !read.kind.touches_memory() || line % 2 != 0 {
                continue;
            }
            let overlaps = |access: &Access| {
                access.address.0 < read.address.0 + read.size
                    && read.address.0 < access.address.0 + access.size
            };
            let expected = visible_by_definition(&story, &oracle, line, overlaps);
            let found = visible_writes(&trace, EventRef { thread, index }).unwrap();
            let references = story.references();
            let mut found: Vec<usize> = found
                .writes
                .iter()
                .map(|write| {
                    let at = (write.at.thread, write.at.index);
                    references.iter().position(|&place| place == at).unwrap()
                })
                .collect();
            found.sort_unstable();
            assert_eq!(found, expected, "seed {seed}, {thread}#{index}\n{story:?}");
            reads += 1;
        }
    }
    assert!(reads > 100, "only {reads} reads were tried");
}

fn seen(story: &str, read: &str) -> Visible {
    with_trace(story, |trace, _| visible_writes(trace, event(read)).unwrap())
}

/// The example of MODEL.md: `a = 1; b = 2` against `r1 = b; r2 = a` may give `r1 = 2, r2 = 0`.
#[test]
fn a_racy_reader_may_see_the_second_write_and_not_the_first() {
    let story = "
        t0 spawn t1
        t1 store a relaxed 1 8
        t1 store b relaxed 2 8
        t0 load b relaxed 2 8
        t0 load a relaxed 1 8
    ";
    // An access follows its operation: t0 is spawn, load b, access, load a, access.
    for (read, value) in [("t0#3", 2), ("t0#5", 1)] {
        let seen = seen(story, read);
        assert!(seen.initial, "{read} may also see what was there before: {seen:?}");
        let values: Vec<_> = seen.writes.iter().map(|write| write.value).collect();
        assert_eq!(values, [Some(value)], "{read}");
        assert!(!seen.writes[0].is_ordered);
    }
}

#[test]
fn an_ordered_read_sees_one_write_and_new_memory_forgets_the_old() {
    let ordered = seen("t0 write x\nt0 write x\nt0 spawn t1\nt1 read x", "t1#1");
    assert_eq!(ordered.writes.len(), 1);
    assert!(ordered.writes[0].is_ordered && !ordered.initial);
    let reused = seen("t0 alloc x 8\nt0 write x\nt0 free x\nt0 alloc x 8\nt0 read x", "t0#5");
    assert_eq!((reused.writes.len(), reused.initial), (0, true));
}

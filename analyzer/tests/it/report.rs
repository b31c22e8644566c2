//! Reports on small logs: what a person reads, what a script gets, and what stays the same.

use mmtrace_analyzer::finding::{Evidence, Finding, RaceEvidence};
use mmtrace_analyzer::fingerprint::Fingerprint;
use mmtrace_analyzer::report::Verdict;
use mmtrace_analyzer::report::text::{TextOptions, render};
use mmtrace_analyzer::{Options, Silent, analyze};
use mmtrace_fixtures::{Trace as Story, generate, notation};
use mmtrace_format::{Event, EventKind, StackId, ThreadId};

use crate::logs::{log_of, report_of, report_of_log, slow_log_of, text_of};

fn race(finding: &Finding) -> &RaceEvidence {
    match &finding.evidence {
        Evidence::Race(race) => race,
        other => panic!("{other:?}"),
    }
}

/// A counter that one side changes under a lock and the other reads under another.
const WRONG_LOCK: &str = "
    t0 name main
    t0 alloc block 64 Index           @Index::new(src/index.rs:12)<main(src/main.rs:5)
    let total = block+16
    t0 spawn t1                       @spawn_worker(src/main.rs:20)<main(src/main.rs:7)
    t1 name worker-1
    t1 lock m                         @Index::add(src/index.rs:40)<worker(src/main.rs:22)
    t1 write total                    @Index::add(src/index.rs:41)<worker(src/main.rs:22)
    t1 unlock m                       @Index::add(src/index.rs:43)<worker(src/main.rs:22)
    t0 lock n                         @Index::total(src/index.rs:57)<main(src/main.rs:9)
    t0 read total                     @Index::total(src/index.rs:58)<main(src/main.rs:9)
    t0 unlock n                       @Index::total(src/index.rs:59)<main(src/main.rs:9)
";

#[test]
fn a_race_under_two_locks_reads_well() {
    insta::assert_snapshot!(text_of(WRONG_LOCK));
}

#[test]
fn a_missing_join_reads_well() {
    insta::assert_snapshot!(text_of(
        "
        t0 spawn t1       @main.main(main.go:7)
        t1 write x        @main.main.func1(main.go:8)
        t0 read x         @main.main(main.go:10)
        "
    ));
}

#[test]
fn a_relaxed_flag_reads_well() {
    insta::assert_snapshot!(text_of(
        "
        t0 spawn t1
        t1 write data                                  @produce(src/flag.rs:4)
        t1 store flag relaxed 1 8   @produce(src/flag.rs:5)
        t0 load flag relaxed 1 8    @consume(src/flag.rs:9)
        t0 read data                                   @consume(src/flag.rs:10)
        "
    ));
}

#[test]
fn nothing_to_report_reads_well() {
    insta::assert_snapshot!(text_of(
        "
        t0 spawn t1
        t1 write x
        t0 join t1
        t0 read x
        "
    ));
}

#[test]
fn who_waits_at_the_end_reads_well() {
    insta::assert_snapshot!(text_of(
        "
        live t0
        live t1
        t0 spawn t1
        t1 lock a         @left(src/locks.rs:3)
        t0 lock b         @right(src/locks.rs:9)
        t1 block mutex b   @left(src/locks.rs:4)
        t0 block mutex a   @right(src/locks.rs:10)
        "
    ));
}

#[test]
fn locks_in_circular_order_read_well() {
    insta::assert_snapshot!(text_of(
        "
        t1 lock a         @left(src/locks.rs:3)
        t1 lock b         @left(src/locks.rs:4)
        t1 unlock b
        t1 unlock a
        t2 lock b         @right(src/locks.rs:9)
        t2 lock a         @right(src/locks.rs:10)
        t2 unlock a
        t2 unlock b
        "
    ));
}

#[test]
fn who_is_left_waiting_reads_well_and_is_no_finding() {
    insta::assert_snapshot!(text_of(
        "
        t0 make c cap=1
        t0 spawn t1
        t0 spawn t2
        t1 recv c
        t2 recv c
        t1 block receive c   @worker(src/pool.rs:7)
        t2 block receive c   @worker(src/pool.rs:7)
        "
    ));
}

#[test]
fn the_first_five_lines_say_what_where_and_who() {
    let text = text_of(WRONG_LOCK);
    let head: Vec<&str> = text.lines().take(5).collect();
    let head = head.join("\n");
    for said in ["1 data race", "Index::add", "src/index.rs:41", "worker-1", "Index::total", "main"]
    {
        assert!(head.contains(said), "{said} is not in\n{head}");
    }
}

#[test]
fn colours_add_nothing_but_escape_codes() {
    let report = report_of(WRONG_LOCK);
    let plain = render(&report, &TextOptions::default());
    let coloured = render(&report, &TextOptions { color: true, ..TextOptions::default() });
    assert!(!plain.contains('\u{1b}'));
    let mut stripped = String::new();
    for (place, piece) in coloured.split('\u{1b}').enumerate() {
        let rest = if place == 0 { piece } else { piece.split_once('m').unwrap().1 };
        stripped.push_str(rest);
    }
    assert_ne!(coloured, plain);
    // Padding inside coloured columns may leave spaces at the end of a line.
    let trimmed: Vec<&str> = stripped.lines().map(str::trim_end).collect();
    assert_eq!(trimmed, plain.lines().collect::<Vec<_>>());
}

#[test]
fn source_lines_are_shown_where_there_are_any() {
    let source = |file: &str, line: u32| (file == "src/index.rs").then(|| format!("line {line};"));
    let options = TextOptions { source: Some(&source), ..TextOptions::default() };
    let text = render(&report_of(WRONG_LOCK), &options);
    assert!(text.contains("41 | line 41;"), "{text}");
    assert!(!text.contains("| line 22;"), "{text}");
}

#[test]
fn a_finding_has_all_that_is_known_of_both_sides() {
    let report = report_of(WRONG_LOCK);
    assert_eq!(report.verdict, Verdict::Findings);
    let [finding] = report.findings.as_slice() else { panic!("{:#?}", report.findings) };
    let race = race(finding);
    let sides = [&race.first, &race.second];
    let write = sides.into_iter().find(|side| side.access == "write").unwrap();
    let read = sides.into_iter().find(|side| side.access == "read").unwrap();
    assert_eq!((write.goroutine, read.goroutine), (1, 0));
    assert_eq!(write.goroutine_name.as_deref(), Some("worker-1"));
    assert_eq!(write.stack[0].line, Some(41));
    assert_eq!(write.created_at[0].line, Some(20));
    assert_eq!(write.ancestors[0].goroutine_name.as_deref(), Some("main"));
    assert_eq!(write.locks_held.len(), 1);
    assert_ne!(write.locks_held[0].object, read.locks_held[0].object);
    assert_eq!(write.last_sync_before.as_ref().unwrap().operation, "mutex-lock");
    assert_eq!(write.first_sync_after.as_ref().unwrap().operation, "mutex-unlock");
    let block = race.allocated_at.as_ref().unwrap();
    assert_eq!((block.size, block.stack[0].line), (64, Some(12)));
    assert_eq!(write.address.0 - block.address.0, 16);
    assert!(race.why.contains("different locks"), "{}", race.why);
}

/// `x += 1` on two threads is a read and a write on each side: four pairs, one bug.
#[test]
fn one_bug_is_one_finding_however_often_and_however_it_shows() {
    let report = report_of(
        "
        t0 spawn t1
        t0 spawn t2
        t1 read x         @bump(a.rs:3)<one(a.rs:9)
        t1 write x        @bump(a.rs:3)<one(a.rs:9)
        t2 read x         @bump(a.rs:3)<two(a.rs:12)
        t2 write x        @bump(a.rs:3)<two(a.rs:12)
        t1 read x         @bump(a.rs:3)<one(a.rs:9)
        t1 write x        @bump(a.rs:3)<one(a.rs:9)
        ",
    );
    assert_eq!(report.summary.races.findings, 1);
    assert_eq!(report.summary.races.event_pairs, 6);
    assert_eq!(report.summary.races.addresses, 1);
    assert_eq!(report.findings[0].count, 6);
    assert_eq!(race(&report.findings[0]).site_pair_count, 3);
}

fn fingerprints(story: &str) -> Vec<Fingerprint> {
    report_of(story).findings.iter().map(|finding| finding.fingerprint).collect()
}

/// Two variables that race between the same functions, with `shift` lines added above.
fn two_bugs(shift: u32, threads: u32) -> String {
    let spawns = (1..=threads).map(|thread| format!("t0 spawn t{thread}\n"));
    let writes = (1..=threads).flat_map(|thread| {
        [("x", 10), ("y", 12)].map(|(variable, line)| {
            let (line, caller) = (line + shift, 5 + shift);
            format!("t{thread} write {variable}  @set(a.rs:{line})<run(b.rs:{caller})\n")
        })
    });
    spawns.chain(writes).collect()
}

#[test]
fn a_fingerprint_survives_line_shifts_and_other_thread_counts() {
    let base = fingerprints(&two_bugs(0, 2));
    assert_eq!(base.len(), 2);
    assert_ne!(base[0], base[1]);
    assert_eq!(fingerprints(&two_bugs(20, 2)), base);
    assert_eq!(fingerprints(&two_bugs(0, 7)), base);
}

#[test]
fn a_fingerprint_does_not_ask_which_side_came_first() {
    let story =
        |first: &str, second: &str| format!("t0 spawn t1\nt0 spawn t2\n{first}\n{second}\n");
    let (write, read) = ("t1 write x @put(a.rs:3)", "t2 read x @get(a.rs:9)");
    assert_eq!(fingerprints(&story(write, read)), fingerprints(&story(read, write)));
}

#[test]
fn a_leftover_of_an_earlier_test_is_blamed_on_that_test() {
    let report = report_of(
        "
        t0 test-start TestRacyButPasses
        t0 spawn t1                       @main_test.go:5
        t0 test-end TestRacyButPasses 0
        t0 test-start TestInnocent
        t0 write x                        @main_test.go:15
        t1 write x                        @main_test.go:7
        t0 test-end TestInnocent 0
        ",
    );
    assert_eq!(report.findings[0].test.as_deref(), Some("TestRacyButPasses"));
}

#[test]
fn the_report_is_the_same_for_any_number_of_threads() {
    for seed in 0..20 {
        let log = log_of(&generate::random_trace(seed, 300));
        let with = |threads: usize| {
            let threads = std::num::NonZeroUsize::new(threads);
            let report = analyze(&log, &Options { threads, ..Options::default() }, &Silent);
            serde_json::to_string(&report.unwrap()).unwrap()
        };
        let one = with(1);
        assert_eq!(with(2), one, "seed {seed}");
        assert_eq!(with(16), one, "seed {seed}");
    }
}

/// A site that leaks beside a cache that fills up.
fn growing_heap() -> Story {
    let mut story = notation::trace("t0 mark start");
    let leak = story.stack(StackId::UNKNOWN, "app::Log::push", "src/log.rs", 30);
    let cache = story.stack(StackId::UNKNOWN, "app::Cache::put", "src/cache.rs", 8);
    for step in 0..2_000_u64 {
        let mut alloc = |stack, address| {
            let kind = EventKind::Alloc;
            let event = Event { object: address, value: 1_000, stack, ..Event::new(kind) };
            story.push_event(ThreadId::MAIN, event);
        };
        alloc(leak, 0x10_0000 + step * 0x1000);
        if step < 500 {
            alloc(cache, 0x1000_0000 + step * 0x1000);
        }
    }
    story
}

#[test]
fn a_growing_site_is_a_finding_and_a_full_cache_is_not() {
    let report = report_of_log(&slow_log_of(&growing_heap(), 100_000));
    let [finding] = report.findings.as_slice() else { panic!("{:#?}", report.findings) };
    assert!(finding.title.contains("app::Log::push at src/log.rs:30"), "{}", finding.title);
    let text = render(&report, &TextOptions { log: "run.log", ..TextOptions::default() });
    insta::assert_snapshot!(text);
}

/// A generic or reflecting function allocates of many types at one place.
#[test]
fn each_type_that_grows_at_a_site_is_a_finding_of_its_own() {
    let mut story = notation::trace("t0 mark start");
    let types = ["Key", "Value"].map(|name| u64::from(story.string(name).as_u32()));
    let stack = story.stack(StackId::UNKNOWN, "app::made", "src/app.rs", 30);
    for step in 0..2_000_u64 {
        for (lane, extra) in (1_u64..).zip(types) {
            let object = (lane << 32) + step * 0x1000;
            let event =
                Event { object, value: 1_000, extra, stack, ..Event::new(EventKind::Alloc) };
            story.push_event(ThreadId::MAIN, event);
        }
    }
    let report = report_of_log(&slow_log_of(&story, 100_000));
    let titles: Vec<&str> = report.findings.iter().map(|finding| &*finding.title).collect();
    for name in ["(Key)", "(Value)"] {
        assert_eq!(titles.iter().filter(|title| title.contains(name)).count(), 1, "{titles:?}");
    }
    assert_ne!(report.findings[0].fingerprint, report.findings[1].fingerprint);
}

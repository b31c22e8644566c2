//! STD traces, imported into a log and judged.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Cursor;

use mmtrace_analyzer::import::std::{Imported, import};
use mmtrace_analyzer::order::Trace;
use mmtrace_analyzer::race::{self, Races};
use mmtrace_analyzer::{Options, Silent};
use mmtrace_fixtures::generate::random_choices;
use mmtrace_fixtures::{notation, oracle::Oracle};
use mmtrace_format::table::CallSite;
use mmtrace_format::writer::{BuilderOptions, LogBuilder};
use mmtrace_format::{Log, ProcessInfo, StackId};

fn log_of(text: &str) -> (Imported, Log) {
    let sink = Cursor::new(Vec::new());
    let mut builder =
        LogBuilder::new(sink, &ProcessInfo::default(), BuilderOptions::default()).unwrap();
    let imported = import(&mut Cursor::new(text), &mut builder, &mut |_| {}).unwrap();
    let (_, sink) = builder.finish_into_sink().unwrap();
    (imported, Log::from_bytes("imported", sink.into_inner()).unwrap())
}

fn races_of(log: &Log) -> Races {
    let races = race::detect(&Trace::new(log), &Options::default(), &Silent);
    assert!(races.gaps.is_empty(), "{:?}", races.gaps);
    races
}

/// The locations of racing pairs, the smaller first.
fn location_pairs(log: &Log, races: &Races) -> BTreeSet<(u32, u32)> {
    let location = |stack: StackId| {
        let tables = log.tables();
        match tables.frames(stack).next().and_then(|site| tables.site(site)) {
            Some(CallSite::Source { location, .. }) => location.line,
            other => panic!("{other:?}"),
        }
    };
    let pair = |found: &race::RacePair| {
        let (a, b) = (location(found.first.stack), location(found.second.stack));
        (a.min(b), a.max(b))
    };
    races.pairs.iter().map(pair).collect()
}

#[test]
fn an_imported_trace_is_judged_by_its_locations() {
    let (imported, log) = log_of(
        "T0|w(V1)|1\nT0|fork(T1)|2\nT0|fork(T2)|3\n\
         T1|acq(L1)|10\nT1|w(V1)|11\nT1|w(V2)|12\nT1|rel(L1)|13\n\
         T2|w(V2)|21\nT2|acq(L1)|20\nT2|r(V1)|22\nT2|rel(L1)|23\n\
         T0|join(T1)|4\nT0|r(V1)|5\nT0|w(V2)|6\n",
    );
    assert_eq!((imported.threads, imported.accesses), (3, 7));
    let races = races_of(&log);
    assert_eq!(location_pairs(&log, &races), BTreeSet::from([(12, 21), (6, 21)]));
    assert_eq!((races.event_pairs(), races.addresses), (2, 1));
}

/// Threads with the number of one that has ended, and joins of threads that go on.
#[test]
fn reused_numbers_and_early_joins_neither_hide_nor_invent_races() {
    let (_, log) = log_of(
        "T0|fork(T1)|1\nT1|w(V1)|10\nT0|fork(T1)|2\nT1|w(V1)|20\nT0|join(T1)|3\nT0|w(V1)|30\n\
         T1|w(V2)|40\nT0|w(V2)|50\n",
    );
    let races = races_of(&log);
    assert_eq!(location_pairs(&log, &races), BTreeSet::from([(10, 20), (10, 30), (40, 50)]));
}

/// A program of locks and threads, as STD and as notation: the importer against the oracle.
#[test]
fn random_std_traces_agree_with_the_oracle() {
    for seed in 0..300 {
        let (std, notation) = random_program(seed);
        let (_, log) = log_of(&std);
        let story = notation::trace(&notation);
        let expected = Oracle::new(&story).races();
        let races = races_of(&log);
        assert_eq!(races.event_pairs(), expected.event_pairs.len() as u64, "seed {seed}\n{std}");
        assert_eq!(races.addresses, expected.addresses.len() as u64, "seed {seed}\n{std}");
        assert_eq!(races.pairs.len(), expected.site_pairs.len(), "seed {seed}\n{std}");
    }
}

/// The same program in both languages.
fn random_program(seed: u64) -> (String, String) {
    let mut choices = random_choices(seed, 60).into_iter();
    let mut below = |count: usize| (usize::from(choices.next().unwrap_or(0)) * count) >> 16;
    let (mut std, mut notation) = (String::new(), String::new());
    let mut alive = vec![0];
    let mut threads = 1;
    let mut holders = [None; 2];
    for _ in 0..60 {
        let thread = alive[below(alive.len())];
        let (variable, location) = (below(4), below(12) + 1);
        let lock = below(holders.len());
        let (operation, words) = match below(10) {
            0 if threads < 6 => {
                alive.push(threads);
                threads += 1;
                (format!("fork(T{})", threads - 1), format!("spawn t{}", threads - 1))
            }
            1 if alive.len() > 2 && thread == 0 => {
                // Who holds a lock is not joined: nobody could take it any more.
                let place = 1 + below(alive.len() - 1);
                let child = alive[place];
                if holders.contains(&Some(child)) {
                    continue;
                }
                alive.remove(place);
                writeln!(notation, "t{child} end @?").unwrap();
                (format!("join(T{child})"), format!("join t{child}"))
            }
            2..5 if holders[lock] == Some(thread) => {
                holders[lock] = None;
                (format!("rel(L{lock})"), format!("unlock lock{lock}"))
            }
            2..5 if holders[lock].is_none() => {
                holders[lock] = Some(thread);
                (format!("acq(L{lock})"), format!("lock lock{lock}"))
            }
            5..7 => (format!("r(V{variable})"), format!("read x{variable}")),
            _ => (format!("w(V{variable})"), format!("write x{variable}")),
        };
        writeln!(std, "T{thread}|{operation}|{location}").unwrap();
        writeln!(notation, "t{thread} {words} @std:{location}").unwrap();
    }
    (std, notation)
}

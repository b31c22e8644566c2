//! Logs in memory, from the notation of `mmtrace-fixtures`, and what the analyzer says of them.

use std::io::Cursor;

use mmtrace_analyzer::order::Trace;
use mmtrace_analyzer::report::Report;
use mmtrace_analyzer::report::text::{TextOptions, render};
use mmtrace_analyzer::{EventRef, Options, Silent, analyze};
use mmtrace_fixtures::Trace as Story;
use mmtrace_fixtures::notation;
use mmtrace_format::event::text::Line;
use mmtrace_format::writer::BuilderOptions;
use mmtrace_format::{Log, LogBuilder, ProcessInfo};

/// The log that a faithful recorder would have written of a story.
pub(crate) fn log_of(story: &Story) -> Log {
    slow_log_of(story, 1)
}

/// The same, of a program in which everything takes `factor` times as long.
pub(crate) fn slow_log_of(story: &Story, factor: u64) -> Log {
    Log::from_bytes("story.log", slow_bytes_of(story, factor)).unwrap()
}

/// The log's bytes.
pub(crate) fn bytes_of(story: &Story) -> Vec<u8> {
    slow_bytes_of(story, 1)
}

fn slow_bytes_of(story: &Story, factor: u64) -> Vec<u8> {
    let info = ProcessInfo { program: "story".to_owned(), ..ProcessInfo::default() };
    let mut builder =
        LogBuilder::new(Cursor::new(Vec::new()), &info, BuilderOptions::default()).unwrap();
    *builder.tables() = story.tables().clone();
    for line in story.lines() {
        match *line {
            Line::Event(thread, mut event) => {
                event.time.ns *= factor;
                builder.push_event(thread, event).unwrap();
            }
            Line::Access(thread, access) => builder.push_access(thread, access).unwrap(),
        }
    }
    let (_, sink) = builder.finish_into_sink().unwrap();
    sink.into_inner()
}

/// The report on a story in the notation.
pub(crate) fn report_of(story: &str) -> Report {
    report_of_log(&log_of(&notation::trace(story)))
}

pub(crate) fn report_of_log(log: &Log) -> Report {
    analyze(log, &Options::default(), &Silent).unwrap()
}

/// The report on a story, as people see it.
pub(crate) fn text_of(story: &str) -> String {
    render(&report_of(story), &TextOptions { log: "run.log", ..TextOptions::default() })
}

/// Runs `test` on the trace of a story.
pub(crate) fn with_trace<T>(story: &str, test: impl FnOnce(&Trace<'_>, &Log) -> T) -> T {
    let log = log_of(&notation::trace(story));
    let trace = Trace::new(&log);
    test(&trace, &log)
}

pub(crate) fn event(text: &str) -> EventRef {
    text.parse().unwrap()
}

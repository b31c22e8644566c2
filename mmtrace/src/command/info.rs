//! `mmtrace info`: what a log says of itself.

use std::io::{self, Write};
use std::path::Path;

use mmtrace_format::log::Log;
use mmtrace_format::meta::ProcessInfo;

use crate::args::Info;
use crate::exit::{Failure, Outcome};
use crate::inputs;
use crate::output::{Output, unwritten};
use crate::quantity::{bytes, counted, duration};

/// Gaps that are listed one by one.
const GAPS_SHOWN: usize = 10;

/// Describes every log.
pub(crate) fn run(args: &Info) -> Result<Outcome, Failure> {
    let mut output = Output::standard();
    let mut outcome = Outcome::Clean;
    for (place, path) in inputs::logs(&args.logs)?.iter().enumerate() {
        match inputs::open(path) {
            Ok(log) => {
                if place > 0 {
                    writeln!(output).map_err(unwritten)?;
                }
                describe(&mut output, path, &log).map_err(unwritten)?;
            }
            Err(failure) => {
                failure.report();
                outcome = outcome.worst(Outcome::Unusable);
            }
        }
    }
    output.finish()?;
    Ok(outcome)
}

fn describe(out: &mut impl Write, path: &Path, log: &Log) -> io::Result<()> {
    let info = log.info();
    let duration_ns = log.time_range().map_or(0, |(first, last)| last.ns.saturating_sub(first.ns));
    let (events, accesses) = (log.event_count(), log.access_count());
    let mut row = |name: &str, value: String| writeln!(out, "{name:<11}{}", plain(&value));
    row("log", path.display().to_string())?;
    row("program", command_line(info))?;
    if info.pid != 0 {
        row("process", process(info))?;
    }
    row("recorded", recorded(info, duration_ns))?;
    let file_len = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    row("size", format!("{} in {}", bytes(file_len), counted(log.chunks().len() as u64, "chunk")))?;
    row(
        "holds",
        format!(
            "{} and {}{}",
            counted(events, "event"),
            counted(accesses, "access"),
            bytes_each(file_len, events + accesses),
        ),
    )?;
    row("threads", counted(log.threads().len() as u64, "thread"))?;
    let tables = log.tables();
    row(
        "names",
        format!(
            "{}, {}, {}",
            counted(tables.stack_count() as u64, "stack"),
            counted(tables.site_count() as u64, "call site"),
            counted(tables.modules().count() as u64, "module"),
        ),
    )?;
    for (key, value) in &info.settings {
        row("setting", format!("{key} = {value}"))?;
    }
    let ended = if log.is_complete() { "in good order" } else { "not in good order" };
    row("ended", ended.to_owned())?;
    let gaps = log.gaps();
    row(
        "gaps",
        if gaps.is_empty() { "none".to_owned() } else { counted(gaps.len() as u64, "gap") },
    )?;
    for gap in gaps.iter().take(GAPS_SHOWN) {
        row("", gap.to_string())?;
    }
    if gaps.len() > GAPS_SHOWN {
        row("", format!("and {} more: mmtrace verify lists them all", gaps.len() - GAPS_SHOWN))?;
    }
    Ok(())
}

/// What a log says is of unknown origin: nothing in it moves a terminal's cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn command_line(info: &ProcessInfo) -> String {
    let words = std::iter::once(&info.program).chain(&info.args).map(|word| {
        let is_plain = !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c == '\'');
        if is_plain { word.clone() } else { format!("'{}'", word.replace('\'', "'\\''")) }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn process(info: &ProcessInfo) -> String {
    let mut parts = vec![format!("pid {}", info.pid)];
    if info.parent_pid != 0 {
        parts.push(format!("started by {}", info.parent_pid));
    }
    if !info.host.is_empty() {
        parts.push(format!("on {}", info.host));
    }
    if info.cpu_count != 0 {
        parts.push(counted(u64::from(info.cpu_count), "processor"));
    }
    parts.join(", ")
}

fn recorded(info: &ProcessInfo, duration_ns: u64) -> String {
    let by = if info.recorder.is_empty() { "an unnamed recorder" } else { &info.recorder };
    let runtime = match info.runtime.as_str() {
        "" => String::new(),
        runtime => format!(" ({runtime})"),
    };
    let when = match info.start_realtime_ns {
        0 => "at an unknown time".to_owned(),
        ns => format!("at {}", utc(ns / 1_000_000_000)),
    };
    format!("{when}, for {}, by {by}{runtime}", duration(duration_ns))
}

fn bytes_each(file_len: u64, count: u64) -> String {
    if count == 0 {
        return String::new();
    }
    // Tenths: a log of 2^60 bytes still fits.
    let tenths = file_len * 10 / count;
    format!(", {}.{} bytes each", tenths / 10, tenths % 10)
}

/// Seconds since 1970 as a date and a time.
fn utc(seconds: u64) -> String {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Hinnant, "chrono-compatible low-level date algorithms": years begin in March, eras at year 0.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates_also_across_leap_days() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(utc(1_709_251_199), "2024-02-29 23:59:59 UTC");
        assert_eq!(utc(1_709_251_200), "2024-03-01 00:00:00 UTC");
        assert_eq!(utc(4_107_542_400), "2100-03-01 00:00:00 UTC");
    }

    #[test]
    fn a_command_line_can_be_pasted_into_a_shell() {
        let info = ProcessInfo {
            program: "./a b".to_owned(),
            args: vec!["--x".to_owned(), String::new(), "it's".to_owned()],
            ..ProcessInfo::default()
        };
        assert_eq!(command_line(&info), r"'./a b' --x '' 'it'\''s'");
    }

    #[test]
    fn control_characters_of_a_log_do_not_reach_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb"), "a\u{fffd}[2Jb");
    }
}

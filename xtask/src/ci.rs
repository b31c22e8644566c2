//! All verbs at the sizes of CI, and a table of what ran.

use std::time::{Duration, Instant};

use anyhow::bail;

use crate::tool::{Done, say};
use crate::{deny, format_table, go_race_tests, release, verbs};

type Step = (&'static str, fn() -> anyhow::Result<Done>);

/// In the order of what they cost, so that the cheapest answer comes first.
const STEPS: &[Step] = &[
    ("format of the code", verbs::fmt),
    ("files, paths, leftovers", release::run),
    ("event table of FORMAT.md", format_table::check),
    ("clippy -D warnings", verbs::clippy),
    ("documentation", verbs::doc),
    ("tests", verbs::test),
    ("README's commands", verbs::readme),
    ("dependencies", deny::run_all),
    ("oracle, 2,000 traces", || verbs::oracle(2_000)),
    ("Go's race tests, a fifth", || go_race_tests::run_all(None, 5, "", 1)),
    ("kill -9, 40 times", || verbs::kill(40)),
    ("loom, 2 preemptions", || verbs::loom(2)),
    ("miri", verbs::miri),
    ("fuzz, 60 s a target", || verbs::fuzz(60)),
];

/// Runs every step, whatever became of those before it.
///
/// # Errors
/// A step failed.
pub(crate) fn run() -> anyhow::Result<Done> {
    let begin = Instant::now();
    let mut rows = Vec::new();
    for (name, step) in STEPS {
        say(&format!("\n=== {name}"));
        let step_begin = Instant::now();
        let result = step();
        if let Err(error) = &result {
            say(&format!("error: {error:#}"));
        }
        rows.push((*name, step_begin.elapsed(), result));
    }
    say("\nstep                        seconds  result");
    for (name, time, result) in &rows {
        say(&row(name, *time, result));
    }
    say(&row("all", begin.elapsed(), &Ok(Done::Passed)).replace("passed", ""));
    let failed = rows.iter().filter(|(_, _, result)| result.is_err()).count();
    if failed > 0 {
        bail!("{failed} of {} steps failed", rows.len());
    }
    Ok(Done::Passed)
}

fn row(name: &str, time: Duration, result: &anyhow::Result<Done>) -> String {
    let result = match result {
        Ok(Done::Passed) => "passed".to_owned(),
        Ok(Done::Instead(remark)) => format!("PARTLY: {remark}"),
        Ok(Done::Skipped(reason)) => format!("NOT RUN: {reason}"),
        Err(error) => format!("FAILED: {error:#}"),
    };
    format!("{name:<27} {:>7.1}  {result}", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_run_is_not_shown_as_passed() {
        let time = Duration::from_millis(1500);
        assert_eq!(
            row("miri", time, &Ok(Done::Passed)),
            "miri                            1.5  passed"
        );
        let skipped = row("miri", time, &Ok(Done::Skipped("no nightly".to_owned())));
        assert!(skipped.ends_with("NOT RUN: no nightly"), "{skipped}");
        let failed = row("miri", time, &Err(anyhow::anyhow!("it broke")));
        assert!(failed.ends_with("FAILED: it broke"), "{failed}");
    }
}

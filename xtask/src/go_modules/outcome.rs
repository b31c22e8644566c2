//! What `go test -json` says of tests, and what reports say of logs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// The most lines of a failed test that are shown.
const LINES_MAX: usize = 30;

/// What became of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Passed,
    Failed,
    Skipped,
    /// It began, and nothing more is known: its program is gone.
    Begun,
}

/// By package and test; a package itself is a test without a name.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    tests: BTreeMap<(String, String), Seen>,
    output: BTreeMap<(String, String), String>,
    seconds: f64,
}

impl Outcomes {
    /// Takes a line of `go test -json`. What is not JSON was not said by a test.
    pub(super) fn take(&mut self, line: &str) {
        let Ok(event) = serde_json::from_str::<Value>(line) else { return };
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let key = (text("Package"), text("Test"));
        if key.0.is_empty() {
            return;
        }
        let seen = match text("Action").as_str() {
            "run" | "start" => Seen::Begun,
            "pass" => Seen::Passed,
            "fail" => Seen::Failed,
            "skip" => Seen::Skipped,
            "output" => {
                self.output.entry(key).or_default().push_str(&text("Output"));
                return;
            }
            _ => return,
        };
        if key.1.is_empty() && seen != Seen::Begun {
            self.seconds += event["Elapsed"].as_f64().unwrap_or_default();
        }
        self.tests.insert(key, seen);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tests() == 0
    }

    /// How many tests and subtests there were.
    pub(super) fn tests(&self) -> usize {
        self.tests.keys().filter(|(_, test)| !test.is_empty()).count()
    }

    /// How long the test programs ran.
    pub(super) fn time(&self) -> Duration {
        Duration::try_from_secs_f64(self.seconds).unwrap_or_default()
    }

    /// Tests that did not pass, and the end of what they said.
    pub(super) fn failed(&self) -> impl Iterator<Item = (String, String)> {
        let is_wrong = |(_, seen): &(_, &Seen)| matches!(seen, Seen::Failed | Seen::Begun);
        self.tests.iter().filter(is_wrong).map(|(key, _)| {
            let text = self.output.get(key).map_or("", String::as_str);
            let lines: Vec<&str> = text.lines().collect();
            let shown = &lines[lines.len().saturating_sub(LINES_MAX)..];
            (name(key), shown.join("\n"))
        })
    }

    /// What became of a test.
    pub(super) fn of(&self, package: &str, test: &str) -> Option<Seen> {
        self.tests.get(&(package.to_owned(), test.to_owned())).copied()
    }

    /// The tests of which something else became in `recorded`.
    pub(super) fn differences(&self, recorded: &Self) -> Vec<Difference> {
        let keys: BTreeSet<_> = self.tests.keys().chain(recorded.tests.keys()).collect();
        let both = keys.into_iter().map(|(package, test)| Difference {
            package: package.clone(),
            test: test.clone(),
            plain: self.of(package, test),
            recorded: recorded.of(package, test),
        });
        both.filter(|both| both.plain != both.recorded).collect()
    }
}

/// A test of which something else became when it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) package: String,
    /// Empty for the package as a whole.
    pub(super) test: String,
    pub(super) plain: Option<Seen>,
    pub(super) recorded: Option<Seen>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |seen: Option<Seen>| match seen {
            None => "absent".to_owned(),
            Some(seen) => format!("{seen:?}").to_lowercase(),
        };
        let name = name(&(self.package.clone(), self.test.clone()));
        write!(f, "{name}: {}, recorded {}", word(self.plain), word(self.recorded))
    }
}

fn name((package, test): &(String, String)) -> String {
    format!("{package} {test}").trim_end().to_owned()
}

/// The reports in a document of one log or of several, with the log's name.
pub(super) fn reports(document: &Value) -> Vec<(&str, &Value)> {
    match document["logs"].as_array() {
        Some(logs) => {
            let logs = logs.iter();
            logs.map(|log| (log["log"].as_str().unwrap_or("a log"), &log["report"])).collect()
        }
        None => vec![("the log", document)],
    }
}

/// What a report has found that counts, in words.
pub(super) fn findings((_, report): (&str, &Value)) -> Vec<String> {
    let findings = report["findings"].as_array().into_iter().flatten();
    let counts = findings.filter(|finding| finding["severity"] != "note");
    counts
        .map(|finding| {
            let text = |name: &str| finding[name].as_str().unwrap_or_default();
            let test = finding["test"].as_str().unwrap_or("no test");
            format!("{} {} {} ({test})", text("kind"), text("fingerprint"), text("title"))
        })
        .collect()
}

/// What a log lacks, but for the end of a process that was killed.
pub(super) fn holes((log, report): (&str, &Value)) -> Vec<String> {
    if report.is_null() {
        return vec![format!("{log} cannot be read")];
    }
    let gaps = report["gaps"].as_array().into_iter().flatten();
    let what = gaps.filter_map(|gap| gap["what"].as_str());
    what.filter(|what| *what != "the log was never closed")
        .map(|what| format!("{log}: {what}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcomes(events: &[Value]) -> Outcomes {
        let mut outcomes = Outcomes::default();
        for event in events {
            outcomes.take(&event.to_string());
        }
        outcomes
    }

    #[test]
    fn a_test_that_comes_out_otherwise_is_a_difference() {
        let of = |action: &str| {
            outcomes(&[
                json!({"Action": "run", "Package": "p", "Test": "TestA"}),
                json!({"Action": action, "Package": "p", "Test": "TestA"}),
                json!({"Action": "pass", "Package": "p", "Elapsed": 1.5}),
            ])
        };
        let found = |action: &str| -> Vec<String> {
            of("pass").differences(&of(action)).iter().map(ToString::to_string).collect()
        };
        assert_eq!(found("pass"), [""; 0]);
        assert_eq!(found("fail"), ["p TestA: passed, recorded failed"]);
        assert_eq!(found("output"), ["p TestA: passed, recorded begun"]);
        assert_eq!((of("pass").tests(), of("pass").time().as_millis()), (1, 1500));
    }

    #[test]
    fn only_the_end_of_a_killed_process_may_be_missing() {
        let of = |what: &str| json!({"findings": [], "gaps": [{"what": what}]});
        assert!(holes(("a.log", &of("the log was never closed"))).is_empty());
        assert_eq!(holes(("a.log", &of("chunks are missing"))), ["a.log: chunks are missing"]);
        assert_eq!(holes(("a.log", &Value::Null)).len(), 1);
    }
}

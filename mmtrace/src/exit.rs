//! What the process says with its exit code, and the one place that prints an error.

use std::io::Write as _;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};

/// The exit code of a verdict with findings, as users of `-race` expect it.
pub(crate) const FINDINGS: u8 = 66;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All was read, and nothing found.
    Clean,
    /// The log is incomplete in a way that voids a clean verdict, or could not be read.
    Unusable,
    /// Something was found; the code is the user's choice.
    Findings(u8),
    /// The recorded program's own exit code.
    Program(u8),
}

impl Outcome {
    /// The one that decides the exit code of a command with several logs.
    ///
    /// Findings outrank a log that cannot be read, unless they are not to count: such a log is never
    /// hidden behind an exit code of 0.
    pub(crate) fn worst(self, other: Self) -> Self {
        let rank = |outcome| match outcome {
            Self::Clean => 0,
            Self::Findings(0) => 1,
            Self::Unusable => 2,
            Self::Findings(_) | Self::Program(_) => 3,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Clean => Self::SUCCESS,
            Outcome::Unusable => Self::from(3),
            Outcome::Findings(code) | Outcome::Program(code) => Self::from(code),
        }
    }
}

/// Why a command could not do its work.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl Failure {
    /// The command line asks for what cannot be done: exit code 2.
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { code: 2, error: error.into() }
    }

    /// A log cannot be read: exit code 3.
    pub(crate) fn log(error: impl Into<anyhow::Error>) -> Self {
        Self { code: 3, error: error.into() }
    }

    /// Says what was being done.
    pub(crate) fn context(self, context: String) -> Self {
        Self { code: self.code, error: self.error.context(context) }
    }

    /// Whether the reader of our output went away, which is no error: `mmtrace dump run.log | head`.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.error.chain().any(|cause| {
            cause
                .downcast_ref::<std::io::Error>()
                .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
        })
    }

    /// Prints the error once, with its causes, and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        if self.is_broken_pipe() {
            return ExitCode::SUCCESS;
        }
        print(AnsiColor::Red, "error", &self.chain());
        ExitCode::from(self.code)
    }

    /// The error and its causes, outermost first. A cause that its effect quotes is not repeated.
    pub(crate) fn chain(&self) -> String {
        let mut text = String::new();
        for cause in self.error.chain().map(ToString::to_string) {
            if text.is_empty() {
                text = cause;
            } else if !text.contains(&cause) {
                text = format!("{text}: {cause}");
            }
        }
        text
    }
}

/// Prints a remark that changes no verdict by itself.
pub(crate) fn note(text: &str) {
    print(AnsiColor::Yellow, "note", text);
}

fn print(color: AnsiColor, label: &str, text: &str) {
    let style = Style::new().bold().fg_color(Some(color.into()));
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(anstream::stderr(), "{style}{label}:{style:#} {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_several_logs_decides() {
        let findings = Outcome::Findings(FINDINGS);
        assert_eq!(Outcome::Clean.worst(findings).worst(Outcome::Unusable), findings);
        assert_eq!(Outcome::Unusable.worst(findings), findings);
        assert_eq!(Outcome::Unusable.worst(Outcome::Clean), Outcome::Unusable);
    }

    #[test]
    fn findings_that_do_not_count_do_not_hide_an_unreadable_log() {
        assert_eq!(Outcome::Findings(0).worst(Outcome::Unusable), Outcome::Unusable);
        assert_eq!(Outcome::Unusable.worst(Outcome::Findings(0)), Outcome::Unusable);
    }

    #[test]
    fn the_chain_names_every_cause_once() {
        let failure = Failure::log(anyhow::anyhow!("found 7, expected 9"))
            .context("opening run.log".to_owned());
        assert_eq!(failure.chain(), "opening run.log: found 7, expected 9");
        let quoting = failure.context("run.log: opening run.log: found 7, expected 9".to_owned());
        assert_eq!(quoting.chain(), "run.log: opening run.log: found 7, expected 9");
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        let error = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert!(Failure::usage(error).context("writing".to_owned()).is_broken_pipe());
        assert!(!Failure::usage(anyhow::anyhow!("other")).is_broken_pipe());
    }
}

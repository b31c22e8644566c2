//! The arguments of `go build`, `go run` and `go test`: only what concerns the recording is
//! understood, everything is passed on.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use anyhow::anyhow;

use crate::exit::Failure;

/// What Go is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Leaves a program that records when it is run.
    Build,
    /// Builds a program and runs it.
    Run,
    /// Builds test programs and runs them.
    Test,
}

/// Flags that never take the next argument as their value.
const SWITCHES: [&str; 24] = [
    "a",
    "artifacts",
    "asan",
    "benchmem",
    "buildvcs",
    "c",
    "cover",
    "failfast",
    "fullpath",
    "h",
    "help",
    "i",
    "json",
    "linkshared",
    "modcacherw",
    "msan",
    "n",
    "race",
    "short",
    "trimpath",
    "v",
    "work",
    "x",
    "test.v",
];
/// Flags with which nothing is run.
const RUNS_NOTHING: [&str; 5] = ["c", "n", "list", "h", "help"];

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    verb: Verb,
    /// `-C`: where Go is to work. It must stay the first flag.
    folder: Option<OsString>,
    /// The user's own overlay.
    pub(crate) overlay: Option<PathBuf>,
    /// Whether programs are run at all.
    pub(crate) runs: bool,
    /// Everything but `-C` and `-overlay`.
    rest: Vec<OsString>,
}

impl Verb {
    fn from_word(word: &OsStr) -> Option<Self> {
        match word.to_str()? {
            "build" => Some(Self::Build),
            "run" => Some(Self::Run),
            "test" => Some(Self::Test),
            _ => None,
        }
    }

    /// The word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Run => "run",
            Self::Test => "test",
        }
    }
}

impl Arguments {
    /// Understands the words after `mmtrace go`.
    ///
    /// # Errors
    /// The verb is none of ours, or a flag forbids what a recording needs.
    pub(crate) fn parse(words: &[OsString]) -> Result<Self, Failure> {
        let (first, rest) = words.split_first().expect("clap requires a verb");
        let verb = Verb::from_word(first).ok_or_else(|| {
            let shown = first.display();
            Failure::usage(anyhow!(
                "`mmtrace go` builds, runs and tests: expected build, run or test, found `{shown}`"
            ))
        })?;
        let mut arguments =
            Self { verb, folder: None, overlay: None, runs: verb != Verb::Build, rest: Vec::new() };
        arguments.take(rest)?;
        Ok(arguments)
    }

    fn take(&mut self, words: &[OsString]) -> Result<(), Failure> {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let Some((name, value)) = flag(word) else {
                self.rest.push(word.clone());
                // Packages end the flags, but those of `go test`.
                if self.verb == Verb::Test && word != "--" {
                    continue;
                }
                break;
            };
            if self.verb == Verb::Test && name == "args" {
                self.rest.push(word.clone());
                break;
            }
            let is_off = value.as_ref().is_some_and(|value| value == "false" || value == "0");
            if name == "race" && is_off {
                return Err(Failure::usage(anyhow!(
                    "{} turns off what the recording is made with",
                    word.display()
                )));
            }
            self.runs &= is_off || !RUNS_NOTHING.contains(&name);
            let takes_next = value.is_none() && !SWITCHES.contains(&name);
            let value = value.or_else(|| words.as_slice().first().filter(|_| takes_next).cloned());
            if takes_next {
                words.next();
            }
            match (name, value) {
                ("C", Some(folder)) => self.folder = Some(folder),
                ("overlay", Some(path)) => self.overlay = Some(path.into()),
                (_, value) => {
                    self.rest.push(word.clone());
                    self.rest.extend(value.filter(|_| takes_next));
                }
            }
        }
        self.rest.extend(words.cloned());
        Ok(())
    }

    /// What Go is to do.
    pub(crate) fn verb(&self) -> Verb {
        self.verb
    }

    /// The folder that Go is to work in, seen from ours.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.as_ref().map_or_else(PathBuf::new, PathBuf::from)
    }

    /// `-C` and its value, if it was given.
    pub(crate) fn folder_flag(&self) -> impl Iterator<Item = OsString> {
        let folder = self.folder.clone();
        folder.into_iter().flat_map(|folder| [OsString::from("-C"), folder])
    }

    /// The arguments of `go`, with `flags` before the user's own, which so may overrule them.
    pub(crate) fn with(&self, flags: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
        let verb = OsString::from(self.verb.name());
        let words = std::iter::once(verb).chain(self.folder_flag()).chain(flags);
        words.chain(self.rest.iter().cloned()).collect()
    }
}

/// A flag's name, and its value if that is in the same word. Go takes one dash and two for the same.
fn flag(word: &OsStr) -> Option<(&str, Option<OsString>)> {
    let bytes = word.as_encoded_bytes();
    let text = bytes.strip_prefix(b"--").or(bytes.strip_prefix(b"-"))?;
    let end = text.iter().position(|&byte| byte == b'=').unwrap_or(text.len());
    let name = std::str::from_utf8(&text[..end]).ok().filter(|name| !name.is_empty())?;
    let value = text.get(end + 1..).map(|value| OsStr::from_bytes(value).to_owned());
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Arguments {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        Arguments::parse(&words).unwrap()
    }

    fn passed_on(line: &str) -> String {
        let words = parse(line).with(["-race".into()]);
        words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_flag_is_passed_on_in_its_place() {
        for (given, passed) in [
            ("test ./... -run X -args -overlay y", "test -race ./... -run X -args -overlay y"),
            ("build -ldflags -s -o x ./cmd", "build -race -ldflags -s -o x ./cmd"),
            ("run -tags a . -C b -overlay=c", "run -race -tags a . -C b -overlay=c"),
            ("test -C dir -v -tags=a", "test -C dir -race -v -tags=a"),
            ("test -C=dir", "test -C dir -race"),
            ("run -- -x", "run -race -- -x"),
            ("test", "test -race"),
        ] {
            assert_eq!(passed_on(given), passed, "{given}");
        }
    }

    #[test]
    fn an_overlay_of_the_users_own_is_taken_out() {
        for line in ["build -overlay a.json .", "build --overlay=a.json ."] {
            assert_eq!(parse(line).overlay, Some("a.json".into()), "{line}");
            assert_eq!(passed_on(line), "build -race .");
        }
        assert_eq!(parse("run . -overlay a.json").overlay, None);
    }

    #[test]
    fn what_runs_nothing_is_known() {
        for line in ["test -c", "test -list . ./...", "build", "run -n .", "test -c=true"] {
            assert!(!parse(line).runs, "{line}");
        }
        for line in ["test -run c", "test -args -c", "run . -n", "test -c=false", "test -v -run -c"]
        {
            assert!(parse(line).runs, "{line}");
        }
    }

    #[test]
    fn other_verbs_and_builds_without_race_are_refused() {
        for line in ["vet ./...", "build -race=false", "test --race=0"] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert!(Arguments::parse(&words).is_err(), "{line}");
        }
    }
}

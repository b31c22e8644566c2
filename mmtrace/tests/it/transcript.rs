//! Runs the binary in a folder of its own, and shows what came of it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A folder in which commands run, so that paths in their output are short and the same each time.
pub(crate) struct Folder {
    folder: TempDir,
}

/// What a command did.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// As a transcript: standard output, then standard error, then the exit code.
impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}exit code {}", self.stdout, self.stderr, self.code)
    }
}

impl Folder {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::with_prefix("mmtrace-it-").unwrap() }
    }

    /// One with `name`: a log made from a trace in the STD format.
    pub(crate) fn with_log(name: &str, trace: &str) -> Self {
        let folder = Self::new();
        folder.add_log(name, trace);
        folder
    }

    /// Makes a log from a trace in the STD format.
    pub(crate) fn add_log(&self, name: &str, trace: &str) {
        self.write("trace.std", trace.as_bytes());
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        let run = self.mmtrace(&["import", "--from", "std", "trace.std", "-o", name]);
        assert_eq!(run.code, 0, "{run}");
    }

    /// The path of a file in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Reads a file.
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// The binary, to be run here without a terminal and without settings from outside.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("MMTRACE_") || text.contains("COLOR") {
                command.env_remove(name);
            }
        }
        command
    }

    /// Runs the binary.
    pub(crate) fn mmtrace(&self, arguments: &[&str]) -> Run {
        Run::of(&mut self.command(arguments))
    }
}

impl Run {
    /// Runs a command to its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        Self::from(command.output().unwrap())
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("mmtrace was not killed"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The binary under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_mmtrace"))
}

/// Main writes a variable, starts a thread that writes it, and writes it again: location 3 and
/// location 4 race, location 1 does not.
pub(crate) const RACY: &str = "\
T0|w(V1)|1
T0|fork(T1)|2
T1|w(V1)|3
T0|w(V1)|4
T0|join(T1)|5
T0|r(V1)|6
";

/// The same with a join before the second write.
pub(crate) const RACE_FREE: &str = "\
T0|w(V1)|1
T0|fork(T1)|2
T1|w(V1)|3
T0|join(T1)|5
T0|w(V1)|4
";

/// A trace of so many writes, to so many variables in turn.
pub(crate) fn writes(count: usize, variables: usize) -> String {
    let lines: Vec<String> = (0..count).map(|n| format!("T0|w(V{})|1\n", n % variables)).collect();
    lines.concat()
}

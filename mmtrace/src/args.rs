//! The command line: every flag's documentation is its help.

mod explore;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::quantity::{Bytes, Duration};

pub(crate) use explore::{Query, ScreenForm, ThemeName, View};

/// Records what the threads of a program do to each other and to memory, and says afterwards,
/// from the log alone, what races, why nothing orders it, and where the heap grows.
#[derive(Debug, Parser)]
#[command(name = "mmtrace", version, about, long_about = LONG_ABOUT, after_long_help = EXIT_CODES)]
#[command(propagate_version = true, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// What all commands share.
    #[command(flatten)]
    pub(crate) shared: Shared,
}

const LONG_ABOUT: &str = "\
Records what the threads of a program do to each other and to memory into a compressed log, and \
says afterwards, from the log alone: which accesses race and why nothing orders them, and where \
the heap grows.

Start here:
  mmtrace go test ./...                    in place of `go test -race ./...`
  mmtrace demo                             a recorded bug, found and explained, in a second
  mmtrace record -o run.log -- ./prog ARGS record a program that was built with mmtrace-recorder
  mmtrace analyze run.log                  what is wrong in it
  mmtrace view run.log                     what everybody did when, in the terminal
  mmtrace explain run.log t1#12 t2#7       whether two events are ordered, and by what";

const EXIT_CODES: &str = "\
Exit codes:
  0   clean: the log could be read, all of it, and nothing was found
  1   the recorded program failed (`record` exits exactly as the program did)
  2   usage: a flag, an argument or an output file is wrong
  3   the log is unusable, or incomplete in a way that voids a clean verdict
  66  findings (`analyze --exit-code N` chooses another number)

Colours: --color, NO_COLOR and CLICOLOR_FORCE are respected; pipes get plain text.";

/// What all commands share.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "For every command")]
pub(crate) struct Shared {
    /// When to use colours.
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    pub(crate) color: Color,
    /// Shows no progress bars. They are drawn on standard error only when it is a terminal.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Even into a pipe or a file.
    Always,
    /// Never.
    Never,
}

/// What to do. Each command's help is the documentation of its arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(Demo),
    Go(Go),
    Record(Record),
    Analyze(Analyze),
    Explain(Explain),
    View(View),
    Query(Query),
    Info(Info),
    Dump(Dump),
    Verify(Verify),
    Recover(Recover),
    Import(Import),
    Completions(Completions),
    Man(Man),
    /// The program that `demo` records.
    #[command(hide = true, name = mmtrace_format::handshake::TOOL_WORKLOAD)]
    DemoWorkload,
}

/// Records a small program with planted bugs and shows what is found in it.
///
/// The program is this binary itself, as a small server: its workers remember every answer under a
/// lock, and note without one which request they served last. The report names both sides of that
/// race with their stacks, and the place where the heap grows; the last lines are commands to try
/// on the log.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Where the log goes; it is kept, so that the other commands have something to read.
    #[arg(short, long, value_name = "LOG", default_value = "mmtrace-demo.log")]
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,
}

/// Runs a program that has mmtrace-recorder in it, and records it.
///
/// The program is started with `MMTRACE_LOG` set to the log's path, and gets the signals that
/// mmtrace gets. mmtrace exits as the program did: with its code, or 128 + N if signal N ended it.
/// A program that recorded nothing is reported, and makes a success exit code 3.
#[derive(Debug, Args)]
#[command(
    after_help = "\
Examples:
  mmtrace record -o run.log -- ./server --port 8080
  mmtrace record -o logs/ -- ./many-processes
  mmtrace record --max-log 2G --keep newest -- ./soak",
    override_usage = "mmtrace record [OPTIONS] -- CMD [ARGS]..."
)]
pub(crate) struct Record {
    /// The log to write. A folder (that is there, or ends with a slash) gets one log for each process
    /// that the program starts.
    #[arg(short, long, value_name = "LOG|DIR", default_value = "run.log")]
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(crate) output: PathBuf,
    /// How long the log may get.
    #[command(flatten)]
    pub(crate) limits: Limits,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    #[arg(value_name = "CMD", value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<std::ffi::OsString>,
}

/// How long a log may get.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Limits {
    /// The log's largest size, like 512M or 2G. What did not fit is counted, and reported as lost.
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_log: Option<Bytes>,
    /// Which end of the run to keep when the log is full [default: newest].
    #[arg(long, value_enum, value_name = "END", requires = "max_log")]
    pub(crate) keep: Option<Keep>,
}

/// Builds, runs or tests a Go program with the recorder in it, and says what is wrong.
///
/// Takes what `go` takes, and does what `go` does: in place of `go test -race ./...` type
/// `mmtrace go test ./...`. Sources, go.mod and the Go distribution are not touched. Output and exit
/// code are Go's own; then come the findings, on standard error, and exit code 66 if Go's was 0.
///
/// Tests write a log for each process into a folder, a program that is run writes one log, and a
/// program that is built writes one whenever it runs: where `MMTRACE_LOG` says, or `run-PID.log` in its
/// working folder; `MMTRACE_LOG=off` records nothing. Needs Go 1.22 or later and a C compiler, on
/// linux/amd64. Options of mmtrace come before the word `build`, `run` or `test`.
#[derive(Debug, Args)]
#[command(
    after_help = "\
Examples:
  mmtrace go test ./...
  mmtrace go -o logs/ --report report.json --format json test -run TestServer -v ./server
  mmtrace go run ./cmd/server -port 8080
  mmtrace go build -o server.rec ./cmd/server && MMTRACE_LOG=run.log ./server.rec",
    override_usage = "mmtrace go [OPTIONS] build|run|test [GO ARGS]..."
)]
pub(crate) struct Go {
    /// Where logs go: a folder for tests [default: mmtrace-logs], a file or folder for a program
    /// [default: run.log].
    #[arg(short, long, value_name = "LOG|DIR", value_hint = ValueHint::AnyPath)]
    pub(crate) output: Option<PathBuf>,
    /// Leaves it at the logs: no verdict, and the exit code is Go's.
    #[arg(long)]
    pub(crate) record_only: bool,
    /// Records repeated accesses as well, which change no verdict: for timelines.
    #[arg(long)]
    pub(crate) full: bool,
    /// How long each log may get.
    #[command(flatten)]
    pub(crate) limits: Limits,
    /// Where the report goes instead of standard error. It has the clean logs, too.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) report: Option<PathBuf>,
    /// Text for people, or JSON for programs (its schema is docs/REPORT.md).
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// The exit code for findings, in place of 66; 0 lets a script go on.
    #[arg(long, value_name = "N", default_value_t = crate::exit::FINDINGS)]
    pub(crate) exit_code: u8,
    /// What the analysis may use.
    #[command(flatten)]
    pub(crate) resources: Resources,
    /// What go is to do, and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    #[arg(value_name = "GO ARGS", value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<std::ffi::OsString>,
}

/// Which end of the run to keep when the log is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Keep {
    /// What happened first.
    Oldest,
    /// What happened last.
    Newest,
}

/// Says what is wrong in logs: races with both stacks, heap growth, and what was lost.
///
/// Of several logs, or a folder with logs in it (searched at all depths), each is analysed by
/// itself and the worst verdict is the exit code. The report is the same, byte for byte, for any
/// number of threads and any amount of memory.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mmtrace analyze run.log
  mmtrace analyze --format json -o report.json run.log
  mmtrace analyze --exit-code 0 logs/    every log of the folder; findings do not fail the script")]
pub(crate) struct Analyze {
    /// Logs, or folders of logs.
    #[arg(required = true, value_name = "LOG|DIR", value_hint = ValueHint::AnyPath)]
    pub(crate) logs: Vec<PathBuf>,
    /// Text for people, or JSON for programs (its schema is docs/REPORT.md).
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Where the report goes instead of standard output.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// The exit code for findings, in place of 66; 0 lets a script go on.
    #[arg(long, value_name = "N", default_value_t = crate::exit::FINDINGS)]
    pub(crate) exit_code: u8,
    /// What the analysis may use.
    #[command(flatten)]
    pub(crate) resources: Resources,
}

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What an analysis may use. Neither choice changes a report.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Resources {
    /// Worker threads [default: one for each core].
    #[arg(long, short = 'j', value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Memory for the tables of race detection, like 512M or 2G: less makes more passes over the
    /// log.
    #[arg(long, value_name = "SIZE", default_value = "512M")]
    pub(crate) memory: Bytes,
}

/// Says whether two events are ordered, by which edges, or what is missing between them.
///
/// An event is named as reports and `dump --numbers` name it: t3#120 is the 120th event or access
/// of thread 3, in its program order, counted from 0. In place of two events, the fingerprint of a
/// finding (or its first letters) stands for the two accesses of a race.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mmtrace explain run.log t1#12 t2#7
  mmtrace explain run.log 3f9c           the race whose fingerprint begins so")]
pub(crate) struct Explain {
    /// The log.
    #[arg(value_name = "LOG", value_hint = ValueHint::FilePath)]
    pub(crate) log: PathBuf,
    /// The first event, like t3#120, or the fingerprint of a finding.
    #[arg(value_name = "EVENT|FINGERPRINT")]
    pub(crate) first: String,
    /// The second event.
    #[arg(value_name = "EVENT")]
    pub(crate) second: Option<String>,
    /// What the analysis may use.
    #[command(flatten)]
    pub(crate) resources: Resources,
}

/// Describes logs: the process, threads, sizes, and whether they ended cleanly.
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// Logs, or folders of logs.
    #[arg(required = true, value_name = "LOG|DIR", value_hint = ValueHint::AnyPath)]
    pub(crate) logs: Vec<PathBuf>,
}

/// Prints every event and access as a line of text.
///
/// With --thread, each thread's lines are in its program order; without, lines follow the chunks as
/// they lie in the file. An access has the time of the event before it. Only one chunk is in memory
/// at a time, whatever the size of the log.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mmtrace dump run.log | less
  mmtrace dump --thread t3 --kind mutex-lock,mutex-unlock run.log
  mmtrace dump --numbers --from 1.5s --to 1.6s -n 200 run.log")]
pub(crate) struct Dump {
    /// The log.
    #[arg(value_name = "LOG", value_hint = ValueHint::FilePath)]
    pub(crate) log: PathBuf,
    /// Only these threads, like t0,t3.
    #[arg(long, value_name = "THREAD", value_delimiter = ',', value_parser = thread)]
    pub(crate) thread: Vec<mmtrace_format::ThreadId>,
    /// Only these kinds of events and accesses, like mutex-lock,write; a wrong one lists them all.
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub(crate) kind: Vec<String>,
    /// Only what happened at this time or later, like 1.5s, 20ms or 300us since the log began.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<Duration>,
    /// Only what happened before this time.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<Duration>,
    /// Stops after this many lines.
    #[arg(long, short = 'n', value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Puts the name that `explain` takes, like t3#120, before each line.
    #[arg(long)]
    pub(crate) numbers: bool,
}

/// Checks every byte of logs.
///
/// Decodes every chunk and table, compares all checksums, and says which parts are damaged or
/// missing, with their places in the file. Exit code 0 means that nothing is.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Logs, or folders of logs.
    #[arg(required = true, value_name = "LOG|DIR", value_hint = ValueHint::AnyPath)]
    pub(crate) logs: Vec<PathBuf>,
}

/// Writes a clean log of everything that can still be read in a damaged one.
///
/// For a log whose program was killed, that lost its end or has damaged parts. What cannot be
/// read is a gap in the new log as well; the old log is not touched.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  mmtrace verify run.log || mmtrace recover -o whole.log run.log")]
pub(crate) struct Recover {
    /// The damaged log.
    #[arg(value_name = "LOG", value_hint = ValueHint::FilePath)]
    pub(crate) log: PathBuf,
    /// The log to write.
    #[arg(short, long, value_name = "OUT", value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,
}

/// Turns a trace of another tool into a log.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  mmtrace import --from std trace.std -o trace.log && mmtrace analyze trace.log")]
pub(crate) struct Import {
    /// What the trace is written in.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) from: Foreign,
    /// The trace.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) trace: PathBuf,
    /// The log to write.
    #[arg(short, long, value_name = "LOG", value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,
}

/// Formats of other tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Foreign {
    /// The STD text format of the RAPID analyzer: `T1|w(V3)|12`, one event a line.
    Std,
}

/// Prints a completion script for a shell.
///
/// For bash: `mmtrace completions bash > ~/.local/share/bash-completion/completions/mmtrace`
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// Prints the manual page, as roff: `mmtrace man | man -l -`.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The page of one command, in place of the page of mmtrace.
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Option<String>,
}

fn thread(word: &str) -> Result<mmtrace_format::ThreadId, String> {
    let digits = word.strip_prefix('t').unwrap_or(word);
    digits
        .parse()
        .map(mmtrace_format::ThreadId::new)
        .map_err(|_| "expected a thread, like t3".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_all_of_it_is_documented() {
        let command = Cli::command();
        command.clone().debug_assert();
        for subcommand in command.get_subcommands() {
            assert!(subcommand.get_about().is_some(), "{}", subcommand.get_name());
            for argument in subcommand.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{} {}",
                    subcommand.get_name(),
                    argument.get_id()
                );
            }
        }
    }

    #[test]
    fn arguments_of_the_recorded_program_are_not_ours() {
        let cli = Cli::try_parse_from(["mmtrace", "record", "-o", "x.log", "--", "prog", "--help"]);
        let Command::Record(record) = cli.unwrap().command else { panic!("not record") };
        assert_eq!(record.command, ["prog", "--help"]);
    }
}

//! The commands that look around in a log: the explorer, and its search.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

/// Explores a log in the terminal: timelines of all threads, who woke whom, findings, search.
///
/// `?` shows all keys, `:` all actions by name. The first look at a long log builds an index beside
/// it (run.log.mmindex), meanwhile a coarse picture is there. With --script no terminal is needed:
/// every line of the script is an action, and the output is the screen.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mmtrace view run.log
  mmtrace view 'run.log#t=1.5s&g=t3&q=state:mutex'    a place, as `y` in the explorer copies it
  mmtrace view run.log --script tour.keys --size 120x40 --dump svg > tour.svg

A script:
  goto 20ms
  zoom-in
  search state:mutex dur>1ms
  next-match
  screen here          the screen as it is now, among others")]
pub(crate) struct View {
    /// The log; after a `#`, a place in it.
    #[arg(value_name = "LOG[#PLACE]", value_hint = ValueHint::FilePath)]
    pub(crate) log: String,
    /// Runs the actions of a file (- is standard input) without a terminal.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) script: Option<PathBuf>,
    /// Columns and rows of a script's screen.
    #[arg(long, value_name = "WxH", default_value = "80x24", value_parser = screen_size)]
    pub(crate) size: (u16, u16),
    /// What a script's screens are written as; on its own it writes the first screen.
    #[arg(long, value_enum, value_name = "FORM")]
    pub(crate) dump: Option<ScreenForm>,
    /// After a script, says on standard error how long its screens took.
    #[arg(long, requires = "script")]
    pub(crate) timings: bool,
    /// Follows a log that is still being written.
    #[arg(long, conflicts_with_all = ["script", "dump"])]
    pub(crate) follow: bool,
    /// Colours; by default what the terminal and `NO_COLOR` say.
    #[arg(long, value_enum, value_name = "THEME")]
    pub(crate) theme: Option<ThemeName>,
    /// Only ASCII characters.
    #[arg(long)]
    pub(crate) ascii: bool,
    /// A file that binds keys: lines like `zoom-in = + ctrl-a`
    /// [default: mmtrace/keys in the configuration folder, if it is there].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) keys: Option<PathBuf>,
}

/// What a screen is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScreenForm {
    /// Its characters.
    Text,
    /// A picture.
    Svg,
    /// Where it is, and the states and marks of every row.
    Json,
}

/// Colours of the explorer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ThemeName {
    /// For dark backgrounds.
    Dark,
    /// For light backgrounds.
    Light,
    /// The terminal's own 16 colours.
    #[value(name = "16")]
    Sixteen,
    /// No colours.
    None,
}

/// Prints the events of a log that match a query.
///
/// The language is that of the explorer's `/`. All words must hold; `-` before one turns it round:
/// state: reason: kind: dur> dur< fn: file: obj: g: created-by: test: touches: finding: from: to:
/// and free text, which is looked for in kinds, names of threads and stacks.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mmtrace query run.log 'state:mutex dur>1ms'        long waits for mutexes
  mmtrace query run.log reason:receive g:worker      where workers had to wait for a channel
  mmtrace query --count run.log touches:0x7f3a10     how often an address was accessed
  mmtrace query run.log finding:race                 the accesses that race")]
pub(crate) struct Query {
    /// The log.
    #[arg(value_name = "LOG", value_hint = ValueHint::FilePath)]
    pub(crate) log: PathBuf,
    /// The query.
    #[arg(value_name = "QUERY", required = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<String>,
    /// Prints only how many events match.
    #[arg(long, short)]
    pub(crate) count: bool,
    /// Prints at most this many.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1000)]
    pub(crate) limit: usize,
}

fn screen_size(word: &str) -> Result<(u16, u16), String> {
    mmtrace_tui::script::parse_size(word)
        .ok_or_else(|| "expected columns and rows, from 20x6 to 1000x500".to_owned())
}

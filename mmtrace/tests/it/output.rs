//! Where output goes and what it looks like there.

use std::io::Read as _;
use std::process::Stdio;

use crate::transcript::{Folder, RACY, Run, writes};

const ESCAPE: char = '\u{1b}';

fn analyze(folder: &Folder, flags: &[&str], variables: &[(&str, &str)]) -> Run {
    let mut command = folder.command(&["analyze", "racy.log"]);
    Run::of(command.args(flags).envs(variables.iter().copied()))
}

#[test]
fn pipes_get_plain_text() {
    let folder = Folder::with_log("racy.log", RACY);
    let run = analyze(&folder, &[], &[("TERM", "xterm-256color")]);
    assert!(!run.to_string().contains(ESCAPE), "{run}");
}

#[test]
fn colours_can_be_forced_and_forbidden() {
    let folder = Folder::with_log("racy.log", RACY);
    let forced = analyze(&folder, &["--color", "always"], &[]);
    assert!(forced.stdout.contains(ESCAPE), "{forced}");
    let by_variable = analyze(&folder, &[], &[("CLICOLOR_FORCE", "1")]);
    assert_eq!(by_variable.stdout, forced.stdout);
    let never = analyze(&folder, &["--color", "never"], &[("CLICOLOR_FORCE", "1")]);
    assert!(!never.stdout.contains(ESCAPE), "{never}");
    let no_color = analyze(&folder, &[], &[("NO_COLOR", "1")]);
    assert_eq!(no_color.stdout, never.stdout);
}

#[test]
fn colours_change_nothing_but_colours() {
    let folder = Folder::with_log("racy.log", RACY);
    let plain = analyze(&folder, &["--color", "never"], &[]).stdout;
    let coloured = analyze(&folder, &["--color", "always"], &[]).stdout;
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
}

#[test]
fn progress_is_drawn_on_terminals_only() {
    let folder = Folder::with_log("racy.log", RACY);
    assert_eq!(analyze(&folder, &[], &[("TERM", "xterm")]).stderr, "");
}

/// `mmtrace dump run.log | head -1`: no error, no panic.
#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = Folder::with_log("long.log", &writes(200_000, 200_000));
    let mut command = folder.command(&["dump", "long.log"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 64];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run}");
}

/// The verdict is not lost with the pipe.
#[test]
fn a_reader_that_goes_away_does_not_turn_findings_into_success() {
    let folder = Folder::with_log("racy.log", RACY);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = folder.command(&["analyze", "racy.log"]);
    let run = Run::of(command.stdout(writer));
    assert_eq!((run.code, run.stderr.as_str()), (66, ""), "{run}");
}

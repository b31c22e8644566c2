//! `mmtrace completions`: a script that teaches a shell our command line.

use std::io::Write as _;

use clap::CommandFactory as _;

use crate::args::{Cli, Completions};
use crate::exit::{Failure, Outcome};
use crate::output::{Output, unwritten};

/// Prints the script.
pub(crate) fn run(args: &Completions) -> Result<Outcome, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "mmtrace", &mut script);
    let mut output = Output::standard();
    output.write_all(&script).map_err(unwritten)?;
    output.finish()?;
    Ok(Outcome::Clean)
}

//! `mmtrace recover`: what a damaged log still holds, as a clean one.

use std::io::Write as _;

use mmtrace_format::recover::{RecoverError, recover};

use crate::args::Recover;
use crate::exit::{Failure, Outcome};
use crate::output::{NewLog, Output, unwritten};
use crate::quantity::{bytes, counted};

/// Writes the new log, and says what is in it and what is not.
pub(crate) fn run(args: &Recover) -> Result<Outcome, Failure> {
    let new = NewLog::create(&args.output, &args.log)?;
    let recovered = recover(&args.log, new.sink()).map_err(|error| match error {
        RecoverError::Write(_) => Failure::usage(error),
        _ => Failure::log(error),
    })?;
    new.commit()?;
    let mut output = Output::standard();
    let summary = &recovered.summary;
    writeln!(
        output,
        "{}: {} in {}: {}, {}",
        args.output.display(),
        bytes(summary.file_len),
        counted(summary.chunks, "chunk"),
        counted(summary.events, "event"),
        counted(summary.accesses, "access"),
    )
    .map_err(unwritten)?;
    for gap in &recovered.gaps {
        writeln!(output, "  not there: {gap}").map_err(unwritten)?;
    }
    output.finish()?;
    Ok(Outcome::Clean)
}

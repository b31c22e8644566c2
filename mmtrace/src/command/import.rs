//! `mmtrace import`: a trace of another tool becomes a log.

use std::fs::File;
use std::io::{BufReader, Write as _};

use anyhow::Context as _;
use mmtrace_analyzer::Progress as _;
use mmtrace_analyzer::import::std::{StdError, import};
use mmtrace_format::meta::ProcessInfo;
use mmtrace_format::writer::{BuilderOptions, LogBuilder, WriteError};

use crate::args::{Foreign, Import, Shared};
use crate::exit::{Failure, Outcome};
use crate::output::{NewLog, Output, unwritten};
use crate::progress::Bars;
use crate::quantity::{bytes, counted};

/// Writes the log, and says what is in it.
pub(crate) fn run(args: &Import, shared: Shared) -> Result<Outcome, Failure> {
    let shown = args.trace.display();
    let opened = File::open(&args.trace).and_then(|file| Ok((file.metadata()?.len(), file)));
    let opened = opened.with_context(|| format!("{shown}: cannot be read")).map_err(Failure::log);
    let (trace_len, file) = opened?;
    let new = NewLog::create(&args.output, &args.trace)?;
    let Foreign::Std = args.from;
    let written = |error: WriteError| Failure::usage(error).context("cannot write".to_owned());
    let info = ProcessInfo {
        program: shown.to_string(),
        recorder: concat!("mmtrace import ", env!("CARGO_PKG_VERSION")).to_owned(),
        runtime: "STD trace".to_owned(),
        ..ProcessInfo::default()
    };
    let mut builder =
        LogBuilder::new(new.sink(), &info, BuilderOptions::default()).map_err(written)?;
    let bars = Bars::new(shared.quiet);
    // The text is read twice.
    bars.phase("importing", 2 * trace_len);
    let imported =
        import(&mut BufReader::with_capacity(1 << 20, file), &mut builder, &mut |read| {
            bars.advance(read);
        });
    let imported = imported.map_err(|error| match error {
        StdError::Write { .. } => Failure::usage(error),
        _ => Failure::log(error).context(format!("{shown}")),
    })?;
    let summary = builder.finish().map_err(written)?;
    drop(bars);
    new.commit()?;
    let mut output = Output::standard();
    writeln!(
        output,
        "{}: {} of {}: {}, {}, {}",
        args.output.display(),
        bytes(summary.file_len),
        counted(u64::from(imported.threads), "thread"),
        counted(summary.events, "event"),
        counted(summary.accesses, "access"),
        counted(u64::from(imported.locations), "location"),
    )
    .map_err(unwritten)?;
    output.finish()?;
    Ok(Outcome::Clean)
}

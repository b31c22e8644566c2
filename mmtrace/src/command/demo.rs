//! `mmtrace demo`: records this binary at work, and shows what is found.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, anyhow};
use mmtrace_analyzer::finding::FindingKind;
use mmtrace_format::handshake;

use crate::args::{Demo, Resources, Shared};
use crate::command::analyze;
use crate::exit::{Failure, Outcome};
use crate::output::{Output, make_way, unwritten};
use crate::quantity::Bytes;

const STORY: &str = "\
The program that was recorded is this binary itself, as a small server: requests go to three workers
through a channel; they remember every answer under a lock, and note without one which request they
served last.

";

/// Records the demonstration and analyses it.
pub(crate) fn run(args: &Demo, shared: Shared) -> Result<Outcome, Failure> {
    make_way(&args.output)?;
    record(args)?;
    let resources = Resources { threads: None, memory: Bytes(256 << 20) };
    let report = analyze::report_of(&args.output, &resources, shared)?;
    let mut output = Output::standard();
    output.write_all(STORY.as_bytes()).map_err(unwritten)?;
    let text = analyze::text(&args.output, &report);
    output.write_all(text.as_bytes()).map_err(unwritten)?;
    output.finish()?;
    for (kind, name) in [(FindingKind::Race, "race"), (FindingKind::HeapGrowth, "growing site")] {
        if !report.findings.iter().any(|finding| finding.kind == kind) {
            return Err(Failure::log(anyhow!("the {name} that was planted was not found")));
        }
    }
    Ok(Outcome::Clean)
}

/// Runs the workload with a log asked for.
fn record(args: &Demo) -> Result<(), Failure> {
    let log =
        std::path::absolute(&args.output).context("the log's path").map_err(Failure::usage)?;
    let program = std::env::current_exe().context("finding this binary").map_err(Failure::usage)?;
    let mut workload = Command::new(program);
    workload.arg(handshake::TOOL_WORKLOAD).stdin(Stdio::null()).env(handshake::LOG, log);
    for setting in [handshake::MAX_LOG, handshake::KEEP, handshake::SLOT] {
        workload.env_remove(setting);
    }
    let status = workload.status().context("cannot run the demo").map_err(Failure::usage)?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::log(anyhow!("the demo's program ended with {status}")))
    }
}

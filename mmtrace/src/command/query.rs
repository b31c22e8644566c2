//! `mmtrace query`: the explorer's search, as lines of text.

use std::io::Write as _;
use std::sync::Arc;

use mmtrace_analyzer::Silent;
use mmtrace_tui::engine::{Engine, findings};
use mmtrace_tui::index::open_or_build;
use mmtrace_tui::query::Query;

use crate::args;
use crate::args::Shared;
use crate::exit::{Failure, Outcome, note};
use crate::inputs;
use crate::output::{Output, unwritten};
use crate::progress::Bars;
use crate::quantity::counted;

/// Prints what matches.
pub(crate) fn run(args: &args::Query, shared: Shared) -> Result<Outcome, Failure> {
    // Words are checked before the log is: a wrong one is the quicker answer.
    let query: Query = args.words.join(" ").parse().map_err(Failure::usage)?;
    let log = inputs::open(&args.log)?;
    let (index, _) = open_or_build(&log, &mut |_, _| true).map_err(Failure::log)?;
    let index = Arc::new(index);
    let mut engine = Engine::new(&log, Arc::clone(&index));
    if query.wants_findings() {
        let found = if shared.quiet {
            findings::collect(&log, &index, &Silent)
        } else {
            findings::collect(&log, &index, &Bars::new(shared.quiet))
        };
        let found = found.map_err(|error| Failure::log(anyhow::anyhow!(error)))?;
        engine.set_findings(Arc::new(found));
    }
    let matches = engine.search(&query, &mut |_, _, _| true);
    let mut output = Output::standard();
    if args.count {
        writeln!(output, "{}", matches.total).map_err(unwritten)?;
    } else {
        for hit in matches.hits.iter().take(args.limit) {
            let line = engine.describe(*hit);
            writeln!(output, "{line}").map_err(unwritten)?;
        }
    }
    output.finish()?;
    let shown = matches.hits.len().min(args.limit) as u64;
    if !args.count && shown < matches.total {
        let left = counted(matches.total - shown, "match");
        note(&format!("{left} more: --limit shows them, --count counts"));
    }
    if matches.damaged_chunks > 0 {
        let chunks = counted(matches.damaged_chunks, "chunk");
        note(&format!("{chunks} cannot be read: mmtrace verify says more"));
        return Ok(Outcome::Unusable);
    }
    Ok(Outcome::Clean)
}

//! `mmtrace verify`: every byte of a log against its checksums.

use std::io::{self, Write};

use mmtrace_format::verify::{Verification, verify};

use crate::args::Verify;
use crate::exit::{Failure, Outcome};
use crate::inputs;
use crate::output::{Output, unwritten};
use crate::quantity::{bytes, counted};

/// Checks every log.
pub(crate) fn run(args: &Verify) -> Result<Outcome, Failure> {
    let mut output = Output::standard();
    let mut outcome = Outcome::Clean;
    for path in inputs::logs(&args.logs)? {
        match verify(&path) {
            Ok(verification) => {
                if !verification.is_whole() {
                    outcome = Outcome::Unusable;
                }
                describe(&mut output, &verification).map_err(unwritten)?;
            }
            Err(error) => {
                Failure::log(error).report();
                outcome = Outcome::Unusable;
            }
        }
    }
    output.finish()?;
    Ok(outcome)
}

fn describe(out: &mut impl Write, log: &Verification) -> io::Result<()> {
    let shown = log.path.display();
    let blocks = counted(log.blocks.len() as u64, "block");
    let size = bytes(log.file_len);
    if log.is_whole() {
        return writeln!(out, "{shown}: whole: {size} in {blocks}, every checksum is right");
    }
    writeln!(out, "{shown}: not whole: {size} in {blocks}")?;
    for gap in &log.gaps {
        writeln!(out, "  {gap}")?;
    }
    // Damage that is a gap was just told.
    let told = |offset| log.gaps.iter().any(|gap| gap.offset == offset);
    for block in log.blocks.iter().filter(|block| !told(block.offset)) {
        if let Some(problem) = &block.problem {
            writeln!(out, "  {}: {problem}", block.offset)?;
        }
    }
    Ok(())
}

//! Repair: a whole log from a damaged or unfinished one.

use std::collections::BTreeSet;
use std::io::{Seek, Write};
use std::path::Path;

use crate::id::ModuleId;
use crate::layout::BlockKind;
use crate::log::{Gap, GapReason, Log, OpenError};
use crate::units::FileOffset;
use crate::writer::{LogWriter, Summary, WriteError};

/// A log could not be recovered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// There is nothing that could be.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The new log could not be written.
    #[error("the recovered log could not be written: {0}")]
    Write(#[from] WriteError),
}

/// What was recovered.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// What the new log has.
    pub summary: Summary,
    /// What it does not have. The new log says so, too.
    pub gaps: Vec<Gap>,
}

/// Reads any log, whole or not, and writes what can be trusted of it as a closed log.
///
/// Chunks are copied as they are, so that streams, numbers and order stay; what was still open is
/// sealed. What is missing stays missing: the new log has the gaps in its index, and is as little
/// complete as the old one. A log whose header is damaged is accepted as long as it begins as logs
/// do.
///
/// # Errors
/// [`RecoverError`].
pub fn recover<W: Write + Seek>(
    path: impl AsRef<Path>,
    sink: W,
) -> Result<Recovered, RecoverError> {
    let log = match Log::open(&path) {
        Err(OpenError::Page { .. }) => Log::open_damaged(path.as_ref())?,
        other => other?,
    };
    Ok(recover_log(&log, sink)?)
}

/// [`recover`] of a log that is open.
///
/// # Errors
/// [`WriteError`].
pub fn recover_log<W: Write + Seek>(log: &Log, sink: W) -> Result<Recovered, WriteError> {
    let mut writer = LogWriter::new(sink, log.info())?;
    let mut gaps = log.gaps().to_vec();
    writer.append_entries(log.tables().entries())?;
    copy_symbols(log, &mut writer, &mut gaps)?;
    for index in 0..log.chunks().len() {
        match (log.chunk(index), log.chunk_bytes(index)) {
            (Ok(chunk), Ok(bytes)) => writer.append_chunk(chunk.header(), bytes)?,
            (Err(error), _) | (_, Err(error)) => gaps.push(log.gap_of(index, &error)),
        }
        log.advise_done(index);
    }
    for gap in &gaps {
        writer.push_gap(gap);
    }
    let (summary, _) = writer.finish()?;
    Ok(Recovered { summary, gaps })
}

fn copy_symbols<W: Write + Seek>(
    log: &Log,
    writer: &mut LogWriter<W>,
    gaps: &mut Vec<Gap>,
) -> Result<(), WriteError> {
    let symbols = log.blocks().iter().filter(|block| block.kind == BlockKind::Symbols.tag());
    let modules: BTreeSet<u32> = symbols.map(|block| block.owner).collect();
    for module in modules.into_iter().map(ModuleId::new) {
        let (sections, error) = log.symbols_readable(module);
        for section in sections {
            writer.append_symbols(module, &section.name, section.address, &section.bytes)?;
        }
        if let Some(error) = error {
            let gap = Gap::new(GapReason::DamagedBlock, FileOffset(error.at().0));
            gaps.push(gap.with_detail(error));
        }
    }
    Ok(())
}

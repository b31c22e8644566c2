//! Where an index is kept: beside the log, else where temporary files go, else in memory.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use mmtrace_format::Log;
use mmtrace_format::log::is_being_recorded;
use mmtrace_format::sidecar::Sidecar;

use super::build::{Detail, Watch, build};
use super::{Index, content_key, is_worth_keeping};

/// Why there is no index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// Whoever wanted it does not any more.
    #[error("the index is not wanted any more")]
    Cancelled,
    /// The system refused.
    #[error("cannot build the index: {0}")]
    Io(#[from] io::Error),
    /// What was just built does not read back.
    #[error("the index that was built is not whole")]
    NotWhole,
}

/// Where an index was found or put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It was there, and is that of this log.
    Found(PathBuf),
    /// It was built, and is there for the next time.
    Built(PathBuf),
    /// It was built and is in memory: the log is short, or nothing can be written.
    InMemory,
}

/// Where the index of a log is kept.
pub fn index_path(log: &Path) -> PathBuf {
    let mut name = log.file_name().unwrap_or_default().to_owned();
    name.push(".mmindex");
    log.with_file_name(name)
}

/// Where the index goes if nothing can be written beside the log.
fn fallback_path(key: u64) -> PathBuf {
    std::env::temp_dir().join(format!("mmtrace-{key:016x}.mmindex"))
}

/// Finds the index of a log, or builds it and keeps it if the log is long.
///
/// # Errors
/// [`IndexError`].
pub fn open_or_build(log: &Log, watch: Watch<'_>) -> Result<(Index, Kept), IndexError> {
    let key = content_key(log);
    let places = [index_path(log.path()), fallback_path(key)];
    for place in &places {
        let found = Sidecar::open(place).ok();
        if let Some(index) = found.and_then(|bytes| Index::new(bytes, key, Detail::States)) {
            return Ok((index, Kept::Found(place.clone())));
        }
    }
    // The index of a log that grows would be of use to nobody a moment later.
    let grows = is_being_recorded(log.path()).unwrap_or(false);
    if is_worth_keeping(log) && !grows {
        for place in places {
            match build_at(log, &place, watch) {
                Ok(()) => {
                    let index = Index::new(Sidecar::open(&place)?, key, Detail::States);
                    return Ok((index.ok_or(IndexError::NotWhole)?, Kept::Built(place)));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    return Err(IndexError::Cancelled);
                }
                // Perhaps the next place can be written.
                Err(_) => {}
            }
        }
    }
    Ok((build_in_memory(log, Detail::States, watch)?, Kept::InMemory))
}

/// Builds an index that is kept nowhere.
///
/// # Errors
/// [`IndexError`].
pub fn build_in_memory(log: &Log, detail: Detail, watch: Watch<'_>) -> Result<Index, IndexError> {
    let mut bytes = Vec::new();
    build(log, detail, &std::env::temp_dir(), &mut bytes, watch).map_err(|error| {
        match error.kind() {
            io::ErrorKind::Interrupted => IndexError::Cancelled,
            _ => IndexError::Io(error),
        }
    })?;
    let index = Index::new(Sidecar::from_bytes(bytes), content_key(log), detail);
    index.ok_or(IndexError::NotWhole)
}

/// It appears under its name when it is whole, or not at all.
fn build_at(log: &Log, place: &Path, watch: Watch<'_>) -> io::Result<()> {
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut name = place.file_name().unwrap_or_default().to_owned();
    name.push(format!(".partial-{}", std::process::id()));
    let partial = place.with_file_name(name);
    let mut sink = BufWriter::with_capacity(1 << 20, File::create(&partial)?);
    let built = build(log, Detail::States, folder, &mut sink, watch);
    drop(sink);
    let built = built.and_then(|()| std::fs::rename(&partial, place));
    if built.is_err() {
        // What cannot be removed is a nuisance, no more.
        let _ = std::fs::remove_file(&partial);
    }
    built
}

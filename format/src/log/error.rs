//! Why a log, or a part of one, cannot be read.
//!
//! # Invariant
//! An error names the place in the file where the damage is. Only an [`OpenError`] costs the whole log;
//! a [`ReadError`] costs the part that was asked for, and becomes a gap.

use std::io;
use std::path::PathBuf;

use crate::chunk::ChunkError;
use crate::layout::frame::FrameError;
use crate::layout::{BlockError, PageError};
use crate::meta::MetaError;
use crate::units::FileOffset;

/// Why a file cannot be read as a log at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no such file.
    #[error("{}: no such file", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It is a folder.
    #[error("{}: is a folder, expected a log", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// The file is empty.
    #[error("{}: byte 0: the file is empty, expected a log", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file is no log, or none that this version reads.
    #[error("{}: {source}", path.display())]
    Page {
        /// The file.
        path: PathBuf,
        /// What is wrong with its first page.
        source: PageError,
    },
    /// The system refused.
    #[error("{}: cannot be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a part of a log cannot be read. It costs the reader this part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The block around it is damaged.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The chunk is damaged.
    #[error("{at}: {source}")]
    Chunk {
        /// Where the chunk's block begins.
        at: FileOffset,
        /// What is wrong with it.
        source: ChunkError,
    },
    /// The block is whole, but not what the index says is there.
    #[error("{at}: found {found}, expected {expected}")]
    Mismatch {
        /// Where the block begins.
        at: FileOffset,
        /// What is there.
        found: String,
        /// What the index says.
        expected: String,
    },
    /// The block's frames are damaged.
    #[error("{at}: {source}")]
    Frame {
        /// Where the block begins.
        at: FileOffset,
        /// What is wrong with them.
        source: FrameError,
    },
    /// The block's records are damaged.
    #[error("{at}: {source}")]
    Record {
        /// Where the block begins.
        at: FileOffset,
        /// What is wrong with them.
        source: MetaError,
    },
}

impl ReadError {
    /// Where in the file the damage is.
    pub const fn at(&self) -> FileOffset {
        match self {
            Self::Block(
                BlockError::Truncated { at, .. }
                | BlockError::Magic { at, .. }
                | BlockError::Checksum { at, .. }
                | BlockError::Misplaced { at, .. }
                | BlockError::Field { at, .. },
            )
            | Self::Chunk { at, .. }
            | Self::Mismatch { at, .. }
            | Self::Frame { at, .. }
            | Self::Record { at, .. } => *at,
        }
    }
}

pub(super) fn mismatch(
    at: FileOffset,
    found: &impl std::fmt::Debug,
    expected: &impl std::fmt::Debug,
) -> ReadError {
    ReadError::Mismatch { at, found: format!("{found:?}"), expected: format!("{expected:?}") }
}

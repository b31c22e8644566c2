//! What a recorded program did wrong, from its log alone.
//!
//! [`order`] merges the streams, [`happens_before`] turns sync events into vector clocks by the
//! table in [`rules`], [`race`] checks memory accesses against the clocks. All of it is exact, and
//! the same for any number of worker threads. Nothing here prints.

#![forbid(unsafe_code)]

pub mod analysis;
pub mod blocked;
pub mod clock;
pub mod context;
pub mod explain;
pub mod finding;
pub mod fingerprint;
pub mod happens_before;
mod hash;
pub mod heap;
pub mod import;
pub mod options;
pub mod order;
pub mod quantity;
pub mod race;
pub mod report;
pub mod rules;
pub mod symbol;
pub mod visibility;

pub use analysis::{analyze, analyze_waiting};
pub use options::{AnalyzeError, Options, Progress, Silent};
pub use order::EventRef;

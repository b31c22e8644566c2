//! What an analysis may use, and how it says how far it is.

use std::num::NonZeroUsize;

/// What an analysis may use. No choice here changes a finding.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Worker threads; `None`: one for each core.
    pub threads: Option<NonZeroUsize>,
    /// Bytes that the race detection's tables may take at one time; decoded chunks may take half as
    /// much again. What does not fit is left for further passes over the log: less memory costs
    /// time, never findings.
    pub memory: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { threads: None, memory: 512 << 20 }
    }
}

impl Options {
    /// Runs `work` with the number of worker threads that was asked for.
    ///
    /// # Errors
    /// [`AnalyzeError::Threads`] if the system gives no threads.
    pub fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, AnalyzeError> {
        let count = self.threads.map_or(0, NonZeroUsize::get);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build();
        Ok(pool.map_err(|source| AnalyzeError::Threads { source })?.install(work))
    }
}

/// Is told how far an analysis is. Called from any worker thread.
pub trait Progress: Sync {
    /// A new phase begins: `total` steps of it are to come.
    fn phase(&self, name: &'static str, total: u64);
    /// So many more steps of the phase are done.
    fn advance(&self, steps: u64);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn phase(&self, _name: &'static str, _total: u64) {}
    fn advance(&self, _steps: u64) {}
}

/// An analysis could not be done at all. Damage to a part of a log is not an error: it is a gap,
/// and the report names it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnalyzeError {
    /// Worker threads could not be started.
    #[error("cannot start worker threads")]
    Threads {
        /// What the system said.
        #[source]
        source: rayon::ThreadPoolBuildError,
    },
}

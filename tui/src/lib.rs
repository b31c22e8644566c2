//! The explorer: scrubbing the timelines of a log in a terminal. Not there yet.
//!
//! What will live here is a model that is plain data, pure updates, views that only draw, and
//! workers that ask the analyzer for pages. Today the crate holds the place of those in the house,
//! with the dependencies that they will have, and [`run`] says that there is nothing to see; the
//! binary offers no command for it.

#![forbid(unsafe_code)]

use std::path::Path;

/// Why the explorer did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// This version has no explorer.
    #[error("this version of mmtrace has no explorer: read the log with `analyze` and `dump`")]
    NotThere,
}

/// Opens the explorer on a log.
///
/// # Errors
/// [`RunError::NotThere`], always, in this version.
pub fn run(_log: &Path) -> Result<(), RunError> {
    Err(RunError::NotThere)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_explorer_says_that_it_is_not_there_and_what_is() {
        let error = run(Path::new("run.log")).unwrap_err();
        assert!(error.to_string().contains("`analyze` and `dump`"), "{error}");
    }
}

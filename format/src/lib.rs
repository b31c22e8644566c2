//! mmtrace format.

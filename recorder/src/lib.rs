//! mmtrace recorder.

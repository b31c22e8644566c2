//! mmtrace analyzer.

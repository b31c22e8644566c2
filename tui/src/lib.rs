//! mmtrace tui.

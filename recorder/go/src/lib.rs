//! The race runtime of Go's race builds, which records instead of judging.

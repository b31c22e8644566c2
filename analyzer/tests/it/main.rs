//! The analyzer, through its public interface.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod damage;
mod documents;
mod explain;
mod heap;
mod heap_collected;
mod import;
mod logs;
mod oracle;
mod random;
mod report;
mod schema;

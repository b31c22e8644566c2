//! The analyzer, through its public interface.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod damage;
mod documents;
mod explain;
mod heap;
mod import;
mod logs;
mod oracle;
mod report;
mod schema;

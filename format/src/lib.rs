//! The mmtrace log: what it says, and how it lies on disk.
//!
//! A [`log::Log`] is one recorded process, one file. It holds *streams* (what one writer wrote, in
//! its order), cut into [`chunk`]s that are compressed and checksummed one by one. A chunk has two
//! lanes: the *sync lane* of [`Event`]s and the *access lane* of [`Access`]es, so that events can be
//! ordered without decompressing accesses. Everything that an event names (strings, call sites,
//! stacks, modules) is in interned [`table`]s inside the same file.
//!
//! Writers: [`live::LiveLog`] for a running program, whose open chunks lie in the mapped file and
//! survive a kill; [`writer::LogBuilder`] for importers, repair and tests. The byte layout is
//! normative in `docs/FORMAT.md`.
//!
//! Nothing here starts a thread, reads a clock or keeps a global.

#![deny(unsafe_code)]

pub mod access;
pub mod chunk;
pub mod event;
pub mod handshake;
pub mod id;
pub mod layout;
pub mod live;
pub mod log;
pub mod meta;
pub mod recover;
pub mod sidecar;
pub mod table;
pub mod units;
pub mod verify;
pub mod version;
pub mod writer;

pub use access::{Access, AccessKind};
pub use event::{Event, EventKind};
pub use id::{CallSiteId, ModuleId, StackId, StreamId, StringId, ThreadId};
pub use live::LiveLog;
pub use log::{Gap, GapReason, Log};
pub use meta::ProcessInfo;
pub use sidecar::Sidecar;
pub use units::{Address, FileOffset, STRIPE_COUNT, Timestamp, stripe_of};
pub use writer::LogBuilder;

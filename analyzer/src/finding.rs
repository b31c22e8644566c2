//! What a report claims, and what supports each claim.

pub mod grouping;
pub mod race;

use mmtrace_format::{Address, ThreadId};
use serde::{Serialize, Serializer};

use crate::fingerprint::Fingerprint;
use crate::heap::GrowthVerdict;
use crate::order::EventRef;
use crate::report::{BlockedThread, HeapPoint};
use crate::symbol::Frame;

/// What kind of bug a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FindingKind {
    /// Two accesses that nothing orders.
    Race,
    /// Threads of which none can go on.
    Deadlock,
    /// Threads that wait for each other only, but for which the program did not wait.
    Leak,
    /// Locks taken in circular order: a deadlock that did not happen this time.
    LockOrder,
    /// A site whose live bytes grow and grow.
    HeapGrowth,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It may be nothing: the log does not hold all that would be needed to be sure.
    Note,
    /// It will hurt in the long run.
    Warning,
    /// The program's behaviour is undefined, or it cannot go on.
    Error,
}

/// A claim about the program: one bug, however often it was seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What kind of bug.
    pub kind: FindingKind,
    /// Its name across runs and edits.
    pub fingerprint: Fingerprint,
    /// How bad it is.
    pub severity: Severity,
    /// One line: what and where.
    pub title: String,
    /// How often it was seen: racing pairs of accesses, allocations.
    pub count: u64,
    /// The test in which it happened; for a leftover of an earlier test, that one.
    pub test: Option<String>,
    /// What supports it.
    #[serde(flatten)]
    pub evidence: Evidence,
}

/// What supports a finding, by its kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Evidence {
    /// Of [`FindingKind::Race`].
    Race(Box<RaceEvidence>),
    /// Of [`FindingKind::Deadlock`] and [`FindingKind::Leak`].
    Deadlock(Box<DeadlockEvidence>),
    /// Of [`FindingKind::LockOrder`].
    LockOrder(Box<LockOrderEvidence>),
    /// Of [`FindingKind::HeapGrowth`].
    HeapGrowth(Box<GrowthEvidence>),
}

/// Two accesses that race, and all that helps to understand why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RaceEvidence {
    /// The access that came first in the merged order; nothing but the merge says so.
    pub first: RaceSide,
    /// The other one.
    pub second: RaceSide,
    /// Why nothing orders them, in words.
    pub why: String,
    /// The block of memory that both accessed, if it is on the heap and was recorded.
    pub allocated_at: Option<Allocation>,
    /// The thread from which both descend, if its spawns are in the log.
    pub common_ancestor: Option<CommonAncestor>,
    /// Distinct places in memory where these sites race.
    pub addresses: u64,
    /// How many pairs of sites are part of this bug.
    pub site_pair_count: u64,
    /// Those pairs, the one shown first; not more than 64.
    pub site_pairs: Vec<SitePair>,
    /// Whether the log is whole where the order of the two was judged.
    pub certain: bool,
}

/// One of two racing accesses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RaceSide {
    /// `read`, `write`, `atomic-read`, ...
    pub access: &'static str,
    /// The thread or goroutine.
    pub goroutine: u32,
    /// Its name, if it has one.
    pub goroutine_name: Option<String>,
    /// The first byte.
    #[serde(serialize_with = "hexadecimal")]
    pub address: Address,
    /// How many bytes.
    pub size: u64,
    /// Which event of the log: `t3#120`.
    #[serde(serialize_with = "as_text")]
    pub event: EventRef,
    /// Where in the program, innermost first.
    pub stack: Vec<Frame>,
    /// Where its thread was started; empty for the main thread.
    pub created_at: Vec<Frame>,
    /// The threads that started its thread, the nearest first.
    pub ancestors: Vec<Ancestor>,
    /// Locks that its thread held.
    pub locks_held: Vec<HeldLock>,
    /// The thread's last synchronisation before the access.
    pub last_sync_before: Option<SyncPoint>,
    /// The thread's first synchronisation after the access.
    pub first_sync_after: Option<SyncPoint>,
}

/// A thread that started another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ancestor {
    /// The thread.
    pub goroutine: u32,
    /// Its name, if it has one.
    pub goroutine_name: Option<String>,
    /// Where it was started itself.
    pub created_at: Vec<Frame>,
}

/// A lock that was held.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeldLock {
    /// `mutex`, `read-lock` or `write-lock`.
    pub mode: &'static str,
    /// The lock's address.
    #[serde(serialize_with = "hexadecimal")]
    pub object: Address,
    /// Where it was taken.
    pub stack: Vec<Frame>,
}

/// An event that synchronises.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SyncPoint {
    /// Which event of the log.
    #[serde(serialize_with = "as_text")]
    pub event: EventRef,
    /// The event's name in the table of kinds: `mutex-unlock`.
    pub operation: &'static str,
    /// The memory order of an atomic operation.
    pub order: Option<&'static str>,
    /// The object's address; 0 if there is none.
    #[serde(serialize_with = "hexadecimal")]
    pub object: Address,
    /// Where in the program.
    pub stack: Vec<Frame>,
}

/// Where a block of memory comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Allocation {
    /// The block's first byte.
    #[serde(serialize_with = "hexadecimal")]
    pub address: Address,
    /// The block's size in bytes.
    pub size: u64,
    /// The type, if the recorder knew.
    pub type_name: Option<String>,
    /// Who allocated it.
    pub goroutine: u32,
    /// That thread's name, if it has one.
    pub goroutine_name: Option<String>,
    /// Where.
    pub stack: Vec<Frame>,
}

/// The nearest thread that is an ancestor of both sides, or one of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CommonAncestor {
    /// The thread.
    pub goroutine: u32,
    /// Its name, if it has one.
    pub goroutine_name: Option<String>,
    /// Where it started the branch that the first side belongs to; empty if it is that side itself.
    pub started_first_at: Vec<Frame>,
    /// Where it started the branch that the second side belongs to.
    pub started_second_at: Vec<Frame>,
}

/// Two places in the program that race with each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SitePair {
    /// What the first does.
    pub first_access: &'static str,
    /// Where.
    pub first: Vec<Frame>,
    /// What the second does.
    pub second_access: &'static str,
    /// Where.
    pub second: Vec<Frame>,
    /// Racing pairs of accesses of these two.
    pub event_pairs: u64,
    /// Distinct places in memory.
    pub addresses: u64,
}

/// Threads of which none can go on unless another of them does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeadlockEvidence {
    /// Since when: the last of them began to wait.
    pub since_ns: u64,
    /// Who waits; a circle of locks first, each for one that the next holds.
    pub waits: Vec<BlockedThread>,
    /// Why nobody can go on, in words.
    pub why: String,
}

/// Locks that threads took in circular order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LockOrderEvidence {
    /// Who took which lock while holding which: each takes what the next one holds.
    pub edges: Vec<LockOrderEdge>,
    /// Why that may be a deadlock, in words.
    pub why: String,
}

/// A thread that took a lock while it held another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LockOrderEdge {
    /// The thread.
    pub goroutine: u32,
    /// Its name, if it has one.
    pub goroutine_name: Option<String>,
    /// The lock that it held.
    #[serde(serialize_with = "hexadecimal")]
    pub held: Address,
    /// Which event took that.
    #[serde(serialize_with = "as_text")]
    pub held_event: EventRef,
    /// Where.
    pub held_stack: Vec<Frame>,
    /// The lock that it took.
    #[serde(serialize_with = "hexadecimal")]
    pub taken: Address,
    /// Which event took that.
    #[serde(serialize_with = "as_text")]
    pub taken_event: EventRef,
    /// Where.
    pub taken_stack: Vec<Frame>,
}

/// A site whose live bytes grow.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GrowthEvidence {
    /// Where it allocates.
    pub stack: Vec<Frame>,
    /// The shape of its curve.
    pub growth: GrowthVerdict,
    /// From 0 to 1.
    pub confidence: f64,
    /// How fast it grows.
    pub slope_bytes_per_second: i64,
    /// Live bytes at the end of the log.
    pub live_at_end_bytes: u64,
    /// The curve.
    pub points: Vec<HeapPoint>,
    /// The verdict's reason in words.
    pub why: String,
}

/// A thread as people know it: `t7`, or `t7 "worker"`.
pub fn thread_in_words(thread: u32, name: Option<&str>) -> String {
    let thread = ThreadId::new(thread);
    match name {
        Some(name) => format!("{thread} \"{name}\""),
        None if thread == ThreadId::MAIN => format!("{thread} (main)"),
        None => thread.to_string(),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(crate) fn hexadecimal<S: Serializer>(
    address: &Address,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(address)
}

pub(crate) fn as_text<S: Serializer>(event: &EventRef, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(event)
}

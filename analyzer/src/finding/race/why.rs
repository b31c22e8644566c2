//! Why nothing orders two accesses, in sentences that name what is missing.

use super::super::{CommonAncestor, HeldLock, RaceSide, SyncPoint, thread_in_words};
use crate::symbol::{Frame, Place, library_call, program_frame};

/// What the sentences are made of.
pub(super) struct Why<'a> {
    pub(super) first: &'a RaceSide,
    pub(super) second: &'a RaceSide,
    /// What the first side published first, after its access.
    pub(super) release_after: Option<&'a SyncPoint>,
    /// What the second side took last, before its access.
    pub(super) acquire_before: Option<&'a SyncPoint>,
    /// Whether that taking came before that publishing.
    pub(super) taken_too_early: bool,
    pub(super) common_ancestor: Option<&'a CommonAncestor>,
    pub(super) certain: bool,
}

impl Why<'_> {
    pub(super) fn in_words(&self) -> String {
        let mut sentences = vec![self.locks()];
        sentences.extend(self.atomics());
        sentences.push(self.nearest_edge());
        sentences.extend(self.ancestor());
        if !self.certain {
            sentences.push(
                "The log has a gap before the second access: what orders them may have been lost."
                    .to_owned(),
            );
        }
        sentences.join(" ")
    }

    fn first_thread(&self) -> String {
        thread_in_words(self.first.goroutine, self.first.goroutine_name.as_deref())
    }

    fn second_thread(&self) -> String {
        thread_in_words(self.second.goroutine, self.second.goroutine_name.as_deref())
    }

    fn locks(&self) -> String {
        let (first, second) = (&self.first.locks_held, &self.second.locks_held);
        let shared = |mine: &&HeldLock| second.iter().any(|theirs| theirs.object == mine.object);
        if let Some(lock) = first.iter().find(shared) {
            return if lock.mode == "read-lock" {
                format!(
                    "Both held rwlock {} for reading only, which orders nothing: a write needs \
                     the write lock.",
                    lock.object
                )
            } else {
                format!("Both held {}, taken by {}.", lock_in_words(lock), self.first_thread())
            };
        }
        match (first.first(), second.first()) {
            (None, None) => "Neither side held a lock.".to_owned(),
            (Some(lock), None) => self.one_lock(&self.first_thread(), lock, &self.second_thread()),
            (None, Some(lock)) => self.one_lock(&self.second_thread(), lock, &self.first_thread()),
            (Some(mine), Some(theirs)) => format!(
                "They held different locks: {} {}, {} {}.",
                self.first_thread(),
                lock_in_words(mine),
                self.second_thread(),
                lock_in_words(theirs)
            ),
        }
    }

    #[expect(clippy::unused_self, reason = "reads as one of the sentences")]
    fn one_lock(&self, holder: &str, lock: &HeldLock, other: &str) -> String {
        format!("{holder} held {}; {other} held no lock.", lock_in_words(lock))
    }

    /// The commonest mistake with atomics: the right operations, with an order that says nothing.
    fn atomics(&self) -> Option<String> {
        let after = self.first.first_sync_after.as_ref()?;
        let before = self.second.last_sync_before.as_ref()?;
        let relaxed = |point: &SyncPoint| point.order == Some("relaxed");
        let both = after.object == before.object && after.order.is_some() && before.order.is_some();
        (both && (relaxed(after) || relaxed(before))).then(|| {
            format!(
                "Both used the atomic at {} in between, but {} publishes nothing: it takes a \
                 release and an acquire.",
                after.object,
                match (relaxed(after), relaxed(before)) {
                    (true, true) => "relaxed order on both sides",
                    (true, false) => "a relaxed store",
                    _ => "what a relaxed load sees",
                }
            )
        })
    }

    fn nearest_edge(&self) -> String {
        let (first, second) = (self.first_thread(), self.second_thread());
        let released = match self.release_after {
            Some(point) => format!(
                "After its {}, {first} next published by {}",
                self.first.access,
                point_in_words(point)
            ),
            None => format!("After its {}, {first} published nothing", self.first.access),
        };
        let taken = match self.acquire_before {
            Some(point) => format!(
                "before its {}, {second} last took by {}",
                self.second.access,
                point_in_words(point)
            ),
            None => format!("before its {}, {second} took nothing from anyone", self.second.access),
        };
        let missing = match (self.release_after, self.acquire_before) {
            (Some(release), Some(acquire))
                if release.object == acquire.object && release.object.0 != 0 =>
            {
                if self.taken_too_early {
                    ": the same object, but taken before it was published"
                } else {
                    ": the same object, but no rule leads from the one to the other"
                }
            }
            (Some(_), Some(_)) => ": no edge leads from the one to the other",
            _ => ": there is nothing for an edge to lead from or to",
        };
        format!("{released}; {taken}{missing}.")
    }

    fn ancestor(&self) -> Option<String> {
        let common = self.common_ancestor?;
        let name = thread_in_words(common.goroutine, common.goroutine_name.as_deref());
        let started = |thread: &str, at: &[Frame]| format!("{thread} at {}", place(at));
        let (first, second) = (&common.started_first_at, &common.started_second_at);
        let no_way_back = |child: &str, at: &[Frame], own: &str| {
            format!(
                "{name} started {}, and nothing leads back from there to its own {own} (JOIN, WG, \
                 CHAN-SEND, MUTEX ... would).",
                started(child, at)
            )
        };
        Some(match (first.is_empty(), second.is_empty()) {
            (true, true) => return None,
            (true, false) => no_way_back(&self.second_thread(), second, self.first.access),
            (false, true) => no_way_back(&self.first_thread(), first, self.second.access),
            (false, false) => format!(
                "The threads part at {name}, which started the one's branch at {} and the \
                 other's at {}.",
                place(first),
                place(second)
            ),
        })
    }
}

fn lock_in_words(lock: &HeldLock) -> String {
    let what = match lock.mode {
        "mutex" => "mutex",
        "read-lock" => "the read lock of rwlock",
        _ => "the write lock of rwlock",
    };
    format!("{what} {} (taken at {})", lock.object, place(&lock.stack))
}

fn point_in_words(point: &SyncPoint) -> String {
    match point.operation {
        "start" => return "its start".to_owned(),
        "end" => return "its end, which only a join takes".to_owned(),
        _ => {}
    }
    let mut words = point.operation.to_owned();
    if let Some(order) = point.order {
        words = format!("{words} ({order})");
    }
    if point.object.0 != 0 {
        words = format!("{words} of {}", point.object);
    }
    if let Some(called) = library_call(&point.stack, point.operation) {
        words = format!("{words} in {called}");
    }
    if program_frame(&point.stack).is_some() {
        words = format!("{words} at {}", place(&point.stack));
    }
    words
}

fn place(stack: &[Frame]) -> String {
    program_frame(stack)
        .map_or_else(|| "an unknown place".to_owned(), |frame| Place(frame).to_string())
}

//! From racing pairs of sites to findings that say what, where, who and why.

mod why;

use mmtrace_format::event::EventKind;
use mmtrace_format::{StackId, StringId, ThreadId};

use super::grouping::{Bug, NamedStacks};
use super::{
    Allocation, Ancestor, CommonAncestor, Evidence, Finding, FindingKind, HeldLock, RaceEvidence,
    RaceSide, Severity, SitePair, SyncPoint,
};
use crate::context::{Block, Held, Lives, Question, Surroundings, SyncEvent, order_of};
use crate::race::{AccessRef, RacePair};
use crate::symbol::{Frame, Place, Symbols, program_frame};

/// The most ancestors of a thread that a report lists.
const ANCESTORS_MAX: usize = 16;
/// The most pairs of sites that a finding lists in full; `count` counts all.
const SITE_PAIRS_MAX: usize = 64;

/// What has to be asked about the accesses that will be shown: two for each bug, in order.
pub fn questions(bugs: &[Bug], pairs: &[RacePair]) -> Vec<Question> {
    let shown = bugs.iter().map(|bug| &pairs[bug.pairs[0]]);
    let ask = |access: &AccessRef| Question { event: access.event(), address: access.address };
    shown.flat_map(|pair| [ask(&pair.first), ask(&pair.second)]).collect()
}

/// Writes findings about races.
#[derive(Debug)]
pub struct Writer<'w, 'log> {
    /// All pairs of sites.
    pub pairs: &'w [RacePair],
    /// Where threads came from.
    pub lives: &'w Lives<'w>,
    /// What surrounds the accesses of [`questions`].
    pub answers: &'w [Surroundings],
    /// Names of stacks, and strings.
    pub symbols: &'w mut Symbols<'log>,
    /// Stacks that have names already.
    pub stacks: &'w mut NamedStacks,
}

impl Writer<'_, '_> {
    /// The findings, in the order of the bugs, which must be those of the questions.
    pub fn findings(&mut self, bugs: &[Bug]) -> Vec<Finding> {
        let answers = self.answers.chunks_exact(2);
        bugs.iter()
            .zip(answers)
            .map(|(bug, sides)| self.finding(bug, &sides[0], &sides[1]))
            .collect()
    }

    fn finding(&mut self, bug: &Bug, first: &Surroundings, second: &Surroundings) -> Finding {
        let all = self.pairs;
        let members = || bug.pairs.iter().map(|&index| &all[index]);
        let shown = &all[bug.pairs[0]];
        let certain = !shown.uncertain;
        let common_ancestor = self.common_ancestor(shown.first.thread, shown.second.thread);
        let sides = [self.side(&shown.first, first), self.side(&shown.second, second)];
        let why = {
            let acquire_before = second.acquire_before.map(|sync| self.sync_point(&sync));
            let release_after = first.release_after.map(|sync| self.sync_point(&sync));
            let taken_too_early = match (&first.release_after, &second.acquire_before) {
                (Some(release), Some(acquire)) => acquire.position < release.position,
                _ => false,
            };
            why::Why {
                first: &sides[0],
                second: &sides[1],
                release_after: release_after.as_ref(),
                acquire_before: acquire_before.as_ref(),
                taken_too_early,
                common_ancestor: common_ancestor.as_ref(),
                certain,
            }
            .in_words()
        };
        let test = self.test(first, second).or_else(|| self.test_by_code(&sides));
        let [first_side, second_side] = sides;
        Finding {
            kind: FindingKind::Race,
            fingerprint: bug.fingerprint,
            severity: if certain { Severity::Error } else { Severity::Note },
            title: title(&first_side, &second_side),
            count: members().map(|pair| pair.event_pairs).sum(),
            test,
            evidence: Evidence::Race(Box::new(RaceEvidence {
                why,
                allocated_at: first.block.or(second.block).map(|block| self.allocation(&block)),
                common_ancestor,
                addresses: members().map(|pair| pair.addresses).max().unwrap_or(0),
                site_pairs: members()
                    .take(SITE_PAIRS_MAX)
                    .map(|pair| self.site_pair(pair))
                    .collect(),
                site_pair_count: bug.pairs.len() as u64,
                certain,
                first: first_side,
                second: second_side,
            })),
        }
    }

    fn side(&mut self, access: &AccessRef, around: &Surroundings) -> RaceSide {
        RaceSide {
            access: access.kind.name(),
            goroutine: access.thread.as_u32(),
            goroutine_name: self.thread_name(access.thread),
            address: access.address,
            size: access.size,
            event: access.event(),
            stack: self.frames(access.stack),
            created_at: self.created_at(access.thread),
            ancestors: self.ancestors(access.thread),
            locks_held: around.locks.iter().map(|lock| self.held_lock(lock)).collect(),
            last_sync_before: around.before.map(|sync| self.sync_point(&sync)),
            first_sync_after: around.after.map(|sync| self.sync_point(&sync)),
        }
    }

    fn frames(&mut self, stack: StackId) -> Vec<Frame> {
        self.stacks.get(stack, self.symbols).frames.clone()
    }

    fn text(&self, string: StringId) -> Option<String> {
        let text = self.symbols.string(string);
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn thread_name(&self, thread: ThreadId) -> Option<String> {
        self.text(self.lives.life(thread)?.name)
    }

    fn parent(&self, thread: ThreadId) -> Option<(ThreadId, StackId)> {
        let (spawn, stack) = self.lives.life(thread)?.started?;
        Some((spawn.thread, stack))
    }

    fn created_at(&mut self, thread: ThreadId) -> Vec<Frame> {
        match self.parent(thread) {
            Some((_, stack)) => self.frames(stack),
            None => Vec::new(),
        }
    }

    /// The thread, its parent, and so on. A damaged log may have a circle: it is cut.
    fn line_of(&self, thread: ThreadId, longest: usize) -> Vec<ThreadId> {
        let next = |&thread: &ThreadId| self.parent(thread).map(|(parent, _)| parent);
        let mut line: Vec<ThreadId> = Vec::new();
        for ancestor in std::iter::successors(Some(thread), next).take(longest) {
            if line.contains(&ancestor) {
                break;
            }
            line.push(ancestor);
        }
        line
    }

    fn ancestors(&mut self, thread: ThreadId) -> Vec<Ancestor> {
        let line = self.line_of(thread, ANCESTORS_MAX + 1);
        let ancestor = |&ancestor: &ThreadId| Ancestor {
            goroutine: ancestor.as_u32(),
            goroutine_name: self.thread_name(ancestor),
            created_at: self.created_at(ancestor),
        };
        line[1..].iter().map(ancestor).collect()
    }

    fn common_ancestor(&mut self, first: ThreadId, second: ThreadId) -> Option<CommonAncestor> {
        let first_line = self.line_of(first, 1 << 10);
        let second_line = self.line_of(second, 1 << 10);
        let in_second = |thread| second_line.iter().position(|&other| other == thread);
        let (a, b) = first_line
            .iter()
            .enumerate()
            .find_map(|(a, &thread)| in_second(thread).map(|b| (a, b)))?;
        let mut branch = |line: &[ThreadId], place: usize| {
            place.checked_sub(1).map(|child| self.created_at(line[child])).unwrap_or_default()
        };
        let started_first_at = branch(&first_line, a);
        let started_second_at = branch(&second_line, b);
        Some(CommonAncestor {
            goroutine: first_line[a].as_u32(),
            goroutine_name: self.thread_name(first_line[a]),
            started_first_at,
            started_second_at,
        })
    }

    fn held_lock(&mut self, lock: &Held) -> HeldLock {
        let mode = match lock.kind {
            EventKind::ReadLock => "read-lock",
            EventKind::WriteLock => "write-lock",
            _ => "mutex",
        };
        HeldLock { mode, object: lock.object, stack: self.frames(lock.stack) }
    }

    fn sync_point(&mut self, sync: &SyncEvent) -> SyncPoint {
        SyncPoint {
            event: sync.at,
            operation: sync.event.kind.spec().name,
            order: order_of(&sync.event).map(mmtrace_format::event::MemoryOrder::name),
            object: mmtrace_format::Address(sync.event.object),
            stack: self.frames(sync.event.stack),
        }
    }

    fn allocation(&mut self, block: &Block) -> Allocation {
        Allocation {
            address: block.address,
            size: block.size,
            type_name: self.text(block.type_name),
            goroutine: block.thread.as_u32(),
            goroutine_name: self.thread_name(block.thread),
            stack: self.frames(block.stack),
        }
    }

    fn site_pair(&mut self, pair: &RacePair) -> SitePair {
        SitePair {
            first_access: pair.first.kind.name(),
            first: self.frames(pair.first.stack),
            second_access: pair.second.kind.name(),
            second: self.frames(pair.second.stack),
            event_pairs: pair.event_pairs,
            addresses: pair.addresses,
        }
    }

    /// The test to blame: one that had ended and left a thread behind, else the first side's.
    fn test(&self, first: &Surroundings, second: &Surroundings) -> Option<String> {
        let sides = [first, second];
        let left_behind = sides.iter().find(|side| side.test_over);
        let any = left_behind.or_else(|| sides.iter().find(|side| side.test.is_some()))?;
        self.text(any.test?)
    }

    /// The test that the code of a side was written in: what timers and cleanups call descends from
    /// no test's goroutine, but is mostly a function inside of one.
    fn test_by_code(&self, sides: &[RaceSide]) -> Option<String> {
        let stacks = sides.iter().flat_map(|side| &side.stack);
        let functions: Vec<&str> =
            stacks.filter_map(|frame| enclosing_function(frame.function.as_deref()?)).collect();
        let tests = self.lives.tests().filter_map(|test| self.text(test));
        // Sides inside of two tests name neither for sure: the order of names decides, not of a set.
        tests.filter(|test| functions.contains(&test.as_str())).min()
    }
}

/// `TestX` of Go's `example.org/m/pkg.TestX.func1.2`: the function that closures are written in.
fn enclosing_function(function: &str) -> Option<&str> {
    let name = function.rsplit('/').next()?;
    name.split('.').nth(1)
}

fn title(first: &RaceSide, second: &RaceSide) -> String {
    format!("data race: {}, {}", side_in_words(first), side_in_words(second))
}

/// `write in app::add at src/app.rs:14`.
pub fn side_in_words(side: &RaceSide) -> String {
    match program_frame(&side.stack) {
        Some(frame) if frame.function.is_some() => {
            format!("{} in {frame} at {}", side.access, Place(frame))
        }
        Some(frame) => format!("{} at {frame}", side.access),
        None => format!("{} at an unknown place", side.access),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closures_are_written_in_a_function_of_their_package() {
        for (function, enclosing) in [
            ("example.org/m/pkg.TestX.func1.2", Some("TestX")),
            ("main.main", Some("main")),
            ("gopkg.in/yaml%2ev3.Unmarshal", Some("Unmarshal")),
            ("main", None),
        ] {
            assert_eq!(enclosing_function(function), enclosing, "{function}");
        }
    }
}

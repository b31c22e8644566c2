//! Where threads come from: who started them, what they are called, whose test they belong to.

use std::collections::HashSet;

use mmtrace_format::{Event, EventKind, StackId, StringId, ThreadId};

use crate::order::{EventRef, MergeSink, OrderGap};

/// Where a thread came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// Its name; the empty string if it has none.
    pub name: StringId,
    /// The spawn that started it, and where that is in the program.
    pub started: Option<(EventRef, StackId)>,
    test: Option<StringId>,
}

/// All threads' lives so far, in merged order. A few dozen bytes a thread.
#[derive(Debug)]
pub struct Lives<'t> {
    /// All threads, ascending: places here are dense numbers.
    threads: &'t [ThreadId],
    all: Vec<Life>,
    tests: HashSet<StringId>,
    tests_over: HashSet<StringId>,
}

impl<'t> Lives<'t> {
    /// Nothing is known yet of these threads, which ascend.
    pub fn new(threads: &'t [ThreadId]) -> Self {
        Self {
            threads,
            all: vec![Life::default(); threads.len()],
            tests: HashSet::new(),
            tests_over: HashSet::new(),
        }
    }

    /// What is known of a thread.
    pub fn life(&self, thread: ThreadId) -> Option<&Life> {
        self.all.get(self.dense(thread)?)
    }

    /// The tests that were begun, in no order.
    pub fn tests(&self) -> impl Iterator<Item = StringId> {
        self.tests.iter().copied()
    }

    /// The test that a thread belongs to by its ancestors, and whether that test has ended.
    pub fn test_of(&self, dense: usize) -> Option<(StringId, bool)> {
        let test = self.all[dense].test?;
        Some((test, self.tests_over.contains(&test)))
    }

    fn dense(&self, thread: ThreadId) -> Option<usize> {
        match self.threads.get(thread.index()) {
            Some(&found) if found == thread => Some(thread.index()),
            _ => self.threads.binary_search(&thread).ok(),
        }
    }
}

impl MergeSink for Lives<'_> {
    #[inline]
    fn event(&mut self, dense: usize, at: EventRef, event: &Event) {
        let life = &mut self.all[dense];
        match event.kind {
            EventKind::Name => life.name = StringId::new(low_32(event.value)),
            EventKind::TestStart => {
                let test = StringId::new(low_32(event.value));
                life.test = Some(test);
                self.tests.insert(test);
            }
            EventKind::TestEnd => {
                self.tests_over.insert(StringId::new(low_32(event.value)));
            }
            EventKind::Spawn => {
                let test = life.test;
                if let Some(child) = self.dense(ThreadId::new(low_32(event.value))) {
                    let child = &mut self.all[child];
                    child.started = Some((at, event.stack));
                    child.test = test;
                }
            }
            _ => {}
        }
    }

    fn accesses(&mut self, _: usize, _: EventRef, _: usize, _: u32, _: u32) {}

    fn thread_done(&mut self, _: usize) {}

    fn gap(&mut self, _: &OrderGap) {}
}

fn low_32(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

//! The clocks of all threads, and the two things that happen to them: publish and take.

use mmtrace_format::ThreadId;

use super::publication::{Accumulator, Publication, Published};
use super::{Edge, Knowledge};
use crate::clock::{Chains, Epoch, Spare, VectorClock};
use crate::order::EventRef;
use crate::rules::Rule;

/// What each thread knows now.
#[derive(Debug)]
pub(super) struct Clocks {
    threads: Vec<Thread>,
    chains: Chains,
    spare: Spare,
    /// The edges that arrived at the present event, if they are asked for.
    edges: Option<Vec<Edge>>,
    /// The present event.
    at: EventRef,
    /// Its edges are accidents.
    pub(super) weak: bool,
}

#[derive(Debug, Default)]
struct Thread {
    clock: VectorClock,
    epoch: Option<Epoch>,
    /// Somebody may know the epoch: whatever comes next needs a new one.
    published: bool,
    /// Its last event's place, for edges that leave from its end; kept only when edges are.
    last_event: u64,
}

impl Clocks {
    pub(super) fn new(thread_count: usize, with_edges: bool) -> Self {
        let mut threads = Vec::new();
        threads.resize_with(thread_count, Thread::default);
        Self {
            threads,
            chains: Chains::default(),
            spare: Spare::default(),
            edges: with_edges.then(Vec::new),
            at: EventRef { thread: ThreadId::MAIN, index: 0 },
            weak: false,
        }
    }

    /// The next event begins.
    #[inline]
    pub(super) fn begin(&mut self, dense: usize, at: EventRef) {
        self.at = at;
        if let Some(edges) = &mut self.edges {
            edges.clear();
            self.threads[dense].last_event = at.index;
        }
    }

    pub(super) fn with_edges(&self) -> bool {
        self.edges.is_some()
    }

    pub(super) fn edges(&self) -> &[Edge] {
        self.edges.as_deref().unwrap_or_default()
    }

    pub(super) fn chain_count(&self) -> usize {
        self.chains.count()
    }

    /// A copy of some thread's clock is not needed any more.
    pub(super) fn recycle(&mut self, clock: VectorClock) {
        clock.recycle(&mut self.spare);
    }

    pub(super) fn knowledge(&self, dense: usize) -> Knowledge<'_> {
        let thread = &self.threads[dense];
        Knowledge { epoch: thread.epoch, clock: &thread.clock }
    }

    /// The epoch of accesses that the thread makes from now to its next event.
    #[inline]
    pub(super) fn access(&mut self, dense: usize) -> Epoch {
        let thread = &self.threads[dense];
        match thread.epoch {
            Some(epoch) if !thread.published => epoch,
            _ => self.advance(dense),
        }
    }

    fn advance(&mut self, dense: usize) -> Epoch {
        let thread = &mut self.threads[dense];
        thread.published = false;
        let epoch = match thread.epoch {
            Some(epoch) => self.chains.next(epoch, &mut thread.clock),
            None => self.chains.begin(&thread.clock),
        };
        thread.epoch = Some(epoch);
        epoch
    }

    /// The thread has done all that it does in this log.
    pub(super) fn thread_done(&mut self, dense: usize) {
        if let Some(epoch) = self.threads[dense].epoch {
            self.chains.end(epoch);
        }
    }

    /// What the thread knows, at the present event, for others to take.
    #[inline]
    pub(super) fn publish(&mut self, dense: usize) -> Publication {
        let thread = &mut self.threads[dense];
        // Without an epoch it has touched nothing yet: what it passes on is what it took.
        thread.published = thread.epoch.is_some();
        Publication { epoch: thread.epoch, clock: thread.clock.clone(), from: self.at }
    }

    /// What a thread that is done knew at its end. It can be had once.
    pub(super) fn last_words(&mut self, dense: usize, thread: ThreadId) -> Publication {
        let ended = &mut self.threads[dense];
        let from = EventRef { thread, index: ended.last_event };
        Publication { epoch: ended.epoch, clock: std::mem::take(&mut ended.clock), from }
    }

    /// The thread takes what was published.
    #[inline]
    pub(super) fn take(&mut self, dense: usize, rule: Rule, publication: &Publication) {
        self.draw(rule, publication.from);
        let thread = &mut self.threads[dense];
        let news = match publication.epoch {
            Some(epoch) if thread.epoch.is_some_and(|own| own.slot == epoch.slot) => false,
            // Whoever knows the epoch knows the clock that was published with it.
            Some(epoch) if epoch.happens_before(&thread.clock) => false,
            Some(epoch) => {
                thread.clock.join_in(&publication.clock, &mut self.spare);
                thread.clock.learn_in(epoch, &mut self.spare);
                true
            }
            None => thread.clock.join_in(&publication.clock, &mut self.spare),
        };
        // An epoch stands for one state of the clock: what changes it needs another one.
        if news && thread.published {
            self.advance(dense);
        }
    }

    /// The thread takes what everybody has done so far, in merged order.
    pub(super) fn take_all(&mut self, dense: usize, rule: Rule) {
        for other in (0..self.threads.len()).filter(|&other| other != dense) {
            let publication = self.publish(other);
            self.take(dense, rule, &publication);
        }
    }

    pub(super) fn take_accumulated(&mut self, dense: usize, rule: Rule, from: &Accumulator) {
        for &event in &from.from {
            self.draw(rule, event);
        }
        let thread = &mut self.threads[dense];
        if thread.clock.join_in(&from.clock, &mut self.spare) && thread.published {
            self.advance(dense);
        }
    }

    #[inline]
    pub(super) fn take_published(&mut self, dense: usize, rule: Rule, published: &Published) {
        match published {
            Published::Nothing => {}
            Published::One(publication) => self.take(dense, rule, publication),
            Published::Many(accumulator) => self.take_accumulated(dense, rule, accumulator),
        }
    }

    /// Publishes into `published` beside what is there.
    #[inline]
    pub(super) fn merge_into(&mut self, dense: usize, published: &mut Published) {
        let publication = self.publish(dense);
        published.merge(publication, self.with_edges());
    }

    pub(super) fn add_to(&mut self, dense: usize, accumulator: &mut Accumulator) {
        let publication = self.publish(dense);
        accumulator.add(&publication, self.with_edges());
    }

    #[inline]
    fn draw(&mut self, rule: Rule, from: EventRef) {
        if let Some(edges) = &mut self.edges
            && from.thread != self.at.thread
        {
            edges.push(Edge { rule, from, weak: self.weak });
        }
    }
}

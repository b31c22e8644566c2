//! Events to clock operations: which object's rule each kind goes by.

use mmtrace_format::event::MemoryOrder;
use mmtrace_format::{Event, EventKind, ThreadId};

use super::atomics::Fences;
use super::channel::Channel;
use super::clocks::Clocks;
use super::objects::{Objects, Stamped, object};
use super::publication::{Publication, Published};
use super::{Edge, Knowledge};
use crate::clock::{Epoch, VectorClock};
use crate::order::{EventRef, GapCause, OrderGap, Trace};
use crate::rules::Rule;

/// Flag of a generic event's detail: an edge by accident.
const WEAK: u32 = 1;

/// What each thread knows now, and what each object holds for others.
#[derive(Debug)]
pub struct HappensBefore<'t> {
    trace: &'t Trace<'t>,
    clocks: Clocks,
    objects: Objects,
    /// What the spawn of each thread published, until the thread starts.
    spawned: Vec<Option<Box<Publication>>>,
    fences: Vec<Option<Box<Fences>>>,
}

impl<'t> HappensBefore<'t> {
    /// The beginning of a log: nobody knows anything.
    pub fn new(trace: &'t Trace<'t>) -> Self {
        Self::begin(trace, false)
    }

    /// The same, keeping for every event the edges that arrive at it.
    pub fn with_edges(trace: &'t Trace<'t>) -> Self {
        Self::begin(trace, true)
    }

    fn begin(trace: &'t Trace<'t>, with_edges: bool) -> Self {
        let count = trace.threads().len();
        let (mut spawned, mut fences) = (Vec::new(), Vec::new());
        spawned.resize_with(count, || None);
        fences.resize_with(count, || None);
        let clocks = Clocks::new(count, with_edges);
        Self { trace, clocks, objects: Objects::default(), spawned, fences }
    }

    /// The edges that arrived at the last event, if they were asked for.
    pub fn edges(&self) -> &[Edge] {
        self.clocks.edges()
    }

    /// What a thread knows now.
    pub fn knowledge(&self, dense: usize) -> Knowledge<'_> {
        self.clocks.knowledge(dense)
    }

    /// How many chains the threads were put into so far.
    pub fn chain_count(&self) -> usize {
        self.clocks.chain_count()
    }

    /// A copy of what some thread knew is not needed any more.
    pub fn recycle(&mut self, clock: VectorClock) {
        self.clocks.recycle(clock);
    }

    /// A thread touches memory: the epoch of its accesses from here to its next event.
    #[inline]
    pub fn access(&mut self, dense: usize) -> Epoch {
        self.clocks.access(dense)
    }

    /// A thread has done all that it does in this log.
    pub fn thread_done(&mut self, dense: usize) {
        self.fences[dense] = None;
        self.clocks.thread_done(dense);
    }

    /// The order was not known here: forget what a lost event may have overwritten.
    pub fn gap(&mut self, gap: &OrderGap) {
        if let GapCause::MissingNumbers { stripe, .. } | GapCause::LateNumber { stripe, .. } =
            gap.cause
        {
            self.objects.gaps.add(stripe);
        }
    }

    /// The next event in merged order.
    #[inline]
    pub fn event(&mut self, dense: usize, at: EventRef, event: &Event) {
        use EventKind as Kind;

        self.clocks.begin(dense, at);
        let Self { clocks, objects, .. } = self;
        let pages = &mut objects.pages;
        let place = event.object;
        match event.kind {
            Kind::MutexLock => object(&mut objects.mutexes, pages, place).lock(clocks, dense),
            Kind::MutexUnlock => object(&mut objects.mutexes, pages, place).unlock(clocks, dense),
            Kind::ReadLock => object(&mut objects.rwlocks, pages, place).read_lock(clocks, dense),
            Kind::ReadUnlock => {
                object(&mut objects.rwlocks, pages, place).read_unlock(clocks, dense);
            }
            Kind::WriteLock => object(&mut objects.rwlocks, pages, place).write_lock(clocks, dense),
            Kind::WriteUnlock => {
                object(&mut objects.rwlocks, pages, place).write_unlock(clocks, dense);
            }
            Kind::Acquire | Kind::Release | Kind::ReleaseMerge | Kind::AcquireRelease => {
                self.generic(dense, event);
            }
            Kind::AtomicLoad | Kind::AtomicStore | Kind::AtomicRmw | Kind::AtomicCasFailed => {
                let atomic = object(&mut objects.atomics, pages, place);
                atomic.forget_across(objects.gaps.at(place));
                atomic.operate(clocks, dense, event, &mut self.fences[dense]);
            }
            Kind::Fence => {
                let order = MemoryOrder::from_detail(event.detail);
                Fences::fence(&mut self.fences[dense], clocks, dense, order);
            }
            Kind::Spawn | Kind::Start | Kind::Join => self.flow(dense, event),
            Kind::OnceDone => {
                *object(&mut objects.onces, pages, place) = Published::One(clocks.publish(dense));
            }
            Kind::OnceWait => {
                let once = object(&mut objects.onces, pages, place);
                clocks.take_published(dense, Rule::Once, once);
            }
            Kind::TimerStart => {
                *object(&mut objects.timers, pages, place) = Published::One(clocks.publish(dense));
            }
            Kind::TimerFire => {
                let timer = object(&mut objects.timers, pages, place);
                clocks.take_published(dense, Rule::Timer, timer);
            }
            Kind::FinalizerSet => {
                *object(&mut objects.finalizers, pages, place) =
                    Published::One(clocks.publish(dense));
            }
            Kind::AcquireAll => clocks.take_all(dense, Rule::Final),
            Kind::FinalizerRun => {
                let finalizer = object(&mut objects.finalizers, pages, place);
                clocks.take_published(dense, Rule::Final, finalizer);
            }
            Kind::InitDone => {
                *object(&mut objects.packages, pages, place) =
                    Published::One(clocks.publish(dense));
            }
            Kind::InitStart => {
                let package = object(&mut objects.packages, pages, place);
                clocks.take_published(dense, Rule::Init, package);
            }
            _ => self.rendezvous(dense, event),
        }
    }

    /// The kinds at which threads meet, pass things on, or make room for new objects.
    fn rendezvous(&mut self, dense: usize, event: &Event) {
        use EventKind as Kind;

        let Self { clocks, objects, .. } = self;
        let pages = &mut objects.pages;
        let (place, value) = (event.object, event.value);
        match event.kind {
            Kind::ChanMake => {
                *object(&mut objects.channels, pages, place) = Channel::with_capacity(value);
            }
            Kind::ChanSend => {
                object(&mut objects.channels, pages, place).send(clocks, dense, value);
            }
            Kind::ChanSendDone => {
                object(&mut objects.channels, pages, place).send_done(clocks, dense, value);
            }
            Kind::ChanRecv => {
                object(&mut objects.channels, pages, place).receive(clocks, dense, value);
            }
            Kind::ChanClose => object(&mut objects.channels, pages, place).close(clocks, dense),
            Kind::ChanRecvClosed => {
                object(&mut objects.channels, pages, place).receive_closed(clocks, dense);
            }
            Kind::WaitGroupAdd => {
                let delta = value.cast_signed();
                object(&mut objects.groups, pages, place).add(clocks, dense, delta);
            }
            Kind::WaitGroupDone => object(&mut objects.groups, pages, place).add(clocks, dense, -1),
            Kind::WaitGroupWait => object(&mut objects.groups, pages, place).wait(clocks, dense),
            Kind::CondNotify => {
                let cond = object(&mut objects.conds, pages, place);
                cond.notify(clocks, dense, event.sequence, value);
            }
            Kind::CondWake => object(&mut objects.conds, pages, place).wake(clocks, dense, value),
            Kind::BarrierArrive => {
                object(&mut objects.barriers, pages, place).arrive(clocks, dense, value);
            }
            Kind::BarrierLeave => {
                object(&mut objects.barriers, pages, place).leave(clocks, dense, value);
            }
            Kind::Unpark => object(&mut objects.tokens, pages, place).unpark(clocks, dense),
            Kind::Park => object(&mut objects.tokens, pages, place).park(clocks, dense),
            Kind::PoolPut => {
                let items = object(&mut objects.pools, pages, place);
                items.insert(value, clocks.publish(dense));
            }
            Kind::PoolGet => {
                if let Some(put) = object(&mut objects.pools, pages, place).remove(&value) {
                    clocks.take(dense, Rule::Pool, &put);
                }
            }
            Kind::MapWrite => {
                let published = Published::One(clocks.publish(dense));
                let entry = Stamped { published, gaps: objects.gaps.at(place) };
                object(&mut objects.maps, pages, place).insert(value, entry);
            }
            Kind::MapRead => {
                let entry = object(&mut objects.maps, pages, place).get(&value);
                if let Some(entry) = entry.filter(|e| e.gaps == objects.gaps.at(place)) {
                    clocks.take_published(dense, Rule::Map, &entry.published);
                }
            }
            Kind::Alloc | Kind::Retire => objects.renew(place, value),
            _ => {}
        }
    }

    fn flow(&mut self, dense: usize, event: &Event) {
        if event.kind == EventKind::Start {
            if let Some(publication) = self.spawned[dense].take() {
                self.clocks.take(dense, Rule::Spawn, &publication);
            }
            return;
        }
        let Ok(number) = u32::try_from(event.value) else { return };
        let thread = ThreadId::new(number);
        // A thread that left no event of its own has nothing to order.
        let Some(child) = self.trace.dense(thread) else { return };
        if event.kind == EventKind::Spawn {
            self.spawned[child] = Some(Box::new(self.clocks.publish(dense)));
        } else {
            let last_words = self.clocks.last_words(child, thread);
            self.clocks.take(dense, Rule::Join, &last_words);
        }
    }

    fn generic(&mut self, dense: usize, event: &Event) {
        let Self { clocks, objects, .. } = self;
        let gaps = objects.gaps.at(event.object);
        let there = object(&mut objects.generic, &mut objects.pages, event.object);
        if there.gaps != gaps {
            *there = Stamped { gaps, published: Published::Nothing };
        }
        if matches!(event.kind, EventKind::Acquire | EventKind::AcquireRelease) {
            clocks.weak = event.detail & WEAK != 0;
            clocks.take_published(dense, Rule::Sync, &there.published);
            clocks.weak = false;
        }
        match event.kind {
            EventKind::Release | EventKind::AcquireRelease => {
                there.published = Published::One(clocks.publish(dense));
            }
            EventKind::ReleaseMerge => clocks.merge_into(dense, &mut there.published),
            _ => {}
        }
    }
}

//! What orders what: one table of happens-before rules.
//!
//! The sources are "The Go Memory Model" (version of June 2022) and, for Rust, the C++20 model that
//! `std::sync::atomic` refers to. Each row has a name that reports and `explain` print, the clause
//! it cites, and the event kinds between which it draws its edge. The code that draws the edges is
//! in [`crate::happens_before`]; a test there checks that it draws no edge that has no row, and
//! that every row is drawn by some pair of events.

use std::fmt;

use mmtrace_format::EventKind;

macro_rules! rules {
    ($($id:ident $name:literal [$($from:ident)*] => [$($to:ident)*] $clause:literal $meaning:literal;)*) => {
        /// A rule of happens-before.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = $meaning] $id,)*
        }

        /// The table, in the order of [`Rule`].
        pub static RULES: &[RuleRow] = &[$(RuleRow {
            rule: Rule::$id,
            name: $name,
            from: &[$(EventKind::$from),*],
            to: &[$(EventKind::$to),*],
            clause: $clause,
            meaning: $meaning,
        }),*];
    };
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct RuleRow {
    /// The rule.
    pub rule: Rule,
    /// Its name in reports.
    pub name: &'static str,
    /// The events that its edges leave from; empty: any.
    pub from: &'static [EventKind],
    /// The events that its edges arrive at; empty: any.
    pub to: &'static [EventKind],
    /// Where it is written.
    pub clause: &'static str,
    /// What it says.
    pub meaning: &'static str,
}

rules! {
    ProgramOrder "PO" [] => [] "Go: sequenced before; C++20 [intro.execution]"
        "Each event happens before the next of the same thread.";
    Init "INIT" [InitDone] => [InitStart] "Go: Initialization"
        "A package's initialisation is complete before code that imports it begins.";
    Spawn "GO" [Spawn] => [Start] "Go: Goroutine creation; std::thread::spawn"
        "The statement that starts a thread happens before the thread's first event.";
    Join "JOIN" [End] => [Join] "std::thread::JoinHandle::join; Go has none: a goroutine's end orders nothing"
        "A thread's last event happens before a join of it returns.";
    Sync "SYNC" [Release ReleaseMerge AcquireRelease] => [Acquire AcquireRelease] "what the instrumentation says"
        "A release of an object happens before a later acquire of it.";
    ChanSend "CHAN-SEND" [ChanSend] => [ChanRecv] "Go: Channel communication, clause 1"
        "The k-th send happens before the k-th receive completes.";
    ChanClose "CHAN-CLOSE" [ChanClose] => [ChanRecvClosed] "Go: Channel communication, clause 2"
        "The closing of a channel happens before a receive that returns because it is closed.";
    ChanCapacity "CHAN-CAP" [ChanRecv] => [ChanSend ChanSendDone] "Go: Channel communication, clauses 3 and 4"
        "The k-th receive happens before the (k+C)-th send completes, C being the capacity; without a buffer, before the k-th.";
    Mutex "MUTEX" [MutexUnlock] => [MutexLock] "Go: Locks, clause 1; std::sync::Mutex"
        "An unlock happens before every later lock returns.";
    RwLock "RWMUTEX" [WriteUnlock ReadUnlock] => [WriteLock ReadLock] "Go: Locks, clause 2; std::sync::RwLock"
        "A write unlock happens before later locks of either kind, a read unlock before the next write lock; readers order nothing among themselves.";
    Once "ONCE" [OnceDone] => [OnceWait] "Go: Once; std::sync::Once"
        "The completion of the function happens before every return of the once.";
    WaitGroup "WG" [WaitGroupDone WaitGroupAdd] => [WaitGroupWait] "Go: sync.WaitGroup.Done"
        "Each Done happens before the Wait that it unblocks returns.";
    Cond "COND" [CondNotify] => [CondWake] "Go: sync.Cond; std::sync::Condvar"
        "A signal happens before the wait that it unblocks returns.";
    Atomic "ATOMIC" [AtomicStore AtomicRmw Fence] => [AtomicLoad AtomicRmw AtomicCasFailed Fence] "Go: Atomic values; C++20 [atomics.order], [atomics.fences]"
        "A release that an acquire observes, through the value or its release sequence, happens before it. In Go every atomic is both.";
    Map "MAP" [MapWrite] => [MapRead] "Go: sync.Map"
        "A write happens before a read that observes it.";
    Pool "POOL" [PoolPut] => [PoolGet] "Go: sync.Pool"
        "A Put(x) happens before the Get that returns x.";
    Final "FINAL" [FinalizerSet] => [FinalizerRun] "Go: Finalizers"
        "Setting a finalizer or cleanup happens before its call.";
    Timer "TIMER" [TimerStart] => [TimerFire] "Go: time.AfterFunc, time.Timer.Reset"
        "Starting a timer happens before its function is called.";
    Barrier "BARRIER" [BarrierArrive] => [BarrierLeave] "std::sync::Barrier"
        "Every arrival of a generation happens before every return of it.";
    Park "PARK" [Unpark] => [Park] "std::thread::park"
        "An unpark happens before the park that takes its token returns.";
    Reuse "REUSE" [Free Retire] => [Alloc] "C++20 [basic.life]; Go: the garbage collector"
        "What was done to freed memory concerns another object than what is done to it after the next allocation.";
}

impl Rule {
    /// The rule's row.
    #[inline]
    pub fn row(self) -> &'static RuleRow {
        &RULES[self as usize]
    }

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The rule with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        RULES.iter().find(|row| row.name == name).map(|row| row.rule)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_finds_its_row_by_number_and_by_name() {
        for (index, row) in RULES.iter().enumerate() {
            assert_eq!(row.rule as usize, index);
            assert_eq!(row.rule.row().name, row.name);
            assert_eq!(Rule::from_name(row.name), Some(row.rule));
        }
    }
}

//! What is changed in Go's own sources: one table.
//!
//! Everything is put into lines that are there, so that line numbers stay; what is new as a whole is
//! appended to a file. An anchor must be found exactly as often as the row says, inside the function
//! (or type) that it names, or the row's whole feature is left out.

/// A part of the recording that needs patches of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Feature {
    /// Where Go's structures have what. All others need it.
    Layout,
    Allocations,
    Channels,
    Select,
    Waiting,
    Syscalls,
    Preemption,
    Collector,
    Stacks,
    Locks,
    WaitGroups,
    Pools,
    Timers,
    WeakEdges,
    Tests,
    FastPaths,
    LockWords,
    Types,
    Onces,
    Maps,
    Finalizers,
}

impl Feature {
    pub(super) const ALL: [Self; 21] = [
        Self::Layout,
        Self::Allocations,
        Self::Channels,
        Self::Select,
        Self::Waiting,
        Self::Syscalls,
        Self::Preemption,
        Self::Collector,
        Self::Stacks,
        Self::Locks,
        Self::WaitGroups,
        Self::Pools,
        Self::Timers,
        Self::WeakEdges,
        Self::Tests,
        Self::FastPaths,
        Self::LockWords,
        Self::Types,
        Self::Onces,
        Self::Maps,
        Self::Finalizers,
    ];

    /// What the user is told if it cannot be had.
    pub(super) const fn loss(self) -> &'static str {
        match self {
            Self::Layout => {
                "Go's runtime could not be patched: synchronisation is recorded as plain acquires \
                 and releases, and waiting, allocations and collections are not recorded."
            }
            Self::Allocations => "Allocations are not recorded: there is no heap report.",
            Self::Channels => "Channel operations are recorded as plain acquires and releases.",
            Self::Select => "Which case a select chose is not recorded.",
            Self::Waiting => {
                "Waiting is not recorded: deadlocks and blocked goroutines are not found."
            }
            Self::Syscalls => "System calls and calls of C are not recorded.",
            Self::Preemption => "That goroutines are preempted is not recorded.",
            Self::Collector => {
                "Collections are not recorded: races may be reported between uses of memory before \
                 and after it was collected."
            }
            Self::Stacks => {
                "Stacks that grow are not recorded: races may be reported between variables on \
                 stacks of different goroutines."
            }
            Self::Locks => "Locks are recorded as plain acquires and releases.",
            Self::WaitGroups => "Wait groups are recorded as plain acquires and releases.",
            Self::Pools => "Pools are recorded as plain acquires and releases.",
            Self::Timers => "Timers are recorded as plain acquires and releases.",
            Self::WeakEdges => "Order that comes from system calls is not marked as weak.",
            Self::Tests => "Tests are not named in the log.",
            Self::LockWords => {
                "What mutexes do inside is recorded as atomic operations: recording is slower."
            }
            Self::Types => "The heap report does not name the types of what is allocated.",
            Self::Onces => "sync.Once is recorded as an atomic and a mutex.",
            Self::Maps => {
                "sync.Map is recorded as the atomics and locks that it is made of, without its name."
            }
            Self::Finalizers => "Finalizers and cleanups are not named in the log.",
            Self::FastPaths => {
                "Every access and function call takes the long way into the recorder: recording is \
                 slower, and complete."
            }
        }
    }

    /// What it does nothing without.
    pub(super) const fn needs(self) -> Option<Self> {
        match self {
            Self::Layout => None,
            // Without it the words are what tells.
            Self::LockWords => Some(Self::Locks),
            Self::Types => Some(Self::Allocations),
            _ => Some(Self::Layout),
        }
    }
}

/// One change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patch {
    pub(super) feature: Feature,
    /// The files that may have it, below `src` of the Go root; the first one that exists counts.
    pub(super) files: &'static [&'static str],
    /// The first line's beginning of the function or type that it is in.
    pub(super) within: &'static str,
    pub(super) find: &'static str,
    pub(super) put: &'static str,
    /// Which of the places is changed.
    pub(super) places: Places,
}

/// Which occurrences of an anchor are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Places {
    /// There is one.
    Only,
    /// There are so many, and all are.
    All(usize),
    /// There are two, and the first is.
    FirstOfTwo,
    /// There is one, or the Go version has nothing of the kind.
    OnlyIfAny,
    /// There is one here, or in another of the feature's rows of this name: versions differ.
    OneOf(&'static str),
}

impl Places {
    /// Whether the row may do nothing.
    pub(super) fn are_optional(self) -> bool {
        matches!(self, Self::OnlyIfAny | Self::OneOf(_))
    }
}

const fn patch(
    feature: Feature,
    files: &'static [&'static str],
    within: &'static str,
    find: &'static str,
    put: &'static str,
    places: Places,
) -> Patch {
    Patch { feature, files, within, find, put, places }
}

const RACE: &[&str] = &["runtime/race.go"];
const CHAN: &[&str] = &["runtime/chan.go"];
const SELECT: &[&str] = &["runtime/select.go"];
const PROC: &[&str] = &["runtime/proc.go"];
const GC: &[&str] = &["runtime/mgc.go"];
const STACK: &[&str] = &["runtime/stack.go"];
const SEMA: &[&str] = &["runtime/sema.go"];
const TIME: &[&str] = &["runtime/time.go"];
pub(super) const MUTEX: &[&str] = &["internal/sync/mutex.go", "sync/mutex.go"];
const RWMUTEX: &[&str] = &["sync/rwmutex.go"];
const GROUP: &[&str] = &["sync/waitgroup.go"];
const POOL: &[&str] = &["sync/pool.go"];
const ONCE: &[&str] = &["sync/once.go"];
pub(super) const MAP: &[&str] = &["sync/hashtriemap.go", "sync/map.go"];
const ALGORITHMS: &[&str] = &["runtime/alg.go"];
const MALLOC: &[&str] = &["runtime/malloc.go"];
const FINALIZERS: &[&str] = &["runtime/mfinal.go"];
const CLEANUPS: &[&str] = &["runtime/mcleanup.go"];
const SYSCALL: &[&str] = &["syscall/syscall_unix.go"];
const TESTING: &[&str] = &["testing/testing.go"];
const ASSEMBLY: &[&str] = &["runtime/race_amd64.s"];

use Feature as F;
use Places as P;

/// The table. Numbers are tags of event kinds; what `mmtraceChan` takes is
/// `mmtrace_recorder::go_runtime::ChannelOperation`.
#[rustfmt::skip]
pub(super) const PATCHES: &[Patch] = &[
    patch(F::Layout, RACE, "func raceinit(", "abi.FuncPCABI0(racecallbackthunk), 0)",
        "abi.FuncPCABI0(racecallbackthunk), mmtraceLayout())", P::Only),

    patch(F::Allocations, RACE, "func racemalloc(", "racecall(&__tsan_malloc, 0, 0, uintptr(p), sz)",
        "mmtraceMalloc(p, sz, nil)", P::Only),
    patch(F::Types, MALLOC, "func mallocgc(", "racemalloc(x, size-asanRZ)", "mmtraceMalloc(x, size-asanRZ, typ)",
        P::OneOf("mallocgc")),
    patch(F::Types, MALLOC, "func mallocgc(", "racemalloc(x, size)", "mmtraceMalloc(x, size, typ)", P::OneOf("mallocgc")),

    patch(F::Channels, CHAN, "type hchan struct {", "\tlock mutex\n", "\tlock mutex; mmtrace [2]uint64\n", P::Only),
    patch(F::Channels, CHAN, "func makechan(", "lockInit(&c.lock, lockRankHchan)",
        "lockInit(&c.lock, lockRankHchan); mmtraceChan(c, 0, nil)", P::Only),
    patch(F::Channels, CHAN, "func chansend(", "racenotify(c, c.sendx, nil)", "mmtraceChan(c, 1, nil)", P::Only),
    patch(F::Channels, CHAN, "func send(", "racesync(c, sg)", "mmtraceChan(c, 5, sg.g)", P::Only),
    patch(F::Channels, CHAN, "func send(", "racenotify(c, c.recvx, nil)", "mmtraceChan(c, 1, nil)", P::Only),
    patch(F::Channels, CHAN, "func send(", "racenotify(c, c.recvx, sg)", "mmtraceChan(c, 4, sg.g)", P::Only),
    patch(F::Channels, CHAN, "func timerchandrain(", "c.qcount--", "c.qcount--; c.mmtrace[1]++", P::OnlyIfAny),
    patch(F::Channels, CHAN, "func closechan(", "racerelease(c.raceaddr())",
        "racerelease(c.raceaddr()); mmtraceChan(c, 7, nil)", P::Only),
    patch(F::Channels, CHAN, "func closechan(", "raceacquireg(gp, c.raceaddr())",
        "raceacquireg(gp, c.raceaddr()); mmtraceChan(c, 9, gp)", P::FirstOfTwo),
    patch(F::Channels, CHAN, "func chanrecv(", "raceacquire(c.raceaddr())", "mmtraceChan(c, 8, nil)", P::All(2)),
    patch(F::Channels, CHAN, "func chanrecv(", "racenotify(c, c.recvx, nil)", "mmtraceChan(c, 2, nil)", P::Only),
    patch(F::Channels, CHAN, "func recv(", "racesync(c, sg)", "mmtraceChan(c, 6, sg.g)", P::Only),
    patch(F::Channels, CHAN, "func recv(", "racenotify(c, c.recvx, nil)", "mmtraceChan(c, 2, nil)", P::Only),
    patch(F::Channels, CHAN, "func recv(", "racenotify(c, c.recvx, sg)", "mmtraceChan(c, 3, sg.g)", P::Only),
    patch(F::Channels, SELECT, "func selectgo(", "racenotify(c, c.recvx, nil)", "mmtraceChan(c, 2, nil)", P::Only),
    patch(F::Channels, SELECT, "func selectgo(", "racenotify(c, c.sendx, nil)", "mmtraceChan(c, 1, nil)", P::Only),
    patch(F::Channels, SELECT, "func selectgo(", "raceacquire(c.raceaddr())", "mmtraceChan(c, 8, nil)", P::Only),

    patch(F::Select, SELECT, "func selectgo(", "if caseReleaseTime > 0 {",
        "mmtraceSelect(casi, nsends+nrecvs); if caseReleaseTime > 0 {", P::Only),

    patch(F::Waiting, PROC, "func gopark(", "if reason != waitReasonSleep {",
        "mmtracePark(lock, reason); if reason != waitReasonSleep {", P::Only),
    patch(F::Waiting, PROC, "func ready(", "status := readgstatus(gp)",
        "mmtraceReady(gp); status := readgstatus(gp)", P::Only),
    patch(F::Waiting, SEMA, "func semacquire1(", "goparkunlock(&root.lock, reason,",
        "mmtraceWaitFor(unsafe.Pointer(addr)); goparkunlock(&root.lock, reason,", P::Only),
    patch(F::Waiting, TIME, "func blockTimerChan(", "t.trace(\"blockTimerChan\")",
        "t.trace(\"blockTimerChan\"); racecall(&__mmtrace_go_wait_for, getg().racectx, 1, 0, 0)", P::OnlyIfAny),

    patch(F::Syscalls, PROC, "func reentersyscall(", "gp.throwsplit = true",
        "mmtraceSyscall(58); gp.throwsplit = true", P::Only),
    patch(F::Syscalls, PROC, "func entersyscallblock(", "gp.throwsplit = true",
        "mmtraceSyscall(58); gp.throwsplit = true", P::Only),
    patch(F::Syscalls, PROC, "func exitsyscall(", "gp.throwsplit = false",
        "gp.throwsplit = false; mmtraceSyscall(59)", P::All(2)),
    patch(F::Preemption, PROC, "func gopreempt_m(", "goschedImpl(gp, true)",
        "mmtracePreempt(gp); goschedImpl(gp, true)", P::Only),

    patch(F::Collector, GC, "func gcStart(", "work.heap0 = gcController.heapLive.Load()",
        "work.heap0 = gcController.heapLive.Load(); mmtraceGC(1, work.heap0, 0)", P::Only),
    patch(F::Collector, GC, "func gcMarkTermination(", "work.heap2 = work.bytesMarked",
        "work.heap2 = work.bytesMarked; mmtraceGC(2, 0, 0)", P::Only),
    patch(F::Collector, GC, "func gcMarkTermination(", "systemstack(gcControllerCommit)",
        "systemstack(gcControllerCommit); mmtraceGC(3, work.bytesMarked, gcController.heapGoal())", P::Only),

    patch(F::Stacks, STACK, "func copystack(", "stackfree(old)",
        "mmtraceStackFree(gp, old); stackfree(old)", P::Only),

    patch(F::Locks, MUTEX, "func (m *Mutex) Lock() {", "race.Acquire(unsafe.Pointer(m))",
        "race.Mmtrace(14, 0, unsafe.Pointer(m))", P::Only),
    patch(F::Locks, MUTEX, "func (m *Mutex) lockSlow() {", "race.Acquire(unsafe.Pointer(m))",
        "race.Mmtrace(14, 0, unsafe.Pointer(m))", P::Only),
    patch(F::Locks, MUTEX, "func (m *Mutex) TryLock() bool {", "race.Acquire(unsafe.Pointer(m))",
        "race.Mmtrace(14|1<<8, 0, unsafe.Pointer(m))", P::Only),
    patch(F::Locks, MUTEX, "func (m *Mutex) Unlock() {", "race.Release(unsafe.Pointer(m))",
        "race.Mmtrace(15, 0, unsafe.Pointer(m))", P::Only),
    // A mutex's word tells nothing that its lock and unlock do not tell.
    patch(F::LockWords, MUTEX, "func (m *Mutex) Lock() {", "atomic.CompareAndSwapInt32(", "mmtraceSwap(", P::Only),
    patch(F::LockWords, MUTEX, "func (m *Mutex) TryLock() bool {", "atomic.CompareAndSwapInt32(", "mmtraceSwap(", P::Only),
    patch(F::LockWords, MUTEX, "func (m *Mutex) lockSlow() {", "atomic.CompareAndSwapInt32(", "mmtraceSwap(", P::All(2)),
    patch(F::LockWords, MUTEX, "func (m *Mutex) lockSlow() {", "atomic.AddInt32(", "mmtraceAdd(", P::Only),
    patch(F::LockWords, MUTEX, "func (m *Mutex) Unlock() {", "atomic.AddInt32(", "mmtraceAdd(", P::Only),
    patch(F::LockWords, MUTEX, "func (m *Mutex) unlockSlow(", "atomic.CompareAndSwapInt32(", "mmtraceSwap(", P::Only),

    patch(F::Locks, RWMUTEX, "func (rw *RWMutex) RLock() {", "race.Acquire(unsafe.Pointer(&rw.readerSem))",
        "race.Mmtrace(17, 0, unsafe.Pointer(rw))", P::Only),
    patch(F::Locks, RWMUTEX, "func (rw *RWMutex) TryRLock() bool {", "race.Acquire(unsafe.Pointer(&rw.readerSem))",
        "race.Mmtrace(17|1<<8, 0, unsafe.Pointer(rw))", P::Only),
    patch(F::Locks, RWMUTEX, "func (rw *RWMutex) RUnlock() {", "race.ReleaseMerge(unsafe.Pointer(&rw.writerSem))",
        "race.Mmtrace(18, 0, unsafe.Pointer(rw))", P::Only),
    patch(F::Locks, RWMUTEX, "func (rw *RWMutex) Lock() {", "race.Acquire(unsafe.Pointer(&rw.readerSem))",
        "race.Mmtrace(19, 0, unsafe.Pointer(rw))", P::Only),
    patch(F::Locks, RWMUTEX, "func (rw *RWMutex) Lock() {", "race.Acquire(unsafe.Pointer(&rw.writerSem))",
        "", P::Only),
    patch(F::Locks, RWMUTEX, "func (rw *RWMutex) TryLock() bool {", "race.Acquire(unsafe.Pointer(&rw.readerSem))",
        "race.Mmtrace(19|1<<8, 0, unsafe.Pointer(rw))", P::Only),
    patch(F::Locks, RWMUTEX, "func (rw *RWMutex) TryLock() bool {", "race.Acquire(unsafe.Pointer(&rw.writerSem))",
        "", P::Only),
    patch(F::Locks, RWMUTEX, "func (rw *RWMutex) Unlock() {", "race.Release(unsafe.Pointer(&rw.readerSem))",
        "race.Mmtrace(20, 0, unsafe.Pointer(rw))", P::Only),

    patch(F::WaitGroups, GROUP, "func (wg *WaitGroup) Add(", "race.ReleaseMerge(unsafe.Pointer(wg))", "", P::Only),
    patch(F::WaitGroups, GROUP, "func (wg *WaitGroup) Add(", "race.Disable()",
        "race.Mmtrace(24, uintptr(delta), unsafe.Pointer(wg)); race.Disable()", P::Only),
    patch(F::WaitGroups, GROUP, "func (wg *WaitGroup) Wait() {", "race.Acquire(unsafe.Pointer(wg))",
        "race.Mmtrace(26, 0, unsafe.Pointer(wg))", P::All(2)),

    patch(F::Pools, POOL, "func (p *Pool) Put(", "race.ReleaseMerge(poolRaceAddr(x))",
        "race.Mmtrace(45, uintptr((*[2]unsafe.Pointer)(unsafe.Pointer(&x))[1]), poolRaceAddr(x))", P::Only),
    patch(F::Pools, POOL, "func (p *Pool) Get(", "race.Acquire(poolRaceAddr(x))",
        "race.Mmtrace(46, uintptr((*[2]unsafe.Pointer)(unsafe.Pointer(&x))[1]), poolRaceAddr(x))", P::Only),
    // The lock around it is hidden (`race.Disable`), what `append` reads is not: nothing would order
    // that behind what others did to the memory before it was collected.
    patch(F::Pools, POOL, "func (p *Pool) pinSlow(", "allPools = append(allPools, p)",
        "if len(allPools) == cap(allPools) { grown := make([]*Pool, len(allPools), 2*len(allPools)+8); \
         for i, old := range allPools { grown[i] = old }; allPools = grown }; allPools = append(allPools, p)", P::Only),

    // The flag of a once says by itself what it was asked and told.
    patch(F::Onces, ONCE, "import (", "\t\"sync/atomic\"\n", "\t\"sync/atomic\"; \"unsafe\"\n", P::Only),
    patch(F::Onces, ONCE, "type Once struct {", "atomic.Bool", "mmtraceBool", P::OneOf("done")),
    patch(F::Onces, ONCE, "type Once struct {", "atomic.Uint32", "mmtraceUint32", P::OneOf("done")),

    // What a map is made of stays in the log: it alone knows which write a read has seen, or that it saw
    // an entry's removal. So a write is told behind it, and a read before: an edge between the two is
    // one that the parts have, too.
    patch(F::Maps, MAP, "import (", "\tisync \"internal/sync\"\n", "\tisync \"internal/sync\"; _ \"unsafe\"\n",
        P::OneOf("import")),
    patch(F::Maps, MAP, "import (", "\t\"sync/atomic\"\n", "\t\"sync/atomic\"; _ \"unsafe\"\n", P::OneOf("import")),
    patch(F::Maps, MAP, "func (m *Map) Load(", "ok bool) {", "ok bool) { mmtraceRead(m, key);", P::Only),
    patch(F::Maps, MAP, "func (m *Map) Store(", "value any) {", "value any) { defer mmtraceWritten(m, key);", P::Only),
    patch(F::Maps, MAP, "func (m *Map) LoadOrStore(", "loaded bool) {",
        "loaded bool) { mmtraceRead(m, key); defer func() { if !loaded { mmtraceWritten(m, key) } }();", P::Only),
    patch(F::Maps, MAP, "func (m *Map) LoadAndDelete(", "loaded bool) {",
        "loaded bool) { mmtraceRead(m, key); defer mmtraceWritten(m, key);", P::Only),
    patch(F::Maps, MAP, "func (m *Map) Delete(", "any) {", "any) { defer mmtraceWritten(m, key);", P::Only),
    patch(F::Maps, MAP, "func (m *Map) Swap(", "loaded bool) {",
        "loaded bool) { mmtraceRead(m, key); defer mmtraceWritten(m, key);", P::Only),
    patch(F::Maps, MAP, "func (m *Map) CompareAndSwap(", "(swapped bool) {",
        "(swapped bool) { mmtraceRead(m, key); defer func() { if swapped { mmtraceWritten(m, key) } }();", P::OnlyIfAny),
    patch(F::Maps, MAP, "func (m *Map) CompareAndDelete(", "(deleted bool) {",
        "(deleted bool) { mmtraceRead(m, key); defer func() { if deleted { mmtraceWritten(m, key) } }();", P::Only),
    patch(F::Maps, MAP, "func (m *Map) Range(", "value any) bool) {", "value any) bool) { mmtraceRead(m, nil);", P::Only),
    patch(F::Maps, MAP, "func (m *Map) Clear(", "Clear() {", "Clear() { defer mmtraceWritten(m, nil);", P::OnlyIfAny),
    // What the names of keys are made with.
    patch(F::Maps, ALGORITHMS, "func nilinterhash(", "(p unsafe.Pointer, h uintptr) uintptr {",
        "(p unsafe.Pointer, h uintptr) uintptr {", P::Only),

    patch(F::Finalizers, FINALIZERS, "func SetFinalizer(", "\tcreatefing()\n",
        "\tcreatefing(); mmtraceFinalizer(51, e.data)\n", P::Only),
    patch(F::Finalizers, FINALIZERS, "func runFinalizers() {", "reflectcall(nil, unsafe.Pointer(f.fn),",
        "mmtraceFinalizer(52, f.arg); reflectcall(nil, unsafe.Pointer(f.fn),", P::OneOf("run")),
    patch(F::Finalizers, FINALIZERS, "func runfinq() {", "reflectcall(nil, unsafe.Pointer(f.fn),",
        "mmtraceFinalizer(52, f.arg); reflectcall(nil, unsafe.Pointer(f.fn),", P::OneOf("run")),
    patch(F::Finalizers, FINALIZERS, "func runfinq() {", "\tcleanup()\n",
        "\tmmtraceFinalizer(52, fn); cleanup()\n", P::OnlyIfAny),
    patch(F::Finalizers, CLEANUPS, "func AddCleanup[", "id := addCleanup(unsafe.Pointer(ptr), cleanupFn{",
        "mmtraceFinalizer(51, unsafe.Pointer(argv)); id := addCleanup(unsafe.Pointer(ptr), cleanupFn{", P::OnlyIfAny),
    patch(F::Finalizers, CLEANUPS, "func AddCleanup[", "id := addCleanup(unsafe.Pointer(ptr), fv)",
        "mmtraceFinalizer(51, unsafe.Pointer(fv)); id := addCleanup(unsafe.Pointer(ptr), fv)", P::OnlyIfAny),
    patch(F::Finalizers, CLEANUPS, "func runCleanups() {", "c.call(c.fn, c.arg)",
        "mmtraceFinalizer(52, c.arg); c.call(c.fn, c.arg)", P::OnlyIfAny),
    patch(F::Finalizers, CLEANUPS, "func runCleanups() {", "\tcleanup()\n",
        "\tmmtraceFinalizer(52, unsafe.Pointer(fn)); cleanup()\n", P::OnlyIfAny),

    patch(F::Timers, TIME, "func newTimer(", "racerelease(unsafe.Pointer(&t.timer))",
        "mmtraceOperation(getg().racectx, 49, 0, unsafe.Pointer(&t.timer))", P::OnlyIfAny),
    patch(F::Timers, TIME, "func resetTimer(", "racerelease(unsafe.Pointer(&t.timer))",
        "mmtraceOperation(getg().racectx, 49, 0, unsafe.Pointer(&t.timer))", P::OnlyIfAny),
    patch(F::Timers, TIME, "func (t *timer) unlockAndRun(", "raceacquirectx(tsLocal.raceCtx, unsafe.Pointer(t))",
        "mmtraceOperation(tsLocal.raceCtx, 50, 0, unsafe.Pointer(t))", P::OnlyIfAny),

    patch(F::WeakEdges, SYSCALL, "func Read(", "race.Acquire(unsafe.Pointer(&ioSync))",
        "race.Mmtrace(10|1<<8, 0, unsafe.Pointer(&ioSync))", P::Only),
    patch(F::WeakEdges, SYSCALL, "func Write(", "race.ReleaseMerge(unsafe.Pointer(&ioSync))",
        "race.Mmtrace(12|1<<8, 0, unsafe.Pointer(&ioSync))", P::Only),
    patch(F::WeakEdges, SYSCALL, "func Pread(", "race.Acquire(unsafe.Pointer(&ioSync))",
        "race.Mmtrace(10|1<<8, 0, unsafe.Pointer(&ioSync))", P::OnlyIfAny),
    patch(F::WeakEdges, SYSCALL, "func Pwrite(", "race.ReleaseMerge(unsafe.Pointer(&ioSync))",
        "race.Mmtrace(12|1<<8, 0, unsafe.Pointer(&ioSync))", P::OnlyIfAny),
    patch(F::WeakEdges, SYSCALL, "func Sendfile(", "race.ReleaseMerge(unsafe.Pointer(&ioSync))",
        "race.Mmtrace(12|1<<8, 0, unsafe.Pointer(&ioSync))", P::OnlyIfAny),

    patch(F::Tests, TESTING, "func tRunner(", "\tt.runner = callerName(0)\n",
        "\tt.runner = callerName(0); race.MmtraceTest(7, t.name)\n", P::Only),
    patch(F::Tests, TESTING, "func tRunner(", "\t\tt.report() // Report after all subtests have finished.\n",
        "\t\tt.report(); race.MmtraceTest(t.mmtraceOutcome(), t.name) // Report after all subtests have finished.\n", P::Only),

    patch(F::FastPaths, ASSEMBLY, "TEXT\truntime·raceread<ABIInternal>(SB),", "JMP\tracecalladdr<>(SB)",
        "JMP\tmmtraceread<>(SB)", P::Only),
    patch(F::FastPaths, ASSEMBLY, "TEXT\truntime·racewrite<ABIInternal>(SB),", "JMP\tracecalladdr<>(SB)",
        "JMP\tmmtracewrite<>(SB)", P::Only),
    patch(F::FastPaths, ASSEMBLY, "TEXT\truntime·racereadrange<ABIInternal>(SB),", "JMP\tracecalladdr<>(SB)",
        "JMP\tmmtracereadrange<>(SB)", P::Only),
    patch(F::FastPaths, ASSEMBLY, "TEXT\truntime·racewriterange<ABIInternal>(SB),", "JMP\tracecalladdr<>(SB)",
        "JMP\tmmtracewriterange<>(SB)", P::Only),
    // Called by its own convention: without the wrapper that puts the argument on the stack.
    patch(F::FastPaths, ASSEMBLY, "TEXT\truntime·racefuncenter(SB),",
        "racefuncenter(SB), NOSPLIT, $0-8\n\tMOVQ\tcallpc+0(FP), R11\n\tJMP\tracefuncenter<>(SB)",
        "racefuncenter<ABIInternal>(SB), NOSPLIT, $0-8\n\tMOVQ\tAX, RARG1\n\tJMP\tmmtraceenter<>(SB)", P::Only),
    patch(F::FastPaths, ASSEMBLY, "TEXT\truntime·racefuncexit(SB),",
        "racefuncexit(SB), NOSPLIT, $0-0\n\tMOVQ\tg_racectx(R14), RARG0\t// goroutine context\n\t// void __tsan_func_exit(ThreadState *thr);\n\tMOVQ\t$__tsan_func_exit(SB), AX\n\tJMP\tracecall<>(SB)",
        "racefuncexit<ABIInternal>(SB), NOSPLIT, $0-0\n\tMOVQ\tg_racectx(R14), RARG0\t// goroutine context\n\t// void __tsan_func_exit(ThreadState *thr);\n\tMOVQ\t$__tsan_func_exit(SB), AX\n\tJMP\tmmtraceexit<>(SB)", P::Only),
];

/// What is appended to `runtime/race.go`; `{offsets}` becomes the table of offsets.
pub(super) const RUNTIME: &str = r"
// What follows was appended by mmtrace.

//go:linkname __mmtrace_go_park __mmtrace_go_park
var __mmtrace_go_park byte

//go:linkname __mmtrace_go_wait_for __mmtrace_go_wait_for
var __mmtrace_go_wait_for byte

//go:linkname __mmtrace_go_blocking __mmtrace_go_blocking
var __mmtrace_go_blocking byte

//go:linkname __mmtrace_go_ready __mmtrace_go_ready
var __mmtrace_go_ready byte

//go:linkname __mmtrace_go_stack_free __mmtrace_go_stack_free
var __mmtrace_go_stack_free byte

//go:linkname __mmtrace_go_collection __mmtrace_go_collection
var __mmtrace_go_collection byte

//go:linkname __mmtrace_go_channel __mmtrace_go_channel
var __mmtrace_go_channel byte

//go:linkname __mmtrace_go_select __mmtrace_go_select
var __mmtrace_go_select byte

//go:linkname __mmtrace_go_operation __mmtrace_go_operation
var __mmtrace_go_operation byte

//go:linkname __mmtrace_go_test __mmtrace_go_test
var __mmtrace_go_test byte

//go:cgo_import_static __mmtrace_go_park
//go:cgo_import_static __mmtrace_go_wait_for
//go:cgo_import_static __mmtrace_go_blocking
//go:cgo_import_static __mmtrace_go_ready
//go:cgo_import_static __mmtrace_go_stack_free
//go:cgo_import_static __mmtrace_go_collection
//go:cgo_import_static __mmtrace_go_channel
//go:cgo_import_static __mmtrace_go_select
//go:cgo_import_static __mmtrace_go_operation
//go:cgo_import_static __mmtrace_go_test
//go:cgo_import_static __mmtrace_go_fast_read
//go:cgo_import_static __mmtrace_go_fast_write
//go:cgo_import_static __mmtrace_go_fast_read_range
//go:cgo_import_static __mmtrace_go_fast_write_range
//go:cgo_import_static __mmtrace_go_fast_enter
//go:cgo_import_static __mmtrace_go_fast_exit

var mmtraceTable [{count}]uintptr

//go:nosplit
func mmtraceLayout() uintptr {
{offsets}
	return uintptr(unsafe.Pointer(&mmtraceTable))
}

// What is freed is a block. Race builds put objects of less than 16 bytes without pointers to the end of
// one, and objects with pointers of more than 512 bytes come after 8 bytes about their type.
//
// Beside a type's address stands a bit: many of it, not one.
//
//go:nosplit
func mmtraceMalloc(p unsafe.Pointer, sz uintptr, typ *_type) {
	what := uintptr(unsafe.Pointer(typ))
	if typ != nil && sz != typ.Size_ {
		what |= 1
	}
	if sz < maxTinySize || sz > 512 {
		if s := spanOf(uintptr(p)); s == nil {
		} else if s.spanclass == tinySpanClass {
			p, sz = unsafe.Pointer(uintptr(p)&^(maxTinySize-1)), maxTinySize
		} else if sz > 512 && s.spanclass.sizeclass() != 0 && (uintptr(p)-s.base())%s.elemsize == 8 {
			p, sz = unsafe.Pointer(uintptr(p)-8), sz+8
		}
	}
	racecall(&__tsan_malloc, getg().racectx, what, uintptr(p), sz)
}

//go:nosplit
func mmtraceFinalizer(kind uintptr, object unsafe.Pointer) {
	mmtraceOperation(getg().racectx, kind, 0, object)
}

//go:nosplit
func mmtracePark(lock unsafe.Pointer, reason waitReason) {
	racecall(&__mmtrace_go_park, getg().racectx, uintptr(lock), uintptr(reason), 0)
}

//go:nosplit
func mmtraceWaitFor(object unsafe.Pointer) {
	racecall(&__mmtrace_go_wait_for, getg().racectx, uintptr(object), 0, 0)
}

//go:nosplit
func mmtraceSyscall(kind uintptr) {
	racecall(&__mmtrace_go_blocking, getg().racectx, kind, 0, 0)
}

//go:nosplit
func mmtracePreempt(gp *g) {
	racecall(&__mmtrace_go_blocking, gp.racectx, 77, 0, 0)
}

//go:nosplit
func mmtraceReady(gp *g) {
	mp := getg().m
	if mp.p == 0 {
		return
	}
	ctx := getg().racectx
	if mp.curg != nil {
		ctx = mp.curg.racectx
	}
	racecall(&__mmtrace_go_ready, ctx, gp.racectx, 0, 0)
}

//go:nosplit
func mmtraceStackFree(gp *g, stk stack) {
	if getg().m.p != 0 {
		racecall(&__mmtrace_go_stack_free, gp.racectx, stk.lo, stk.hi, 0)
	}
}

//go:nosplit
func mmtraceGC(phase, live, goal uint64) {
	racecall(&__mmtrace_go_collection, uintptr(phase), uintptr(live), uintptr(goal), 0)
}

//go:nosplit
func mmtraceChan(c *hchan, operation uintptr, peer *g) {
	var ctx uintptr
	if peer != nil {
		ctx = peer.racectx
	}
	racecall(&__mmtrace_go_channel, getg().racectx, uintptr(unsafe.Pointer(c)), operation, ctx)
}

//go:nosplit
func mmtraceSelect(chosen, cases int) {
	racecall(&__mmtrace_go_select, getg().racectx, uintptr(chosen), uintptr(cases), 0)
}

//go:nosplit
func mmtraceOperation(racectx, kind, value uintptr, object unsafe.Pointer) {
	if getg().raceignore != 0 || !isvalidaddr(object) {
		return
	}
	racecall(&__mmtrace_go_operation, racectx, uintptr(object), kind, value)
}

//go:linkname race_Mmtrace internal/race.Mmtrace
//go:nosplit
func race_Mmtrace(kind, value uintptr, object unsafe.Pointer) {
	mmtraceOperation(getg().racectx, kind, value, object)
}

//go:linkname race_MmtraceTest internal/race.MmtraceTest
//go:nosplit
func race_MmtraceTest(kind uintptr, name string) {
	racecall(&__mmtrace_go_test, getg().racectx, kind, uintptr(unsafe.Pointer(unsafe.StringData(name))), uintptr(len(name)))
}
";

/// What each entry of the table of offsets is, by its name in `go_runtime::ENTRIES`.
pub(super) const OFFSETS: &[(&str, &str)] = &[
    ("Mark", "0x6d6d74720001"),
    ("GoroutineMachine", "unsafe.Offsetof((*g)(nil).m)"),
    ("MachineProc", "unsafe.Offsetof((*m)(nil).p)"),
    ("MachineGoroutine", "unsafe.Offsetof((*m)(nil).curg)"),
    ("ProcContext", "unsafe.Offsetof((*p)(nil).raceprocctx)"),
    ("GoroutineNumber", "unsafe.Offsetof((*g)(nil).goid)"),
    ("ChannelCounts", "unsafe.Offsetof((*hchan)(nil).lock) + unsafe.Sizeof((*hchan)(nil).lock)"),
    ("ChannelCapacity", "unsafe.Offsetof((*hchan)(nil).dataqsiz)"),
    ("ChannelLock", "unsafe.Offsetof((*hchan)(nil).lock)"),
    ("WaitReasons", "uintptr(unsafe.Pointer(&waitReasonStrings))"),
    ("WaitReasonCount", "uintptr(len(waitReasonStrings))"),
    ("Version", "uintptr(unsafe.Pointer(&buildVersion))"),
    ("FunctionData", "firstmoduledata.gofunc"),
    ("GoroutineContext", "unsafe.Offsetof((*g)(nil).racectx)"),
    ("CgoSync", "uintptr(unsafe.Pointer(&racecgosync))"),
    ("Types", "firstmoduledata.types"),
    ("TypesEnd", "firstmoduledata.etypes"),
    ("TypeFlags", "unsafe.Offsetof((*_type)(nil).TFlag)"),
    ("TypeName", "unsafe.Offsetof((*_type)(nil).Str)"),
];

/// What is appended to `internal/race/race.go`.
pub(super) const INTERNAL_RACE: &str = "
// What follows was appended by mmtrace.

//go:linkname Mmtrace
func Mmtrace(kind, value uintptr, object unsafe.Pointer)

//go:linkname MmtraceTest
func MmtraceTest(kind uintptr, name string)
";

/// What is appended to `runtime/sema.go`, which knows the runtime's own atomics: nobody is told of
/// those.
pub(super) const RUNTIME_LOCK_WORDS: &str = "
// What follows was appended by mmtrace.

// Mutexes are in one of these packages, by version.

//go:linkname internal_sync_mmtraceSwap internal/sync.mmtraceSwap
//go:nosplit
func internal_sync_mmtraceSwap(word *int32, old, new int32) bool {
	return atomic.Casint32(word, old, new)
}

//go:linkname internal_sync_mmtraceAdd internal/sync.mmtraceAdd
//go:nosplit
func internal_sync_mmtraceAdd(word *int32, delta int32) int32 {
	return atomic.Xaddint32(word, delta)
}

//go:linkname sync_mmtraceSwap sync.mmtraceSwap
//go:nosplit
func sync_mmtraceSwap(word *int32, old, new int32) bool {
	return atomic.Casint32(word, old, new)
}

//go:linkname sync_mmtraceAdd sync.mmtraceAdd
//go:nosplit
func sync_mmtraceAdd(word *int32, delta int32) int32 {
	return atomic.Xaddint32(word, delta)
}
";

/// What is appended to the file of mutexes.
pub(super) const LOCK_WORDS: &str = "
// What follows was appended by mmtrace.

//go:linkname mmtraceSwap
func mmtraceSwap(word *int32, old, new int32) bool

//go:linkname mmtraceAdd
func mmtraceAdd(word *int32, delta int32) int32

var _ = atomic.AddInt32
";

/// What is appended to `sync/once.go`: flags in the place of those of `sync/atomic`, with the same
/// content.
pub(super) const ONCES: &str = "
// What follows was appended by mmtrace.

// mmtraceOnce says whether a once is done, and with completes that it is from now on.
//
//go:linkname mmtraceOnce
func mmtraceOnce(done unsafe.Pointer, completes bool) bool

type mmtraceBool struct{ atomic.Bool }

func (b *mmtraceBool) Load() bool { return mmtraceOnce(unsafe.Pointer(b), false) }

func (b *mmtraceBool) Store(bool) { mmtraceOnce(unsafe.Pointer(b), true) }

type mmtraceUint32 struct{ atomic.Uint32 }

func (b *mmtraceUint32) Load() uint32 {
	if mmtraceOnce(unsafe.Pointer(b), false) {
		return 1
	}
	return 0
}

func (b *mmtraceUint32) Store(uint32) { mmtraceOnce(unsafe.Pointer(b), true) }
";

/// What is appended to `runtime/sema.go` for it.
pub(super) const RUNTIME_ONCES: &str = "
// What follows was appended by mmtrace.

//go:linkname sync_mmtraceOnce sync.mmtraceOnce
//go:nosplit
func sync_mmtraceOnce(done unsafe.Pointer, completes bool) bool {
	if completes {
		mmtraceOperation(getg().racectx, 22, 0, done)
		atomic.Store((*uint32)(done), 1)
		return true
	}
	if atomic.Load((*uint32)(done)) == 0 {
		return false
	}
	mmtraceOperation(getg().racectx, 23, 0, done)
	return true
}
";

/// What is appended to the file of `sync.Map`.
pub(super) const MAPS: &str = "
// What follows was appended by mmtrace.

//go:linkname mmtraceRead
func mmtraceRead(m *Map, key any)

//go:linkname mmtraceWritten
func mmtraceWritten(m *Map, key any)
";

/// What is appended to `runtime/alg.go` for it. A key is named by its hash, all of them by 0.
pub(super) const RUNTIME_MAPS: &str = "
// What follows was appended by mmtrace.

//go:linkname sync_mmtraceRead sync.mmtraceRead
func sync_mmtraceRead(m unsafe.Pointer, key any) {
	mmtraceOperation(getg().racectx, 48, mmtraceKey(key), m)
}

//go:linkname sync_mmtraceWritten sync.mmtraceWritten
func sync_mmtraceWritten(m unsafe.Pointer, key any) {
	mmtraceOperation(getg().racectx, 47, mmtraceKey(key), m)
}

func mmtraceKey(key any) uintptr {
	if key == nil {
		return 0
	}
	return nilinterhash(noescape(unsafe.Pointer(&key)), 0) | 1
}
";

/// What is appended to `runtime/race_amd64.s`: what the routines in `recorder/go/src/fast.rs` expect
/// in registers. They return to the caller themselves, or go on at R11.
pub(super) const FAST_PATHS: &str = "
// What follows was appended by mmtrace. See `recorder/go/src/fast.rs`.

#define MMTRACE_ACCESS(fast) \\
	MOVQ	g_racectx(R14), RARG0 \\
	CMPQ	RARG1, runtime·racearenastart(SB) \\
	JB	data \\
	CMPQ	RARG1, runtime·racearenaend(SB) \\
	JB	call \\
data: \\
	CMPQ	RARG1, runtime·racedatastart(SB) \\
	JB	ret \\
	CMPQ	RARG1, runtime·racedataend(SB) \\
	JAE	ret \\
call: \\
	MOVQ	g_m(R14), R13 \\
	MOVQ	m_p(R13), R12 \\
	LEAQ	racecall<>(SB), R11 \\
	TESTQ	R12, R12 \\
	JEQ	slow \\
	MOVQ	p_raceprocctx(R12), R12 \\
	JMP	fast(SB) \\
slow: \\
	JMP	R11 \\
ret: \\
	RET

TEXT	mmtraceread<>(SB), NOSPLIT, $0-0
	MMTRACE_ACCESS(__mmtrace_go_fast_read)

TEXT	mmtracewrite<>(SB), NOSPLIT, $0-0
	MMTRACE_ACCESS(__mmtrace_go_fast_write)

TEXT	mmtracereadrange<>(SB), NOSPLIT, $0-0
	MMTRACE_ACCESS(__mmtrace_go_fast_read_range)

TEXT	mmtracewriterange<>(SB), NOSPLIT, $0-0
	MMTRACE_ACCESS(__mmtrace_go_fast_write_range)

TEXT	mmtraceenter<>(SB), NOSPLIT, $0-0
	MOVQ	g_racectx(R14), RARG0
	MOVQ	g_m(R14), R13
	MOVQ	m_p(R13), R12
	MOVQ	(g_stack+stack_hi)(R14), R13
	LEAQ	mmtraceenterslow<>(SB), R11
	TESTQ	R12, R12
	JEQ	slow
	MOVQ	p_raceprocctx(R12), R12
	JMP	__mmtrace_go_fast_enter(SB)
slow:
	JMP	R11

TEXT	mmtraceenterslow<>(SB), NOSPLIT|NOFRAME, $0-0
	MOVQ	RARG1, R11
	JMP	racefuncenter<>(SB)

TEXT	mmtraceexit<>(SB), NOSPLIT, $0-0
	MOVQ	(g_stack+stack_hi)(R14), R13
	LEAQ	racecall<>(SB), R11
	JMP	__mmtrace_go_fast_exit(SB)
";

/// What is appended to `testing/testing.go`.
pub(super) const TESTING_OUTCOME: &str = "
// What follows was appended by mmtrace.

func (t *T) mmtraceOutcome() uintptr {
	switch {
	case t.Failed():
		return 8 | 1<<8
	case t.Skipped():
		return 8 | 2<<8
	}
	return 8
}
";

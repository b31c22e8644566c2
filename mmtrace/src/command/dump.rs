//! `mmtrace dump`: every event and access as a line of text.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;

use anyhow::anyhow;
use mmtrace_analyzer::EventRef;
use mmtrace_analyzer::order::{FragmentSpan, Lanes, Trace};
use mmtrace_format::chunk::{AccessColumns, ChunkError, LaneDecoder, SyncColumns};
use mmtrace_format::event::spec::SPECS;
use mmtrace_format::event::text::Line;
use mmtrace_format::{Access, AccessKind, EventKind, ThreadId};

use crate::args::Dump;
use crate::exit::{Failure, Outcome, note};
use crate::inputs;
use crate::output::unwritten;

/// Prints the lines that are asked for.
pub(crate) fn run(args: &Dump) -> Result<Outcome, Failure> {
    let filter = Filter::new(args)?;
    let log = inputs::open(&args.log)?;
    let trace = Trace::new(&log);
    // No colours here: the lines go as they are, at the speed of the pipe.
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let spans = spans(&trace, &filter)?;
    let numbers = if args.numbers { first_numbers(&trace) } else { HashMap::new() };
    let left = args.limit.unwrap_or(u64::MAX);
    let is_numbered = args.numbers;
    let mut printer = Printer { filter: &filter, left, is_numbered, numbers, out: &mut out };
    let mut decoded = Decoded::default();
    let mut damaged = 0;
    for (thread, span) in spans {
        if let Err(error) = decoded.load(trace.lanes(), span.chunk) {
            damaged += 1;
            note(&format!("chunk {} is left out: {error}", span.chunk));
            continue;
        }
        let printed = printer.fragment(thread, span, &decoded).map_err(unwritten)?;
        if printed.is_break() {
            break;
        }
    }
    out.flush().map_err(unwritten)?;
    let unread = damaged > 0 || !trace.damaged_chunks().is_empty();
    Ok(if unread { Outcome::Unusable } else { Outcome::Clean })
}

/// What is to be printed.
struct Filter {
    threads: HashSet<ThreadId>,
    /// Names of events and accesses; all of them, if empty.
    kinds: HashSet<&'static str>,
    from_ns: u64,
    to_ns: u64,
}

impl Filter {
    fn new(args: &Dump) -> Result<Self, Failure> {
        let mut kinds = HashSet::new();
        for word in &args.kind {
            let event = EventKind::from_name(word).map(EventKind::name);
            let kind = event.or_else(|| AccessKind::from_name(word).map(AccessKind::name));
            kinds.insert(kind.ok_or_else(|| Failure::usage(unknown_kind(word)))?);
        }
        Ok(Self {
            threads: args.thread.iter().copied().collect(),
            kinds,
            from_ns: args.from.map_or(0, |time| time.ns),
            to_ns: args.to.map_or(u64::MAX, |time| time.ns),
        })
    }

    fn wants(&self, kind: &'static str, time_ns: u64) -> bool {
        (self.from_ns..self.to_ns).contains(&time_ns)
            && (self.kinds.is_empty() || self.kinds.contains(kind))
    }
}

fn unknown_kind(word: &str) -> anyhow::Error {
    let accesses = AccessKind::ALL.map(AccessKind::name).join(" ");
    let events: Vec<_> = SPECS.iter().map(|spec| spec.name).collect();
    anyhow!(
        "no kind is called `{word}`: expected one of the accesses {accesses}, or one of the \
         events {}",
        events.join(" ")
    )
}

/// The fragments to be printed, in order: those of the threads asked for, each in program order; or
/// all, as they lie in the file, so that each chunk is decoded once.
fn spans(trace: &Trace<'_>, filter: &Filter) -> Result<Vec<(ThreadId, FragmentSpan)>, Failure> {
    let of = |dense: usize| {
        let thread = trace.threads()[dense];
        trace.fragments(dense).iter().map(move |&span| (thread, span))
    };
    let mut wanted: Vec<ThreadId> = filter.threads.iter().copied().collect();
    wanted.sort_unstable();
    let mut spans = Vec::new();
    for &thread in &wanted {
        let dense = trace.dense(thread).ok_or_else(|| {
            let threads = trace.threads().len();
            Failure::usage(anyhow!("the log has no thread {thread}, among its {threads}"))
        })?;
        spans.extend(of(dense));
    }
    if wanted.is_empty() {
        spans.extend((0..trace.threads().len()).flat_map(of));
        spans.sort_by_key(|(_, span)| (span.chunk, span.event_start, span.access_start));
    }
    let overlaps = |span: &FragmentSpan| {
        let Ok(header) = trace.lanes().header(span.chunk as usize) else { return true };
        header.first_time.ns < filter.to_ns && header.last_time.ns >= filter.from_ns
    };
    spans.retain(|(_, span)| overlaps(span));
    Ok(spans)
}

/// Where a fragment lies: its chunk, and its first event and access there.
type Place = (u32, u32, u32);

fn place(span: &FragmentSpan) -> Place {
    (span.chunk, span.event_start, span.access_start)
}

/// For each fragment, the place of its first event or access in its thread's program order.
///
/// A `Switch` is not counted (see [`EventRef`]): one pass over the sync lanes finds them.
fn first_numbers(trace: &Trace<'_>) -> HashMap<Place, u64> {
    let mut lengths = HashMap::new();
    let all = (0..trace.threads().len()).flat_map(|dense| trace.fragments(dense));
    let mut spans: Vec<_> = all.copied().collect();
    spans.sort_by_key(place);
    let mut columns = SyncColumns::default();
    let mut decoder = LaneDecoder::default();
    let mut loaded = None;
    for span in spans {
        if loaded != Some(span.chunk) {
            // Of a damaged chunk nothing is known, and nothing is printed.
            let _ = trace.lanes().decode_sync(span.chunk as usize, &mut decoder, &mut columns);
            loaded = Some(span.chunk);
        }
        let events = columns.events.get(span.event_start as usize..span.event_end as usize);
        let counted = |event: &&mmtrace_format::Event| event.kind != EventKind::Switch;
        let events = events.unwrap_or_default().iter().filter(counted).count() as u64;
        let accesses = u64::from(span.access_end - span.access_start);
        lengths.insert(place(&span), events + accesses);
    }
    for dense in 0..trace.threads().len() {
        let mut next = 0;
        for span in trace.fragments(dense) {
            if let Some(length) = lengths.get_mut(&place(span)) {
                next += std::mem::replace(length, next);
            }
        }
    }
    lengths
}

/// The chunk at hand.
#[derive(Default)]
struct Decoded {
    chunk: Option<u32>,
    start_ns: u64,
    decoder: LaneDecoder,
    sync: SyncColumns,
    columns: AccessColumns,
    accesses: Vec<Access>,
}

impl Decoded {
    fn load(&mut self, lanes: &dyn Lanes, chunk: u32) -> Result<(), ChunkError> {
        if self.chunk == Some(chunk) {
            return Ok(());
        }
        self.chunk = None;
        let place = chunk as usize;
        self.start_ns = lanes.header(place)?.first_time.ns;
        lanes.decode_sync(place, &mut self.decoder, &mut self.sync)?;
        lanes.decode_accesses(place, &mut self.decoder, &mut self.columns)?;
        self.accesses.clear();
        self.accesses.extend(self.columns.iter());
        self.chunk = Some(chunk);
        Ok(())
    }
}

struct Printer<'a, W> {
    filter: &'a Filter,
    left: u64,
    is_numbered: bool,
    numbers: HashMap<Place, u64>,
    out: &'a mut W,
}

impl<W: Write> Printer<'_, W> {
    /// Prints a fragment; `Break` when enough is printed.
    fn fragment(
        &mut self,
        thread: ThreadId,
        span: FragmentSpan,
        decoded: &Decoded,
    ) -> io::Result<ControlFlow<()>> {
        let mut number = self.numbers.get(&place(&span)).copied();
        let mut next_access = span.access_start;
        let before = (span.event_start as usize).checked_sub(1);
        // An access has the time of the last event before it, of whatever thread.
        let event_before = before.and_then(|event| decoded.sync.events.get(event));
        let mut time_ns = event_before.map_or(decoded.start_ns, |event| event.time.ns);
        for index in span.event_start..span.event_end {
            let event = decoded.sync.events[index as usize];
            // A damaged chunk may contradict itself: then the fragment's own bounds hold.
            let access_end = decoded.sync.access_ends[index as usize];
            let access_end = access_end.clamp(next_access, span.access_end);
            for access in &decoded.accesses[next_access as usize..access_end as usize] {
                if self.access(thread, access, time_ns, &mut number)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            next_access = access_end;
            time_ns = event.time.ns;
            let is_counted = event.kind != EventKind::Switch;
            let shown = number.filter(|_| is_counted);
            if self.filter.wants(event.kind.name(), time_ns)
                && self.line(thread, shown, Line::Event(thread, event))?.is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
            number = number.map(|number| number + u64::from(is_counted));
        }
        for access in &decoded.accesses[next_access as usize..span.access_end as usize] {
            if self.access(thread, access, time_ns, &mut number)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn access(
        &mut self,
        thread: ThreadId,
        access: &Access,
        time_ns: u64,
        number: &mut Option<u64>,
    ) -> io::Result<ControlFlow<()>> {
        let shown = *number;
        *number = number.map(|number| number + 1);
        if !self.filter.wants(access.kind.name(), time_ns) {
            return Ok(ControlFlow::Continue(()));
        }
        self.line(thread, shown, Line::Access(thread, *access))
    }

    fn line(
        &mut self,
        thread: ThreadId,
        number: Option<u64>,
        line: Line,
    ) -> io::Result<ControlFlow<()>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(ControlFlow::Break(())) };
        self.left = left;
        match number {
            Some(index) => write!(self.out, "{} ", EventRef { thread, index })?,
            // A switch has no name: it is the stream's, not the thread's.
            None if self.is_numbered => write!(self.out, "- ")?,
            None => {}
        }
        writeln!(self.out, "{line}")?;
        Ok(if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }
}

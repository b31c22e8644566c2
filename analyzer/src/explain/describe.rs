//! What happened at given places of threads.

use std::collections::{HashMap, HashSet};

use mmtrace_format::chunk::{AccessColumns, LaneDecoder, SyncColumns};
use mmtrace_format::{Access, EventKind, ThreadId};

use super::What;
use crate::order::{EventRef, FragmentSpan, Trace};

/// What happened at these places; those that the log does not have are left out.
pub(super) fn moments(trace: &Trace<'_>, wanted: &[EventRef]) -> HashMap<EventRef, What> {
    let wanted: HashSet<EventRef> = wanted.iter().copied().collect();
    let threads: HashSet<ThreadId> = wanted.iter().map(|event| event.thread).collect();
    let mut found = HashMap::new();
    for thread in threads {
        each(trace, thread, |at, what| {
            if wanted.contains(&at) {
                found.insert(at, what);
            }
        });
    }
    found
}

/// How many events and accesses a thread has.
pub(super) fn len(trace: &Trace<'_>, thread: ThreadId) -> u64 {
    each(trace, thread, |_, _| {})
}

/// Goes through a thread in program order; gives its length. What cannot be read has its places in
/// the order all the same, as in the merge.
fn each(trace: &Trace<'_>, thread: ThreadId, mut visit: impl FnMut(EventRef, What)) -> u64 {
    let Some(dense) = trace.dense(thread) else { return 0 };
    let (mut events, mut columns) = (SyncColumns::default(), AccessColumns::default());
    let mut decoder = LaneDecoder::default();
    let mut accesses = Vec::new();
    let mut index = 0;
    for span in trace.fragments(dense) {
        let chunk = span.chunk as usize;
        if trace.lanes().decode_sync(chunk, &mut decoder, &mut events).is_err() {
            index += u64::from(span.event_end - span.event_start);
            index += u64::from(span.access_end - span.access_start);
            continue;
        }
        accesses.clear();
        if trace.lanes().decode_accesses(chunk, &mut decoder, &mut columns).is_ok() {
            accesses.extend(columns.iter());
        }
        fragment(*span, &events, &accesses, &mut |what| {
            if let Some(what) = what {
                visit(EventRef { thread, index }, what);
            }
            index += 1;
        });
    }
    index
}

/// Goes through a fragment; `None` is an access that cannot be read.
fn fragment(
    span: FragmentSpan,
    events: &SyncColumns,
    accesses: &[Access],
    visit: &mut impl FnMut(Option<What>),
) {
    let mut next = span.access_start;
    let mut accesses_until = |end: u32, visit: &mut dyn FnMut(Option<What>)| {
        for at in next..end.min(span.access_end) {
            visit(accesses.get(at as usize).copied().map(What::Access));
        }
        next = next.max(end);
    };
    let range = span.event_start as usize..span.event_end as usize;
    let pairs = events.events[range.clone()].iter().zip(&events.access_ends[range]);
    for (event, &end) in pairs {
        accesses_until(end, visit);
        if event.kind != EventKind::Switch {
            visit(Some(What::Event(*event)));
        }
    }
    accesses_until(span.access_end, visit);
}

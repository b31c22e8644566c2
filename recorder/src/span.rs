//! The program's own words on the timeline: names of threads, marks, spans.

/// Names this thread in the log.
#[track_caller]
pub fn name(name: &str) {
    #[cfg(feature = "record")]
    if crate::record::enabled() {
        crate::record::name(name);
    }
    #[cfg(not(feature = "record"))]
    let _ = name;
}

/// Marks this moment in the log: the function behind [`mark!`](crate::mark!).
#[track_caller]
pub fn mark(text: &str) {
    #[cfg(feature = "record")]
    if crate::record::enabled() {
        recording::mark(text);
    }
    #[cfg(not(feature = "record"))]
    let _ = text;
}

/// Begins a named interval that ends when the [`Span`] is dropped: the function behind
/// [`span!`](crate::span!).
#[track_caller]
pub fn span(name: &str) -> Span {
    #[cfg(feature = "record")]
    if crate::record::enabled() {
        return Span { id: recording::begin_span(name) };
    }
    let _ = name;
    Span {
        #[cfg(feature = "record")]
        id: 0,
    }
}

/// A named interval of the program, until it is dropped.
#[derive(Debug)]
#[must_use = "a span that is dropped at once has no length"]
pub struct Span {
    /// 0: not recorded.
    #[cfg(feature = "record")]
    id: u64,
}

impl Drop for Span {
    fn drop(&mut self) {
        #[cfg(feature = "record")]
        if self.id != 0 && crate::record::enabled() {
            recording::end_span(self.id);
        }
    }
}

/// Marks this moment in the log. Takes what `format!` takes; formats nothing unless recording.
///
/// ```
/// let round = 3;
/// mmtrace_recorder::mark!("round {round} begins");
/// ```
#[macro_export]
macro_rules! mark {
    ($($text:tt)+) => {
        if $crate::is_recording() {
            $crate::span::mark(&::std::format!($($text)+));
        }
    };
}

/// Begins a named interval that ends with the block that it is bound in. Takes what `format!` takes.
///
/// ```
/// let _span = mmtrace_recorder::span!("parse {}", "main.rs");
/// ```
#[macro_export]
macro_rules! span {
    ($($name:tt)+) => {
        if $crate::is_recording() {
            $crate::span::span(&::std::format!($($name)+))
        } else {
            $crate::span::span("")
        }
    };
}

#[cfg(feature = "record")]
mod recording {
    use std::sync::atomic::{AtomicU64, Ordering};

    use mmtrace_format::EventKind;

    use crate::record;

    #[track_caller]
    pub(super) fn mark(text: &str) {
        let text = record::string(text);
        record::event(EventKind::Mark, 0, 0, u64::from(text.as_u32()), 0);
    }

    #[track_caller]
    pub(super) fn begin_span(name: &str) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = record::string(name);
        record::event(EventKind::SpanBegin, 0, 0, u64::from(name.as_u32()), id);
        id
    }

    #[track_caller]
    pub(super) fn end_span(id: u64) {
        record::event(EventKind::SpanEnd, 0, 0, 0, id);
    }
}

//! What happens to the model, what it asks for, and what it is answered.

use std::path::PathBuf;
use std::sync::Arc;

use crate::action::Command;
use crate::engine::causality::Hop;
use crate::engine::critical::CriticalPath;
use crate::engine::details::{Details, DetailsRequest};
use crate::engine::findings::Findings;
use crate::engine::search::Matches;
use crate::keymap::Chord;
use crate::marks::Note;
use crate::model::{Facts, Lanes, Shading};
use crate::page::{Page, PageRequest, Row, Window};
use crate::query::Query;

/// Something happened.
#[derive(Clone, Debug)]
pub enum Message {
    /// A key was pressed.
    Key(Chord),
    /// An action was asked for by name.
    Command(Command),
    /// The screen has another size.
    Resize(u16, u16),
    /// The mouse was clicked at a column and row of the screen.
    Click(u16, u16),
    /// The mouse wheel was turned there: up if true.
    Wheel(u16, u16, bool),
    /// So much time went by, in ns.
    Tick(u64),
    /// An answer came.
    Answer(Answer),
}

/// Something is to be done outside the model.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// The engine is to answer.
    Ask(Request),
    /// This goes to the clipboard.
    Copy(String),
    /// The screen is to be written to a file.
    WriteScreen {
        /// The file.
        path: PathBuf,
        /// As a picture; else as text.
        svg: bool,
    },
    /// The mouse is to be used, or left alone.
    Mouse(bool),
    /// The log is to be opened again: it may have grown.
    Reload,
}

/// A question for the engine.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// What a screen of timelines shows.
    Page(PageRequest),
    /// The state of a lane.
    Details(DetailsRequest),
    /// What an object is at a time.
    Object {
        /// Its address.
        address: u64,
        /// The time.
        time_ns: u64,
    },
    /// The edge that arrives at, or leaves, a lane next to a place; of its cursor, if `index` is
    /// not known.
    Hop {
        /// The lane.
        lane: usize,
        /// The time.
        time_ns: u64,
        /// The place.
        index: Option<u64>,
        /// To the cause, else to the effect.
        to_cause: bool,
    },
    /// What is before and after a place.
    Shade {
        /// The lane.
        lane: usize,
        /// The time.
        time_ns: u64,
        /// The place.
        index: Option<u64>,
    },
    /// Who held up a wait.
    Path {
        /// The lane.
        lane: usize,
        /// A time within the wait.
        time_ns: u64,
    },
    /// All matches of a query.
    Search {
        /// As it was typed.
        text: String,
        /// As it was understood.
        query: Query,
    },
    /// The search is not wanted any more.
    StopSearch,
    /// The findings, of a log that is too long to be analysed unasked.
    Findings,
    /// The edges between lanes, likewise.
    Causality,
    /// The marks are to be kept.
    SaveNotes(Vec<Note>),
    /// The window is to be written as a Perfetto trace.
    Perfetto {
        /// The file.
        path: PathBuf,
        /// The window.
        window: Window,
        /// The rows.
        rows: Vec<Row>,
    },
}

/// An answer, or news.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The lanes are known, or known better.
    Lanes {
        /// The log as a whole.
        facts: Facts,
        /// The lanes.
        lanes: Arc<Lanes>,
        /// Whether states are known, not presence only.
        has_states: bool,
    },
    /// To [`Request::Page`].
    Page(Arc<Page>),
    /// To [`Request::Details`].
    Details(Arc<Details>),
    /// To [`Request::Object`].
    Object {
        /// Its address.
        address: u64,
        /// The time.
        time_ns: u64,
        /// What there is to say.
        lines: Vec<String>,
    },
    /// To [`Request::Hop`]; the flag is that of the request.
    Hop(Option<Hop>, bool),
    /// To [`Request::Shade`].
    Shade(Option<Arc<Shading>>),
    /// To [`Request::Path`].
    Path(Option<Arc<CriticalPath>>),
    /// To [`Request::Search`], so far: matches, and percent of the log.
    Searching(String, u64, u8),
    /// To [`Request::Search`].
    Matches(String, Arc<Matches>),
    /// The findings are known.
    Findings(Arc<Findings>),
    /// The edges between lanes are known.
    Causality,
    /// Somebody works at something, or is done: then the text is empty.
    Working(&'static str, String),
    /// Something was done, or could not be.
    Said(String),
}

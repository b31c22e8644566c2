//! Everything that is on the screen, as plain data. Changed by [`crate::update`] alone.

mod history;
mod lanes;
mod layout;
mod link;
mod rows;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::action::Action;
use crate::engine::critical::CriticalPath;
use crate::engine::details::Details;
use crate::engine::findings::{Card, Findings};
use crate::engine::search::Matches;
use crate::engine::{Moment, causality::Hop};
use crate::keymap::Keymap;
use crate::line::Line;
use crate::marks::Note;
use crate::page::{Page, PageRequest, Row, Window};
use crate::theme::{Palette, Theme};

pub use history::{History, Place};
pub use lanes::{Facts, GroupFacts, LaneFacts, Lanes};
pub use layout::Layout;
pub use link::{Link, LinkError};
pub use rows::Sort;

/// What the pane beside or below the lanes shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pane {
    /// The state at the cursor.
    #[default]
    Details,
    /// The list of findings.
    Findings,
    /// One finding in full.
    Finding,
    /// An object or address.
    Object,
    /// The critical path of a wait.
    Path,
    /// Nothing: the lanes have all the room.
    Hidden,
}

/// What lies over everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overlay {
    /// The help screen, scrolled down by so many lines.
    Help(u16),
    /// The actions by name: what was typed, and which match is chosen.
    Palette {
        /// What was typed.
        line: Line,
        /// Which of the matches.
        chosen: usize,
    },
    /// A question for an action's argument.
    Prompt {
        /// The action.
        action: Action,
        /// What was typed.
        line: Line,
    },
}

/// A search and what it found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// The query as it was typed.
    pub text: String,
    /// What was found; `None` while the search runs.
    pub matches: Option<Arc<Matches>>,
    /// How many were found so far, and how much of the log is done, in percent.
    pub progress: (u64, u8),
    /// The match that the cursor went to last.
    pub current: Option<usize>,
}

/// What happens before and after an event, as times by lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shading {
    /// The event.
    pub lane: usize,
    /// When it is.
    pub time_ns: u64,
    /// For each lane, up to when it happens before the event.
    pub past: std::collections::BTreeMap<usize, u64>,
    /// For each lane, from when on it happens after it.
    pub future: std::collections::BTreeMap<usize, u64>,
}

/// An object that is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Its address.
    pub address: u64,
    /// The moment.
    pub time_ns: u64,
    /// What there is to say; `None` while that is worked out.
    pub lines: Option<Vec<String>>,
}

/// Everything that is on the screen.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Model {
    /// Columns and rows of the screen.
    pub size: (u16, u16),
    /// The log as a whole.
    pub facts: Facts,
    /// Its lanes and groups.
    pub lanes: Arc<Lanes>,
    /// The order of lanes.
    pub sort: Sort,
    /// Lanes that stay at the top.
    pub pinned: BTreeSet<usize>,
    /// Groups that are shown as one row.
    pub folded: BTreeSet<usize>,
    /// Whether only lanes with matches are shown.
    pub only_matches: bool,
    /// The rows, as all of the above has them.
    pub rows: Arc<Vec<Row>>,
    /// The selected row.
    pub selected: usize,
    /// The first row on the screen.
    pub top: usize,
    /// The part of the log on the screen.
    pub window: Window,
    /// The cursor's time.
    pub cursor_ns: u64,
    /// Exactly which record of the selected lane the cursor is at, if a jump led there.
    pub cursor_index: Option<u64>,
    /// The pane.
    pub pane: Pane,
    /// Lines that the pane is scrolled down.
    pub pane_scroll: u16,
    /// What lies over everything.
    pub overlay: Option<Overlay>,
    /// The page that is drawn, if there is one yet.
    pub page: Option<Arc<Page>>,
    /// The page that was asked for last.
    pub page_asked: Option<PageRequest>,
    /// The state at the cursor.
    pub details: Option<Arc<Details>>,
    /// Which was asked for last.
    pub details_asked: Option<crate::engine::details::DetailsRequest>,
    /// The findings, once they are known.
    pub findings: Option<Arc<Findings>>,
    /// The chosen one.
    pub finding: usize,
    /// Whether the cursor was led to it.
    pub finding_visited: bool,
    /// What a finding must have in it to be listed.
    pub finding_filter: String,
    /// The search.
    pub search: Option<Search>,
    /// The last hop along an edge, drawn as an arrow.
    pub hop: Option<Hop>,
    /// What is before and after an event.
    pub shading: Option<Arc<Shading>>,
    /// The object that is looked at.
    pub inspection: Option<Inspection>,
    /// The wait that is taken apart.
    pub path: Option<Arc<CriticalPath>>,
    /// Where the cursor was.
    pub history: History,
    /// The user's marks.
    pub notes: Vec<Note>,
    /// Whether the strips are shown.
    pub strips: bool,
    /// How it looks.
    pub theme: Theme,
    /// Whether the mouse is used.
    pub mouse: bool,
    /// Nanoseconds of the log a second, while it is played.
    pub playing: Option<u64>,
    /// How fast it is played when it is.
    pub speed: u64,
    /// Whether the log is followed as it grows.
    pub following: bool,
    /// What is being worked out, by whom: shown in the status line.
    pub working: Vec<(&'static str, String)>,
    /// Whether the index knows states, not presence only.
    pub has_states: bool,
    /// Whether edges between lanes are known.
    pub has_causality: bool,
    /// What was said last.
    pub message: Option<String>,
    /// Keys.
    pub keymap: Arc<Keymap>,
    /// The program is to end.
    pub quits: bool,
    /// A link to go to when the lanes are known.
    pub pending_link: Option<Link>,
}

impl Model {
    /// The explorer on a log, before anything of it was worked out.
    pub fn new(facts: Facts, size: (u16, u16), theme: Theme, keymap: Arc<Keymap>) -> Self {
        let window = facts.whole();
        Self {
            size,
            cursor_ns: window.from_ns,
            window,
            speed: (window.len_ns() / 20).max(1),
            facts,
            lanes: Arc::default(),
            sort: Sort::default(),
            pinned: BTreeSet::new(),
            folded: BTreeSet::new(),
            only_matches: false,
            rows: Arc::default(),
            selected: 0,
            top: 0,
            cursor_index: None,
            pane: Pane::default(),
            pane_scroll: 0,
            overlay: None,
            page: None,
            page_asked: None,
            details: None,
            details_asked: None,
            findings: None,
            finding: 0,
            finding_visited: false,
            finding_filter: String::new(),
            search: None,
            hop: None,
            shading: None,
            inspection: None,
            path: None,
            history: History::default(),
            notes: Vec::new(),
            strips: size.1 >= 40,
            theme,
            mouse: false,
            playing: None,
            following: false,
            working: Vec::new(),
            has_states: false,
            has_causality: false,
            message: None,
            keymap,
            quits: false,
            pending_link: None,
        }
    }

    /// The row that is selected.
    pub fn row(&self) -> Option<Row> {
        self.rows.get(self.selected).copied()
    }

    /// The lane that is selected; of a folded group, its first.
    pub fn lane(&self) -> Option<usize> {
        match self.row()? {
            Row::Lane(lane) => Some(lane),
            Row::Group(group) => self.lanes.groups.get(group)?.lanes.first().copied(),
        }
    }

    /// Where the cursor is.
    pub fn place(&self) -> Option<Place> {
        let (time_ns, index, window) = (self.cursor_ns, self.cursor_index, self.window);
        Some(Place { lane: self.lane()?, time_ns, index, window })
    }

    /// The parts of the screen.
    pub fn layout(&self) -> Layout {
        Layout::new(self)
    }

    /// The findings that the filter lets through, with their numbers.
    pub fn listed_findings(&self) -> Vec<(usize, &Card)> {
        let cards = self.findings.iter().flat_map(|findings| findings.cards.iter().enumerate());
        cards.filter(|(_, card)| card.matches(&self.finding_filter)).collect()
    }

    /// The chosen finding.
    pub fn chosen_finding(&self) -> Option<&Card> {
        self.findings.as_ref()?.cards.get(self.finding)
    }

    /// The name of a lane.
    pub fn lane_name(&self, lane: usize) -> &str {
        self.lanes.lanes.get(lane).map_or("", |facts| facts.name.as_str())
    }

    /// The mark at or nearest around the cursor, within a column.
    pub fn note_at_cursor(&self) -> Option<usize> {
        let columns = self.layout().columns();
        let column = self.window.column_of(self.cursor_ns, columns)?;
        let lane = self.lane().and_then(|lane| self.lanes.lanes.get(lane)).map(|it| it.thread);
        self.notes.iter().position(|note| {
            self.window.column_of(note.time_ns, columns) == Some(column)
                && (note.thread.is_none() || note.thread == lane)
        })
    }

    /// Whether a moment is one of the search's matches' lanes.
    pub(crate) fn matches(&self) -> Option<&Matches> {
        self.search.as_ref()?.matches.as_deref()
    }

    /// Whether colours may be used.
    pub fn is_colored(&self) -> bool {
        self.theme.palette != Palette::None
    }

    /// Says something in the status line.
    pub fn say(&mut self, message: impl Into<String>) {
        self.message = Some(message.into());
    }

    /// The exact moment of the cursor, as far as it is known.
    pub fn moment(&self) -> Option<Moment> {
        let lane = self.lane()?;
        let known = self.details.as_ref().filter(|details| {
            details.request.lane == lane && details.request.time_ns == self.cursor_ns
        });
        match (self.cursor_index, known.and_then(|details| details.moment)) {
            (Some(index), _) => Some(Moment { lane, index, time_ns: self.cursor_ns }),
            (None, moment) => moment,
        }
    }
}

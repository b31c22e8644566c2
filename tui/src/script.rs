//! The explorer without a terminal: a script of actions, and screens as text, pictures or JSON.
//!
//! A line is an action with what it needs to know (`goto 1.5ms`), or one of
//!
//! ```text
//! # a comment
//! key j j ctrl-o      keys, as if they were pressed
//! type state:mutex    characters, as if they were typed
//! tick 500ms          time goes by, for what is played
//! size 200x50         the screen has another size
//! screen NAME         the screen as it is now is part of the output
//! ```
//!
//! Everything that is asked for is answered before the next line, so the same script on the same log
//! gives the same bytes everywhere. Without a `screen` line the output is the last screen.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mmtrace_analyzer::{Progress, Silent};
use mmtrace_format::Log;
use ratatui::buffer::Buffer;

use crate::action::Command;
use crate::desk::{Desk, has_edges_unasked, is_analysed_unasked, kept_notes};
use crate::engine::causality::Causality;
use crate::engine::findings;
use crate::export;
use crate::index::{IndexError, open_or_build};
use crate::keymap::{Chord, Keymap};
use crate::message::{Answer, Effect, Message, Request};
use crate::model::{Facts, Link, Model};
use crate::query::parse_time;
use crate::theme::Theme;
use crate::update::update;
use crate::view::screen;

/// What a script runs with.
#[derive(Clone, Debug)]
pub struct ScriptOptions {
    /// Columns and rows.
    pub size: (u16, u16),
    /// How it looks.
    pub theme: Theme,
    /// The keys.
    pub keymap: Arc<Keymap>,
    /// Where to begin.
    pub link: Option<Link>,
}

impl Default for ScriptOptions {
    fn default() -> Self {
        let (theme, keymap) = (Theme::default(), Arc::default());
        Self { size: (80, 24), theme, keymap, link: None }
    }
}

/// A screen that a script asked for.
#[derive(Clone, Debug)]
pub struct Shot {
    /// Its name; empty for the last screen.
    pub name: String,
    /// The screen.
    pub buffer: Buffer,
    /// What was on it.
    pub model: Model,
}

/// What a script gave.
#[derive(Debug)]
pub struct ScriptOutput {
    /// The screens.
    pub shots: Vec<Shot>,
    /// What would have gone to the clipboard.
    pub copied: Vec<String>,
    /// How long each line took, from the message to the drawn screen, without the state at the
    /// cursor: in a terminal that comes after.
    pub frames: Vec<Duration>,
    /// How long each state at the cursor took.
    pub details: Vec<Duration>,
    /// How long it took until the first screen with all states on it could be drawn.
    pub first_frame: Duration,
}

/// A script cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// A line cannot be understood.
    #[error("line {line}: {what}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// Why.
        what: String,
    },
    /// The log cannot be indexed.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// A line of a script.
enum Step {
    Message(Message),
    Screen(String),
}

/// Runs a script.
///
/// # Errors
/// [`ScriptError`]. A line that does nothing sensible is no error: the screen says so.
pub fn run_script(
    log: &Log,
    script: &str,
    options: &ScriptOptions,
) -> Result<ScriptOutput, ScriptError> {
    run_script_watched(log, script, options, &Silent)
}

/// The same, telling how far it is with what takes long.
///
/// # Errors
/// As [`run_script`].
pub fn run_script_watched(
    log: &Log,
    script: &str,
    options: &ScriptOptions,
    progress: &dyn Progress,
) -> Result<ScriptOutput, ScriptError> {
    let steps = parse(script)?;
    let begin = Instant::now();
    progress.phase("indexing", 100);
    let mut percent = 0;
    let (index, _) = open_or_build(log, &mut |done, of| {
        let now = (done * 100 / of.max(1)) as u64;
        progress.advance(now.saturating_sub(percent));
        percent = now.max(percent);
        true
    })?;
    let desk = Desk::new(log, Arc::new(index)).with_progress(progress);
    let mut stage = Stage::new(log, desk, options);
    stage.progress = progress;
    let mut shots = Vec::new();
    let mut frames = Vec::new();
    stage.open(options);
    let mut buffer = screen(&stage.model);
    let first_frame = begin.elapsed();
    stage.work_out();
    buffer.clone_from(&screen(&stage.model));
    for step in steps {
        match step {
            Step::Message(message) => {
                let begin = Instant::now();
                stage.elsewhere = Duration::ZERO;
                stage.happen(message);
                buffer = screen(&stage.model);
                frames.push(begin.elapsed().saturating_sub(stage.elsewhere));
            }
            Step::Screen(name) => {
                let (model, buffer) = (stage.model.clone(), buffer.clone());
                shots.push(Shot { name, buffer, model });
            }
        }
    }
    if shots.is_empty() {
        let buffer = screen(&stage.model);
        shots.push(Shot { name: String::new(), buffer, model: stage.model.clone() });
    }
    let Stage { copied, details, .. } = stage;
    Ok(ScriptOutput { shots, copied, frames, details, first_frame })
}

fn parse(script: &str) -> Result<Vec<Step>, ScriptError> {
    let mut steps = Vec::new();
    for (line, text) in (1..).zip(script.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let error = |what: String| ScriptError::Line { line, what };
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        match word {
            "key" => {
                for key in rest.split_whitespace() {
                    let chord: Chord =
                        key.parse().map_err(|e: crate::keymap::KeyError| error(e.to_string()))?;
                    steps.push(Step::Message(Message::Key(chord)));
                }
            }
            "type" => {
                let keys = rest.chars().map(|c| Step::Message(Message::Key(c.into())));
                steps.extend(keys);
            }
            "tick" => {
                let ns = parse_time(rest).ok_or_else(|| error(format!("`{rest}` is no time")))?;
                steps.push(Step::Message(Message::Tick(ns)));
            }
            "size" => {
                let (width, height) = parse_size(rest)
                    .ok_or_else(|| error(format!("`{rest}` is no size, like 80x24")))?;
                steps.push(Step::Message(Message::Resize(width, height)));
            }
            "screen" => steps.push(Step::Screen(rest.trim().to_owned())),
            _ => {
                let command = text.parse::<Command>();
                let command = command.map_err(|e| error(e.to_string()))?;
                steps.push(Step::Message(Message::Command(command)));
            }
        }
    }
    Ok(steps)
}

/// Columns and rows: `80x24`.
pub fn parse_size(text: &str) -> Option<(u16, u16)> {
    let (width, height) = text.trim().split_once('x')?;
    let size = (width.parse().ok()?, height.parse().ok()?);
    (size.0 >= 20 && size.0 <= 1000 && size.1 >= 6 && size.1 <= 500).then_some(size)
}

/// A model and a desk that answers it at once.
struct Stage<'log> {
    log: &'log Log,
    /// Is told how far an analysis is.
    progress: &'log dyn Progress,
    desk: Desk<'log>,
    model: Model,
    copied: Vec<String>,
    details: Vec<Duration>,
    /// Time spent on what a terminal's screen does not wait for.
    elsewhere: Duration,
    has_findings: bool,
    has_causality: bool,
}

impl<'log> Stage<'log> {
    fn new(log: &'log Log, desk: Desk<'log>, options: &ScriptOptions) -> Self {
        let facts = Facts::of(log);
        let mut model = Model::new(facts, options.size, options.theme, Arc::clone(&options.keymap));
        let (notes, problem) = kept_notes(log.path(), &model.facts);
        model.notes = notes;
        model.message = problem;
        Self {
            log,
            progress: &Silent,
            desk,
            model,
            copied: Vec::new(),
            details: Vec::new(),
            elsewhere: Duration::ZERO,
            has_findings: false,
            has_causality: false,
        }
    }

    fn open(&mut self, options: &ScriptOptions) {
        self.model.pending_link.clone_from(&options.link);
        let lanes = self.desk.lanes(true);
        self.happen(Message::Answer(lanes));
    }

    /// What a worker would do beside the first screens.
    fn work_out(&mut self) {
        if is_analysed_unasked(self.log) {
            self.happen_all(vec![Effect::Ask(Request::Findings)]);
        }
        if has_edges_unasked(self.log) {
            self.happen_all(vec![Effect::Ask(Request::Causality)]);
        }
    }

    fn happen(&mut self, message: Message) {
        let effects = update(&mut self.model, message);
        self.happen_all(effects);
    }

    /// Does what is to be done outside, and what that leads to, until nothing is left.
    fn happen_all(&mut self, effects: Vec<Effect>) {
        let mut todo: VecDeque<Effect> = effects.into();
        while let Some(effect) = todo.pop_front() {
            match effect {
                Effect::Ask(request) => {
                    for answer in self.answer(request) {
                        todo.extend(update(&mut self.model, Message::Answer(answer)));
                    }
                }
                Effect::Copy(text) => self.copied.push(text),
                Effect::WriteScreen { path, svg } => {
                    let buffer = screen(&self.model);
                    let theme = self.model.theme;
                    self.model.say(export::write_screen(&buffer, theme, &path, svg));
                }
                // A script has neither a mouse nor a log that grows while it runs.
                Effect::Mouse(_) | Effect::Reload => {}
            }
        }
    }

    fn answer(&mut self, request: Request) -> Vec<Answer> {
        match request {
            Request::Findings if self.has_findings => Vec::new(),
            Request::Findings => {
                self.has_findings = true;
                let index = Arc::clone(self.desk.engine().index());
                match findings::collect(self.log, &index, self.progress) {
                    Ok(findings) => {
                        let findings = Arc::new(findings);
                        self.desk.set_findings(Arc::clone(&findings));
                        vec![Answer::Findings(findings)]
                    }
                    Err(error) => vec![Answer::Said(error)],
                }
            }
            Request::Causality if self.has_causality => Vec::new(),
            Request::Causality => {
                self.has_causality = true;
                let edges = Causality::of(self.log, self.desk.engine().index());
                self.desk.set_causality(Arc::new(edges));
                vec![Answer::Causality]
            }
            Request::Search { text, query } => {
                let matches = self.desk.engine().search(&query, &mut |_, _, _| true);
                vec![Answer::Matches(text, Arc::new(matches))]
            }
            Request::StopSearch => Vec::new(),
            Request::Details(_) => {
                let begin = Instant::now();
                let answer = self.desk.answer(request);
                self.details.push(begin.elapsed());
                self.elsewhere += begin.elapsed();
                answer.into_iter().collect()
            }
            request => self.desk.answer(request).into_iter().collect(),
        }
    }
}

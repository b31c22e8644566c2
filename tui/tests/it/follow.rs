//! A log that is followed while somebody writes it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mmtrace_format::chunk::SealScratch;
use mmtrace_format::event::word::{RECORD_WORDS_MAX, encode_event};
use mmtrace_format::live::{LiveLog, LiveOptions, Slot, SlotLabel};
use mmtrace_format::{Event, EventKind, Log, ProcessInfo, StreamId, ThreadId, Timestamp};
use mmtrace_tui::action::Action;
use mmtrace_tui::desk::Desk;
use mmtrace_tui::feed::Feed;
use mmtrace_tui::keymap::Keymap;
use mmtrace_tui::message::{Answer, Message};
use mmtrace_tui::model::{Facts, Model};
use mmtrace_tui::theme::Theme;
use mmtrace_tui::update::update;
use mmtrace_tui::worker::Listener;
use tempfile::TempDir;

use crate::support::index_of;

/// A test that waits longer than this for an answer has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// A program that records a mark whenever it is told to.
struct Writer {
    log: LiveLog,
    slot: Option<Slot>,
    chunk: u32,
    written: u64,
}

impl Writer {
    fn new(path: &Path) -> Self {
        let options = LiveOptions { slot_len: 4096, ..LiveOptions::default() };
        let log = LiveLog::create(path, &ProcessInfo::default(), options).unwrap();
        Self { log, slot: None, chunk: 0, written: 0 }
    }

    fn write(&mut self, count: u64) {
        for _ in 0..count {
            let time = Timestamp::from_ns(self.written * 1000);
            let event = Event { time, ..Event::new(EventKind::Mark) };
            let mut record = [0; RECORD_WORDS_MAX];
            let len = encode_event(&event, &mut record);
            while !self.slot.as_mut().is_some_and(|slot| slot.push(&record[..len])) {
                if let Some(full) = self.slot.take() {
                    self.log.seal(full, time, &mut SealScratch::new()).unwrap();
                    self.chunk += 1;
                }
                let label = SlotLabel {
                    stream: StreamId::new(0),
                    number: self.chunk,
                    thread: ThreadId::MAIN,
                    switch_count: 0,
                    first_time: time,
                };
                self.slot = Some(self.log.acquire_slot(&label).unwrap());
            }
            self.written += 1;
        }
    }
}

/// What the screen gets.
struct Screen {
    feed: Feed,
    answers: Receiver<(u64, Answer)>,
    has_states: bool,
}

impl Screen {
    fn new(path: &Path) -> Self {
        let (sender, answers) = channel();
        let sender = Mutex::new(sender);
        let sender = Arc::new(sender);
        let listeners = move |number| -> Listener {
            let sender = Arc::clone(&sender);
            Arc::new(move |answer| sender.lock().unwrap().send((number, answer)).is_ok())
        };
        let log = Arc::new(Log::open(path).unwrap());
        let feed = Feed::start(log, Box::new(listeners)).unwrap();
        Self { feed, answers, has_states: false }
    }

    /// Waits until the screen has so many records of a log that is closed or not, with all their
    /// states, and is told no less meanwhile.
    fn wait_for(&mut self, expected: u64, is_closed: bool) {
        loop {
            let (number, answer) = self.answers.recv_timeout(PATIENCE).unwrap();
            match self.feed.take(number, answer) {
                Some(Answer::Lanes { facts, lanes, has_states }) => {
                    assert!(has_states || !self.has_states, "back to the coarse picture");
                    self.has_states = has_states;
                    let is_it = self.feed.log().is_complete() == is_closed;
                    if has_states && facts.records == expected && is_it {
                        assert_eq!(lanes.lanes.len(), 1);
                        assert_eq!(self.feed.log().event_count(), expected);
                        return;
                    }
                }
                Some(Answer::Said(text)) => panic!("{text}"),
                _ => {}
            }
        }
    }
}

/// A log that is being recorded, and the explorer that shows it.
struct Followed {
    folder: TempDir,
    path: PathBuf,
    writer: Writer,
    screen: Screen,
}

impl Followed {
    /// With so many events, which are on the screen.
    fn at(count: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.log");
        let mut writer = Writer::new(&path);
        writer.write(count);
        let mut screen = Screen::new(&path);
        screen.wait_for(count, false);
        Self { folder, path, writer, screen }
    }
}

#[test]
fn a_log_that_grows_is_shown_as_it_grows_and_never_coarsely_again() {
    let Followed { folder: _folder, mut writer, mut screen, .. } = Followed::at(1000);
    assert!(!screen.feed.look_again().unwrap(), "nothing is new");
    for round in 1..=3 {
        writer.write(2500);
        assert!(screen.feed.look_again().unwrap());
        // One look at a time: this one is not begun while the other is going on.
        writer.write(1);
        assert!(!screen.feed.look_again().unwrap());
        screen.wait_for(writer.written - 1, false);
        assert!(screen.feed.look_again().unwrap(), "round {round}");
        screen.wait_for(writer.written, false);
    }
    assert!(!screen.feed.log().is_complete());
    // The program ends: the log is the same, but nothing is missing any more.
    writer.log.close(Timestamp::from_ns(writer.written * 1000)).unwrap();
    assert!(screen.feed.look_again().unwrap());
    screen.wait_for(writer.written, true);
    assert!(!screen.feed.look_again().unwrap());
}

#[test]
fn a_log_that_cannot_be_opened_again_stays_as_it_was() {
    let Followed { folder, path, mut writer, mut screen } = Followed::at(10);
    std::fs::rename(&path, folder.path().join("elsewhere.log")).unwrap();
    assert!(screen.feed.look_again().unwrap_err().to_string().contains("no such file"));
    assert_eq!(screen.feed.log().event_count(), 10);
    std::fs::rename(folder.path().join("elsewhere.log"), &path).unwrap();
    writer.write(10);
    assert!(screen.feed.look_again().unwrap());
    screen.wait_for(20, false);
}

/// A model that was told of a log.
fn told(model: Option<Model>, log: &Log) -> Model {
    let facts = Facts::of(log);
    let mut model = model
        .unwrap_or_else(|| Model::new(facts, (80, 24), Theme::default(), Arc::<Keymap>::default()));
    let lanes = Desk::new(log, index_of(log)).lanes(true);
    update(&mut model, Message::Answer(lanes));
    model
}

/// What was found in a log says nothing of what it has grown to: whoever waits goes on in it. And
/// who stands at the end of a log that is followed stays there.
#[test]
fn what_was_found_is_forgotten_as_the_log_grows_and_the_end_stays_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.log");
    let mut writer = Writer::new(&path);
    writer.write(100);
    let mut model = told(None, &Log::open(&path).unwrap());
    update(&mut model, Message::Answer(Answer::Findings(Arc::default())));
    model.following = true;
    update(&mut model, Message::Command(Action::LineEnd.into()));
    let before = model.cursor_ns;
    model = told(Some(model), &Log::open(&path).unwrap());
    assert!(model.findings.is_some() && model.cursor_ns == before, "it has not grown");
    writer.write(100);
    model = told(Some(model), &Log::open(&path).unwrap());
    assert!(model.findings.is_none());
    assert_eq!((before, model.cursor_ns), (99_000, 199_000));
    update(&mut model, Message::Command(Action::LineStart.into()));
    writer.write(100);
    model = told(Some(model), &Log::open(&path).unwrap());
    assert_eq!((model.cursor_ns, model.window.to_ns), (0, 299_001));
}

/// It would be analysed again and again.
#[test]
fn a_log_that_is_being_recorded_is_not_analysed_unasked() {
    let Followed { folder: _folder, writer: _writer, screen, .. } = Followed::at(100);
    screen.feed.ask(mmtrace_tui::message::Request::Hop {
        lane: 0,
        time_ns: 0,
        index: None,
        to_cause: true,
    });
    loop {
        match screen.answers.recv_timeout(PATIENCE).unwrap().1 {
            Answer::Hop(..) => break,
            Answer::Working("analysing", _) | Answer::Findings(_) => panic!("analysed unasked"),
            _ => {}
        }
    }
}

/// Of a hundred thousand lanes even the coarse picture takes seconds.
#[test]
fn how_far_the_coarse_picture_is_is_told_before_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.log");
    Writer::new(&path).write(100);
    let screen = Screen::new(&path);
    let mut told = Vec::new();
    loop {
        match screen.answers.recv_timeout(PATIENCE).unwrap().1 {
            Answer::Working("reading", how_far) => told.push(how_far),
            Answer::Lanes { .. } => break,
            _ => {}
        }
    }
    assert!(told.len() >= 2 && told[0].ends_with('%'), "{told:?}");
    assert_eq!(told.last().unwrap(), "", "it is done");
}

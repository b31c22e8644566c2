//! The explorer in a terminal: keys in, screens out. The terminal is restored whatever happens.

use std::io::{self, Write as _, stdout};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers, MouseEventKind};
use crossterm::execute;
use mmtrace_format::Log;
use mmtrace_format::log::OpenError;
use ratatui::DefaultTerminal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::desk::kept_notes;
use crate::export;
use crate::feed::Feed;
use crate::keymap::{Chord, Key, Keymap};
use crate::message::{Answer, Effect, Message};
use crate::model::{Facts, Link, Model};
use crate::theme::Theme;
use crate::update::update;
use crate::view::{draw, screen};
use crate::worker::Listener;

/// Between two screens while something moves by itself.
const FRAME: Duration = Duration::from_millis(33);

/// Between two looks at a log that is followed.
const FOLLOW: Duration = Duration::from_secs(1);

/// How long a page may take to be on the same screen as what asked for it.
const PATIENCE: Duration = Duration::from_millis(12);

/// Signals that ask the explorer to end.
const ENDING: [i32; 4] = [SIGTERM, SIGHUP, SIGINT, SIGQUIT];

/// What the explorer runs with.
#[derive(Clone, Debug)]
pub struct ViewOptions {
    /// How it looks.
    pub theme: Theme,
    /// The keys.
    pub keymap: Arc<Keymap>,
    /// Where to begin.
    pub link: Option<Link>,
    /// Whether to follow the log as it grows.
    pub follow: bool,
}

/// Why the explorer did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The log cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The terminal cannot be used.
    #[error("the terminal cannot be used: {0}")]
    Terminal(#[from] io::Error),
    /// A thread of the explorer panicked, and has said where.
    #[error("the explorer failed: what stands above says where")]
    Panicked,
}

/// Something came from the keyboard, from a worker, or from outside.
enum Incoming {
    Terminal(Event),
    Answer(u64, Answer),
    Signal(i32),
    Panicked,
}

/// Why the explorer ended, but for what is wrong with the terminal.
#[derive(Clone, Copy)]
enum Ended {
    ByUser,
    BySignal(i32),
}

/// Explores a log in this process's terminal, until the user leaves.
///
/// # Errors
/// [`RunError`].
pub fn run(path: &Path, options: &ViewOptions) -> Result<(), RunError> {
    let log = Arc::new(Log::open(path)?);
    let (sender, incoming) = channel();
    listen_to_signals(sender.clone())?;
    // Restores the terminal on a panic, too.
    let terminal = ratatui::try_init()?;
    tell_of_panics(sender.clone());
    let result = Explorer::new(log, terminal, options, sender, incoming).and_then(Explorer::run);
    if !matches!(result, Err(RunError::Panicked)) {
        restore();
    }
    if let Ended::BySignal(signal) = result? {
        // Whoever sent it sees that it was obeyed.
        emulate_default_handler(signal)?;
    }
    Ok(())
}

fn restore() {
    // A terminal that has gone away needs no restoring.
    let _ = execute!(stdout(), event::DisableMouseCapture);
    let _ = ratatui::try_restore();
}

/// Signals come in like keys: the terminal is restored before they end the process.
fn listen_to_signals(sender: Sender<Incoming>) -> io::Result<()> {
    let mut signals = Signals::new(ENDING)?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if sender.send(Incoming::Signal(signal)).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

/// A panic of any thread restores the terminal and says where it was; the thread that draws must not
/// draw over that.
fn tell_of_panics(sender: Sender<Incoming>) {
    let sender = std::sync::Mutex::new(sender);
    let restore_and_report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if let Ok(sender) = sender.lock() {
            let _ = sender.send(Incoming::Panicked);
        }
        let _ = execute!(stdout(), event::DisableMouseCapture);
        restore_and_report(panic);
    }));
}

struct Explorer {
    feed: Feed,
    terminal: DefaultTerminal,
    model: Model,
    incoming: Receiver<Incoming>,
    last_tick: Instant,
    /// The signal that asked for the end.
    signal: Option<i32>,
}

impl Explorer {
    fn new(
        log: Arc<Log>,
        terminal: DefaultTerminal,
        options: &ViewOptions,
        sender: Sender<Incoming>,
        incoming: Receiver<Incoming>,
    ) -> Result<Self, RunError> {
        let size = terminal.size()?;
        let keymap = Arc::clone(&options.keymap);
        let mut model =
            Model::new(Facts::of(&log), (size.width, size.height), options.theme, keymap);
        model.pending_link.clone_from(&options.link);
        model.following = options.follow;
        let (notes, problem) = kept_notes(log.path(), &model.facts);
        model.notes = notes;
        model.message = problem;
        let keys = sender.clone();
        let feed = Feed::start(log, Box::new(move |number| listener(&sender, number)))?;
        std::thread::Builder::new().name("keys".to_owned()).spawn(move || {
            while let Ok(event) = event::read() {
                if keys.send(Incoming::Terminal(event)).is_err() {
                    return;
                }
            }
        })?;
        let last_tick = Instant::now();
        Ok(Self { feed, terminal, model, incoming, last_tick, signal: None })
    }

    fn run(mut self) -> Result<Ended, RunError> {
        self.draw()?;
        while !self.model.quits {
            let wait = match (self.model.playing, self.model.following) {
                (Some(_), _) => Some(FRAME),
                (None, true) => Some(FOLLOW),
                (None, false) => None,
            };
            match self.next(wait)? {
                Some(incoming) => self.take(incoming)?,
                None if self.model.quits => {}
                None => self.tick()?,
            }
            if self.model.quits {
                break;
            }
            self.catch_up()?;
            self.draw()?;
        }
        Ok(self.signal.map_or(Ended::ByUser, Ended::BySignal))
    }

    /// What comes next; `None` when it is time for a tick, or nobody is there any more.
    fn next(&mut self, wait: Option<Duration>) -> Result<Option<Incoming>, RunError> {
        let Some(wait) = wait else {
            self.last_tick = Instant::now();
            return match self.incoming.recv() {
                Ok(incoming) => Ok(Some(incoming)),
                Err(_) => Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
            };
        };
        let left = wait.saturating_sub(self.last_tick.elapsed());
        match self.incoming.recv_timeout(left) {
            Ok(incoming) => Ok(Some(incoming)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                self.model.quits = true;
                Ok(None)
            }
        }
    }

    /// Takes all that is there; and waits a little for the page of the present window, so that it
    /// is on the same screen.
    fn catch_up(&mut self) -> Result<(), RunError> {
        let begin = Instant::now();
        loop {
            while let Ok(incoming) = self.incoming.try_recv() {
                self.take(incoming)?;
            }
            let asked = self.model.page_asked.as_ref();
            let drawn = self.model.page.as_ref().map(|page| &page.request);
            let left = PATIENCE.saturating_sub(begin.elapsed());
            if asked == drawn || left.is_zero() {
                return Ok(());
            }
            match self.incoming.recv_timeout(left) {
                Ok(incoming) => self.take(incoming)?,
                Err(_) => return Ok(()),
            }
        }
    }

    fn take(&mut self, incoming: Incoming) -> Result<(), RunError> {
        let message = match incoming {
            Incoming::Answer(number, answer) => match self.feed.take(number, answer) {
                Some(answer) => Message::Answer(answer),
                None => return Ok(()),
            },
            Incoming::Terminal(event) => match message_of(&event) {
                Some(message) => message,
                None => return Ok(()),
            },
            Incoming::Signal(signal) => {
                self.signal = Some(signal);
                self.model.quits = true;
                return Ok(());
            }
            Incoming::Panicked => return Err(RunError::Panicked),
        };
        self.happen(message)
    }

    fn tick(&mut self) -> Result<(), RunError> {
        let ns = u64::try_from(self.last_tick.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.last_tick = Instant::now();
        self.happen(Message::Tick(ns))
    }

    fn happen(&mut self, message: Message) -> Result<(), RunError> {
        for effect in update(&mut self.model, message) {
            match effect {
                Effect::Ask(request) => self.feed.ask(request),
                Effect::Copy(text) => copy(&text)?,
                Effect::WriteScreen { path, svg } => {
                    let buffer = screen(&self.model);
                    let theme = self.model.theme;
                    self.model.say(export::write_screen(&buffer, theme, &path, svg));
                }
                Effect::Mouse(true) => execute!(stdout(), event::EnableMouseCapture)?,
                Effect::Mouse(false) => execute!(stdout(), event::DisableMouseCapture)?,
                Effect::Reload => {
                    if let Err(error) = self.feed.look_again() {
                        self.model.say(error.to_string());
                    }
                }
            }
        }
        Ok(())
    }

    fn draw(&mut self) -> Result<(), RunError> {
        let model = &mut self.model;
        self.terminal.draw(|frame| {
            let size = frame.area();
            if (size.width, size.height) == model.size {
                draw(model, frame.buffer_mut());
            }
        })?;
        Ok(())
    }
}

fn listener(sender: &Sender<Incoming>, number: u64) -> Listener {
    let sender = std::sync::Mutex::new(sender.clone());
    Arc::new(move |answer| {
        let Ok(sender) = sender.lock() else { return false };
        sender.send(Incoming::Answer(number, answer)).is_ok()
    })
}

fn message_of(event: &Event) -> Option<Message> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => {
            let held = |modifier| key.modifiers.contains(modifier);
            let named = |name: &str| Chord::named(name);
            let mut chord = match key.code {
                KeyCode::Char(character) => Chord::from(character),
                KeyCode::Left => named("left")?,
                KeyCode::Right => named("right")?,
                KeyCode::Up => named("up")?,
                KeyCode::Down => named("down")?,
                KeyCode::Home => named("home")?,
                KeyCode::End => named("end")?,
                KeyCode::PageUp => named("pageup")?,
                KeyCode::PageDown => named("pagedown")?,
                KeyCode::Enter => named("enter")?,
                KeyCode::Esc => named("esc")?,
                KeyCode::Tab => named("tab")?,
                KeyCode::BackTab => named("backtab")?,
                KeyCode::Backspace => named("backspace")?,
                KeyCode::Delete => named("delete")?,
                KeyCode::F(1) => named("f1")?,
                _ => return None,
            };
            chord.ctrl = held(KeyModifiers::CONTROL);
            chord.alt = held(KeyModifiers::ALT);
            chord.shift = held(KeyModifiers::SHIFT) && matches!(chord.key, Key::Named(_));
            Some(Message::Key(chord))
        }
        Event::Resize(width, height) => Some(Message::Resize(*width, *height)),
        Event::Mouse(mouse) => match mouse.kind {
            MouseEventKind::Down(_) => Some(Message::Click(mouse.column, mouse.row)),
            MouseEventKind::ScrollUp => Some(Message::Wheel(mouse.column, mouse.row, true)),
            MouseEventKind::ScrollDown => Some(Message::Wheel(mouse.column, mouse.row, false)),
            _ => None,
        },
        _ => None,
    }
}

/// Puts text into the clipboard of the terminal's machine, over SSH, too: OSC 52.
fn copy(text: &str) -> io::Result<()> {
    let mut out = stdout();
    write!(out, "\x1b]52;c;{}\x07", base64(text.as_bytes()))?;
    out.flush()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            if digit <= three.len() {
                let place = bits >> (18 - 6 * digit) & 63;
                text.push(char::from(DIGITS[place as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clipboard_gets_base64() {
        assert_eq!(base64(b""), "");
        assert_eq!(base64(b"f"), "Zg==");
        assert_eq!(base64(b"fo"), "Zm8=");
        assert_eq!(base64(b"foobar"), "Zm9vYmFy");
    }
}

//! Recording a piece of a test, and reading what it left.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;
use std::sync::OnceLock;

use mmtrace_format::event::text::Line;
use mmtrace_format::{Event, EventKind, Log, StringId, ThreadId};

use crate::recorded;

/// What was recorded.
pub(crate) struct Recording {
    /// By thread, each in program order. The first is the test's own.
    threads: Vec<Vec<Line>>,
    names: Vec<String>,
}

/// An event with its thread, as the tests number it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recorded {
    pub(crate) thread: usize,
    pub(crate) event: Event,
}

impl Recorded {
    pub(crate) fn name(&self) -> &'static str {
        self.event.kind.name()
    }
}

/// Records what `f` does.
pub(crate) fn record(f: impl FnOnce()) -> Recording {
    Recording::read(&recorded::record(f))
}

impl Recording {
    fn read(log: &Log) -> Self {
        let by_thread = recorded::threads(log).into_iter();
        let lines =
            by_thread.flat_map(|(thread, lines)| lines.into_iter().map(move |l| (thread, l)));
        // The thread that begins a recording is the main one in it.
        let threads = renumber(ThreadId::MAIN, lines.collect());
        let names = threads
            .iter()
            .skip(1)
            .flatten()
            .filter_map(|line| match line {
                Line::Event(_, event) if event.kind == EventKind::Name => {
                    let id = StringId::new(u32::try_from(event.value).expect("a string"));
                    log.tables().string(id).map(str::to_owned)
                }
                _ => None,
            })
            .collect();
        Self { threads: threads.into_iter().map(only_the_program).collect(), names }
    }

    /// The names that threads were given.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The text of a single-threaded recording, and of others thread by thread.
    pub(crate) fn text(&self) -> String {
        (0..self.threads.len()).map(|thread| self.thread(thread)).collect()
    }

    /// The text of one thread: no times, stacks and order numbers, which differ from run to run.
    /// Addresses are letters in the order in which *this* thread names them.
    pub(crate) fn thread(&self, thread: usize) -> String {
        let mut letters = BTreeMap::new();
        let mut text = String::new();
        for line in self.threads.get(thread).into_iter().flatten() {
            let _ = writeln!(text, "{}", self.normal(line, &mut letters));
        }
        text
    }

    /// The lines of one thread that contain this.
    pub(crate) fn lines_with(&self, thread: usize, part: &str) -> Vec<String> {
        let text = self.thread(thread);
        text.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }

    /// All events, thread by thread.
    pub(crate) fn events(&self) -> impl Iterator<Item = Event> {
        self.threads.iter().flatten().filter_map(|line| match line {
            Line::Event(_, event) => Some(*event),
            Line::Access(..) => None,
        })
    }

    pub(crate) fn count(&self, kind: &str) -> usize {
        self.events().filter(|event| event.kind.name() == kind).count()
    }

    /// The numbered events of the first object that has one of this kind, by their numbers.
    pub(crate) fn object(&self, kind: &str) -> Vec<Recorded> {
        let object = self
            .events()
            .find(|event| event.kind.name() == kind)
            .map_or_else(|| panic!("no {kind}"), |event| event.object);
        let mut events = self.sequenced();
        events.retain(|recorded| recorded.event.object == object);
        events
    }

    /// The events of these kinds of all objects: those of each object by their numbers.
    pub(crate) fn kinds(&self, kinds: &[&str]) -> Vec<Event> {
        let mut events: Vec<Event> = self.sequenced().iter().map(|one| one.event).collect();
        events.retain(|event| kinds.contains(&event.kind.name()));
        events
    }

    fn sequenced(&self) -> Vec<Recorded> {
        let mut events: Vec<Recorded> = self
            .threads
            .iter()
            .enumerate()
            .flat_map(|(thread, lines)| {
                lines.iter().filter_map(move |line| match line {
                    Line::Event(_, event) if event.kind.spec().is_sequenced() => {
                        Some(Recorded { thread, event: *event })
                    }
                    _ => None,
                })
            })
            .collect();
        events.sort_by_key(|recorded| (recorded.event.object, recorded.event.sequence));
        events
    }

    fn normal(&self, line: &Line, letters: &mut BTreeMap<String, String>) -> String {
        let text = line.to_string();
        let mut words: Vec<String> = Vec::new();
        for word in text.split(' ') {
            let (name, value) = word.split_once('=').unwrap_or(("", word));
            let skip = matches!(name, "seq" | "os-thread")
                || word.starts_with("@st")
                || word.strip_suffix("ns").is_some_and(|time| time.parse::<u64>().is_ok());
            if skip {
                continue;
            }
            let value = if name == "by" && value != "0" {
                self.by_number(line, value)
            } else if value.starts_with("0x") && value != "0x0" {
                let next = char::from(b'a' + u8::try_from(letters.len()).expect("few objects"))
                    .to_string();
                letters.entry(value.to_owned()).or_insert(next).clone()
            } else {
                value.to_owned()
            };
            words.push(if name.is_empty() { value } else { format!("{name}={value}") });
        }
        words.join(" ")
    }

    /// The kind of the event that a wake says it was woken by.
    fn by_number(&self, wake: &Line, number: &str) -> String {
        let Line::Event(_, wake) = wake else { panic!("only events are woken") };
        self.events()
            .find(|event| event.object == wake.object && event.sequence.to_string() == number)
            .map_or_else(|| "nothing".to_owned(), |event| event.kind.name().to_owned())
    }
}

/// Leaves out what the recorder says of its own: names, new stacks, the start of the test's thread,
/// and the release by which a thread hands over to its own destructors.
fn only_the_program(lines: Vec<Line>) -> Vec<Line> {
    let kind = |line: &Line| match line {
        Line::Event(_, event) => Some(event.kind),
        Line::Access(..) => None,
    };
    let mut kept: Vec<Line> = Vec::new();
    for line in lines {
        match kind(&line) {
            Some(EventKind::Name | EventKind::Retire | EventKind::CleanEnd | EventKind::Clock) => {}
            Some(EventKind::Start) if matches!(line, Line::Event(ThreadId::MAIN, _)) => {}
            Some(EventKind::End) => {
                kept.pop_if(|last| kind(last) == Some(EventKind::Release));
                kept.push(line);
            }
            _ => kept.push(line),
        }
    }
    kept
}

/// Renumbers threads as the tests know them: the test's own is 0, the others follow in the order in
/// which they were started. Drops the rest: other tests run at the same time.
fn renumber(test_thread: ThreadId, lines: Vec<(ThreadId, Line)>) -> Vec<Vec<Line>> {
    let mut order = vec![test_thread];
    let mut next = 0;
    while let Some(&thread) = order.get(next) {
        next += 1;
        for (_, line) in lines.iter().filter(|(whose, _)| *whose == thread) {
            if let Line::Event(_, event) = line
                && event.kind == EventKind::Spawn
            {
                order.push(ThreadId::new(u32::try_from(event.value).expect("a thread")));
            }
        }
    }
    let number = |thread: u64| {
        order
            .iter()
            .position(|known| u64::from(known.as_u32()) == thread)
            .map_or(thread, |index| index as u64)
    };
    let mut threads = vec![Vec::new(); order.len()];
    for (thread, line) in lines {
        let Some(index) = order.iter().position(|known| *known == thread) else { continue };
        let me = ThreadId::new(u32::try_from(index).expect("few threads"));
        threads[index].push(match line {
            Line::Event(_, mut event) => {
                match event.kind {
                    EventKind::Spawn | EventKind::Start | EventKind::Join | EventKind::Unpark => {
                        event.value = number(event.value);
                    }
                    _ => {}
                }
                Line::Event(me, event)
            }
            Line::Access(_, access) => Line::Access(me, access),
        });
    }
    threads
}

/// Runs a test that uses the types outside its recording in a process of its own, where they are not
/// in the recordings of other tests.
pub(crate) fn alone(test: &str, body: impl FnOnce()) {
    const ALONE: &str = "MMTRACE_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let output = Command::new(std::env::current_exe().expect("the tests"))
        .args([test, "--exact", "--test-threads=1"])
        .env(ALONE, "1")
        .output()
        .expect("the tests can be run");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// A thread that others wait for to fall asleep: that is how they know that it blocks, without
/// waiting for any length of time.
#[derive(Default)]
pub(crate) struct Sleeper {
    status: OnceLock<String>,
}

impl Sleeper {
    /// The thread that calls this goes on to block, and does not sleep before.
    pub(crate) fn is_here(&self) {
        let me = std::fs::read_link("/proc/thread-self").expect("Linux has it");
        self.status.set(format!("/proc/{}/stat", me.display())).expect("called once");
    }

    /// Waits until the thread has ended, and so has recorded all that it will.
    pub(crate) fn wait_until_gone(&self) {
        while self.status.get().is_none_or(|path| std::fs::exists(path).is_ok_and(|there| there)) {
            std::thread::yield_now();
        }
    }

    /// Waits until the thread sleeps.
    pub(crate) fn wait_until_asleep(&self) {
        loop {
            let stat = self.status.get().map(std::fs::read_to_string);
            if let Some(Ok(stat)) = stat
                // The state follows the name, which is in brackets and may contain anything.
                && stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
            {
                return;
            }
            std::thread::yield_now();
        }
    }
}

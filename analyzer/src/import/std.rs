//! The STD text format of the RAPID analyzer: one event a line, in the order in which all happened.
//!
//! ```text
//! T0|fork(T1)|12
//! T0|w(V7)|1000
//! T1|acq(L3)|1010
//! ```
//!
//! Thread, operation with its operand, location. Operations are `r` and `w` of a variable, `acq` and
//! `rel` of a lock, `fork` and `join` of a thread, `begin` and `end` of an atomic block; `read`,
//! `write`, `acquire` and `release` are taken as well. Names may be anything without `|` and `)`.
//!
//! # What becomes of it
//! Variables are 8 bytes, 8 apart (`V7` at 8 * 7 from the first), locks have addresses of their own.
//! A location's number is the line of a place in no file; places are numbered in the order of their
//! locations. An event's time is its line. Blocks become spans.
//!
//! A thread that is forked again, as some tools number them, is another thread. One that nobody
//! forks is spawned by the first thread before anything else. A join means what it says even if the
//! thread is joined again, or goes on: then it is written as a release and an acquire.
//!
//! # What it costs
//! Two passes over the text, the first to learn the threads and the locations; memory for those, for
//! names without a number, and for nothing else.

mod lives;
mod parse;

use ::std::collections::{BTreeSet, HashMap};
use ::std::error::Error;
use ::std::io::{self, Read, Seek, SeekFrom};

use mmtrace_format::table::{CallSite, SourceLocation, StackNode};
use mmtrace_format::writer::Sequencer;
use mmtrace_format::{
    Access, AccessKind, Address, Event, EventKind, StackId, StringId, ThreadId, Timestamp,
};

use super::Output;
use lives::Lives;
use parse::{Lines, Name, Operation, Statement};

/// Where variables with a number lie.
const VARIABLES: u64 = 0x0100_0000_0000;
/// Where variables with another name lie.
const NAMED_VARIABLES: u64 = 0x2000_0000_0000;
/// Where locks with a number lie.
const LOCKS: u64 = 0x4000_0000_0000;
/// Where locks with another name lie.
const NAMED_LOCKS: u64 = 0x6000_0000_0000;
/// What stands for the joins of threads that are not simply joined once.
const JOINS: u64 = 0x7000_0000_0000;

/// From one variable, or lock, to the next.
const STRIDE: u64 = 8;

/// Bytes of a variable.
const VARIABLE_LEN: u64 = 8;

/// What a variable's number must be below: so many fit between the first and other addresses.
const NUMBER_LIMIT: u64 = 1 << 40;

/// A trace cannot be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StdError {
    /// The text cannot be read.
    #[error("cannot read line {line}")]
    Read {
        /// The line, from 1.
        line: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A line is not STD.
    #[error("line {line}, column {column}: expected {expected}, found {found}")]
    Syntax {
        /// The line, from 1.
        line: u64,
        /// The column, in bytes, from 1.
        column: usize,
        /// What should be there.
        expected: &'static str,
        /// What is.
        found: String,
    },
    /// There are more threads than a log can have.
    #[error("line {line}: more threads than {limit}")]
    Threads {
        /// The line, from 1.
        line: u64,
        /// How many there may be.
        limit: u32,
    },
    /// The log cannot be written.
    #[error("cannot write what line {line} says")]
    Write {
        /// The line, from 1; 0 for what comes before the first.
        line: u64,
        /// What the writer said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// What was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Lines of the text that say something.
    pub lines: u64,
    /// Accesses among them.
    pub accesses: u64,
    /// Threads, with those that have a number twice counted twice.
    pub threads: u32,
    /// Locations.
    pub locations: u32,
}

/// Bytes after which the progress is told.
const PROGRESS_LEN: u64 = 1 << 18;

/// Imports a whole trace. `progress` is told now and then how many more bytes were read, twice the
/// text in all.
///
/// # Errors
/// [`StdError`] names the line that cannot be taken; what was written before it is whole.
pub fn import<O: Output>(
    text: &mut (impl Read + Seek),
    output: &mut O,
    progress: &mut dyn FnMut(u64),
) -> Result<Imported, StdError> {
    let mut progress = Told { tell: progress, untold: 0 };
    let survey = Survey::of(text, &mut progress)?;
    let rewound = text.seek(SeekFrom::Start(0));
    rewound.map_err(|source| StdError::Read { line: 1, source })?;
    let mut importer = Importer::new(&survey, output);
    importer.begin()?;
    let mut lines = Lines::new(text);
    while let Some(statement) = lines.next()? {
        importer.line = statement.line;
        importer.statement(&statement)?;
        progress.read(statement.len);
    }
    progress.finish();
    importer.finish()
}

/// Tells the progress in portions.
struct Told<'p> {
    tell: &'p mut dyn FnMut(u64),
    untold: u64,
}

impl Told<'_> {
    #[inline]
    fn read(&mut self, len: u64) {
        self.untold += len;
        if self.untold >= PROGRESS_LEN {
            self.finish();
        }
    }

    fn finish(&mut self) {
        (self.tell)(::std::mem::take(&mut self.untold));
    }
}

/// What the first pass learns.
#[derive(Debug, Default)]
struct Survey {
    lives: Lives,
    locations: BTreeSet<u32>,
}

impl Survey {
    fn of(text: &mut impl Read, progress: &mut Told<'_>) -> Result<Self, StdError> {
        let mut survey = Self::default();
        let mut last_location = None;
        let mut lines = Lines::new(text);
        while let Some(statement) = lines.next()? {
            let thread = survey.lives.acts(statement.thread);
            let other = match statement.operation {
                Operation::Fork => survey.lives.forked(statement.operand),
                Operation::Join => survey.lives.joined(statement.operand),
                _ => thread,
            };
            if thread.max(other) == u32::MAX {
                return Err(StdError::Threads { line: statement.line, limit: u32::MAX });
            }
            // Neighbours are often of one place.
            if last_location.replace(statement.location) != Some(statement.location) {
                survey.locations.insert(statement.location);
            }
            progress.read(statement.len);
        }
        Ok(survey)
    }
}

struct Importer<'a, O> {
    survey: &'a Survey,
    output: &'a mut O,
    stacks: HashMap<u32, StackId>,
    lives: Lives,
    /// By thread: who forked it, whether it started and ended.
    parents: HashMap<u32, u32>,
    started: Vec<bool>,
    ended: Vec<bool>,
    names: HashMap<(bool, Box<[u8]>), u64>,
    sequencer: Sequencer,
    blocks: u64,
    block_name: StringId,
    line: u64,
    imported: Imported,
}

impl<'a, O: Output> Importer<'a, O> {
    fn new(survey: &'a Survey, output: &'a mut O) -> Self {
        let count = survey.lives.count() as usize;
        let tables = output.tables();
        let mut stacks = HashMap::with_capacity(survey.locations.len());
        for &line in &survey.locations {
            let location = SourceLocation { file: StringId::EMPTY, line, column: 0 };
            let site = CallSite::Source { location, function: StringId::EMPTY };
            let (site, _) = tables.intern_site(site);
            let (stack, _) = tables.intern_stack(StackNode { parent: StackId::UNKNOWN, site });
            stacks.insert(line, stack);
        }
        let (block_name, _) = tables.intern_string("atomic block");
        Self {
            survey,
            output,
            lives: Lives::default(),
            parents: HashMap::new(),
            started: vec![false; count],
            ended: vec![false; count],
            names: HashMap::new(),
            sequencer: Sequencer::new(),
            blocks: 0,
            block_name,
            line: 0,
            imported: Imported {
                threads: survey.lives.count(),
                locations: u32::try_from(stacks.len()).unwrap_or(u32::MAX),
                ..Imported::default()
            },
            stacks,
        }
    }

    /// The first thread starts, and spawns all that nobody forks.
    fn begin(&mut self) -> Result<(), StdError> {
        if self.survey.lives.count() == 0 {
            return Ok(());
        }
        self.start(0)?;
        for root in (1..self.survey.lives.count()).filter(|&t| !self.survey.lives.is_forked(t)) {
            self.event(0, Event { value: u64::from(root), ..Event::new(EventKind::Spawn) })?;
        }
        Ok(())
    }

    fn statement(&mut self, statement: &Statement<'_>) -> Result<(), StdError> {
        self.imported.lines += 1;
        let thread = self.lives.acts(statement.thread);
        self.start(thread)?;
        let stack = self.stacks.get(&statement.location).copied().unwrap_or_default();
        let kind = match statement.operation {
            Operation::Read => return self.access(thread, AccessKind::Read, statement, stack),
            Operation::Write => return self.access(thread, AccessKind::Write, statement, stack),
            Operation::Fork => return self.fork(thread, statement, stack),
            Operation::Join => return self.join(thread, statement, stack),
            Operation::Begin => {
                self.blocks += 1;
                let (value, extra) = (u64::from(self.block_name.as_u32()), self.blocks);
                let begin = Event { value, extra, stack, ..Event::new(EventKind::SpanBegin) };
                return self.event(thread, begin);
            }
            Operation::End => {
                let end = Event { extra: self.blocks, stack, ..Event::new(EventKind::SpanEnd) };
                return self.event(thread, end);
            }
            Operation::Acquire => EventKind::MutexLock,
            Operation::Release => EventKind::MutexUnlock,
        };
        let object = self.address(statement.operand, true);
        self.event(thread, Event { object, stack, ..Event::new(kind) })
    }

    fn access(
        &mut self,
        thread: u32,
        kind: AccessKind,
        statement: &Statement<'_>,
        stack: StackId,
    ) -> Result<(), StdError> {
        self.imported.accesses += 1;
        let address = Address(self.address(statement.operand, false));
        let access = Access { kind, address, size: VARIABLE_LEN, stack };
        let line = self.line;
        let written = self.output.access(ThreadId::new(thread), access);
        written.map_err(|source| StdError::Write { line, source: Box::new(source) })
    }

    fn fork(
        &mut self,
        thread: u32,
        statement: &Statement<'_>,
        stack: StackId,
    ) -> Result<(), StdError> {
        let child = self.lives.forked(statement.operand);
        self.parents.insert(child, thread);
        let value = u64::from(child);
        self.event(thread, Event { value, stack, ..Event::new(EventKind::Spawn) })
    }

    fn join(
        &mut self,
        thread: u32,
        statement: &Statement<'_>,
        stack: StackId,
    ) -> Result<(), StdError> {
        let child = self.lives.joined(statement.operand);
        self.start(child)?;
        if self.survey.lives.ends_with_its_join(child) {
            self.end(child)?;
            let value = u64::from(child);
            self.event(thread, Event { value, stack, ..Event::new(EventKind::Join) })
        } else {
            let object = JOINS + STRIDE * u64::from(child);
            self.event(child, Event { object, ..Event::new(EventKind::ReleaseMerge) })?;
            self.event(thread, Event { object, stack, ..Event::new(EventKind::Acquire) })
        }
    }

    fn finish(mut self) -> Result<Imported, StdError> {
        for thread in 0..self.survey.lives.count() {
            if self.started[thread as usize] {
                self.end(thread)?;
            }
        }
        Ok(self.imported)
    }

    fn start(&mut self, thread: u32) -> Result<(), StdError> {
        if ::std::mem::replace(&mut self.started[thread as usize], true) {
            return Ok(());
        }
        let value = u64::from(self.parents.remove(&thread).unwrap_or(0));
        self.event(thread, Event { value, ..Event::new(EventKind::Start) })
    }

    fn end(&mut self, thread: u32) -> Result<(), StdError> {
        if ::std::mem::replace(&mut self.ended[thread as usize], true) {
            return Ok(());
        }
        self.event(thread, Event::new(EventKind::End))
    }

    fn event(&mut self, thread: u32, event: Event) -> Result<(), StdError> {
        let mut event = event;
        event.time = Timestamp::from_ns(self.line);
        if event.kind.spec().is_sequenced() {
            event.sequence = self.sequencer.next(event.object);
        }
        let line = self.line;
        let written = self.output.event(ThreadId::new(thread), event);
        written.map_err(|source| StdError::Write { line, source: Box::new(source) })
    }

    fn address(&mut self, name: Name<'_>, is_lock: bool) -> u64 {
        match name {
            Name::Numbered { number, .. } if is_lock => LOCKS + STRIDE * number,
            Name::Numbered { number, .. } => VARIABLES + STRIDE * number,
            Name::Other(name) => {
                let next = self.names.len() as u64;
                let number = match self.names.get(&(is_lock, name.into())) {
                    Some(&number) => number,
                    None => *self.names.entry((is_lock, name.into())).or_insert(next),
                };
                if is_lock { NAMED_LOCKS } else { NAMED_VARIABLES }.wrapping_add(STRIDE * number)
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! From events and accesses to chunks, for any number of threads in bounded memory.
//!
//! A thread's first records wait in a buffer of its own. Threads that have many get a stream, and a
//! chunk to fill, of their own; the buffers of all others are emptied, when they are full or when
//! together they hold too much, into one stream that they share, each as a fragment. So a hundred
//! thousand threads cost a hundred thousand small buffers and not as many chunks.

use std::io::{Seek, Write};

use super::file::{LogWriter, Summary, WriteError};
use crate::access::Access;
use crate::chunk::codec::LEVEL_OFFLINE;
use crate::chunk::{CHUNK_WORDS_MAX, OpenChunk, SealScratch, seal};
use crate::event::word::{self, RECORD_WORDS_MAX, Record};
use crate::event::{Event, EventKind};
use crate::id::{StackId, StreamId, ThreadId};
use crate::log::Gap;
use crate::meta::ProcessInfo;
use crate::table::Tables;
use crate::units::Timestamp;

/// The most threads of one log.
const THREADS_MAX: u32 = 1 << 26;
/// Words that a thread's buffer holds before it becomes a fragment.
const FRAGMENT_WORDS: usize = 1 << 12;
/// Words that a thread must have pushed to get a stream of its own.
const OWN_STREAM_WORDS: u64 = 1 << 15;
/// The most streams with one thread: each has an open chunk in memory.
const OWN_STREAMS_MAX: usize = 64;

/// How to build a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuilderOptions {
    /// How hard to compress.
    pub level: i32,
    /// Words of a chunk: 16 to 131,072.
    pub chunk_words: usize,
    /// Words that may wait in all buffers together.
    pub buffer_words: usize,
}

impl Default for BuilderOptions {
    fn default() -> Self {
        Self { level: LEVEL_OFFLINE, chunk_words: CHUNK_WORDS_MAX / 2, buffer_words: 4 << 20 }
    }
}

/// Builds a log from the events and accesses of threads, each thread's in its program order.
///
/// Times and order numbers are the caller's: see [`super::Sequencer`]. The threads' records may come
/// interleaved in any way. [`EventKind::Switch`] is the builder's own: pushed ones are ignored.
#[derive(Debug)]
pub struct LogBuilder<W> {
    writer: LogWriter<W>,
    options: BuilderOptions,
    tables: Tables,
    threads: Vec<ThreadBuffer>,
    /// Words in all buffers.
    waiting: usize,
    /// Stream 0: shared by the threads that have none of their own.
    shared: ChunkStream,
    /// Stream `i + 1`.
    own: Vec<ChunkStream>,
    scratch: SealScratch,
}

#[derive(Debug, Default)]
struct ThreadBuffer {
    words: Vec<u64>,
    /// Words that went through the buffer.
    passed: u64,
    /// Fragments that this thread began.
    fragments: u64,
    /// Index into `own`.
    stream: Option<u32>,
}

/// A stream and its open chunk.
#[derive(Debug)]
struct ChunkStream {
    stream: StreamId,
    number: u32,
    open: OpenChunk,
    /// Whose fragment the chunk began with, and the fragment's number.
    opening: (ThreadId, u64),
    /// Whose fragment is being written.
    current: (ThreadId, u64),
    times: Option<(Timestamp, Timestamp)>,
    /// The last time that the stream has seen.
    last_time: Timestamp,
}

impl<W: Write + Seek> LogBuilder<W> {
    /// Begins a log at the beginning of `sink`, which should be buffered.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    ///
    /// # Panics
    /// If the chunk length is outside its bounds.
    pub fn new(sink: W, info: &ProcessInfo, options: BuilderOptions) -> Result<Self, WriteError> {
        assert!((16..=CHUNK_WORDS_MAX).contains(&options.chunk_words), "16 to 131,072 words");
        Ok(Self {
            writer: LogWriter::new(sink, info)?,
            options,
            tables: Tables::new(),
            threads: Vec::new(),
            waiting: 0,
            shared: ChunkStream::new(0, options.chunk_words),
            own: Vec::new(),
            scratch: SealScratch::new(),
        })
    }

    /// The tables that are written at the end; intern here what events name.
    pub fn tables(&mut self) -> &mut Tables {
        &mut self.tables
    }

    /// What is underneath, for symbols.
    pub fn writer(&mut self) -> &mut LogWriter<W> {
        &mut self.writer
    }

    /// Records that something is missing.
    pub fn push_gap(&mut self, gap: &Gap) {
        self.writer.push_gap(gap);
    }

    /// Appends an event to a thread.
    ///
    /// # Errors
    /// [`WriteError`].
    #[inline]
    pub fn push_event(&mut self, thread: ThreadId, event: Event) -> Result<(), WriteError> {
        if event.kind == EventKind::Switch {
            return Ok(());
        }
        let index = self.thread(thread)?;
        if let Some(own) = self.threads[index].stream {
            let stream = &mut self.own[own as usize];
            if stream.open.is_full() {
                stream.seal(&mut self.writer, self.options.level, &mut self.scratch)?;
            }
            stream.push_event(&event);
            return Ok(());
        }
        let mut record = [0; RECORD_WORDS_MAX];
        let len = word::encode_event(&event, &mut record);
        self.buffer(index, &record[..len])
    }

    /// Appends an access to a thread.
    ///
    /// # Errors
    /// [`WriteError`].
    #[inline]
    pub fn push_access(&mut self, thread: ThreadId, access: Access) -> Result<(), WriteError> {
        let index = self.thread(thread)?;
        if let Some(own) = self.threads[index].stream {
            let stream = &mut self.own[own as usize];
            if stream.open.is_full() {
                stream.seal(&mut self.writer, self.options.level, &mut self.scratch)?;
            }
            stream.open.push_access(&access);
            return Ok(());
        }
        self.buffer(index, &word::long_access(&access))
    }

    /// Writes what is left, the tables, the index and the first page.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn finish(self) -> Result<Summary, WriteError> {
        self.finish_into_sink().map(|(summary, _)| summary)
    }

    /// [`LogBuilder::finish`] that gives the sink back.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn finish_into_sink(mut self) -> Result<(Summary, W), WriteError> {
        self.flush_all()?;
        let (level, scratch) = (self.options.level, &mut self.scratch);
        for stream in [&mut self.shared].into_iter().chain(&mut self.own) {
            stream.seal(&mut self.writer, level, scratch)?;
        }
        self.writer.append_entries(self.tables.entries())?;
        self.writer.finish()
    }

    #[inline]
    fn thread(&mut self, thread: ThreadId) -> Result<usize, WriteError> {
        let index = thread.index();
        if index >= self.threads.len() {
            if thread.as_u32() >= THREADS_MAX {
                let (found, limit) = (thread.as_u32(), THREADS_MAX - 1);
                return Err(WriteError::Thread { found, limit });
            }
            self.threads.resize_with(index + 1, ThreadBuffer::default);
        }
        Ok(index)
    }

    #[inline]
    fn buffer(&mut self, index: usize, record: &[u64]) -> Result<(), WriteError> {
        let words = &mut self.threads[index].words;
        words.extend_from_slice(record);
        self.waiting += record.len();
        if words.len() >= FRAGMENT_WORDS {
            self.flush(index)?;
        } else if self.waiting >= self.options.buffer_words {
            self.flush_all()?;
        }
        Ok(())
    }

    fn flush_all(&mut self) -> Result<(), WriteError> {
        (0..self.threads.len()).try_for_each(|index| self.flush(index))
    }

    /// Empties a thread's buffer into a chunk, as a fragment.
    fn flush(&mut self, index: usize) -> Result<(), WriteError> {
        let buffer = &mut self.threads[index];
        if buffer.words.is_empty() {
            return Ok(());
        }
        let words = std::mem::take(&mut buffer.words);
        self.waiting -= words.len();
        buffer.passed += words.len() as u64;
        let fragment = buffer.fragments;
        buffer.fragments += 1;
        if buffer.passed >= OWN_STREAM_WORDS && self.own.len() < OWN_STREAMS_MAX {
            buffer.stream = Some(self.own.len() as u32);
            self.own.push(ChunkStream::new(self.own.len() as u32 + 1, self.options.chunk_words));
        }
        let stream = match buffer.stream {
            Some(own) => &mut self.own[own as usize],
            None => &mut self.shared,
        };
        // Dense thread numbers are below 2^26.
        let thread = ThreadId::new(index as u32);
        stream.begin(thread, fragment, &mut self.writer, self.options.level, &mut self.scratch)?;
        let mut at = 0;
        while at < words.len() {
            if stream.open.is_full() {
                stream.seal(&mut self.writer, self.options.level, &mut self.scratch)?;
            }
            let (record, next) =
                word::decode_record(&words, at).map_err(crate::chunk::SealError::from)?;
            match record {
                Record::Event(event) => stream.push_event(&event),
                Record::Long(access) => stream.open.push_access(&access),
                // Buffers hold nothing else.
                Record::Short(..) | Record::Context(..) => {}
            }
            at = next;
        }
        // The buffer's storage goes: a hundred thousand threads could hold on to gigabytes of it.
        Ok(())
    }
}

impl ChunkStream {
    fn new(stream: u32, chunk_words: usize) -> Self {
        Self {
            stream: StreamId::new(stream),
            number: 0,
            open: OpenChunk::new(chunk_words),
            opening: (ThreadId::MAIN, 0),
            current: (ThreadId::MAIN, 0),
            times: None,
            last_time: Timestamp::default(),
        }
    }

    /// Begins a thread's fragment: silently at the beginning of a chunk, else by a switch.
    fn begin<W: Write + Seek>(
        &mut self,
        thread: ThreadId,
        fragment: u64,
        writer: &mut LogWriter<W>,
        level: i32,
        scratch: &mut SealScratch,
    ) -> Result<(), WriteError> {
        if self.open.is_full() {
            self.seal(writer, level, scratch)?;
        }
        self.current = (thread, fragment);
        if self.open.is_empty() {
            self.opening = self.current;
            return Ok(());
        }
        let switch = Event {
            stack: StackId::UNKNOWN,
            time: self.last_time,
            value: u64::from(thread.as_u32()),
            extra: fragment,
            ..Event::new(EventKind::Switch)
        };
        self.open.push_event(&switch);
        Ok(())
    }

    #[inline]
    fn push_event(&mut self, event: &Event) {
        let time = event.time;
        let (first, last) = self.times.unwrap_or((time, time));
        self.times = Some((first.min(time), last.max(time)));
        self.last_time = time;
        self.open.push_event(event);
    }

    /// Writes the open chunk, if there is anything in it. The fragment goes on in the next one.
    fn seal<W: Write + Seek>(
        &mut self,
        writer: &mut LogWriter<W>,
        level: i32,
        scratch: &mut SealScratch,
    ) -> Result<(), WriteError> {
        if self.open.is_empty() {
            return Ok(());
        }
        let times = self.times.unwrap_or((self.last_time, self.last_time));
        let (thread, count) = self.opening;
        let raw = self.open.as_raw(self.stream, self.number, thread, count, times);
        let (chunk, problem) = seal(&raw, level, scratch);
        if let Some(problem) = problem {
            return Err(problem.into());
        }
        writer.append_sealed(&chunk)?;
        self.number += 1;
        self.opening = self.current;
        self.times = None;
        self.open.clear();
        Ok(())
    }
}

//! What the first pass found, and one thread's part of it.
//!
//! Parts lie in a spill in the order of chunks; a table of them, sorted by thread, leads from a
//! thread to its parts. A thread's fragments are merged from its visits by count, and visits are
//! read only when the merge comes to them: those of one stream follow each other, so that as many
//! are in memory as there are streams.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::io;
use std::path::Path;

use mmtrace_format::ThreadId;

use super::scan::Part;
use super::spill::Spill;
use super::visit::{Fragment, Ready, Unpacker};

/// Where a part lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    thread: u32,
    key: u64,
    chunk: u32,
    at: u64,
    len: u32,
}

/// Parts of all threads.
#[derive(Debug)]
pub(crate) struct Parts {
    spill: Spill,
    places: Vec<Place>,
}

impl Parts {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { spill: Spill::new(folder), places: Vec::new() }
    }

    /// Keeps parts of a chunk, which lie one after the other at the beginning of `packed`. Gives
    /// what is left of it.
    pub(crate) fn take<'a>(
        &mut self,
        chunk: u32,
        parts: &[Part],
        packed: &'a [u8],
    ) -> io::Result<&'a [u8]> {
        let len: usize = parts.iter().map(|part| part.len as usize).sum();
        let (own, rest) = packed.split_at_checked(len).ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut at = self.spill.len();
        for &Part { thread, key, len } in parts {
            self.places.push(Place { thread: thread.as_u32(), key, chunk, at, len });
            at += u64::from(len);
        }
        self.spill.extend(own)?;
        Ok(rest)
    }

    /// Nothing more comes.
    pub(crate) fn sort(&mut self) {
        self.places.sort_unstable();
    }

    fn of(&self, thread: ThreadId) -> &[Place] {
        let thread = thread.as_u32();
        let start = self.places.partition_point(|place| place.thread < thread);
        let end = self.places.partition_point(|place| place.thread <= thread);
        &self.places[start..end]
    }

    /// A thread's fragments in program order, each with its chunk.
    pub(crate) fn fragments(
        &mut self,
        thread: ThreadId,
        number_of: impl Fn(u32) -> u32,
        mut each: impl FnMut(u32, &Fragment) -> io::Result<()>,
    ) -> io::Result<()> {
        let places = self.of(thread).to_vec();
        let mut unread = places.into_iter().peekable();
        let mut open: Vec<Visit> = Vec::new();
        // By count, then by the chunk's number: the order of a thread's fragments.
        let mut heap: BinaryHeap<Reverse<Key>> = BinaryHeap::new();
        loop {
            let next = heap.peek().map(|&Reverse((count, ..))| count);
            while let Some(place) = unread.next_if(|it| next.is_none_or(|next| it.key <= next)) {
                let bytes = self.spill.read(place.at, place.len as usize)?;
                let mut visit = Visit::new(place.chunk, bytes);
                if visit.advance() {
                    let slot = open.iter().position(|it| it.is_done).unwrap_or(open.len());
                    heap.push(Reverse(visit.key(number_of(place.chunk), slot)));
                    if slot == open.len() {
                        open.push(visit);
                    } else {
                        open[slot] = visit;
                    }
                }
                if next.is_none() {
                    break;
                }
            }
            let Some(mut first) = heap.peek_mut() else {
                if unread.peek().is_none() {
                    return Ok(());
                }
                continue;
            };
            let Reverse((_, number, chunk, _, slot)) = *first;
            let visit = &mut open[slot];
            each(chunk, &visit.fragment)?;
            if visit.advance() {
                *first = Reverse(visit.key(number, slot));
            } else {
                PeekMut::pop(first);
            }
        }
    }

    /// What makes a thread runnable, by time.
    pub(crate) fn readies(&mut self, thread: ThreadId) -> io::Result<Readies<'_>> {
        let places = self.of(thread).to_vec();
        let mut readies = Readies {
            spill: &mut self.spill,
            places,
            next: 0,
            heap: BinaryHeap::new(),
            open: Vec::new(),
        };
        readies.fill()?;
        Ok(readies)
    }
}

/// By what fragments are ordered: count, number of the chunk, chunk, place; and the visit's slot.
type Key = (u64, u32, u32, u32, usize);

/// A visit that is being read.
#[derive(Debug)]
struct Visit {
    chunk: u32,
    rest: Unpacker,
    fragment: Fragment,
    is_done: bool,
}

impl Visit {
    fn new(chunk: u32, bytes: Vec<u8>) -> Self {
        let (rest, fragment) = (Unpacker::new(bytes), Fragment::default());
        Self { chunk, rest, fragment, is_done: false }
    }

    fn advance(&mut self) -> bool {
        self.is_done = self.rest.fragment(&mut self.fragment).is_none();
        !self.is_done
    }

    fn key(&self, number: u32, slot: usize) -> Key {
        (self.fragment.count, number, self.chunk, self.fragment.place, slot)
    }
}

/// What makes a thread runnable, one after the other.
#[derive(Debug)]
pub(crate) struct Readies<'a> {
    spill: &'a mut Spill,
    places: Vec<Place>,
    next: usize,
    heap: BinaryHeap<Reverse<(Ready, usize)>>,
    open: Vec<Unpacker>,
}

impl Readies<'_> {
    /// The first of those that are left.
    pub(crate) fn peek(&self) -> Option<Ready> {
        self.heap.peek().map(|&Reverse((ready, _))| ready)
    }

    /// Goes on to the next.
    pub(crate) fn pop(&mut self) -> io::Result<()> {
        if let Some(Reverse((ready, slot))) = self.heap.pop() {
            match self.open[slot].ready(ready.time_ns) {
                Some(next) => self.heap.push(Reverse((next, slot))),
                // The slot is free: its bytes are not needed any more.
                None => self.open[slot] = Unpacker::default(),
            }
        }
        self.fill()
    }

    /// Reads the parts that the merge has come to.
    fn fill(&mut self) -> io::Result<()> {
        while let Some(place) = self.places.get(self.next) {
            if self.peek().is_some_and(|ready| place.key > ready.time_ns) {
                break;
            }
            self.next += 1;
            let mut part = Unpacker::new(self.spill.read(place.at, place.len as usize)?);
            if let Some(ready) = part.ready(0) {
                self.heap.push(Reverse((ready, self.open.len())));
                self.open.push(part);
            }
        }
        Ok(())
    }
}

//! The sync lane: events as columns.
//!
//! Each operand goes to a column of its type, predicted from what is near it in meaning rather than
//! in time: a sequence number from the same object's last one, a size from the same stack's last
//! one, a time from the last time. Objects and stacks are numbered by first appearance, so that a
//! mutex that is locked a thousand times costs a byte, not an address. Blocks of memory have a
//! numbering of their own that counts backwards: most of them are freed soon.
//!
//! Columns, in order: kinds, accesses since the last event, details, times, stacks, new stacks,
//! objects, new objects, blocks, new blocks, sequences, values, extras, shapes. The last one lists
//! the kinds of the lane with their [shapes](crate::event::EventSpec::shape): a reader skips what it cannot name.

use std::fmt;

use super::column::{ColumnWriter, Reader, put_column};
use super::{CHUNK_WORDS_MAX, ChunkError, ChunkHeader, LaneDecoder};
use crate::event::spec::{SPECS, Shape};
use crate::event::{DETAIL_MAX, Event, EventKind, Slot};
use crate::id::StackId;
use crate::units::Timestamp;

const PART: &str = "sync lane";
const COLUMN_COUNT: usize = 14;
const SHAPES: usize = COLUMN_COUNT - 1;
/// No kind has this shape: it marks tags that do not occur.
const NO_SHAPE: u8 = u8::MAX;

/// A decoded sync lane.
#[derive(Default)]
pub struct SyncColumns {
    /// The events, in stream order.
    pub events: Vec<Event>,
    /// For each event, how many accesses of the chunk come before it. Ascending.
    pub access_ends: Vec<u32>,
}

impl fmt::Debug for SyncColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncColumns").field("events", &self.events.len()).finish_non_exhaustive()
    }
}

impl SyncColumns {
    /// Forgets the events, keeps the storage.
    pub fn clear(&mut self) {
        self.events.clear();
        self.access_ends.clear();
    }
}

/// Numbers things by first appearance and remembers two predictions for each.
///
/// Encoder side: open addressing, a power of two, at most half full.
#[derive(Debug, Default)]
struct Numbering {
    slots: Vec<u32>,
    things: Vec<Thing>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Thing {
    key: u64,
    sequence: u64,
    value: u64,
}

impl Numbering {
    fn clear(&mut self) {
        self.slots.fill(0);
        self.things.clear();
    }

    /// The index of `key`, and whether it is new.
    fn index_of(&mut self, key: u64) -> (usize, bool) {
        if self.things.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut at = hash(key) & mask;
        loop {
            match self.slots[at] {
                0 => break,
                taken if self.things[taken as usize - 1].key == key => {
                    return (taken as usize - 1, false);
                }
                _ => at = (at + 1) & mask,
            }
        }
        self.things.push(Thing { key, ..Thing::default() });
        // Fits: a chunk has at most 2^17 events.
        self.slots[at] = self.things.len() as u32;
        (self.things.len() - 1, true)
    }

    #[cold]
    fn grow(&mut self) {
        let len = (self.slots.len() * 2).max(64);
        self.slots.clear();
        self.slots.resize(len, 0);
        for (number, thing) in (1..).zip(&self.things) {
            let mut at = hash(thing.key) & (len - 1);
            while self.slots[at] != 0 {
                at = (at + 1) & (len - 1);
            }
            self.slots[at] = number;
        }
    }
}

const fn hash(key: u64) -> usize {
    (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize
}

/// Which prediction an operand of a kind uses. Shared by encoder and decoder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Near {
    /// The last one of the same kind.
    Kind,
    /// The last one of the same object.
    Object,
    /// The last one of the same stack.
    Stack,
}

impl Near {
    /// What the value of a kind of this shape is predicted from.
    #[inline]
    const fn of_value(shape: Shape) -> Self {
        if shape.in_memory() {
            Self::Stack
        } else if shape.has(Slot::Object) {
            Self::Object
        } else {
            Self::Kind
        }
    }
}

/// State that encoder and decoder keep alike, apart from the numberings.
struct Last {
    time: u64,
    stack: u64,
    object: u64,
    block: u64,
    sequence: u64,
    values: [u64; 128],
    extras: [u64; 128],
}

impl Last {
    const fn new(first_time: u64) -> Self {
        Self {
            time: first_time,
            stack: 0,
            object: 0,
            block: 0,
            sequence: 0,
            values: [0; 128],
            extras: [0; 128],
        }
    }
}

/// Turns events into columns.
#[derive(Debug, Default)]
pub(super) struct SyncEncoder {
    columns: [ColumnWriter; COLUMN_COUNT],
    stacks: Numbering,
    objects: Numbering,
    blocks: Numbering,
}

impl SyncEncoder {
    /// Appends the lane of these events to `out`; nothing if there are none.
    pub(super) fn encode(
        &mut self,
        first_time: u64,
        events: &[Event],
        access_ends: &[u32],
        out: &mut Vec<u8>,
    ) {
        if events.is_empty() {
            return;
        }
        for column in &mut self.columns {
            column.clear();
        }
        self.stacks.clear();
        self.objects.clear();
        self.blocks.clear();
        let mut last = Last::new(first_time);
        let mut last_end = 0;
        for (event, &access_end) in events.iter().zip(access_ends) {
            self.columns[1].put(u64::from(access_end - last_end));
            last_end = access_end;
            self.push(event, &mut last);
        }
        let mut seen = [false; 128];
        for &tag in self.columns[0].as_bytes() {
            seen[usize::from(tag)] = true;
        }
        for spec in SPECS.iter().filter(|spec| seen[usize::from(spec.tag)]) {
            self.columns[SHAPES].put_byte(spec.tag);
            self.columns[SHAPES].put_byte(spec.shape());
        }
        for column in &self.columns {
            put_column(out, column.as_bytes());
        }
    }

    fn push(&mut self, event: &Event, last: &mut Last) {
        let [
            kinds,
            _,
            details,
            times,
            stack_numbers,
            new_stacks,
            object_numbers,
            new_objects,
            block_numbers,
            new_blocks,
            sequences,
            values,
            extras,
            _,
        ] = &mut self.columns;
        let spec = event.kind.shape();
        let tag = usize::from(event.kind.tag());
        kinds.put_byte(event.kind.tag());
        if spec.has(Slot::Detail) {
            details.put(u64::from(event.detail));
        }
        times.put_any_delta(last.time, event.time.ns);
        last.time = event.time.ns;

        let key = u64::from(event.stack.as_u32());
        let (stack, is_new) = self.stacks.index_of(key);
        if is_new {
            stack_numbers.put(0);
            new_stacks.put_delta(last.stack, key);
            last.stack = key;
        } else {
            stack_numbers.put(stack as u64 + 1);
        }

        let in_memory = spec.in_memory();
        let numbering = if in_memory { &mut self.blocks } else { &mut self.objects };
        let mut object = None;
        if spec.has(Slot::Object) {
            let (index, is_new) = numbering.index_of(event.object);
            let (numbers, new) = if in_memory {
                (&mut *block_numbers, &mut *new_blocks)
            } else {
                (&mut *object_numbers, &mut *new_objects)
            };
            let last_new = if in_memory { &mut last.block } else { &mut last.object };
            if is_new {
                numbers.put(0);
                new.put_delta(*last_new, event.object);
                *last_new = event.object;
            } else if in_memory {
                numbers.put((numbering.things.len() - index) as u64);
            } else {
                numbers.put(index as u64 + 1);
            }
            let thing = &mut numbering.things[index];
            if spec.has(Slot::Sequence) {
                let near = if thing.sequence == 0 { last.sequence } else { thing.sequence };
                sequences.put_delta(near, event.sequence.wrapping_sub(1));
                thing.sequence = event.sequence;
                last.sequence = event.sequence;
            }
            object = Some(thing);
        }
        if spec.has(Slot::Value) {
            let near = match (Near::of_value(spec), object) {
                (Near::Stack, _) => &mut self.stacks.things[stack].value,
                (Near::Object, Some(thing)) => &mut thing.value,
                _ => &mut last.values[tag],
            };
            values.put_delta(*near, event.value);
            *near = event.value;
        }
        if spec.has(Slot::Extra) {
            extras.put_delta(last.extras[tag], event.extra);
            last.extras[tag] = event.extra;
        }
    }
}

/// Decodes a lane. Total; allocates in proportion to the header's counts, which are bounded.
pub(super) fn decode(
    bytes: &[u8],
    raw_len: usize,
    header: &ChunkHeader,
    decoder: &mut LaneDecoder,
    out: &mut SyncColumns,
) -> Result<(), ChunkError> {
    out.clear();
    let LaneDecoder { decompressor, bytes: lane, .. } = decoder;
    decompressor.decompress(PART, bytes, raw_len, lane)?;
    let count = header.sync_count as usize;
    if count == 0 {
        return if raw_len == 0 {
            Ok(())
        } else {
            Err(ChunkError::Column { part: PART, what: "columns without events", at: 0 })
        };
    }
    let mut lane = Reader::new(PART, lane, 0);
    let mut columns = Vec::with_capacity(COLUMN_COUNT);
    for _ in 0..COLUMN_COUNT {
        columns.push(lane.column()?);
    }
    lane.finish()?;
    let columns: [Reader<'_>; COLUMN_COUNT] =
        columns.try_into().expect("exactly that many were pushed");
    let decoder = SyncDecoder::new(columns)?;
    decoder.run(count.min(CHUNK_WORDS_MAX), header, &mut out.events, &mut out.access_ends)
}

struct SyncDecoder<'a> {
    columns: [Reader<'a>; COLUMN_COUNT],
    stacks: Vec<Thing>,
    objects: Vec<Thing>,
    blocks: Vec<Thing>,
    shapes: [u8; 128],
}

impl<'a> SyncDecoder<'a> {
    fn new(mut columns: [Reader<'a>; COLUMN_COUNT]) -> Result<Self, ChunkError> {
        let shapes = read_shapes(&mut columns[SHAPES])?;
        Ok(Self { columns, stacks: Vec::new(), objects: Vec::new(), blocks: Vec::new(), shapes })
    }

    fn run(
        mut self,
        count: usize,
        header: &ChunkHeader,
        events: &mut Vec<Event>,
        access_ends: &mut Vec<u32>,
    ) -> Result<(), ChunkError> {
        let mut last = Last::new(header.first_time.ns);
        let mut access_end = 0u32;
        events.reserve(count);
        access_ends.reserve(count);
        for _ in 0..count {
            let gap = self.columns[1].number_u32()?;
            access_end =
                access_end.checked_add(gap).filter(|&end| end <= header.access_count).ok_or_else(
                    || self.columns[1].error("an event after more accesses than there are"),
                )?;
            // Where it is to stay: an event that is copied waits for all its parts.
            events.push(Event::new(EventKind::Unknown));
            if let Some(event) = events.last_mut() {
                self.event(&mut last, event)?;
            }
            access_ends.push(access_end);
        }
        self.columns.iter().try_for_each(Reader::finish)
    }

    #[inline]
    fn event(&mut self, last: &mut Last, event: &mut Event) -> Result<(), ChunkError> {
        let [
            kinds,
            _,
            details,
            times,
            stack_numbers,
            new_stacks,
            object_numbers,
            new_objects,
            block_numbers,
            new_blocks,
            sequences,
            values,
            extras,
            _,
        ] = &mut self.columns;
        let tag = kinds.take(1)?[0];
        let spec = match self.shapes.get(usize::from(tag)) {
            Some(&shape) if shape != NO_SHAPE => Shape(shape),
            _ => return Err(kinds.error("a kind of event without a shape")),
        };
        let kind = EventKind::from_tag(tag).unwrap_or(EventKind::Unknown);
        let tag = usize::from(tag);
        event.kind = kind;
        if spec.has(Slot::Detail) {
            let detail = details.number_u32()?;
            if detail > DETAIL_MAX {
                return Err(details.error("a detail of more than 24 bits"));
            }
            event.detail = detail;
        }
        event.time = Timestamp::from_ns(times.any_delta(last.time)?);
        last.time = event.time.ns;

        let stack = match stack_numbers.number()? {
            0 => {
                let key = new_stacks.delta(last.stack)?;
                last.stack = key;
                self.stacks.push(Thing { key, ..Thing::default() });
                self.stacks.last_mut()
            }
            number => usize::try_from(number - 1).ok().and_then(|i| self.stacks.get_mut(i)),
        };
        let stack = stack.ok_or_else(|| stack_numbers.error("a stack that did not appear"))?;
        event.stack = u32::try_from(stack.key)
            .map(StackId::new)
            .map_err(|_| new_stacks.error("a stack of more than 32 bits"))?;

        let in_memory = spec.in_memory();
        let mut object = None;
        if spec.has(Slot::Object) {
            let (things, numbers, new, last_new) = if in_memory {
                (&mut self.blocks, block_numbers, new_blocks, &mut last.block)
            } else {
                (&mut self.objects, object_numbers, new_objects, &mut last.object)
            };
            let number = numbers.number()?;
            let index = if number == 0 {
                let key = new.delta(*last_new)?;
                *last_new = key;
                things.push(Thing { key, ..Thing::default() });
                Some(things.len() - 1)
            } else if in_memory {
                usize::try_from(number).ok().and_then(|back| things.len().checked_sub(back))
            } else {
                usize::try_from(number - 1).ok()
            };
            let thing = index.and_then(|index| things.get_mut(index));
            let thing = thing.ok_or_else(|| numbers.error("an object that did not appear"))?;
            event.object = thing.key;
            if spec.has(Slot::Sequence) {
                let near = if thing.sequence == 0 { last.sequence } else { thing.sequence };
                event.sequence = sequences.delta(near)?.wrapping_add(1);
                thing.sequence = event.sequence;
                last.sequence = event.sequence;
            }
            object = Some(thing);
        }
        if spec.has(Slot::Value) {
            let near = match (Near::of_value(spec), object) {
                (Near::Stack, _) => &mut stack.value,
                (Near::Object, Some(thing)) => &mut thing.value,
                _ => &mut last.values[tag],
            };
            event.value = values.delta(*near)?;
            *near = event.value;
        }
        if spec.has(Slot::Extra) {
            event.extra = extras.delta(last.extras[tag])?;
            last.extras[tag] = event.extra;
        }
        if kind == EventKind::Unknown {
            let Event { time, stack, .. } = *event;
            *event = Event { time, stack, value: tag as u64, ..Event::new(kind) };
        }
        Ok(())
    }
}

/// Reads the shapes of the lane's kinds; those of kinds that we know must be ours.
fn read_shapes(column: &mut Reader<'_>) -> Result<[u8; 128], ChunkError> {
    let mut shapes = [NO_SHAPE; 128];
    while !column.rest().is_empty() {
        let pair = column.take(2)?;
        let (tag, shape) = (pair[0], pair[1]);
        let known = EventKind::from_tag(tag);
        let agrees = match known {
            Some(EventKind::Unknown) => false,
            Some(kind) => kind.spec().shape() == shape,
            None => shape < Shape::LIMIT,
        };
        match shapes.get_mut(usize::from(tag)) {
            Some(entry) if agrees => *entry = shape,
            _ => return Err(column.error("a kind of event with an impossible shape")),
        }
    }
    Ok(shapes)
}

//! The access lane: accesses as predictions that mostly come true.
//!
//! Encoder and decoder keep the same small model of the program: which context follows which, and
//! for each context the last address, the stride and the kind. An access that the model foretells
//! costs nothing but its part in the count of a run; a loop over an array is a few bytes a thousand
//! accesses. What is not foretold is a control byte and, as needed, a context and a residual:
//!
//! ```text
//! control   bit 7    the context is the one that followed last time
//!           bit 6    the address is near the previous access, else near the context's last one
//!           bits 5-3 length of the residual: 0 1 2 3 4 6 8 bytes; 7: a run of foretold accesses
//!           bits 2-0 kind of access
//! run       bits 7 6 2 1 0 are its length; 0: 32 more than the next number of the column of runs
//! ```
//!
//! Addresses are divided by the largest power of two that divides all of the chunk's. The model is
//! that of Burtscher's VPC trace compressors (value prediction), cut down to what decodes at
//! memory speed: a last-successor table for contexts and a two-delta stride for addresses.
//!
//! Columns, in order: shift, contexts, controls, contexts not foretold, residuals, runs, sizes.

use std::fmt;

use super::column::{ColumnWriter, Reader, put, put_column, unzigzag, zigzag};
use super::{AccessContext, ChunkError, LaneDecoder};
use crate::access::{Access, AccessKind};
use crate::id::StackId;
use crate::units::Address;

const PART: &str = "access lane";

const CONTEXT_FORETOLD: u8 = 1 << 7;
const NEAR_PREVIOUS: u8 = 1 << 6;
const LENGTH_SHIFT: u32 = 3;
const RUN: u8 = 7;
/// The longest run that its control byte holds.
const SHORT_RUN_MAX: u64 = 31;
/// Residual length code -> bytes.
const LENGTHS: [u8; 8] = [0, 1, 2, 3, 4, 6, 8, 0];
const MASKS: [u64; 8] = [0, 0xff, 0xffff, 0xff_ffff, 0xffff_ffff, 0xffff_ffff_ffff, u64::MAX, 0];
/// Bits of a residual -> the shortest length code that holds it.
const CODE_OF_BITS: [u8; 65] = {
    let mut codes = [0; 65];
    let mut bits = 0;
    while bits <= 64 {
        let mut code = 0;
        while (LENGTHS[code] as usize) * 8 < bits {
            code += 1;
        }
        codes[bits] = code as u8;
        bits += 1;
    }
    codes
};

/// The most contexts that a chunk may have: their indices are 16 bits.
pub const CONTEXTS_MAX: usize = 1 << 16;

/// A decoded access lane: column by column, as the analyzer reads it.
#[derive(Default)]
pub struct AccessColumns {
    /// The first byte of each access, in stream order.
    pub addresses: Vec<u64>,
    /// For each access, what it is beside its address.
    pub tags: Vec<AccessTag>,
    /// What the accesses of a context have in common.
    pub contexts: Vec<AccessContext>,
    /// The sizes, in order, of the accesses whose context has size 0.
    pub long_sizes: Vec<u64>,
}

/// What a decoded access is, beside its address, in one word: hot loops look at no context.
///
/// ```text
/// context: 16 | kind: 3 | size, if it is from 1 to 8: 4
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessTag(u32);

impl AccessTag {
    const KIND_SHIFT: u32 = 16;
    const SIZE_SHIFT: u32 = 3;
    const SHORT_SIZE_MAX: u32 = 8;

    /// `head`: the rest of it.
    #[inline]
    fn new(context: u16, head: u8) -> Self {
        Self(u32::from(context) | u32::from(head) << Self::KIND_SHIFT)
    }

    /// What stands above the context, but for the kind, of accesses of `size` bytes; 0: unknown.
    #[inline]
    fn head(size: u32) -> u8 {
        let short = if size > Self::SHORT_SIZE_MAX { 0 } else { size };
        (short << Self::SIZE_SHIFT) as u8
    }

    /// Index of the context.
    #[inline]
    pub const fn context(self) -> usize {
        (self.0 & 0xffff) as usize
    }

    /// What the access does.
    #[inline]
    pub const fn kind(self) -> AccessKind {
        AccessKind::from_tag((self.0 >> Self::KIND_SHIFT) as u8)
    }

    /// How many bytes, if it is from 1 to 8; 0: the context says, or [`AccessColumns::long_sizes`].
    #[inline]
    pub const fn short_size(self) -> u64 {
        (self.0 >> (Self::KIND_SHIFT + Self::SIZE_SHIFT)) as u64
    }
}

impl fmt::Debug for AccessColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessColumns")
            .field("accesses", &self.addresses.len())
            .finish_non_exhaustive()
    }
}

impl AccessColumns {
    /// Forgets the accesses, keeps the storage.
    pub fn clear(&mut self) {
        self.addresses.clear();
        self.tags.clear();
        self.contexts.clear();
        self.long_sizes.clear();
    }

    /// How many accesses there are.
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// The accesses one by one, in stream order: for dumps; hot loops read the columns.
    pub fn iter(&self) -> impl Iterator<Item = Access> + '_ {
        let mut long_sizes = self.long_sizes.iter();
        self.addresses.iter().zip(&self.tags).map(move |(&address, &tag)| {
            let context = self.contexts[tag.context()];
            let size = match context.size {
                0 => long_sizes.next().copied().unwrap_or(0),
                size => u64::from(size),
            };
            Access { kind: tag.kind(), address: Address(address), size, stack: context.stack }
        })
    }
}

/// What the model expects of the address of a context's next access.
#[derive(Clone, Copy, Debug)]
struct Foretold {
    last: u64,
    stride: u64,
    /// The last difference; it becomes the stride when it is seen twice.
    difference: u64,
}

impl Foretold {
    const NEW: Self = Self { last: 0, stride: 0, difference: 0 };

    #[inline]
    const fn next_address(&self) -> u64 {
        self.last.wrapping_add(self.stride)
    }

    #[inline]
    const fn learn(&mut self, address: u64) {
        let difference = address.wrapping_sub(self.last);
        self.stride = if difference == self.difference { difference } else { self.stride };
        self.difference = difference;
        self.last = address;
    }
}

/// An access on its way into the lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct LaneAccess {
    pub(super) address: u64,
    /// Only for contexts without one.
    pub(super) size: u64,
    pub(super) context: u16,
    pub(super) kind: AccessKind,
}

/// The encoder's half of the model, by context.
#[derive(Clone, Copy)]
struct Expectation {
    place: Foretold,
    size: u64,
    follower: u16,
    kind: u8,
}

impl Expectation {
    /// Nothing is known yet. Contexts are numbered by first use, so the next number is the first
    /// guess at what follows.
    const fn at(context: u16) -> Self {
        Self { place: Foretold::NEW, size: 0, follower: context.wrapping_add(1), kind: 0 }
    }
}

/// Turns accesses into columns.
#[derive(Default)]
pub(super) struct AccessEncoder {
    model: Vec<Expectation>,
    controls: ColumnWriter,
    contexts: ColumnWriter,
    residuals: ColumnWriter,
    runs: ColumnWriter,
    sizes: ColumnWriter,
    table: ColumnWriter,
}

impl fmt::Debug for AccessEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessEncoder").finish_non_exhaustive()
    }
}

impl AccessEncoder {
    /// Appends the lane of these accesses to `out`; nothing if there are none.
    ///
    /// `contexts` has at most [`CONTEXTS_MAX`] entries and every access names one of them.
    pub(super) fn encode(
        &mut self,
        accesses: &[LaneAccess],
        contexts: &[AccessContext],
        out: &mut Vec<u8>,
    ) {
        if accesses.is_empty() {
            return;
        }
        let Self { model, controls, contexts: missed, residuals, runs, sizes, table } = self;
        for column in [&mut *controls, &mut *missed, &mut *residuals, &mut *runs, &mut *sizes] {
            column.clear();
        }
        model.clear();
        // Contexts are fewer than 2^16, so the numbers do not wrap.
        model.extend((0..contexts.len()).map(|context| Expectation::at(context as u16)));

        let all = accesses.iter().fold(0, |all, access| all | access.address);
        let shift = if all == 0 { 0 } else { all.trailing_zeros() };
        let (mut previous_context, mut previous_address) = (0u16, 0u64);
        let mut run = 0u64;
        for access in accesses {
            let address = access.address >> shift;
            let kind = access.kind.tag();
            let expected = model[usize::from(previous_context)].follower;
            let is_expected = expected == access.context;
            model[usize::from(previous_context)].follower = access.context;
            let foretold = &mut model[usize::from(access.context)];
            let next = foretold.place.next_address();
            let is_long = contexts[usize::from(access.context)].size == 0;
            let size = if is_long { access.size } else { 0 };
            if is_expected && next == address && foretold.kind == kind && foretold.size == size {
                run += 1;
            } else {
                put_run(&mut run, controls, runs);
                let by_context = zigzag(address.wrapping_sub(next));
                let by_previous = zigzag(address.wrapping_sub(previous_address));
                let (residual, near) = if by_previous < by_context {
                    (by_previous, NEAR_PREVIOUS)
                } else {
                    (by_context, 0)
                };
                let code = CODE_OF_BITS[(64 - residual.leading_zeros()) as usize];
                let context_bit = if is_expected { CONTEXT_FORETOLD } else { 0 };
                controls.put_byte(context_bit | near | code << LENGTH_SHIFT | kind);
                if !is_expected {
                    missed.put_bytes(u64::from(access.context), 2);
                }
                let len = usize::from(LENGTHS[usize::from(code)]);
                residuals.put_bytes(residual, len);
                if is_long {
                    sizes.put(size);
                }
                foretold.kind = kind;
                foretold.size = size;
            }
            foretold.place.learn(address);
            previous_context = access.context;
            previous_address = address;
        }
        put_run(&mut run, controls, runs);

        table.clear();
        let mut last = AccessContext { stack: StackId::UNKNOWN, size: 0 };
        for &context in contexts {
            table.put_delta(u64::from(last.stack.as_u32()), u64::from(context.stack.as_u32()));
            table.put(u64::from(context.size));
            last = context;
        }
        put(out, u64::from(shift));
        put(out, contexts.len() as u64);
        for column in [table, controls, missed, residuals, runs, sizes] {
            put_column(out, column.as_bytes());
        }
    }
}

/// Writes the run that has just ended, if there is one.
fn put_run(run: &mut u64, controls: &mut ColumnWriter, runs: &mut ColumnWriter) {
    if *run == 0 {
        return;
    }
    let short = if *run <= SHORT_RUN_MAX {
        // At most 31.
        *run as u8
    } else {
        runs.put(*run - SHORT_RUN_MAX - 1);
        0
    };
    controls.put_byte((short >> 3) << 6 | RUN << LENGTH_SHIFT | short & 7);
    *run = 0;
}

/// Decodes a lane of `count` accesses. Total; allocates in proportion to `count` and `raw_len`.
///
/// Two passes over the controls: which context (a chain of dependent loads, kept in two bytes a
/// context so that it stays in the first-level cache), then which address (no chain but the sum).
pub(super) fn decode(
    bytes: &[u8],
    raw_len: usize,
    count: usize,
    decoder: &mut LaneDecoder,
    out: &mut AccessColumns,
) -> Result<(), ChunkError> {
    let LaneDecoder { decompressor, bytes: lane, model } = decoder;
    decompressor.decompress(PART, bytes, raw_len, lane)?;
    // What is left in the others is written over, so that nothing is cleared for nothing.
    out.contexts.clear();
    out.long_sizes.clear();
    if count == 0 {
        out.clear();
        return if raw_len == 0 {
            Ok(())
        } else {
            Err(ChunkError::Column { part: PART, what: "columns without accesses", at: 0 })
        };
    }
    let mut lane = Reader::new(PART, lane, 0);
    let shift = lane.number()?;
    let context_count = lane.number()?;
    if shift > 63 || context_count > CONTEXTS_MAX as u64 {
        return Err(lane.error("an impossible shift or number of contexts"));
    }
    let mut table = lane.column()?;
    let controls = lane.column()?;
    let missed = lane.column()?;
    let residuals = lane.column()?;
    let runs = lane.column()?;
    let sizes = lane.column()?;
    lane.finish()?;

    let mut stack = 0u64;
    let mut any_long = false;
    for _ in 0..context_count {
        stack = table.delta(stack)?;
        let id = u32::try_from(stack).map_err(|_| table.error("a stack of more than 32 bits"))?;
        let size = table.number_u32()?;
        any_long |= size == 0;
        out.contexts.push(AccessContext { stack: StackId::new(id), size });
    }
    table.finish()?;

    out.tags.resize(count, AccessTag::default());
    decode_contexts(&controls, missed, runs.clone(), &out.contexts, model, &mut out.tags)?;
    out.addresses.resize(count, 0);
    decode_addresses(
        &controls,
        &residuals,
        runs.clone(),
        shift as u32,
        model,
        &out.tags,
        &mut out.addresses,
    )?;
    if any_long {
        let long_sizes = &mut out.long_sizes;
        decode_sizes(&controls, sizes, runs, &out.contexts, model, &out.tags, long_sizes)?;
    } else {
        sizes.finish()?;
    }
    Ok(())
}

/// The decoder's half of the model, by context; apart, so that each pass touches only its own.
#[derive(Debug, Default)]
pub(super) struct Model {
    followers: Vec<u16>,
    /// The last kind, and the size: [`AccessTag::head`].
    heads: Vec<u8>,
    places: Vec<Foretold>,
    sizes: Vec<u64>,
}

/// How many accesses a control byte stands for, if it is a run.
#[inline]
fn run_of(control: u8, runs: &mut Reader<'_>) -> Result<usize, ChunkError> {
    let short = u64::from(control >> 6 << 3 | control & 7);
    let run = if short == 0 { runs.number()?.saturating_add(SHORT_RUN_MAX + 1) } else { short };
    Ok(usize::try_from(run).unwrap_or(usize::MAX))
}

const fn is_run(control: u8) -> bool {
    (control >> LENGTH_SHIFT) & 7 == RUN
}

/// First pass: the context and the kind of every access.
fn decode_contexts(
    controls: &Reader<'_>,
    mut missed: Reader<'_>,
    mut runs: Reader<'_>,
    contexts: &[AccessContext],
    model: &mut Model,
    tags: &mut [AccessTag],
) -> Result<(), ChunkError> {
    let Model { followers, heads, .. } = model;
    followers.clear();
    // Fewer than 2^16 contexts, so the numbers do not wrap; the last one's guess is out of range.
    followers.extend((0..contexts.len()).map(|context| (context as u16).wrapping_add(1)));
    heads.clear();
    heads.extend(contexts.iter().map(|context| AccessTag::head(context.size)));
    let unknown = || controls.error("a context that is not in the table");
    let mut previous = 0usize;
    let mut at = 0usize;
    for &control in controls.rest() {
        if is_run(control) {
            let run = run_of(control, &mut runs)?;
            let places = tags.get_mut(at..at.saturating_add(run));
            let places = places.ok_or_else(|| controls.error("a run beyond the last access"))?;
            at += run;
            for tag in places {
                let context = *followers.get(previous).ok_or_else(unknown)?;
                let head = *heads.get(usize::from(context)).ok_or_else(unknown)?;
                *tag = AccessTag::new(context, head);
                previous = usize::from(context);
            }
        } else {
            let follower = followers.get_mut(previous).ok_or_else(unknown)?;
            if control & CONTEXT_FORETOLD == 0 {
                let bytes = missed.take(2)?;
                *follower = u16::from_le_bytes([bytes[0], bytes[1]]);
            }
            let context = *follower;
            let head = heads.get_mut(usize::from(context)).ok_or_else(unknown)?;
            *head = *head & !7 | control & 7;
            let place = tags.get_mut(at);
            let place =
                place.ok_or_else(|| controls.error("more accesses than the header says"))?;
            *place = AccessTag::new(context, *head);
            previous = usize::from(context);
            at += 1;
        }
    }
    missed.finish()?;
    runs.finish()?;
    if at == tags.len() {
        Ok(())
    } else {
        Err(controls.error("fewer accesses than the header says"))
    }
}

/// Second pass: the addresses. The first pass has checked every context and every length.
fn decode_addresses(
    controls: &Reader<'_>,
    residuals: &Reader<'_>,
    mut runs: Reader<'_>,
    shift: u32,
    model: &mut Model,
    tags: &[AccessTag],
    addresses: &mut [u64],
) -> Result<(), ChunkError> {
    let places = &mut model.places;
    places.clear();
    places.resize(model.followers.len(), Foretold::NEW);
    let column = residuals.rest();
    let mut read = 0usize;
    let mut previous = 0u64;
    let mut accesses = addresses.iter_mut().zip(tags);
    for &control in controls.rest() {
        if is_run(control) {
            let run = run_of(control, &mut runs)?;
            for (address, tag) in accesses.by_ref().take(run) {
                let foretold = &mut places[tag.context()];
                previous = foretold.next_address();
                foretold.learn(previous);
                *address = previous << shift;
            }
        } else {
            let code = usize::from((control >> LENGTH_SHIFT) & 7);
            let len = usize::from(LENGTHS[code]);
            let residual = match column.get(read..).and_then(<[u8]>::first_chunk) {
                Some(bytes) => u64::from_le_bytes(*bytes) & MASKS[code],
                None => short_residual(column, read, len)
                    .ok_or_else(|| residuals.error("a residual beyond the column"))?,
            };
            read += len;
            let Some((address, tag)) = accesses.next() else { break };
            let foretold = &mut places[tag.context()];
            // A select, not a branch: which of the two is near is a coin's toss.
            let near_previous = u64::from(control & NEAR_PREVIOUS != 0).wrapping_neg();
            let near = (previous & near_previous) | (foretold.next_address() & !near_previous);
            previous = near.wrapping_add(unzigzag(residual));
            foretold.learn(previous);
            *address = previous << shift;
        }
    }
    if read == column.len() { Ok(()) } else { Err(residuals.error("residuals are left over")) }
}

/// The sizes of the accesses whose context has none, if there are such.
fn decode_sizes(
    controls: &Reader<'_>,
    mut sizes: Reader<'_>,
    mut runs: Reader<'_>,
    contexts: &[AccessContext],
    model: &mut Model,
    tags: &[AccessTag],
    long_sizes: &mut Vec<u64>,
) -> Result<(), ChunkError> {
    model.sizes.clear();
    model.sizes.resize(contexts.len(), 0);
    let mut at = 0usize;
    for &control in controls.rest() {
        let is_foretold = is_run(control);
        let end = at + if is_foretold { run_of(control, &mut runs)? } else { 1 };
        for tag in &tags[at..end] {
            let context = tag.context();
            if contexts[context].size == 0 {
                if !is_foretold {
                    model.sizes[context] = sizes.number()?;
                }
                long_sizes.push(model.sizes[context]);
            }
        }
        at = end;
    }
    sizes.finish()
}

/// The residual at `at` when fewer than eight bytes of the column are left.
#[cold]
fn short_residual(column: &[u8], at: usize, len: usize) -> Option<u64> {
    let mut padded = [0; 8];
    padded[..len].copy_from_slice(column.get(at..at + len)?);
    Some(u64::from_le_bytes(padded))
}

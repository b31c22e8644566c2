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

use super::codec::Decompressor;
use super::column::{Reader, put, put_column, put_delta, unzigzag, zigzag};
use super::{AccessContext, ChunkError};
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
    /// For each access, its context in the low 16 bits and its [`AccessKind`]'s tag above.
    pub tags: Vec<u32>,
    /// What the accesses of a context have in common.
    pub contexts: Vec<AccessContext>,
    /// The sizes, in order, of the accesses whose context has size 0.
    pub long_sizes: Vec<u64>,
    model: Vec<Foretold>,
    bytes: Vec<u8>,
    decompressor: Decompressor,
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
            let context = self.contexts[(tag & 0xffff) as usize];
            let size = match context.size {
                0 => long_sizes.next().copied().unwrap_or(0),
                size => u64::from(size),
            };
            Access {
                kind: AccessKind::from_tag((tag >> 16) as u8),
                address: Address(address),
                size,
                stack: context.stack,
            }
        })
    }
}

/// What the model expects of a context's next access.
#[derive(Clone, Copy)]
struct Foretold {
    last: u64,
    stride: u64,
    /// The last difference; it becomes the stride when it is seen twice.
    difference: u64,
    size: u64,
    follower: u16,
    kind: u8,
}

impl Foretold {
    /// Nothing is known yet. Contexts are numbered by first use, so the next number is the first
    /// guess at what follows.
    const fn at(context: u16) -> Self {
        let follower = context.wrapping_add(1);
        Self { last: 0, stride: 0, difference: 0, size: 0, follower, kind: 0 }
    }

    #[inline]
    const fn next_address(&self) -> u64 {
        self.last.wrapping_add(self.stride)
    }

    #[inline]
    const fn learn(&mut self, address: u64) {
        let difference = address.wrapping_sub(self.last);
        if difference == self.difference {
            self.stride = difference;
        }
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

/// Turns accesses into columns.
#[derive(Default)]
pub(super) struct AccessEncoder {
    model: Vec<Foretold>,
    controls: Vec<u8>,
    contexts: Vec<u8>,
    residuals: Vec<u8>,
    runs: Vec<u8>,
    sizes: Vec<u8>,
    table: Vec<u8>,
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
        model.extend((0..contexts.len()).map(|context| Foretold::at(context as u16)));

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
            let next = foretold.next_address();
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
                controls.push(context_bit | near | code << LENGTH_SHIFT | kind);
                if !is_expected {
                    missed.extend_from_slice(&access.context.to_le_bytes());
                }
                let len = usize::from(LENGTHS[usize::from(code)]);
                residuals.extend_from_slice(&residual.to_le_bytes()[..len]);
                if is_long {
                    put(sizes, size);
                }
                foretold.kind = kind;
                foretold.size = size;
            }
            foretold.learn(address);
            previous_context = access.context;
            previous_address = address;
        }
        put_run(&mut run, controls, runs);

        table.clear();
        let mut last = AccessContext { stack: StackId::UNKNOWN, size: 0 };
        for &context in contexts {
            put_delta(table, u64::from(last.stack.as_u32()), u64::from(context.stack.as_u32()));
            put(table, u64::from(context.size));
            last = context;
        }
        put(out, u64::from(shift));
        put(out, contexts.len() as u64);
        for column in [table, controls, missed, residuals, runs, sizes] {
            put_column(out, column);
        }
    }
}

/// Writes the run that has just ended, if there is one.
fn put_run(run: &mut u64, controls: &mut Vec<u8>, runs: &mut Vec<u8>) {
    if *run == 0 {
        return;
    }
    let short = if *run <= SHORT_RUN_MAX {
        // At most 31.
        *run as u8
    } else {
        put(runs, *run - SHORT_RUN_MAX - 1);
        0
    };
    controls.push((short >> 3) << 6 | RUN << LENGTH_SHIFT | short & 7);
    *run = 0;
}

/// Decodes a lane of `count` accesses. Total; allocates in proportion to `count` and `raw_len`.
pub(super) fn decode(
    bytes: &[u8],
    raw_len: usize,
    count: usize,
    out: &mut AccessColumns,
) -> Result<(), ChunkError> {
    out.clear();
    let AccessColumns { addresses, tags, contexts, long_sizes, model, bytes: raw, decompressor } =
        out;
    decompressor.decompress(PART, bytes, raw_len, raw)?;
    if count == 0 {
        return if raw_len == 0 {
            Ok(())
        } else {
            Err(ChunkError::Column { part: PART, what: "columns without accesses", at: 0 })
        };
    }
    let mut lane = Reader::new(PART, raw, 0);
    let shift = lane.number()?;
    let context_count = lane.number()?;
    if shift > 63 || context_count > CONTEXTS_MAX as u64 {
        return Err(lane.error("an impossible shift or number of contexts"));
    }
    let mut table = lane.column()?;
    let controls = lane.column()?;
    let mut missed = lane.column()?;
    let residuals = lane.column()?;
    let mut runs = lane.column()?;
    let mut sizes = lane.column()?;
    lane.finish()?;

    let mut stack = 0u64;
    for context in 0..context_count {
        stack = table.delta(stack)?;
        let id = u32::try_from(stack).map_err(|_| table.error("a stack of more than 32 bits"))?;
        contexts.push(AccessContext { stack: StackId::new(id), size: table.number_u32()? });
        if context == 0 {
            model.clear();
        }
        model.push(Foretold::at(context as u16));
    }
    table.finish()?;

    addresses.resize(count, 0);
    tags.resize(count, 0);
    let mut decoder = AccessDecoder {
        shift: shift as u32,
        contexts,
        model,
        long_sizes,
        previous_context: 0,
        previous_address: 0,
    };
    let mut at = 0usize;
    let mut residual_bytes = residuals.rest();
    for &control in controls.rest() {
        let code = (control >> LENGTH_SHIFT) & 7;
        if code == RUN {
            let short = u64::from(control >> 6 << 3 | control & 7);
            let run =
                if short == 0 { runs.number()?.saturating_add(SHORT_RUN_MAX + 1) } else { short };
            let end = usize::try_from(run).map_or(usize::MAX, |run| at.saturating_add(run));
            let places = addresses.get_mut(at..end).zip(tags.get_mut(at..end));
            let (addresses, tags) =
                places.ok_or_else(|| controls.error("a run beyond the last access"))?;
            decoder
                .run(addresses, tags)
                .ok_or_else(|| controls.error("a run without a context"))?;
            at = end;
        } else {
            let context = if control & CONTEXT_FORETOLD == 0 {
                let bytes = missed.take(2)?;
                Some(u16::from_le_bytes([bytes[0], bytes[1]]))
            } else {
                None
            };
            let len = usize::from(LENGTHS[usize::from(code)]);
            let residual = match residual_bytes.first_chunk::<8>() {
                Some(bytes) => u64::from_le_bytes(*bytes) & MASKS[usize::from(code)],
                None => short_residual(residual_bytes, len)
                    .ok_or_else(|| residuals.error("a residual beyond the column"))?,
            };
            residual_bytes = residual_bytes.get(len..).unwrap_or_default();
            let place = addresses.get_mut(at).zip(tags.get_mut(at));
            let (address, tag) =
                place.ok_or_else(|| controls.error("more accesses than the header says"))?;
            let decoded = decoder
                .step(control, context, residual)
                .ok_or_else(|| missed.error("a context that is not in the table"))?;
            (*address, *tag) = decoded;
            if decoder.contexts[(*tag & 0xffff) as usize].size == 0 {
                decoder.set_size(sizes.number()?);
            }
            at += 1;
        }
    }
    missed.finish()?;
    runs.finish()?;
    sizes.finish()?;
    if at != count || !residual_bytes.is_empty() {
        return Err(controls.error("columns that do not agree in length"));
    }
    Ok(())
}

/// The residual when fewer than eight bytes of the column are left.
#[cold]
fn short_residual(bytes: &[u8], len: usize) -> Option<u64> {
    let mut padded = [0; 8];
    padded[..len].copy_from_slice(bytes.get(..len)?);
    Some(u64::from_le_bytes(padded))
}

struct AccessDecoder<'a> {
    shift: u32,
    contexts: &'a [AccessContext],
    model: &'a mut [Foretold],
    long_sizes: &'a mut Vec<u64>,
    previous_context: u16,
    previous_address: u64,
}

impl AccessDecoder<'_> {
    /// An access that was not foretold: its address and tag.
    #[inline]
    fn step(&mut self, control: u8, context: Option<u16>, residual: u64) -> Option<(u64, u32)> {
        let before = self.model.get_mut(usize::from(self.previous_context))?;
        let context = context.unwrap_or(before.follower);
        before.follower = context;
        let foretold = self.model.get_mut(usize::from(context))?;
        let near = if control & NEAR_PREVIOUS == 0 {
            foretold.next_address()
        } else {
            self.previous_address
        };
        let address = near.wrapping_add(unzigzag(residual));
        let kind = control & 7;
        foretold.kind = kind;
        foretold.learn(address);
        self.previous_context = context;
        self.previous_address = address;
        Some((address << self.shift, u32::from(context) | u32::from(kind) << 16))
    }

    /// The size of the access of the last step.
    fn set_size(&mut self, size: u64) {
        self.model[usize::from(self.previous_context)].size = size;
        self.long_sizes.push(size);
    }

    /// Fills in a run of foretold accesses.
    #[inline]
    fn run(&mut self, addresses: &mut [u64], tags: &mut [u32]) -> Option<()> {
        for (address, tag) in addresses.iter_mut().zip(tags) {
            let context = self.model.get(usize::from(self.previous_context))?.follower;
            let foretold = self.model.get_mut(usize::from(context))?;
            let next = foretold.next_address();
            foretold.learn(next);
            if self.contexts.get(usize::from(context))?.size == 0 {
                self.long_sizes.push(foretold.size);
            }
            *address = next << self.shift;
            *tag = u32::from(context) | u32::from(foretold.kind) << 16;
            self.previous_context = context;
            self.previous_address = next;
        }
        Some(())
    }
}

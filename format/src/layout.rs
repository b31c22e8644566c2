//! Where things lie in a log file: the first page, and the blocks that tile the rest.
//!
//! ```text
//! page 0                      | block | block | block | ... | index
//! identity(64) state(4032)    |  64-byte header, payload, zeros up to the next multiple of 64
//! ```
//!
//! The identity never changes once written. The state changes while a program records: it lies in
//! the shared map, every field of it is one aligned 64-bit word, and so each is whole at any moment
//! at which the program may be killed. When the log is closed, the state gets a checksum. Normative:
//! `docs/FORMAT.md`.

pub mod block;
pub mod frame;
pub mod page;
pub mod reason;

pub use block::{BLOCK_ALIGN, BLOCK_HEADER_LEN, BlockError, BlockHeader, BlockKind, BlockState};
pub use page::{Identity, PAGE_LEN, PageError, Phase, SlotRegion, State};
pub use reason::{LossCounts, LossReason, StopReason};

/// The first bytes of every log: a byte that is no text, the name, and the line ends of two systems,
/// which a transfer as text would change.
pub const HEADER_MAGIC: [u8; 8] = *b"\x89mmt\r\n\x1a\n";

/// Rounds up to the next multiple of `align`, a power of two; `None` beyond 2^64.
pub(crate) const fn align_up(number: u64, align: u64) -> Option<u64> {
    match number.checked_add(align - 1) {
        Some(sum) => Some(sum & !(align - 1)),
        None => None,
    }
}

/// Reads `N` bytes at `at`, which the caller knows to be there.
pub(crate) fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

/// Reads a little-endian number at `at`, which the caller knows to be there.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes_at(bytes, at))
}

/// Reads a little-endian number at `at`, which the caller knows to be there.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes_at(bytes, at))
}

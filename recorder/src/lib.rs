//! mmtrace recorder.

pub mod alloc;
pub mod cell;
pub mod chan;
mod emit;
pub mod go;
pub mod map;
pub mod pool;
pub mod span;
pub mod sync;
pub mod thread;
pub mod wait_group;

#[cfg(feature = "record")]
mod clock;
#[cfg(feature = "record")]
mod log;
#[cfg(feature = "record")]
mod module;
#[cfg(feature = "record")]
mod primitive;
#[cfg(feature = "record")]
mod record;
#[cfg(feature = "record")]
mod session;
#[cfg(feature = "record")]
mod stack;
#[cfg(feature = "record")]
mod stripe;

#[cfg(feature = "record")]
pub use session::{FinishError, Session, StartError, Summary};
pub use span::name;

/// Whether something is being recorded now.
#[inline]
pub fn is_recording() -> bool {
    #[cfg(feature = "record")]
    return record::enabled();
    #[cfg(not(feature = "record"))]
    false
}

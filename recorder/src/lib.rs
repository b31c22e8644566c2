//! mmtrace recorder.
mod emit;
pub mod cell;
pub mod chan;
pub mod go;
pub mod map;
pub mod pool;
pub mod sync;
pub mod thread;
pub mod wait_group;
#[cfg(feature = "record")]
mod primitive;
#[cfg(feature = "record")]
pub(crate) mod record;
#[cfg(feature = "record")]
mod stripe;

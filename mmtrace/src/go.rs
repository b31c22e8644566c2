//! What `mmtrace go` needs of the user's Go distribution, and adds to it.

pub(crate) mod arguments;
pub(crate) mod overlay;
pub(crate) mod runtime;
pub(crate) mod toolchain;
pub(crate) mod watch;

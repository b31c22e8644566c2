//! Plain memory whose accesses are recorded.
//!
//! A library does not see the loads and stores of a program; these cells tell it of theirs.
//!
//! - [`UnsafeCell`] is std's with loom's interface: what unsafe code shares goes through
//!   [`with`](UnsafeCell::with) and [`with_mut`](UnsafeCell::with_mut), and its races are found.
//! - [`Tracked`] and [`TrackedSlice`] are for safe code. Safe Rust has no data races, so they find
//!   none; they show who touches what, when, on a timeline.
//! - [`RacyCell`] is recorded as if it were plain memory shared without synchronisation, and is in
//!   truth a relaxed atomic: a data race to show, without undefined behaviour.
//!
//! The address of a cell is its identity. When a cell is dropped its bytes are retired: an access
//! by whatever comes to lie there next does not race with the dead cell's.
//!
//! Cost: with the `record` feature off, none. On and not recording: one predictable branch.
//! Recording: the budget is 5 ns for an access that was made before since the thread's last
//! synchronisation, or that fits the open chunk.

mod racy;
mod slice;
mod tracked;

pub use racy::RacyCell;
pub use slice::TrackedSlice;
pub use tracked::Tracked;

use std::fmt;
use std::mem::ManuallyDrop;

#[cfg(feature = "record")]
use mmtrace_format::AccessKind;

/// Records a read of this value, if anything is recorded.
#[inline]
#[track_caller]
fn read<T: ?Sized>(value: *const T, size: usize) {
    #[cfg(feature = "record")]
    if crate::record::enabled() {
        crate::record::access(AccessKind::Read, address(value), size as u64);
    }
    #[cfg(not(feature = "record"))]
    let _ = (value, size);
}

/// Records a write of this value, if anything is recorded.
#[inline]
#[track_caller]
fn write<T: ?Sized>(value: *const T, size: usize) {
    #[cfg(feature = "record")]
    if crate::record::enabled() {
        crate::record::access(AccessKind::Write, address(value), size as u64);
    }
    #[cfg(not(feature = "record"))]
    let _ = (value, size);
}

/// Says that these bytes are not what they were, if anything is recorded.
#[inline]
fn retire<T: ?Sized>(value: *const T, size: usize) {
    #[cfg(feature = "record")]
    if size != 0 && crate::record::enabled() {
        crate::record::retire(address(value), size as u64);
    }
    #[cfg(not(feature = "record"))]
    let _ = (value, size);
}

#[cfg(feature = "record")]
#[inline]
fn address<T: ?Sized>(value: *const T) -> u64 {
    value.cast::<()>().addr() as u64
}

/// What the unsafe code of a program shares between threads: std's `UnsafeCell` with every access
/// recorded, and with loom's interface, so that one `cfg` switches between the three.
///
/// ```
/// use mmtrace_recorder::cell::UnsafeCell;
///
/// let cell = UnsafeCell::new(1);
/// // SAFETY: nobody else has the cell.
/// cell.with_mut(|value| unsafe { *value += 1 });
/// assert_eq!(cell.into_inner(), 2);
/// ```
pub struct UnsafeCell<T> {
    value: std::cell::UnsafeCell<ManuallyDrop<T>>,
}

impl<T> UnsafeCell<T> {
    /// A cell with this value.
    #[inline]
    pub const fn new(value: T) -> Self {
        Self { value: std::cell::UnsafeCell::new(ManuallyDrop::new(value)) }
    }

    /// Gives `f` the value to read, and records a read of it.
    #[inline]
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        read(self.value.get(), size_of::<T>());
        f(self.value.get().cast())
    }

    /// Gives `f` the value to change, and records a write of it.
    #[inline]
    #[track_caller]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        write(self.value.get(), size_of::<T>());
        f(self.value.get().cast())
    }

    /// The value, to whoever has the cell for itself. Not recorded: such an access cannot race.
    #[inline]
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Takes the value out. Not recorded, as for [`get_mut`](Self::get_mut).
    #[inline]
    pub fn into_inner(self) -> T {
        retire(self.value.get(), size_of::<T>());
        let mut this = ManuallyDrop::new(self);
        take(this.value.get_mut())
    }
}

/// Moves a value out of a place that is not looked at again.
#[expect(unsafe_code, reason = "moving out of a type that has a Drop")]
#[inline]
fn take<T>(place: &mut ManuallyDrop<T>) -> T {
    // SAFETY: the contract is that the place is not used again. All callers have it for themselves:
    // they are the owner's own drop, or have put the owner into a ManuallyDrop, so that its drop
    // never runs.
    unsafe { ManuallyDrop::take(place) }
}

impl<T> Drop for UnsafeCell<T> {
    #[inline]
    fn drop(&mut self) {
        retire(self.value.get(), size_of::<T>());
        drop(take(self.value.get_mut()));
    }
}

impl<T: Default> Default for UnsafeCell<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for UnsafeCell<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T> fmt::Debug for UnsafeCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnsafeCell").finish_non_exhaustive()
    }
}

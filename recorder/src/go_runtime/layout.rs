//! Where things are in Go's own structures, as the patched runtime tells when it starts.
//!
//! Offsets differ from one version of Go to the next, so the overlay lets the runtime itself compute
//! them (`unsafe.Offsetof`). Without the patch nothing is known, and what hangs on it is done the
//! long way or left out.

#![expect(unsafe_code, reason = "reads Go's structures by the offsets that Go has told")]

use std::sync::atomic::{AtomicUsize, Ordering};

/// What the table begins with: another number is another table.
pub const TABLE_MARK: usize = 0x6d6d_7472_0001;

macro_rules! table {
    ($($name:ident: $meaning:literal;)*) => {
        /// An entry of the table, in the order in which the patched runtime writes them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub(super) enum Entry {
            $(#[doc = $meaning] $name,)*
        }

        /// The names of the entries, which the overlay must write in this order.
        pub const ENTRIES: &[&str] = &[$(stringify!($name)),*];
    };
}

table! {
    Mark: "[`TABLE_MARK`].";
    GoroutineMachine: "Offset of `g.m`.";
    MachineProc: "Offset of `m.p`.";
    MachineGoroutine: "Offset of `m.curg`.";
    ProcContext: "Offset of `p.raceprocctx`.";
    GoroutineNumber: "Offset of `g.goid`.";
    ChannelCounts: "Offset of the two counters that the overlay adds to `hchan`; 0 if it does not.";
    ChannelCapacity: "Offset of `hchan.dataqsiz`.";
    ChannelLock: "Offset of `hchan.lock`.";
    WaitReasons: "Address of the table of wait reasons: strings.";
    WaitReasonCount: "How many there are.";
    Version: "Address of the string that is the version of Go.";
    FunctionData: "Address of the functions' data, which describes inlined calls.";
    GoroutineContext: "Offset of `g.racectx`.";
    CgoSync: "Address of the object by which the runtime orders all cgo calls.";
    Types: "Where the types lie that the linker wrote; 0 if they are not told of.";
    TypesEnd: "Where they end.";
    TypeFlags: "Offset of `abi.Type.TFlag`.";
    TypeName: "Offset of `abi.Type.Str`: where its name lies, from the beginning of all types.";
}

const COUNT: usize = ENTRIES.len();

static TABLE: [AtomicUsize; COUNT] = [const { AtomicUsize::new(0) }; COUNT];

/// Takes the table over.
///
/// # Safety
/// `table` is null, or points to as many words as there are entries if its first is the mark.
pub(super) unsafe fn learn(table: *const usize) {
    if table.is_null() {
        return;
    }
    // SAFETY: the caller's promise: there is a first word.
    if unsafe { table.read() } != TABLE_MARK {
        return;
    }
    for (index, place) in TABLE.iter().enumerate() {
        // SAFETY: the mark is there, so that all entries are: the caller's promise.
        let entry = unsafe { table.add(index) };
        // SAFETY: as above.
        place.store(unsafe { entry.read() }, Ordering::Relaxed);
    }
}

/// An entry; 0 if it is not known.
#[inline]
pub(super) fn entry(entry: Entry) -> usize {
    // Relaxed: written once, before Go starts a second thread.
    TABLE[entry as usize].load(Ordering::Relaxed)
}

/// Whether the runtime was patched.
#[inline]
pub(super) fn is_known() -> bool {
    entry(Entry::Mark) == TABLE_MARK
}

/// Reads a word of Go's.
///
/// # Safety
/// A structure of Go's with a word at this offset lies at `base`, and nobody changes that word now.
#[inline]
pub(super) unsafe fn word(base: usize, offset: usize) -> usize {
    // SAFETY: the caller's promise.
    unsafe { std::ptr::with_exposed_provenance::<usize>(base + offset).read() }
}

/// The name of the type at this address, as `reflect.Type.String` gives it; none if it is none that the
/// linker wrote: those that package `reflect` makes have their names elsewhere.
pub(super) fn type_name(address: usize) -> Option<&'static str> {
    /// The name begins with a star, for the sake of the type of pointers to it.
    const EXTRA_STAR: u8 = 1 << 1;

    let types = types();
    let at = address.checked_sub(entry(Entry::Types))?;
    let flags = *types.get(at + entry(Entry::TypeFlags))?;
    let offset = types.get(at + entry(Entry::TypeName)..)?.first_chunk()?;
    // A byte of flags, the length in groups of seven bits, the name.
    let mut rest = types.get(u32::from_ne_bytes(*offset) as usize + 1..)?;
    let (mut len, mut shift) = (0_usize, 0);
    while shift < 28 {
        let (&group, behind) = rest.split_first()?;
        rest = behind;
        len |= usize::from(group & 0x7f) << shift;
        shift += 7;
        if group < 0x80 {
            break;
        }
    }
    let name = std::str::from_utf8(rest.get(..len)?).ok()?;
    if flags & EXTRA_STAR == 0 { Some(name) } else { name.strip_prefix('*') }
}

/// The types that the linker wrote, with their names; nothing if they were not told of.
fn types() -> &'static [u8] {
    let begin = entry(Entry::Types);
    let len = entry(Entry::TypesEnd).saturating_sub(begin);
    if begin == 0 {
        return &[];
    }
    // SAFETY: the bounds are what the linker told the runtime, which told us; the program keeps its types
    // as they are, for as long as it runs.
    unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(begin), len) }
}

/// Writes a word of Go's.
///
/// # Safety
/// A structure of Go's with a word at this offset lies at `base`, and nobody else touches that word now.
#[inline]
pub(super) unsafe fn set_word(base: usize, offset: usize, value: usize) {
    // SAFETY: the caller's promise.
    unsafe { std::ptr::with_exposed_provenance_mut::<usize>(base + offset).write(value) };
}

/// Reads a string of Go's, by the address of its header.
///
/// # Safety
/// 0, or the address of a Go string of valid UTF-8 that nobody changes.
pub(super) unsafe fn string<'a>(address: usize) -> Option<&'a str> {
    if address == 0 {
        return None;
    }
    // SAFETY: a string is its address and its length: the caller's promise.
    let start = unsafe { word(address, 0) };
    // SAFETY: the same.
    let len = unsafe { word(address, 8) };
    // SAFETY: as above.
    let bytes =
        unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(start), len) };
    std::str::from_utf8(bytes).ok()
}

//! What is mapped into the process: the program and its shared objects.

#[cfg(feature = "record")]
mod symbols;

use std::ops::Range;
use std::path::PathBuf;

#[cfg(feature = "record")]
pub(crate) use symbols::copy_symbols;

/// A module as the dynamic linker has it mapped.
#[derive(Clone, Debug)]
pub(crate) struct LoadedModule {
    /// The file; empty for what has none (the kernel's vdso).
    pub(crate) path: PathBuf,
    /// The load bias: what the file's addresses are counted from.
    pub(crate) base: u64,
    /// All its mapped addresses.
    pub(crate) range: Range<u64>,
    /// The linker's build id.
    pub(crate) build_id: Vec<u8>,
    /// Where the index of the unwind tables is mapped, and the segment that it lies in.
    unwind_index: Option<Range<u64>>,
    segments: Vec<Range<u64>>,
}

/// A copy of a module's unwind tables.
pub(crate) struct UnwindTables {
    pub(crate) index_address: u64,
    pub(crate) index: Box<[u8]>,
    pub(crate) frames_address: u64,
    pub(crate) frames: Box<[u8]>,
}

/// The modules that are mapped now, in the linker's order: the program first.
#[expect(unsafe_code, reason = "the dynamic linker's list has only a C interface")]
pub(crate) fn loaded() -> Vec<LoadedModule> {
    unsafe extern "C" fn visit(
        info: *mut libc::dl_phdr_info,
        _size: usize,
        modules: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the linker passes a pointer to its entry, valid during this call.
        let info = unsafe { &*info };
        // SAFETY: it is the pointer passed to `dl_iterate_phdr` below, to a vector nobody else uses.
        let modules = unsafe { &mut *modules.cast::<Vec<LoadedModule>>() };
        // SAFETY: the linker's entry describes a module that is mapped during this call.
        modules.extend(unsafe { LoadedModule::from_linker(info) });
        0
    }
    let mut modules = Vec::<LoadedModule>::new();
    // SAFETY: `visit` treats its arguments as the function documents them, does not unwind (it can
    // only fail to allocate, which aborts), and the vector outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut modules).cast()) };
    if let (Some(program), Ok(path)) = (modules.first_mut(), std::env::current_exe()) {
        program.path = path;
    }
    modules
}

/// How many modules were ever loaded: when it changes, [`loaded`] has something new.
#[expect(unsafe_code, reason = "the dynamic linker's list has only a C interface")]
pub(crate) fn load_count() -> u64 {
    unsafe extern "C" fn visit(
        info: *mut libc::dl_phdr_info,
        _size: usize,
        count: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the linker passes a pointer to its entry, valid during this call.
        let adds = unsafe { (*info).dlpi_adds };
        // SAFETY: it is the pointer passed to `dl_iterate_phdr` below, to a local of its caller.
        unsafe { *count.cast::<u64>() = adds };
        1
    }
    let mut count = 0_u64;
    // SAFETY: `visit` does what the function documents; the local outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut count).cast()) };
    count
}

impl LoadedModule {
    /// # Safety
    /// The entry's names and headers are valid, and its module stays mapped during the call.
    #[expect(unsafe_code, reason = "reads what the dynamic linker points to")]
    unsafe fn from_linker(info: &libc::dl_phdr_info) -> Option<Self> {
        let base = info.dlpi_addr;
        if info.dlpi_phdr.is_null() {
            return None;
        }
        // SAFETY: the caller's contract: that many program headers lie there.
        let headers =
            unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
        let path = if info.dlpi_name.is_null() {
            PathBuf::new()
        } else {
            // SAFETY: the caller's contract: the linker's names are C strings.
            let name = unsafe { std::ffi::CStr::from_ptr(info.dlpi_name) };
            PathBuf::from(std::ffi::OsStr::from_bytes(name.to_bytes()))
        };
        let of = |kind: u32| {
            headers.iter().filter(move |header| header.p_type == kind).map(|header| {
                let start = base.wrapping_add(header.p_vaddr);
                start..start.wrapping_add(header.p_memsz)
            })
        };
        let segments: Vec<_> = of(libc::PT_LOAD).collect();
        let range =
            segments.iter().map(|s| s.start).min()?..segments.iter().map(|s| s.end).max()?;
        let build_id = of(libc::PT_NOTE).find_map(|note| {
            // SAFETY: the caller's contract: a note lies in a loaded segment, which is mapped.
            build_id_in(unsafe { mapped(&note) })
        });
        let unwind_index = of(libc::PT_GNU_EH_FRAME).next();
        let build_id = build_id.unwrap_or_default();
        Some(Self { path, base, range, build_id, unwind_index, segments })
    }

    /// Copies the module's unwind tables.
    ///
    /// The index says where the tables begin; they end somewhere before their segment does, at a
    /// terminator that whoever reads them stops at.
    #[expect(unsafe_code, reason = "reads what the dynamic linker has mapped")]
    pub(crate) fn unwind_tables(&self) -> Option<UnwindTables> {
        let index_range = self.unwind_index.clone()?;
        // SAFETY: a segment that the linker has mapped for reading; the module was in the linker's
        // list just now. (A shared object that another thread unloads at this very moment is the
        // program's own race with every walk of its stack.)
        let index: Box<[u8]> = unsafe { mapped(&index_range) }.into();
        let frames_address = frames_address(index_range.start, &index)?;
        let segment = self.segments.iter().find(|segment| segment.contains(&frames_address))?;
        // SAFETY: as above: the rest of a mapped segment.
        let frames: Box<[u8]> = unsafe { mapped(&(frames_address..segment.end)) }.into();
        Some(UnwindTables { index_address: index_range.start, index, frames_address, frames })
    }
}

/// Memory of the process, by its addresses.
///
/// # Safety
/// The range is mapped for reading and does not change while the slice is used.
#[expect(unsafe_code, reason = "mapped segments have no other name than their addresses")]
unsafe fn mapped<'a>(range: &Range<u64>) -> &'a [u8] {
    let start = std::ptr::with_exposed_provenance::<u8>(range.start as usize);
    // SAFETY: the caller's contract; a byte needs no alignment.
    unsafe { std::slice::from_raw_parts(start, (range.end - range.start) as usize) }
}

/// Where the unwind tables begin, from the index's header: version 1, an encoded pointer.
fn frames_address(index_address: u64, index: &[u8]) -> Option<u64> {
    /// Relative to the pointer itself, signed, four bytes: what every linker writes.
    const RELATIVE_SIGNED_4: u8 = 0x1b;
    let (&[1, RELATIVE_SIGNED_4, ..], pointer) = index.split_at_checked(4)? else { return None };
    let pointer = i32::from_le_bytes(*pointer.first_chunk()?);
    (index_address + 4).checked_add_signed(i64::from(pointer))
}

/// The build id in a segment of notes: (name length, content length, type, name, content) each
/// padded to four bytes.
fn build_id_in(mut notes: &[u8]) -> Option<Vec<u8>> {
    const GNU_BUILD_ID: u32 = 3;
    while let Some((header, rest)) = notes.split_first_chunk::<12>() {
        let word = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let (name_len, content_len) = (word(0) as usize, word(4) as usize);
        let content_at = name_len.next_multiple_of(4);
        let content = rest.get(content_at..content_at.checked_add(content_len)?)?;
        if word(8) == GNU_BUILD_ID && rest.get(..name_len) == Some(b"GNU\0") {
            return Some(content.to_vec());
        }
        notes = rest.get(content_at + content_len.next_multiple_of(4)..)?;
    }
    None
}

use std::os::unix::ffi::OsStrExt as _;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_comes_first_and_contains_this_function() {
        let modules = loaded();
        let this = loaded as fn() -> _ as usize as u64;
        assert!(modules[0].range.contains(&this));
        assert_eq!(modules[0].path, std::env::current_exe().unwrap());
        assert!(modules[0].unwind_tables().is_some());
        assert!(load_count() > 0);
    }

    #[test]
    fn a_build_id_is_found_behind_other_notes() {
        let mut notes = Vec::new();
        for (name, kind, content) in [(b"Xen\0", 1_u32, &b"abcde"[..]), (b"GNU\0", 3, b"\x12\x34")]
        {
            notes.extend(4_u32.to_le_bytes());
            notes.extend((content.len() as u32).to_le_bytes());
            notes.extend(kind.to_le_bytes());
            notes.extend(name);
            notes.extend(content);
            notes.resize(notes.len().next_multiple_of(4), 0);
        }
        assert_eq!(build_id_in(&notes), Some(vec![0x12, 0x34]));
        for cut in 0..notes.len() - 4 {
            assert_eq!(build_id_in(&notes[..cut]), None);
        }
    }
}

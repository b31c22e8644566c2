//! Copying into the log what names a Go program's code: the program may be gone when it is read.

use std::fs::File;
use std::path::Path;

use mmtrace_format::ModuleId;
use mmtrace_format::live::LiveLog;
use object::read::elf::ElfFile64;
use object::{Object as _, ObjectSection as _, ReadCache};

use super::layout::{self, Entry};
use crate::module::LoadedModule;

/// Sections that name code. Go's own table (`.gopclntab`) survives stripping; the symbol tables are
/// for what C code the program has.
const SECTIONS: [&str; 8] = [
    ".gopclntab",
    ".data.rel.ro.gopclntab",
    ".go.buildinfo",
    ".go.module",
    ".symtab",
    ".strtab",
    ".dynsym",
    ".dynstr",
];

/// The name under which the functions' data goes into the log: which calls were inlined where.
///
/// Its address is that of `runtime.firstmoduledata.gofunc`, which the offsets in `.gopclntab` count
/// from. In the program it is a part of `.rodata` (of `.gopclntab` itself from Go 1.26 on) that only
/// the runtime knows the beginning of.
pub(super) const FUNCTION_DATA: &str = "go:func";

/// Bytes of the functions' data that are copied at most.
const FUNCTION_DATA_MAX: u64 = 256 << 20;

/// Copies a module's symbol sections into the log, as far as it has any.
pub(super) fn copy(log: &LiveLog, id: ModuleId, module: &LoadedModule) {
    let is_program = std::env::current_exe().is_ok_and(|program| program == module.path);
    // The program is reached even if its file was deleted or replaced.
    let path = if is_program { Path::new("/proc/self/exe") } else { &module.path };
    let Ok(file) = File::open(path) else { return };
    let cache = ReadCache::new(file);
    let Ok(elf) = ElfFile64::<object::Endianness, _>::parse(&cache) else { return };
    if elf.build_id().ok().flatten().unwrap_or_default() != module.build_id {
        return;
    }
    for name in SECTIONS {
        if let Some(section) = elf.section_by_name(name)
            && let Ok(data) = section.compressed_data()
            && data.format == object::CompressionFormat::None
            && log.append_symbols(id, name, section.address(), data.data).is_err()
        {
            return;
        }
    }
    let function_data = layout::entry(Entry::FunctionData) as u64;
    if !is_program || function_data == 0 {
        return;
    }
    let address = function_data - module.base;
    let section = elf
        .sections()
        .find(|section| (section.address()..section.address() + section.size()).contains(&address));
    if let Some(section) = section {
        let len = (section.address() + section.size() - address).min(FUNCTION_DATA_MAX);
        if let Ok(Some(bytes)) = section.data_range(address, len) {
            // It fails if the recording has stopped.
            let _ = log.append_symbols(id, FUNCTION_DATA, address, bytes);
        }
    }
}

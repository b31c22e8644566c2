//! Copying into the log what names a module's code: the program may be gone when the log is read.

use std::fs::File;
use std::path::Path;

use mmtrace_format::ModuleId;
use mmtrace_format::live::LiveLog;
use object::read::elf::{ElfFile64, ElfSection64};
use object::{Object as _, ObjectSection as _, ReadCache};

use super::LoadedModule;

/// Sections that name code: functions, files, lines and inlined calls.
const SECTIONS: [&str; 15] = [
    ".symtab",
    ".strtab",
    ".dynsym",
    ".dynstr",
    ".debug_abbrev",
    ".debug_addr",
    ".debug_aranges",
    ".debug_info",
    ".debug_line",
    ".debug_line_str",
    ".debug_ranges",
    ".debug_rnglists",
    ".debug_str",
    ".debug_str_offsets",
    ".debug_types",
];

/// Copies a module's symbol sections into the log.
///
/// A module without a file, or whose file is not what is mapped, has none: its code keeps its
/// numbers. So has one whose sections are compressed in the file.
pub(crate) fn copy_symbols(log: &LiveLog, id: ModuleId, module: &LoadedModule) {
    let Some(file) = open(&module.path) else { return };
    // Section by section: a program's symbols may be larger than what it uses itself.
    let cache = ReadCache::new(file);
    let Ok(elf) = ElfFile64::<object::Endianness, _>::parse(&cache) else { return };
    let build_id = elf.build_id().ok().flatten().unwrap_or_default();
    if build_id != module.build_id {
        return;
    }
    for name in SECTIONS {
        if let Some(section) = elf.section_by_name(name)
            && !copy_section(log, id, name, &section)
        {
            return;
        }
    }
}

/// Opens a module's file. The program's own is reached even if it was deleted or replaced.
fn open(path: &Path) -> Option<File> {
    let is_program = std::env::current_exe().is_ok_and(|program| program == path);
    File::open(if is_program { Path::new("/proc/self/exe") } else { path }).ok()
}

/// False if the log takes no more.
fn copy_section<'data>(
    log: &LiveLog,
    id: ModuleId,
    name: &str,
    section: &ElfSection64<'data, '_, object::Endianness, &'data ReadCache<File>>,
) -> bool {
    match section.compressed_data() {
        Ok(data) if data.format == object::CompressionFormat::None => {
            log.append_symbols(id, name, section.address(), data.data).is_ok()
        }
        _ => true,
    }
}

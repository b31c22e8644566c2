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

/// Sections that name code in a Go program: its own tables say all that its debug information does,
/// which would be longer than everything else in the log. The symbol table names what is C.
const GO_SECTIONS: [&str; 6] =
    [".gopclntab", GO_MODULE, ".symtab", ".strtab", ".dynsym", ".dynstr"];
/// The section of Go's module data, since Go 1.26; the name under which the log has it in any case.
const GO_MODULE: &str = ".go.module";
/// Where module data may lie before Go 1.26.
const GO_MODULE_HOLDERS: [&str; 3] = [".noptrdata", ".data", ".data.rel.ro"];
/// How much of the module data is copied: more than the part that says where things are.
const GO_MODULE_LEN: usize = 512;

type Elf<'data> = ElfFile64<'data, object::Endianness, &'data ReadCache<File>>;

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
    let go = elf.section_by_name(".gopclntab");
    for &name in if go.is_some() { &GO_SECTIONS[..] } else { &SECTIONS[..] } {
        if let Some(section) = elf.section_by_name(name)
            && !copy_section(log, id, name, &section)
        {
            return;
        }
    }
    if let Some(table) = go
        && elf.section_by_name(GO_MODULE).is_none()
    {
        copy_old_go(log, id, &elf, &table);
    }
}

/// Copies what a Go before 1.26 keeps in sections of other things: the module data, and the trees
/// of inlined calls, which lie among the constants.
fn copy_old_go<'data>(
    log: &LiveLog,
    id: ModuleId,
    elf: &Elf<'data>,
    table: &ElfSection64<'data, '_, object::Endianness, &'data ReadCache<File>>,
) {
    let Ok(header) = table.data() else { return };
    for name in GO_MODULE_HOLDERS {
        let Some(holder) = elf.section_by_name(name) else { continue };
        let Ok(bytes) = holder.data() else { continue };
        let Some(at) = go_module_at(bytes, header, table.address()) else { continue };
        let module = &bytes[at..bytes.len().min(at + GO_MODULE_LEN)];
        let address = holder.address() + at as u64;
        if log.append_symbols(id, GO_MODULE, address, module).is_ok()
            && let Some(constants) = elf.section_by_name(".rodata")
        {
            copy_section(log, id, ".rodata", &constants);
        }
        return;
    }
}

/// Where the module data of this table is: it begins with the addresses of the table, and of the
/// first part of it, whose offset is in the table's header.
fn go_module_at(holder: &[u8], table: &[u8], table_address: u64) -> Option<usize> {
    let names = u64::from_le_bytes(*table.get(32..)?.first_chunk()?);
    let mut begin = table_address.to_le_bytes().to_vec();
    begin.extend(table_address.checked_add(names)?.to_le_bytes());
    let words = holder.chunks_exact(8);
    let mut places = words.zip((0..).step_by(8)).filter(|(word, _)| **word == begin[..8]);
    places.find_map(|(_, at)| holder[at..].starts_with(&begin).then_some(at))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_data_is_found_by_the_two_addresses_that_it_begins_with() {
        let mut table = [0; 40];
        table[32] = 0x48;
        let mut holder = [0_u8; 64];
        holder[8..16].copy_from_slice(&0x5000_u64.to_le_bytes());
        holder[32..40].copy_from_slice(&0x5000_u64.to_le_bytes());
        holder[40..48].copy_from_slice(&0x5048_u64.to_le_bytes());
        assert_eq!(go_module_at(&holder, &table, 0x5000), Some(32));
        assert_eq!(go_module_at(&holder, &table, 0x5008), None);
        assert_eq!(go_module_at(&holder[..44], &table, 0x5000), None);
        assert_eq!(go_module_at(&holder, &table[..36], 0x5000), None);
    }
}

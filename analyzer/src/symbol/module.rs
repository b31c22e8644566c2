//! The names of one module: Go's tables, its DWARF, and its symbol table where those are silent.

use std::rc::Rc;

use addr2line::Context;
use gimli::{Dwarf, EndianRcSlice, RunTimeEndian};
use object::elf::{STT_FUNC, STT_GNU_IFUNC, Sym64};
use object::read::StringTable;
use object::{Endianness, pod};

use super::go::GoNames;
use super::{Frame, Section, demangle, some};

type Reader = EndianRcSlice<RunTimeEndian>;

/// Answers what code is at an offset of a module.
pub(super) struct ModuleNames {
    go: Option<GoNames>,
    dwarf: Option<Context<Reader>>,
    functions: Vec<Function>,
}

/// A function of the symbol table.
struct Function {
    start: u64,
    /// Exclusive. Assembly has sizes of 0: such a function ends where the next begins.
    end: u64,
    name: String,
}

impl ModuleNames {
    /// `None` if there is nothing to read names from. Damaged sections name nothing.
    pub(super) fn new(sections: &[Section]) -> Option<Self> {
        if sections.is_empty() {
            return None;
        }
        let bytes = |name: &str| {
            let found = sections.iter().find(|section| section.name == name);
            found.map_or_else(|| Rc::from([]), |section| Rc::clone(&section.bytes))
        };
        let load = |id: gimli::SectionId| -> Result<Reader, gimli::Error> {
            Ok(Reader::new(bytes(id.name()), RunTimeEndian::Little))
        };
        let dwarf = Dwarf::load(load).ok().and_then(|dwarf| Context::from_dwarf(dwarf).ok());
        let functions = functions(&bytes(".symtab"), &bytes(".strtab"));
        Some(Self { go: GoNames::new(sections), dwarf, functions })
    }

    /// The frames at an address of the module, the one inlined deepest first; empty if unknown.
    pub(super) fn frames(&self, address: u64) -> Vec<Frame> {
        // Go's own tables are there in stripped programs, too, and name what DWARF names.
        let go = self.go.as_ref().map(|go| go.frames(address)).unwrap_or_default();
        if !go.is_empty() {
            return go;
        }
        let mut frames = self.dwarf_frames(address);
        // Line tables alone name functions without their paths.
        let is_bare = |name: &String| !name.contains("::");
        if frames.last().is_none_or(|frame| frame.function.as_ref().is_none_or(is_bare)) {
            let function = self.function(address);
            match frames.last_mut() {
                Some(frame) => frame.function = function.or(frame.function.take()),
                None if function.is_some() => frames.push(Frame { function, ..Frame::default() }),
                None => {}
            }
        }
        frames
    }

    fn dwarf_frames(&self, address: u64) -> Vec<Frame> {
        let mut frames = Vec::new();
        let Some(context) = &self.dwarf else { return frames };
        let Ok(mut found) = context.find_frames(address).skip_all_loads() else { return frames };
        while let Ok(Some(frame)) = found.next() {
            let name = frame.function.as_ref().and_then(|name| name.raw_name().ok());
            let location = frame.location.as_ref();
            frames.push(Frame {
                function: name.map(|name| demangle(&name)),
                file: location.and_then(|at| at.file).map(str::to_owned),
                line: location.and_then(|at| at.line).and_then(some),
                column: location.and_then(|at| at.column).and_then(some),
                inlined: true,
                code: None,
            });
        }
        if let Some(outermost) = frames.last_mut() {
            outermost.inlined = false;
        }
        frames
    }

    fn function(&self, address: u64) -> Option<String> {
        let after = self.functions.partition_point(|function| function.start <= address);
        let function = self.functions.get(after.checked_sub(1)?)?;
        (address < function.end).then(|| function.name.clone())
    }
}

/// The functions of a symbol table, by address.
fn functions(symbols: &[u8], strings: &[u8]) -> Vec<Function> {
    let endian = Endianness::Little;
    let count = symbols.len() / size_of::<Sym64<Endianness>>();
    let Ok((symbols, _)) = pod::slice_from_bytes::<Sym64<Endianness>>(symbols, count) else {
        return Vec::new();
    };
    let names = StringTable::new(strings, 0, strings.len() as u64);
    let mut functions: Vec<Function> = symbols
        .iter()
        .filter(|symbol| matches!(symbol.st_type(), STT_FUNC | STT_GNU_IFUNC))
        .filter_map(|symbol| {
            let start = symbol.st_value.get(endian);
            let name = names.get(symbol.st_name.get(endian)).ok()?;
            let name = demangle(std::str::from_utf8(name).ok()?);
            let end = start.saturating_add(symbol.st_size.get(endian));
            (start != 0 && !name.is_empty()).then_some(Function { start, end, name })
        })
        .collect();
    functions.sort_by(|a, b| (a.start, &a.name).cmp(&(b.start, &b.name)));
    functions.dedup_by_key(|function| function.start);
    for i in 0..functions.len() {
        if functions[i].end == functions[i].start {
            functions[i].end = functions.get(i + 1).map_or(u64::MAX, |next| next.start);
        }
    }
    functions
}

#[cfg(test)]
mod tests {
    use object::{Object, ObjectSection, ObjectSymbol};

    use super::*;

    /// The sections of this very test program.
    fn own_sections() -> (Vec<u8>, Vec<Section>) {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let elf = object::File::parse(&*file).unwrap();
        let sections = elf
            .sections()
            .map(|section| Section {
                name: section.name().unwrap().to_owned(),
                address: section.address(),
                bytes: section.uncompressed_data().unwrap().into_owned().into(),
            })
            .collect();
        (file, sections)
    }

    #[inline(never)]
    fn a_function_to_be_found() -> u32 {
        std::hint::black_box(line!())
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_program_names_its_own_functions_from_sections_alone() {
        let (file, sections) = own_sections();
        let line = a_function_to_be_found();
        let elf = object::File::parse(&*file).unwrap();
        let symbol =
            elf.symbols().find(|s| s.name().unwrap().contains("a_function_to_be_found")).unwrap();
        let names = ModuleNames::new(&sections).unwrap();
        let frames = names.frames(symbol.address() + 1);
        let frame = frames.last().unwrap();
        assert!(frame.function.as_deref().unwrap().ends_with("::tests::a_function_to_be_found"));
        assert!(frame.file.as_deref().unwrap().ends_with("symbol/module.rs"), "{frame:?}");
        assert!((line - 2..=line).contains(&frame.line.unwrap()), "{frame:?}, {line}");
        assert!(!frame.inlined);

        let only_symbols: Vec<Section> =
            sections.into_iter().filter(|s| s.name.ends_with("tab")).collect();
        let frames = ModuleNames::new(&only_symbols).unwrap().frames(symbol.address() + 1);
        assert!(frames[0].function.as_deref().unwrap().ends_with("a_function_to_be_found"));
        assert_eq!(frames[0].line, None);
    }

    #[test]
    fn damaged_sections_name_nothing() {
        let names = [".debug_info", ".debug_abbrev", ".debug_line", ".symtab", ".strtab"];
        let sections: Vec<Section> = names
            .into_iter()
            .map(|name| Section { name: name.into(), address: 0, bytes: [0xAB; 100].into() })
            .collect();
        let frames = ModuleNames::new(&sections).unwrap().frames(0x40);
        assert!(frames.iter().all(|frame| frame.line.is_none()), "{frames:?}");
    }
}

//! Stacks with names, from the log alone: its tables and the ELF sections that were copied into it.
//!
//! A call site is named by its module's DWARF or Go's own tables (function, file, line, and what
//! was inlined there), failing that by the symbol table (function), failing that by module and offset. The compiler's
//! own word (`#[track_caller]`) wins for the innermost frame's file and line, since a return
//! address may be one statement late. Frames of the recorder and of the machinery that starts
//! threads are left out: see [`trim`].

mod go;
mod module;
mod qualify;
pub mod trim;

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use mmtrace_format::table::{CallSite, SourceLocation, Tables};
use mmtrace_format::{CallSiteId, ModuleId, StackId};
use serde::Serialize;

use module::ModuleNames;

/// One function of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Frame {
    /// Its name, demangled, without the compiler's hash.
    pub function: Option<String>,
    /// The source file, as the compiler was given it.
    pub file: Option<String>,
    /// The line, from 1; the number of the location in an imported trace.
    pub line: Option<u32>,
    /// The column, from 1.
    pub column: Option<u32>,
    /// Whether the compiler put its code into the next frame's.
    pub inlined: bool,
    /// Where the code is, if nothing better is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<CodePlace>,
}

/// An instruction that could not be named.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct CodePlace {
    /// The executable or shared object.
    pub module: String,
    /// Bytes from where it was loaded.
    pub offset: u64,
}

impl Frame {
    /// Whether it belongs to a language's own library, not to the program.
    pub fn is_library(&self) -> bool {
        self.function.as_deref().is_some_and(trim::is_library)
    }
}

impl fmt::Display for Frame {
    /// The function if it is known, else the place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.function, &self.code) {
            (Some(function), _) => f.write_str(function),
            (None, Some(code)) => write!(f, "{}+{:#x}", code.module, code.offset),
            (None, None) => write!(f, "{}", Place(self)),
        }
    }
}

/// A frame's place in the source: `file:line`, as an editor wants it; failing that, its name.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a>(pub &'a Frame);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.file.as_deref().map(short), self.0.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}"),
            (Some(file), None) => f.write_str(file),
            (None, Some(line)) => write!(f, "location {line}"),
            (None, None) => match (&self.0.function, &self.0.code) {
                (Some(function), _) => f.write_str(function),
                (None, Some(code)) => write!(f, "{}+{:#x}", code.module, code.offset),
                (None, None) => f.write_str("unknown place"),
            },
        }
    }
}

/// A path without the folder that a package manager or the toolchain put it in: the name and version
/// of the crate say more.
fn short(path: &str) -> &str {
    if let Some((_, rest)) = path.split_once("/registry/src/") {
        return rest.split_once('/').map_or(path, |(_, path)| path);
    }
    path.strip_prefix("/rustc/")
        .and_then(|rest| rest.split_once('/'))
        .map_or(path, |(_, path)| path)
}

/// A stack's frame that people should look at: the innermost that is the program's own.
pub fn program_frame(stack: &[Frame]) -> Option<&Frame> {
    let own = |frame: &&Frame| !frame.is_library();
    // An inlined frame of a library may have lost its name: one that has a name is the better one.
    let named = stack.iter().find(|frame| frame.function.is_some() && own(frame));
    named.or_else(|| stack.iter().find(own)).or(stack.first())
}

/// What the program called of Go's library on the way to an event that does not say so itself: the
/// atomics and locks that a primitive is made of.
pub fn library_call<'a>(stack: &'a [Frame], operation: &str) -> Option<&'a str> {
    /// What is no more than the operation under another name.
    const OWN: [&str; 8] = [
        "runtime.",
        "sync/atomic.",
        "sync.(*Mutex)",
        "sync.(*RWMutex)",
        "sync.(*WaitGroup)",
        "sync.(*Cond)",
        "sync.(*Pool)",
        "sync.(*rlocker)",
    ];
    const MADE_OF: [&str; 5] = ["atomic-", "acquire", "release", "mutex-", "rwlock-"];

    if !MADE_OF.iter().any(|beginning| operation.starts_with(beginning)) {
        return None;
    }
    let outside = stack.iter().position(|frame| !frame.is_library())?;
    let called = stack[..outside].last()?.function.as_deref()?;
    let is_gos = !called.contains("::") && !called.starts_with('_');
    (is_gos && !OWN.iter().any(|own| called.starts_with(own))).then_some(called)
}

/// One ELF section of a module, as copied into the log.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its name, `.debug_info` and so on.
    pub name: String,
    /// The address that it has in the module.
    pub address: u64,
    /// What is in it, uncompressed.
    pub bytes: Rc<[u8]>,
}

/// Names for the stacks of one log. Modules are read when the first of their call sites is named.
pub struct Symbols<'log> {
    tables: &'log Tables,
    load: Box<dyn Fn(ModuleId) -> Vec<Section> + 'log>,
    /// The folder of the recorder's own sources.
    recorder_source: Option<String>,
    modules: HashMap<ModuleId, Option<ModuleNames>>,
    sites: HashMap<CallSiteId, Rc<[Frame]>>,
}

impl fmt::Debug for Symbols<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Symbols").field("sites", &self.sites.len()).finish_non_exhaustive()
    }
}

impl<'log> Symbols<'log> {
    /// Names by these tables, and the sections that `load` gives for a module.
    pub fn new(tables: &'log Tables, load: impl Fn(ModuleId) -> Vec<Section> + 'log) -> Self {
        let (modules, sites) = (HashMap::new(), HashMap::new());
        Self { tables, load: Box::new(load), recorder_source: None, modules, sites }
    }

    /// The same, with the folder that the recorder's own sources were in.
    #[must_use]
    pub fn with_recorder_source(mut self, folder: Option<String>) -> Self {
        self.recorder_source = folder;
        self
    }

    /// The stack's frames, innermost first, without the recorder's and the runtime's own.
    pub fn stack(&mut self, id: StackId) -> Vec<Frame> {
        let tables = self.tables;
        let sites: Vec<CallSiteId> = tables.frames(id).collect();
        let mut frames = Vec::with_capacity(sites.len());
        for &site in &sites {
            frames.extend_from_slice(&self.site(site));
        }
        let all = frames.clone();
        let mut frames = trim::trim(frames);
        if let (Some(leaf), Some(location)) = (frames.first_mut(), self.leaf_location(&sites)) {
            let file = tables.string(location.file).filter(|file| !file.is_empty());
            if !trim::is_machinery_file(&all, file.unwrap_or_default()) {
                // The compiler's paths are relative where those of debug information are whole.
                let is_same = |whole: &str, file: &str| {
                    whole.strip_suffix(file).is_some_and(|folder| folder.ends_with('/'))
                };
                match (leaf.file.as_deref(), file) {
                    (Some(whole), Some(file)) if is_same(whole, file) => {}
                    (_, Some(file)) => leaf.file = Some(file.to_owned()),
                    (_, None) => {}
                }
                leaf.line = some(location.line).or(leaf.line);
                leaf.column = some(location.column);
                leaf.code = None;
            }
        }
        frames
    }

    /// A string of the log's table; empty if it has none by this number.
    pub fn string(&self, id: mmtrace_format::StringId) -> &'log str {
        self.tables.string(id).unwrap_or_default()
    }

    /// What the compiler said of the place that the innermost call site stands for.
    fn leaf_location(&self, sites: &[CallSiteId]) -> Option<SourceLocation> {
        match self.tables.site(*sites.first()?)? {
            CallSite::Code { location, .. } => *location,
            CallSite::Source { location, .. } => Some(*location),
        }
    }

    /// What is at a call site: the function inlined deepest first. Never empty.
    fn site(&mut self, id: CallSiteId) -> Rc<[Frame]> {
        if let Some(frames) = self.sites.get(&id) {
            return Rc::clone(frames);
        }
        let frames: Rc<[Frame]> = match self.tables.site(id) {
            None => [Frame::default()].into(),
            Some(CallSite::Source { location, function }) => {
                let function = self.tables.string(*function).filter(|name| !name.is_empty());
                let file = self.tables.string(location.file).filter(|file| !file.is_empty());
                [Frame {
                    function: function.map(demangle),
                    file: file.map(str::to_owned),
                    line: some(location.line),
                    column: some(location.column),
                    ..Frame::default()
                }]
                .into()
            }
            Some(&CallSite::Code { module, offset, .. }) => self.code(module, offset).into(),
        };
        self.sites.insert(id, Rc::clone(&frames));
        frames
    }

    fn code(&mut self, module: ModuleId, offset: u64) -> Vec<Frame> {
        let load = &self.load;
        let names = self.modules.entry(module).or_insert_with(|| ModuleNames::new(&load(module)));
        let mut named = names.as_ref().map(|names| names.frames(offset)).unwrap_or_default();
        for frame in &mut named {
            qualify::qualify(frame, self.recorder_source.as_deref());
        }
        if !named.is_empty() {
            return named;
        }
        let path = self.tables.module(module).and_then(|module| self.tables.string(module.path));
        let module = path.unwrap_or("unknown module").to_owned();
        vec![Frame { code: Some(CodePlace { module, offset }), ..Frame::default() }]
    }
}

/// Numbers from 1, where 0 stands for "unknown".
fn some(number: u32) -> Option<u32> {
    (number != 0).then_some(number)
}

/// A Rust symbol as it was written, without its hash; any other name as it is.
fn demangle(name: &str) -> String {
    match rustc_demangle::try_demangle(name) {
        Ok(demangled) => format!("{demangled:#}"),
        Err(_) => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use mmtrace_format::StringId;
    use mmtrace_format::table::{Module, StackNode};

    use super::*;

    fn source(tables: &mut Tables, function: &str, line: u32, parent: StackId) -> StackId {
        let file = tables.intern_string("src/main.rs").0;
        let function = tables.intern_string(function).0;
        let location = SourceLocation { file, line, column: 5 };
        let site = tables.intern_site(CallSite::Source { location, function }).0;
        tables.intern_stack(StackNode { parent, site }).0
    }

    /// A call of a hook, which was told that `file` calls it.
    fn hooked(tables: &mut Tables, outer: StackId, file: &str, line: u32) -> StackId {
        let whole = tables.intern_string("/home/me/recorder/src/record.rs").0;
        let function = tables.intern_string("mmtrace_recorder::record::allocate").0;
        let location = SourceLocation { file: whole, line: 59, column: 5 };
        let site = tables.intern_site(CallSite::Source { location, function }).0;
        let hook = tables.intern_stack(StackNode { parent: outer, site }).0;
        let file = tables.intern_string(file).0;
        let location = SourceLocation { file, line, column: 8 };
        let site = tables.intern_site(CallSite::Source { location, function: StringId::EMPTY }).0;
        tables.intern_stack(StackNode { parent: hook, site }).0
    }

    fn nothing(_: ModuleId) -> Vec<Section> {
        Vec::new()
    }

    #[test]
    fn a_stack_is_named_innermost_first_and_demangled() {
        let mut tables = Tables::new();
        let outer = source(&mut tables, "app::main", 3, StackId::UNKNOWN);
        let inner = source(&mut tables, "_ZN3app4work17h0123456789abcdefE", 9, outer);
        let frames = Symbols::new(&tables, nothing).stack(inner);
        let names: Vec<String> = frames.iter().map(|f| format!("{f} {}", Place(f))).collect();
        assert_eq!(names, ["app::work src/main.rs:9", "app::main src/main.rs:3"]);
    }

    #[test]
    fn a_numbered_location_is_a_line_without_a_function() {
        let mut tables = Tables::new();
        let location = SourceLocation { file: StringId::EMPTY, line: 77, column: 0 };
        let site = tables.intern_site(CallSite::Source { location, function: StringId::EMPTY }).0;
        let stack = tables.intern_stack(StackNode { parent: StackId::UNKNOWN, site }).0;
        let frames = Symbols::new(&tables, nothing).stack(stack);
        assert_eq!(frames, [Frame { line: Some(77), ..Frame::default() }]);
        assert_eq!(frames[0].to_string(), "location 77");
    }

    #[test]
    fn code_without_symbols_is_named_by_module_and_offset_or_by_the_compiler() {
        let mut tables = Tables::new();
        let path = tables.intern_string("/usr/lib/libx.so").0;
        let module = tables.add_module(Module { path, ..Module::default() }).0;
        let site = tables.intern_site(CallSite::Code { module, offset: 0x1f, location: None }).0;
        let outer = tables.intern_stack(StackNode { parent: StackId::UNKNOWN, site }).0;
        let file = tables.intern_string("src/lib.rs").0;
        let location = Some(SourceLocation { file, line: 4, column: 2 });
        let site = tables.intern_site(CallSite::Code { module, offset: 0x2f, location }).0;
        let inner = tables.intern_stack(StackNode { parent: outer, site }).0;

        let frames = Symbols::new(&tables, nothing).stack(inner);
        assert_eq!(frames[0].to_string(), "src/lib.rs:4");
        assert_eq!(frames[1].to_string(), "/usr/lib/libx.so+0x1f");
    }

    #[test]
    fn the_compilers_word_goes_to_the_frame_that_called_the_recorder() {
        let mut tables = Tables::new();
        let outer = source(&mut tables, "app::work", 9, StackId::UNKNOWN);
        let leaf = hooked(&mut tables, outer, "src/real.rs", 21);
        let frames = Symbols::new(&tables, nothing).stack(leaf);
        assert_eq!(frames.len(), 1);
        assert_eq!(format!("{} {}", frames[0], Place(&frames[0])), "app::work src/real.rs:21");
    }

    #[test]
    fn a_place_inside_the_library_or_the_recorder_is_not_the_callers() {
        for machinery in ["/rustc/59807/library/core/src/ops/function.rs", "recorder/src/record.rs"]
        {
            let mut tables = Tables::new();
            let outer = source(&mut tables, "app::work", 9, StackId::UNKNOWN);
            let leaf = hooked(&mut tables, outer, machinery, 59);
            let frames = Symbols::new(&tables, nothing).stack(leaf);
            let shown = format!("{} {}", frames[0], Place(&frames[0]));
            assert_eq!(shown, "app::work src/main.rs:9", "{machinery}");
        }
    }

    #[test]
    fn what_gos_library_does_inside_is_said_to_be_its() {
        let stack = |functions: &[&str]| -> Vec<Frame> {
            let frame =
                |name: &&str| Frame { function: Some((*name).to_owned()), ..Frame::default() };
            functions.iter().map(frame).collect()
        };
        let map = stack(&["sync.(*entry).load", "sync.(*Map).Load", "main.work", "main.main"]);
        assert_eq!(library_call(&map, "atomic-load"), Some("sync.(*Map).Load"));
        assert_eq!(library_call(&map, "map-read"), None);
        let mutex = stack(&["sync.(*Mutex).Lock", "main.main"]);
        assert_eq!(library_call(&mutex, "mutex-lock"), None);
        assert_eq!(library_call(&stack(&["main.main"]), "mutex-lock"), None);
        let rust = stack(&["alloc::sync::Arc<T>::drop", "app::work"]);
        assert_eq!(library_call(&rust, "atomic-rmw"), None);
    }
}

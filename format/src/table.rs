//! Interned tables: strings, call sites, stacks and modules, each thing once.
//!
//! A writer mints identifiers through [`Tables`] and passes every new [`TableEntry`] on to the log
//! before an event names it; a reader applies the entries in any order per table, so that even a
//! log that ends in mid-air has a name for everything that its events name.

mod rows;

use std::collections::HashMap;

use foldhash::fast::RandomState;
use rows::Rows;

use crate::id::{CallSiteId, ModuleId, StackId, StringId};

/// A place in the program's source text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceLocation {
    /// The file; empty in imported traces that number their locations.
    pub file: StringId,
    /// The line, from 1; the location's number in such traces.
    pub line: u32,
    /// The column, from 1; 0 if unknown.
    pub column: u32,
}

/// A place in the program's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallSite {
    /// An instruction, to be named by the module's symbols.
    Code {
        /// The module it lies in.
        module: ModuleId,
        /// Bytes from the module's base to the call: a return address, less one.
        offset: u64,
        /// Where the program's source says it is, if the recorder was told by the compiler.
        location: Option<SourceLocation>,
    },
    /// A place that is known by its source alone.
    Source {
        /// Where it is.
        location: SourceLocation,
        /// The function around it; empty if unknown.
        function: StringId,
    },
}

/// A call site and what called the function that it lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StackNode {
    /// The rest of the stack; [`StackId::UNKNOWN`] at the outermost frame.
    pub parent: StackId,
    /// The innermost frame.
    pub site: CallSiteId,
}

/// An executable or shared object that was mapped while recording.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Module {
    /// Where it was loaded from.
    pub path: StringId,
    /// The linker's build id; empty if it has none.
    pub build_id: Vec<u8>,
    /// The address that offsets count from: the load bias.
    pub base: u64,
    /// How many bytes from there are its own.
    pub len: u64,
}

/// One new row of a table, as it is written to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableEntry {
    /// A string gets this identifier.
    String(StringId, String),
    /// A call site gets this identifier.
    CallSite(CallSiteId, CallSite),
    /// A stack gets this identifier. Its parent has a smaller one.
    Stack(StackId, StackNode),
    /// A module gets this identifier.
    Module(ModuleId, Module),
}

impl TableEntry {
    /// Bytes of what an entry has besides numbers.
    pub(crate) fn text_len(&self) -> usize {
        match self {
            Self::String(_, text) => text.len(),
            Self::Module(_, module) => module.build_id.len(),
            Self::CallSite(..) | Self::Stack(..) => 0,
        }
    }
}

/// The most rows that any table may have.
pub const TABLE_LEN_MAX: usize = 1 << 28;

/// An entry cannot be what a writer wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The identifier is out of all bounds.
    #[error("table entry number {found} is beyond the limit of {limit}")]
    TooLarge {
        /// The identifier's number.
        found: u32,
        /// The limit.
        limit: usize,
    },
    /// A stack must be made after its parent, so that stacks cannot go in circles.
    #[error("stack {stack} names {parent} as its parent, which is not older")]
    StackOrder {
        /// The stack.
        stack: StackId,
        /// Its alleged parent.
        parent: StackId,
    },
    /// Two entries say different things of one identifier.
    #[error("two different table entries have the number {number}")]
    Conflict {
        /// The identifier's number.
        number: u32,
    },
}

/// Everything that events name, by identifier and, for writers, by content.
///
/// Row 0 of strings, call sites and stacks stands for "nothing" and is always there.
#[derive(Clone, Debug)]
pub struct Tables {
    strings: Rows<Box<str>>,
    sites: Rows<CallSite>,
    stacks: Rows<StackNode>,
    modules: Rows<Module>,
    string_ids: HashMap<Box<str>, StringId, RandomState>,
    site_ids: HashMap<CallSite, CallSiteId, RandomState>,
    stack_ids: HashMap<StackNode, StackId, RandomState>,
}

impl Default for Tables {
    fn default() -> Self {
        Self::new()
    }
}

impl Tables {
    /// Tables with nothing but their rows 0.
    pub fn new() -> Self {
        Self {
            strings: Rows::new(Some("".into())),
            sites: Rows::new(None),
            stacks: Rows::new(None),
            modules: Rows::default(),
            string_ids: HashMap::from_iter([("".into(), StringId::EMPTY)]),
            site_ids: HashMap::default(),
            stack_ids: HashMap::default(),
        }
    }

    /// The identifier of a string, and the entry to write if it is new.
    pub fn intern_string(&mut self, text: &str) -> (StringId, Option<TableEntry>) {
        if let Some(&id) = self.string_ids.get(text) {
            return (id, None);
        }
        let id = StringId::new(self.strings.push(text.into()));
        self.string_ids.insert(text.into(), id);
        (id, Some(TableEntry::String(id, text.to_owned())))
    }

    /// The identifier of a call site, and the entry to write if it is new.
    pub fn intern_site(&mut self, site: CallSite) -> (CallSiteId, Option<TableEntry>) {
        if let Some(&id) = self.site_ids.get(&site) {
            return (id, None);
        }
        let id = CallSiteId::new(self.sites.push(site));
        self.site_ids.insert(site, id);
        (id, Some(TableEntry::CallSite(id, site)))
    }

    /// The identifier of a stack, and the entry to write if it is new.
    pub fn intern_stack(&mut self, node: StackNode) -> (StackId, Option<TableEntry>) {
        if let Some(&id) = self.stack_ids.get(&node) {
            return (id, None);
        }
        let id = StackId::new(self.stacks.push(node));
        self.stack_ids.insert(node, id);
        (id, Some(TableEntry::Stack(id, node)))
    }

    /// Adds a module, and gives the entry to write. Modules are not looked up by content.
    pub fn add_module(&mut self, module: Module) -> (ModuleId, TableEntry) {
        let id = ModuleId::new(self.modules.push(module.clone()));
        (id, TableEntry::Module(id, module))
    }

    /// Takes in an entry as read from a log.
    ///
    /// # Errors
    /// [`TableError`] if the entry cannot stand beside the others; the tables are then unchanged.
    pub fn apply(&mut self, entry: TableEntry) -> Result<(), TableError> {
        match entry {
            TableEntry::String(id, text) => {
                self.strings.put(id.as_u32(), text.clone().into_boxed_str())?;
                self.string_ids.entry(text.into_boxed_str()).or_insert(id);
            }
            TableEntry::CallSite(id, site) => {
                self.sites.put(id.as_u32(), site)?;
                self.site_ids.entry(site).or_insert(id);
            }
            TableEntry::Stack(id, node) => {
                if node.parent >= id {
                    return Err(TableError::StackOrder { stack: id, parent: node.parent });
                }
                self.stacks.put(id.as_u32(), node)?;
                self.stack_ids.entry(node).or_insert(id);
            }
            TableEntry::Module(id, module) => self.modules.put(id.as_u32(), module)?,
        }
        Ok(())
    }

    /// The string with this identifier.
    pub fn string(&self, id: StringId) -> Option<&str> {
        self.strings.get(id.index()).map(|text| &**text)
    }

    /// The call site with this identifier.
    pub fn site(&self, id: CallSiteId) -> Option<&CallSite> {
        self.sites.get(id.index())
    }

    /// The stack with this identifier: its innermost frame and its parent.
    pub fn stack(&self, id: StackId) -> Option<StackNode> {
        self.stacks.get(id.index()).copied()
    }

    /// The call sites of a stack, innermost first; empty for [`StackId::UNKNOWN`].
    pub fn frames(&self, id: StackId) -> impl Iterator<Item = CallSiteId> + '_ {
        // Ends: a parent is older than its child, `apply` saw to that.
        let mut next = id;
        std::iter::from_fn(move || {
            let node = self.stack(next)?;
            next = node.parent;
            Some(node.site)
        })
    }

    /// The module with this identifier.
    pub fn module(&self, id: ModuleId) -> Option<&Module> {
        self.modules.get(id.index())
    }

    /// Every module, by identifier.
    pub fn modules(&self) -> impl Iterator<Item = (ModuleId, &Module)> {
        self.modules.iter().map(|(number, module)| (ModuleId::new(number), module))
    }

    /// How many rows the table of stacks has, the empty row 0 included.
    pub fn stack_count(&self) -> usize {
        self.stacks.len() + 1
    }

    /// How many rows the table of call sites has, the empty row 0 included.
    pub fn site_count(&self) -> usize {
        self.sites.len() + 1
    }

    /// Every entry, in an order in which a reader can apply them.
    pub fn entries(&self) -> impl Iterator<Item = TableEntry> + '_ {
        let strings = self.strings.iter().skip(1);
        let strings =
            strings.map(|(n, text)| TableEntry::String(StringId::new(n), text.to_string()));
        let modules = self.modules().map(|(id, module)| TableEntry::Module(id, module.clone()));
        let sites = self.sites.iter();
        let sites = sites.map(|(n, site)| TableEntry::CallSite(CallSiteId::new(n), *site));
        let stacks = self.stacks.iter();
        let stacks = stacks.map(|(n, node)| TableEntry::Stack(StackId::new(n), *node));
        strings.chain(modules).chain(sites).chain(stacks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(line: u32) -> CallSite {
        let location = SourceLocation { file: StringId::EMPTY, line, column: 0 };
        CallSite::Source { location, function: StringId::EMPTY }
    }

    #[test]
    fn the_same_content_gets_the_same_identifier() {
        let mut tables = Tables::new();
        let (first, entry) = tables.intern_string("main.rs");
        assert!(entry.is_some());
        assert_eq!(tables.intern_string("main.rs"), (first, None));
        assert_eq!(tables.intern_string(""), (StringId::EMPTY, None));
    }

    #[test]
    fn entries_rebuild_the_tables() {
        let mut tables = Tables::new();
        tables.intern_string("a");
        let (outer, _) = tables.intern_site(site(1));
        let (inner, _) = tables.intern_site(site(2));
        let (parent, _) = tables.intern_stack(StackNode { parent: StackId::UNKNOWN, site: outer });
        let (leaf, _) = tables.intern_stack(StackNode { parent, site: inner });
        tables.add_module(Module { base: 7, ..Module::default() });

        let mut copy = Tables::new();
        for entry in tables.entries() {
            copy.apply(entry).unwrap();
        }
        assert_eq!(copy.frames(leaf).collect::<Vec<_>>(), [inner, outer]);
        assert_eq!(copy.string(StringId::new(1)), Some("a"));
        assert_eq!(copy.module(ModuleId::new(0)).unwrap().base, 7);
        assert_eq!(copy.entries().collect::<Vec<_>>(), tables.entries().collect::<Vec<_>>());
    }

    #[test]
    fn a_stack_cannot_be_its_own_ancestor() {
        let mut tables = Tables::new();
        let node = StackNode { parent: StackId::new(3), site: CallSiteId::new(1) };
        let error = tables.apply(TableEntry::Stack(StackId::new(3), node)).unwrap_err();
        assert!(matches!(error, TableError::StackOrder { .. }));
    }

    #[test]
    fn a_hostile_number_allocates_nothing() {
        let mut tables = Tables::new();
        let entry = TableEntry::String(StringId::new(u32::MAX), "x".into());
        assert!(matches!(tables.apply(entry), Err(TableError::TooLarge { .. })));
    }

    #[test]
    fn two_meanings_for_one_identifier_are_refused() {
        let mut tables = Tables::new();
        tables.apply(TableEntry::String(StringId::new(1), "x".into())).unwrap();
        tables.apply(TableEntry::String(StringId::new(1), "x".into())).unwrap();
        let entry = TableEntry::String(StringId::new(1), "y".into());
        assert_eq!(tables.apply(entry), Err(TableError::Conflict { number: 1 }));
    }
}

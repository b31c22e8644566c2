//! Call sites and stacks get their numbers here, once for the whole process.

use std::collections::HashMap;
use std::ops::Range;

use mmtrace_format::table::{CallSite, Module, StackNode, TableEntry, Tables};
use mmtrace_format::{CallSiteId, ModuleId, StackId, StringId};

use crate::hash::WordHash;
use crate::module::{self, LoadedModule};

/// The tables of the log that is being written.
///
/// Whatever is new goes to the log (`publish`) before its number is given out, so that no event
/// names what the log does not have.
pub(super) struct Sites {
    tables: Tables,
    modules: Vec<(Range<u64>, u64, ModuleId)>,
    /// By return address; none for an address in no module.
    by_address: HashMap<u64, Option<CallSiteId>, WordHash>,
    load_count: u64,
}

impl Sites {
    pub(super) fn new() -> Self {
        Self {
            tables: Tables::new(),
            modules: Vec::new(),
            by_address: HashMap::default(),
            load_count: 0,
        }
    }

    /// The number of a string.
    pub(super) fn string(&mut self, text: &str, publish: &mut dyn FnMut(TableEntry)) -> StringId {
        let (id, entry) = self.tables.intern_string(text);
        entry.into_iter().for_each(publish);
        id
    }

    /// Takes in the modules that are mapped and not known yet.
    pub(super) fn look_at_modules(
        &mut self,
        publish: &mut dyn FnMut(TableEntry),
    ) -> Vec<(ModuleId, LoadedModule)> {
        self.load_count = module::load_count();
        let mut new = Vec::new();
        for module in module::loaded() {
            if self.modules.iter().any(|(range, ..)| *range == module.range) {
                continue;
            }
            let path = self.string(&module.path.to_string_lossy(), publish);
            let (id, entry) = self.tables.add_module(Module {
                path,
                build_id: module.build_id.clone(),
                base: module.base,
                len: module.range.end - module.base,
            });
            publish(entry);
            self.modules.push((module.range.clone(), module.base, id));
            new.push((id, module));
        }
        new
    }

    /// The stack of what was called from `address`, a return address in a function that was called
    /// from `callers`. An address in no module is left out.
    pub(super) fn called_from(
        &mut self,
        callers: StackId,
        address: u64,
        publish: &mut dyn FnMut(TableEntry),
    ) -> StackId {
        let Some(site) = self.site(address, publish) else { return callers };
        let (id, entry) = self.tables.intern_stack(StackNode { parent: callers, site });
        entry.into_iter().for_each(publish);
        id
    }

    fn site(&mut self, address: u64, publish: &mut dyn FnMut(TableEntry)) -> Option<CallSiteId> {
        if let Some(&known) = self.by_address.get(&address) {
            return known;
        }
        let mut found = self.module_of(address);
        if found.is_none() && module::load_count() != self.load_count {
            self.look_at_modules(publish);
            found = self.module_of(address);
        }
        let id = found.map(|(module, base)| {
            let site = CallSite::Code { module, offset: address - 1 - base, location: None };
            let (id, entry) = self.tables.intern_site(site);
            entry.into_iter().for_each(publish);
            id
        });
        self.by_address.insert(address, id);
        id
    }

    fn module_of(&self, address: u64) -> Option<(ModuleId, u64)> {
        let found = self.modules.iter().find(|(range, ..)| range.contains(&address));
        found.map(|&(_, base, id)| (id, base))
    }
}

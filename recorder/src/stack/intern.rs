//! Stacks get their numbers here, once for the whole process.

use std::collections::HashMap;
use std::panic::Location;

use mmtrace_format::table::{CallSite, Module, SourceLocation, StackNode, TableEntry, Tables};
use mmtrace_format::{CallSiteId, ModuleId, StackId, StringId};

use super::Frame;
use crate::hash::WordHash;
use crate::module::LoadedModule;

/// The tables of the log that is being written.
///
/// Whatever is new goes to the log (`publish`) before its number is given out, so that no event
/// names what the log does not have.
pub(crate) struct Interner {
    tables: Tables,
    modules: Vec<(LoadedModule, ModuleId)>,
    /// By return address and, for the innermost frame, the compiler's location.
    sites: HashMap<(u64, usize), CallSiteId, WordHash>,
}

impl Interner {
    pub(crate) fn new() -> Self {
        Self { tables: Tables::new(), modules: Vec::new(), sites: HashMap::default() }
    }

    /// The number of a string.
    pub(crate) fn string(&mut self, text: &str, publish: &mut dyn FnMut(TableEntry)) -> StringId {
        let (id, entry) = self.tables.intern_string(text);
        entry.into_iter().for_each(publish);
        id
    }

    /// Takes in a module, unless it is known. Another one at its addresses is gone.
    pub(crate) fn add_module(
        &mut self,
        module: &LoadedModule,
        publish: &mut dyn FnMut(TableEntry),
    ) -> Option<ModuleId> {
        let is_same = |(known, _): &&(LoadedModule, ModuleId)| {
            known.range == module.range && known.path == module.path
        };
        if self.modules.iter().find(is_same).is_some() {
            return None;
        }
        let overlaps = |known: &LoadedModule| {
            known.range.start < module.range.end && module.range.start < known.range.end
        };
        self.modules.retain(|(known, _)| !overlaps(known));
        self.sites.retain(|&(address, _), _| !module.range.contains(&address));
        let path = self.string(&module.path.to_string_lossy(), publish);
        let (id, entry) = self.tables.add_module(Module {
            path,
            build_id: module.build_id.clone(),
            base: module.base,
            len: module.range.end - module.base,
        });
        publish(entry);
        self.modules.push((module.clone(), id));
        Some(id)
    }

    /// The number of a stack: where `location` is, at `pc`, called from `frames`.
    ///
    /// `pc` 0: only the location is known. A frame in no module (generated code) is left out.
    pub(crate) fn stack(
        &mut self,
        pc: u64,
        location: Option<&'static Location<'static>>,
        frames: &[Frame],
        publish: &mut dyn FnMut(TableEntry),
    ) -> StackId {
        let mut stack = StackId::UNKNOWN;
        for frame in frames.iter().rev() {
            if let Some(site) = self.site(frame.return_address, None, publish) {
                stack = self.node(stack, site, publish);
            }
        }
        match self.site(pc, location, publish) {
            Some(site) => self.node(stack, site, publish),
            None => stack,
        }
    }

    fn node(
        &mut self,
        parent: StackId,
        site: CallSiteId,
        publish: &mut dyn FnMut(TableEntry),
    ) -> StackId {
        let (id, entry) = self.tables.intern_stack(StackNode { parent, site });
        entry.into_iter().for_each(publish);
        id
    }

    fn site(
        &mut self,
        address: u64,
        location: Option<&'static Location<'static>>,
        publish: &mut dyn FnMut(TableEntry),
    ) -> Option<CallSiteId> {
        let key = (address, location.map_or(0, |location| std::ptr::from_ref(location).addr()));
        if let Some(&known) = self.sites.get(&key) {
            return Some(known);
        }
        let location = location.map(|location| SourceLocation {
            file: self.string(location.file(), publish),
            line: location.line(),
            column: location.column(),
        });
        let module = self.modules.iter().find(|(module, _)| module.range.contains(&address));
        let site = match (module, location) {
            (Some((module, id)), location) => {
                CallSite::Code { module: *id, offset: address - 1 - module.base, location }
            }
            (None, Some(location)) => CallSite::Source { location, function: StringId::EMPTY },
            (None, None) => return None,
        };
        let (id, entry) = self.tables.intern_site(site);
        entry.into_iter().for_each(publish);
        self.sites.insert(key, id);
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(return_address: u64) -> Frame {
        Frame { return_address, slot: 0 }
    }

    #[test]
    fn every_entry_is_out_before_its_number_and_only_once() {
        let mut interner = Interner::new();
        let program = crate::module::loaded().swap_remove(0);
        let base = program.range.start;
        let mut log = Tables::new();
        let mut entries = 0;
        let mut publish = |entry| {
            entries += 1;
            log.apply(entry).unwrap();
        };
        assert!(interner.add_module(&program, &mut publish).is_some());
        assert!(interner.add_module(&program, &mut publish).is_none());
        let here = Location::caller();
        let frames = [frame(base + 20), frame(base + 30)];
        let stack = interner.stack(base + 10, Some(here), &frames, &mut publish);
        assert_eq!(interner.stack(base + 10, Some(here), &frames, &mut publish), stack);
        // Path, module, file, three sites, three stacks.
        assert_eq!(entries, 9);
        let sites: Vec<_> = log.frames(stack).map(|site| *log.site(site).unwrap()).collect();
        let CallSite::Code { offset, location: Some(location), .. } = sites[0] else { panic!() };
        assert_eq!(offset, base + 10 - 1 - program.base);
        assert_eq!(log.string(location.file), Some(here.file()));
        assert_eq!(location.line, here.line());
        assert!(matches!(sites[2], CallSite::Code { location: None, .. }));
        assert_eq!(sites.len(), 3);
    }

    #[test]
    fn without_a_module_the_location_is_the_stack() {
        let mut interner = Interner::new();
        let here = Location::caller();
        let stack = interner.stack(0, Some(here), &[frame(0x1234)], &mut |_| ());
        assert_ne!(stack, StackId::UNKNOWN);
        assert_eq!(interner.stack(0, None, &[], &mut |_| ()), StackId::UNKNOWN);
    }
}

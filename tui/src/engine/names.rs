//! Names of threads, places and stacks, each worked out once.

use std::collections::HashMap;

use mmtrace_analyzer::symbol::{Frame, Place, Symbols, program_frame};
use mmtrace_format::{Log, StackId, StringId, ThreadId};

/// Stacks whose names are kept.
const STACKS_KEPT: usize = 4096;

/// Names of one log.
pub struct Names<'log> {
    log: &'log Log,
    symbols: Symbols<'log>,
    stacks: HashMap<StackId, std::rc::Rc<[Frame]>>,
}

impl std::fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").field("stacks", &self.stacks.len()).finish_non_exhaustive()
    }
}

impl<'log> Names<'log> {
    /// Names from a log's tables and symbols.
    pub fn new(log: &'log Log, symbols: Symbols<'log>) -> Self {
        Self { log, symbols, stacks: HashMap::new() }
    }

    /// A string of the log; empty if there is none by this number.
    pub fn string(&self, id: StringId) -> &'log str {
        self.log.tables().string(id).unwrap_or_default()
    }

    /// A thread in words: `t3 worker-2`.
    pub fn thread(&self, thread: ThreadId, name: Option<StringId>) -> String {
        match name.map(|name| self.string(name)).filter(|name| !name.is_empty()) {
            Some(name) => format!("{thread} {name}"),
            None if thread == ThreadId::MAIN => format!("{thread} main"),
            None => thread.to_string(),
        }
    }

    /// A stack's frames, innermost first.
    pub fn stack(&mut self, stack: StackId) -> std::rc::Rc<[Frame]> {
        if let Some(frames) = self.stacks.get(&stack) {
            return std::rc::Rc::clone(frames);
        }
        if self.stacks.len() >= STACKS_KEPT {
            self.stacks.clear();
        }
        let frames: std::rc::Rc<[Frame]> = self.symbols.stack(stack).into();
        self.stacks.insert(stack, std::rc::Rc::clone(&frames));
        frames
    }

    /// A stack's frames as lines.
    pub fn stack_lines(&mut self, stack: StackId) -> Vec<String> {
        if stack == StackId::UNKNOWN {
            return Vec::new();
        }
        self.stack(stack).iter().map(frame_line).collect()
    }

    /// The place of a stack that people should look at, as one line.
    pub fn site(&mut self, stack: StackId) -> Option<String> {
        if stack == StackId::UNKNOWN {
            return None;
        }
        program_frame(&self.stack(stack)).map(frame_line)
    }

    /// The same, shorter: the file's name and the line, then the function, as far as they are known.
    pub fn spot(&mut self, stack: StackId) -> Option<String> {
        let frames = self.stack(stack);
        let frame = program_frame(&frames)?;
        let place = Place(frame).to_string();
        let place = narrow(place.rsplit('/').next().unwrap_or(&place));
        Some(match &frame.function {
            Some(function) if frame.file.is_some() => format!("{place} {function}"),
            Some(function) => function.clone(),
            None => place,
        })
    }
}

/// A file's name and line, so short that the line is in sight.
fn narrow(place: &str) -> String {
    /// Characters of a name that is cut.
    const KEPT: usize = 8;
    match place.rsplit_once(':') {
        Some((file, line)) if file.chars().count() > KEPT + 4 => {
            let kept: String = file.chars().take(KEPT).collect();
            format!("{kept}..:{line}")
        }
        _ => place.to_owned(),
    }
}

/// A frame on one line: function, and where it is.
pub(crate) fn frame_line(frame: &Frame) -> String {
    let place = Place(frame).to_string();
    match &frame.function {
        Some(function) if *function != place => format!("{function}  {}", short(&place)),
        _ => short(&place),
    }
}

/// The end of a path: what is before the last three parts says little.
pub(crate) fn short(place: &str) -> String {
    let parts: Vec<&str> = place.rsplitn(4, '/').collect();
    if parts.len() < 4 {
        return place.to_owned();
    }
    format!("{}/{}/{}", parts[2], parts[1], parts[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_name_leaves_room_for_its_line() {
        assert_eq!(narrow("semaphore_test.go:145"), "semaphor..:145");
        assert_eq!(narrow("main.go:21"), "main.go:21");
        assert_eq!(narrow("an unknown place"), "an unknown place");
    }
}

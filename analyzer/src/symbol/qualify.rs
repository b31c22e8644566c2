//! Paths for functions that debug information names without one.
//!
//! A program built with line tables alone (`debug = "line-tables-only"`) has bare names for what was
//! inlined: `call_once`, `lock`. Whether such a frame is the program's is then told by its file: the
//! languages' own libraries and the recorder have known folders, in which the file is the module.
//! Such names have type arguments, which symbols do not have: without them, all instances of a
//! function are one place of the program.

use super::Frame;

/// Takes the type arguments off a bare name, and gives one of the standard library or of the recorder
/// its path.
pub(super) fn qualify(frame: &mut Frame, recorder_source: Option<&str>) {
    let Some(function) = &frame.function else { return };
    // The type arguments may have paths when the name has none.
    let bare = function.split('<').next().unwrap_or(function);
    if bare.is_empty() || bare.contains("::") {
        return;
    }
    let bare = bare.to_owned();
    let Some(file) = &frame.file else { return };
    let recorder = recorder_source.and_then(|folder| file.strip_prefix(folder));
    let module = match (recorder, library(file)) {
        (Some(path), _) => module_of("mmtrace_recorder", path),
        (None, Some((name, path))) => module_of(name, path),
        (None, None) => {
            frame.function = Some(bare);
            return;
        }
    };
    frame.function = Some(format!("{module}::{bare}"));
}

/// A file of the standard library: its crate, and the path below that crate's sources.
fn library(file: &str) -> Option<(&str, &str)> {
    let (_, path) = file.split_once("/library/")?;
    let is_rust = file.starts_with("/rustc/") || file.contains("/lib/rustlib/src/rust/library/");
    let (name, path) = path.split_once("/src/")?;
    (is_rust && !name.contains('/')).then_some((name, path))
}

/// The module that a file holds: `sync/mutex.rs` is `sync::mutex`.
fn module_of(name: &str, path: &str) -> String {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    let mut module = name.to_owned();
    for part in path.split('/').filter(|part| !matches!(*part, "" | "lib" | "mod" | "main")) {
        module.push_str("::");
        module.push_str(part);
    }
    module
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qualified(function: &str, file: &str) -> String {
        let mut frame = Frame {
            function: Some(function.to_owned()),
            file: Some(file.to_owned()),
            ..Frame::default()
        };
        qualify(&mut frame, Some("/home/me/recorder/src/"));
        frame.function.unwrap()
    }

    #[test]
    fn the_file_is_the_module_in_the_library_and_in_the_recorder() {
        let file = "/rustc/59807/library/core/src/ops/function.rs";
        assert_eq!(qualified("call_once<F, ()>", file), "core::ops::function::call_once");
        let file = "/root/.rustup/lib/rustlib/src/rust/library/std/src/sys/thread/mod.rs";
        assert_eq!(qualified("spawn<a::B>", file), "std::sys::thread::spawn");
        let file = "/home/me/recorder/src/sync/mutex.rs";
        assert_eq!(qualified("lock", file), "mmtrace_recorder::sync::mutex::lock");
        assert_eq!(qualified("x", "/home/me/recorder/src/lib.rs"), "mmtrace_recorder::x");
    }

    #[test]
    fn names_with_a_path_and_the_programs_own_stay_as_they_are() {
        let file = "/rustc/59807/library/core/src/ops/function.rs";
        assert_eq!(qualified("core::ops::f", file), "core::ops::f");
        assert_eq!(qualified("serve", "/home/me/app/src/library/src/main.rs"), "serve");
        assert_eq!(qualified("serve", "/home/me/app/src/main.rs"), "serve");
        assert_eq!(qualified("serve<a::B>", "/home/me/app/src/main.rs"), "serve");
    }
}

//! Which frames of a stack are not the program's: the recorder's, and those that start threads.

use super::Frame;

/// Functions of the recorder itself, as paths and as `impl` paths.
const RECORDER: [&str; 2] = ["mmtrace_recorder::", "mmtrace_recorder["];

/// Where a thread's or the program's own code begins: this frame and all outside it are machinery.
const BOUNDARIES: [&str; 5] = [
    "std::sys::backtrace::__rust_begin_short_backtrace",
    "std::sys_common::backtrace::__rust_begin_short_backtrace",
    "runtime.goexit",
    "runtime.main",
    "testing.tRunner",
];

/// What runs between a boundary and the program, or starts a thread where there is no boundary.
const STARTERS: [&str; 15] = [
    "runtime.doInit",
    "std::thread::",
    "std::rt::",
    "std::panic::",
    "std::panicking::",
    "std::sys::",
    "std::sys_common::",
    "core::panic::",
    "core::ops::function::",
    "alloc::boxed::Box",
    "test::",
    "__libc_start",
    "_start",
    "clone",
    "start_thread",
];

/// What Go's runtime does on the way from the program to a hook: parking, starting goroutines,
/// allocating, and telling of all that.
const GO_PLUMBING: [&str; 7] = [
    "runtime.",
    "internal/runtime/",
    "internal/race.",
    "internal/sync.",
    "runtime/internal/",
    "sync.mmtrace",
    "sync.(*mmtrace",
];

/// Functions of Go's runtime that stand for something the program says: operations on channels and
/// maps, copying, growing, finalizers.
const GO_OPERATIONS: [&str; 11] = [
    "runtime.chan",
    "runtime.closechan",
    "runtime.select",
    "runtime.map",
    "runtime.growslice",
    "runtime.slicecopy",
    "runtime.memmove",
    "runtime.gopanic",
    "runtime.block",
    "runtime.SetFinalizer",
    "runtime.AddCleanup",
];

/// Paths of Rust's own libraries.
const RUST_LIBRARIES: [&str; 6] =
    ["std::", "core::", "alloc::", "hashbrown::", "__rust_", "__rustc::"];

/// The packages of Go's own library. A program's own begin with `main.` or with the path of a
/// module.
const GO_LIBRARIES: [&str; 66] = [
    "archive/",
    "bufio.",
    "bytes.",
    "cmp.",
    "compress/",
    "container/",
    "context.",
    "crypto.",
    "crypto/",
    "database/sql",
    "debug/",
    "embed.",
    "encoding.",
    "encoding/",
    "errors.",
    "expvar.",
    "flag.",
    "fmt.",
    "go/",
    "hash.",
    "hash/",
    "html.",
    "html/",
    "image.",
    "image/",
    "index/",
    "internal/",
    "io.",
    "io/",
    "iter.",
    "log.",
    "log/",
    "maps.",
    "math.",
    "math/",
    "mime.",
    "mime/",
    "net.",
    "net/",
    "os.",
    "os/",
    "path.",
    "path/",
    "plugin.",
    "reflect.",
    "regexp.",
    "regexp/",
    "runtime.",
    "runtime/",
    "slices.",
    "sort.",
    "strconv.",
    "strings.",
    "structs.",
    "sync.",
    "sync/",
    "syscall.",
    "testing.",
    "testing/",
    "text/",
    "time.",
    "unicode.",
    "unicode/",
    "unique.",
    "vendor/",
    "weak.",
];

/// A stack without the recorder's frames at its inner end, and without what starts threads at its
/// outer end. A stack that would be left empty stays as it is.
pub fn trim(mut frames: Vec<Frame>) -> Vec<Frame> {
    let inner = recorder_len(&frames);
    let boundary =
        frames.iter().position(|frame| function(frame, |name| starts(name, &BOUNDARIES)));
    let mut outer = boundary.unwrap_or(frames.len());
    while outer > inner && starts_program(&frames[..outer]) {
        outer -= 1;
    }
    if inner >= outer {
        return frames;
    }
    frames.truncate(outer);
    let inner = inner.max(go_plumbing_len(&frames));
    frames.drain(..inner);
    frames
}

/// Whether nothing but Go's runtime is there: a goroutine of its own, such as the collector's.
pub fn is_go_runtime(frames: &[Frame]) -> bool {
    !frames.is_empty() && frames.iter().all(is_go_plumbing)
}

/// How many frames at the inner end are of Go's runtime and tell nothing. One that the program has
/// called for an operation of its own stays, and so does a stack of nothing else.
fn go_plumbing_len(frames: &[Frame]) -> usize {
    let plumbing = frames.iter().take_while(|frame| is_go_plumbing(frame)).count();
    let is_operation = |frame: &Frame| function(frame, |name| starts(name, &GO_OPERATIONS));
    match frames.get(..plumbing).and_then(<[Frame]>::last) {
        _ if plumbing == frames.len() => 0,
        Some(called) if is_operation(called) => plumbing - 1,
        _ => plumbing,
    }
}

fn is_go_plumbing(frame: &Frame) -> bool {
    function(frame, |name| starts(name, &GO_PLUMBING))
}

/// Whether a place that the recorder was told is its own or the library's: allocators, and closures
/// called through a pointer, are not told who calls them.
pub(super) fn is_machinery_file(frames: &[Frame], file: &str) -> bool {
    // The compiler has relative paths where debug information has whole ones.
    let is_there = |frame: &Frame| frame.file.as_ref().is_some_and(|path| path.ends_with(file));
    let mut recorder = frames[..recorder_len(frames)].iter().filter(|frame| is_recorder(frame));
    file.starts_with("/rustc/") || (!file.is_empty() && recorder.any(is_there))
}

/// How many frames at the inner end are the recorder's.
fn recorder_len(frames: &[Frame]) -> usize {
    let inner = frames.iter().take_while(|frame| is_recorder_or_glue(frame)).count();
    // Glue is only cut off together with the recorder around it.
    frames[..inner].iter().rposition(is_recorder).map_or(0, |last| last + 1)
}

/// Whether a function belongs to a language's own library.
pub fn is_library(function: &str) -> bool {
    starts(function, &RUST_LIBRARIES) || GO_LIBRARIES.iter().any(|path| function.starts_with(path))
}

fn is_recorder(frame: &Frame) -> bool {
    function(frame, |name| starts(name, &RECORDER))
}

/// A frame without a function is glue, too: the place that a hook was told, before its own frames.
fn is_recorder_or_glue(frame: &Frame) -> bool {
    is_recorder(frame)
        || frame.function.is_none()
        || function(frame, |name| name.starts_with("core::") || name.starts_with("__rust"))
}

/// Whether the outermost of these frames only starts the program or a thread.
fn starts_program(frames: &[Frame]) -> bool {
    let starter = |frame| is_recorder(frame) || function(frame, |name| starts(name, &STARTERS));
    match frames {
        [] => false,
        // The linker's `main`, if the runtime's entry is what it calls; not a program's own.
        [.., inner, outer] if function(outer, |name| name == "main") => starter(inner),
        [.., outer] => starter(outer),
    }
}

fn function(frame: &Frame, is: impl Fn(&str) -> bool) -> bool {
    frame.function.as_deref().is_some_and(is)
}

/// Whether a path begins with one of these, be it as `<a::B as c::D>::e`, which is of `a` or of `c`.
fn starts(name: &str, prefixes: &[&str]) -> bool {
    let (own, of_trait) = match name.strip_prefix('<') {
        None => (name, None),
        Some(path) => (path.trim_start_matches('&'), path.split_once(" as ").map(|(_, t)| t)),
    };
    let begins = |path: &str| prefixes.iter().any(|prefix| path.starts_with(prefix));
    // `<app::T as core::fmt::Debug>::fmt` is the program's: the type decides, a generic one cannot.
    let is_generic = !own.split(" as ").next().unwrap_or(own).contains("::");
    begins(own) || (is_generic && of_trait.is_some_and(begins))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trimmed(names: &[&str]) -> Vec<String> {
        let frame = |name: &&str| Frame { function: Some((*name).to_owned()), ..Frame::default() };
        let frames = trim(names.iter().map(frame).collect());
        frames.into_iter().filter_map(|frame| frame.function).collect()
    }

    #[test]
    fn the_recorder_is_cut_off_inside_and_thread_starting_outside() {
        let frames = trimmed(&[
            "mmtrace_recorder::log::push",
            "core::option::Option<T>::map",
            "<mmtrace_recorder::sync::Mutex<T> as core::ops::deref::Deref>::deref",
            "alloc::vec::Vec<T>::push",
            "app::work",
            "app::main::{{closure}}",
            "mmtrace_recorder::thread::spawn::{{closure}}",
            "std::sys::backtrace::__rust_begin_short_backtrace",
            "<F as core::ops::function::FnOnce>::call_once",
            "std::sys::thread::unix::Thread::new::thread_start",
        ]);
        assert_eq!(frames, ["alloc::vec::Vec<T>::push", "app::work", "app::main::{{closure}}"]);
    }

    #[test]
    fn a_place_without_a_function_goes_with_the_recorder_behind_it_and_stays_alone() {
        let named = |name: &str| Frame { function: Some(name.to_owned()), ..Frame::default() };
        let place = Frame { line: Some(7), ..Frame::default() };
        let recorded = [place.clone(), named("mmtrace_recorder::cell::write"), named("app::work")];
        assert_eq!(trim(recorded.to_vec()), [named("app::work")]);
        let imported = [place.clone(), place];
        assert_eq!(trim(imported.to_vec()), imported);
    }

    #[test]
    fn go_stacks_end_where_the_runtime_begins() {
        assert_eq!(trimmed(&["main.worker", "runtime.goexit"]), ["main.worker"]);
        assert_eq!(trimmed(&["main.main", "runtime.main", "runtime.goexit"]), ["main.main"]);
    }

    #[test]
    fn the_way_from_a_go_program_to_its_runtime_is_left_out_but_for_the_operation() {
        let names = ["runtime.gopark", "runtime.chanrecv", "runtime.chanrecv1", "main.worker"];
        assert_eq!(trimmed(&names), ["runtime.chanrecv1", "main.worker"]);
        let names = ["runtime.newproc1", "runtime.systemstack", "runtime.newproc", "main.main"];
        assert_eq!(trimmed(&names), ["main.main"]);
        let names =
            ["runtime.race_Event", "internal/race.Event", "internal/sync.(*Mutex).Lock", "main.f"];
        assert_eq!(trimmed(&names), ["main.f"]);
        let names = ["main.work", "runtime.doInit1", "runtime.main", "runtime.goexit"];
        assert_eq!(trimmed(&names), ["main.work"]);
    }

    #[test]
    fn a_goroutine_of_the_runtime_is_known_by_its_stack() {
        let frames = |names: &[&str]| -> Vec<Frame> {
            let named = |name: &&str| Some((*name).to_owned());
            names.iter().map(|n| Frame { function: named(n), ..Frame::default() }).collect()
        };
        assert!(is_go_runtime(&frames(&["runtime.gopark", "runtime.bgsweep"])));
        assert!(!is_go_runtime(&frames(&["runtime.gopark", "main.main"])));
        assert!(!is_go_runtime(&[]));
    }

    #[test]
    fn the_linkers_main_goes_and_a_programs_own_stays() {
        let rust = ["app::main", "std::rt::lang_start", "main", "__libc_start_call_main", "_start"];
        assert_eq!(trimmed(&rust), ["app::main"]);
        assert_eq!(trimmed(&["work", "main", "_start"]), ["work", "main"]);
    }

    #[test]
    fn library_code_inside_the_program_stays() {
        let names = ["core::slice::sort", "app::sort_all"];
        assert_eq!(trimmed(&names), names);
    }

    #[test]
    fn a_stack_of_nothing_but_machinery_stays_as_it_is() {
        let names = ["mmtrace_recorder::session::start", "std::rt::lang_start"];
        assert_eq!(trimmed(&names), names);
    }

    #[test]
    fn an_impl_belongs_to_its_type() {
        assert!(is_library("<alloc::vec::Vec<T> as core::clone::Clone>::clone"));
        assert!(is_library("<T as core::convert::Into<U>>::into"));
        assert!(!is_library("<app::Thing as core::fmt::Debug>::fmt"));
        assert!(!is_library("app::run"));
    }
}

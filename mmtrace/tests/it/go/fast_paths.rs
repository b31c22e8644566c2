//! The assembly records what the C functions record that it stands for.
//!
//! One program is built twice, the second time without the assembly: its file is taken out of the
//! overlay. Both record every access of the main goroutine, in the order of the program: the same
//! kinds and sizes, and the same ones in the same context.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use mmtrace_fixtures::go;
use serde_json::Value;

use crate::transcript::{Folder, Run};

/// Deep and shallow calls, panics that skip functions, scalars, ranges of several sizes, globals:
/// about twice what a chunk holds. No package of Go's that does things of its own in between.
const PROGRAM: &str = r#"package main

type node struct {
	next  *node
	value [3]int
	name  string
}

var table [64]int
var long, copied [40]int
var sink []int

//go:noinline
func leaf(n *node, i int) int {
	n.value[i%3]++
	table[i%64] += n.value[0]
	return table[(i+1)%64]
}

//go:noinline
func nested(n *node, depth int) int {
	if depth == 0 {
		return leaf(n, depth)
	}
	table[depth]++
	s := nested(n.next, depth-1)
	leaf(n, s&31)
	return s
}

//go:noinline
func panics(n *node, depth int) {
	if depth == 0 {
		panic("skips functions")
	}
	n.value[1]++
	panics(n, depth-1)
}

//go:noinline
func recovers(n *node) {
	defer func() {
		recover()
		n.value[2]++
	}()
	panics(n, 5)
}

func main() {
	a, b := &node{name: "a"}, &node{name: "b"}
	a.next, b.next = b, a
	sink = make([]int, 100)
	for round := 0; round < 600; round++ {
		nested(a, 10+round%7)
		recovers(a)
		copied = long
		*b = node{next: a, value: a.value, name: a.name}
		copy(sink[round%50:], copied[:round%40])
	}
}
"#;

/// The accesses of the main goroutine, in its order: kind and size, and which context it is, by first
/// appearance.
fn accesses(folder: &Folder, program: &Path, log: &str, full: &str) -> Vec<(String, usize)> {
    let recorded = Command::new(program)
        .env("MMTRACE_LOG", folder.path(log))
        .env("MMTRACE_FULL", full)
        .env("GOMAXPROCS", "1")
        .env("GOGC", "off")
        .output()
        .unwrap();
    assert!(recorded.status.success(), "{recorded:?}");
    let dump = folder.mmtrace(&["dump", log]);
    assert_eq!(dump.code, 0, "{}", dump.stderr);
    let mut contexts = HashMap::new();
    let own = dump.stdout.lines().filter_map(|line| line.strip_prefix("t0 "));
    own.map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let [kind, _address, size, stack] = words[..] else { panic!("no access: {line}") };
        let next = contexts.len();
        (format!("{kind} {size}"), *contexts.entry(stack.to_owned()).or_insert(next))
    })
    .collect()
}

/// The one overlay in a folder of caches.
fn overlay(caches: &Path) -> PathBuf {
    let folders = std::fs::read_dir(caches.join("mmtrace")).unwrap().flatten();
    let mut tables = folders.map(|entry| entry.path().join("overlay.json"));
    tables.find(|table| table.exists()).expect("mmtrace go has made an overlay")
}

#[test]
fn the_assembly_records_what_the_c_functions_record() {
    let Some(mut go) = go::command("the_assembly_records_what_the_c_functions_record") else {
        return;
    };
    let cache = String::from_utf8(go.args(["env", "GOCACHE"]).output().unwrap().stdout).unwrap();
    let folder = Folder::new();
    folder.write("go.mod", b"module example.org/fast\n\ngo 1.22\n");
    folder.write("main.go", PROGRAM.as_bytes());
    let caches = folder.path("caches");
    let build = |program: &str| {
        let mut command = folder.command(&["go", "build", "-o", program, "."]);
        command.env("XDG_CACHE_HOME", &caches).env("GOCACHE", cache.trim());
        let run = Run::of(&mut go::clean(command));
        assert_eq!(run.code, 0, "{run}");
        folder.path(program)
    };
    let fast = build("fast");
    let overlay = overlay(&caches);
    let mut table: Value = serde_json::from_slice(&std::fs::read(&overlay).unwrap()).unwrap();
    let files = table["Replace"].as_object_mut().unwrap();
    let before = files.len();
    files.retain(|file, _| !file.ends_with("/runtime/race_amd64.s"));
    assert_eq!(files.len(), before - 1, "the overlay has the assembly");
    std::fs::write(&overlay, table.to_string()).unwrap();
    let slow = build("slow");
    let by_assembly = accesses(&folder, &fast, "fast.log", "1");
    let by_hooks = accesses(&folder, &slow, "slow.log", "1");
    assert!(by_hooks.len() > 60_000, "{} accesses", by_hooks.len());
    let differs = by_assembly.iter().zip(&by_hooks).position(|(fast, slow)| fast != slow);
    assert_eq!(differs, None, "of {} and {}", by_assembly.len(), by_hooks.len());
    assert_eq!(by_assembly.len(), by_hooks.len());
    let without_repetitions = accesses(&folder, &fast, "filtered.log", "0").len();
    assert!(without_repetitions < by_hooks.len() * 2 / 3, "{without_repetitions} accesses");
}

use std::path::Path;
use std::process::Command;

use mmtrace_fixtures::go;
use object::{Object as _, ObjectSection as _};

use super::*;
use crate::symbol::module::ModuleNames;

/// Builds `fixtures/go/symbols` with these linker flags.
fn build(mut go: Command, folder: &Path, flags: &str) -> std::path::PathBuf {
    let program = folder.join("symbols");
    go.current_dir(go::programs()).args(["build", "-ldflags", flags, "-o"]);
    let output = go.arg(&program).arg("./symbols").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

fn sections(program: &Path) -> Vec<Section> {
    let file = std::fs::read(program).unwrap();
    let elf = object::File::parse(&*file).unwrap();
    let section = |section: object::Section<'_, '_>| Section {
        name: section.name().unwrap().to_owned(),
        address: section.address(),
        bytes: section.uncompressed_data().unwrap().into_owned().into(),
    };
    elf.sections().map(section).collect()
}

fn named(frame: &Frame) -> (String, String, u32) {
    let file = frame.file.clone().unwrap_or_default();
    (frame.function.clone().unwrap_or_default(), file, frame.line.unwrap_or(0))
}

#[test]
fn a_stripped_program_is_named_as_it_names_itself() {
    let Some(go) = go::command("a_stripped_program_is_named_as_it_names_itself") else { return };
    let folder = tempfile::tempdir().unwrap();
    let program = build(go, folder.path(), "-s -w");
    let output = Command::new(&program).output().unwrap();
    let sections = sections(&program);
    assert!(sections.iter().all(|section| section.name != ".symtab"));
    let names = GoNames::new(&sections).expect("the sections of a Go program");
    let mut compared = 0;
    let mut inlined = 0;
    for line in String::from_utf8(output.stdout).unwrap().lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [address, function, file, line] = fields[..] else { panic!("{fields:?}") };
        let address = u64::from_str_radix(&address[2..], 16).unwrap();
        let frames = names.frames_at(address).expect("Go names it");
        // Where it has no place, it says so with a question mark.
        let file = if file == "?" { "" } else { file };
        let expected = (readable(function), file.to_owned(), line.parse().unwrap());
        assert_eq!(named(&frames[0]), expected, "at {address:#x}");
        assert!(!frames.last().unwrap().inlined, "at {address:#x}: {frames:?}");
        inlined += usize::from(frames.len() > 1);
        compared += 1;
    }
    assert!(compared > 2_000, "only {compared} addresses");
    assert!(inlined > 200, "only {inlined} of {compared} addresses are in inlined calls");
}

#[test]
fn inlined_calls_are_those_of_the_debug_information() {
    let Some(go) = go::command("inlined_calls_are_those_of_the_debug_information") else { return };
    let folder = tempfile::tempdir().unwrap();
    let program = build(go, folder.path(), "-compressdwarf=false");
    let sections = sections(&program);
    let names = GoNames::new(&sections).unwrap();
    let only_debug: Vec<Section> =
        sections.iter().filter(|section| section.name.starts_with(".debug")).cloned().collect();
    let debug = ModuleNames::new(&only_debug).unwrap();
    let text = sections.iter().find(|section| section.name == ".text").unwrap();
    let (mut same, mut other) = (0, Vec::new());
    for address in (text.address..text.address + text.bytes.len() as u64).step_by(397) {
        let Some(found) = names.frames_at(address) else { continue };
        let expected = debug.frames(address);
        // Padding between functions, and assembly, which debug information treats otherwise.
        if found.len() < 2 || expected.len() < 2 {
            continue;
        }
        let found: Vec<_> = found.iter().map(named).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(named)
            .map(|(function, file, line)| (readable(&function), file, line))
            .collect();
        if found == expected { same += 1 } else { other.push((address, found, expected)) }
    }
    assert!(same > 150, "only {same} addresses compared");
    // Debug information and the runtime's tables disagree on a few single instructions.
    assert!(other.len() * 50 < same, "{same} alike, {} not: {:#?}", other.len(), &other[..3]);
}

#[test]
fn damaged_tables_name_nothing_and_do_not_crash() {
    let Some(go) = go::command("damaged_tables_name_nothing_and_do_not_crash") else { return };
    let folder = tempfile::tempdir().unwrap();
    let whole = sections(&build(go, folder.path(), "-s -w"));
    let text = GoNames::new(&whole).unwrap().text;
    for seed in 0..120_u64 {
        let mut sections = whole.clone();
        for section in &mut sections {
            if matches!(section.name.as_str(), ".gopclntab" | ".go.module") {
                let mut bytes = section.bytes.to_vec();
                // The header, and places all over the table.
                let at = if seed < 72 { 8 + seed } else { seed.wrapping_mul(0x9E37_79B9) };
                let at = at as usize % bytes.len();
                bytes[at] ^= 0xff;
                bytes.truncate(bytes.len() - seed as usize * 1_000 % bytes.len());
                section.bytes = bytes.into();
            }
        }
        let Some(names) = GoNames::new(&sections) else { continue };
        for address in (text..text + 400_000).step_by(14_999).chain([0, u64::MAX]) {
            for frame in names.frames(address) {
                assert!(frame.code.is_none());
            }
        }
    }
}

#[test]
fn what_a_generic_function_was_compiled_for_is_left_out() {
    assert_eq!(readable("main.largest[go.shape.interface { area() int }]"), "main.largest[...]");
    assert_eq!(readable("main.Map[go.shape.[]int].func1"), "main.Map[...].func1");
    assert_eq!(readable("main.main"), "main.main");
}

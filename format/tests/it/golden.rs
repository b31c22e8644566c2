//! Logs that earlier versions wrote are read as they were then.
//!
//! `fixtures/golden` has a folder for each version with logs and what they hold, as text. They are
//! never rewritten: a new version gets a folder of its own. `MMTRACE_BLESS=1` writes those that are not there yet.

#![cfg(not(miri))] // maps files

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use mmtrace_format::Log;

use crate::support::{read_all, record_small, small_log};

fn folder(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/golden").join(version)
}

fn describe(log: &Log) -> String {
    let content = read_all(log);
    let mut text = format!("{:?}\n", log.info());
    let mut section = |title: &str, lines: Vec<String>| {
        let _ = writeln!(text, "\n{title}");
        for line in lines {
            let _ = writeln!(text, "  {line}");
        }
    };
    section("damage", content.damage);
    section("tables", content.tables);
    let symbols = content.symbols.iter();
    section("symbols", symbols.map(|s| format!("{} {} bytes", s.name, s.bytes.len())).collect());
    for (thread, lines) in content.lines {
        section(&thread.to_string(), lines.iter().map(ToString::to_string).collect());
    }
    text
}

fn check(version: &str, name: &str, make: impl FnOnce(&Path)) {
    let path = folder(version).join(name).with_extension("log");
    let expected_path = path.with_extension("txt");
    if std::env::var_os("MMTRACE_BLESS").is_some() && !path.exists() {
        std::fs::create_dir_all(folder(version)).unwrap();
        make(&path);
        std::fs::write(&expected_path, describe(&Log::open(&path).unwrap())).unwrap();
    }
    let expected = std::fs::read_to_string(&expected_path).unwrap();
    assert_eq!(describe(&Log::open(&path).unwrap()), expected);
}

#[test]
fn a_complete_log_of_version_1_is_read() {
    check("v1", "complete", |path| std::fs::write(path, small_log()).unwrap());
}

#[test]
fn a_killed_log_of_version_1_is_read() {
    check("v1", "killed", |path| drop(record_small(path)));
}

/// Its index has no fragments, and says who runs in which chunk.
#[test]
fn a_complete_log_of_version_1_1_is_read() {
    check("v1.1", "complete", |path| std::fs::write(path, small_log()).unwrap());
}

#[test]
fn the_same_is_read_out_of_either_version() {
    let text =
        |version: &str| std::fs::read_to_string(folder(version).join("complete.txt")).unwrap();
    assert_eq!(text("v1"), text("v1.1"));
}

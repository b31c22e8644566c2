//! What is not a whole log: an error that names file, offset, found and expected, and exit code 3.

use mmtrace_format::layout::Identity;
use mmtrace_format::layout::page::IDENTITY_LEN;

use crate::transcript::{Folder, RACE_FREE, RACY};

/// Every command that reads a log, with `LOG` in its place.
const READERS: [&[&str]; 5] = [
    &["analyze", "LOG"],
    &["info", "LOG"],
    &["dump", "LOG"],
    &["verify", "LOG"],
    &["explain", "LOG", "t0#0", "t1#0"],
];

/// Runs every reading command on a log, and expects exit code 3 and one error that names the file.
fn refused_by_all(folder: &Folder, log: &str) -> String {
    for reader in READERS {
        let arguments: Vec<&str> =
            reader.iter().map(|&word| if word == "LOG" { log } else { word }).collect();
        let run = folder.mmtrace(&arguments);
        assert_eq!(run.code, 3, "{arguments:?}\n{run}");
        assert_eq!(run.stderr.matches("error:").count(), 1, "{arguments:?}\n{run}");
        assert!(run.stderr.contains(log), "{arguments:?} does not name {log}\n{run}");
    }
    let recover = folder.mmtrace(&["recover", "-o", "out.log", log]);
    assert_eq!(recover.code, 3, "{recover}");
    folder.mmtrace(&["analyze", log]).to_string()
}

#[test]
fn a_missing_file() {
    insta::assert_snapshot!(refused_by_all(&Folder::new(), "none.log"), @"
    error: cannot open none.log: No such file or directory (os error 2)
    exit code 3
    ");
}

#[test]
fn a_folder_without_logs() {
    let folder = Folder::new();
    folder.write("empty/notes.txt", b"nothing");
    insta::assert_snapshot!(folder.mmtrace(&["analyze", "empty"]), @"
    error: no log in the folder empty: expected files called *.log or that begin as logs do, found none at any depth
    exit code 3
    ");
    assert_eq!(folder.mmtrace(&["verify", "empty"]).code, 3);
    assert_eq!(folder.mmtrace(&["dump", "empty"]).code, 3);
}

#[test]
fn an_empty_file() {
    let folder = Folder::new();
    folder.write("empty.log", b"");
    insta::assert_snapshot!(refused_by_all(&folder, "empty.log"), @"
    error: empty.log: byte 0: the file is empty, expected a log
    exit code 3
    ");
}

#[test]
fn a_file_of_another_format() {
    let folder = Folder::new();
    folder.write("text.log", "T0|w(V1)|1\n".repeat(1000).as_bytes());
    insta::assert_snapshot!(refused_by_all(&folder, "text.log"), @"
    error: text.log: byte 0: found [54, 30, 7c, 77, 28, 56, 31, 29], expected the mark of a log, [89, 6d, 6d, 74, 0d, 0a, 1a, 0a]
    exit code 3
    ");
}

#[test]
fn a_newer_version() {
    let folder = Folder::with_log("new.log", RACE_FREE);
    let mut bytes = folder.read("new.log");
    let mut identity = Identity::decode(&bytes).unwrap();
    identity.version.major += 1;
    bytes[..IDENTITY_LEN].copy_from_slice(&identity.encode());
    folder.write("new.log", &bytes);
    insta::assert_snapshot!(refused_by_all(&folder, "new.log"), @"
    error: new.log: byte 8: the log has format version 2.1, this program reads 1.x
    exit code 3
    ");
}

/// Wherever a log is cut, no command panics, and none that judges the log calls it whole.
#[test]
fn a_truncated_log_is_never_called_clean() {
    let folder = Folder::with_log("whole.log", RACE_FREE);
    let whole = folder.read("whole.log");
    let step = (whole.len() / 40).max(1);
    for len in (0..whole.len()).step_by(step) {
        folder.write("cut.log", &whole[..len]);
        for command in ["analyze", "verify"] {
            let run = folder.mmtrace(&[command, "cut.log"]);
            assert_eq!(run.code, 3, "{command} of {len} of {} bytes\n{run}", whole.len());
        }
    }
}

/// The same for flipped bits; the unit tests of the format flip every one.
#[test]
fn a_flipped_bit_is_never_called_clean() {
    let folder = Folder::with_log("whole.log", RACY);
    let whole = folder.read("whole.log");
    let step = (whole.len() / 40).max(1);
    for at in (0..whole.len()).step_by(step) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        folder.write("flipped.log", &bytes);
        let run = folder.mmtrace(&["verify", "flipped.log"]);
        assert_eq!(run.code, 3, "byte {at} of {}\n{run}", whole.len());
        let run = folder.mmtrace(&["analyze", "flipped.log"]);
        assert!(matches!(run.code, 3 | 66), "byte {at} of {}\n{run}", whole.len());
    }
}

#[test]
fn a_trace_that_cannot_be_imported_is_named_with_its_line() {
    let folder = Folder::new();
    folder.write("bad.std", b"T0|w(V1)|1\nT0|jump(V1)|2\n");
    insta::assert_snapshot!(
        folder.mmtrace(&["import", "--from", "std", "bad.std", "-o", "x.log"]),
        @"
    error: bad.std: line 2, column 4: expected r, w, acq, rel, fork, join, begin or end, found `jump(V1)|2`
    exit code 3
    "
    );
    assert!(!folder.path("x.log").exists(), "a failed import leaves no log");
}

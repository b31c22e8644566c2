//! The user's marks: kept in a file beside the log, under the recording that they belong to.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use mmtrace_format::ThreadId;
use serde::{Deserialize, Serialize};

/// A mark with a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// When.
    pub time_ns: u64,
    /// On which lane; `None`: on all.
    pub thread: Option<ThreadId>,
    /// What the user wrote.
    pub text: String,
}

/// A mark as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    time_ns: u64,
    thread: Option<u32>,
    note: String,
}

/// The file: marks by recording, so that a log that was recorded anew does not get the old ones.
#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    runs: BTreeMap<String, Vec<Kept>>,
}

/// Where the marks of a log are kept.
pub fn marks_path(log: &Path) -> PathBuf {
    let mut name = log.file_name().unwrap_or_default().to_owned();
    name.push(".mmmarks.json");
    log.with_file_name(name)
}

/// The marks of a recording; none if there is no file.
///
/// # Errors
/// The file cannot be read, or is not what this program writes.
pub fn load(log: &Path, run: &str) -> io::Result<Vec<Note>> {
    let file = read(&marks_path(log))?;
    let kept = file.runs.get(run).into_iter().flatten();
    let note = |kept: &Kept| Note {
        time_ns: kept.time_ns,
        thread: kept.thread.map(ThreadId::new),
        text: kept.note.clone(),
    };
    Ok(kept.map(note).collect())
}

/// Keeps the marks of a recording, and leaves those of others.
///
/// # Errors
/// What the system says.
pub fn save(log: &Path, run: &str, notes: &[Note]) -> io::Result<PathBuf> {
    let path = marks_path(log);
    let mut file = read(&path)?;
    let kept = |note: &Note| Kept {
        time_ns: note.time_ns,
        thread: note.thread.map(ThreadId::as_u32),
        note: note.text.clone(),
    };
    file.runs.insert(run.to_owned(), notes.iter().map(kept).collect());
    let mut text = serde_json::to_string_pretty(&file).map_err(io::Error::other)?;
    text.push('\n');
    let partial = path.with_extension(format!("partial-{}", std::process::id()));
    std::fs::write(&partial, text)?;
    std::fs::rename(&partial, &path)?;
    Ok(path)
}

fn read(path: &Path) -> io::Result<File> {
    match std::fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(File::default()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_back_and_those_of_another_recording_stay() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("run.log");
        let note =
            |text: &str| Note { time_ns: 5, thread: Some(ThreadId::new(2)), text: text.to_owned() };
        assert_eq!(load(&log, "a").unwrap(), []);
        save(&log, "a", &[note("here")]).unwrap();
        save(&log, "b", &[note("there"), note("again")]).unwrap();
        save(&log, "a", &[note("here"), note("too")]).unwrap();
        assert_eq!(load(&log, "a").unwrap(), [note("here"), note("too")]);
        assert_eq!(load(&log, "b").unwrap().len(), 2);
        std::fs::write(marks_path(&log), "not ours").unwrap();
        assert!(save(&log, "a", &[]).is_err());
        assert_eq!(std::fs::read_to_string(marks_path(&log)).unwrap(), "not ours");
    }
}

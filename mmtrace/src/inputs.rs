//! The logs that a command line names: files, and what folders hold.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use mmtrace_format::layout::HEADER_MAGIC;
use mmtrace_format::log::Log;

use crate::exit::Failure;

/// How deep folders are searched. A link that leads up again ends here, too.
const DEPTH_MAX: u32 = 32;

/// All logs named by `paths`, in the order given; those of a folder by name.
///
/// A file that is named is a log, whatever is in it: opening it will say what is wrong. In a
/// folder, a log is a file called `*.log` or one that begins as logs do.
///
/// # Errors
/// A path is not there, cannot be listed, or is a folder without any log.
pub(crate) fn logs(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut logs = Vec::new();
    for path in paths {
        let metadata = fs::metadata(path)
            .with_context(|| format!("cannot open {}", path.display()))
            .map_err(Failure::log)?;
        if metadata.is_dir() {
            let before = logs.len();
            search(path, DEPTH_MAX, &mut logs).map_err(Failure::log)?;
            if logs.len() == before {
                return Err(Failure::log(anyhow!(
                    "no log in the folder {}: expected files called *.log or that begin as logs \
                     do, found none at any depth",
                    path.display()
                )));
            }
        } else {
            logs.push(path.clone());
        }
    }
    Ok(logs)
}

fn search(folder: &Path, depth: u32, logs: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let context = || format!("cannot list {}", folder.display());
    let mut entries = fs::read_dir(folder)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(context)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // A link that leads nowhere is nobody's log.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_dir() {
            if depth > 0 {
                search(&path, depth - 1, logs)?;
            }
        } else if metadata.is_file() && is_log(&path) {
            logs.push(path);
        }
    }
    Ok(())
}

/// Whether a file in a folder is taken for a log.
fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "log") || begins_as_a_log(path)
}

/// Whether a file can be read and begins as logs do.
pub(crate) fn begins_as_a_log(path: &Path) -> bool {
    let mut begin = [0; HEADER_MAGIC.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut begin)).is_ok()
        && begin == HEADER_MAGIC
}

/// Opens a log.
///
/// # Errors
/// It is not there, or is no log that can be read: exit code 3. The error names the file.
pub(crate) fn open(path: &Path) -> Result<Log, Failure> {
    Log::open(path).map_err(Failure::log)
}

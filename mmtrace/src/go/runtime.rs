//! The runtime of recorded Go programs: a C library that this binary carries, packed.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

use crate::exit::Failure;

/// The library, as `build.rs` packed it; empty if it could not be built.
static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/go-runtime.a.zst"));
/// Names its content.
const HASH: Option<&str> = option_env!("MMTRACE_GO_RUNTIME_HASH");
/// Its bytes, unpacked.
const LEN: Option<&str> = option_env!("MMTRACE_GO_RUNTIME_LEN");
/// Why there is none.
const MISSING: Option<&str> = option_env!("MMTRACE_GO_RUNTIME_MISSING");

/// Where things are kept from one run to the next: `mmtrace` in the user's cache folder.
///
/// # Errors
/// The environment names no such folder, or it cannot be made.
pub(crate) fn cache_folder() -> Result<PathBuf, Failure> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let absolute = |path: &PathBuf| path.is_absolute();
    let caches = set("XDG_CACHE_HOME").filter(absolute);
    let caches = caches.or_else(|| Some(set("HOME").filter(absolute)?.join(".cache")));
    let folder = caches.map(|caches| caches.join("mmtrace")).ok_or_else(|| {
        Failure::usage(anyhow!("there is no cache folder: neither XDG_CACHE_HOME nor HOME is set"))
    })?;
    fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the cache folder {}", folder.display()))
        .map_err(Failure::usage)?;
    Ok(folder)
}

/// The library as a file in `cache`, under a name that says what is in it.
///
/// # Errors
/// This binary carries none, or the file cannot be written.
pub(crate) fn unpacked(cache: &Path) -> Result<PathBuf, Failure> {
    let (Some(hash), Some(len)) = (HASH, LEN.and_then(|len| len.parse::<usize>().ok())) else {
        let reason = MISSING.unwrap_or("it was built without the Go runtime");
        return Err(Failure::usage(anyhow!("this mmtrace cannot record Go programs: {reason}")));
    };
    let path = cache.join(format!("go-runtime-{hash}.a"));
    if fs::metadata(&path).is_ok_and(|found| found.len() == len as u64) {
        return Ok(path);
    }
    write(cache, &path, len)
        .with_context(|| format!("cannot write {}", path.display()))
        .map_err(Failure::usage)?;
    Ok(path)
}

/// The file appears under its name when it is whole, however many of us write it at once.
fn write(cache: &Path, path: &Path, len: usize) -> anyhow::Result<()> {
    let library = zstd::bulk::decompress(PACKED, len).context("the packed library is damaged")?;
    let partial = cache.join(format!("go-runtime.partial-{}", std::process::id()));
    let written = fs::File::create(&partial)
        .and_then(|mut file| file.write_all(&library))
        .and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        // What is there is of no use to anybody.
        let _ = fs::remove_file(&partial);
    }
    Ok(written?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_unpacked_once_and_repaired_if_it_was_cut_off() {
        if HASH.is_none() {
            return;
        }
        let cache = tempfile::tempdir().unwrap();
        let path = unpacked(cache.path()).unwrap();
        let begin = fs::read(&path).unwrap();
        assert!(begin.starts_with(b"!<arch>\n"), "no archive");
        fs::write(&path, b"cut off").unwrap();
        assert_eq!(unpacked(cache.path()).unwrap(), path);
        assert_eq!(fs::read(&path).unwrap().len(), begin.len());
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1);
    }
}

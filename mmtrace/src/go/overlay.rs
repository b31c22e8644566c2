//! The overlay: copies of some of the user's own Go files, changed so that a race build links our
//! runtime and tells it more.
//!
//! `go build -overlay` reads the copies in the place of the originals; nothing in the Go root is
//! touched. The changes are one table ([`patches`]); what cannot be changed, because a new version of
//! Go looks different, is left as it is, and [`Overlay::lost`] says what that costs.

mod patches;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use patches::{
    FAST_PATHS, Feature, INTERNAL_RACE, LOCK_WORDS, MAP, MAPS, MUTEX, OFFSETS, ONCES, PATCHES,
    Patch, Places, RUNTIME, RUNTIME_LOCK_WORDS, RUNTIME_MAPS, RUNTIME_ONCES, TESTING_OUTCOME,
};

/// An overlay that can be given to `go -overlay`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Overlay {
    /// The file that says which file stands for which.
    pub(crate) json: PathBuf,
    /// What is not recorded because this version of Go is not known well enough: plain sentences.
    pub(crate) lost: Vec<String>,
}

/// Why there is no overlay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum OverlayError {
    /// A file of Go's cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of Go's is not what links the race runtime.
    #[error(
        "{}: Go {version} links its race runtime in a way that is not known here: no `{anchor}`",
        path.display()
    )]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The version of Go.
        version: String,
        /// What was looked for.
        anchor: &'static str,
    },
    /// The overlay cannot be written.
    #[error("{}: cannot be written: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The C compiler's flags cannot name the library.
    #[error("{}: a path with this character cannot be linked by Go: {character:?}", path.display())]
    Path {
        /// The library.
        path: PathBuf,
        /// What is in the way.
        character: char,
    },
}

/// Makes the overlay of a Go root for the runtime in `staticlib`, in a folder of its own below
/// `cache_dir`. What is there already is used again; several may do this at once.
///
/// # Errors
/// [`OverlayError`] if Go's files cannot be read or linked to, or the copies cannot be written.
pub(crate) fn prepare(
    goroot: &Path,
    go_version: &str,
    staticlib: &Path,
    cache_dir: &Path,
) -> Result<Overlay, OverlayError> {
    let source = goroot.join("src");
    let read = |file: &str| fs::read_to_string(source.join(file));
    let mut files = link(&read, &source, go_version, staticlib)?;
    let (patched, lost) = patch(&read);
    files.extend(patched);
    let json = write(&source, &files, go_version, cache_dir)?;
    Ok(Overlay { json, lost })
}

/// New contents by file, below `src`.
type Files = BTreeMap<String, String>;

/// The files that link the runtime.
fn link(
    read: &dyn Fn(&str) -> io::Result<String>,
    source: &Path,
    go_version: &str,
    staticlib: &Path,
) -> Result<Files, OverlayError> {
    let change = |file: &str, anchor: &'static str, put: &str| {
        let path = source.join(file);
        let text =
            read(file).map_err(|source| OverlayError::Read { path: path.clone(), source })?;
        if text.matches(anchor).count() != 1 {
            return Err(OverlayError::Unknown { path, version: go_version.to_owned(), anchor });
        }
        Ok(text.replacen(anchor, put, 1))
    };
    let mut files = Files::new();
    for (file, anchor) in [
        ("runtime/race/race_v1_amd64.go", "import _ \"runtime/race/internal/amd64v1\""),
        ("runtime/race/race_v3_amd64.go", "import _ \"runtime/race/internal/amd64v3\""),
    ] {
        // Without the import the distribution's runtime is not linked.
        files.insert(file.to_owned(), change(file, anchor, "")?);
    }
    let path = staticlib.to_string_lossy();
    if let Some(character) = path.chars().find(|c| matches!(c, '\'' | '"' | '\n' | '\\' | '$')) {
        return Err(OverlayError::Path { path: staticlib.to_owned(), character });
    }
    let flags = format!("// #cgo LDFLAGS: \"{path}\" -lm -ldl -lpthread\nimport \"C\"");
    let file = "runtime/race/race.go";
    let anchor = "// void __race_unused_func(void);\nimport \"C\"";
    files.insert(file.to_owned(), change(file, anchor, &flags)?);
    Ok(files)
}

/// The files that tell the runtime more, and what cannot be told.
fn patch(read: &dyn Fn(&str) -> io::Result<String>) -> (Files, Vec<String>) {
    let mut originals = BTreeMap::new();
    let mut original = |file: &'static str| -> Option<String> {
        originals.entry(file).or_insert_with(|| read(file).ok()).clone()
    };
    let mut missing = BTreeSet::new();
    let mut chosen = BTreeMap::new();
    for patch in PATCHES {
        let text = patch.files.iter().find_map(|file| original(file));
        let patched = text.as_ref().and_then(|text| apply(text, patch));
        if let Places::OneOf(name) = patch.places {
            *chosen.entry((patch.feature, name)).or_insert(false) |=
                patched.is_some() && patched != text;
        }
        if patched.is_none() && !patch.places.are_optional() {
            missing.insert(patch.feature);
        }
    }
    missing.extend(chosen.into_iter().filter(|(_, is_there)| !is_there).map(|((of, _), _)| of));
    for file in ["internal/race/race.go", "runtime/race.go"] {
        if original(file).is_none() {
            missing.insert(Feature::Layout);
        }
    }
    if missing.contains(&Feature::Layout) {
        return (Files::new(), vec![Feature::Layout.loss().to_owned()]);
    }
    let has = |feature: Feature| {
        let needed = feature.needs().is_none_or(|needed| !missing.contains(&needed));
        needed && !missing.contains(&feature)
    };
    let mut files = Files::new();
    for patch in PATCHES.iter().filter(|patch| has(patch.feature)) {
        let Some(file) = patch.files.iter().find(|file| original(file).is_some()) else { continue };
        let text = files.remove(*file).or_else(|| original(file)).unwrap_or_default();
        // It was found in the original, and no other patch touches its anchor.
        let text = apply(&text, patch).unwrap_or(text);
        files.insert((*file).to_owned(), text);
    }
    let mutexes = MUTEX.iter().copied().find(|file| original(file).is_some());
    let map = MAP.iter().copied().find(|file| original(file).is_some());
    let mut append = |file: &'static str, what: &str| {
        let text = files.remove(file).or_else(|| original(file)).unwrap_or_default();
        files.insert(file.to_owned(), text + what);
    };
    append("runtime/race.go", &runtime(has(Feature::Types)));
    append("internal/race/race.go", INTERNAL_RACE);
    if has(Feature::Tests) {
        append("testing/testing.go", TESTING_OUTCOME);
    }
    if let Some(file) = mutexes.filter(|_| has(Feature::LockWords)) {
        append(file, LOCK_WORDS);
        append("runtime/sema.go", RUNTIME_LOCK_WORDS);
    }
    if has(Feature::Onces) {
        append("sync/once.go", ONCES);
        append("runtime/sema.go", RUNTIME_ONCES);
    }
    if let Some(file) = map.filter(|_| has(Feature::Maps)) {
        append(file, MAPS);
        append("runtime/alg.go", RUNTIME_MAPS);
    }
    if has(Feature::FastPaths) {
        append("runtime/race_amd64.s", FAST_PATHS);
    }
    // What is left out for the sake of another one is said by that one.
    let lost = Feature::ALL.into_iter().filter(|feature| missing.contains(feature));
    (files, lost.map(|feature| feature.loss().to_owned()).collect())
}

/// What is appended to the runtime.
fn runtime(has_types: bool) -> String {
    let offsets = OFFSETS.iter().enumerate().map(|(index, (name, expression))| {
        let is_known = has_types || !name.starts_with("Type");
        format!("\tmmtraceTable[{index}] = {}\n", if is_known { *expression } else { "0" })
    });
    let offsets: String = offsets.collect();
    let count = OFFSETS.len().to_string();
    RUNTIME.replace("{count}", &count).replace("{offsets}", offsets.trim_end())
}

/// The text with the change; none if it is not to be made there.
fn apply(text: &str, patch: &Patch) -> Option<String> {
    let is_optional = patch.places.are_optional();
    let Some(body) = body_of(text, patch.within) else {
        return is_optional.then(|| text.to_owned());
    };
    let (before, rest) = text.split_at(body.start);
    let (inside, after) = rest.split_at(body.end - body.start);
    let expected = match patch.places {
        Places::Only | Places::OnlyIfAny | Places::OneOf(_) => 1,
        Places::All(count) => count,
        Places::FirstOfTwo => 2,
    };
    let found = inside.matches(patch.find).count();
    if found != expected {
        return (is_optional && found == 0).then(|| text.to_owned());
    }
    let changed = match patch.places {
        Places::FirstOfTwo => inside.replacen(patch.find, patch.put, 1),
        _ => inside.replace(patch.find, patch.put),
    };
    Some([before, &changed, after].concat())
}

/// Where a function or type lies: from the one line that begins so to the next that begins with a
/// brace, or, in assembly, to the next empty one.
fn body_of(text: &str, beginning: &str) -> Option<std::ops::Range<usize>> {
    let line = format!("\n{beginning}");
    let start = text.find(&line)? + 1;
    if text[start..].contains(&line) {
        return None;
    }
    let rest = &text[start..];
    let len = if beginning.starts_with("TEXT\t") {
        rest.find("\n\n").unwrap_or(rest.len())
    } else {
        rest.find("\n}")? + 2
    };
    Some(start..start + len)
}

/// Writes the copies and the table of them; gives the table's path.
fn write(
    source: &Path,
    files: &Files,
    go_version: &str,
    cache_dir: &Path,
) -> Result<PathBuf, OverlayError> {
    let name = format!("overlay-{go_version}-{}", digest(&(source, files)));
    let folder = cache_dir.join(name);
    let json = folder.join("overlay.json");
    if json.exists() {
        return Ok(json);
    }
    // Written aside and renamed as a whole: whoever finds the folder finds all of it.
    let aside = cache_dir.join(format!(".overlay-{}-{}", std::process::id(), digest(&folder)));
    let result = write_into(&aside, &folder, source, files).and_then(|()| {
        let renamed = fs::rename(&aside, &folder);
        // Somebody else was quicker, with the same content.
        renamed.or_else(|source| if json.exists() { Ok(()) } else { Err((folder.clone(), source)) })
    });
    // Gone already if it was renamed.
    let _ = fs::remove_dir_all(&aside);
    result.map_err(|(path, source)| OverlayError::Write { path, source })?;
    Ok(json)
}

fn write_into(
    aside: &Path,
    folder: &Path,
    source: &Path,
    files: &Files,
) -> Result<(), (PathBuf, io::Error)> {
    let mut table = serde_json::Map::new();
    for (file, text) in files {
        let path = aside.join(file);
        let parent = path.parent().unwrap_or(aside);
        fs::create_dir_all(parent).map_err(|error| (parent.to_owned(), error))?;
        fs::write(&path, text).map_err(|error| (path.clone(), error))?;
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        table.insert(text(source.join(file)), text(folder.join(file)).into());
    }
    let json = aside.join("overlay.json");
    let text = serde_json::json!({ "Replace": table }).to_string();
    fs::write(&json, text).map_err(|error| (json, error))
}

/// 128 bits that tell contents apart.
fn digest(content: &impl Hash) -> String {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, content).hash(&mut hasher);
        hasher.finish()
    };
    format!("{:016x}{:016x}", half(0), half(1))
}

#[cfg(test)]
mod tests;

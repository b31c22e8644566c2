//! What must hold before a release: sizes of files, paths in documents, leftovers.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::tool::{Done, command, root, say, text_of};

/// The longest a module may be before its documentation has to say why. Tests are not counted.
const MODULE_LINES_MAX: usize = 800;

/// Marks of unfinished work. In pieces, so that this file has none.
const LEFTOVERS: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
];

/// Runs every check and lists all complaints.
pub(crate) fn run() -> anyhow::Result<Done> {
    let mut complaints = Vec::new();
    for file in tracked_files()? {
        // A file that is being deleted has nothing to check.
        let Ok(bytes) = std::fs::read(root().join(&file)) else { continue };
        let Ok(text) = String::from_utf8(bytes) else { continue };
        complaints.extend(leftovers(&file, &text));
        if file.extension().is_some_and(|extension| extension == "rs") {
            complaints.extend(too_long(&file, &text));
        }
    }
    for document in ["ARCHITECTURE.md", "README.md"] {
        complaints.extend(missing_paths(document)?);
    }
    complaints.extend(release_notes()?);
    for complaint in &complaints {
        say(complaint);
    }
    ensure!(complaints.is_empty(), "{} complaints", complaints.len());
    Ok(Done::Passed)
}

fn tracked_files() -> anyhow::Result<Vec<PathBuf>> {
    let list = text_of(&mut command("git", &["ls-files"]))?;
    Ok(list.lines().map(PathBuf::from).collect())
}

fn leftovers(file: &Path, text: &str) -> Vec<String> {
    let lines = text.lines().enumerate();
    let marked = lines.filter(|(_, line)| LEFTOVERS.iter().any(|mark| has_word(line, mark)));
    marked
        .map(|(index, line)| format!("{}:{}: {}", file.display(), index + 1, line.trim()))
        .collect()
}

/// Whether `mark` stands in the line with no letter before or after it.
fn has_word(line: &str, mark: &str) -> bool {
    line.match_indices(mark).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + mark.len()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

fn too_long(file: &Path, text: &str) -> Option<String> {
    let is_test = file.components().any(|part| part.as_os_str() == "tests")
        || file.file_stem().is_some_and(|stem| stem == "tests");
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let lines = code.lines().count();
    let too_long = lines > MODULE_LINES_MAX && !is_test;
    too_long.then(|| format!("{}: {lines} lines of code: find a seam", file.display()))
}

/// Words in backquotes or in the map's code block that look like paths, and are not there.
fn missing_paths(document: &str) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(root().join(document));
    let text = text.with_context(|| format!("cannot read {document}"))?;
    let missing = paths(&text).into_iter().filter(|path| !root().join(path).exists());
    Ok(missing.map(|path| format!("{document}: names {path}, which is not there")).collect())
}

/// The paths that a document names: words of a code span or block with a slash in them, or that
/// end like a file, whose first part is a name in the root of the repository.
fn paths(text: &str) -> Vec<String> {
    let code = text.split('`').skip(1).step_by(2).flat_map(str::split_whitespace);
    let words = code.map(|word| word.trim_matches([',', '.', ':', ';', '(', ')', '"']));
    let mut paths: Vec<String> = words
        .filter(|word| {
            let first = word.split('/').next().unwrap_or_default();
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
            word.chars().all(plain)
                && (word.contains('/') && TOP.contains(&first) || ROOT_FILES.contains(word))
        })
        .map(str::to_owned)
        .collect();
    paths.sort();
    paths.dedup();
    paths
}

/// Folders of the repository's root.
const TOP: [&str; 9] =
    ["format", "recorder", "analyzer", "tui", "mmtrace", "fixtures", "xtask", "docs", ".ci"];
/// Files of the repository's root that documents name.
const ROOT_FILES: [&str; 8] = [
    "Cargo.toml",
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "deny.toml",
    "clippy.toml",
    "LICENSE-MIT",
    "LICENSE-APACHE",
];

/// The changelog must speak of the version that the workspace has.
fn release_notes() -> anyhow::Result<Option<String>> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml"))?;
    let version = manifest.lines().find_map(|line| line.strip_prefix("version = \""));
    let version = version.context("no version in Cargo.toml")?.trim_end_matches('"');
    let changelog = std::fs::read_to_string(root().join("CHANGELOG.md"))?;
    let told =
        changelog.contains(&format!("## [{version}]")) || changelog.contains("## [Unreleased]");
    Ok((!told).then(|| format!("CHANGELOG.md: nothing about {version}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_named_in_the_architecture_exists() {
        let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
        assert!(paths(&text).len() > 20, "the map names too few paths: {:?}", paths(&text));
        assert_eq!(missing_paths("ARCHITECTURE.md").unwrap(), [""; 0]);
    }

    #[test]
    fn every_path_named_in_the_readme_exists() {
        assert_eq!(missing_paths("README.md").unwrap(), [""; 0]);
    }

    #[test]
    fn paths_are_found_in_spans_and_blocks_and_nowhere_else() {
        let text = "see `format/src/lib.rs`, not format/none.rs\n```\nxtask/src/main.rs  it\n```\n\
                    `a/b` `Cargo.toml` `format::x`";
        assert_eq!(paths(text), ["Cargo.toml", "format/src/lib.rs", "xtask/src/main.rs"]);
    }

    #[test]
    fn marks_of_unfinished_work_are_found_as_words() {
        let mark = LEFTOVERS[0];
        let text = format!("fine\n// {mark}: later\n{mark}S are words of their own\n");
        let found = leftovers(Path::new("a.rs"), &text);
        assert_eq!(found, [format!("a.rs:2: // {mark}: later")]);
    }

    #[test]
    fn a_module_is_measured_without_its_tests() {
        let long = "line\n".repeat(MODULE_LINES_MAX + 1);
        assert!(too_long(Path::new("a/src/b.rs"), &long).is_some());
        assert!(too_long(Path::new("a/tests/b.rs"), &long).is_none());
        let tested = format!("code\n#[cfg(test)]\nmod tests {{\n{long}");
        assert!(too_long(Path::new("a/src/b.rs"), &tested).is_none());
    }
}

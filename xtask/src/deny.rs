//! Dependencies: cargo-deny where it is installed, else the parts of it that cargo can answer.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};

use crate::tool::{Done, cargo, command, root, run, say, succeeds, text_of};

/// Checks dependencies by deny.toml.
pub(crate) fn run_all() -> anyhow::Result<Done> {
    if succeeds(&mut command("cargo", &["deny", "--version"])) {
        run(&mut cargo(None, &["deny", "--workspace", "check", "--hide-inclusion-graph"]))?;
        return Ok(Done::Passed);
    }
    let tree = text_of(&mut cargo(
        None,
        &[
            "tree",
            "--workspace",
            "--locked",
            "--edges=normal,build,dev",
            "--prefix=none",
            "--no-dedupe",
            "--format={p}|{l}",
        ],
    ))?;
    let policy = std::fs::read_to_string(root().join("deny.toml")).context("reading deny.toml")?;
    let packages = packages(&tree)?;
    let complaints = complaints(&packages, &Policy::read(&policy)?);
    for complaint in &complaints {
        say(complaint);
    }
    ensure!(complaints.is_empty(), "{} complaints about dependencies", complaints.len());
    say(&format!("{} packages: licences, sources and duplicates are as allowed", packages.len()));
    Ok(Done::Instead(
        "cargo-deny is not installed: licences, sources and duplicates were checked, ADVISORIES \
         WERE NOT"
            .to_owned(),
    ))
}

/// One package that we depend on.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    /// A folder or a repository, if it is not from the registry.
    place: Option<String>,
    license: String,
}

/// Reads lines of `name v1.2.3 (place)|license`.
fn packages(tree: &str) -> anyhow::Result<BTreeSet<Package>> {
    let lines = tree.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (package, license) = line.split_once('|').with_context(|| line.to_owned())?;
            let mut words = package.split(' ').filter(|word| *word != "(proc-macro)");
            let name = words.next().with_context(|| line.to_owned())?.to_owned();
            let version = words.next().and_then(|word| word.strip_prefix('v'));
            let version = version.with_context(|| line.to_owned())?.to_owned();
            let place = words.next().map(|word| word.trim_matches(['(', ')']).to_owned());
            // A mark of cargo's: the same package stood there before.
            let license = license.trim_end_matches(" (*)").to_owned();
            Ok(Package { name, version, place, license })
        })
        .collect()
}

/// What deny.toml says of licences and duplicates.
#[derive(Debug)]
struct Policy {
    licenses: BTreeSet<String>,
    skipped: BTreeSet<String>,
}

impl Policy {
    /// Reads the two lists. Only the shape that our file has is understood.
    fn read(text: &str) -> anyhow::Result<Self> {
        let (_, allowed) = text.split_once("\nallow = [").context("no `allow` in deny.toml")?;
        let (allowed, _) = allowed.split_once(']').context("`allow` does not end in deny.toml")?;
        let licenses = allowed.split('"').skip(1).step_by(2).map(str::to_owned).collect();
        let skipped = text.split("crate = \"").skip(1);
        let skipped = skipped.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect();
        Ok(Self { licenses, skipped })
    }

    /// Whether a licence expression can be satisfied. Older manifests write `/` for `OR`.
    fn allows(&self, expression: &str) -> bool {
        let expression = expression.replace('/', " OR ");
        expression.split(" AND ").all(|part| {
            let part = part.trim().trim_matches(['(', ')']);
            part.split(" OR ").any(|license| self.licenses.contains(license.trim()))
        })
    }
}

fn complaints(packages: &BTreeSet<Package>, policy: &Policy) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let root = root().display().to_string();
    for Package { name, version, place, license } in packages {
        let skipped = policy.skipped.contains(&format!("{name}@{version}"));
        if !skipped {
            versions.entry(name).or_default().push(version);
        }
        if !policy.allows(license) {
            complaints.push(format!("{name} {version}: licence `{license}` is not allowed"));
        }
        if let Some(place) = place
            && !place.starts_with(&root)
        {
            complaints.push(format!("{name} {version}: comes from {place}, not the registry"));
        }
    }
    for (name, versions) in versions.into_iter().filter(|(_, versions)| versions.len() > 1) {
        complaints.push(format!("{name}: several versions, {}", versions.join(", ")));
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "[licenses]\nallow = [\n    \"MIT\",\n    \"Zlib\",\n]\n[bans]\n\
                          skip = [{ crate = \"syn@1.0.0\", reason = \"old\" }]\n";

    fn complaints_of(tree: &str) -> Vec<String> {
        complaints(&packages(tree).unwrap(), &Policy::read(POLICY).unwrap())
    }

    #[test]
    fn an_alternative_that_is_allowed_suffices_and_every_part_is_needed() {
        let policy = Policy::read(POLICY).unwrap();
        assert!(policy.allows("GPL-3.0 OR MIT"));
        assert!(policy.allows("MIT/GPL-3.0"));
        assert!(policy.allows("(MIT OR GPL-3.0) AND Zlib"));
        assert!(!policy.allows("(MIT OR GPL-3.0) AND Unicode-3.0"));
        assert!(!policy.allows(""));
    }

    #[test]
    fn duplicates_are_complaints_unless_skipped() {
        assert_eq!(
            complaints_of("a v1.0.0|MIT\na v1.0.0|MIT (*)\n\nsyn v1.0.0|MIT\nsyn v2.0.0|MIT"),
            [""; 0]
        );
        assert_eq!(
            complaints_of("a v1.0.0|MIT\na v2.0.0|MIT"),
            ["a: several versions, 1.0.0, 2.0.0"]
        );
    }

    #[test]
    fn a_package_from_elsewhere_is_a_complaint() {
        let complaints = complaints_of("a v1.0.0 (https://example.org/a.git#abc)|MIT");
        assert_eq!(complaints.len(), 1);
        let here = format!("a v1.0.0 (proc-macro) ({})|MIT", root().join("a").display());
        assert_eq!(complaints_of(&here), [""; 0]);
    }
}

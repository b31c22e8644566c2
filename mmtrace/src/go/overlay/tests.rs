//! The patch table against a Go root that holds the anchors and little else.

use super::*;

/// A Go root of what the table looks for, made from the table itself.
fn root_with(patches: &[Patch]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let mut files: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
    for patch in patches {
        let bodies = files.entry(patch.files[0]).or_default();
        let count = match patch.places {
            Places::Only | Places::OnlyIfAny | Places::OneOf(_) => 1,
            Places::All(count) => count,
            Places::FirstOfTwo => 2,
        };
        let body = bodies.entry(patch.within).or_default();
        for _ in 0..count {
            body.push_str(patch.find.trim_end_matches('\n'));
            body.push('\n');
        }
    }
    let write = |file: &str, text: &str| {
        let path = root.path().join("src").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    for (file, bodies) in files {
        let text = bodies.iter().map(|(within, body)| format!("\n{within}\n{body}}}\n"));
        write(file, &text.collect::<String>());
    }
    write("internal/race/race.go", "package race\n");
    for version in ["v1", "v3"] {
        let text = format!("package race\n\nimport _ \"runtime/race/internal/amd64{version}\"\n");
        write(&format!("runtime/race/race_{version}_amd64.go"), &text);
    }
    let unused = "package race\n\n// void __race_unused_func(void);\nimport \"C\"\n";
    write("runtime/race/race.go", unused);
    root
}

fn overlay_of(root: &Path) -> (Overlay, tempfile::TempDir) {
    let cache = tempfile::tempdir().unwrap();
    let lib = Path::new("/somewhere with spaces/lib.a");
    let overlay = prepare(root, "go1.99", lib, cache.path()).unwrap();
    (overlay, cache)
}

fn copy_of(overlay: &Overlay, file: &str) -> Option<String> {
    fs::read_to_string(overlay.json.parent().unwrap().join(file)).ok()
}

#[test]
fn a_go_root_with_all_anchors_loses_nothing_and_keeps_its_line_numbers() {
    let root = root_with(PATCHES);
    let (overlay, _cache) = overlay_of(root.path());
    assert_eq!(overlay.lost, Vec::<String>::new());
    let json: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&overlay.json).unwrap()).unwrap();
    let table = json["Replace"].as_object().unwrap();
    for patch in PATCHES {
        let original = root.path().join("src").join(patch.files[0]);
        let copy = table[&original.to_string_lossy().into_owned()].as_str().unwrap();
        let (before, after) =
            (fs::read_to_string(original).unwrap(), fs::read_to_string(copy).unwrap());
        let own = after.split("\n// What follows was appended by mmtrace.").next().unwrap();
        assert_eq!(own.lines().count(), before.lines().count(), "{}", patch.files[0]);
        let has_it = patch.put.is_empty() || after.contains(patch.put.trim_end_matches('\n'));
        assert!(has_it, "{}: {}", patch.files[0], patch.put);
    }
    let link = copy_of(&overlay, "runtime/race/race.go").unwrap();
    assert!(link.contains("// #cgo LDFLAGS: \"/somewhere with spaces/lib.a\""));
    assert!(!copy_of(&overlay, "runtime/race/race_v1_amd64.go").unwrap().contains("amd64v1"));
}

#[test]
fn a_missing_anchor_costs_its_feature_and_no_other() {
    for feature in Feature::ALL.into_iter().filter(|&feature| feature != Feature::Layout) {
        let of_it = PATCHES
            .iter()
            .position(|patch| patch.feature == feature && !patch.places.are_optional());
        // A feature whose places all depend on the version cannot be missing.
        let Some(left_out) = of_it else { continue };
        let mut patches = PATCHES.to_vec();
        patches.remove(left_out);
        let (overlay, _cache) = overlay_of(root_with(&patches).path());
        assert_eq!(overlay.lost, [feature.loss()], "{feature:?}");
        let changed = |patch: &&Patch| patch.feature == feature && !patch.put.is_empty();
        for patch in PATCHES.iter().filter(changed) {
            let copy = copy_of(&overlay, patch.files[0]).unwrap_or_default();
            assert!(!copy.contains(patch.put), "{}: {}", patch.files[0], patch.put);
        }
    }
}

#[test]
fn one_of_the_rows_that_stand_for_each_other_is_enough() {
    let has_name = |patch: &Patch, name| patch.places == Places::OneOf(name);
    let without = |left_out: &dyn Fn(&Patch) -> bool| {
        let patches: Vec<Patch> =
            PATCHES.iter().filter(|patch| !left_out(patch)).copied().collect();
        overlay_of(root_with(&patches).path()).0.lost
    };
    let is_bool = |patch: &Patch| has_name(patch, "done") && patch.find.contains("Bool");
    assert_eq!(without(&is_bool), Vec::<String>::new());
    assert_eq!(without(&|patch| has_name(patch, "done")), [Feature::Onces.loss()]);
}

#[test]
fn an_unknown_runtime_is_linked_to_and_what_is_lost_is_said() {
    let layout = |patch: &&Patch| patch.feature != Feature::Layout;
    let patches: Vec<Patch> = PATCHES.iter().filter(layout).copied().collect();
    let (overlay, _cache) = overlay_of(root_with(&patches).path());
    assert_eq!(overlay.lost, [Feature::Layout.loss()]);
    assert!(copy_of(&overlay, "runtime/race/race.go").is_some());
    assert!(copy_of(&overlay, "runtime/chan.go").is_none());
}

#[test]
fn a_root_that_links_its_runtime_otherwise_is_refused() {
    let root = root_with(PATCHES);
    fs::write(root.path().join("src/runtime/race/race.go"), "package race\n").unwrap();
    let cache = tempfile::tempdir().unwrap();
    let refused = prepare(root.path(), "go1.99", Path::new("/lib.a"), cache.path()).unwrap_err();
    assert!(refused.to_string().contains("Go go1.99 links its race runtime"), "{refused}");
}

#[test]
fn the_same_content_is_written_once_and_other_content_elsewhere() {
    let root = root_with(PATCHES);
    let cache = tempfile::tempdir().unwrap();
    let prepare = |lib| prepare(root.path(), "go1.99", Path::new(lib), cache.path()).unwrap();
    let first = prepare("/a.a");
    assert_eq!(prepare("/a.a"), first);
    assert_ne!(prepare("/b.a").json, first.json);
    let left = fs::read_dir(cache.path()).unwrap();
    assert!(left.flatten().all(|entry| !entry.file_name().to_string_lossy().starts_with('.')));
}

/// The recorder reads the table by the places of its entries.
#[test]
fn the_table_of_offsets_is_in_the_order_of_the_entries() {
    let runtime = runtime(true);
    for (index, (_, expression)) in OFFSETS.iter().enumerate() {
        assert!(runtime.contains(&format!("mmtraceTable[{index}] = {expression}\n")));
    }
    let layout = include_str!("../../../../recorder/src/go_runtime/layout.rs");
    let entries = layout.split("table! {").nth(1).and_then(|rest| rest.split("\n}").next());
    let names = entries.unwrap().lines().filter_map(|line| line.trim().split(':').next());
    let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
    assert_eq!(names, OFFSETS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
}

//! What docs/RACES.md says against what the analyzer does.

use mmtrace_analyzer::rules::RULES;

#[test]
fn the_table_of_rules_in_races_md_is_the_one_in_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/RACES.md");
    let text = std::fs::read_to_string(path).unwrap();
    let documented: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
    let row = |row: &mmtrace_analyzer::rules::RuleRow| {
        format!("| `{}` | {} | {} |", row.name, row.meaning, row.clause)
    };
    assert_eq!(documented, RULES.iter().map(row).collect::<Vec<_>>());
}

//! The event table of docs/FORMAT.md, which is the table of the code.

use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use mmtrace_format::event::spec::SPECS;

use crate::tool::{Done, root, say};

const BEGIN: &str = "<!-- event table: `cargo xtask format-table` writes what follows -->\n";
const END: &str = "<!-- end of the event table -->";

/// Writes the table into the document.
pub(crate) fn write() -> anyhow::Result<Done> {
    let path = root().join("docs/FORMAT.md");
    let old = std::fs::read_to_string(&path).context("reading docs/FORMAT.md")?;
    let new = replaced(&old, &table())?;
    if new == old {
        say("docs/FORMAT.md is in step with the code");
    } else {
        std::fs::write(&path, new).context("writing docs/FORMAT.md")?;
        say("docs/FORMAT.md has the new event table");
    }
    Ok(Done::Passed)
}

/// Compares the table in the document with the code's.
pub(crate) fn check() -> anyhow::Result<Done> {
    let text = std::fs::read_to_string(root().join("docs/FORMAT.md"));
    let text = text.context("reading docs/FORMAT.md")?;
    let in_step = replaced(&text, &table())? == text;
    ensure!(in_step, "the event table of docs/FORMAT.md is old: run `cargo xtask format-table`");
    Ok(Done::Passed)
}

fn replaced(text: &str, table: &str) -> anyhow::Result<String> {
    let (before, rest) = text.split_once(BEGIN).context("docs/FORMAT.md has no event table")?;
    let (_, after) = rest.split_once(END).context("the event table does not end")?;
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

fn table() -> String {
    let mut text = String::from("| tag | name | operands | meaning |\n|---|---|---|---|\n");
    for spec in SPECS {
        let operands = spec.fields.iter().map(|field| {
            let slot = format!("{:?}", field.slot).to_lowercase();
            let field_type = format!("{:?}", field.field_type).to_lowercase();
            format!("{slot}: {} ({field_type})", field.name)
        });
        let operands = operands.collect::<Vec<_>>().join(", ");
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {operands} | {} |",
            spec.tag,
            spec.name,
            spec.meaning.replace('|', "\\|")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text = format!("above\n{BEGIN}old\n{END}\nbelow\n");
        let new = replaced(&text, "new\n").unwrap();
        assert_eq!(new, format!("above\n{BEGIN}new\n{END}\nbelow\n"));
        assert!(replaced("no table", "new").is_err());
    }

    #[test]
    fn every_kind_is_a_row() {
        assert_eq!(table().lines().count(), SPECS.len() + 2);
    }
}

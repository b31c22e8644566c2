//! Quantities as people read them: as in reports, and what only the explorer says.

pub(crate) use mmtrace_analyzer::quantity::{duration, grouped, size};

/// A moment, to the nanosecond: `1.204567890s`.
pub(crate) fn time(ns: u64) -> String {
    format!("{}.{:09}s", ns / 1_000_000_000, ns % 1_000_000_000)
}

/// A count with its noun: `1 lane`, `2 lanes`, `12,345 accesses`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = match number {
        1 => "",
        _ if noun.ends_with('s') || noun.ends_with("ch") => "es",
        _ => "s",
    };
    format!("{} {noun}{plural}", grouped(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_well() {
        assert_eq!(time(1_204_567_890), "1.204567890s");
        assert_eq!(counted(1, "lane"), "1 lane");
        assert_eq!(counted(12_345, "match"), "12,345 matches");
    }
}

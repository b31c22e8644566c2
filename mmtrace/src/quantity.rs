//! Sizes and times as people write them on a command line.

use std::str::FromStr;

pub(crate) use mmtrace_analyzer::quantity::duration;

/// A number of bytes: `4096`, `64K`, `512M`, `2GiB`. Units are powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bytes(pub(crate) u64);

/// A time since a log began: `1.5s`, `20ms`, `300us`, `900ns`, `2m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Duration {
    /// In nanoseconds.
    pub(crate) ns: u64,
}

/// A word is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QuantityError {
    expected: &'static str,
}

impl std::fmt::Display for QuantityError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "expected {}", self.expected)
    }
}

impl std::error::Error for QuantityError {}

impl FromStr for Bytes {
    type Err = QuantityError;

    fn from_str(word: &str) -> Result<Self, QuantityError> {
        let error = QuantityError { expected: "a size, like 64K, 512M or 2G" };
        let (digits, unit) = split(word);
        let shift = match unit.trim_end_matches("iB").trim_end_matches('B') {
            "" => 0,
            "K" | "k" => 10,
            "M" | "m" => 20,
            "G" | "g" => 30,
            "T" | "t" => 40,
            _ => return Err(error),
        };
        scale(digits, 1 << shift).map(Self).ok_or(error)
    }
}

impl FromStr for Duration {
    type Err = QuantityError;

    fn from_str(word: &str) -> Result<Self, QuantityError> {
        let error = QuantityError { expected: "a time, like 1.5s, 20ms, 300us or 900ns" };
        let (digits, unit) = split(word);
        let unit_ns = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" | "min" => 60_000_000_000,
            _ => return Err(error),
        };
        scale(digits, unit_ns).map(|ns| Self { ns }).ok_or(error)
    }
}

/// Splits a word before its unit.
fn split(word: &str) -> (&str, &str) {
    let end = word.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(word.len());
    word.split_at(end)
}

/// A decimal number of units, in single ones, rounded down; `None` if it is none or too large.
fn scale(digits: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let whole: u64 = whole.parse().ok()?;
    let places = u32::try_from(fraction.len()).ok().filter(|&places| places <= 9)?;
    let fraction: u64 = fraction.parse().ok()?;
    let part = u128::from(fraction) * u128::from(unit) / u128::from(10_u64.pow(places));
    whole.checked_mul(unit)?.checked_add(u64::try_from(part).ok()?)
}

/// A number of bytes as people read it: `1.4 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    indicatif::HumanBytes(count).to_string()
}

/// A number with its thousands apart: `1,234,567`.
pub(crate) fn count(count: u64) -> String {
    indicatif::HumanCount(count).to_string()
}

/// A count with its noun: `1 thread`, `2 threads`, `3 accesses`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = match number {
        1 => "",
        _ if noun.ends_with('s') || noun.ends_with("ch") => "es",
        _ => "s",
    };
    format!("{} {noun}{plural}", count(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!("4096".parse(), Ok(Bytes(4096)));
        assert_eq!("64K".parse(), Ok(Bytes(64 << 10)));
        assert_eq!("1.5G".parse(), Ok(Bytes(3 << 29)));
        assert_eq!("2GiB".parse(), Ok(Bytes(2 << 30)));
        assert_eq!("0".parse(), Ok(Bytes(0)));
    }

    #[test]
    fn times_have_units() {
        assert_eq!("1.5s".parse(), Ok(Duration { ns: 1_500_000_000 }));
        assert_eq!("20ms".parse(), Ok(Duration { ns: 20_000_000 }));
        assert_eq!("300us".parse(), Ok(Duration { ns: 300_000 }));
        assert_eq!("2m".parse(), Ok(Duration { ns: 120_000_000_000 }));
        assert!("20".parse::<Duration>().is_err());
    }

    #[test]
    fn what_is_no_quantity_or_too_large_is_refused() {
        for word in ["", "M", "-1", "1.2.3", "1X", "12 M", "99999999999999999999", "18000000000G"] {
            assert!(word.parse::<Bytes>().is_err(), "{word}");
        }
    }

    #[test]
    fn quantities_read_well() {
        assert_eq!(counted(1, "thread"), "1 thread");
        assert_eq!(counted(12_000, "event"), "12,000 events");
        assert_eq!(counted(2, "access"), "2 accesses");
    }
}

//! Quantities as people read them.

/// A length of time: `1.204 s`, `35.1 ms`, `12.3 us`, `950 ns`.
pub(crate) fn duration(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{}.{} us", ns / 1_000, ns / 100 % 10),
        1_000_000..1_000_000_000 => format!("{}.{} ms", ns / 1_000_000, ns / 100_000 % 10),
        _ => format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1_000),
    }
}

/// A moment, to the nanosecond: `1.204567890s`.
pub(crate) fn time(ns: u64) -> String {
    format!("{}.{:09}s", ns / 1_000_000_000, ns % 1_000_000_000)
}

/// Bytes: `1.4 MiB`. Rounded as in reports, so that one heap is not of two sizes.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let tenths_of = |unit: u32| {
        let scale = 1_u128 << (10 * unit);
        (u128::from(bytes) * 10 + scale / 2) / scale
    };
    let mut unit = bytes.ilog2() / 10;
    if tenths_of(unit) >= 10_240 && unit < 6 {
        unit += 1;
    }
    let tenths = tenths_of(unit);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit as usize - 1])
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

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_well() {
        assert_eq!(duration(35_149_000), "35.1 ms");
        assert_eq!(time(1_204_567_890), "1.204567890s");
        assert_eq!(
            (size(1023), size(1024), size(3 << 19)),
            ("1023 B".to_owned(), "1.0 KiB".to_owned(), "1.5 MiB".to_owned())
        );
        assert_eq!([size(1_677_000), size((1 << 20) - 1)], ["1.6 MiB", "1.0 MiB"]);
        assert_eq!(size(u64::MAX), "16.0 EiB");
        assert_eq!(counted(1, "lane"), "1 lane");
        assert_eq!(counted(12_345, "match"), "12,345 matches");
    }
}

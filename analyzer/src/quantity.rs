//! Quantities as people read them: one way for reports, the explorer and the command line.

/// A count with a comma after every third digit: `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size with a unit, rounded: `14.0 MiB`.
pub fn size(bytes: u64) -> String {
    scaled(bytes, 1024, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
}

/// A length of time with a unit, rounded: `2.4 s`.
pub fn duration(ns: u64) -> String {
    scaled(ns, 1000, &["ns", "us", "ms", "s", "ks", "Ms", "Gs"])
}

/// A number in tenths of the smallest unit in which it rounds to less than `step`.
fn scaled(number: u64, step: u64, units: &[&str]) -> String {
    if number < step {
        return format!("{number} {}", units[0]);
    }
    let mut scale = u128::from(step);
    let mut tenths = tenths_of(number, scale);
    let mut unit = 1;
    while tenths >= u128::from(step) * 10 && unit + 1 < units.len() {
        scale *= u128::from(step);
        unit += 1;
        tenths = tenths_of(number, scale);
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, units[unit])
}

fn tenths_of(number: u64, scale: u128) -> u128 {
    (u128::from(number) * 10 + scale / 2) / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_their_thousands_apart() {
        assert_eq!([grouped(0), grouped(999), grouped(1_234_567)], ["0", "999", "1,234,567"]);
    }

    #[test]
    fn quantities_have_units() {
        assert_eq!([size(1023), size(1024), size(3 << 19)], ["1023 B", "1.0 KiB", "1.5 MiB"]);
        assert_eq!([duration(950), duration(35_149_000)], ["950 ns", "35.1 ms"]);
        assert_eq!(duration(2_400_000_000), "2.4 s");
        assert_eq!(size(u64::MAX), "16.0 EiB");
        assert_eq!(duration(u64::MAX), "18.4 Gs");
    }

    #[test]
    fn what_rounds_to_the_next_unit_is_in_it() {
        assert_eq!([size((1 << 20) - 1), duration(999_960)], ["1.0 MiB", "1.0 ms"]);
        assert_eq!([size(1_677_000), duration(999_940)], ["1.6 MiB", "999.9 us"]);
    }
}

//! Durations as Go writes them, in seconds.

/// Units of Go's durations, in seconds. Longer names first: `ms` must not be read as `m`.
const UNITS: [(&str, f64); 8] =
    [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("μs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

/// Whole seconds of a duration such as `5m`, `1h30m` or `90s`; a part of a second counts as a whole one, because 0 means
/// "without limit" for most of Cluster API's timeouts. None if it is no duration, negative, or too long for 32 bits.
pub(super) fn whole_seconds(text: &str) -> Option<i32> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, seconds) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        total += number * seconds;
    }
    // Sums of fractions may end a hair above the whole second that was meant.
    let whole = (total - 1e-6).ceil().max(0.0);
    let is_tiny = total > 0.0 && whole == 0.0;
    let whole = if is_tiny { 1.0 } else { whole };
    (whole <= f64::from(i32::MAX)).then_some(whole as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_become_whole_seconds_and_never_zero_by_rounding() {
        let cases = [
            ("5m", Some(300)),
            ("1h30m", Some(5400)),
            ("1h2m3s", Some(3723)),
            ("5m0s", Some(300)),
            ("1.5h", Some(5400)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("500ms", Some(1)),
            ("1ns", Some(1)),
            ("1500ms", Some(2)),
            ("10µs", Some(1)),
            ("596523h", Some(2147482800)),
            ("596524h", None),
            ("", None),
            ("+", None),
            ("5", None),
            ("m", None),
            ("-5m", None),
            ("5 m", None),
            ("5d", None),
            ("1.2.3s", None),
        ];
        for (text, expected) in cases {
            assert_eq!(whole_seconds(text), expected, "{text}");
        }
    }
}

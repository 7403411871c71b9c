//! Figures as people read them.

/// A figure to two significant digits: `0.0022`, `1.0`→`1`, `380`.
#[must_use]
pub fn figure(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let magnitude = value.abs().log10().floor() as i32;
    // Rounding may carry into the next digit: 0.0999 is 0.10.
    let unit = 10_f64.powi(magnitude - 1);
    let rounded = (value / unit).round() * unit;
    let decimals = usize::try_from(1 - magnitude).unwrap_or(0);
    let text = format!("{rounded:.decimals$}");
    if decimals > 0 {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A count with its thousands apart: `6,000`.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn list(items: &[String], last: &str) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., end] => format!("{} {last} {end}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_two_digits() {
        for (value, text) in [
            (0.02, "0.02"),
            (0.002_166, "0.0022"),
            (0.0999, "0.1"),
            (1.0, "1"),
            (1.04, "1"),
            (-0.35, "-0.35"),
            (12.0, "12"),
            (384.0, "380"),
            (0.0, "0"),
            (4.0, "4"),
        ] {
            assert_eq!(figure(value), text);
        }
    }

    #[test]
    fn counts_and_lists() {
        assert_eq!(
            [0, 999, 1_000, 65_535, 1_234_567].map(count),
            ["0", "999", "1,000", "65,535", "1,234,567"]
        );
        let items = |n: usize| {
            ["a", "b", "c"][..n]
                .iter()
                .map(|s| (*s).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            [0, 1, 2, 3].map(|n| list(&items(n), "or")),
            ["", "a", "a or b", "a, b or c"]
        );
    }
}

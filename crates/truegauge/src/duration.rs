//! Lengths of time on the command line.

use std::time::Duration;

/// A length of time: `8s`, `1m30s`, `500ms`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let span: jiff::SignedDuration = text
        .parse()
        .map_err(|_| "no length of time: a number has a unit, as in 500ms, 8s and 1m30s".to_owned())?;
    Duration::try_from(span).map_err(|_| "must not be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        assert_eq!(parse("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("5h"), Ok(Duration::from_secs(5 * 3600)));
        for text in ["-1", "NaN", "inf", "x", "", "0", "5"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

//! How figures are worded, alike in every view.

use checks::{Allowed, Row};
use serde_json::Value;

/// What is allowed, with its unit.
pub(super) fn allowed(row: &Row) -> String {
    match (&row.allowed, &row.unit) {
        (Allowed::Range(_), Some(unit)) => format!("{} {unit}", bounds(row)),
        _ => bounds(row),
    }
}

/// A range as `min … max`, anything else as it is.
pub(super) fn bounds(row: &Row) -> String {
    let range = match &row.allowed {
        Allowed::Value(value) => return shown(value),
        Allowed::Range(range) => range,
    };
    match (range.min, range.max) {
        (Some(min), Some(max)) => format!("{} … {}", short(min), short(max)),
        (Some(min), None) => format!("≥ {}", short(min)),
        (None, Some(max)) => format!("≤ {}", short(max)),
        (None, None) => unreachable!("verdict refuses a range without a bound"),
    }
}

/// A figure to two places, without trailing zeros; by its power of ten where it would be longer than anybody reads, or read as 0.
pub(super) fn short(figure: f64) -> String {
    if figure.abs() >= 1e15 {
        return format!("{figure:.2e}");
    }
    if figure != 0.0 && figure.abs() < 0.005 {
        return format!("{figure:.0e}");
    }
    let text = format!("{figure:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A value for people: figures to two places, text without quotes.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), short),
        Value::String(text) => plain(text),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => plain(&other.to_string()),
    }
}

/// A CPU figure, or a dash.
pub(super) fn percent(figure: Option<f64>) -> String {
    figure.map_or_else(|| "–".to_owned(), |percent| format!("{percent:.1}"))
}

/// Text of others on one line and without what a terminal or a log reader would take for a command.
pub(crate) fn escaped(text: &str) -> String {
    text.chars().flat_map(visible).collect()
}

/// Text of others, cut where it is long, on one line and without what a terminal, a log reader or a table would take for a command.
pub(crate) fn plain(text: &str) -> String {
    const LONGEST: usize = 400;
    let shown: String = text.chars().take(LONGEST).flat_map(visible).collect();
    if text.chars().nth(LONGEST).is_some() {
        format!("{shown}…")
    } else {
        shown
    }
}

/// Control and format characters.
pub(super) fn hidden(c: char) -> bool {
    let formats =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    c.is_control() || formats
}

/// Control and format characters (escapes, line ends, changes of writing direction) as Rust writes them.
fn visible(c: char) -> impl Iterator<Item = char> {
    let escaped = hidden(c).then(|| c.escape_default());
    let itself = if escaped.is_none() { Some(c) } else { None };
    escaped.into_iter().flatten().chain(itself)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_short() {
        for (value, expected) in [
            (json!(3), "3"),
            (json!(2.50), "2.5"),
            (json!(2.0), "2"),
            (json!(1e300), "1.00e300"),
            (json!(0.001), "1e-3"),
            (json!(-0.004), "-4e-3"),
            (json!(0.0), "0"),
            (json!("x"), "x"),
            (json!([1, "a"]), "1, a"),
            (json!([]), "none"),
            (json!("a\n::error::b\u{1b}[2J"), r"a\n::error::b\u{1b}[2J"),
            (json!({"a": "b\n"}), r#"{"a":"b\n"}"#),
        ] {
            assert_eq!(shown(&value), expected);
        }
    }

    #[test]
    fn text_of_others_stays_on_its_line_and_is_cut() {
        assert_eq!(plain("tokio-rt-worker ü 日"), "tokio-rt-worker ü 日");
        assert_eq!(plain("a\tb\u{202e}c\u{85}"), r"a\tb\u{202e}c\u{85}");
        let long = plain(&"x".repeat(5000));
        assert!(long.chars().count() == 401 && long.ends_with('…'));
    }
}

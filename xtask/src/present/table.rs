//! The table of checks, failures and their remedies last.

use anstream::{AutoStream, ColorChoice, println};
use comfy_table::{Cell, Color, ContentArrangement, Table, presets};
use serde_json::Value;
use verdict::{Allowed, Outcome, Row};

use super::FAILED;

/// Prints the table, one line a check and one column a report, then every failed or skipped check once more with what
/// to do about it.
pub(crate) fn print(rows: &[Row], labels: &[&str]) {
    let mut table = empty();
    table.set_header(
        std::iter::once("check")
            .chain(labels.iter().copied())
            .chain(["what is claimed"]),
    );
    for line in lines(rows, labels) {
        let cells = line.cells.iter().map(|row| match row {
            Some(row) => Cell::new(summary(row)).fg(color(row)),
            None => Cell::new(""),
        });
        table.add_row(
            std::iter::once(Cell::new(&line.check))
                .chain(cells)
                .chain([Cell::new(line.title)]),
        );
    }
    println!("{table}");
    for row in rows.iter().filter(|row| row.outcome() != Outcome::Pass) {
        println!("{}", explained(row));
    }
}

/// A table in the style of all, for standard output.
pub(crate) fn empty() -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_BORDERS_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic);
    match AutoStream::choice(&std::io::stdout()) {
        ColorChoice::Never => table.force_no_tty(),
        _ => table.enforce_styling(),
    };
    if table.width().is_none() {
        table.set_width(150);
    }
    table
}

/// One check over all reports.
#[derive(Debug, PartialEq)]
struct Line<'a> {
    /// The rows' id without the report's label.
    check: String,
    title: &'a str,
    /// One a label. A row of no report in particular stands under the first.
    cells: Vec<Option<&'a Row>>,
}

/// Gathers `3.idle.process`, `3.busy.process` and so on into one line, in the order of first appearance.
fn lines<'a>(rows: &'a [Row], labels: &[&str]) -> Vec<Line<'a>> {
    let mut lines: Vec<Line<'a>> = Vec::new();
    for row in rows {
        let mut column = 0;
        let parts: Vec<&str> = row
            .check
            .split('.')
            .filter(|part| match labels.iter().position(|label| label == part) {
                Some(at) => {
                    column = at;
                    false
                }
                None => true,
            })
            .collect();
        let check = parts.join(".");
        let line = match lines
            .iter()
            .position(|line| line.check == check && line.cells[column].is_none())
        {
            Some(at) => &mut lines[at],
            None => {
                let title = row.title.as_deref().unwrap_or_default();
                lines.push(Line {
                    check,
                    title,
                    cells: vec![None; labels.len()],
                });
                lines.last_mut().expect("just pushed")
            }
        };
        line.cells[column] = Some(row);
    }
    lines
}

fn color(row: &Row) -> Color {
    match row.outcome() {
        Outcome::Pass => Color::Green,
        Outcome::Fail => Color::Red,
        Outcome::Inconclusive => Color::Yellow,
    }
}

/// Measured beside allowed, in one cell.
fn summary(row: &Row) -> String {
    match row.outcome() {
        Outcome::Pass if row.allowed == Allowed::Value(row.measured.clone()) => {
            format!("✓ {}", shown(&row.measured))
        }
        Outcome::Pass => format!("✓ {}  [{}]", shown(&row.measured), bounds(row)),
        Outcome::Fail => format!("FAIL {}  [{}]", shown(&row.measured), bounds(row)),
        Outcome::Inconclusive => "SKIPPED".to_owned(),
    }
}

/// One failed or skipped check in full.
fn explained(row: &Row) -> String {
    let title = row
        .title
        .as_deref()
        .map(|title| format!(" ({title})"))
        .unwrap_or_default();
    let place = row
        .location
        .as_deref()
        .map(|place| format!("\n    where:    {place}"))
        .unwrap_or_default();
    let remedy = row
        .remedy
        .as_deref()
        .map(|remedy| format!("\n    remedy:   {remedy}"))
        .unwrap_or_default();
    match row.outcome() {
        Outcome::Inconclusive => {
            let reason = row.reason.as_deref().unwrap_or("no reason given");
            format!("SKIPPED {}{title}\n    reason:   {reason}{place}", row.check)
        }
        _ => format!(
            "{FAILED}FAIL{FAILED:#} {}{title}\n    measured: {}\n    allowed:  {}{place}{remedy}",
            row.check,
            shown(&row.measured),
            allowed(row),
        ),
    }
}

/// What is allowed, with its unit.
fn allowed(row: &Row) -> String {
    match (&row.allowed, &row.unit) {
        (Allowed::Range(_), Some(unit)) => format!("{} {unit}", bounds(row)),
        _ => bounds(row),
    }
}

/// A range as `min … max`, anything else as it is.
fn bounds(row: &Row) -> String {
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

/// A figure to two places, without trailing zeros.
fn short(figure: f64) -> String {
    let text = format!("{figure:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A value for people: figures to two places, text without quotes.
fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), short),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(value: Value) -> Row {
        serde_json::from_value(value).expect("a row")
    }

    #[test]
    fn a_failure_says_what_where_and_what_to_do() {
        let row = row(json!({
            "check": "3.busy.process", "title": "process CPU", "passed": false, "measured": 1.25,
            "allowed": {"min": 17.5, "max": 52.759}, "unit": "% of a core", "where": ".reports[1]", "remedy": "look",
        }));
        let text = anstream::adapter::strip_str(&explained(&row)).to_string();
        assert_eq!(
            text,
            "FAIL 3.busy.process (process CPU)\n    measured: 1.25\n    allowed:  17.5 … 52.76 % of a core\n    \
             where:    .reports[1]\n    remedy:   look"
        );
    }

    #[test]
    fn one_line_a_check_one_column_a_report() {
        let make = |check: &str, passed: bool| {
            row(json!({"check": check, "title": "t", "passed": passed, "measured": 1, "allowed": {"max": 2}}))
        };
        let rows = [
            make("3.idle.sum", true),
            make("3.rise", true),
            make("3.busy.sum", false),
        ];
        let lines = lines(&rows, &["idle", "busy"]);
        let told: Vec<_> = lines
            .iter()
            .map(|line| {
                (
                    line.check.as_str(),
                    line.cells.iter().map(|row| row.map(summary)).collect::<Vec<_>>(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                (
                    "3.sum",
                    vec![Some("✓ 1  [≤ 2]".to_owned()), Some("FAIL 1  [≤ 2]".to_owned())]
                ),
                ("3.rise", vec![Some("✓ 1  [≤ 2]".to_owned()), None]),
            ]
        );
    }

    #[test]
    fn a_skipped_check_says_why() {
        let row = row(json!({
            "check": "4.x", "passed": null, "measured": null, "allowed": {"max": 3}, "reason": "no observer",
        }));
        assert_eq!(explained(&row), "SKIPPED 4.x\n    reason:   no observer");
        assert_eq!(allowed(&row), "≤ 3");
    }

    #[test]
    fn values_are_short() {
        for (value, expected) in [
            (json!(3), "3"),
            (json!(2.50), "2.5"),
            (json!(2.0), "2"),
            (json!("x"), "x"),
            (json!([1, "a"]), "1, a"),
            (json!([]), "none"),
        ] {
            assert_eq!(shown(&value), expected);
        }
    }
}

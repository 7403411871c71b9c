//! The table of checks, failures and their remedies last.

use anstream::{AutoStream, ColorChoice};
use checks::{Allowed, Outcome, Row};
use comfy_table::{Cell, Color, ContentArrangement, Table, presets};

use super::FAILED;
use super::format::{allowed, bounds, shown};
use super::grouping::{by_reason, lines, relaxed};

/// Renders the table, one line a check and one column a report; then the reasons of skipped checks; last every failure with
/// its remedy.
pub(crate) fn render(rows: &[Row], labels: &[&str]) -> String {
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
    let mut text = table.to_string();
    for (reason, checks) in by_reason(rows, skipped) {
        text += &format!("\nSKIPPED: {reason}\n    {}", checks.join(" "));
    }
    for (reason, checks) in by_reason(rows, relaxed) {
        text += &format!("\nRELAXED: {reason}\n    {}", checks.join(" "));
    }
    for row in rows.iter().filter(|row| row.outcome() == Outcome::Fail) {
        text += &format!("\n{}", explained(row));
    }
    text
}

/// Why a check was skipped, if it was.
fn skipped(row: &Row) -> Option<&str> {
    (row.outcome() == Outcome::Inconclusive).then(|| row.reason.as_deref().unwrap_or("no reason given"))
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

fn color(row: &Row) -> Color {
    match row.outcome() {
        Outcome::Pass if row.relaxed.is_some() => Color::Cyan,
        Outcome::Pass => Color::Green,
        Outcome::Fail => Color::Red,
        Outcome::Inconclusive => Color::Yellow,
    }
}

/// Measured beside allowed, in one cell.
fn summary(row: &Row) -> String {
    if row.relaxed.is_some() {
        return format!("relaxed {}", shown(&row.measured));
    }
    match row.outcome() {
        Outcome::Pass if row.allowed == Allowed::Value(row.measured.clone()) => {
            format!("✓ {}", shown(&row.measured))
        }
        Outcome::Pass => format!("✓ {}  [{}]", shown(&row.measured), bounds(row)),
        Outcome::Fail => format!("FAIL {}  [{}]", shown(&row.measured), bounds(row)),
        Outcome::Inconclusive => "SKIPPED".to_owned(),
    }
}

/// One failed check in full.
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
    format!(
        "{FAILED}FAIL{FAILED:#} {}{title}\n    measured: {}\n    allowed:  {}{place}{remedy}",
        row.check,
        shown(&row.measured),
        allowed(row),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

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
    fn skipped_checks_stand_together_by_why() {
        let skip = |check: &str, reason: &str| {
            row(
                json!({"check": check, "passed": null, "measured": null, "allowed": {"max": 3}, "reason": reason}),
            )
        };
        let rows = [
            skip("4.x", "no observer"),
            skip("5.x", "no start"),
            skip("4.y", "no observer"),
        ];
        assert_eq!(
            by_reason(&rows, skipped),
            [
                ("no observer".to_owned(), vec!["4.x", "4.y"]),
                ("no start".to_owned(), vec!["5.x"])
            ]
        );
        assert_eq!(allowed(&rows[0]), "≤ 3");
        let mut row = rows[0].clone();
        row.relaxed = Some("it has none".to_owned());
        assert_eq!(summary(&row), "relaxed null");
        assert_eq!(
            by_reason(&[row.clone(), rows[1].clone()], relaxed),
            [("it has none".to_owned(), vec!["4.x"])]
        );
        assert_eq!(skipped(&row), None);
    }
}

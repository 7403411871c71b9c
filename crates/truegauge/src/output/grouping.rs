//! Checks gathered over the reports: one line a check, one cell a report.

use checks::Row;

use super::format::plain;

/// One check over all reports.
#[derive(Debug, PartialEq)]
pub(super) struct Line<'a> {
    /// The rows' id without the report's label.
    pub(super) check: String,
    pub(super) title: &'a str,
    /// One a label. A row of no report in particular stands under the first.
    pub(super) cells: Vec<Option<&'a Row>>,
}

/// Gathers `3.idle.process`, `3.busy.process` and so on into one line, in the order of first appearance.
pub(super) fn lines<'a>(rows: &'a [Row], labels: &[&str]) -> Vec<Line<'a>> {
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

/// The checks for which there is a reason, by that.
pub(super) fn by_reason(rows: &[Row], reason: fn(&Row) -> Option<&str>) -> Vec<(String, Vec<&str>)> {
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for row in rows {
        let Some(reason) = reason(row).map(plain) else {
            continue;
        };
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, checks)) => checks.push(&row.check),
            None => reasons.push((reason, vec![&row.check])),
        }
    }
    reasons
}

/// Why a check need not pass for the client that was judged, if it need not.
pub(super) fn relaxed(row: &Row) -> Option<&str> {
    row.relaxed.as_deref()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn row(value: Value) -> Row {
        serde_json::from_value(value).expect("a row")
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
                    line.cells
                        .iter()
                        .map(|row| row.map(|row| row.check.as_str()))
                        .collect::<Vec<_>>(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("3.sum", vec![Some("3.idle.sum"), Some("3.busy.sum")]),
                ("3.rise", vec![Some("3.rise"), None]),
            ]
        );
    }
}

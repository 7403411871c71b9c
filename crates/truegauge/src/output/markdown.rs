//! `summary.md`: what happened, for whoever reads the run on a CI system's page.

use std::fmt::Write;

use checks::{Outcome, Row};

use super::format::{allowed, percent, plain, shown};
use super::grouping::{by_reason, lines, relaxed};
use crate::results::Results;

/// Failed and skipped checks told in full; a CI system's page has an end.
const MOST_TROUBLES: usize = 40;

/// The whole file.
pub(crate) fn render(results: &Results) -> String {
    let mut page = format!("## {}\n\n", inline(&results.sentence));
    troubles(&mut page, results);
    checks(&mut page, results);
    cpu(&mut page, results);
    soak(&mut page, results);
    environment(&mut page, results);
    page
}

fn troubles(page: &mut String, results: &Results) {
    let all: Vec<&Row> = results.troubles().collect();
    for row in all.iter().take(MOST_TROUBLES) {
        let title = row.title.as_deref().unwrap_or_default();
        let _ = match row.outcome() {
            Outcome::Inconclusive => writeln!(
                page,
                "- **SKIPPED {}** {}: {}",
                row.check,
                inline(title),
                inline(row.reason.as_deref().unwrap_or_default())
            ),
            _ => writeln!(
                page,
                "- **FAIL {}** {}: measured {}, allowed {}. {}",
                row.check,
                inline(title),
                inline(&shown(&row.measured)),
                inline(&allowed(row)),
                inline(row.remedy.as_deref().unwrap_or_default())
            ),
        };
    }
    if let Some(more @ 1..) = all.len().checked_sub(MOST_TROUBLES) {
        let _ = writeln!(page, "- and {more} more: see results.json");
    }
    let relaxed = by_reason(&results.checks, relaxed);
    for (reason, checks) in &relaxed {
        let _ = writeln!(page, "- **RELAXED** {}: {}", inline(reason), checks.join(", "));
    }
    if !all.is_empty() || !relaxed.is_empty() {
        page.push('\n');
    }
}

fn checks(page: &mut String, results: &Results) {
    if results.checks.is_empty() {
        return;
    }
    let labels = match results.labels() {
        labels if labels.is_empty() => vec!["result"],
        labels => labels,
    };
    let _ = writeln!(page, "<details><summary>Every check</summary>\n");
    let _ = writeln!(page, "| check | {} | what is claimed |", labels.join(" | "));
    let _ = writeln!(page, "|---|{}---|", "---|".repeat(labels.len()));
    for line in lines(&results.checks, &labels) {
        let cells = line
            .cells
            .iter()
            .map(|cell| cell.map(summary).unwrap_or_default());
        let cells: Vec<String> = cells.map(|cell| inline(&cell)).collect();
        let _ = writeln!(
            page,
            "| {} | {} | {} |",
            line.check,
            cells.join(" | "),
            inline(line.title)
        );
    }
    let _ = writeln!(page, "\n</details>\n");
}

fn summary(row: &Row) -> String {
    if row.relaxed.is_some() {
        return format!("relaxed {}", shown(&row.measured));
    }
    match row.outcome() {
        Outcome::Pass => format!("✓ {}", shown(&row.measured)),
        Outcome::Fail => format!("✗ {} ({})", shown(&row.measured), allowed(row)),
        Outcome::Inconclusive => "skipped".to_owned(),
    }
}

fn cpu(page: &mut String, results: &Results) {
    if results.reports.is_empty() {
        return;
    }
    let _ = writeln!(
        page,
        "| CPU, % of a core | client | its threads | observer |\n|---|---:|---:|---:|"
    );
    for report in &results.reports {
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} |",
            inline(&report.label),
            percent(report.client.cpu_percent),
            percent(report.client.threads_percent),
            percent(report.observer.cpu_percent)
        );
    }
    page.push('\n');
}

fn soak(page: &mut String, results: &Results) {
    if let Some(soak) = &results.soak {
        let _ = writeln!(page, "**Soak.** {}\n", inline(&soak.sentence));
    }
}

fn environment(page: &mut String, results: &Results) {
    let told = results.environment.told();
    let told: Vec<String> = told
        .iter()
        .map(|(name, value)| format!("{name}: {}", inline(value)))
        .collect();
    let _ = writeln!(page, "{}\n", told.join("; "));
    let _ = writeln!(
        page,
        "Run {}, {}. See it again:\n",
        results.run.id, results.run.started_at
    );
    let _ = writeln!(page, "    {}", plain(&results.run.command));
}

/// Text of others, as text: no markup, no mention, no end of a table's cell.
pub(super) fn inline(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            // GitHub mentions people and refers to issues by these; as references they are only shown.
            '@' => safe.push_str("&#64;"),
            '#' => safe.push_str("&#35;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '~' | '$' => {
                safe.push('\\');
                safe.push(c);
            }
            _ => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::examples;

    #[test]
    fn the_verdict_comes_first_then_what_did_not_pass() {
        let page = render(&examples::failed());
        let at = |part: &str| page.find(part).unwrap_or_else(|| panic!("{part:?} in\n{page}"));
        let order = [
            "## FAIL: 1 passed",
            "- **FAIL 3.busy.process**",
            "- **SKIPPED 6.busy.names**",
            "| check | idle | busy |",
            "| busy | 1.2 | – | 35.1 |",
            "**Soak.** CLEAN",
            "Debian GNU/Linux 12",
            "    cargo xtask verify --window 2s",
        ];
        assert!(order.map(at).is_sorted(), "{page}");
        assert!(
            page.contains("look at &lt;the clock&gt; &amp; the window"),
            "{page}"
        );
    }

    #[test]
    fn text_of_others_is_only_text() {
        assert_eq!(
            inline("a|b <i>`@you` #1 [x](y)\n"),
            r"a\|b &lt;i&gt;\`&#64;you\` &#35;1 \[x\](y)\\n"
        );
        let page = render(&examples::failed());
        assert!(!page.contains("<script") && !page.contains('\u{1b}'), "{page}");
    }

    #[test]
    fn a_thousand_failures_are_not_all_told() {
        let mut results = examples::failed();
        let row = results.checks[1].clone();
        results.checks.extend(std::iter::repeat_n(row, 1000));
        assert!(render(&results).contains("- and 962 more: see results.json"));
    }
}

//! `report.html`: one page that holds all it needs, so that it can be mailed.
//!
//! Everything in it that a client wrote goes through maud's escaping, and a content security policy forbids whatever
//! might slip through to load anything.

pub(crate) mod matrix;
mod threads;

use checks::{Allowed, Outcome, Row};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::format::{allowed, percent, plain, short, shown};
use super::grouping::{by_reason, lines, relaxed};
use crate::results::{Experiment, Report, Results, Soak};

pub(super) const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The whole page; the picture is a soak's, as SVG.
pub(crate) fn render(results: &Results, picture: Option<&str>) -> String {
    let run = &results.run;
    let heading = html! {
        p.verdict.(results.verdict.word()) { (results.verdict) }
        h1 { (plain(results.sentence.strip_prefix(&format!("{}: ", results.verdict)).unwrap_or(&results.sentence))) }
        p.run { "Run " (run.id) ", " (run.started_at) ", " (format!("{:.0} s", run.elapsed_secs)) }
    };
    let body = html! {
        (troubles(results))
        (relaxations(results))
        (checks(results))
        (side_by_side(&results.reports))
        (threads::table(&results.reports))
        @if let Some(soak) = &results.soak { (soak_section(soak, picture)) }
        (environment(results))
        (again(results))
    };
    document(&format!("{}: {}", results.verdict, run.id), &heading, &body)
}

/// A page in the style of all.
pub(super) fn document(title: &str, heading: &Markup, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // Without it a browser asks the server for one.
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#content" { "Skip to the results" }
                header { (heading) }
                main #content { (body) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// A table that is wider than the screen scrolls by itself, with the keyboard as well.
pub(super) fn scrolling(label: &str, table: &Markup) -> Markup {
    html! { div.scroll role="region" aria-label=(label) tabindex="0" { (table) } }
}

fn troubles(results: &Results) -> Markup {
    let troubles: Vec<&Row> = results.troubles().collect();
    html! {
        @if !troubles.is_empty() {
            section aria-labelledby="troubles" {
                h2 #troubles { "What did not pass" }
                @for row in troubles { (trouble(row)) }
            }
        }
    }
}

/// What this client need not pass, by why.
fn relaxations(results: &Results) -> Markup {
    let relaxed = by_reason(&results.checks, relaxed);
    html! {
        @if !relaxed.is_empty() {
            section aria-labelledby="relaxed" {
                h2 #relaxed { "What the profile relaxes" }
                dl { @for (reason, checks) in &relaxed {
                    dt { (reason) }
                    dd { @for check in checks { code { (check) } " " } }
                } }
            }
        }
    }
}

fn trouble(row: &Row) -> Markup {
    let (class, word) = describe_status(row);
    html! {
        article.trouble.(class) {
            h3 { span.word { (word) } " " code { (row.check) } @if let Some(title) = &row.title { " " (plain(title)) } }
            dl {
                @if let Some(reason) = &row.reason {
                    dt { "reason" } dd { (plain(reason)) }
                } @else {
                    dt { "measured" } dd { (shown(&row.measured)) }
                    dt { "allowed" } dd { (allowed(row)) }
                }
                @if let Some(place) = &row.location { dt { "where" } dd { code { (plain(place)) } } }
                @if let (Some(remedy), Outcome::Fail) = (&row.remedy, row.outcome()) { dt { "remedy" } dd { (plain(remedy)) } }
            }
        }
    }
}

fn describe_status(row: &Row) -> (&'static str, &'static str) {
    if row.relaxed.is_some() {
        return ("skip", "relaxed");
    }
    match row.outcome() {
        Outcome::Pass => ("pass", "passed"),
        Outcome::Fail => ("fail", "FAILED"),
        Outcome::Inconclusive => ("skip", "skipped"),
    }
}

fn checks(results: &Results) -> Markup {
    let labels = match results.labels() {
        labels if labels.is_empty() => vec!["result"],
        labels => labels,
    };
    let tally = results.tally();
    let table = html! {
        table {
            caption {
                (tally.passed) " passed, " (tally.failed) " failed, " (tally.skipped) " skipped"
                @if tally.relaxed > 0 { ", " (tally.relaxed) " relaxed" }
            }
            thead { tr {
                th scope="col" { "check" }
                @for label in &labels { th scope="col" { (plain(label)) } }
                th scope="col" { "what is claimed" }
            } }
            tbody { @for line in lines(&results.checks, &labels) { tr {
                th scope="row" { code { (line.check) } }
                @for cell in &line.cells { (judged(*cell)) }
                td { (plain(line.title)) }
            } } }
        }
    };
    html! {
        @if !results.checks.is_empty() {
            section aria-labelledby="checks" {
                h2 #checks { "Every check" }
                (scrolling("Every check", &table))
            }
        }
    }
}

fn judged(cell: Option<&Row>) -> Markup {
    let Some(row) = cell else {
        return html! { td {} };
    };
    let (class, word) = describe_status(row);
    let bare = row.allowed == Allowed::Value(row.measured.clone());
    html! {
        td.(class) {
            @if row.outcome() == Outcome::Pass && row.relaxed.is_none() {
                span.word aria-hidden="true" { "✓" } span.unseen { "passed" }
            } @else { span.word { (word) } }
            @if row.outcome() != Outcome::Inconclusive {
                " " (shown(&row.measured))
                @if !bare { " " span.allowed { "[" (allowed(row)) "]" } }
            }
        }
    }
}

/// What the client says beside what was observed, report by report.
fn side_by_side(reports: &[Report]) -> Markup {
    let cpu = |report: &Report| {
        [
            report.client.cpu_percent,
            report.client.threads_percent,
            report.observer.cpu_percent,
        ]
    };
    let most = reports.iter().flat_map(cpu).flatten().fold(1.0, f64::max);
    let kib = |figure: Option<f64>| figure.map_or_else(|| "–".to_owned(), short);
    let table = html! {
        table {
            thead {
                tr {
                    th scope="col" rowspan="2" { "report" }
                    th scope="colgroup" colspan="3" { "CPU, % of a core" }
                    th scope="colgroup" colspan="2" { "resident, KiB" }
                    th scope="colgroup" colspan="2" { "virtual, KiB" }
                    th scope="col" rowspan="2" { "uptime, s" }
                }
                tr {
                    th scope="col" { "client" } th scope="col" { "its threads" } th scope="col" { "observer" }
                    @for _ in 0..2 { th scope="col" { "client" } th scope="col" { "observer" } }
                }
            }
            tbody { @for report in reports { tr {
                th scope="row" { (plain(&report.label)) }
                @for figure in cpu(report) { (bar(figure, most)) }
                @for figure in [
                    report.client.resident_kb, report.observer.resident_kb,
                    report.client.virtual_kb, report.observer.virtual_kb,
                ] { td.figure { (kib(figure)) } }
                td.figure { (kib(report.uptime_secs)) }
            } } }
        }
    };
    html! {
        @if !reports.is_empty() {
            section aria-labelledby="side-by-side" {
                h2 #side-by-side { "Client and observer side by side" }
                (scrolling("Client and observer side by side", &table))
                @for report in reports { @if let Some(reason) = &report.unavailable {
                    p { (plain(&report.label)) " says that it has no figures: " (plain(reason)) }
                } }
            }
        }
    }
}

/// A figure, and its share of the greatest as a bar.
fn bar(figure: Option<f64>, most: f64) -> Markup {
    let share = figure.map_or(0.0, |figure| (figure / most).clamp(0.0, 1.0) * 100.0);
    html! { td.figure.bar style=(format!("--share:{share:.1}%")) { (percent(figure)) } }
}

fn soak_section(soak: &Soak, picture: Option<&str>) -> Markup {
    html! {
        section aria-labelledby="soak" {
            h2 #soak { "Soak" }
            p { strong { (plain(&soak.sentence)) } }
            p { "Exact tier: " (plain(&soak.exact)) }
            p { "Control: " (plain(&soak.control)) }
            @for (number, experiment) in (1..).zip(&soak.experiments) { (experiment_table(number, experiment)) }
            @if let Some(picture) = picture {
                figure {
                    img src=(data_url(picture)) alt=(format!("Every resource's readings over the operations. {}", plain(&soak.sentence)));
                    figcaption { "Readings after each block, and the leak that they allow" }
                }
            }
        }
    }
}

fn experiment_table(number: usize, experiment: &Experiment) -> Markup {
    let figure = |figure: Option<f64>| figure.map(leak_test::figure).unwrap_or_default();
    let label = format!("Experiment {number}");
    let table = html! {
        table {
            caption {
                (label) ": " (experiment.pairs) " pairs of blocks, " (experiment.operations) " operations ("
                (experiment.operation) "), seed " (experiment.seed)
            }
            thead { tr {
                th scope="col" { "resource" } th scope="col" { "found" } th scope="col" { "leak per operation" }
                th scope="col" { "99 % bounds" } th scope="col" { "to rule out" } th scope="col" { "would be found" }
            } }
            tbody { @for found in &experiment.findings { tr {
                th scope="row" { (found.resource) }
                td { (plain(&found.found)) }
                td.figure { (figure(found.per_operation)) }
                td.figure { @if let Some(bounds) = &found.bounds { (figure(Some(bounds.lower))) " … " (figure(Some(bounds.upper))) } }
                td.figure { (figure(Some(found.to_rule_out))) }
                td.figure { (figure(found.would_be_found)) }
            } } }
        }
    };
    scrolling(&label, &table)
}

/// As an image it keeps its own style sheet, and follows the reader's theme by itself.
fn data_url(svg: &str) -> String {
    let mut url = "data:image/svg+xml,".to_owned();
    for byte in svg.bytes() {
        match byte {
            b'a'..=b'z'
            | b'A'..=b'Z'
            | b'0'..=b'9'
            | b'-'
            | b'.'
            | b'_'
            | b'~'
            | b'/'
            | b'='
            | b':'
            | b' ' => {
                url.push(char::from(byte));
            }
            _ => url += &format!("%{byte:02X}"),
        }
    }
    url
}

fn environment(results: &Results) -> Markup {
    html! {
        section aria-labelledby="environment" {
            h2 #environment { "Environment" }
            dl { @for (name, value) in results.environment.told() { dt { (name) } dd { (plain(&value)) } } }
            @if !results.thresholds.is_empty() {
                details {
                    summary { "Thresholds" }
                    dl { @for (name, value) in &results.thresholds { dt { code { (name) } } dd { (shown(value)) } } }
                }
            }
        }
    }
}

fn again(results: &Results) -> Markup {
    html! {
        section aria-labelledby="again" {
            h2 #again { "See it again" }
            pre tabindex="0" { code { (plain(&results.run.command)) } }
            @if let Some(seed) = &results.run.seed { p { "The coins were thrown by the seed " code { (seed) } "." } }
            @if !results.artifacts.is_empty() {
                h3 { "Files beside this page" }
                ul { @for artifact in &results.artifacts {
                    li { a href=(artifact.path) { (artifact.path) } ": " (artifact.what) }
                } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::examples;

    #[test]
    fn the_verdict_comes_first_and_the_command_last() {
        let page = render(&examples::failed(), Some("<svg xmlns='x'/>"));
        let at = |part: &str| page.find(part).unwrap_or_else(|| panic!("{part:?} in\n{page}"));
        let order = [
            "<p class=\"verdict fail\">FAIL</p>",
            "<h1>1 passed",
            "What did not pass",
            "3.busy.process",
            "Every check",
            "Client and observer side by side",
            "Threads",
            "CLEAN: a leak above 0.02",
            "data:image/svg+xml,%3Csvg",
            "Debian GNU/Linux 12",
            "cargo xtask verify --window 2s",
        ];
        assert!(order.map(at).is_sorted(), "{page}");
    }

    #[test]
    fn nothing_that_a_client_wrote_is_markup() {
        let page = render(&examples::failed(), None);
        assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;"));
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert!(
            !page.contains("<img") && page.matches("<script").count() == 1,
            "{page}"
        );
    }

    #[test]
    fn the_page_names_no_other_place_to_load_from() {
        let page = render(
            &examples::failed(),
            Some("<svg xmlns='http://www.w3.org/2000/svg'/>"),
        );
        assert!(!page.contains("src=\"http") && !page.contains("@import") && !page.contains("url("));
        assert!(page.contains("default-src 'none'"));
    }
}

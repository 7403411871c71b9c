//! Many runs as a page.

use std::path::PathBuf;

use checks::Outcome;
use leak_test::figure;
use maud::{Markup, html};

use super::{document, scrolling};
use crate::output::console::shown_path;
use crate::output::format::plain;
use crate::output::matrix::counted;
use crate::results::{Count, Matrix, MatrixLine, Results, Verdict};

/// The whole page; beside each run, where its files lie.
pub(crate) fn render(
    matrix: &Matrix,
    verdict: Verdict,
    sentence: &str,
    runs: &[(PathBuf, Results)],
) -> String {
    let heading = html! {
        p.verdict.(verdict.word()) { (verdict) }
        h1 { (sentence) }
    };
    let differing: Vec<&MatrixLine> = matrix.differences().collect();
    let all: Vec<&MatrixLine> = matrix.lines.iter().collect();
    let body = html! {
        (legs(matrix))
        (lines("differences", "What differs between systems", matrix, &differing))
        (environments(matrix))
        (bounds(matrix))
        (lines("checks", "Every check on every system", matrix, &all))
        (every_run(runs))
    };
    document("Summary of runs", &heading, &body)
}

fn legs(matrix: &Matrix) -> Markup {
    html! {
        @if !matrix.legs.is_empty() {
            section aria-labelledby="legs" {
                h2 #legs { "Expected legs" }
                dl { @for leg in &matrix.legs {
                    dt { (plain(&leg.name)) }
                    dd { (plain(&leg.to_string())) }
                } }
            }
        }
    }
}

fn systems(matrix: &Matrix) -> Markup {
    html! { @for system in &matrix.systems {
        th scope="col" { (plain(&system.name)) " (" (system.runs) ")" }
    } }
}

fn lines(id: &str, title: &str, matrix: &Matrix, lines: &[&MatrixLine]) -> Markup {
    let table = html! {
        table {
            thead { tr { th scope="col" { "check" } (systems(matrix)) th scope="col" { "what is claimed" } } }
            tbody { @for line in lines { tr {
                th scope="row" { code { (line.check) } }
                @for count in &line.cells { (cell(*count)) }
                td { (plain(&line.title)) }
            } } }
        }
    };
    html! {
        section aria-labelledby=(id) {
            h2 #(id) { (title) }
            @if lines.is_empty() { p { "Nothing." } } @else { (scrolling(title, &table)) }
        }
    }
}

fn cell(count: Count) -> Markup {
    let class = match count.outcome() {
        Some(Outcome::Pass) => "pass",
        Some(Outcome::Fail) => "fail",
        Some(Outcome::Inconclusive) => "skip",
        None => "",
    };
    html! { td.(class) { span.word { (counted(count)) } } }
}

fn environments(matrix: &Matrix) -> Markup {
    html! {
        @if !matrix.environments.is_empty() {
            section aria-labelledby="environments" {
                h2 #environments { "What the machines do not agree on" }
                dl { @for (name, values) in &matrix.environments {
                    dt { (plain(name)) }
                    dd { @for (value, runs) in values { (plain(value)) " (" (runs) ") " } }
                } }
            }
        }
    }
}

fn bounds(matrix: &Matrix) -> Markup {
    let title = "Soak: leak per operation at most, with 99 %, by the weakest run of each system";
    let table = html! {
        table {
            thead { tr { th scope="col" { "resource" } (systems(matrix)) } }
            tbody { @for (resource, cells) in &matrix.bounds { tr {
                th scope="row" { (plain(resource)) }
                @for bound in cells { td.figure { (bound.map_or_else(|| "–".to_owned(), figure)) } }
            } } }
        }
    };
    html! {
        @if !matrix.bounds.is_empty() {
            section aria-labelledby="bounds" { h2 #bounds { (title) } (scrolling(title, &table)) }
        }
    }
}

fn every_run(runs: &[(PathBuf, Results)]) -> Markup {
    let table = html! {
        table.sortable {
            thead { tr { @for name in ["run", "verdict", "system", "CPU", "revision", "started"] {
                th scope="col" { button type="button" { (name) } }
            } } }
            tbody { @for (place, run) in runs { tr {
                th scope="row" { (plain(&shown_path(place))) }
                td { span.word.(run.verdict.word()) { (run.verdict) } }
                td { (plain(run.environment.os_version.as_deref().unwrap_or(&run.environment.os))) }
                td { (plain(run.environment.cpu.as_deref().unwrap_or("–"))) }
                td { (plain(run.environment.git_revision.as_deref().unwrap_or("–"))) }
                td { (plain(&run.run.started_at)) }
            } } }
        }
    };
    html! {
        section aria-labelledby="runs" {
            h2 #runs { "Every run" }
            (scrolling("Every run", &table))
            p.unseen role="status" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::examples;

    #[test]
    fn every_run_and_every_check_is_there_and_nothing_of_others_is_markup() {
        let mut hostile = examples::failed();
        hostile.environment.os_version = Some("<script>alert(1)</script>".to_owned());
        let runs = vec![("a".into(), examples::failed()), ("<b>".into(), hostile)];
        let results: Vec<Results> = runs.iter().map(|(_, results)| results.clone()).collect();
        let matrix = Matrix::of(&results);
        let page = render(&matrix, Verdict::Fail, "2 runs", &runs);
        for part in [
            "1.threads",
            "3.process",
            "FAIL 1 of 1",
            "&lt;b&gt;",
            "&lt;script&gt;alert(1)",
            "0.004",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
        assert_eq!(page.matches("<script").count(), 1);
    }
}

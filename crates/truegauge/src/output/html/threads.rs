//! The reports' threads in one table, which can be sorted by any of its columns.

use maud::{Markup, html};

use super::scrolling;
use crate::output::format::{percent, plain};
use crate::results::{Report, Thread};

/// A page with more is of use to nobody; results.json has them all.
const MOST: usize = 500;

/// One thread over the reports.
struct Line<'a> {
    tid: Option<u64>,
    name: &'a str,
    /// One a report.
    cells: Vec<Option<&'a Thread>>,
}

pub(super) fn table(reports: &[Report]) -> Markup {
    let lines = lines(reports);
    let (shown, hidden) = (lines.len().min(MOST), lines.len().saturating_sub(MOST));
    let table = html! {
        table.sortable {
            caption { "CPU of each thread, % of a core: what the client says, and what the observer saw" }
            thead { tr {
                (column("thread")) (column("tid"))
                @for report in reports {
                    @for whose in ["client", "observer"] { (column(&format!("{}, {whose}", plain(&report.label)))) }
                }
            } }
            tbody { @for line in &lines[..shown] { tr {
                th scope="row" { (plain(line.name)) }
                td.figure { @if let Some(tid) = line.tid { (tid) } @else { "–" } }
                @for cell in &line.cells {
                    td.figure { (percent(cell.and_then(|thread| thread.client_percent))) }
                    td.figure { (percent(cell.and_then(|thread| thread.observer_percent))) }
                }
            } } }
        }
    };
    html! {
        @if !lines.is_empty() {
            section aria-labelledby="threads" {
                h2 #threads { "Threads" }
                (scrolling("Threads", &table))
                p.unseen role="status" {}
                @if hidden > 0 { p { "And " (hidden) " more: see results.json." } }
            }
        }
    }
}

fn column(name: &str) -> Markup {
    html! { th scope="col" { button type="button" { (name) } } }
}

/// Threads of one id are one thread; what has no id stands by itself.
fn lines(reports: &[Report]) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut at = std::collections::HashMap::new();
    for (column, report) in reports.iter().enumerate() {
        for thread in &report.threads {
            let known = thread.tid.and_then(|tid| at.get(&tid).copied());
            // A report that lists an id twice gets a line for each.
            let known = known.filter(|index: &usize| lines[*index].cells[column].is_none());
            let index = known.unwrap_or_else(|| {
                lines.push(Line {
                    tid: thread.tid,
                    name: "",
                    cells: vec![None; reports.len()],
                });
                lines.len() - 1
            });
            if let Some(tid) = thread.tid {
                at.insert(tid, index);
            }
            // Threads are renamed: the newest name counts.
            lines[index].name = &thread.name;
            lines[index].cells[column] = Some(thread);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::examples;

    #[test]
    fn one_line_a_thread_one_pair_of_cells_a_report() {
        let results = examples::failed();
        let told: Vec<_> = lines(&results.reports)
            .iter()
            .map(|line| {
                (
                    line.tid,
                    line.cells.iter().map(Option::is_some).collect::<Vec<_>>(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [(Some(100), vec![true, true]), (Some(101), vec![false, true])]
        );
    }

    #[test]
    fn an_id_that_is_there_twice_has_two_lines() {
        let mut results = examples::failed();
        let twin = results.reports[0].threads[0].clone();
        results.reports[0].threads.push(twin);
        assert_eq!(lines(&results.reports[..1]).len(), 2);
    }
}

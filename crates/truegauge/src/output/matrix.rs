//! Many runs on the terminal and as Markdown.

use std::collections::BTreeMap;
use std::fmt::Write;

use checks::Outcome;
use comfy_table::{Cell, Color};
use leak_test::figure;

use super::format::plain;
use super::markdown::inline;
use super::table;
use crate::results::{Count, Matrix, MatrixLine};

/// `3 of 4`, with what became of the others.
pub(super) fn counted(count: Count) -> String {
    match count.outcome() {
        None => String::new(),
        Some(Outcome::Pass) => format!("✓ {}", count.runs()),
        Some(Outcome::Fail) => format!("FAIL {} of {}", count.failed, count.runs()),
        Some(Outcome::Inconclusive) => format!("skipped {} of {}", count.skipped, count.runs()),
    }
}

/// A table of systems and tests.
pub(crate) fn terminal(matrix: &Matrix) -> String {
    let tests = tests(matrix);
    let mut table = table::empty();
    let head = ["system".to_owned(), "runs".to_owned()];
    table.set_header(head.into_iter().chain(tests.keys().cloned()));
    for (column, system) in matrix.systems.iter().enumerate() {
        let cells = tests.values().map(|counts| {
            let count = counts[column];
            let color = match count.outcome() {
                Some(Outcome::Fail) => Color::Red,
                Some(Outcome::Inconclusive) => Color::Yellow,
                _ => Color::Green,
            };
            Cell::new(counted(count)).fg(color)
        });
        let head = [Cell::new(plain(&system.name)), Cell::new(system.runs)];
        table.add_row(head.into_iter().chain(cells));
    }
    table.to_string()
}

/// What systems do not agree on, a line a check.
pub(crate) fn differences(matrix: &Matrix) -> Vec<String> {
    let told = |line: &MatrixLine| format!("differs: {} ({})", plain(&line.check), plain(&line.title));
    matrix.differences().map(told).collect()
}

/// The checks of each test together: `test 3`, `soak`. A cell counts checks, over the runs.
fn tests(matrix: &Matrix) -> BTreeMap<String, Vec<Count>> {
    let mut tests: BTreeMap<String, Vec<Count>> = BTreeMap::new();
    for line in &matrix.lines {
        let head = line.check.split('.').next().unwrap_or_default();
        let name = match head.parse::<u32>() {
            Ok(number) => format!("test {number}"),
            Err(_) => plain(head),
        };
        let sums = tests
            .entry(name)
            .or_insert_with(|| vec![Count::default(); matrix.systems.len()]);
        for (sum, count) in sums.iter_mut().zip(&line.cells) {
            sum.passed += count.passed;
            sum.failed += count.failed;
            sum.skipped += count.skipped;
        }
    }
    tests
}

/// `1 run`, `3 runs`.
fn counted_of(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

/// What a summary says in a line.
pub(crate) fn sentence(matrix: &Matrix, unreadable: usize) -> String {
    let told = |word: &str| -> usize {
        let of = |verdicts: &BTreeMap<&str, usize>| verdicts.get(word).copied().unwrap_or_default();
        matrix.systems.iter().map(|system| of(&system.verdicts)).sum()
    };
    let mut sentence = format!(
        "{} on {}: {} passed, {} failed, {} inconclusive, {} judged nothing; {} between systems",
        counted_of(matrix.runs(), "run", "runs"),
        counted_of(matrix.systems.len(), "system", "systems"),
        told("pass"),
        told("fail"),
        told("inconclusive"),
        told("error"),
        counted_of(matrix.differences().count(), "check differs", "checks differ")
    );
    for leg in matrix.legs.iter().filter(|leg| !leg.is_judged()) {
        let _ = write!(sentence, "; {}: {}", plain(&leg.name), plain(&leg.to_string()));
    }
    if unreadable > 0 {
        let _ = write!(
            sentence,
            "; {} could not be read",
            counted_of(unreadable, "file", "files")
        );
    }
    sentence
}

/// The whole of it, for a CI system's page.
pub(crate) fn markdown(matrix: &Matrix, sentence: &str) -> String {
    let names: Vec<String> = matrix.systems.iter().map(|system| inline(&system.name)).collect();
    let mut page = format!("## {}\n\n", inline(sentence));
    if !matrix.legs.is_empty() {
        page += "| leg | verdicts |\n|---|---|\n";
        for leg in &matrix.legs {
            let _ = writeln!(page, "| {} | {} |", inline(&leg.name), inline(&leg.to_string()));
        }
        page.push('\n');
    }
    let mut table = |title: &str, rows: &[(String, Vec<String>)]| {
        if rows.is_empty() {
            return;
        }
        let _ = writeln!(
            page,
            "### {title}\n\n| | {} |\n|---|{}",
            names.join(" | "),
            "---|".repeat(names.len())
        );
        for (name, cells) in rows {
            let _ = writeln!(page, "| {name} | {} |", cells.join(" | "));
        }
        page.push('\n');
    };
    let line = |line: &MatrixLine| {
        let cells = line.cells.iter().map(|count| counted(*count)).collect();
        (inline(&line.check), cells)
    };
    let differing: Vec<_> = matrix.differences().map(line).collect();
    table("What differs between systems", &differing);
    let bounds: Vec<_> = matrix
        .bounds
        .iter()
        .map(|(resource, cells)| {
            let cells = cells.iter().map(|bound| bound.map(figure).unwrap_or_default());
            (inline(resource), cells.collect())
        })
        .collect();
    table("Soak: leak per operation at most (99 %)", &bounds);
    let all: Vec<_> = matrix.lines.iter().map(line).collect();
    table("Every check", &all);
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Results, Verdict, examples};

    fn matrix() -> Matrix {
        let mut good = examples::failed();
        good.environment.os_version = Some("Another | System".to_owned());
        good.verdict = Verdict::Pass;
        for row in &mut good.checks {
            row.passed = Some(true);
        }
        let runs: [Results; 3] = [examples::failed(), good, examples::failed()];
        Matrix::of(&runs)
    }

    #[test]
    fn a_line_a_system_and_a_column_a_test() {
        let text = anstream::adapter::strip_str(&terminal(&matrix())).to_string();
        let line = |name: &str| {
            text.lines()
                .find(|line| line.contains(name))
                .expect(name)
                .to_owned()
        };
        assert!(line("Another").contains("✓ 1"), "{text}");
        assert!(
            line("Debian").contains("FAIL 2 of 2") && line("Debian").contains("skipped 2 of 2"),
            "{text}"
        );
    }

    #[test]
    fn results_of_others_reach_no_terminal_as_commands() {
        let mut hostile = examples::failed();
        hostile.environment.os_version = Some("\u{1b}[2J\n::error::x".to_owned());
        hostile.checks[1].title = Some("\n::error::x".to_owned());
        hostile.checks[1].passed = Some(true);
        let matrix = Matrix::of(&[hostile, examples::failed()]);
        let text = anstream::adapter::strip_str(&terminal(&matrix)).to_string();
        assert!(
            text.contains(r"\u{1b}[2J\n::error::x") && !text.contains("\n::"),
            "{text}"
        );
        let differing = differences(&matrix);
        assert!(
            differing.iter().all(|line| !line.contains('\n')) && !differing.is_empty(),
            "{differing:?}"
        );
    }

    #[test]
    fn markdown_begins_with_what_differs() {
        let matrix = matrix();
        let sentence = sentence(&matrix, 1);
        assert_eq!(
            sentence,
            "3 runs on 2 systems: 1 passed, 2 failed, 0 inconclusive, 0 judged nothing; 2 checks differ between systems; \
             1 file could not be read"
        );
        let one = self::sentence(&Matrix::of(&[examples::failed()]), 0);
        assert!(
            one.starts_with("1 run on 1 system: ") && one.ends_with("0 checks differ between systems"),
            "{one}"
        );
        let page = markdown(&matrix, &sentence);
        for part in [
            "### What differs between systems\n\n| | Another \\| System, x86\\_64 | Debian",
            "| 3.process | ✓ 1 | FAIL 2 of 2 |",
            "| threads | 0.004 | 0.004 |",
            "| 1.threads | ✓ 1 | ✓ 2 |",
        ] {
            assert!(page.contains(part), "{part:?} in\n{page}");
        }
    }
}

//! The tables.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::accuracy::{self, Errors};
use crate::cost::{self, Costs, Size};
use crate::entries::{FLOOR, OURS, entries};
use crate::statistics::Measured;
use crate::subject::Entry;

/// Extent of the measurements.
pub(crate) struct Extent {
    sizes: &'static [Size],
    /// Length of a window in ms, and how often it is tried.
    windows: &'static [(u64, usize)],
}

const fn size(threads: usize, rounds: usize, processes: usize) -> Size {
    Size {
        threads,
        rounds,
        processes,
    }
}

impl Extent {
    pub(crate) const FULL: Self = Self {
        sizes: &[
            size(10, 41, 11),
            size(100, 41, 11),
            size(1000, 11, 7),
            size(10_000, 2, 3),
        ],
        windows: &[(10, 60), (100, 40), (2000, 8)],
    };

    /// Enough to see that it works, and for nothing else.
    pub(crate) const TRIAL: Self = Self {
        sizes: &[size(5, 3, 1)],
        windows: &[(10, 2)],
    };
}

pub(crate) fn print(extent: &Extent) -> Result<()> {
    let mut warm_and_first = Vec::new();
    for (title, is_active) in [
        ("Warm, idle threads", false),
        ("Warm, one thread in five working", true),
    ] {
        let costs = measure(extent, title, |size| cost::warm(size, is_active))?;
        warm_and_first.push((title, costs));
    }
    for (title, is_active) in [
        ("First call of a process, idle threads", false),
        ("First call of a process, one thread in five working", true),
    ] {
        let costs = measure(extent, title, |size| cost::first(size, is_active))?;
        warm_and_first.push((title, costs));
    }
    let mut errors = Vec::new();
    for (window_ms, rounds) in extent.windows {
        eprintln!("accuracy: windows of {window_ms} ms");
        errors.push((
            *window_ms,
            accuracy::errors(Duration::from_millis(*window_ms), *rounds)?,
        ));
    }

    println!("{}\n", machine()?);
    for (title, costs) in &warm_and_first {
        println!("{}", cost_table(title, costs));
    }
    println!("{}", error_table(&errors));
    Ok(())
}

fn measure(
    extent: &Extent,
    title: &str,
    mut costs: impl FnMut(Size) -> Result<Costs>,
) -> Result<Vec<(usize, Costs)>> {
    let at = |size: &Size| {
        eprintln!("{title}: {} threads", size.threads);
        Ok((size.threads, costs(*size)?))
    };
    extent.sizes.iter().map(at).collect()
}

fn machine() -> Result<String> {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").context("/proc/cpuinfo")?;
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("a processor that does not say what it is", |(_, model)| model);
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").context("the kernel's release")?;
    let cpus = std::thread::available_parallelism()?;
    Ok(format!(
        "Measured on {model}, {cpus} CPUs, Linux {}.",
        release.trim()
    ))
}

/// The rows, in the order in which subjects are listed; those that were not measured are left out.
fn rows<T>(of: impl Fn(&Entry) -> Vec<Option<T>>) -> Vec<(&'static str, Vec<Option<T>>)> {
    let row = |entry: Entry| (entry.name, of(&entry));
    let was_measured = |(_, cells): &(_, Vec<Option<T>>)| cells.iter().any(Option::is_some);
    entries().into_iter().map(row).filter(was_measured).collect()
}

/// Median and quartiles in µs, and how many times runtime-metrics's median that is.
fn cost_table(title: &str, costs: &[(usize, Costs)]) -> String {
    let mut text = format!("**{title}**: µs of CPU time, median (quartiles)\n\n|");
    for (threads, _) in costs {
        let _ = write!(text, " | {threads} threads | ×");
    }
    let _ = write!(text, " |\n|---|{}\n", "--:|--:|".repeat(costs.len()));
    for (name, cells) in rows(|entry| {
        costs
            .iter()
            .map(|(_, costs)| cost_cell(costs, entry.name))
            .collect()
    }) {
        let _ = write!(text, "| {name}");
        for cell in cells {
            let _ = write!(text, " | {}", cell.as_deref().unwrap_or("– | –"));
        }
        text.push_str(" |\n");
    }
    text
}

fn cost_cell(costs: &Costs, name: &str) -> Option<String> {
    let (cost, ours) = (costs.get(name)?, costs.get(OURS)?);
    let (low, high) = cost.quartiles();
    let times = match name {
        OURS => "1".to_owned(),
        // Here it is ours that is the multiple.
        FLOOR => format!("1/{}", significant(ours.median() / cost.median())),
        _ => significant(cost.median() / ours.median()),
    };
    Some(format!(
        "{} ({}–{}) | {times}",
        significant(cost.median()),
        significant(low),
        significant(high)
    ))
}

fn error_table(errors: &[(u64, Errors)]) -> String {
    let mut text = "**Error of a thread's CPU**: points, median, 95th percentile and most\n\n|".to_owned();
    for (window_ms, _) in errors {
        let _ = write!(text, " | {window_ms} ms");
    }
    let _ = write!(text, " |\n|---|{}\n", "--:|".repeat(errors.len()));
    for (name, cells) in rows(|entry| errors.iter().map(|(_, errors)| errors.get(entry.name)).collect()) {
        let _ = write!(text, "| {name}");
        for cell in cells {
            let cell = cell.map_or_else(|| "–".to_owned(), error_cell);
            let _ = write!(text, " | {cell}");
        }
        text.push_str(" |\n");
    }
    text
}

fn error_cell(error: &Measured) -> String {
    format!(
        "{:.3}, {:.3}, {:.2} (n = {})",
        error.median(),
        error.quantile(0.95),
        error.most(),
        error.count()
    )
}

/// Three digits, or all before the point.
fn significant(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(values: &[f64]) -> Measured {
        Measured::new(values.to_vec()).expect("values")
    }

    #[test]
    fn a_table_has_medians_spreads_and_ratios() {
        let costs = Costs::from([
            (OURS, measured(&[50.0, 60.0, 70.0])),
            (FLOOR, measured(&[40.0, 40.0, 44.0])),
        ]);
        let expected = "**Warm**: µs of CPU time, median (quartiles)\n\n\
            | | 100 threads | × |\n|---|--:|--:|\n\
            | runtime-metrics | 60.0 (55.0–65.0) | 1 |\n\
            | floor | 40.0 (40.0–42.0) | 1/1.50 |\n";
        assert_eq!(cost_table("Warm", &[(100, costs)]), expected);
    }

    #[test]
    fn errors_are_told_with_their_number_and_what_was_not_measured_is_left_out() {
        let errors = Errors::from([(OURS, measured(&[0.0, 0.01, 0.5]))]);
        let expected = "**Error of a thread's CPU**: points, median, 95th percentile and most\n\n\
            | | 100 ms |\n|---|--:|\n\
            | runtime-metrics | 0.010, 0.451, 0.50 (n = 3) |\n";
        assert_eq!(error_table(&[(100, errors)]), expected);
    }
}

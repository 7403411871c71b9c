use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::error::{Exit, RunError};
use crate::invocation::Invocation;
use crate::output::console::shown_path;
use crate::output::{self, matrix};
use crate::reporter::RunEvent;
use crate::results::{Matrix, Results, Verdict, is_retried, legs};

/// Merge the results of many runs: of a CI matrix's downloaded artifacts, or of many machines.
///
/// Looks for every results.json in the directories, and writes summary.html and summary.md: how often each check passed on
/// each system, what differs between systems, and the soaks' bounds side by side.
///
/// Exit codes: 0 all passed, 1 something failed, 2 a run judged nothing or a file could not be read, 3 something was
/// inconclusive; of several the first in the order 1, 2, 3, 0.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directories with runs, at any depth.
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Where the summary goes [default: ./truegauge-runs/summary; of `cargo xtask`, target/summary].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The legs of a CI matrix, each a directory in one of DIR. A leg without results, or with results of another revision than
    /// most runs, is named and makes the exit code 2. An INCONCLUSIVE run that its leg ran again does not count.
    #[arg(long, value_name = "LEG", value_delimiter = ',')]
    expect: Vec<String>,
}

/// An artifact's own directories, and a few around it.
const MAX_DEPTH: usize = 8;

/// More results than this nobody compares.
const MAX_RUNS: usize = 10_000;

pub(crate) fn run(args: &Args, invocation: &Invocation) -> Result<Exit> {
    let mut found = Vec::new();
    for dir in &args.dirs {
        // No leg left any results: a download made no directory.
        if !args.expect.is_empty() && !dir.exists() {
            continue;
        }
        ensure!(dir.is_dir(), "{} is no directory", dir.display());
        find(dir, MAX_DEPTH, &mut found)?;
    }
    found.sort();
    found.dedup();
    if found.is_empty() && args.expect.is_empty() {
        let dirs: Vec<String> = args.dirs.iter().map(|dir| dir.display().to_string()).collect();
        return Err(RunError::Environment(format!("there is no results.json in {}", dirs.join(", "))).into());
    }
    let (runs, unreadable) = read(&found, invocation);
    let of_legs: Vec<(String, &Results)> = runs
        .iter()
        .map(|(place, results)| (leg(place, &args.dirs), results))
        .collect();
    let counts = |index: &usize| args.expect.is_empty() || !is_retried(*index, &of_legs);
    let counted: Vec<&Results> = (0..runs.len())
        .filter(counts)
        .map(|index| &runs[index].1)
        .collect();
    let mut matrix = Matrix::of(&counted);
    matrix.legs = legs(&args.expect, &of_legs);
    let verdict = match matrix.verdict() {
        // What failed has failed, whatever else cannot be read.
        Verdict::Fail => Verdict::Fail,
        _ if unreadable > 0 => Verdict::Error,
        verdict => verdict,
    };
    let sentence = matrix::sentence(&matrix, unreadable);
    invocation.result(&matrix::terminal(&matrix).to_string());
    for line in matrix::differences(&matrix) {
        invocation.result(&line);
    }
    let out = args.out.clone().unwrap_or_else(|| invocation.runs_dir.clone());
    let outputs = output::publish_matrix(&matrix, verdict, &sentence, &runs, &out, &*invocation.reporter);
    let (exit, last_line) = outputs.conclude(verdict.exit(), &format!("{verdict}: {sentence}"));
    invocation.result(&format!("page: {}/summary.html\n{last_line}", shown_path(&out)));
    Ok(exit)
}

/// The leg of a run: the directory in one of `dirs` that holds the run.
fn leg(run: &Path, dirs: &[PathBuf]) -> String {
    let below = dirs.iter().find_map(|dir| run.strip_prefix(dir).ok());
    let first = below.and_then(|below| below.components().next());
    first.map_or_else(String::new, |name| {
        name.as_os_str().to_string_lossy().into_owned()
    })
}

/// Every results.json below a directory; links are not followed.
fn find(dir: &Path, levels: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", dir.display()))?;
        let kind = entry.file_type()?;
        if kind.is_dir() && levels > 0 {
            find(&entry.path(), levels - 1, found)?;
        } else if kind.is_file() && entry.file_name() == "results.json" {
            found.push(entry.path());
        }
        ensure!(found.len() <= MAX_RUNS, "more than {MAX_RUNS} results");
    }
    Ok(())
}

/// What can be read, each with its directory; the rest is told and counted.
fn read(paths: &[PathBuf], invocation: &Invocation) -> (Vec<(PathBuf, Results)>, usize) {
    let mut runs = Vec::new();
    for path in paths {
        match Results::read(path) {
            Ok(mut results) => {
                // Large, and not compared.
                results
                    .reports
                    .iter_mut()
                    .for_each(|report| report.threads.clear());
                if let Some(soak) = &mut results.soak {
                    soak.statistics = serde_json::Value::Null;
                }
                let place = path.parent().unwrap_or(path);
                runs.push((place.to_owned(), results));
            }
            Err(error) => invocation.emit(&RunEvent::Error(&error)),
        }
    }
    let unreadable = paths.len() - runs.len();
    (runs, unreadable)
}

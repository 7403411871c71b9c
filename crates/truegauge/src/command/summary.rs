use std::path::{Path, PathBuf};

use anstream::println;
use anyhow::{Context, Result, ensure};

use crate::exit::{Exit, Stop};
use crate::present::{self, matrix};
use crate::results::{Matrix, Results, Verdict};
use crate::workspace;

/// Merge the results of many runs: of a CI matrix's downloaded artifacts, or of many machines.
///
/// Looks for every results.json in the directories, and writes summary.html and summary.md: how often each check passed on
/// each system, what differs between systems, and the soaks' bounds side by side.
///
/// Exit codes: 0 all passed, 1 something failed, 2 a run judged nothing or a file could not be read, 3 something was
/// inconclusive; of several the first in the order 2, 1, 3, 0.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directories with runs, at any depth.
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Where the summary goes [default: target/summary].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// An artifact's own directories, and a few around it.
const MOST_LEVELS: usize = 8;

/// More results than this nobody compares.
const MOST_RUNS: usize = 10_000;

pub(crate) fn run(args: &Args) -> Result<Exit> {
    let mut found = Vec::new();
    for dir in &args.dirs {
        ensure!(dir.is_dir(), "{} is no directory", dir.display());
        find(dir, MOST_LEVELS, &mut found)?;
    }
    found.sort();
    found.dedup();
    if found.is_empty() {
        let dirs: Vec<String> = args.dirs.iter().map(|dir| dir.display().to_string()).collect();
        return Err(Stop::Environment(format!("there is no results.json in {}", dirs.join(", "))).into());
    }
    let (runs, unreadable) = read(&found);
    let results: Vec<Results> = runs.iter().map(|(_, results)| results.clone()).collect();
    let matrix = Matrix::of(&results);
    let verdict = if unreadable > 0 {
        Verdict::Error
    } else {
        matrix.verdict()
    };
    let sentence = matrix::sentence(&matrix, unreadable);
    println!("{}", matrix::terminal(&matrix));
    for line in matrix::differences(&matrix) {
        println!("{line}");
    }
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| workspace::target_dir().join("summary"));
    std::fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    present::publish_matrix(&matrix, verdict, &sentence, &runs, &out)?;
    println!("page: {}/summary.html", workspace::shown(&out));
    println!("{verdict}: {sentence}");
    Ok(verdict.exit())
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
        ensure!(found.len() <= MOST_RUNS, "more than {MOST_RUNS} results");
    }
    Ok(())
}

/// What can be read, each with its directory; the rest is told and counted.
fn read(paths: &[PathBuf]) -> (Vec<(String, Results)>, usize) {
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
                runs.push((workspace::shown(place), results));
            }
            Err(error) => present::error(&error),
        }
    }
    let unreadable = paths.len() - runs.len();
    (runs, unreadable)
}

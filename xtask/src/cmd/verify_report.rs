use std::path::{Path, PathBuf};

use anstream::println;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use verdict::{Outcome, Row, Tally};

use crate::checks::{self, Checks};
use crate::exit::Exit;
use crate::plan::ThresholdArgs;
use crate::present::table;
use crate::report_zip::ReportZip;

/// Judge reports that somebody sent, of any platform: what a zip alone can answer.
///
/// What only an observer beside the process could have judged is SKIPPED, with the reason. Reports of one session, in
/// the order in which they were filed, are compared with each other.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Zips with a runtime-metrics.json.
    #[arg(required = true, value_name = "ZIP")]
    reports: Vec<PathBuf>,
    #[command(flatten)]
    thresholds: ThresholdArgs,
}

pub(crate) fn run(args: &Args) -> Result<Exit> {
    let checks = Checks::load(&checks::dir())?;
    let reports = args
        .reports
        .iter()
        .enumerate()
        .map(|(index, path)| read(index, path))
        .collect::<Result<Vec<_>>>()?;
    let evidence = json!({
        "schema": 1,
        "environment": {"os": platform(&reports[0])},
        "thresholds": args.thresholds.resolve(),
        "reports": reports,
    });
    let rows = checks.judge(&evidence)?;
    let labels: Vec<&str> = reports
        .iter()
        .filter_map(|report| report["label"].as_str())
        .collect();
    table::print(&rows, &labels);
    let tally: Tally = rows.iter().collect();
    println!("{}", conclusion(tally));
    Ok(exit(&rows))
}

/// A zip as a report in the evidence: without trigger, appearance and observer, which nobody recorded.
fn read(index: usize, path: &Path) -> Result<Value> {
    let (metrics, members) = ReportZip::open(path)?
        .into_evidence()
        .with_context(|| path.display().to_string())?;
    let label = format!("zip{}", index + 1);
    Ok(json!({"label": label, "zip": path.display().to_string(), "metrics": metrics, "members": members}))
}

/// The platform that the report's metadata names, or else its figures.
fn platform(report: &Value) -> &Value {
    match &report["members"]["metadata.json"]["json"]["platform_os"] {
        Value::Null => &report["metrics"]["platform"],
        named => named,
    }
}

/// What could not be judged from a zip does not count against it; a zip of which nothing could be judged has not passed.
fn exit(rows: &[Row]) -> Exit {
    let judged = rows.iter().filter(|row| row.outcome() != Outcome::Inconclusive);
    match judged.collect::<Tally>().outcome() {
        Outcome::Pass => Exit::Pass,
        Outcome::Fail => Exit::Fail,
        Outcome::Inconclusive => Exit::Inconclusive,
    }
}

fn conclusion(tally: Tally) -> String {
    let Tally {
        passed,
        failed,
        skipped,
    } = tally;
    let word = if failed > 0 { "FAIL" } else { "PASS" };
    format!(
        "{word}: {} judged, {failed} failed, {skipped} not judgeable from a zip",
        passed + failed
    )
}

use std::path::{Path, PathBuf};

use anyhow::Result;
use checks::{Outcome, Row, Suite, Tally};
use jiff::Timestamp;
use report_reader::bounded_json::Budget;
use serde_json::{Value, json};

use crate::environment::Environment;
use crate::error::Exit;
use crate::invocation::Invocation;
use crate::output::console::shown_path;
use crate::output::files::RunDir;
use crate::output::format::escaped;
use crate::output::{self, table};
use crate::results::{self, Results};
use crate::submitted::{self, SubmittedReport};
use crate::thresholds::ThresholdArgs;

/// Judge reports that somebody sent, of any platform: what a report alone can answer.
///
/// What only an observer beside the process could have judged is SKIPPED, with the reason; so is what a report of its kind
/// cannot be asked. Reports of one session are compared with each other, by their own stamps.
///
/// Knows the zips of this workspace's client and all five kinds of ryll's, and a runtime-metrics.json by itself. Exit
/// codes: 0 everything that could be judged passed, 1 something did not, or the report is no report, 2 it cannot be read.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Zips, or files of JSON; `-` is standard input.
    #[arg(required = true, value_name = "REPORT")]
    reports: Vec<PathBuf>,
    /// Also write results.json, junit.xml, summary.md and report.html to a directory of their own in this one.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Judge with the *.jq files of this directory instead of the embedded ones.
    #[arg(long, value_name = "DIR")]
    assertions: Option<PathBuf>,
    #[command(flatten)]
    thresholds: ThresholdArgs,
}

/// More are a heap, not a mail.
const MAX_REPORTS: usize = 50;

pub(crate) fn run(args: &Args, invocation: &Invocation) -> Result<Exit> {
    let started_at = Timestamp::now();
    anyhow::ensure!(
        args.reports.len() <= MAX_REPORTS,
        "{} reports, at most {MAX_REPORTS} are judged at once",
        args.reports.len()
    );
    let from_stdin = args.reports.iter().filter(|path| *path == Path::new("-")).count();
    anyhow::ensure!(
        from_stdin <= 1,
        "`-` stands {from_stdin} times: standard input can be read once"
    );
    let checks = match &args.assertions {
        Some(dir) => Suite::from_dir(dir)?,
        None => Suite::embedded()?,
    };
    let mut budget = Budget::default();
    let reports = (1..).zip(&args.reports);
    let reports = reports
        .map(|(number, path)| SubmittedReport::read(path, format!("report{number}"), &mut budget))
        .collect::<Result<Vec<_>>>()?;
    for report in &reports {
        invocation.result(&format!(
            "{}: {}, {}",
            report.label,
            escaped(&report.name),
            report.origin
        ));
    }
    let environment = environment(&reports);
    let judged = submitted::sessions(reports)
        .iter()
        .map(|session| Judged::of(session, &checks, args))
        .collect::<Result<Vec<_>>>()?;
    let mut results = results(
        judged,
        args.assertions.as_deref(),
        environment,
        invocation,
        started_at,
    );
    invocation.result(&table::render(&results.checks, &results.labels()));
    let dir = args.out.as_ref().map(|parent| RunDir::create(parent, started_at));
    let outputs = match dir.transpose() {
        Ok(Some(dir)) => {
            dir.id.clone_into(&mut results.run.id);
            let outputs = output::publish(&mut results, &dir.path, &*invocation.reporter);
            invocation.result(&format!("page: {}/report.html", shown_path(&dir.path)));
            outputs
        }
        Ok(None) => output::emit(&results, Ok(()), &*invocation.reporter),
        Err(error) => output::emit(&results, Err(error), &*invocation.reporter),
    };
    let (exit, last_line) = outputs.conclude(exit(&results.checks), &results.sentence);
    invocation.result(&last_line);
    Ok(exit)
}

/// One session's reports, judged.
struct Judged {
    evidence: Value,
    rows: Vec<Row>,
}

impl Judged {
    fn of(session: &[SubmittedReport], checks: &Suite, args: &Args) -> Result<Self> {
        let evidence = json!({
            "schema": 1,
            "environment": {"os": session[0].platform()},
            "thresholds": args.thresholds.resolve(),
            "reports": session.iter().map(SubmittedReport::to_evidence).collect::<Vec<_>>(),
        });
        let mut rows = checks.judge(&evidence)?;
        for report in session {
            report.excuse(&mut rows);
        }
        Ok(Self { evidence, rows })
    }
}

/// Of what machine the reports are, as far as they agree.
fn environment(reports: &[SubmittedReport]) -> Environment {
    let (os, arch) = (reports[0].platform(), reports[0].architecture());
    let agree = reports.iter().all(|report| report.platform() == os);
    Environment {
        os: if agree { os } else { "several" }.to_owned(),
        arch: arch
            .filter(|_| reports.iter().all(|report| report.architecture() == arch))
            .map(str::to_owned),
        ..Environment::default()
    }
}

fn results(
    judged: Vec<Judged>,
    assertions: Option<&Path>,
    environment: Environment,
    invocation: &Invocation,
    started_at: Timestamp,
) -> Results {
    let run = results::Run::ended("verify-report", invocation.command.clone(), started_at);
    let mut results = Results::new(run, environment, Exit::Pass.into(), String::new());
    for Judged { evidence, rows } in judged {
        let of_session = results.clone().with_evidence(&evidence);
        results.thresholds = of_session.thresholds;
        results.reports.extend(of_session.reports);
        for row in rows {
            // A check over all reports of a session is skipped in each of them, and once is enough. A judged row always counts.
            let is_skipped = row.outcome() == Outcome::Inconclusive;
            if !is_skipped || !results.checks.iter().any(|known| known.check == row.check) {
                results.checks.push(row);
            }
        }
    }
    results.verdict = exit(&results.checks).into();
    results.sentence = sentence(&results) + &results::judged_by(assertions);
    results
}

/// What could not be judged from a report does not count against it; one of which nothing could be judged has not passed.
fn exit(rows: &[Row]) -> Exit {
    let judged = rows.iter().filter(|row| row.outcome() != Outcome::Inconclusive);
    match judged.collect::<Tally>().outcome() {
        Outcome::Pass => Exit::Pass,
        Outcome::Fail => Exit::Fail,
        Outcome::Inconclusive => Exit::Inconclusive,
    }
}

fn sentence(results: &Results) -> String {
    let Tally {
        passed,
        failed,
        skipped,
        ..
    } = results.tally();
    let judged = passed + failed;
    format!(
        "{}: {judged} judged, {failed} failed, {skipped} not judgeable from a zip",
        results.verdict
    )
}

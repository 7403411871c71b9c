use std::path::{Path, PathBuf};

use anyhow::Result;
use checks::{Allowed, Outcome, Row, Suite, Tally};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::environment::Environment;
use crate::error::Exit;
use crate::invocation::Invocation;
use crate::output::console::shown_path;
use crate::output::files::RunDir;
use crate::output::format::{escaped, plain};
use crate::output::{self, Outputs, table};
use crate::reporter::RunEvent;
use crate::results::{self, Results, Verdict};
use crate::submitted::{self, Repeat, Submitted, SubmittedReport};
use crate::thresholds::ThresholdArgs;

/// Judge reports that somebody sent, of any platform: what a report alone can answer.
///
/// What only an observer beside the process could have judged is SKIPPED, with the reason; so is what a report of its kind
/// cannot be asked. Reports of one session are compared with each other, by their own stamps.
///
/// Knows the zips of this workspace's client and all five kinds of ryll's, and a runtime-metrics.json by itself. Reports are found
/// in folders of a zip, in zips inside a zip, and in a directory. Exit codes: 0 everything that could be judged passed, 1 a check
/// failed or the client wrote a report that is not one, 2 a file is not a report or cannot be read, and no check failed, 3 a report
/// has no figures.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Zips, directories, or files of JSON; `-` is standard input.
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

pub(crate) fn run(args: &Args, invocation: &Invocation) -> Result<Exit> {
    let started_at = Timestamp::now();
    let from_stdin = args.reports.iter().filter(|path| *path == Path::new("-")).count();
    anyhow::ensure!(
        from_stdin <= 1,
        "`-` stands {from_stdin} times: standard input can be read once"
    );
    let checks = match &args.assertions {
        Some(dir) => Suite::from_dir(dir)?,
        None => Suite::embedded()?,
    };
    let Submitted {
        reports,
        repeats,
        unread,
    } = submitted::read_all(&args.reports);
    if reports.is_empty() {
        return nothing_judged(unread, args, invocation, started_at);
    }
    for report in &reports {
        invocation.result(&format!(
            "{}: {}, {}",
            report.label,
            escaped(&report.name),
            report.origin
        ));
    }
    for Repeat { name, of } in &repeats {
        invocation.result(&format!(
            "{of} again: {} is the same report, which is judged once",
            escaped(name)
        ));
    }
    let without_figures: Vec<String> = reports
        .iter()
        .filter(|report| !report.has_figures())
        .map(|report| report.label.clone())
        .collect();
    let environment = environment(&reports);
    let judged = submitted::sessions(reports)
        .iter()
        .map(|session| Judged::of(session, &checks, args))
        .collect::<Result<Vec<_>>>()?;
    let mut results = results(
        judged,
        &unread,
        args.assertions.as_deref(),
        &without_figures,
        environment,
        invocation,
        started_at,
    );
    invocation.result(&table::render(&results.checks, &results.labels()));
    let outputs = write(&mut results, args, invocation, started_at);
    let (exit, last_line) = outputs.conclude(results.verdict.exit(), &results.sentence);
    invocation.result(&last_line);
    Ok(exit)
}

/// Ends a run without a report with the error of the client where one is at fault, and the others before it. The results say
/// so, too: a summary of many runs must not lose them.
fn nothing_judged(
    mut unread: Vec<anyhow::Error>,
    args: &Args,
    invocation: &Invocation,
    started_at: Timestamp,
) -> Result<Exit> {
    let rows = (1..)
        .zip(&unread)
        .map(|(number, error)| unread_row(number, error));
    let rows: Vec<Row> = rows.collect();
    let worst = unread.iter().position(is_clients_fault).unwrap_or_default();
    let worst = unread.remove(worst);
    for error in &unread {
        invocation.reporter.emit(&RunEvent::Warning(error));
    }
    let run = results::Run::ended("verify-report", invocation.command.clone(), started_at);
    let mut results = Results::of_error(run, Environment::default(), &worst);
    results.checks = rows;
    // That the run ended with an error is told by its exit code already.
    let _ = write(&mut results, args, invocation, started_at);
    Err(worst)
}

/// Writes the results where they are asked for.
fn write<'a>(
    results: &mut Results,
    args: &Args,
    invocation: &'a Invocation,
    started_at: Timestamp,
) -> Outputs<'a> {
    let dir = args.out.as_ref().map(|parent| RunDir::create(parent, started_at));
    match dir.transpose() {
        Ok(Some(dir)) => {
            dir.id.clone_into(&mut results.run.id);
            let outputs = output::publish(results, &dir.path, &*invocation.reporter);
            invocation.result(&format!("page: {}/report.html", shown_path(&dir.path)));
            outputs
        }
        Ok(None) => output::emit(results, Ok(()), &*invocation.reporter),
        Err(error) => output::emit(results, Err(error), &*invocation.reporter),
    }
}

fn is_clients_fault(error: &anyhow::Error) -> bool {
    Exit::of(error) == Exit::Fail
}

/// A file that is not read, as a check: the client failed it, or the file cannot be judged.
fn unread_row(number: usize, error: &anyhow::Error) -> Row {
    let why = format!("{error:#}");
    let is_failed = is_clients_fault(error);
    Row {
        check: format!("unread.{number}"),
        title: Some("every file is a report that can be read".to_owned()),
        passed: is_failed.then_some(false),
        measured: why.clone().into(),
        allowed: Allowed::Value("a report".into()),
        unit: None,
        location: None,
        remedy: Some("The client wrote what no reader can read as a report: see its code.".to_owned()),
        reason: (!is_failed).then(|| format!("not read: {why}")),
        relaxed: None,
    }
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
    unread: &[anyhow::Error],
    assertions: Option<&Path>,
    without_figures: &[String],
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
    let checks_of_reports = results.tally();
    results
        .checks
        .extend((1..).zip(unread).map(|(number, error)| unread_row(number, error)));
    results.verdict = exit(&results.checks, without_figures, unread).into();
    results.sentence = sentence(results.verdict, &checks_of_reports, without_figures, unread)
        + &results::judged_by(assertions);
    results
}

/// A skipped check does not count against a report. A report without figures has not passed, whatever else was judged of it; and
/// where all that could be read passed, a file that could not be read has not.
fn exit(rows: &[Row], without_figures: &[String], unread: &[anyhow::Error]) -> Exit {
    let judged = rows.iter().filter(|row| row.outcome() != Outcome::Inconclusive);
    match judged.collect::<Tally>().outcome() {
        Outcome::Pass | Outcome::Inconclusive if !unread.is_empty() => Exit::Environment,
        Outcome::Pass if !without_figures.is_empty() => Exit::Inconclusive,
        Outcome::Pass => Exit::Pass,
        Outcome::Fail => Exit::Fail,
        Outcome::Inconclusive => Exit::Inconclusive,
    }
}

fn sentence(
    verdict: Verdict,
    of_reports: &Tally,
    without_figures: &[String],
    unread: &[anyhow::Error],
) -> String {
    let Tally {
        passed,
        failed,
        skipped,
        ..
    } = of_reports;
    let judged = passed + failed;
    let no_figures = match without_figures {
        [] => String::new(),
        labels => format!("; no figures in {}", labels.join(", ")),
    };
    let not_read = match unread {
        [] => String::new(),
        [error] => format!("; not read: {}", plain(&format!("{error:#}"))),
        [error, others @ ..] => {
            format!(
                "; {} files not read, the first: {}",
                others.len() + 1,
                plain(&format!("{error:#}"))
            )
        }
    };
    let unknown = match verdict {
        Verdict::Pass => " (whether CPU and memory are true, only `verify` can tell)",
        _ => "",
    };
    format!(
        "{verdict}: {judged} judged, {failed} failed, {skipped} not judgeable from a zip{unknown}{no_figures}{not_read}"
    )
}

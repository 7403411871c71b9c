//! `junit.xml`, as CI systems read it: one suite a test, one case a check.

use std::time::Duration;

use anyhow::Result;
use checks::{Outcome, Row};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::format::{allowed, plain, shown};
use crate::results::{Results, Verdict};

/// The whole file.
pub(crate) fn render(results: &Results) -> Result<String> {
    let mut report = Report::new("truegauge");
    let elapsed = Duration::try_from_secs_f64(results.run.elapsed_secs).unwrap_or_default();
    report.set_time(elapsed);
    for suite in suites(results) {
        report.add_test_suite(suite);
    }
    Ok(report.to_string()?)
}

fn suites(results: &Results) -> Vec<TestSuite> {
    let mut suites: Vec<TestSuite> = Vec::new();
    for row in &results.checks {
        let name = suite_of(&row.check);
        let at = suites.iter().position(|suite| suite.name.as_str() == name);
        let suite = match at {
            Some(at) => &mut suites[at],
            None => {
                suites.push(suite(&name, results));
                suites.last_mut().expect("just pushed")
            }
        };
        suite.add_test_case(case(row, &name));
    }
    // A run that judged nothing, or not all, must not look like one that had nothing to judge.
    if results.checks.is_empty() || results.verdict == Verdict::Error {
        let mut run = suite("run", results);
        run.add_test_case(run_case(results));
        suites.push(run);
    }
    suites
}

/// `3.busy.process` belongs to test 3, `soak.exact.threads` to the soak.
fn suite_of(check: &str) -> String {
    let head = check.split('.').next().unwrap_or_default();
    if head.parse::<u32>().is_ok() {
        format!("test {head}")
    } else {
        head.to_owned()
    }
}

fn suite(name: &str, results: &Results) -> TestSuite {
    let mut suite = TestSuite::new(name);
    suite.add_property(Property::new("command", &results.run.command));
    for (name, value) in results.environment.told() {
        suite.add_property(Property::new(name, plain(&value)));
    }
    suite
}

fn case(row: &Row, suite: &str) -> TestCase {
    let mut case = TestCase::new(&row.check, status(row));
    case.set_classname(suite);
    if let Some(title) = &row.title {
        let relaxed = row
            .relaxed
            .as_deref()
            .map(|why| format!("\nrelaxed:  {}", plain(why)))
            .unwrap_or_default();
        case.set_system_out(format!(
            "{title}\nmeasured: {}\nallowed:  {}{relaxed}",
            shown(&row.measured),
            allowed(row)
        ));
    }
    case
}

fn status(row: &Row) -> TestCaseStatus {
    match row.outcome() {
        Outcome::Pass => TestCaseStatus::success(),
        Outcome::Fail => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(format!(
                "measured {}, allowed {}",
                shown(&row.measured),
                allowed(row)
            ));
            status.set_type("check");
            let place = row.location.as_deref().unwrap_or_default();
            let remedy = row.remedy.as_deref().unwrap_or_default();
            status.set_description(format!("where:  {place}\nremedy: {remedy}"));
            status
        }
        Outcome::Inconclusive => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(plain(row.reason.as_deref().unwrap_or_default()));
            status
        }
    }
}

/// The run itself, where it ended before its verdict.
fn run_case(results: &Results) -> TestCase {
    let kind = match results.verdict {
        Verdict::Fail => NonSuccessKind::Failure,
        _ => NonSuccessKind::Error,
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(plain(&results.sentence));
    status.set_type(results.verdict.word());
    let mut case = TestCase::new("run", status);
    case.set_classname("run");
    case
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::examples;

    fn read(xml: &str) -> Report {
        Report::deserialize_from_str(xml).expect("JUnit")
    }

    #[test]
    fn every_check_is_a_case_of_its_tests_suite() {
        let report = read(&render(&examples::failed()).expect("written"));
        let skipped = |suite: &TestSuite| {
            let cases = suite.test_cases.iter();
            cases
                .filter(|case| matches!(case.status, TestCaseStatus::Skipped { .. }))
                .count()
        };
        let told: Vec<_> = report
            .test_suites
            .iter()
            .map(|suite| (suite.name.as_str(), suite.tests, suite.failures, skipped(suite)))
            .collect();
        assert_eq!(
            told,
            [("test 1", 1, 0, 0), ("test 3", 1, 1, 0), ("test 6", 1, 0, 1)]
        );
        let TestCaseStatus::NonSuccess {
            message, description, ..
        } = &report.test_suites[1].test_cases[0].status
        else {
            panic!("{report:?}")
        };
        let text = |text: &Option<quick_junit::XmlString>| text.as_ref().map(|text| text.as_str().to_owned());
        assert_eq!(
            text(message).as_deref(),
            Some("measured 1.25, allowed 17.5 … 52.76 % of a core")
        );
        assert!(text(description).is_some_and(|text| text.contains("look at <the clock> & the window")));
    }

    #[test]
    fn a_run_that_judged_nothing_is_an_error() {
        let mut results = examples::failed();
        results.checks.clear();
        results.verdict = Verdict::Error;
        results.sentence = "ERROR: no port".to_owned();
        let report = read(&render(&results).expect("written"));
        assert_eq!((report.errors, report.failures), (1, 0));
        results.verdict = Verdict::Fail;
        let report = read(&render(&results).expect("written"));
        assert_eq!((report.errors, report.failures), (0, 1));
    }
}

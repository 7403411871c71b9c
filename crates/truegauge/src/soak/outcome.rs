//! The verdict over both tiers, for people and for `results.json`.

use checks::Row;
use comfy_table::Cell;
use leak_test::{
    Analysis, Conclusion, CountRule, CountTestConclusion, Difference, Finding, ResourceAnalysis, Verdict,
    figure,
};
use serde_json::{Value, json};

use super::live::Live;
use super::trial::Trial;
use crate::error::Exit;
use crate::output::table;
use crate::results;

/// What a run came to.
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    /// Begins with the verdict's word.
    pub(crate) sentence: String,
    exact: CountTestConclusion,
    /// Absent where the exact tier decided, or the live one had no time to begin.
    live: Option<Conclusion>,
    trials: Vec<Trial>,
}

impl Outcome {
    /// What the exact tier says by itself: anything but clean ends a run.
    pub(super) fn of_exact(exact: CountTestConclusion) -> Self {
        Self {
            verdict: exact.verdict,
            sentence: exact.sentence.clone(),
            exact,
            live: None,
            trials: Vec::new(),
        }
    }

    /// After an exact tier that was clean, what the live one says.
    pub(super) fn of_both(exact: CountTestConclusion, live: Live) -> Self {
        let Live {
            first,
            second,
            interrupted,
            mut caveats,
        } = live;
        if interrupted {
            caveats.insert(0, "interrupted".to_owned());
        }
        let conclusion = first.as_ref().map(|first| {
            let second = second.as_ref().map(|second| second.analysis.clone());
            Conclusion::from_experiments(first.analysis.clone(), second, exact.control.clone())
        });
        let (verdict, sentence) = overall(conclusion.as_ref(), &caveats, interrupted);
        Self {
            verdict,
            sentence,
            exact,
            live: conclusion,
            trials: [first, second].into_iter().flatten().collect(),
        }
    }

    /// As rows of `verify`: each exact count, the control, and the live tier where there was one.
    pub(crate) fn rows(&self) -> Result<Vec<Row>, serde_json::Error> {
        let comparison = &self.exact.comparison;
        let mut rows = Vec::new();
        for (counted, difference) in comparison.counts.iter().zip(&self.exact.differences) {
            let (measured, reason) = match difference {
                Difference::Unchanged => (json!(0), None),
                Difference::Leak { per_operation } | Difference::OverRelease { per_operation } => {
                    (json!(per_operation), None)
                }
                Difference::Saturated => (json!("beyond counting"), None),
                Difference::NotJudged { reason } => (Value::Null, Some(reason)),
            };
            let passed = reason.is_none().then_some(*difference == Difference::Unchanged);
            rows.push(json!({
                "check": format!("soak.exact.{}", counted.resource.name),
                "title": format!("{} {}s leave as many {}", comparison.operations, comparison.operation, counted.resource.unit),
                "passed": passed, "measured": measured, "allowed": 0,
                "unit": format!("{} per {}", counted.resource.unit, comparison.operation),
                "remedy": "soak/samples.ndjson has the counts before and after; `sample` must give back all that it takes",
                "reason": reason,
            }));
        }
        let control = &self.exact.control;
        let found = control.found();
        rows.push(json!({
            "check": "soak.control", "title": "a process that is built to leak is found to",
            "passed": found.then_some(true), "measured": if found { "found" } else { "not found" }, "allowed": "found",
            "reason": (!found).then(|| control.to_string()),
        }));
        // An exact tier that was not clean ends a run: there is nothing more to say.
        if self.exact.verdict == Verdict::Clean && (self.live.is_some() || self.verdict != Verdict::Clean) {
            let passed = match self.exit() {
                Exit::Pass => Some(true),
                Exit::Fail => Some(false),
                Exit::Environment | Exit::Inconclusive => None,
            };
            rows.push(json!({
                "check": "soak.live", "title": "operations in a session leak nothing",
                "passed": passed, "measured": self.verdict.to_string(), "allowed": Verdict::Clean.to_string(),
                "remedy": "soak/soak.svg shows the readings; the page \"The soak\" tells how they are judged",
                "reason": passed.is_none().then_some(&self.sentence),
            }));
        }
        rows.into_iter().map(serde_json::from_value).collect()
    }

    pub(super) fn trials(&self) -> &[Trial] {
        &self.trials
    }

    pub(crate) fn exit(&self) -> Exit {
        match self.verdict {
            Verdict::Clean => Exit::Pass,
            Verdict::Leak | Verdict::OverRelease => Exit::Fail,
            Verdict::Inconclusive => Exit::Inconclusive,
        }
    }

    /// As the results hold it.
    pub(crate) fn to_results(&self) -> results::Soak {
        let facts: Vec<_> = self.trials.iter().map(|trial| &trial.facts).collect();
        results::Soak {
            verdict: self.verdict.to_string(),
            sentence: self.sentence.clone(),
            exact: self.exact.sentence.clone(),
            control: self.exact.control.to_string(),
            experiments: self
                .trials
                .iter()
                .map(|trial| experiment(&trial.analysis))
                .collect(),
            statistics: json!({"exact": self.exact, "live": self.live, "blocks": facts}),
        }
    }

    /// The tables; the caller adds the sentence last.
    pub(crate) fn render(&self) -> String {
        let mut text = format!(
            "exact tier: {}\ncontrol: {}",
            self.exact.sentence, self.exact.control
        );
        for (number, trial) in (1..).zip(&self.trials) {
            text += &format!(
                "\nexperiment {number}, seed {}: {} pairs, {} {}s\n{}",
                trial.analysis.seed,
                trial.analysis.pairs,
                trial.analysis.operations,
                trial.analysis.operation,
                render_table(&trial.analysis)
            );
        }
        text
    }
}

/// The row of a soak that ended in an error: the other tests' rows stand beside it. A process that is at fault fails; where the
/// environment is, nothing is known.
pub(crate) fn row_of_error(error: &anyhow::Error) -> Result<Row, serde_json::Error> {
    let failed = Exit::of(error) == Exit::Fail;
    serde_json::from_value(json!({
        "check": "soak", "title": "the soak reaches a verdict",
        "passed": failed.then_some(false), "measured": format!("{error:#}"), "allowed": "a verdict",
        "remedy": "the logs of the run's soak directory; `soak` runs it again alone",
        "reason": (!failed).then(|| format!("{error:#}")),
    }))
}

/// What the live tier proves, and what it does not prove for a reason that its figures do not show.
fn overall(conclusion: Option<&Conclusion>, caveats: &[String], interrupted: bool) -> (Verdict, String) {
    let nothing = || {
        let why = caveats.join("; ");
        format!("{}: {why}", Verdict::Inconclusive)
    };
    let Some(conclusion) = conclusion else {
        return (Verdict::Inconclusive, nothing());
    };
    // An interrupt takes nothing from what has been proved by then.
    let spoilt = caveats.len() > usize::from(interrupted);
    match conclusion.verdict {
        Verdict::Clean if spoilt => (Verdict::Inconclusive, nothing()),
        Verdict::Clean | Verdict::Leak | Verdict::OverRelease => {
            (conclusion.verdict, conclusion.sentence.clone())
        }
        Verdict::Inconclusive if caveats.is_empty() => (conclusion.verdict, conclusion.sentence.clone()),
        Verdict::Inconclusive => {
            let sentence = format!("{}; {}", conclusion.sentence, caveats.join("; "));
            (conclusion.verdict, sentence)
        }
    }
}

fn experiment(analysis: &Analysis) -> results::Experiment {
    results::Experiment {
        seed: analysis.seed.to_string(),
        operation: analysis.operation.clone(),
        operations: analysis.operations,
        pairs: analysis.pairs as u64,
        findings: analysis.resources.iter().map(finding).collect(),
    }
}

fn finding(analysed: &ResourceAnalysis) -> results::Finding {
    let estimate = analysed.estimate.as_ref();
    let bounds = |lower, upper| results::Bounds { lower, upper };
    results::Finding {
        resource: analysed.resource.name.clone(),
        unit: analysed.resource.unit.clone(),
        found: describe_finding(&analysed.finding),
        to_rule_out: analysed.resource.lambda_star,
        per_operation: estimate.map(|estimate| estimate.per_operation),
        bounds: estimate.and_then(|estimate| Some(bounds(estimate.lower?, estimate.upper?))),
        would_be_found: power(analysed),
        p_leak: estimate.map(|estimate| estimate.p_leak),
    }
}

/// How small a leak would have been found; of what leaks, the readings do not tell.
fn power(analysed: &ResourceAnalysis) -> Option<f64> {
    let found = matches!(analysed.finding, Finding::Leak | Finding::OverRelease);
    analysed.power.filter(|_| !found).map(|power| power.smallest())
}

fn render_table(analysis: &Analysis) -> String {
    let per = &analysis.operation;
    let mut table = table::empty();
    table.set_header([
        "resource".to_owned(),
        "found".to_owned(),
        format!("leak per {per}"),
        "99 % bounds".to_owned(),
        "to rule out".to_owned(),
        "would be found".to_owned(),
        "p".to_owned(),
        "older rule, for information".to_owned(),
    ]);
    for resource in &analysis.resources {
        table.add_row(cells(resource).map(Cell::new));
    }
    table.to_string()
}

fn cells(analysed: &ResourceAnalysis) -> [String; 8] {
    let resource = &analysed.resource;
    let estimate = analysed.estimate.as_ref();
    let bounds = estimate.and_then(|e| Some(format!("{} … {}", figure(e.lower?), figure(e.upper?))));
    [
        resource.name.clone(),
        describe_finding(&analysed.finding),
        estimate.map(|e| figure(e.per_operation)).unwrap_or_default(),
        bounds.unwrap_or_default(),
        figure(resource.lambda_star),
        power(analysed).map(figure).unwrap_or_default(),
        estimate.map(|e| figure(e.p_leak)).unwrap_or_default(),
        analysed.count_rule.as_ref().map(older_rule).unwrap_or_default(),
    ]
}

fn describe_finding(finding: &Finding) -> String {
    match finding {
        Finding::Leak => "leak".to_owned(),
        Finding::OverRelease => "over-release".to_owned(),
        Finding::Saturated => "at its ceiling".to_owned(),
        Finding::RuledOut => "ruled out".to_owned(),
        Finding::Undecided(obstacle) | Finding::NotJudged(obstacle) => obstacle.to_string(),
    }
}

/// `12 → 14, +17 %, 0.003 each: passes`
fn older_rule(rule: &CountRule) -> String {
    let growth = rule
        .growth_percent
        .map(|percent| format!(", {percent:+.0} %"))
        .unwrap_or_default();
    let (start, end) = (rule.start, rule.end);
    let each = figure(rule.growth_per_operation);
    let word = if rule.passes() { "passes" } else { "fails" };
    format!("{start} → {end}{growth}, {each} each: {word}")
}

#[cfg(test)]
mod tests {
    use leak_test::{Comparison, Control, Counted, Design, Experiment, Reading, Resource, Seed};

    use super::*;
    use crate::error::RunError;

    fn conclusion(operations: u32) -> Conclusion {
        let design = Design {
            seed: Seed(1),
            operation: "sample".to_owned(),
            operations_per_block: operations.try_into().expect("not 0"),
            resources: vec![Resource::exact("threads", "threads", 0.02)],
        };
        let mut experiment = Experiment::new(design, vec![Reading::Count(5)]).expect("a design");
        while experiment.pairs() < 14 {
            experiment.record(vec![Reading::Count(5)]);
        }
        let analysis = Analysis::of(&experiment, std::time::Duration::ZERO);
        Conclusion::from_experiments(analysis, None, Control::Found)
    }

    #[test]
    fn a_soak_that_ends_in_an_error_is_one_row() {
        let passed = |error: RunError| {
            let row = row_of_error(&anyhow::Error::from(error).context("the soak")).expect("a row");
            assert!(row.measured.to_string().contains("the soak"), "{row:?}");
            row.passed
        };
        assert_eq!(passed(RunError::Client("it died".to_owned())), Some(false));
        assert_eq!(passed(RunError::Environment("no room".to_owned())), None);
        assert_eq!(passed(RunError::Interrupted), None);
    }

    #[test]
    fn a_caveat_spoils_cleanness_and_an_interrupt_does_not() {
        let (clean, few) = (conclusion(100), conclusion(1));
        assert_eq!(clean.verdict, Verdict::Clean);
        assert_eq!(few.verdict, Verdict::Inconclusive);
        let interrupted = ["interrupted".to_owned()];
        let silent = ["no answer".to_owned()];
        for (conclusion, caveats, interrupt, verdict, said) in [
            (Some(&clean), &[][..], false, Verdict::Clean, "CLEAN: "),
            (Some(&clean), &interrupted[..], true, Verdict::Clean, "CLEAN: "),
            (
                Some(&clean),
                &silent[..],
                false,
                Verdict::Inconclusive,
                "INCONCLUSIVE: no answer",
            ),
            (
                Some(&few),
                &silent[..],
                false,
                Verdict::Inconclusive,
                "operations, needs 700; no answer",
            ),
            (
                None,
                &interrupted[..],
                true,
                Verdict::Inconclusive,
                "INCONCLUSIVE: interrupted",
            ),
        ] {
            let (found, sentence) = overall(conclusion, caveats, interrupt);
            assert_eq!(found, verdict, "{sentence}");
            assert!(sentence.contains(said), "wanted {said:?} in {sentence:?}");
        }
    }

    fn exact(after: Reading, control: Control) -> CountTestConclusion {
        let counted = Counted {
            resource: Resource::exact("threads", "threads", 0.02),
            before: Reading::Count(5),
            after,
        };
        let comparison = Comparison {
            operation: "sample".to_owned(),
            operations: 10.try_into().expect("not 0"),
            counts: vec![counted],
        };
        CountTestConclusion::from_comparison(comparison, control)
    }

    #[test]
    fn a_row_passes_fails_or_says_why_it_was_skipped() {
        let blind = Control::NotRun {
            reason: "gone".to_owned(),
        };
        for (after, control, passed) in [
            (Reading::Count(5), Control::Found, [Some(true), Some(true)]),
            (Reading::Count(6), Control::Found, [Some(false), Some(true)]),
            (Reading::Count(4), Control::Found, [Some(false), Some(true)]),
            (Reading::Saturated, Control::Found, [Some(false), Some(true)]),
            (
                Reading::Missing("no".to_owned()),
                Control::Found,
                [None, Some(true)],
            ),
            (Reading::Count(5), blind, [Some(true), None]),
        ] {
            let rows = Outcome::of_exact(exact(after.clone(), control))
                .rows()
                .expect("rows");
            let told: Vec<Option<bool>> = rows.iter().map(|row| row.passed).collect();
            assert_eq!(told, passed, "{after:?}");
            assert!(
                rows.iter()
                    .all(|row| row.reason.is_some() == row.passed.is_none()),
                "{rows:?}"
            );
        }
    }

    #[test]
    fn a_live_tier_without_a_block_is_a_skipped_row() {
        let live = Live {
            interrupted: true,
            ..Live::default()
        };
        let outcome = Outcome::of_both(exact(Reading::Count(5), Control::Found), live);
        let rows = outcome.rows().expect("rows");
        let last = rows.last().expect("a row");
        assert_eq!((last.check.as_str(), last.passed), ("soak.live", None));
        assert_eq!(last.reason.as_deref(), Some("INCONCLUSIVE: interrupted"));
    }

    #[test]
    fn the_older_rule_is_told_in_a_cell() {
        let rule =
            |start, end| CountRule::of(&Reading::Count(start), &Reading::Count(end), 50).expect("a rule");
        assert_eq!(older_rule(&rule(300, 345)), "300 → 345, +15 %, 0.9 each: passes");
        assert_eq!(older_rule(&rule(0, 345)), "0 → 345, 6.9 each: fails");
    }
}

//! The calls that the jobs of a workflow must make in every case, as data, and the comparison with the calls that they made.
//!
//! A job calls cargo, rustup and actions. In a rehearsal these are stand-ins, which end as the case's plan says.

use std::collections::BTreeMap;
use std::fmt;

use self::When::{AfterRed, Always, Cleanup, Green, Retry, Verdict};

/// One workflow, as one event starts it.
#[derive(Clone)]
pub(crate) struct Workflow {
    pub(crate) file: &'static str,
    pub(crate) event: &'static str,
    /// The inputs of a `workflow_dispatch`.
    pub(crate) inputs: &'static [(&'static str, &'static str)],
    pub(crate) jobs: Vec<Job>,
    /// Whether only the verdict's cases are run, because another event runs the others.
    pub(crate) verdict_only: bool,
}

#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) id: &'static str,
    /// The legs of its matrix; one of no name without a matrix.
    pub(crate) legs: &'static [Leg],
    pub(crate) calls: Vec<Call>,
    pub(crate) begins: Begins,
}

/// One entry of a job's matrix.
#[derive(Clone, Copy, Default)]
pub(crate) struct Leg {
    pub(crate) name: &'static str,
    /// The runner's label.
    pub(crate) runner: &'static str,
    /// The text that `{arguments}` stands for in a call.
    pub(crate) arguments: &'static str,
}

/// When a job begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    AtOnce,
    /// After other jobs, whatever their results.
    Later,
    /// After all other jobs; it calls nothing and fails if any of them failed.
    Concludes,
}

#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) when: When,
    pub(crate) text: &'static str,
}

impl Call {
    /// The call as a leg makes it.
    fn on(&self, leg: Leg) -> String {
        let text = self.text.replace("{leg}", leg.name);
        normal(&text.replace("{arguments}", leg.arguments))
    }
}

/// When a job makes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// While every call before it has passed.
    Green,
    /// Unless the job was cancelled.
    Always,
    /// Also after a cancellation.
    Cleanup,
    /// Only after a call that failed.
    AfterRed,
    /// Unless the job was cancelled. A [`Retry`] replaces an INCONCLUSIVE verdict.
    Verdict,
    /// Only after an INCONCLUSIVE verdict.
    Retry,
}

/// The file that says what must happen.
pub(crate) const TABLE: &str = "crates/rehearsal/src/table.rs";

/// The number of the call during which a job is cancelled.
const CANCELLED: usize = 1;

/// How a stand-in ends where it does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Red,
    Inconclusive,
    /// The job is cancelled during the call.
    Cancelled,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Red => "1",
            Self::Inconclusive => "3",
            Self::Cancelled => "hang",
        })
    }
}

/// The ends of the calls that do not pass, by the job and the call's number in it.
pub(crate) type Plan = BTreeMap<(&'static str, usize), End>;

/// What a leg did, or must do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Conduct {
    pub(crate) runner: String,
    pub(crate) calls: Vec<String>,
    /// `None` where the leg has not ended.
    pub(crate) passed: Option<bool>,
}

/// A difference between the table and what a leg did in a case.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The workflow and the job.
    place: String,
    leg: String,
    case: String,
    what: String,
    /// Whether the verdict is not reached.
    hides_verdict: bool,
}

/// A line for each distinct fault, with the first case and leg that show it and the number of the others; hidden verdicts
/// first.
pub(crate) fn lines(mut faults: Vec<Fault>) -> Vec<String> {
    faults.sort_by_key(|fault| !fault.hides_verdict);
    let mut lines = Vec::new();
    for (index, fault) in faults.iter().enumerate() {
        let same = |other: &&Fault| (&other.place, &other.what) == (&fault.place, &fault.what);
        if faults[..index].iter().any(|other| same(&other)) {
            continue;
        }
        let leg = if fault.leg.is_empty() {
            String::new()
        } else {
            format!(" ({})", fault.leg)
        };
        let others = match faults[index + 1..].iter().filter(same).count() {
            0 => String::new(),
            others => format!("; also in {others} other cases and legs"),
        };
        lines.push(format!(
            "{}{leg}: {}: {}{others}",
            fault.place, fault.case, fault.what
        ));
    }
    lines
}

/// What every leg did, by job and leg.
pub(crate) type Observed = BTreeMap<(String, String), Conduct>;

impl Job {
    pub(crate) fn new(id: &'static str, calls: Vec<Call>) -> Self {
        Self {
            id,
            legs: &[Leg {
                name: "",
                runner: "ubuntu-24.04",
                arguments: "",
            }],
            calls,
            begins: Begins::AtOnce,
        }
    }

    /// The calls that the job makes while all pass.
    fn green_calls(&self) -> impl Iterator<Item = &Call> {
        self.calls
            .iter()
            .filter(|call| !matches!(call.when, AfterRed | Retry))
    }

    /// The number of its verdict among its calls.
    fn verdict(&self) -> Option<usize> {
        self.green_calls().position(|call| call.when == Verdict)
    }

    fn retries(&self) -> bool {
        self.calls.iter().any(|call| call.when == Retry)
    }

    /// A case as this job has it.
    fn case(&self, plan: &Plan) -> String {
        let words: Vec<String> = plan
            .iter()
            .filter(|((id, _), _)| *id == self.id)
            .map(|((_, number), end)| {
                let is_retry = number
                    .checked_sub(1)
                    .is_some_and(|first| plan.contains_key(&(self.id, first)));
                let text = match self.green_calls().nth(*number) {
                    Some(call) if !is_retry => call.text,
                    _ => "the second run",
                };
                match end {
                    End::Red => format!("`{text}` red"),
                    End::Inconclusive => format!("`{text}` inconclusive"),
                    End::Cancelled => format!("cancelled during `{text}`"),
                }
            })
            .collect();
        match (words.is_empty(), plan.is_empty()) {
            (false, _) => words.join(", then "),
            (true, true) => "every step green".to_owned(),
            (true, false) => "other jobs red".to_owned(),
        }
    }

    fn conduct(&self, leg: Leg, plan: &Plan) -> Conduct {
        let mut calls = Vec::new();
        let (mut red, mut inconclusive, mut cancelled) = (false, false, false);
        for call in &self.calls {
            let is_made = match call.when {
                Green => !red && !cancelled,
                Always | Verdict => !cancelled,
                Cleanup => true,
                AfterRed => red && !cancelled,
                Retry => inconclusive && !cancelled,
            };
            if !is_made {
                continue;
            }
            match plan.get(&(self.id, calls.len())) {
                None => {}
                Some(End::Inconclusive) if call.when == Verdict && self.retries() => inconclusive = true,
                Some(End::Red | End::Inconclusive) => red = true,
                Some(End::Cancelled) => cancelled = true,
            }
            calls.push(call.on(leg));
        }
        Conduct {
            runner: leg.runner.to_owned(),
            calls,
            passed: (!cancelled).then_some(!red),
        }
    }
}

/// Words that single spaces separate.
pub(crate) fn normal(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Workflow {
    /// Every case: all calls pass; each call of each job fails in turn; a verdict is inconclusive, once and twice; a
    /// cancellation. A case fails one call in every job, because the jobs do not depend on each other's results.
    pub(crate) fn cases(&self) -> Vec<Plan> {
        let longest = self.jobs.iter().map(|job| job.green_calls().count()).max();
        let in_every_job = |number: usize, end: End| -> Plan {
            let has = |job: &&Job| number < job.green_calls().count();
            self.jobs
                .iter()
                .filter(has)
                .map(|job| ((job.id, number), end))
                .collect()
        };
        let mut cases = vec![Plan::new()];
        if !self.verdict_only {
            cases.extend((0..longest.unwrap_or(0)).map(|number| in_every_job(number, End::Red)));
            let begun = self.jobs.iter().filter(|job| job.begins == Begins::AtOnce);
            cases.push(begun.map(|job| ((job.id, CANCELLED), End::Cancelled)).collect());
        }
        let judging = || self.jobs.iter().filter_map(|job| Some((job, job.verdict()?)));
        if judging().count() > 0 {
            let once = judging().map(|(job, number)| ((job.id, number), End::Inconclusive));
            cases.push(once.collect());
            let twice = judging()
                .filter(|(job, _)| job.retries())
                .flat_map(|(job, number)| {
                    [number, number + 1].map(|number| ((job.id, number), End::Inconclusive))
                });
            cases.push(twice.collect());
        }
        cases.sort();
        cases.dedup();
        cases
    }

    /// What is wrong with the conduct of all legs in a case.
    pub(crate) fn faults(&self, plan: &Plan, observed: &Observed) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut found = |job: &str, leg: &str, case: String, what: String| {
            faults.push(Fault {
                place: format!("{}, job {job}", self.file),
                leg: leg.to_owned(),
                case,
                hides_verdict: what.starts_with(UNREACHABLE),
                what,
            });
        };
        let is_cancelled = plan.values().any(|end| *end == End::Cancelled);
        let any_red = self
            .legs()
            .any(|(job, leg)| job.conduct(leg, plan).passed == Some(false));
        for (job, leg) in self.legs() {
            let mut expected = job.conduct(leg, plan);
            if job.begins == Begins::Concludes {
                expected.passed = Some(!any_red);
            }
            let seen = observed.get(&(job.id.to_owned(), leg.name.to_owned()));
            let ran = |seen: &&Conduct| seen.passed.is_some() || !seen.calls.is_empty();
            let Some(seen) = seen.filter(ran) else {
                if !is_cancelled {
                    found(job.id, leg.name, job.case(plan), "it does not run".to_owned());
                }
                continue;
            };
            // act begins no job after a cancellation, and the last legs of a matrix once others have ended.
            let was_cancelled = || seen.calls.get(CANCELLED) == expected.calls.get(CANCELLED);
            if is_cancelled && (job.begins != Begins::AtOnce || !was_cancelled()) {
                continue;
            }
            let verdict = job.calls.iter().find(|call| call.when == Verdict);
            let verdict = verdict.map(|call| call.on(leg));
            for what in differences(&expected, seen, verdict.as_ref()) {
                found(job.id, leg.name, job.case(plan), what);
            }
        }
        for (job, leg) in observed.keys() {
            if !self
                .legs()
                .any(|(known, entry)| known.id == job && entry.name == leg)
            {
                found(job, leg, "always".to_owned(), format!("it is not in {TABLE}"));
            }
        }
        faults
    }

    pub(crate) fn legs(&self) -> impl Iterator<Item = (&Job, Leg)> {
        self.jobs
            .iter()
            .flat_map(|job| job.legs.iter().map(move |leg| (job, *leg)))
    }
}

/// How a fault begins that hides a verdict.
const UNREACHABLE: &str = "the verdict is unreachable";

fn differences(expected: &Conduct, seen: &Conduct, verdict: Option<&String>) -> Vec<String> {
    let mut surplus = seen.calls.clone();
    let mut faults = Vec::new();
    if expected.runner != seen.runner {
        faults.push(format!("its runner is {}", seen.runner));
    }
    for call in &expected.calls {
        match surplus.iter().position(|made| made == call) {
            Some(index) => drop(surplus.remove(index)),
            None if Some(call) == verdict => faults.push(format!("{UNREACHABLE}: `{call}` is not called")),
            None => faults.push(format!("`{call}` is not called")),
        }
    }
    faults.extend(surplus.iter().map(|call| format!("`{call}` is called")));
    if faults.is_empty() && expected.calls != seen.calls {
        faults.push(format!("the order of calls is {:?}", seen.calls));
    }
    match (expected.passed, seen.passed) {
        (Some(true), Some(false)) => faults.push("the job fails".to_owned()),
        (Some(false), Some(true)) => faults.push("the job passes".to_owned()),
        (Some(_), None) => faults.push("the job does not end".to_owned()),
        _ => {}
    }
    faults
}

#[cfg(test)]
mod tests;

//! The preflight table: everything that a system may refuse to the harness, tried once before the run.
//!
//! A refusal ends nothing here: the table says what it costs, and the run goes on as far as it can. On macOS the first execution
//! of a new binary can wait for a malware scan, so every binary is executed once before anything is timed.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::RunError;
use crate::observe;
use crate::output::table;
use crate::rig::{Events, SamplingProcess, first_execution};
use crate::soak::SamplingBinaries;

const COUNT_TEST: &str = "the soak's count test";

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Probe {
    /// The call, the program or the figure.
    pub(crate) tried: String,
    /// The part of the run that goes without it.
    pub(crate) needed_for: String,
    /// Why it does not work; absent where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<String>,
}

impl Probe {
    pub(crate) fn of<T, E: std::fmt::Display>(
        tried: impl Into<String>,
        needed_for: &str,
        outcome: Result<T, E>,
    ) -> Self {
        Self {
            tried: tried.into(),
            needed_for: needed_for.to_owned(),
            refused: outcome.err().map(|error| format!("{error:#}")),
        }
    }
}

/// What a preflight tries.
pub(crate) struct Preflight<'a> {
    pub(crate) client: &'a Path,
    /// Arguments with which the client answers and ends; empty where it has none.
    pub(crate) client_version: &'a [String],
    pub(crate) own_binary: &'a Path,
    pub(crate) sampling: Option<&'a SamplingBinaries>,
    /// The platform's own tools.
    pub(crate) tools: Option<fn(u32) -> Value>,
    /// For the logs.
    pub(crate) dir: &'a Path,
}

impl Preflight<'_> {
    /// Tries everything. The probes so far are in `probes` also where this ends early.
    ///
    /// # Errors
    /// If the run is to end: interrupted, or out of time. A refusal is a probe, not an error.
    pub(crate) fn run(&self, probes: &mut Vec<Probe>, events: &mut Events) -> Result<(), RunError> {
        const JUDGED: &str = "every run: the client is judged";
        const SOURCE: &str = "a session with the synthetic source";
        if !self.client_version.is_empty() {
            let outcome = self.execute(self.client, self.client_version, "client", events)?;
            probes.push(Probe::of(shown("client", self.client), JUDGED, outcome));
        }
        let version = ["--version".to_owned()];
        let outcome = self.execute(self.own_binary, &version, "source", events)?;
        probes.push(Probe::of(shown("source", self.own_binary), SOURCE, outcome));
        match self.sampling {
            Some(sampling) => self.try_sampling(sampling, probes, events),
            None => {
                self.observe(std::process::id(), probes);
                Ok(())
            }
        }
    }

    fn execute(
        &self,
        binary: &Path,
        arguments: &[String],
        role: &str,
        events: &mut Events,
    ) -> Result<Result<(), RunError>, RunError> {
        let mut command = Command::new(binary);
        command.args(arguments);
        let log = self.dir.join(format!("preflight-{role}.log"));
        unless_ended(first_execution(command, &log, events))
    }

    /// Executes both twins, and has the sampling process sample, count, and be observed.
    fn try_sampling(
        &self,
        sampling: &SamplingBinaries,
        probes: &mut Vec<Probe>,
        events: &mut Events,
    ) -> Result<(), RunError> {
        const CONTROL: &str = "the soak's positive control, without which the soak is INCONCLUSIVE";
        let log = self.dir.join("preflight-sampling-process.log");
        let leaking = SamplingProcess::start(&sampling.leaking, Some("descriptor"), &log, events).and_then(
            |mut process| {
                process.request("resource_counts", &json!({}), events)?;
                process.end(events)
            },
        );
        probes.push(Probe::of(
            shown("leaking process", &sampling.leaking),
            CONTROL,
            unless_ended(leaking)?,
        ));
        let tried = shown("sampling process", &sampling.sampling);
        let started = SamplingProcess::start(&sampling.sampling, None, &log, events);
        let outcome = match unless_ended(started)? {
            Ok(process) => unless_ended(self.try_sampler(process, probes, events))?,
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            // The process has ended: nothing more can be seen of it.
            self.observe(std::process::id(), probes);
        }
        probes.push(Probe::of(tried, COUNT_TEST, outcome));
        Ok(())
    }

    /// Has a sampling process sample, count and be observed.
    fn try_sampler(
        &self,
        mut process: SamplingProcess,
        probes: &mut Vec<Probe>,
        events: &mut Events,
    ) -> Result<(), RunError> {
        for (method, needed_for) in [("metrics", "tests 1 to 6"), ("resource_counts", COUNT_TEST)] {
            let answer = process.request(method, &json!({}), events)?;
            probes.extend(figures(method, needed_for, &answer));
        }
        self.observe(process.pid(), probes);
        process.end(events)
    }

    /// The observer's calls and the platform's tools, on a process of this user.
    fn observe(&self, pid: u32, probes: &mut Vec<Probe>) {
        probes.extend(observe::preflight(pid));
        let Some(tools) = self.tools else {
            return;
        };
        let Value::Object(answers) = tools(pid) else {
            return;
        };
        for answer in answers.values() {
            probes.push(Probe {
                tried: answer["command"].as_str().unwrap_or_default().to_owned(),
                needed_for: "nothing: it is a witness beside the observer".to_owned(),
                refused: answer["absent"].as_str().map(str::to_owned),
            });
        }
    }
}

/// Each figure that the sampler gave or could not read; a reason names the call.
fn figures(method: &str, needed_for: &str, answer: &Value) -> Vec<Probe> {
    let tried = |field: &str| format!("the sampler's {method}: {field}");
    if let Some(reason) = answer["reason"].as_str() {
        return vec![Probe::of(tried("all of it"), needed_for, Err::<(), _>(reason))];
    }
    let given = answer["process"].as_object().or(answer.as_object());
    let given = given.into_iter().flatten();
    let given = given.filter(|(field, figure)| {
        figure.is_number() && !["sample_window_ms", "measured_window_ms"].contains(&field.as_str())
    });
    let missing = answer["missing"].as_object().into_iter().flatten();
    given
        .map(|(field, _)| Probe::of(tried(field), needed_for, Ok::<(), String>(())))
        .chain(missing.map(|(field, reason)| {
            let reason = reason.as_str().unwrap_or_default();
            Probe::of(tried(field), needed_for, Err::<(), _>(reason))
        }))
        .collect()
}

fn shown(role: &str, binary: &Path) -> String {
    let name = binary.file_name().unwrap_or_default().to_string_lossy();
    format!("first execution of the {role}, {name}")
}

/// A failure becomes a probe, except where the whole run is to end.
fn unless_ended<T>(outcome: Result<T, RunError>) -> Result<Result<T, RunError>, RunError> {
    match outcome {
        Err(error @ (RunError::Interrupted | RunError::TimeUp)) => Err(error),
        other => Ok(other),
    }
}

/// The table: what works in one line together, and a line for each refusal.
pub(crate) fn render(probes: &[Probe]) -> String {
    let mut table = table::empty();
    table.set_header(["preflight", "", "needed for"]);
    for probe in probes {
        table.add_row([
            &probe.tried,
            probe.refused.as_deref().unwrap_or("works"),
            &probe.needed_for,
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_is_missing_is_refused_with_the_reason_that_names_the_call() {
        let metrics = json!({
            "sample_window_ms": 100, "measured_window_ms": 100.2, "platform": "macos",
            "process": {"rss_kb": 5, "cpu_percent": 1.0},
            "missing": {"footprint_kb": "TASK_VM_INFO: KERN_DENIED"},
        });
        let probes = figures("metrics", "test 4", &metrics);
        let outcomes: Vec<_> = probes
            .iter()
            .map(|probe| (probe.tried.as_str(), probe.refused.as_deref()))
            .collect();
        assert_eq!(
            outcomes,
            [
                ("the sampler's metrics: cpu_percent", None),
                ("the sampler's metrics: rss_kb", None),
                (
                    "the sampler's metrics: footprint_kb",
                    Some("TASK_VM_INFO: KERN_DENIED")
                ),
            ]
        );
        let counts =
            json!({"platform": "macos", "threads": 3, "missing": {"port_names": "mach_port_names: no"}});
        let probes = figures("resource_counts", "the soak", &counts);
        assert_eq!(probes.len(), 2, "{probes:?}");
        assert_eq!(probes[1].refused.as_deref(), Some("mach_port_names: no"));
        let unavailable = json!({"available": false, "reason": "task_threads: no"});
        let probes = figures("metrics", "test 1", &unavailable);
        assert_eq!(probes[0].refused.as_deref(), Some("task_threads: no"));
    }

    #[test]
    fn the_table_has_a_line_for_each_probe_and_the_reason_of_a_refusal() {
        let probes = [
            Probe::of("proc_pid_rusage", "the run", Ok::<(), String>(())),
            Probe::of("vmmap -summary 7", "nothing", Err::<(), _>("exit status: 1")),
        ];
        let table = render(&probes);
        assert!(
            table.contains("proc_pid_rusage") && table.contains("works"),
            "{table}"
        );
        assert!(
            table.contains("vmmap -summary 7") && table.contains("exit status: 1"),
            "{table}"
        );
    }

    #[test]
    fn an_interrupt_ends_the_preflight_and_another_failure_does_not() {
        assert!(unless_ended(Err::<(), _>(RunError::Interrupted)).is_err());
        let refused = unless_ended(Err::<(), _>(RunError::Client("died".to_owned())));
        assert!(matches!(refused, Ok(Err(RunError::Client(_)))));
    }
}

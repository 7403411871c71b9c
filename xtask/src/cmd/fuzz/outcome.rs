//! What libFuzzer says of its run, on standard error.

use std::fmt;

/// How one target fared. What libFuzzer did not tell is not known.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    executions: Option<u64>,
    per_second: Option<u64>,
    /// Edges between the program's blocks that were taken.
    coverage: Option<u64>,
    /// Inputs that each took one that no other did.
    corpus: Option<u64>,
    pub(super) finding: Option<Finding>,
}

/// An input that a target did not stand.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// The file that holds it.
    pub(super) input: String,
    /// What it did.
    what: String,
}

impl Outcome {
    /// Reads a run's log.
    pub(super) fn read(log: &str) -> Self {
        let mut outcome = Self::default();
        let (mut panic, mut summary) = (None, None);
        let mut lines = log.lines().peekable();
        while let Some(line) = lines.next() {
            if let Some((name, value)) = line.strip_prefix("stat::").and_then(|stat| stat.split_once(':')) {
                let value = value.trim().parse().ok();
                match name {
                    "number_of_executed_units" => outcome.executions = value,
                    "average_exec_per_sec" => outcome.per_second = value,
                    _ => {}
                }
            } else if line.starts_with('#') {
                outcome.coverage = after(line, "cov: ").or(outcome.coverage);
                outcome.corpus = after(line, "corp: ").or(outcome.corpus);
            } else if let Some((_, input)) = line.split_once("Test unit written to ") {
                outcome.finding = Some(Finding {
                    input: input.to_owned(),
                    what: String::new(),
                });
            } else if let Some((_, place)) = line.split_once(" panicked at ") {
                // What was panicked with stands on the next line.
                let message = lines.peek().copied().unwrap_or_default();
                panic = Some(format!("panic at {place} {message}"));
            } else if let Some(sum) = line.strip_prefix("SUMMARY: ") {
                summary = Some(sum.to_owned());
            }
        }
        if let Some(finding) = &mut outcome.finding {
            finding.what = panic.or(summary).unwrap_or_else(|| "see the log".to_owned());
        }
        outcome
    }
}

/// The number that follows a word.
fn after(line: &str, word: &str) -> Option<u64> {
    let (_, rest) = line.split_once(word)?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
        write!(
            f,
            "{} executions, {} a second, coverage {}, corpus of {}; ",
            known(self.executions),
            known(self.per_second),
            known(self.coverage),
            known(self.corpus)
        )?;
        match &self.finding {
            None => f.write_str("no finding"),
            Some(Finding { what, .. }) => write!(f, "FINDING: {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
INFO: Running with entropic power schedule (0xFF, 100).
INFO: -max_len is not provided; libFuzzer will not generate inputs larger than 4096 bytes
#2\tINITED cov: 812 ft: 813 corp: 1/1b exec/s: 0 rss: 48Mb
#524288\tpulse  cov: 1503 ft: 4312 corp: 301/9Kb lim: 4096 exec/s: 20971 rss: 402Mb
#613337\tDONE   cov: 1510 ft: 4402 corp: 310/10Kb lim: 4096 exec/s: 20444 rss: 410Mb
Done 613337 runs in 31 second(s)
stat::number_of_executed_units: 613337
stat::average_exec_per_sec:     19785
stat::new_units_added:          402
stat::slowest_unit_time_sec:    0
stat::peak_rss_mb:              410
";

    const PANIC: &str = "\
#16\tpulse  cov: 700 ft: 701 corp: 4/9b exec/s: 8 rss: 48Mb
thread '<unnamed>' (77) panicked at fuzz/src/json.rs:27:9:
9999 bytes taken, 300 were to be spent
==77== ERROR: libFuzzer: deadly signal
SUMMARY: libFuzzer: deadly signal
artifact_prefix='/x/findings/'; Test unit written to /x/findings/crash-adc83b19
stat::number_of_executed_units: 17
stat::average_exec_per_sec:     0
";

    const OUT_OF_MEMORY: &str = "\
==78== ERROR: libFuzzer: out-of-memory (used: 4100Mb; limit: 4096Mb)
SUMMARY: libFuzzer: out-of-memory
Test unit written to oom-1
";

    #[test]
    fn a_runs_figures_and_findings_are_read() {
        for (log, told) in [
            (
                GOOD,
                "613337 executions, 19785 a second, coverage 1510, corpus of 310; no finding",
            ),
            (
                PANIC,
                "17 executions, 0 a second, coverage 700, corpus of 4; FINDING: panic at fuzz/src/json.rs:27:9: \
                 9999 bytes taken, 300 were to be spent",
            ),
            (
                OUT_OF_MEMORY,
                "? executions, ? a second, coverage ?, corpus of ?; FINDING: libFuzzer: out-of-memory",
            ),
            (
                "",
                "? executions, ? a second, coverage ?, corpus of ?; no finding",
            ),
        ] {
            assert_eq!(Outcome::read(log).to_string(), told);
        }
        let input = |log| Outcome::read(log).finding.map(|finding| finding.input);
        assert_eq!(input(GOOD), None);
        assert_eq!(input(PANIC).as_deref(), Some("/x/findings/crash-adc83b19"));
        assert_eq!(input(OUT_OF_MEMORY).as_deref(), Some("oom-1"));
    }
}

//! How an experiment is getting on: a bar on a terminal, elsewhere a line now and then.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use leak_test::{Class, Estimate, Experiment, figure};

use super::pace::TimeBox;
use crate::present::steps;

/// Between two lines, at the least; a longer run has a tenth of itself.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Takes itself away when it is dropped.
pub(super) struct Progress {
    time_box: TimeBox,
    name: String,
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    Lines { next: Instant },
}

impl Progress {
    pub(super) fn begin(time_box: TimeBox, name: &str) -> Self {
        let shown = if std::io::stderr().is_terminal() && std::env::var_os("CI").is_none() {
            Shown::Bar(bar(time_box.total()))
        } else {
            Shown::Lines {
                next: Instant::now() + BETWEEN_LINES,
            }
        };
        Self {
            time_box,
            name: name.to_owned(),
            shown,
        }
    }

    /// After each pair.
    pub(super) fn show(&mut self, experiment: &Experiment, estimates: &[Option<Estimate>]) {
        let elapsed = self.time_box.elapsed();
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_position(elapsed.as_secs());
                bar.set_prefix(course(&self.name, experiment));
                bar.set_message(known(experiment, estimates));
            }
            Shown::Lines { next } if Instant::now() >= *next => {
                let (course, known) = (course(&self.name, experiment), known(experiment, estimates));
                steps::say(&format!("{:>5.0} s  {course}; {known}", elapsed.as_secs_f64()));
                *next = Instant::now() + BETWEEN_LINES.max(self.time_box.total() / 10);
            }
            Shown::Lines { .. } => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn bar(total: Duration) -> ProgressBar {
    let bar = ProgressBar::new(total.as_secs());
    let style = ProgressStyle::with_template("{elapsed} {bar:20} {prefix}\n{wide_msg}");
    bar.with_style(style.expect("a template of this file"))
}

/// How far it has come.
fn course(name: &str, experiment: &Experiment) -> String {
    format!(
        "experiment {name}: {} pairs, {} {}s",
        experiment.pairs(),
        experiment.operations(),
        experiment.design().operation
    )
}

/// What each exact resource is known to leak so far.
fn known(experiment: &Experiment, estimates: &[Option<Estimate>]) -> String {
    let resources = experiment.design().resources.iter().zip(estimates);
    let known = resources
        .filter(|(resource, _)| resource.class == Class::Exact)
        .map(|(resource, estimate)| format!("{} {}", resource.name, bounds(estimate.as_ref())));
    known.collect::<Vec<_>>().join(", ")
}

/// `0.98 (0.91 … 1.1)`
fn bounds(estimate: Option<&Estimate>) -> String {
    let Some(estimate) = estimate else {
        return "unknown".to_owned();
    };
    let center = figure(estimate.per_operation);
    match (estimate.lower, estimate.upper) {
        (Some(lower), Some(upper)) => format!("{center} ({} … {})", figure(lower), figure(upper)),
        _ => center,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use leak_test::{Block, Design, Reading, Resource, Seed};

    use super::*;

    #[test]
    fn a_line_tells_what_is_known_so_far() {
        let design = Design {
            seed: Seed(1),
            operation: "sample".to_owned(),
            operations_per_block: NonZeroU32::new(100).expect("not 0"),
            resources: vec![
                Resource::exact("threads", "threads", 0.02),
                Resource::noisy("rss", "KiB", 4.0, 0.1),
            ],
        };
        let mut count = 0;
        let row = |count| vec![Reading::Count(count), Reading::Count(1)];
        let mut experiment = Experiment::new(design, row(count)).expect("a design");
        let told = |experiment: &Experiment| {
            let known = known(experiment, &experiment.estimates(999));
            (course("1", experiment), known)
        };
        let (course, known) = told(&experiment);
        assert_eq!(
            (course.as_str(), known.as_str()),
            ("experiment 1: 0 pairs, 0 samples", "threads unknown")
        );
        while experiment.pairs() < 14 {
            if experiment.next_block() == Block::Treated {
                count += 5;
            }
            experiment.record(row(count));
        }
        let (course, known) = told(&experiment);
        assert_eq!(course, "experiment 1: 14 pairs, 1400 samples");
        assert_eq!(known, "threads 0.05 (0.05 … 0.05)");
    }
}

//! The progress of an experiment, as events.

use std::sync::Arc;

use leak_test::{Class, Estimate, Experiment, figure};

use super::pace::TimeBox;
use crate::reporter::{Reporter, RunEvent};

/// Reports the experiment's end when dropped.
pub(super) struct Progress {
    time_box: TimeBox,
    name: String,
    reporter: Arc<dyn Reporter>,
}

impl Progress {
    pub(super) fn begin(time_box: TimeBox, name: &str, reporter: Arc<dyn Reporter>) -> Self {
        Self {
            time_box,
            name: name.to_owned(),
            reporter,
        }
    }

    /// After each pair.
    pub(super) fn show(&mut self, experiment: &Experiment, estimates: &[Option<Estimate>]) {
        self.reporter.emit(&RunEvent::SoakProgress {
            elapsed: self.time_box.elapsed(),
            total: self.time_box.total(),
            progress: &course(&self.name, experiment),
            bounds: &known(experiment, estimates),
        });
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.reporter.emit(&RunEvent::SoakEnded);
    }
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
            if experiment.next_block() == Block::Treatment {
                count += 5;
            }
            experiment.record(row(count));
        }
        let (course, known) = told(&experiment);
        assert_eq!(course, "experiment 1: 14 pairs, 1400 samples");
        assert_eq!(known, "threads 0.05 (0.05 … 0.05)");
    }
}

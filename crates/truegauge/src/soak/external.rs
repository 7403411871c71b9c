//! The soak of a client that does not speak our control protocol.
//!
//! Nobody can ask it for samples or for a census. So its reports are the operations, brought by its profile's trigger, and what
//! another process can count is all that is judged. Most clients bound the reports of one session; then no experiment is
//! long enough to find small leaks, and the verdict says how small.

use std::num::NonZeroU32;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use leak_test::{
    Analysis, Block, Design, Experiment, Finding, MIN_PAIRS, Reading, ResourceAnalysis, Seed, figure,
};

use super::pace::TimeBox;
use super::resources::{self, Tracked};
use crate::error::RunError;
use crate::observe::resource_counts;
use crate::profile::{Profile, Trigger};
use crate::rig::{Events, Rig, SessionConfig};

/// Reports before the experiment: the first ones set things up.
const WARM_UP: u32 = 3;

/// How long the client has to itself after a report, until it is looked at.
const SETTLE: Duration = Duration::from_millis(500);

/// What the soak is made of.
pub(crate) struct Plan<'a> {
    pub(crate) session: SessionConfig<'a>,
    pub(crate) profile: &'a Profile,
    pub(crate) trigger: &'a Trigger,
    pub(crate) seed: Seed,
    pub(crate) time_box: TimeBox,
}

/// What it came to.
pub(crate) struct Outside {
    pub(crate) analysis: Analysis,
    /// How many reports the client files in one session, where it bounds them.
    at_most: Option<u32>,
}

/// Files reports in blocks that a coin chose, until the client files no more or the time is up.
pub(crate) fn run(plan: &Plan<'_>, events: &mut Events) -> Result<Outside> {
    let tracked = resources::from_outside();
    let at_most = plan.trigger.at_most;
    let wanted = WARM_UP + MIN_PAIRS as u32;
    plan.trigger.can_bring(wanted)?;
    let mut rig = Rig::start_client(&plan.session, plan.profile.clone(), plan.trigger.clone(), events)?;
    // It sees more than is asked here.
    rig.observer.stop();
    let mut longest = Duration::ZERO;
    for _ in 0..WARM_UP {
        let begun = Instant::now();
        report(&mut rig, events)?;
        longest = longest.max(begun.elapsed());
    }
    let block = longest + SETTLE;
    let pairs = pairs_that_fit(at_most, plan.time_box.left(), block);
    events.doing(&format!(
        "{pairs} pairs of blocks of {:.1} s, a report in one of each pair",
        block.as_secs_f64()
    ));
    events.sleep(SETTLE)?;
    let design = Design {
        seed: plan.seed,
        operation: "report".to_owned(),
        operations_per_block: NonZeroU32::MIN,
        resources: tracked.iter().map(|tracked| tracked.resource.clone()).collect(),
    };
    let mut experiment = Experiment::new(design, look(&rig, &tracked))?;
    let first = Instant::now();
    while experiment.pairs() < pairs {
        let ends = Instant::now() + block;
        if experiment.next_block() == Block::Treatment {
            report(&mut rig, events)?;
        }
        let rest = ends.saturating_duration_since(Instant::now()).max(SETTLE);
        events.sleep(rest)?;
        experiment.record(look(&rig, &tracked));
    }
    let duration = first.elapsed();
    // How a client ends is for `verify` to judge.
    rig.kill();
    Ok(Outside {
        analysis: Analysis::of(&experiment, duration),
        at_most,
    })
}

/// One report, and the disk as it was.
fn report(rig: &mut Rig, events: &mut Events) -> Result<()> {
    let filed = rig.file_report(Duration::ZERO, events)?;
    remove(&filed.path)
}

fn remove(zip: &Path) -> Result<()> {
    std::fs::remove_file(zip)
        .map_err(|error| RunError::Environment(format!("cannot remove {}: {error}", zip.display())).into())
}

fn look(rig: &Rig, tracked: &[Tracked]) -> Vec<Reading> {
    resources::readings_from_outside(tracked, &resource_counts(rig.pid))
}

/// As many as the client's bound and the time allow.
fn pairs_that_fit(at_most: Option<u32>, left: Duration, block: Duration) -> usize {
    let by_time = left.as_secs_f64() / (2.0 * block.as_secs_f64());
    let by_time = by_time as usize;
    at_most.map_or(by_time, |most| by_time.min(most.saturating_sub(WARM_UP) as usize))
}

impl Outside {
    /// Begins with the verdict's word. One experiment, and one that cannot count what only the client knows of, proves neither
    /// a leak nor that there is none.
    pub(crate) fn sentence(&self) -> String {
        let suspects: Vec<&str> = self
            .analysis
            .resources
            .iter()
            .filter(|resource| matches!(resource.finding, Finding::Leak | Finding::Saturated))
            .map(|resource| resource.resource.name.as_str())
            .collect();
        let found = if suspects.is_empty() {
            "nothing was found to grow with its reports".to_owned()
        } else {
            format!(
                "{} grew with its reports: run it again to confirm",
                suspects.join(", ")
            )
        };
        let smallest: Vec<String> = self.analysis.resources.iter().filter_map(smallest).collect();
        let under = self.at_most.map_or_else(String::new, |most| {
            format!(" under its bound of {most} reports a session")
        });
        format!(
            "INCONCLUSIVE: {} reports, seen from outside: {found}; the smallest leak that would have been{under}: {}",
            self.analysis.operations,
            if smallest.is_empty() {
                "none at all".to_owned()
            } else {
                smallest.join(", ")
            }
        )
    }

    /// What each resource came to, one line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |resource: &ResourceAnalysis| {
            let grew = match (&resource.estimate, &resource.finding) {
                (Some(estimate), _) => {
                    let unit = &resource.resource.unit;
                    format!("{} {unit} a report", figure(estimate.per_operation))
                }
                (None, Finding::NotJudged(why)) => format!("not judged: {why}"),
                (None, _) => "not judged".to_owned(),
            };
            format!("{:<14} {grew}", resource.resource.name)
        };
        self.analysis.resources.iter().map(line).collect()
    }
}

/// The smallest leak of a resource that would have been found.
fn smallest(resource: &ResourceAnalysis) -> Option<String> {
    let smallest = resource.power.as_ref()?.smallest();
    smallest
        .is_finite()
        .then(|| format!("{} {} a report", figure(smallest), resource.resource.unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What 47 pairs come to of a client that leaks so much of each report.
    fn outside(leak: i64) -> Outside {
        let tracked = resources::from_outside();
        let design = Design {
            seed: Seed(7),
            operation: "report".to_owned(),
            operations_per_block: NonZeroU32::MIN,
            resources: tracked.iter().map(|tracked| tracked.resource.clone()).collect(),
        };
        let mut count = 100;
        let readings = |count: i64| vec![Reading::Count(count); tracked.len()];
        let mut experiment = Experiment::new(design, readings(count)).expect("a design");
        while experiment.pairs() < 47 {
            if experiment.next_block() == Block::Treatment {
                count += leak;
            }
            experiment.record(readings(count));
        }
        Outside {
            analysis: Analysis::of(&experiment, Duration::ZERO),
            at_most: Some(50),
        }
    }

    #[test]
    fn a_bounded_client_is_inconclusive_and_how_small_a_leak_is_told() {
        let sentence = outside(0).sentence();
        for part in [
            "INCONCLUSIVE: 47 reports",
            "nothing was found",
            "under its bound of 50 reports",
            "descriptors a report",
        ] {
            assert!(sentence.contains(part), "wanted {part:?} in {sentence}");
        }
    }

    #[test]
    fn a_leak_shows() {
        let leaking = outside(1);
        let sentence = leaking.sentence();
        assert!(
            sentence.contains("descriptors") && sentence.contains("grew with its reports"),
            "{sentence}"
        );
        assert!(
            leaking.lines()[0].contains("1 descriptors a report"),
            "{:?}",
            leaking.lines()
        );
    }

    #[test]
    fn what_is_not_judged_says_why() {
        let lines = outside(0).lines();
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with("rss") && line.contains("not judged: ")),
            "{lines:?}"
        );
    }

    #[test]
    fn as_many_pairs_as_the_bound_and_the_time_allow() {
        let seconds = Duration::from_secs;
        assert_eq!(pairs_that_fit(Some(50), seconds(1000), seconds(2)), 47);
        assert_eq!(pairs_that_fit(Some(50), seconds(100), seconds(2)), 25);
        assert_eq!(pairs_that_fit(None, seconds(1000), seconds(2)), 250);
        assert_eq!(pairs_that_fit(Some(2), seconds(1000), seconds(2)), 0);
    }
}

//! Readings, block by block, as an experiment goes on.

use serde::{Deserialize, Serialize};

use super::design::{Design, DesignError};
use super::estimate::Estimate;
use super::randomisation::SignFlips;

/// What one look at a resource gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// It is at the ceiling beyond which the system counts no further (65,535 references on macOS): it has leaked,
    /// however still it stands.
    Saturated,
    /// It could not be read, and why.
    Missing(String),
    /// The count.
    #[serde(untagged)]
    Count(i64),
}

/// What the next block of time is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// Perform the operations.
    Treatment,
    /// Perform none.
    Control,
}

/// An experiment: blocks of equal time in adjacent pairs, of which a random assignment decides the treatment block.
///
/// ```
/// use std::num::NonZeroU32;
/// use leak_test::{Block, Design, Experiment, Reading, Resource, Seed};
///
/// let design = Design {
///     seed: Seed(1),
///     operation: "sample".to_owned(),
///     operations_per_block: NonZeroU32::new(100).expect("not 0"),
///     resources: vec![Resource::exact("descriptors", "descriptors", 0.02)],
/// };
/// let mut count = 12;
/// let mut experiment = Experiment::new(design, vec![Reading::Count(count)])?;
/// while experiment.pairs() < 14 {
///     if experiment.next_block() == Block::Treatment {
///         count += 5; // a leak of 0.05 per operation
///     }
///     experiment.record(vec![Reading::Count(count)]);
/// }
/// let estimate = experiment.estimates(999).remove(0).expect("every reading is there");
/// assert_eq!(estimate.per_operation, 0.05);
/// # Ok::<(), leak_test::DesignError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Experiment {
    design: Design,
    /// One row a look, the first before the first block; one column a resource.
    readings: Vec<Vec<Reading>>,
}

impl Experiment {
    /// Begins with a look at every resource, in the order of the design, after the warm-up.
    ///
    /// # Errors
    ///
    /// The design cannot be judged.
    ///
    /// # Panics
    ///
    /// When there are not as many readings as resources.
    pub fn new(design: Design, baseline: Vec<Reading>) -> Result<Self, DesignError> {
        design.check()?;
        let mut experiment = Self {
            design,
            readings: Vec::new(),
        };
        experiment.record(baseline);
        Ok(experiment)
    }

    /// What was fixed before.
    #[must_use]
    pub fn design(&self) -> &Design {
        &self.design
    }

    /// What is to be done next, before the next [`record`](Self::record).
    #[must_use]
    pub fn next_block(&self) -> Block {
        let block = self.readings.len() - 1;
        let first = block.is_multiple_of(2);
        if self.design.seed.treatment_first(block / 2) == first {
            Block::Treatment
        } else {
            Block::Control
        }
    }

    /// Ends a block with a look at every resource, in the order of the design, once the process has settled.
    ///
    /// # Panics
    ///
    /// When there are not as many readings as resources.
    pub fn record(&mut self, readings: Vec<Reading>) {
        assert_eq!(
            readings.len(),
            self.design.resources.len(),
            "a reading for every resource"
        );
        self.readings.push(readings);
    }

    /// Complete pairs. An unfinished one is discarded, whatever it holds.
    #[must_use]
    pub fn pairs(&self) -> usize {
        (self.readings.len() - 1) / 2
    }

    /// Operations performed in complete pairs.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.pairs() as u64 * u64::from(self.design.operations_per_block.get())
    }

    /// What there is to say so far of each resource, in the order of the design; `None` where a reading is missing or
    /// no pair is complete. A progress display does with 999 `sign_flips`, a verdict takes
    /// [`SIGN_FLIPS`](super::SIGN_FLIPS).
    #[must_use]
    pub fn estimates(&self, sign_flips: u32) -> Vec<Option<Estimate>> {
        let resources = self.design.resources.iter().enumerate();
        let estimate = |(index, resource): (usize, &super::Resource)| {
            let differences = self.differences(index).ok()?;
            let sign_flips = SignFlips::choose(self.pairs(), sign_flips, self.design.seed);
            Estimate::of(
                &differences,
                self.design.operations_per_block.get(),
                resource,
                sign_flips,
            )
        };
        resources.map(estimate).collect()
    }

    /// Treatment − control, one a pair, or the reading for which there are none.
    pub(super) fn differences(&self, resource: usize) -> Result<Vec<f64>, &Reading> {
        let counts = self.readings(resource).map(|reading| match reading {
            Reading::Count(count) => Ok(i128::from(*count)),
            Reading::Saturated | Reading::Missing(_) => Err(reading),
        });
        let counts: Vec<i128> = counts.collect::<Result<_, _>>()?;
        let difference = |pair: usize| {
            let block = |at: usize| counts[at + 1] - counts[at];
            let (first, second) = (block(2 * pair), block(2 * pair + 1));
            if self.design.seed.treatment_first(pair) {
                (first - second) as f64
            } else {
                (second - first) as f64
            }
        };
        Ok((0..self.pairs()).map(difference).collect())
    }

    /// The looks at a resource that complete pairs rest on: one at the start, one after each block.
    ///
    /// # Panics
    ///
    /// When the design has no such resource.
    pub fn readings(&self, resource: usize) -> impl DoubleEndedIterator<Item = &Reading> {
        self.readings[..=2 * self.pairs()]
            .iter()
            .map(move |row| &row[resource])
    }

    /// Whether any look, even in an unfinished pair, found the resource at its ceiling.
    pub(super) fn saturated(&self, resource: usize) -> bool {
        self.readings
            .iter()
            .any(|row| row[resource] == Reading::Saturated)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use serde_json::json;

    use super::super::{Resource, Seed};
    use super::*;

    fn design(resources: Vec<Resource>) -> Design {
        Design {
            seed: Seed(5),
            operation: "sample".to_owned(),
            operations_per_block: NonZeroU32::new(10).unwrap(),
            resources,
        }
    }

    fn threads() -> Resource {
        Resource::exact("threads", "threads", 0.02)
    }

    #[test]
    fn each_pair_has_one_treatment_block_where_its_assignment_says() {
        let mut experiment = Experiment::new(design(vec![threads()]), vec![Reading::Count(0)]).unwrap();
        for pair in 0..50 {
            let first = experiment.next_block();
            experiment.record(vec![Reading::Count(0)]);
            assert_eq!(experiment.pairs(), pair, "an unfinished pair does not count");
            let second = experiment.next_block();
            experiment.record(vec![Reading::Count(0)]);
            assert_eq!(experiment.pairs(), pair + 1);
            assert_ne!(first, second);
            assert_eq!(first == Block::Treatment, Seed(5).treatment_first(pair));
        }
        assert_eq!(experiment.operations(), 500);
    }

    #[test]
    fn differences_are_treatment_minus_control() {
        let mut experiment = Experiment::new(design(vec![threads()]), vec![Reading::Count(100)]).unwrap();
        let mut count = 100;
        // A treatment block adds 7, a control block takes 1 away; the odd block at the end is discarded.
        for _ in 0..21 {
            count += match experiment.next_block() {
                Block::Treatment => 7,
                Block::Control => -1,
            };
            experiment.record(vec![Reading::Count(count)]);
        }
        assert_eq!(experiment.differences(0), Ok(vec![8.0; 10]));
    }

    #[test]
    fn extreme_counts_do_not_overflow() {
        let mut experiment =
            Experiment::new(design(vec![threads()]), vec![Reading::Count(i64::MIN)]).unwrap();
        experiment.record(vec![Reading::Count(i64::MAX)]);
        experiment.record(vec![Reading::Count(i64::MIN)]);
        let differences = experiment.differences(0).unwrap();
        assert_eq!(differences[0].abs(), 2_f64.powi(65));
        assert!(
            experiment.estimates(999)[0]
                .as_ref()
                .unwrap()
                .per_operation
                .is_finite()
        );
    }

    #[test]
    fn one_missing_reading_leaves_the_other_resources() {
        let two = vec![threads(), Resource::exact("descriptors", "descriptors", 0.02)];
        let count = || Reading::Count(1);
        let missing = || Reading::Missing("no /proc".to_owned());
        let mut experiment = Experiment::new(design(two), vec![count(), count()]).unwrap();
        experiment.record(vec![count(), missing()]);
        experiment.record(vec![count(), count()]);
        assert_eq!(experiment.differences(0), Ok(vec![0.0]));
        assert_eq!(experiment.differences(1), Err(&missing()));
        let estimates = experiment.estimates(999);
        assert!(estimates[0].is_some() && estimates[1].is_none());
    }

    #[test]
    fn readings_are_written_as_what_they_are() {
        let readings = [
            (Reading::Count(-3), json!(-3)),
            (Reading::Saturated, json!("saturated")),
            (Reading::Missing("why".to_owned()), json!({"missing": "why"})),
        ];
        for (reading, json) in readings {
            assert_eq!(serde_json::to_value(&reading).unwrap(), json);
            assert_eq!(serde_json::from_value::<Reading>(json).unwrap(), reading);
        }
    }

    #[test]
    fn a_design_that_cannot_be_judged_is_refused() {
        let refused = |resources| {
            Experiment::new(design(resources), vec![Reading::Count(0)]).map_err(|e| e.to_string())
        };
        assert!(refused(vec![]).unwrap_err().contains("no resource"));
        assert!(
            refused(vec![threads(), threads()])
                .unwrap_err()
                .contains("\"threads\" twice")
        );
        for lambda_star in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let message = refused(vec![Resource::exact("fds", "descriptors", lambda_star)]).unwrap_err();
            assert!(message.contains("positive"), "{message}");
        }
    }
}

//! Mutations of the recorded evidence, judged by the six tests.

use std::collections::BTreeSet;

use anyhow::Result;
use checks::{Outcome, Row, Suite};
use seeded_defects::Catalogue;

use crate::tally::Tally;
use crate::trial::{CleanRun, Level, Trial, difference};

pub(crate) fn run(catalogue: &Catalogue, tally: &mut Tally) -> Result<()> {
    let suite = Suite::embedded()?;
    let good = seeded_defects::good_evidence();
    let none = BTreeSet::new();
    for (name, base) in catalogue.bases(&good)? {
        tally.add_clean_run(CleanRun {
            level: Level::Recorded,
            description: format!("the evidence as recorded, {name}"),
            false_positive: mismatch(&suite.judge(&base)?, &none, &none),
        });
    }
    for case in catalogue.recorded(&good)? {
        let mismatch = mismatch(&suite.judge(&case.evidence)?, &case.fails, &case.skips);
        if case.fails.is_empty() {
            tally.add_clean_run(CleanRun {
                level: Level::Recorded,
                description: case.id,
                false_positive: mismatch,
            });
        } else {
            tally.add_trial(Trial {
                defect: case.id,
                level: Level::Recorded,
                place: case.place,
                mismatch,
            });
        }
    }
    Ok(())
}

/// How these rows differ from what should fail and be skipped.
pub(crate) fn mismatch(rows: &[Row], fails: &BTreeSet<String>, skips: &BTreeSet<String>) -> Option<String> {
    let checks = |outcome| {
        let rows = rows.iter().filter(|row| row.outcome() == outcome);
        rows.map(|row| row.check.clone()).collect()
    };
    let failed = difference("failed", &checks(Outcome::Fail), fails);
    let skipped = difference("skipped", &checks(Outcome::Inconclusive), skips);
    match (failed, skipped) {
        (Some(failed), Some(skipped)) => Some(format!("{failed}; {skipped}")),
        (failed, skipped) => failed.or(skipped),
    }
}

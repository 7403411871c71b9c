//! Lies in the recorded evidence, judged by the six tests.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::Value;
use checks::{Outcome, Row};

use super::{Ground, Seeds, SoundRun, Tally, Trial, difference};
use crate::checks::{self, Checks};

pub(super) fn run(seeds: &Seeds, tally: &mut Tally) -> Result<()> {
    let checks = Checks::load(&checks::dir())?;
    for (name, base) in seeds.catalogue.bases(&seeds.good)? {
        let wrong = judge(&checks, &base, &BTreeSet::new(), &BTreeSet::new())?;
        tally.sound(SoundRun {
            ground: Ground::Recorded,
            what: format!("the evidence as recorded, {name}"),
            alarm: wrong,
        });
    }
    for case in seeds.catalogue.recorded(&seeds.good)? {
        let wrong = judge(&checks, &case.evidence, &case.fails, &case.skips)?;
        if case.fails.is_empty() {
            tally.sound(SoundRun {
                ground: Ground::Recorded,
                what: case.id,
                alarm: wrong,
            });
        } else {
            tally.trial(Trial {
                defect: case.id,
                ground: Ground::Recorded,
                place: case.place,
                wrong,
            });
        }
    }
    Ok(())
}

fn judge(
    checks: &Checks,
    evidence: &Value,
    fails: &BTreeSet<String>,
    skips: &BTreeSet<String>,
) -> Result<Option<String>> {
    Ok(wrong(&checks.judge(evidence)?, fails, skips))
}

/// How these rows differ from what should fail and be skipped.
pub(super) fn wrong(rows: &[Row], fails: &BTreeSet<String>, skips: &BTreeSet<String>) -> Option<String> {
    let of = |outcome| {
        let rows = rows.iter().filter(|row| row.outcome() == outcome);
        rows.map(|row| row.check.clone()).collect()
    };
    let failed = difference("failed", &of(Outcome::Fail), fails);
    let skipped = difference("skipped", &of(Outcome::Inconclusive), skips);
    match (failed, skipped) {
        (Some(failed), Some(skipped)) => Some(format!("{failed}; {skipped}")),
        (failed, skipped) => failed.or(skipped),
    }
}

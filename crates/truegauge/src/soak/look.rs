//! One look at every resource of a process that has settled.

use std::time::Duration;

use leak_test::Reading;
use serde::Serialize;
use serde_json::{Value, json};

use super::resources::{Offsets, Tracked, readings};
use crate::error::RunError;
use crate::observe::{ResourceCounts, resource_counts};
use crate::rig::{Client, Events, SamplingProcess};

/// A look is taken again where its parts contradict each other: something moved between them.
const ATTEMPTS: usize = 4;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);

/// How long a census may take, beyond what any request may.
const CENSUS: Duration = Duration::from_secs(2);

/// A process that can be looked at from both sides.
pub(super) trait Subject {
    fn pid(&self) -> u32;
    fn census(&mut self, events: &mut Events) -> Result<Value, RunError>;
}

impl Subject for SamplingProcess {
    fn pid(&self) -> u32 {
        self.pid()
    }

    fn census(&mut self, events: &mut Events) -> Result<Value, RunError> {
        self.request("resource_counts", &json!({}), events)
    }
}

impl Subject for Client {
    fn pid(&self) -> u32 {
        self.pid()
    }

    fn census(&mut self, events: &mut Events) -> Result<Value, RunError> {
        self.request("resource_counts", json!({}), CENSUS, events)
    }
}

/// What one look saw.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Look {
    pub(super) readings: Vec<Reading>,
    outside: ResourceCounts,
    census: Value,
}

impl Look {
    /// Whether a resource stands at its ceiling.
    pub(super) fn pegged(&self) -> bool {
        self.readings.contains(&Reading::Saturated)
    }
}

/// Looks at one process again and again.
pub(super) struct Looker {
    tracked: Vec<Tracked>,
    offsets: Offsets,
}

impl Looker {
    /// Finds out by how much the two ways of counting differ. The first census of a process sets things up, and is left
    /// out.
    pub(super) fn of(
        tracked: Vec<Tracked>,
        subject: &mut impl Subject,
        events: &mut Events,
    ) -> Result<Self, RunError> {
        subject.census(events)?;
        let mut offsets = || -> Result<Offsets, RunError> {
            let census = subject.census(events)?;
            Ok(Offsets::of(&tracked, &resource_counts(subject.pid()), &census))
        };
        let mut last = offsets()?;
        for _ in 0..ATTEMPTS {
            let again = offsets()?;
            if again == last {
                break;
            }
            last = again;
        }
        Ok(Self {
            tracked,
            offsets: last,
        })
    }

    pub(super) fn look(&self, subject: &mut impl Subject, events: &mut Events) -> Result<Look, RunError> {
        let mut attempts = 1;
        loop {
            let census = subject.census(events)?;
            let outside = resource_counts(subject.pid());
            let readings = readings(&self.tracked, &self.offsets, &outside, &census);
            let missing = |reading: &Reading| matches!(reading, Reading::Missing(_));
            if attempts == ATTEMPTS || !readings.iter().any(missing) {
                return Ok(Look {
                    readings,
                    outside,
                    census,
                });
            }
            attempts += 1;
            events.sleep(BETWEEN_ATTEMPTS)?;
        }
    }
}

//! The live tier: randomised pairs of blocks on the client in a session.
//!
//! The first experiment may be looked at as often as one likes, because a leak is a leak only once a second one, of a
//! fresh client and another seed, with its number of pairs fixed before, says so too. That there is no leak is decided
//! once, at the end.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use leak_test::{Analysis, Block, Reading, Seed};
use serde::Serialize;

use super::LivePlan;
use super::journal::Journal;
use super::pace::Pace;
use super::session::Session;
use crate::error::RunError;
use crate::rig::{Events, Rig, SessionConfig};

/// What is performed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Operation {
    /// One sample of the runtime metrics, over a window of no length.
    Sample,
    /// A whole bug report.
    Report,
}

impl Operation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sample => "sample",
            Self::Report => "report",
        }
    }

    /// How many are performed to see how long one takes.
    pub(super) fn trials(self) -> u32 {
        match self {
            Self::Sample => 20,
            Self::Report => 3,
        }
    }

    /// How many are performed before that, each by a request of its own: an allocator's arenas grow with the first hundred
    /// requests that they serve.
    pub(super) fn first(self) -> u32 {
        match self {
            Self::Sample => 200,
            Self::Report => 20,
        }
    }

    /// How many requests ask for so many.
    pub(super) fn requests(self, operations: u32) -> u32 {
        match self {
            Self::Sample => 1,
            Self::Report => operations,
        }
    }
}

/// What both experiments need.
pub(super) struct Bench<'a> {
    pub(super) plan: &'a LivePlan<'a>,
    pub(super) dir: &'a Path,
    pub(super) journal: &'a mut Journal,
    pub(super) events: &'a mut Events,
}

/// What the tier came to. Without a first experiment it ended before there was anything to judge.
#[derive(Default)]
pub(crate) struct Live {
    pub(crate) first: Option<Trial>,
    pub(crate) second: Option<Trial>,
    /// Somebody ended it before its time.
    pub(crate) interrupted: bool,
    /// Why it proves no cleanness, whatever the figures say.
    pub(crate) caveats: Vec<String>,
}

/// One experiment, judged.
pub(crate) struct Trial {
    pub(crate) analysis: Analysis,
    pub(crate) facts: Facts,
    /// Every look, the baseline first.
    pub(crate) steps: Vec<Step>,
}

/// How an experiment was made.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Facts {
    pub(crate) block_secs: f64,
    pub(crate) settle_secs: f64,
    pub(crate) operations_per_block: u32,
    pub(crate) warm_up_operations: u64,
    /// Blocks that took longer than they should have.
    pub(crate) late_blocks: u32,
}

/// One look.
pub(crate) struct Step {
    /// After which block; none at the baseline.
    pub(crate) block: Option<Block>,
    /// Operations performed before it.
    pub(crate) operations: u64,
    pub(crate) readings: Vec<Reading>,
}

/// How long an experiment goes on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// Until the time is up, or until something is found that there is time to confirm.
    Suspicion,
    /// For a number of pairs that was fixed before, at the pace of the first experiment.
    Confirmation { pairs: usize, pace: Pace },
}

/// Why it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// It found something, which so many pairs are to confirm.
    Suspicion {
        confirming_pairs: usize,
        pace: Pace,
    },
    AsPlanned,
    Interrupted,
    /// The client had not answered when the time was up.
    Unanswered(String),
}

/// Runs the experiment, and a second one where the first asks for it.
pub(super) fn run(bench: &mut Bench<'_>, seed: Seed) -> Result<Live> {
    let mut live = Live::default();
    let (first, ended) = bench.experiment("1", seed, Until::Suspicion, &mut live.caveats)?;
    live.first = first;
    live.note(&ended);
    if let Ended::Suspicion {
        confirming_pairs: pairs,
        pace,
    } = ended
    {
        bench.events.doing(&format!(
            "the first experiment found something: a second one, of {pairs} pairs, has to say so too"
        ));
        let until = Until::Confirmation { pairs, pace };
        let (second, ended) = bench.experiment("2", seed.fork(SECOND), until, &mut live.caveats)?;
        live.second = second;
        live.note(&ended);
    }
    Ok(live)
}

const SECOND: u64 = u64::from_be_bytes(*b"second 2");

impl Live {
    fn note(&mut self, ended: &Ended) {
        match ended {
            Ended::Interrupted => self.interrupted = true,
            Ended::Unanswered(what) => self.caveats.push(what.clone()),
            Ended::Suspicion { .. } | Ended::AsPlanned => {}
        }
    }
}

impl Bench<'_> {
    /// One experiment on a client of its own. The client's faults are errors; the end of the time, or an interrupt, ends it
    /// with what there is.
    fn experiment(
        &mut self,
        name: &str,
        seed: Seed,
        until: Until,
        caveats: &mut Vec<String>,
    ) -> Result<(Option<Trial>, Ended)> {
        let begun = Instant::now();
        let dir = self.dir.join(format!("experiment-{name}"));
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let parts = SessionConfig {
            client_binary: self.plan.client_binary,
            source_binary: self.plan.source_binary,
            source: self.plan.source,
            dir: &dir,
        };
        let mut rig = match Rig::start(&parts, self.events) {
            Ok(rig) => rig,
            Err(error) => return early(error, None).map(|ended| (None, ended)),
        };
        // It sees more than is asked here.
        rig.observer.stop();
        let mut session = Session::new(self, name, begun, dir.join("reports"), caveats);
        let outcome = session.run(&mut rig.client, seed, until);
        let overdue = session.overdue();
        // At once, whatever state it is in: how a client ends is for `verify` to judge.
        rig.kill();
        match outcome {
            Ok((course, ended)) => Ok((Some(course.judged()), ended)),
            Err(error) => early(error, overdue).map(|ended| (None, ended)),
        }
    }
}

/// What ends a run before its first block without anybody's fault is no error.
fn early(error: anyhow::Error, overdue: Option<String>) -> Result<Ended> {
    match error.downcast_ref::<RunError>() {
        Some(RunError::Interrupted) => Ok(Ended::Interrupted),
        Some(RunError::TimeUp) => {
            Ok(Ended::Unanswered(overdue.unwrap_or_else(|| {
                "the time was up before the first block".to_owned()
            })))
        }
        _ => Err(error),
    }
}

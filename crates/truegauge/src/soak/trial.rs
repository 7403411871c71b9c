//! One experiment: its plan, its course as it is reported, and how it ended.

use std::path::Path;

use leak_test::{Analysis, Block, Reading};
use serde::Serialize;

use super::LivePlan;
use super::journal::Journal;
use super::pace::Pace;
use crate::rig::Events;

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

//! Tests by experiment whether operations leak. Pure: no I/O, no clock, no platform code.
//!
//! Counts of a live process move by themselves, and trend tests take that for leaks. Here a random assignment decides which
//! of two adjacent blocks of time performs operations (treatment) and which idles (control). The operations caused what the
//! treatment blocks gain over the control blocks. Fisher's randomisation test then holds whatever else moves the counts.
//! `docs/soak.md` explains the method, its guarantees and its limits.
//!
//! | step | type |
//! |---|---|
//! | fix before the run what is judged | [`Design`], [`Resource`] |
//! | perform or idle as told, and record readings | [`Experiment`] |
//! | show estimate and bounds as they tighten | [`Experiment::estimates`] |
//! | judge an experiment by itself | [`Analysis`] |
//! | the child that leaks by construction | [`Control`] |
//! | the verdict over one or two experiments and the control | [`Conclusion`] |
//! | the count test, which compares the counts before and after | [`Comparison`], [`CountTestConclusion`] |
//!
//! The algebra of p-values and bounds, ties and degenerate cases is in [`randomisation`], that of the smallest
//! detectable leak in [`power`].

mod analysis;
mod control;
mod count_rule;
mod count_test;
mod design;
mod estimate;
mod experiment;
mod format;
pub mod power;
pub mod randomisation;
mod seed;
pub mod simulated;
#[cfg(test)]
mod tests;
mod verdict;

pub use analysis::{Analysis, Blocker, Finding, ResourceAnalysis};
pub use control::Control;
pub use count_rule::CountRule;
pub use count_test::{Comparison, CountTestConclusion, Counted, Difference};
pub use design::{Class, Design, DesignError, Resource};
pub use estimate::Estimate;
pub use experiment::{Block, Experiment, Reading};
pub use format::figure;
pub use power::Power;
pub use randomisation::SIGN_FLIPS;
pub use seed::{Random, Seed, SeedError};
pub use verdict::{Conclusion, Reason, Verdict};

/// LEAK where p_up(0) is at most this by the number of resources judged.
pub const LEAK_LEVEL: f64 = 0.001;
/// CLEAN where p_down(λ*) is at most this.
pub const CLEAN_LEVEL: f64 = 0.01;
/// The two bounds of an estimate leave out the truth with at most this probability, half of it on each side.
pub const BOUNDS_LEVEL: f64 = 0.01;
/// Fewer pairs are not judged.
pub const MIN_PAIRS: usize = 14;
/// Noisy resources are judged in runs of so many minutes or more.
pub const MIN_NOISY_MINUTES: u64 = 10;
/// A leak of λ* must have left so many units in all before their absence proves anything. One that strikes at random
/// would be taken for clean in 5 % of runs with five units, in 1 to 4 % with these, in 1.4 % with 120.
pub const MIN_UNITS: f64 = 14.0;

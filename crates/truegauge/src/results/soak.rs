//! A soak in plain figures. What they rest on stands beside them as [`Soak::statistics`], in the judge's own words.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a soak came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Soak {
    /// `CLEAN`, `LEAK`, `OVER-RELEASE` or `INCONCLUSIVE`.
    pub(crate) verdict: String,
    /// Begins with the verdict's word.
    pub(crate) sentence: String,
    /// What the exact tier says.
    pub(crate) exact: String,
    /// What became of the positive control.
    pub(crate) control: String,
    /// The live tier's; none where there was no live tier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) experiments: Vec<Experiment>,
    /// All that the verdict rests on (crates/leak-test). Its shape is not part of this model.
    pub(crate) statistics: Value,
}

/// One experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Experiment {
    pub(crate) seed: String,
    /// What was performed, in the singular: `sample`.
    pub(crate) operation: String,
    pub(crate) operations: u64,
    pub(crate) pairs: u64,
    pub(crate) findings: Vec<Finding>,
}

/// What an experiment finds of one resource; rates are units per operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Finding {
    pub(crate) resource: String,
    pub(crate) unit: String,
    /// In words: `ruled out`, `leak`, or what stands in the way.
    pub(crate) found: String,
    /// The leak that has to be ruled out.
    pub(crate) to_rule_out: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) per_operation: Option<f64>,
    /// These hold the true leak between them with 99 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bounds: Option<Bounds>,
    /// The smallest leak that would have been found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) would_be_found: Option<f64>,
    /// That chance makes the figure so high where nothing leaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) p_leak: Option<f64>,
}

/// A lower and an upper bound.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Bounds {
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

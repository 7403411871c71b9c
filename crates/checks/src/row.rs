//! One judged claim.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Outcome;

/// One judged claim, as an assertion yields it and as `results.json` holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The check's id, unique within its file: `3.busy.process`.
    pub check: String,
    /// What is claimed, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Whether the claim held; `None` where it could not be judged.
    // Named, so that serde does not take an absent `passed` for a skipped row.
    #[serde(deserialize_with = "Option::deserialize")]
    pub passed: Option<bool>,
    /// What the report says: a figure, or words or a list where there is none.
    pub measured: Value,
    /// What it would have to be.
    pub allowed: Allowed,
    /// The unit of a measured figure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The jq path of what was judged, in the evidence.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// What to look at when it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Why the row was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why this row need not pass for the client that was judged. No assertion yields it: the harness adds it, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relaxed: Option<String>,
}

impl Row {
    /// What this row came to: a skipped one is inconclusive, and one that was relaxed passes whatever it found.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self.passed {
            _ if self.relaxed.is_some() => Outcome::Pass,
            Some(true) => Outcome::Pass,
            Some(false) => Outcome::Fail,
            None => Outcome::Inconclusive,
        }
    }

    /// Reads a row that an assertion yielded, or says which key is wrong.
    pub(crate) fn from_output(output: Value) -> Result<Self, String> {
        if !output.is_object() {
            return Err(format!("{} where an object belongs", kind(&output)));
        }
        let row: Self = serde_json::from_value(output).map_err(|error| error.to_string())?;
        if row.check.is_empty() {
            return Err("`check` is empty".to_owned());
        }
        if row.relaxed.is_some() {
            return Err("`relaxed` is the harness's to say".to_owned());
        }
        let reason = row.reason.as_deref().unwrap_or_default();
        match row.passed {
            None if reason.is_empty() => {
                Err("`passed` is null (skipped), but there is no `reason`".to_owned())
            }
            Some(_) if row.reason.is_some() => {
                Err("`reason` is there, but `passed` is not null (skipped)".to_owned())
            }
            Some(true) if !row.allowed.admits(&row.measured) => {
                Err("`passed` is true, but `measured` is outside of `allowed`".to_owned())
            }
            _ => Ok(row),
        }
    }
}

/// What is allowed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", untagged)]
pub enum Allowed {
    /// A figure within these bounds.
    Range(Range),
    /// Exactly this, or words for it.
    Value(Value),
}

impl Allowed {
    /// Whether a figure lies within the bounds. Of words, and of what is no figure, nothing is known.
    fn admits(&self, measured: &Value) -> bool {
        let (Self::Range(range), Some(figure)) = (self, measured.as_f64()) else {
            return true;
        };
        range.min.is_none_or(|min| figure >= min) && range.max.is_none_or(|max| figure <= max)
    }
}

/// Bounds of a figure, both inclusive. At least one is there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The least that is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The most that is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

impl TryFrom<Value> for Allowed {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        if !value.is_object() {
            return Ok(Self::Value(value));
        }
        match serde_json::from_value(value) {
            Ok(Range { min: None, max: None }) => Err("`allowed` has neither `min` nor `max`".to_owned()),
            Ok(range) => Ok(Self::Range(range)),
            Err(error) => Err(format!(
                "`allowed` is neither {{min, max}} nor a plain value: {error}"
            )),
        }
    }
}

/// A JSON value's type, for messages.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_row_keeps_its_keys_both_ways() {
        let rows = [
            json!({"check": "3.busy.process", "title": "t", "passed": true, "measured": 35.4,
                   "allowed": {"min": 17.5, "max": 52.7}, "unit": "%", "where": ".reports[1]", "remedy": "r"}),
            json!({"check": "1", "passed": false, "measured": null, "allowed": {"min": 1.0}}),
            json!({"check": "1", "passed": null, "measured": "absent", "allowed": null, "reason": "no observer"}),
            json!({"check": "1", "passed": true, "measured": [], "allowed": []}),
        ];
        for row in rows {
            let read = Row::from_output(row.clone()).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), row);
        }
    }

    #[test]
    fn a_malformed_row_is_refused_by_the_name_of_its_key() {
        let good = json!({"check": "1.a", "passed": true, "measured": 1, "allowed": {"min": 1}});
        let with = |key: &str, value: Value| {
            let mut row = good.clone();
            row[key] = value;
            row
        };
        let without = |key: &str| {
            let mut row = good.clone();
            row.as_object_mut().unwrap().remove(key);
            row
        };
        let cases = [
            (without("check"), "missing field `check`"),
            (without("passed"), "missing field `passed`"),
            (without("measured"), "missing field `measured`"),
            (without("allowed"), "missing field `allowed`"),
            (with("check", json!("")), "`check` is empty"),
            (
                with("passed", json!("yes")),
                "invalid type: string \"yes\", expected a boolean",
            ),
            (
                with("passed", json!(null)),
                "`passed` is null (skipped), but there is no `reason`",
            ),
            (
                with("reason", json!("because")),
                "`reason` is there, but `passed` is not null (skipped)",
            ),
            (
                with("allowed", json!({})),
                "`allowed` has neither `min` nor `max`",
            ),
            (
                with("allowed", json!({"least": 1})),
                "`allowed` is neither {min, max} nor a plain value: unknown field `least`",
            ),
            (
                with("allowed", json!({"min": "1"})),
                "`allowed` is neither {min, max} nor a plain value: invalid type: string \"1\"",
            ),
            (
                with("measured", json!(0.5)),
                "`passed` is true, but `measured` is outside of `allowed`",
            ),
            (
                with("allowed", json!({"max": 0.5})),
                "`passed` is true, but `measured` is outside of `allowed`",
            ),
            (with("wehre", json!(".")), "unknown field `wehre`"),
            (with("relaxed", json!("me")), "`relaxed` is the harness's to say"),
            (json!(true), "a boolean where an object belongs"),
            (json!([1]), "an array where an object belongs"),
        ];
        for (row, expected) in cases {
            let message = Row::from_output(row.clone()).unwrap_err();
            assert!(message.contains(expected), "{row}: {message}");
        }
    }
}

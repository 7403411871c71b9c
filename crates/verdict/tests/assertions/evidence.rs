//! Evidence that passes.

use serde_json::{Value, json};

/// Of a run on Linux: three reports, twelve threads, and under load one more that was born in the window and another
/// that ended in it.
pub(crate) fn linux() -> Value {
    serde_json::from_str(include_str!("../good-evidence.json")).expect("the fixture is JSON")
}

/// The same run as a Mac would tell it.
pub(crate) fn macos() -> Value {
    let mut evidence = linux();
    evidence["environment"]["os"] = json!("macos");
    for report in evidence["reports"].as_array_mut().expect("reports") {
        report["metrics"]["platform"] = json!("macos");
        report["metrics"]["process"]["footprint_kb"] = json!(24_576);
        report["observer"]["footprint_kb"] = json!(24_592);
    }
    evidence
}

/// The Linux run under `--strict`'s thresholds.
pub(crate) fn strict() -> Value {
    let mut evidence = linux();
    let narrow = json!({"cpu_relative": 0.05, "cpu_floor_points": 0.5, "thread_floor_points": 1.0,
                        "memory_relative": 0.02, "memory_floor_kb": 1024, "uptime_secs": 0.15});
    for (name, threshold) in narrow.as_object().expect("an object") {
        evidence["thresholds"][name] = threshold.clone();
    }
    evidence
}

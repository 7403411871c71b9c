//! Results for the tests of the views.

use serde_json::json;

use super::Results;

/// Something of everything: a check that passed, one that failed, one that was skipped; threads, a soak, hostile names.
pub(crate) fn failed() -> Results {
    serde_json::from_value(json!({
        "schema": 1,
        "verdict": "fail",
        "sentence": "FAIL: 1 passed, 1 failed, 1 skipped",
        "run": {"id": "20261122T201800Z-abcd", "command": "cargo xtask verify --window 2s",
                "started_at": "2026-11-22T20:18:00Z", "elapsed_secs": 21.5, "seed": "00000000075bcd15"},
        "environment": {"os": "linux", "arch": "x86_64", "os_version": "Debian GNU/Linux 12 (bookworm)",
                        "kernel": "Linux 6.1", "cpu": "A CPU", "logical_cpus": 2, "git_revision": "abc123",
                        "tools": {"rustc": "rustc 1.89.0"}},
        "thresholds": {"cpu_relative": 0.5},
        "checks": [
            {"check": "1.idle.threads", "title": "at least one thread is listed", "passed": true, "measured": 12,
             "allowed": {"min": 1.0}, "unit": "threads"},
            {"check": "3.busy.process", "title": "process CPU against the observer", "passed": false, "measured": 1.25,
             "allowed": {"min": 17.5, "max": 52.759}, "unit": "% of a core",
             "where": ".reports[1].metrics.process.cpu_percent", "remedy": "look at <the clock> & the window"},
            {"check": "6.busy.names", "title": "names <script>alert(1)</script>", "passed": null, "measured": ["a|b"],
             "allowed": [], "reason": "nobody observed\u{1b}[31m this\nreport"}
        ],
        "reports": [
            {"label": "idle", "file": "idle.zip", "uptime_secs": 3.25,
             "client": {"cpu_percent": 0.5, "threads_percent": 0.5, "resident_kb": 40000.0, "virtual_kb": 300_000.0},
             "observer": {"cpu_percent": 0.4, "threads_percent": 0.4, "resident_kb": 40100.0, "virtual_kb": 300_000.0},
             "threads": [{"tid": 100, "name": "main", "client_percent": 0.5, "observer_percent": 0.4}]},
            {"label": "busy", "file": "busy.zip",
             "client": {"cpu_percent": 1.25}, "observer": {"cpu_percent": 35.1},
             "threads": [{"tid": 100, "name": "main", "client_percent": 1.0},
                         {"tid": 101, "name": "<img src=x onerror=alert(1)>", "observer_percent": 34.0}]}
        ],
        "soak": {
            "verdict": "CLEAN", "sentence": "CLEAN: a leak above 0.02 threads per sample is ruled out (99 %)",
            "exact": "CLEAN: 1,000 samples leave everything as it was", "control": "the control was found",
            "experiments": [{"seed": "00000000075bcd15", "operation": "sample", "operations": 3000, "pairs": 30,
                "findings": [{"resource": "threads", "unit": "threads", "found": "ruled out", "to_rule_out": 0.02,
                              "per_operation": 0.001, "bounds": {"lower": -0.002, "upper": 0.004},
                              "would_be_found": 0.005, "p_leak": 0.4}]}],
            "statistics": {"exact": {"verdict": "clean"}}
        },
        "artifacts": [{"path": "evidence.json", "what": "everything that was seen"}]
    }))
    .expect("results")
}

//! `truegauge soak` as a user runs it: real processes, real leaks, and nothing left behind.
#![cfg(target_os = "linux")]
mod harness;

use rustix::process::Signal;
use std::time::{Duration, Instant};

use harness::formats::assert_files;
use harness::{Harness, Run};
use serde_json::Value;

const FAULT: &str = "RUNTIME_METRICS_FAULT";

/// The verdict's line.
fn last_line(run: &Run) -> &str {
    run.stdout.trim_end().lines().last().unwrap_or_default()
}

/// The analysis of one resource in one of the experiments.
fn resource<'a>(results: &'a Value, experiment: usize, name: &str) -> &'a Value {
    let resources = &results["soak"]["statistics"]["live"]["experiments"][experiment]["resources"];
    let resources = resources.as_array().expect("resources");
    resources
        .iter()
        .find(|resource| resource["name"] == name)
        .expect(name)
}

fn nothing_is_left(run: &Run) {
    assert!(run.left_running().is_empty(), "{:?}", run.left_running());
    assert!(run.left_in_temp().is_empty(), "{:?}", run.left_in_temp());
}

#[test]
fn a_true_client_is_not_leaking_and_everything_is_written_down() {
    let samples = Harness::start_soak(&["--duration", "25s"], &[]);
    let reports = Harness::start_soak(&["--duration", "25s", "--operation", "report"], &[]);
    let run = samples.finish();
    // On a machine that is too busy for 14 pairs nothing can be said; a leak would be false.
    assert!(run.code == 0 || run.code == 3, "{run:?}");
    let word = if run.code == 0 {
        "CLEAN: "
    } else {
        "INCONCLUSIVE: "
    };
    assert!(last_line(&run).starts_with(word), "{run:?}");

    let results = run.json("results.json");
    assert_eq!(
        results["soak"]["statistics"]["exact"]["verdict"], "clean",
        "{results}"
    );
    assert_eq!(
        results["soak"]["statistics"]["exact"]["control"]["outcome"], "found",
        "{results}"
    );
    for name in ["descriptors", "mappings", "threads"] {
        let analysed = resource(&results, 0, name);
        assert_ne!(analysed["finding"], "leak", "{analysed}");
        assert_eq!(analysed["lambda_star"], 0.02);
        assert!(analysed["count_rule"]["start"].is_u64(), "{analysed}");
        if run.code == 0 {
            assert!(analysed["estimate"]["upper"].is_number(), "{analysed}");
            assert!(analysed["power"]["by_formula"].is_number(), "{analysed}");
        }
    }
    assert_eq!(resource(&results, 0, "rss")["needs_minutes"], 10);
    assert!(results["run"]["elapsed_secs"].as_f64() <= Some(25.0), "{results}");

    let samples = std::fs::read_to_string(run.dir().join("samples.ndjson")).expect("readable");
    let looks: Vec<Value> = samples
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let treated = looks
        .iter()
        .filter(|look| look["tier"] == "live" && look["after"] == "treated");
    assert!(treated.count() > 0 && looks.iter().any(|look| look["tier"] == "control"));
    assert!(run.dir().join("soak.svg").exists());
    assert_files(&run.dir());
    nothing_is_left(&run);

    let run = reports.finish();
    assert!(run.code == 0 || run.code == 3, "{run:?}");
    let results = run.json("results.json");
    assert!(
        results["soak"]["statistics"]["live"]["experiments"][0]["operations"].as_u64() > Some(0),
        "{results}"
    );
    let reports = run.dir().join("experiment-1/reports");
    assert_eq!(
        std::fs::read_dir(reports).expect("listed").count(),
        0,
        "reports are removed as they come"
    );
}

#[test]
fn a_leak_of_one_per_sample_is_found_with_its_rate() {
    let client = harness::tampering_client();
    let args = ["--duration", "60s", "--client-bin", &client];
    let run = Harness::start_soak(&args, &[(FAULT, "descriptor")]).finish();
    assert_eq!(run.code, 1, "{run:?}");
    assert!(
        last_line(&run).starts_with("LEAK: 1 descriptors per sample"),
        "{run:?}"
    );
    let results = run.json("results.json");
    assert_eq!(
        results["soak"]["statistics"]["live"]["leaks"],
        serde_json::json!(["descriptors"])
    );
    for experiment in 0..2 {
        let estimate = &resource(&results, experiment, "descriptors")["estimate"];
        let bound = |name: &str| estimate[name].as_f64().expect("a bound");
        assert!(bound("lower") <= 1.0 && 1.0 <= bound("upper"), "{estimate}");
    }
    let seeds = &results["soak"]["statistics"]["live"]["experiments"];
    assert_ne!(seeds[0]["seed"], seeds[1]["seed"]);
    nothing_is_left(&run);
}

#[test]
fn what_grows_without_leaking_is_not_a_leak() {
    let client = harness::tampering_client();
    let args = ["--duration", "25s", "--client-bin", &client];
    let faults = [
        ("a leak at the start alone", "descriptor,until=1500"),
        (
            "a pool that grows once",
            "descriptor,units=8,from=1500,until=1501",
        ),
        ("a cache that a timer trims", "descriptor,trim_ms=10"),
    ];
    let runs = faults.map(|(what, fault)| (what, Harness::start_soak(&args, &[(FAULT, fault)])));
    for (what, run) in runs {
        let run = run.finish();
        assert!(run.code == 0 || run.code == 3, "{what}: {run:?}");
        let results = run.json("results.json");
        assert!(
            results["soak"]["statistics"]["live"]["experiments"][0]["pairs"].as_u64() > Some(0),
            "{what}: {results}"
        );
        nothing_is_left(&run);
    }
}

#[test]
fn running_out_of_descriptors_is_a_leak_and_the_control_needs_few() {
    let client = harness::tampering_client();
    let args = ["--duration", "40s", "--client-bin", &client];
    let run = Harness::start_soak_with_descriptors(256, &args, &[(FAULT, "descriptor")]).finish();
    assert_eq!(run.code, 1, "{run:?}");
    assert!(
        last_line(&run).starts_with("LEAK: descriptors reached the ceiling"),
        "{run:?}"
    );
    let results = run.json("results.json");
    assert_eq!(
        results["soak"]["statistics"]["exact"]["control"]["outcome"], "found",
        "{results}"
    );
}

#[test]
fn a_client_that_hangs_does_not_hold_the_run_beyond_its_time() {
    let mut harness = Harness::start_soak(&["--duration", "20s"], &[]);
    harness.await_line("soak: 20s");
    let begun = Instant::now();
    let pid = harness.await_pid("client");
    harness.await_line("experiment 1: blocks of");
    harness::kill(pid, Signal::STOP);
    let run = harness.finish();
    assert!(
        begun.elapsed() <= Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        (run.code == 1 && last_line(&run).starts_with("FAIL: the client did not answer"))
            || (run.code == 3 && last_line(&run).contains("had not answered for")),
        "{run:?}"
    );
    nothing_is_left(&run);
}

#[test]
fn a_client_that_dies_has_failed() {
    let mut harness = Harness::start_soak(&["--duration", "10m"], &[]);
    let pid = harness.await_pid("client");
    harness.await_line("experiment 1: blocks of");
    harness::kill(pid, Signal::KILL);
    let run = harness.finish();
    assert_eq!(run.code, 1, "{run:?}");
    assert!(
        last_line(&run).starts_with("FAIL: the client ended in mid-run with signal 9"),
        "{run:?}"
    );
    assert!(run.stderr.contains("client.log, last lines"), "{run:?}");
    assert_eq!(run.json("results.json")["verdict"], "fail");
    nothing_is_left(&run);
}

#[test]
fn an_interrupt_ends_a_run_with_the_verdict_so_far() {
    let mut harness = Harness::start_soak(&["--duration", "10m"], &[]);
    harness.await_line("experiment 1: blocks of");
    harness::kill(harness.pid(), Signal::INT);
    let run = harness.finish();
    assert_eq!(run.code, 3, "{run:?}");
    let last = last_line(&run);
    assert!(
        last.starts_with("INCONCLUSIVE: ") && last.contains("interrupted"),
        "{run:?}"
    );
    assert_eq!(
        run.json("results.json")["soak"]["statistics"]["exact"]["verdict"],
        "clean"
    );
    nothing_is_left(&run);
}

#[test]
fn only_what_is_built_to_leak_can_leak() {
    let holds_fault = |path: &str| {
        let bytes = std::fs::read(path).expect(path);
        bytes
            .windows(FAULT.len())
            .any(|window| window == FAULT.as_bytes())
    };
    let leaky = harness::tampering_client();
    assert!(holds_fault(&leaky), "or this test could not fail");
    assert!(!holds_fault(&harness::client()));
}

#[test]
fn what_cannot_be_is_a_usage_error() {
    for args in [
        &["--duration", "1s"][..],
        &["--hours", "0"],
        &["--hours", "1", "--duration", "1h"],
        &["--resources", "handles"],
        &["--seed", "xyz"],
        &["--operation", "nothing"],
    ] {
        let run = Harness::start_soak(args, &[]).finish();
        assert_eq!(run.code, 2, "{args:?}: {run:?}");
        assert!(
            run.stderr.contains(args[1]) || run.stderr.contains(args[0]),
            "{args:?}: {run:?}"
        );
    }
}

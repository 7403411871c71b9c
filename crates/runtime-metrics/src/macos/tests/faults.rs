//! Faults that a macOS backend can have, each seeded and each found by the checks that the backend passes; and runs of a
//! backend without one, which the same checks leave alone.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use leak_test::{Comparison, Control, CountTestConclusion, Counted, Reading, Resource, Verdict};
use mach_model::{Call, Config, kern};

use super::catalogue::{Findings, catalogue};
use super::faulty::{Fault, Faulty};
use super::fixture::{ASKED, ASLEEP, Fixture, PARKED};
use super::leaks::RESOURCES;
use super::sample;
use crate::ProcessReport;
use crate::macos::resource_counts;

/// The fault of this name in the catalogue.
fn fault(name: &str) -> Fault {
    match name {
        "release-skipped" => Fault::ReleaseSkipped,
        "released-twice" => Fault::ReleasedTwice,
        "array-not-freed" => Fault::ArrayNotFreed,
        "freed-items-for-bytes" => Fault::FreedItemsForBytes,
        "freed-zero-bytes" => Fault::FreedZeroBytes,
        "freed-twice-the-size" => Fault::FreedTwiceTheSize,
        "release-skipped-on-the-error-path" => Fault::ReleaseSkippedOnTheErrorPath,
        "basic-info-alone" => Fault::BasicInfoAloneAsCpu,
        "ticks-as-nanoseconds" => Fault::TicksReadAsNanoseconds,
        "seconds-dropped" => Fault::SecondsDropped,
        "unsorted" => Fault::Elsewhere,
        "window-assumed" => Fault::WindowAssumed((ASLEEP - ASKED).as_nanos() as u64),
        _ => panic!("no fault {name:?} of the backend is known"),
    }
}

/// What the checks find in a sample by a backend with this fault.
fn found(name: &str, config: Config) -> Vec<String> {
    let fixture = Fixture::new(config);
    let fault = fault(name);
    if matches!(fault, Fault::BasicInfoAloneAsCpu | Fault::SecondsDropped) {
        // Faults of the third source.
        for call in [Call::TaskAbsolutetimeInfo, Call::TaskPowerInfo] {
            fixture.model.refuse(call, kern::NOT_SUPPORTED);
        }
    }
    let kernel = Faulty::new(&fixture.model, fault);
    let tamper = |report: &mut ProcessReport| {
        if name == "unsorted" {
            report.threads.reverse();
        }
    };
    fixture.faults(&kernel, || kernel.pause(), tamper)
}

/// What kinds of faults these are.
fn kinds(faults: &[String]) -> BTreeSet<String> {
    let kind = |fault: &String| fault.split(':').next().unwrap_or_default().to_owned();
    faults.iter().map(kind).collect()
}

#[test]
fn each_fault_of_the_catalogue_is_found_by_its_check_and_no_other() {
    // Arrays of several pages, so that part of one can be left.
    let config = Config {
        page_size: 16,
        ..Config::default()
    };
    let mut findings = Findings::default();
    for row in catalogue().backend {
        let found = found(&row.fault, config.clone());
        findings.defect(&row.id, "the model kernel", &kinds(&found), &row.finds);
    }
    findings.assert_right();
}

#[test]
fn in_a_hardened_process_a_second_release_is_fatal() {
    let hardened = Config {
        hardened: true,
        ..Config::default()
    };
    let run = AssertUnwindSafe(|| found("released-twice", hardened));
    let panic = catch_unwind(run).expect_err("EXC_GUARD");
    let message = panic.downcast_ref::<String>().expect("a message");
    assert!(message.contains("EXC_GUARD"), "{message}");
}

/// Runs without a fault, none like another: `cargo xtask selftest` promises so many.
const SOUND_RUNS: usize = 1_000;

#[test]
fn a_thousand_runs_without_a_fault_raise_no_alarm() {
    let runs = if cfg!(miri) { 2 } else { SOUND_RUNS };
    let mut findings = Findings::default();
    for run in 0..runs {
        let config = Config {
            page_size: [16, 4096, 16_384][run % 3],
            hardened: run % 2 == 0,
            tick: [(125, 3), (1, 1)][run / 3 % 2],
            descriptors: 3 + run % 50,
            ..Config::default()
        };
        let fixture = Fixture::new(config);
        for _ in 0..run % 60 {
            fixture.model.spawn("more", PARKED);
        }
        let mut alarms = fixture.faults(&fixture.model, || {}, |_| {});
        alarms.extend(exact_alarm(&fixture));
        findings.sound(
            &format!("the model kernel, run {run}"),
            (!alarms.is_empty()).then(|| alarms.join("; ")),
        );
    }
    findings.assert_right();
}

/// What the exact tier says of samples in this process, where that is not that it is clean.
fn exact_alarm(fixture: &Fixture) -> Option<String> {
    const SAMPLES: u32 = 5;
    let count = || {
        let counts = serde_json::to_value(resource_counts::count(&fixture.model)).expect("JSON");
        RESOURCES.map(|(name, pointer)| {
            counts
                .pointer(pointer)
                .and_then(serde_json::Value::as_i64)
                .expect(name)
        })
    };
    let before = count();
    for _ in 0..SAMPLES {
        sample(&fixture.model, Duration::ZERO, || fixture.model.pass(1_000_000)).expect("a report");
    }
    let counts = RESOURCES.iter().zip(before).zip(count());
    let counted = |(((name, _), before), after): ((&(&str, &str), i64), i64)| Counted {
        resource: Resource::exact(name, name, 0.02),
        before: Reading::Count(before),
        after: Reading::Count(after),
    };
    let comparison = Comparison {
        operation: "sample".to_owned(),
        operations: NonZeroU32::new(SAMPLES).expect("not 0"),
        counts: counts.map(counted).collect(),
    };
    let conclusion = CountTestConclusion::from_comparison(comparison, Control::Found);
    (conclusion.verdict != Verdict::Clean).then_some(conclusion.sentence)
}

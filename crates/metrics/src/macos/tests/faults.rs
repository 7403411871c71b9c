//! Ten faults that a macOS backend can have, each seeded and each found by the checks that the backend
//! passes.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mach_model::{Call, Config, kern};

use super::faulty::{Fault, Faulty};
use super::scene::{ASKED, ASLEEP, Scene};
use crate::ProcessReport;

/// The fault, how it is seeded, and what the checks say of it.
const FAULTS: &[(&str, Fault, &str)] = &[
    (
        "release skipped",
        Fault::ReleaseSkipped,
        "is Send { urefs: 3 }, not Send { urefs: 1 }",
    ),
    (
        "released twice",
        Fault::ReleasedTwice,
        "should be Send { urefs: 1 } and is not there",
    ),
    (
        "array not freed",
        Fault::ArrayNotFreed,
        "bytes of arrays are there, not 0",
    ),
    (
        "freed with the wrong size",
        Fault::FreedItemsForBytes,
        "bytes of arrays are there, not 0",
    ),
    (
        "freed with the wrong size",
        Fault::FreedZeroBytes,
        "bytes of arrays are there, not 0",
    ),
    (
        "freed with the wrong size",
        Fault::FreedTwiceTheSize,
        "of the process's own pages were freed",
    ),
    (
        "release skipped on the error path",
        Fault::ReleaseSkippedOnTheErrorPath,
        "is Send { urefs: 1 } and should not be there",
    ),
    (
        "BASIC_INFO alone as CPU",
        Fault::BasicInfoAloneAsCpu,
        "the process used",
    ),
    (
        "ticks read as ns",
        Fault::TicksReadAsNanoseconds,
        "the process used",
    ),
    ("seconds dropped", Fault::SecondsDropped, "the process used"),
    ("unsorted tids", Fault::Elsewhere, "threads do not ascend"),
    (
        "window assumed",
        Fault::WindowAssumed(ASLEEP.as_nanos() as u64 - ASKED.as_nanos() as u64),
        "the window is 2000",
    ),
];

/// What the checks find in a sample by a backend with this fault.
fn found(title: &str, fault: Fault, config: Config) -> Vec<String> {
    let scene = Scene::new(config);
    if matches!(fault, Fault::BasicInfoAloneAsCpu | Fault::SecondsDropped) {
        // Faults of the third source.
        for call in [Call::TaskAbsolutetimeInfo, Call::TaskPowerInfo] {
            scene.model.refuse(call, kern::NOT_SUPPORTED);
        }
    }
    let kernel = Faulty::new(&scene.model, fault);
    let spoil = |report: &mut ProcessReport| {
        if title == "unsorted tids" {
            let listed = scene.model.tids();
            report
                .threads
                .sort_by_key(|thread| listed.iter().position(|tid| *tid == thread.tid));
        }
    };
    scene.faults(&kernel, || kernel.pause(), spoil)
}

#[test]
fn each_of_ten_seeded_faults_is_found() {
    // Arrays of several pages, so that part of one can be left.
    let config = Config {
        page_size: 16,
        ..Config::default()
    };
    assert_eq!(found("none", Fault::Elsewhere, config.clone()), [""; 0]);
    for (title, fault, finding) in FAULTS {
        let found = found(title, *fault, config.clone());
        assert!(
            found.iter().any(|found| found.contains(finding)),
            "{title}: found only {found:#?}"
        );
        println!("found: {title} ({fault:?})");
    }
    let titles: BTreeSet<_> = FAULTS.iter().map(|(title, ..)| title).collect();
    assert_eq!(titles.len(), 10);
}

#[test]
fn in_a_hardened_process_a_second_release_is_fatal() {
    let hardened = Config {
        hardened: true,
        ..Config::default()
    };
    let run = AssertUnwindSafe(|| found("released twice", Fault::ReleasedTwice, hardened));
    let panic = catch_unwind(run).expect_err("EXC_GUARD");
    let message = panic.downcast_ref::<String>().expect("a message");
    assert!(message.contains("EXC_GUARD"), "{message}");
}

//! Are the figures true? The model knows.

use std::sync::OnceLock;

use mach_model::{Call, Config, Event, Model, kern};

use super::faulty::{Fault, Faulty};
use super::fixture::{ASKED, BUSY, Fixture, PARKED, POINTS, first_thread_info};
use super::{sample, snapshot};
use crate::ProcessReport;
use crate::macos::cpu::{self, Source};
use crate::macos::memory;
use crate::snapshot::Reading;

fn no_pause() {}

fn as_it_is(_: &mut ProcessReport) {}

#[test]
fn figures_are_true_whatever_the_machine() {
    for config in [
        Config::default(),
        Config {
            hardened: true,
            page_size: 16,
            ..Config::default()
        },
        Config {
            tick: (1, 1),
            page_size: 4096,
            ..Config::default()
        },
        Config {
            translated: true,
            ..Config::default()
        },
    ] {
        let fixture = Fixture::new(config.clone());
        assert_eq!(
            fixture.faults(&fixture.model, no_pause, as_it_is),
            [""; 0],
            "{config:?}"
        );
    }
}

#[test]
fn every_source_of_process_cpu_is_true_and_is_turned_to_when_those_before_it_refuse() {
    let refusals = [Call::TaskAbsolutetimeInfo, Call::TaskPowerInfo];
    let sources = [Source::AbsoluteTime, Source::Power, Source::ThreadTimesAndBasic];
    for (refused, source) in sources.into_iter().enumerate() {
        let fixture = Fixture::new(Config::default());
        for call in &refusals[..refused] {
            fixture.model.refuse(*call, kern::NOT_SUPPORTED);
        }
        let chosen = OnceLock::new();
        assert!(cpu::process_cpu_ns(&fixture.model, &chosen).is_ok());
        assert_eq!(chosen.get(), Some(&source));
        assert_eq!(
            fixture.faults(&fixture.model, no_pause, as_it_is),
            [""; 0],
            "{source:?}"
        );
    }
}

#[test]
fn when_every_source_refuses_the_figure_is_missing_with_every_reason() {
    let model = Model::new(Config::default());
    for call in [
        Call::TaskAbsolutetimeInfo,
        Call::TaskPowerInfo,
        Call::TaskThreadTimesInfo,
    ] {
        model.refuse(call, kern::NOT_SUPPORTED);
    }
    let chosen = OnceLock::new();
    let why = cpu::process_cpu_ns(&model, &chosen).expect_err("nothing to read");
    for flavor in [
        "TASK_ABSOLUTETIME_INFO: KERN_NOT_SUPPORTED (0x2e)",
        "TASK_POWER_INFO",
        "TASK_THREAD_TIMES_INFO",
    ] {
        assert!(why.contains(flavor), "{why}");
    }
    assert_eq!(
        chosen.get(),
        None,
        "nothing was chosen: the next sample asks again"
    );
}

#[test]
fn a_chosen_source_is_not_exchanged_for_another() {
    let model = Model::new(Config::default());
    let chosen = OnceLock::new();
    assert!(cpu::process_cpu_ns(&model, &chosen).is_ok());
    model.refuse(Call::TaskAbsolutetimeInfo, kern::NOT_SUPPORTED);
    let why = cpu::process_cpu_ns(&model, &chosen).expect_err("two sources must not be subtracted");
    assert_eq!(why, "TASK_ABSOLUTETIME_INFO: KERN_NOT_SUPPORTED (0x2e)");
}

#[test]
fn a_source_without_a_usable_timebase_is_passed_over() {
    for fault in [
        Fault::Timebase(0, 0),
        Fault::Timebase(1, 0),
        Fault::Timebase(0, 1),
    ] {
        let model = Model::new(Config::default());
        let chosen = OnceLock::new();
        assert!(cpu::process_cpu_ns(&Faulty::new(&model, fault), &chosen).is_ok());
        assert_eq!(chosen.get(), Some(&Source::ThreadTimesAndBasic));
    }
    let rosetta = Model::new(Config {
        translated: true,
        ..Config::default()
    });
    rosetta.before(2, Event::Fail(kern::NOT_SUPPORTED));
    let chosen = OnceLock::new();
    assert!(cpu::process_cpu_ns(&rosetta, &chosen).is_ok());
    assert_eq!(
        chosen.get(),
        Some(&Source::Power),
        "hw.tbfrequency could not be read the first time"
    );
}

#[test]
fn a_thread_that_ends_between_two_calls_is_counted_once() {
    let model = Model::new(Config::default());
    for _ in 0..40 {
        model.spawn("short", BUSY);
    }
    model.pass(1_000_000_000);
    for call in [Call::TaskAbsolutetimeInfo, Call::TaskPowerInfo] {
        model.refuse(call, kern::NOT_SUPPORTED);
    }
    let chosen = OnceLock::from(Source::ThreadTimesAndBasic);
    // Before the calls 1 to 4: between each two that belong together.
    for call in 1..5 {
        model.before(call, Event::Death(0));
    }
    let read = cpu::process_cpu_ns(&model, &chosen).expect("a quiet moment comes");
    assert!(
        read.abs_diff(model.cpu().total()) < 100_000,
        "{read} of {}",
        model.cpu().total()
    );

    for call in 0..40 {
        model.before(call, Event::Death(0));
    }
    let why = cpu::process_cpu_ns(&model, &chosen).expect_err("no quiet moment");
    assert!(why.contains("threads ended during each of 16 attempts"), "{why}");
}

#[test]
fn a_thread_whose_clock_cannot_be_read_is_listed_with_the_reason() {
    let model = Model::new(Config::default());
    model.refuse(Call::ThreadExtendedInfo, kern::INVALID_ARGUMENT);
    let report = sample(&model, ASKED, || model.pass(2_000_000_000)).expect("a report");
    let thread = &report.threads[0];
    assert_eq!((thread.tid, &thread.name, thread.cpu_percent), (101, &None, None));
    let reason = "THREAD_EXTENDED_INFO: KERN_INVALID_ARGUMENT (0x4)";
    assert_eq!(report.missing["threads.101.name"], reason);
    assert_eq!(report.missing["threads.101.cpu_percent"], reason);
}

#[test]
fn a_list_without_one_living_thread_is_an_error_and_not_an_empty_list() {
    let model = Model::new(Config::default());
    model.refuse(Call::ThreadIdentifierInfo, kern::NOT_SUPPORTED);
    let source = OnceLock::new();
    let why = snapshot(&model, &source).expect_err("the caller is alive");
    assert!(
        why.contains("no living thread: THREAD_IDENTIFIER_INFO: KERN_NOT_SUPPORTED"),
        "{why}"
    );
    model.refuse(Call::TaskThreads, kern::INVALID_ARGUMENT);
    assert_eq!(
        snapshot(&model, &source).expect_err("refused"),
        "task_threads: KERN_INVALID_ARGUMENT (0x4)"
    );
    assert_eq!(model.audit(), [""; 0]);
}

#[test]
fn names_end_at_the_first_nul_or_at_64_bytes() {
    for (name, expected) in [
        ("", String::new()),
        ("tokio-rt-worker", "tokio-rt-worker".to_owned()),
        ("cut\0off", "cut".to_owned()),
        (&"x".repeat(70), "x".repeat(64)),
        (&"é".repeat(40), "é".repeat(32)),
        (
            &format!("x{}", "é".repeat(40)),
            format!("x{}\u{fffd}", "é".repeat(31)),
        ),
    ] {
        let model = Model::new(Config::default());
        let tid = model.spawn(name, PARKED);
        let report = sample(&model, ASKED, || model.pass(1_000_000_000)).expect("a report");
        let thread = report
            .threads
            .iter()
            .find(|thread| thread.tid == tid)
            .expect("listed");
        assert_eq!(thread.name, Some(expected));
    }
}

#[test]
fn memory_is_in_kib_and_what_the_system_does_not_fill_is_missing() {
    let model = Model::new(Config::default());
    let memory = memory::read(&model);
    let own_kb = 8 * 16;
    assert_eq!(
        (memory.rss_kb, memory.vm_size_kb),
        (Ok(own_kb), Ok(own_kb + (1 << 20)))
    );
    assert_eq!(memory.footprint_kb, Ok(own_kb + 4));

    let old = Model::new(Config {
        vm_info_count: 37,
        ..Config::default()
    });
    let why = memory::read(&old).footprint_kb.expect_err("not filled");
    assert!(
        why.contains("fills 37 words, too few for phys_footprint"),
        "{why}"
    );
    let first = Model::new(Config {
        vm_info_count: 38,
        ..Config::default()
    });
    assert!(memory::read(&first).footprint_kb.is_ok());

    let none = Model::new(Config::default());
    none.refuse(Call::MachTaskBasicInfo, kern::NOT_SUPPORTED);
    none.refuse(Call::TaskVmInfo, kern::NOT_SUPPORTED);
    let memory = memory::read(&none);
    let refused = |reading: Reading<u64>| reading.expect_err("refused");
    assert_eq!(
        refused(memory.rss_kb),
        "MACH_TASK_BASIC_INFO: KERN_NOT_SUPPORTED (0x2e)"
    );
    assert_eq!(
        refused(memory.vm_size_kb),
        "MACH_TASK_BASIC_INFO: KERN_NOT_SUPPORTED (0x2e)"
    );
    assert_eq!(
        refused(memory.footprint_kb),
        "TASK_VM_INFO: KERN_NOT_SUPPORTED (0x2e)"
    );
}

#[test]
fn success_with_zeros_is_no_answer() {
    let model = Model::new(Config::default());
    let kernel = Faulty::new(&model, Fault::Zeros);
    let memory = memory::read(&kernel);
    for (reading, field) in [
        (memory.rss_kb, "MACH_TASK_BASIC_INFO.resident_size is 0"),
        (memory.vm_size_kb, "MACH_TASK_BASIC_INFO.virtual_size is 0"),
        (memory.footprint_kb, "TASK_VM_INFO.phys_footprint is 0"),
    ] {
        assert_eq!(reading, Err(field.to_owned()));
    }
    let chosen = OnceLock::new();
    assert!(cpu::process_cpu_ns(&kernel, &chosen).is_ok());
    assert_eq!(chosen.get(), Some(&Source::ThreadTimesAndBasic));
}

#[test]
fn the_process_clock_is_read_after_those_of_the_threads() {
    let model = Model::new(Config::default());
    model.spawn("busy", BUSY);
    // Chosen beforehand: choosing reads the clock once more, which is not the reading that counts.
    let snapshot = snapshot(&model, &OnceLock::from(Source::AbsoluteTime)).expect("a snapshot");
    let at = |wanted: Call| {
        model
            .calls_made()
            .iter()
            .rposition(|call| *call == wanted)
            .expect("made")
    };
    assert!(at(Call::TaskAbsolutetimeInfo) > at(Call::ThreadExtendedInfo));
    let process_at = snapshot.process_cpu.expect("read").at_ns;
    assert!(
        snapshot
            .threads
            .iter()
            .all(|thread| thread.cpu.as_ref().is_ok_and(|cpu| cpu.at_ns < process_at))
    );
    assert!(snapshot.threads.iter().all(|thread| {
        thread
            .cpu
            .as_ref()
            .is_ok_and(|cpu| cpu.at_ns > snapshot.listed_at_ns)
    }));
}

#[test]
fn a_reading_that_was_interrupted_is_taken_again() {
    let model = Model::new(Config::default());
    model.spawn("busy", BUSY);
    // Half a second passes between the main thread's clock and its stamp, in each of the snapshots.
    let calls = model.calls_made().len();
    let first_clock = first_thread_info();
    model.before(first_clock + 1, Event::Time(500_000_000));
    let pause = || {
        model.before(first_clock + 1, Event::Time(500_000_000));
        model.pass(2_000_000_000);
    };
    let report = sample(&model, ASKED, pause).expect("a report");
    let main = &report.threads[0];
    assert!(
        (main.cpu_percent.expect("read") - 10.0).abs() < POINTS,
        "{main:?}"
    );
    let clocks = model.calls_made()[calls..]
        .iter()
        .filter(|call| **call == Call::ThreadExtendedInfo)
        .count();
    assert_eq!(clocks, 2 * (2 + 1), "two threads, and one clock read again");
}

#[test]
fn lagging_counters_are_declared() {
    let model = Model::new(Config {
        lag_ns: 10_000_000,
        ..Config::default()
    });
    model.spawn("busy", BUSY);
    let short = sample(&model, ASKED, || model.pass(50_000_000)).expect("a report");
    assert!(
        short.missing["process.cpu_percent"].contains("too short"),
        "{:?}",
        short.missing
    );
    let long = sample(&model, ASKED, || model.pass(2_000_000_000)).expect("a report");
    let percent = long.process.cpu_percent.expect("long enough");
    assert!((percent - 100.0).abs() < 3.0, "{percent}");
}

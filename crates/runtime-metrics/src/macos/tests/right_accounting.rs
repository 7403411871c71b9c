//! A sample and the resource counts release every right and array exactly once, even if threads start and end, calls fail
//! or calls unwind meanwhile: the model's accounts balance.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use mach_model::{Config, Cpu, Event, Model, ScheduledPanic, kern};
use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, RngSeed, TestRunner};

use super::sample;
use crate::ProcessReport;
use crate::macos::resource_counts;

const WINDOW: Duration = Duration::from_secs(2);

const EVENTS: &[Event] = &[
    Event::Birth,
    Event::Terminated(0),
    Event::Terminated(1),
    Event::Dying(0),
    Event::Dying(1),
    Event::Death(0),
    Event::Death(1),
    Event::Time(3_000_000_000),
    Event::Fail(kern::INVALID_ARGUMENT),
    Event::Fail(kern::TERMINATED),
    Event::Fail(kern::NOT_SUPPORTED),
    Event::Fail(kern::SEND_INVALID_DEST),
    Event::Panic,
];

#[derive(Debug, Clone, Copy)]
enum Operation {
    Sample,
    ResourceCounts,
}

impl Operation {
    fn run(self, model: &Model) -> Option<ProcessReport> {
        match self {
            Self::Sample => sample(model, WINDOW, || model.pass(WINDOW.as_nanos() as u64)).ok(),
            Self::ResourceCounts => {
                resource_counts::count(model);
                None
            }
        }
    }
}

/// What went wrong, if anything did.
fn faults_of(operation: Operation, model: &Model) -> Vec<String> {
    let result = catch_unwind(AssertUnwindSafe(|| operation.run(model)));
    let report =
        result.unwrap_or_else(
            |panic: Box<dyn Any + Send>| match panic.downcast::<ScheduledPanic>() {
                Ok(_) => None,
                Err(panic) => resume_unwind(panic),
            },
        );
    let mut faults = model.audit();
    for thread in report.iter().flat_map(|report| &report.threads) {
        if thread
            .cpu_percent
            .is_some_and(|percent| !(0.0..=105.0).contains(&percent))
        {
            faults.push(format!("impossible figures: {thread:?}"));
        }
    }
    faults
}

fn model(config: Config, threads: usize) -> Model {
    let model = Model::new(config);
    for nth in 0..threads {
        model.spawn(
            &format!("worker-{nth}"),
            Cpu {
                user: 30 * (nth as u64 % 3),
                system: 10,
            },
        );
    }
    model.pass(500_000_000);
    model
}

/// How much was tried; printed, and compared with what the test promises.
#[derive(Default)]
struct Tally {
    schedules: Cell<usize>,
    failures: Cell<usize>,
    panics: Cell<usize>,
}

impl Tally {
    fn count(&self, model: &Model) {
        self.schedules.set(self.schedules.get() + 1);
        self.failures.set(self.failures.get() + model.failures());
        self.panics.set(self.panics.get() + model.panics());
    }

    fn print(&self, test: &str, at_least: (usize, usize, usize)) {
        let tried = (self.schedules.get(), self.failures.get(), self.panics.get());
        println!(
            "{test}: {} schedules, {} injected failures, {} injected panics",
            tried.0, tried.1, tried.2
        );
        let enough = tried.0 >= at_least.0 && tried.1 >= at_least.1 && tried.2 >= at_least.2;
        assert!(
            enough,
            "{tried:?} is less than {at_least:?}: the test has tried too little to mean anything"
        );
    }
}

#[test]
fn every_event_before_every_call_leaves_the_books_balanced() {
    let tally = Tally::default();
    let threads = if cfg!(miri) { 2 } else { 5 };
    for operation in [Operation::Sample, Operation::ResourceCounts] {
        // Small pages, so that the array takes several.
        let fresh = || {
            model(
                Config {
                    page_size: 16,
                    hardened: true,
                    ..Config::default()
                },
                threads,
            )
        };
        let undisturbed = fresh();
        assert_eq!(faults_of(operation, &undisturbed), [""; 0]);
        // Under Miri every call would take an hour: a sample of them, which meets every kind.
        for call in (0..undisturbed.calls_made().len()).step_by(if cfg!(miri) { 21 } else { 1 }) {
            for event in EVENTS {
                let model = fresh();
                model.before(call, event.clone());
                let faults = faults_of(operation, &model);
                assert_eq!(faults, [""; 0], "{operation:?} with {event:?} before call {call}");
                tally.count(&model);
            }
        }
    }
    tally.print(
        "every event before every call",
        if cfg!(miri) { (40, 8, 2) } else { (1000, 280, 50) },
    );
}

fn events() -> impl Strategy<Value = Vec<(usize, Event)>> {
    let event = prop_oneof![
        2 => Just(Event::Birth),
        2 => (0..40_usize).prop_map(Event::Terminated),
        2 => (0..40_usize).prop_map(Event::Dying),
        2 => (0..40_usize).prop_map(Event::Death),
        1 => (0..5_000_000_000_u64).prop_map(Event::Time),
        4 => prop::sample::select(EVENTS).prop_filter("failures", |event| matches!(event, Event::Fail(_))),
        1 => Just(Event::Panic),
    ];
    prop::collection::vec((0..250_usize, event), 0..40)
}

#[test]
fn any_schedule_leaves_the_books_balanced() {
    let tally = Tally::default();
    let mut runner = TestRunner::new(Runs {
        cases: if cfg!(miri) { 12 } else { 2500 },
        rng_seed: RngSeed::Fixed(20_261_122),
        failure_persistence: None,
        ..Runs::default()
    });
    let page_sizes = prop::sample::select(&[16, 64, 4096, 16_384]);
    let operations = prop::sample::select(&[Operation::Sample, Operation::ResourceCounts]);
    let schedules = (page_sizes, any::<bool>(), 0..40_usize, operations, events());
    let result = runner.run(&schedules, |(page_size, hardened, threads, operation, events)| {
        let model = model(
            Config {
                page_size,
                hardened,
                ..Config::default()
            },
            threads,
        );
        for (call, event) in events {
            model.before(call, event);
        }
        let faults = faults_of(operation, &model);
        tally.count(&model);
        prop_assert!(faults.is_empty(), "{faults:#?}");
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    tally.print(
        "random schedules",
        if cfg!(miri) { (12, 5, 1) } else { (2500, 2500, 500) },
    );
}

//! A soak of the backend on the model kernel: each way to leak is found, at each rate, by what it moves; a backend that
//! gives everything back is not accused; and resource counts that never change are found out.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use leak_test::{Analysis, Block, Conclusion, Control, Design, Experiment, Reading, Resource, Seed, Verdict};
use mach_model::{Config, Cpu, Model};
use serde_json::Value;

use super::catalogue::{Findings, catalogue};
use super::sample;
use crate::macos::kernel::Kernel;
use crate::macos::{resource_counts, rights};

const PARKED: Cpu = Cpu { user: 0, system: 0 };
/// The least that show anything.
const PAIRS: usize = 14;
const PAGE: i64 = 16_384;

/// What `cargo xtask soak` judges on a Mac by the resource counts alone: name, and its place in them.
pub(super) const RESOURCES: [(&str, &str); 6] = [
    ("threads", "/threads"),
    ("port_names", "/port_names/total"),
    ("user_references", "/excess_thread_references"),
    ("dead_names", "/port_names/dead_names"),
    ("message_memory", "/message_memory_bytes"),
    ("untagged_memory", "/untagged_memory_bytes"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leak {
    Nothing,
    /// A reference on the youngest thread, of those that `task_threads` hands out.
    Reference,
    /// The memory that the list of threads came in.
    Array,
    /// The memory that the list of names came in; that of their types is freed.
    PlainArray,
    Port,
    Thread,
    /// The reference on a thread that ends between the list and the question for its clock.
    ErrorPath,
}

impl Leak {
    /// The one of this name in the catalogue.
    fn named(name: &str) -> Self {
        match name {
            "reference" => Self::Reference,
            "array" => Self::Array,
            "plain-array" => Self::PlainArray,
            "port" => Self::Port,
            "thread" => Self::Thread,
            "error-path" => Self::ErrorPath,
            _ => panic!("no leak {name:?} is known"),
        }
    }
}

/// A defect of the resource counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CountsDefect {
    None,
    /// The first counts are repeated.
    Frozen,
    Half,
    Double,
    Missing,
}

impl CountsDefect {
    /// The one of this name in the catalogue.
    fn named(name: &str) -> Self {
        match name {
            "frozen" => Self::Frozen,
            "half" => Self::Half,
            "double" => Self::Double,
            "missing" => Self::Missing,
            _ => panic!("no defect {name:?} of the counts is known"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Threads {
    Steady,
    /// One is born before every block's operations and ends after them, whether there are any or not.
    Churning,
}

struct Soak {
    model: Model,
    leak: Leak,
    /// Leaks in one of so many samples.
    every: u32,
    threads: Threads,
    samples: u32,
}

impl Soak {
    fn new(leak: Leak, every: u32, threads: Threads) -> Self {
        let model = Model::new(Config::default());
        model.spawn("parked", PARKED);
        Self {
            model,
            leak,
            every,
            threads,
            samples: 0,
        }
    }

    fn operate(&mut self) {
        sample(&self.model, Duration::ZERO, || self.model.pass(1_000_000)).expect("a report");
        self.samples += 1;
        if self.samples.is_multiple_of(self.every) {
            self.leak();
        }
    }

    fn leak(&self) {
        let model = &self.model;
        match self.leak {
            Leak::Nothing => {}
            Leak::Reference => {
                let mut listed = rights::task_threads(model).expect("threads");
                // The kernel lists the youngest last.
                std::mem::forget(listed.pop());
            }
            Leak::Array => {
                let array = Kernel::task_threads(model).expect("threads");
                for index in 0..array.count() {
                    let name = Kernel::item(model, &array, index);
                    Kernel::mach_port_deallocate(model, name).expect("released");
                }
            }
            Leak::PlainArray => {
                let (_names, types) = Kernel::mach_port_names(model).expect("names");
                Kernel::mach_vm_deallocate(model, types).expect("released");
            }
            Leak::Port => {
                model.allocate_receive();
            }
            Leak::Thread => {
                model.spawn("left behind", PARKED);
            }
            Leak::ErrorPath => {
                let ends = model.spawn("ends", PARKED);
                let mut listed = rights::task_threads(model).expect("threads");
                model.exit(ends);
                // The kernel lists the youngest last.
                std::mem::forget(listed.pop());
            }
        }
    }

    fn block(&mut self, block: Block, operations: u32) {
        let born = (self.threads == Threads::Churning).then(|| self.model.spawn("born", PARKED));
        if block == Block::Treatment {
            (0..operations).for_each(|_| self.operate());
        }
        if let Some(born) = born {
            self.model.exit(born);
        }
    }

    /// The resource counts, distorted by `defect`.
    fn look(&self, defect: CountsDefect, first: &Value) -> Vec<Reading> {
        let now = self.counts();
        let counted = if defect == CountsDefect::Frozen {
            first
        } else {
            &now
        };
        let reading = |(name, pointer): &(&str, &str)| {
            let count = counted.pointer(pointer).and_then(Value::as_i64).expect(name);
            let count = match *name {
                "message_memory" | "untagged_memory" => count / PAGE,
                _ => count,
            };
            match defect {
                CountsDefect::Half => Reading::Count(count / 2),
                CountsDefect::Double => Reading::Count(count * 2),
                CountsDefect::Missing => Reading::Missing("KERN_DENIED".to_owned()),
                CountsDefect::None | CountsDefect::Frozen => Reading::Count(count),
            }
        };
        RESOURCES.iter().map(reading).collect()
    }

    fn counts(&self) -> Value {
        serde_json::to_value(resource_counts::count(&self.model)).expect("JSON")
    }

    /// An experiment that judges these of the resources.
    fn experiment(
        mut self,
        seed: Seed,
        operations: u32,
        pairs: usize,
        defect: CountsDefect,
        judged: &[&str],
    ) -> Experiment {
        // Lists, names and tables grow to what they will be.
        self.block(Block::Control, 0);
        let first = self.counts();
        let is_judged = |name: &str| judged.is_empty() || judged.contains(&name);
        let look = |soak: &Self| -> Vec<Reading> {
            let readings = RESOURCES.iter().zip(soak.look(defect, &first));
            readings
                .filter(|((name, _), _)| is_judged(name))
                .map(|(_, reading)| reading)
                .collect()
        };
        let design = Design {
            seed,
            operation: "sample".to_owned(),
            operations_per_block: NonZeroU32::new(operations).expect("not 0"),
            resources: RESOURCES
                .iter()
                .filter(|(name, _)| is_judged(name))
                .map(|(name, _)| Resource::exact(name, name, 0.02))
                .collect(),
        };
        let mut experiment = Experiment::new(design, look(&self)).expect("a design");
        while experiment.pairs() < pairs {
            self.block(experiment.next_block(), operations);
            experiment.record(look(&self));
        }
        experiment
    }
}

const ALL: &[&str] = &[];

fn soak(leak: Leak, every: u32, threads: Threads, operations: u32) -> Conclusion {
    let analysis = |seed| {
        let experiment = Soak::new(leak, every, threads).experiment(
            Seed(seed),
            operations,
            PAIRS,
            CountsDefect::None,
            ALL,
        );
        Analysis::of(&experiment, Duration::ZERO)
    };
    let first = analysis(1);
    let second = first.needs_confirmation().then(|| analysis(2));
    Conclusion::from_experiments(first, second, Control::Found)
}

/// What was found to leak, at the rate at which it does.
fn found(conclusion: &Conclusion, rate: f64) -> BTreeSet<String> {
    let holds = |name: &str| {
        conclusion.experiments.iter().all(|analysis| {
            let analysed = analysis
                .resources
                .iter()
                .find(|analysed| analysed.resource.name == name);
            let estimate = analysed.and_then(|analysed| analysed.estimate.as_ref());
            estimate.is_some_and(|estimate| estimate.holds(rate))
        })
    };
    let named = |name: &String| {
        if holds(name) {
            name.clone()
        } else {
            format!("{name} at another rate")
        }
    };
    conclusion.leaks.iter().map(named).collect()
}

#[test]
fn every_leak_is_found_at_every_rate_by_what_it_moves() {
    let mut findings = Findings::default();
    for row in catalogue().leak {
        let threads = if row.churning {
            Threads::Churning
        } else {
            Threads::Steady
        };
        for every in row.every {
            // Of which one leaks: leaked threads by the thousand would take the model minutes.
            let operations = every;
            let conclusion = soak(Leak::named(&row.leaks), every, threads, operations);
            let mut found = found(&conclusion, 1.0 / f64::from(every));
            if conclusion.verdict != Verdict::Leak {
                found.insert(conclusion.sentence);
            }
            findings.defect(&row.id, &format!("one in {every} samples"), &found, &row.moves);
        }
    }
    findings.assert_right();
}

#[test]
fn what_is_given_back_is_clean() {
    let mut findings = Findings::default();
    for threads in [Threads::Steady, Threads::Churning] {
        let conclusion = soak(Leak::Nothing, 1, threads, 100);
        let alarm = (conclusion.verdict != Verdict::Clean).then_some(conclusion.sentence);
        findings.sound(&format!("a soak on the model kernel, threads {threads:?}"), alarm);
    }
    findings.assert_right();
}

/// What becomes of the positive control.
fn control(defect: CountsDefect) -> Control {
    // One unit an operation: the memory of one list.
    let leaking = Soak::new(Leak::Array, 1, Threads::Steady);
    Control::of(&leaking.experiment(Seed(3), 5, 24, defect, &["message_memory"]))
}

#[test]
fn wrong_resource_counts_are_found_out() {
    assert_eq!(control(CountsDefect::None), Control::Found);
    let mut findings = Findings::default();
    for row in catalogue().census {
        let defect = CountsDefect::named(&row.census);
        let control = control(defect);
        let outcome = serde_json::to_value(&control).expect("JSON");
        let mut found = BTreeSet::from([outcome["outcome"].as_str().expect("a name").to_owned()]);
        let experiment =
            Soak::new(Leak::Nothing, 1, Threads::Steady).experiment(Seed(4), 100, PAIRS, defect, ALL);
        let conclusion =
            Conclusion::from_experiments(Analysis::of(&experiment, Duration::ZERO), None, control);
        if conclusion.verdict != Verdict::Inconclusive {
            found.insert(conclusion.sentence);
        }
        findings.defect(&row.id, "the positive control", &found, &[row.control]);
    }
    findings.assert_right();
}

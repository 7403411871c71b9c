//! A soak of the backend on the model kernel: each way to leak is found, at each rate, by what it moves; a backend that
//! gives everything back is not accused; and a census that stands still is found out.

use std::num::NonZeroU32;
use std::time::Duration;

use mach_model::{Config, Cpu, Model};
use serde_json::Value;
use verdict::leak::{
    Analysis, Block, Conclusion, Conduct, Control, Design, Experiment, Reading, Resource, Seed, Verdict,
};

use super::sample;
use crate::macos::kernel::Kernel;
use crate::macos::{census, rights};

const PARKED: Cpu = Cpu { user: 0, system: 0 };
/// The least that show anything.
const PAIRS: usize = 14;
const PAGE: i64 = 16_384;

/// What `cargo xtask soak` judges on a Mac by the census alone: name, and where the census has it.
const RESOURCES: [(&str, &str); 5] = [
    ("threads", "/threads"),
    ("port_names", "/port_names/total"),
    ("user_references", "/excess_thread_references"),
    ("dead_names", "/port_names/dead_names"),
    ("message_memory", "/message_memory_bytes"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leak {
    Nothing,
    /// A reference on the youngest thread, of those that `task_threads` hands out.
    Reference,
    /// The memory that the list of threads came in.
    Array,
    Port,
    Thread,
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
                // The kernel lists the youngest first.
                std::mem::forget(listed.swap_remove(0));
            }
            Leak::Array => {
                let array = Kernel::task_threads(model).expect("threads");
                for index in 0..array.count() {
                    let name = Kernel::item(model, &array, index);
                    Kernel::mach_port_deallocate(model, name).expect("released");
                }
            }
            Leak::Port => {
                model.allocate_receive();
            }
            Leak::Thread => {
                model.spawn("left behind", PARKED);
            }
        }
    }

    fn block(&mut self, block: Block, operations: u32) {
        let born = (self.threads == Threads::Churning).then(|| self.model.spawn("born", PARKED));
        if block == Block::Treated {
            (0..operations).for_each(|_| self.operate());
        }
        if let Some(born) = born {
            self.model.exit(born);
        }
    }

    /// What the census says, or said.
    fn look(&self, frozen: Option<&Value>) -> Vec<Reading> {
        let census = frozen.cloned().unwrap_or_else(|| self.census());
        RESOURCES
            .iter()
            .map(|(name, pointer)| {
                let count = census.pointer(pointer).and_then(Value::as_i64).expect(name);
                Reading::Count(if *name == "message_memory" {
                    count / PAGE
                } else {
                    count
                })
            })
            .collect()
    }

    fn census(&self) -> Value {
        serde_json::to_value(census::take(&self.model)).expect("JSON")
    }

    fn experiment(mut self, seed: Seed, operations: u32, pairs: usize, frozen: bool) -> Experiment {
        // Lists, names and tables grow to what they will be.
        self.block(Block::Idle, 0);
        let frozen = frozen.then(|| self.census());
        let design = Design {
            seed,
            operation: "sample".to_owned(),
            operations_per_block: NonZeroU32::new(operations).expect("not 0"),
            resources: RESOURCES
                .iter()
                .map(|(name, _)| Resource::exact(name, name, 0.02))
                .collect(),
        };
        let mut experiment = Experiment::new(design, self.look(frozen.as_ref())).expect("a design");
        while experiment.pairs() < pairs {
            self.block(experiment.next_block(), operations);
            experiment.record(self.look(frozen.as_ref()));
        }
        experiment
    }
}

fn soak(leak: Leak, every: u32, threads: Threads, operations: u32) -> Conclusion {
    let analysis = |seed| {
        let experiment = Soak::new(leak, every, threads).experiment(Seed(seed), operations, PAIRS, false);
        Analysis::of(&experiment, Conduct::default())
    };
    let first = analysis(1);
    let second = first.needs_confirmation().then(|| analysis(2));
    Conclusion::draw(first, second, Control::Found)
}

/// The estimates of the resources that were found to leak, by name.
fn found(conclusion: &Conclusion) -> Vec<&str> {
    conclusion.leaks.iter().map(String::as_str).collect()
}

#[test]
fn every_leak_is_found_at_every_rate_by_what_it_moves() {
    use Leak::{Array, Port, Reference, Thread};
    use Threads::{Churning, Steady};
    for (leak, threads, moved) in [
        // The names stay as many: nothing but the references tells.
        (Reference, Steady, &["user_references"][..]),
        // Its thread has ended: no reference is left of it but a dead name.
        (Reference, Churning, &["port_names", "dead_names"]),
        (Array, Steady, &["message_memory"]),
        (Array, Churning, &["message_memory"]),
        (Port, Steady, &["port_names"]),
        (Port, Churning, &["port_names"]),
        (Thread, Steady, &["threads", "port_names"]),
        (Thread, Churning, &["threads", "port_names"]),
    ] {
        for every in [1, 10, 100] {
            // Of which one leaks: leaked threads by the thousand would take the model minutes.
            let operations = every;
            let conclusion = soak(leak, every, threads, operations);
            let case = format!("{leak:?}, one in {every}, {threads:?}: {}", conclusion.sentence);
            assert_eq!(conclusion.verdict, Verdict::Leak, "{case}");
            assert_eq!(found(&conclusion), moved, "{case}");
            let rate = 1.0 / f64::from(every);
            for analysis in &conclusion.experiments {
                for analysed in analysis
                    .resources
                    .iter()
                    .filter(|r| moved.contains(&&*r.resource.name))
                {
                    let estimate = analysed.estimate.as_ref().expect("judged");
                    assert!(estimate.holds(rate), "{case}: {estimate:?}");
                }
            }
        }
    }
}

#[test]
fn what_is_given_back_is_clean() {
    for threads in [Threads::Steady, Threads::Churning] {
        let conclusion = soak(Leak::Nothing, 1, threads, 100);
        assert_eq!(
            conclusion.verdict,
            Verdict::Clean,
            "{threads:?}: {}",
            conclusion.sentence
        );
    }
}

#[test]
fn a_census_that_always_answers_the_same_is_found_out() {
    let control = |frozen| {
        let experiment = Soak::new(Leak::Array, 1, Threads::Steady).experiment(Seed(3), 5, 24, frozen);
        Control::of(&experiment)
    };
    let Control::NeverMoved { resource } = control(true) else {
        panic!("{}", control(true));
    };
    assert_eq!(resource, "threads", "the first that did not move");
    let experiment = Soak::new(Leak::Array, 1, Threads::Steady).experiment(Seed(4), 100, PAIRS, true);
    let conclusion = Conclusion::draw(Analysis::of(&experiment, Conduct::default()), None, control(true));
    assert_eq!(
        conclusion.verdict,
        Verdict::Inconclusive,
        "it leaks, and nobody says clean: {}",
        conclusion.sentence
    );
}

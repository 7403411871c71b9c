//! One experiment in a client's session: block after block.
//!
//! Every block makes the same requests at the same times: a treated block asks for its operations, an idle one for as many
//! censuses. So the client's pool of blocking threads, which both run on, does in both what it does in either. And in every
//! block threads are born before and end after: a right to one that is kept shows once the thread is gone.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use leak_test::{
    Analysis, Block, Class, Design, Estimate, Experiment, MIN_NOISY_MINUTES, MIN_PAIRS, Reading, Resource,
    Seed,
};
use serde_json::{Value, json};

use super::exact::block_name;
use super::journal::Occasion;
use super::look::{Look, Looker, Subject};
use super::pace::Pace;
use super::progress::Progress;
use super::trial::{Bench, Ended, Facts, Operation, Step, Trial, Until};
use crate::error::RunError;
use crate::rig::Client;

/// Relabellings of an estimate that is shown while the experiment goes on.
const PASSING_RELABELLINGS: u32 = 999;

/// Of those, p cannot be less than 0.001.
const PASSING_LEVEL: f64 = 0.002;

/// From then on memory is judged.
const JUDGES_MEMORY: Duration = Duration::from_secs(60 * MIN_NOISY_MINUTES);

/// Blocks before the first that counts, as they will come.
const PRACTICE: [Block; 4] = [Block::Treatment, Block::Control, Block::Treatment, Block::Control];

/// Tokio ends a thread of its blocking pool that has had nothing to do for 10 s. Something to do comes more often, so that
/// no thread comes or goes in a block.
const KEEP_WARM: Duration = Duration::from_secs(5);

/// Threads that come and go in every block.
const COMPANIONS: u32 = 4;

/// How long that may take, beyond what any request may take.
const ACCOMPANY: Duration = Duration::from_secs(2);

/// What takes longer hangs, beyond what any request may take.
const LONGEST_SAMPLE: Duration = Duration::from_millis(50);
const LONGEST_REPORT: Duration = Duration::from_secs(10);

/// Where more than one of so many blocks was late, nothing is called clean.
const MOST_LATE: usize = 10;

/// An experiment's course so far.
pub(super) struct Course {
    experiment: Experiment,
    steps: Vec<Step>,
    facts: Facts,
    pace: Pace,
    duration: Duration,
}

impl Course {
    pub(super) fn judged(self) -> Trial {
        Trial {
            analysis: Analysis::of(&self.experiment, self.duration),
            facts: self.facts,
            steps: self.steps,
        }
    }

    fn record(&mut self, block: Block, readings: Vec<Reading>) {
        let before = self.steps.last().map_or(0, |step| step.operations);
        let performed = match block {
            Block::Treatment => u64::from(self.facts.operations_per_block),
            Block::Control => 0,
        };
        self.experiment.record(readings.clone());
        self.steps.push(Step {
            block: Some(block),
            operations: before + performed,
            readings,
        });
    }

    fn blocks(&self) -> usize {
        self.steps.len() - 1
    }

    /// A machine that is too slow for its blocks makes the treated ones longer than the others.
    fn caveat(&self) -> Option<String> {
        let (late, blocks) = (self.facts.late_blocks, self.blocks());
        (late as usize > blocks / MOST_LATE).then(|| {
            format!(
                "{late} of {blocks} blocks were longer than they should have been: the machine is too busy"
            )
        })
    }
}

/// A client's session, with an experiment in progress.
pub(super) struct Session<'a, 'b> {
    bench: &'a mut Bench<'b>,
    name: &'a str,
    begun: Instant,
    reports: PathBuf,
    caveats: &'a mut Vec<String>,
    /// Since when the client owes an answer.
    waiting_since: Option<Instant>,
}

impl<'a, 'b> Session<'a, 'b> {
    pub(super) fn new(
        bench: &'a mut Bench<'b>,
        name: &'a str,
        begun: Instant,
        reports: PathBuf,
        caveats: &'a mut Vec<String>,
    ) -> Self {
        Self {
            bench,
            name,
            begun,
            reports,
            caveats,
            waiting_since: None,
        }
    }

    pub(super) fn run(&mut self, client: &mut Client, seed: Seed, until: Until) -> Result<(Course, Ended)> {
        let (looker, pace, warm_up_operations) = self.warm_up(client, until)?;
        let baseline = self.ask(|session| looker.look(client, session.bench.events))?;
        self.note("baseline", 0, &baseline)?;
        let start = self.begun.elapsed();
        let resources = self
            .bench
            .plan
            .tracked
            .iter()
            .map(|tracked| tracked.resource.clone());
        let design = Design {
            seed,
            operation: self.bench.plan.operation.name().to_owned(),
            operations_per_block: pace.operations,
            resources: resources.collect(),
        };
        let mut course = Course {
            experiment: Experiment::new(design, baseline.readings.clone())?,
            steps: vec![Step {
                block: None,
                operations: 0,
                readings: baseline.readings,
            }],
            facts: Facts {
                block_secs: pace.block.as_secs_f64(),
                settle_secs: pace.settle.as_secs_f64(),
                operations_per_block: pace.operations.get(),
                warm_up_operations,
                late_blocks: 0,
            },
            pace,
            duration: Duration::ZERO,
        };
        let ended = self.blocks(client, &looker, until, start, &mut course)?;
        self.caveats.extend(course.caveat());
        Ok((course, ended))
    }

    fn blocks(
        &mut self,
        client: &mut Client,
        looker: &Looker,
        until: Until,
        start: Duration,
        course: &mut Course,
    ) -> Result<Ended> {
        let mut progress = Progress::begin(self.bench.plan.time_box, self.name, self.bench.events.reporter());
        let first = Instant::now();
        let mut begins = first;
        let mut longest = Duration::ZERO;
        loop {
            if !course.pace.fits(self.bench.plan.time_box.left()) {
                return Ok(Ended::AsPlanned);
            }
            let block = course.experiment.next_block();
            let look = match self.block(client, looker, &course.pace, block, begins) {
                Ok((look, read_at)) => {
                    let took = read_at - begins;
                    course.facts.late_blocks += u32::from(course.pace.is_late(took));
                    longest = longest.max(took);
                    begins = read_at;
                    look
                }
                Err(RunError::Interrupted) => return Ok(Ended::Interrupted),
                Err(RunError::TimeUp) => {
                    return Ok(self.pending_request().map_or(Ended::AsPlanned, Ended::Unanswered));
                }
                Err(stop) => return Err(stop.into()),
            };
            course.record(block, look.readings.clone());
            course.duration = first.elapsed();
            let operations = course.steps.last().map_or(0, |step| step.operations);
            self.note(block_name(block), operations, &look)?;
            if look.pegged() {
                return Ok(Ended::AsPlanned);
            }
            if !course.blocks().is_multiple_of(2) {
                continue;
            }
            let pairs = course.experiment.pairs();
            // Only between pairs: the blocks of one are equally long.
            course.pace = course.pace.stretched(longest);
            let estimates = course.experiment.estimates(PASSING_RELABELLINGS);
            progress.show(&course.experiment, &estimates);
            match until {
                Until::Confirmation { pairs: planned, .. } if pairs == planned => {
                    return Ok(Ended::AsPlanned);
                }
                Until::Suspicion => {
                    let left = self.bench.plan.time_box.left();
                    let pace = course.pace;
                    if let Some(confirming_pairs) = pace.confirming_pairs(pairs, start, left)
                        && suspicious(course, &estimates)
                    {
                        return Ok(Ended::Suspicion {
                            confirming_pairs,
                            pace,
                        });
                    }
                }
                Until::Confirmation { .. } => {}
            }
        }
    }

    /// The first of everything; then, unless that is settled, how long an operation takes and with it the pace; then blocks
    /// of both kinds as they will come.
    fn warm_up(&mut self, client: &mut Client, until: Until) -> Result<(Looker, Pace, u64), RunError> {
        let (first, trials) = (
            self.bench.plan.operation.first(),
            self.bench.plan.operation.trials(),
        );
        for _ in 0..first {
            self.accompany(client, COMPANIONS)?;
            self.ask(|session| session.operate(client, 1))?;
            self.accompany(client, 0)?;
        }
        let looker = self
            .ask(|session| Looker::of(session.bench.plan.tracked.to_vec(), client, session.bench.events))?;
        let timed = Instant::now();
        self.ask(|session| session.operate(client, trials))?;
        let operation = timed.elapsed() / trials;
        let pace = match until {
            Until::Suspicion => Pace::of(self.bench.plan.time_box.left(), operation),
            Until::Confirmation { pace, .. } => pace,
        };
        self.bench.events.doing(&format!(
            "experiment {}: blocks of {:.2} s, {} {}s in every other one",
            self.name,
            pace.block.as_secs_f64(),
            pace.operations,
            self.bench.plan.operation.name()
        ));
        let mut begins = Instant::now();
        for block in PRACTICE {
            (_, begins) = self.block(client, &looker, &pace, block, begins)?;
        }
        let practised = PRACTICE
            .iter()
            .filter(|block| **block == Block::Treatment)
            .count() as u64;
        let operations = u64::from(first + trials) + practised * u64::from(pace.operations.get());
        Ok((looker, pace, operations))
    }

    /// One block: requests, time to settle, a look. Also returns when the look was due: that is when the next one begins.
    fn block(
        &mut self,
        client: &mut Client,
        looker: &Looker,
        pace: &Pace,
        block: Block,
        begins: Instant,
    ) -> Result<(Look, Instant), RunError> {
        let operations = pace.operations.get();
        self.accompany(client, COMPANIONS)?;
        match block {
            Block::Treatment => self.ask(|session| session.operate(client, operations))?,
            Block::Control => self.idle(client, pace)?,
        }
        self.accompany(client, 0)?;
        let read_at = (begins + pace.block).max(Instant::now() + pace.settle);
        self.settle(client, pace, read_at)?;
        let look = self.ask(|session| looker.look(client, session.bench.events))?;
        Ok((look, read_at))
    }

    /// Has so many threads beside the session's own.
    fn accompany(&mut self, client: &mut Client, count: u32) -> Result<(), RunError> {
        let params = json!({"count": count});
        self.ask(|session| client.request("extra_threads", params, ACCOMPANY, session.bench.events))
            .map(drop)
    }

    /// Requests as many as operations would take, as far apart as they would be.
    fn idle(&mut self, client: &mut Client, pace: &Pace) -> Result<(), RunError> {
        let requests = self.bench.plan.operation.requests(pace.operations.get());
        for request in 0..requests {
            if request > 0 {
                self.bench.events.sleep(pace.operation)?;
            }
            self.ask(|session| client.census(session.bench.events))?;
        }
        Ok(())
    }

    /// Waits, and keeps the client's pool as it is.
    fn settle(&mut self, client: &mut Client, pace: &Pace, until: Instant) -> Result<(), RunError> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left <= KEEP_WARM {
                return self.bench.events.sleep(left);
            }
            self.bench.events.sleep(KEEP_WARM.min(left - pace.settle))?;
            self.ask(|session| client.census(session.bench.events))?;
        }
    }

    /// Whatever the client has to answer.
    fn ask<T>(&mut self, request: impl FnOnce(&mut Self) -> Result<T, RunError>) -> Result<T, RunError> {
        self.waiting_since = Some(Instant::now());
        let answer = request(self)?;
        self.waiting_since = None;
        Ok(answer)
    }

    fn operate(&mut self, client: &mut Client, operations: u32) -> Result<(), RunError> {
        match self.bench.plan.operation {
            Operation::Sample => {
                let params = json!({"count": operations, "window_ms": 0});
                let work = LONGEST_SAMPLE * operations;
                let answer = client.request("sample", params, work, self.bench.events)?;
                self.check(&answer, operations);
                Ok(())
            }
            Operation::Report => (0..operations).try_for_each(|_| {
                let params = json!({"window_ms": 0});
                let answer = client.request("bug_report", params, LONGEST_REPORT, self.bench.events)?;
                self.remove_report(&answer)
            }),
        }
    }

    /// Operations that did not take place prove nothing of them.
    fn check(&mut self, answer: &Value, operations: u32) {
        let last = &answer["last"];
        let caveat = if last["available"] == false {
            format!("the client could not sample: {}", last["reason"])
        } else if answer["count"] != operations {
            format!(
                "the client was asked for {operations} samples and took {}",
                answer["count"]
            )
        } else {
            return;
        };
        if !self.caveats.contains(&caveat) {
            self.caveats.push(caveat);
        }
    }

    /// Reports by the thousand would fill the disk.
    fn remove_report(&self, answer: &Value) -> Result<(), RunError> {
        let named = Path::new(answer["path"].as_str().unwrap_or_default());
        let Some(name) = named.file_name() else {
            return Err(RunError::Client(format!(
                "the client filed a report without a name: {answer}"
            )));
        };
        std::fs::remove_file(self.reports.join(name)).map_err(|error| {
            RunError::Client(format!(
                "the client says that it filed {}: {error}",
                named.display()
            ))
        })
    }

    /// What there is to say of an answer that has not come.
    pub(super) fn pending_request(&self) -> Option<String> {
        let waited = self.waiting_since?.elapsed().as_secs_f64();
        Some(format!(
            "the client had not answered for {waited:.1} s when the time was up"
        ))
    }

    fn note(&mut self, after: &str, operations: u64, look: &Look) -> Result<()> {
        let occasion = Occasion {
            tier: "live",
            of: self.name,
            after,
            operations,
        };
        let resources = self.bench.plan.tracked.iter().map(|tracked| &tracked.resource);
        self.bench.journal.write(&occasion, resources, look)
    }
}

/// Whether the experiment so far needs confirmation. The passing estimates tell at little cost when it does not.
fn suspicious(course: &Course, estimates: &[Option<Estimate>]) -> bool {
    let resources = &course.experiment.design().resources;
    let striking = |(resource, estimate): (&Resource, &Option<Estimate>)| {
        let judged = resource.class == Class::Exact || course.duration >= JUDGES_MEMORY;
        let small = |p: f64| p <= PASSING_LEVEL;
        judged
            && estimate
                .as_ref()
                .is_some_and(|estimate| small(estimate.p_leak) || small(estimate.p_over_release))
    };
    course.experiment.pairs() >= MIN_PAIRS
        && resources.iter().zip(estimates).any(striking)
        && Analysis::of(&course.experiment, course.duration).needs_confirmation()
}

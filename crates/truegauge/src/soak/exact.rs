//! The exact tier, on a process that does nothing else, and the positive control.

use std::num::NonZeroU32;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use leak_test::{
    Block, Comparison, Control, CountTestConclusion, Counted, Design, Experiment, Reading, Seed,
};
use serde_json::json;

use super::SamplingBinaries;
use super::journal::{Journal, Occasion};
use super::look::{Look, Looker};
use super::resources::{self, Tracked};
use crate::error::RunError;
use crate::rig::{Events, SamplingProcess};

/// Samples beside threads that stay.
const SAMPLES: u32 = 200;

/// Samples beside a thread that is born before and ends after: rights to it would stay behind as dead names. As many are
/// born in the warm-up: on macOS one of the first births creates a name that stays (a semaphore in a cache of libdispatch).
const BIRTHS: u32 = 50;

/// The warm-up needs more births than the sampling process has parked threads (12).
const _: () = assert!(BIRTHS > 12);

/// How long what was released may take to be gone.
const SETTLE: Duration = Duration::from_secs(3);
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// The control leaks 120 units in all: descriptors are limited to 256 on a Mac.
const CONTROL_OPERATIONS: NonZeroU32 = NonZeroU32::new(5).expect("not 0");
const CONTROL_PAIRS: usize = 24;

/// What both need.
pub(super) struct Bench<'a> {
    pub(super) binaries: &'a SamplingBinaries,
    pub(super) dir: &'a Path,
    pub(super) journal: &'a mut Journal,
    pub(super) events: &'a mut Events,
}

/// Runs both, in seconds.
pub(super) fn run(bench: &mut Bench<'_>, seed: Seed) -> Result<CountTestConclusion> {
    let tracked = resources::exact();
    bench.events.doing(&format!(
        "exact tier: {SAMPLES} samples beside parked threads, {BIRTHS} beside threads that come and go"
    ));
    let comparison = compare(bench, &tracked)?;
    let control = control(bench, &tracked, seed)?;
    Ok(CountTestConclusion::from_comparison(comparison, control))
}

/// Two censuses, and samples between them.
fn compare(bench: &mut Bench<'_>, tracked: &[Tracked]) -> Result<Comparison> {
    let log = bench.dir.join("sampling-process.log");
    let mut quiet = SamplingProcess::start(&bench.binaries.sampling, None, &log, bench.events)?;
    // The warm-up: stacks and arenas of as many threads, names that are created at a first wait or birth, and whatever
    // else a first time sets up.
    work(&mut quiet, bench.events)?;
    let looker = Looker::of(tracked.to_vec(), &mut quiet, bench.events)?;
    let before = looker.look(&mut quiet, bench.events)?;
    bench.note(tracked, "baseline", 0, &before)?;

    work(&mut quiet, bench.events)?;
    // What equals the baseline has settled; what differs gets its time to.
    let deadline = Instant::now() + SETTLE;
    let mut after = looker.look(&mut quiet, bench.events)?;
    while after.readings != before.readings && Instant::now() < deadline {
        bench.events.sleep(BETWEEN_LOOKS)?;
        after = looker.look(&mut quiet, bench.events)?;
    }
    bench.note(tracked, "after", u64::from(SAMPLES + BIRTHS), &after)?;
    quiet.end(bench.events)?;

    let counted = |((tracked, before), after): ((&Tracked, Reading), Reading)| Counted {
        resource: tracked.resource.clone(),
        before,
        after,
    };
    Ok(Comparison {
        operation: "sample".to_owned(),
        operations: NonZeroU32::new(SAMPLES + BIRTHS).expect("not 0"),
        counts: tracked
            .iter()
            .zip(before.readings)
            .zip(after.readings)
            .map(counted)
            .collect(),
    })
}

fn work(quiet: &mut SamplingProcess, events: &mut Events) -> Result<(), RunError> {
    quiet.request("sample", &json!({"count": SAMPLES}), events)?;
    quiet
        .request("thread_churn", &json!({"count": BIRTHS}), events)
        .map(drop)
}

/// For each resource a child that leaks one unit of it per operation: the first that is not found decides.
fn control(bench: &mut Bench<'_>, tracked: &[Tracked], seed: Seed) -> Result<Control> {
    for (purpose, tracked) in (0..).zip(tracked) {
        let Some(fault) = tracked.fault else { continue };
        bench.events.doing(&format!(
            "control: a process that leaks one of {} per sample",
            tracked.resource.name
        ));
        // The first sample of a process sets things up: it leaks from the second on.
        let fault = &format!("{fault},from=1");
        let control = match leak_and_look(bench, tracked, fault, seed.fork(purpose)) {
            Ok(control) => control,
            Err(error) => match error.downcast_ref::<RunError>() {
                Some(RunError::Client(reason)) => Control::NotRun {
                    reason: reason.clone(),
                },
                _ => return Err(error),
            },
        };
        if !control.found() {
            return Ok(control);
        }
    }
    Ok(Control::Found)
}

fn leak_and_look(bench: &mut Bench<'_>, tracked: &Tracked, fault: &str, seed: Seed) -> Result<Control> {
    let log = bench
        .dir
        .join(format!("leaking-process-{}.log", tracked.resource.name));
    let mut leaky = SamplingProcess::start(&bench.binaries.leaking, Some(fault), &log, bench.events)?;
    leaky.request("sample", &json!({"count": 1}), bench.events)?;
    let looker = Looker::of(vec![tracked.clone()], &mut leaky, bench.events)?;
    let baseline = looker.look(&mut leaky, bench.events)?;
    let design = Design {
        seed,
        operation: "sample".to_owned(),
        operations_per_block: CONTROL_OPERATIONS,
        resources: vec![tracked.resource.clone()],
    };
    let mut experiment = Experiment::new(design, baseline.readings.clone())?;
    let resource = || std::iter::once(&tracked.resource);
    let mut operations = 0;
    let note = |journal: &mut Journal, after: &str, operations: u64, look: &Look| {
        let occasion = Occasion {
            tier: "control",
            of: &tracked.resource.name,
            after,
            operations,
        };
        journal.write(&occasion, resource(), look)
    };
    note(bench.journal, "baseline", operations, &baseline)?;
    while experiment.pairs() < CONTROL_PAIRS {
        let block = experiment.next_block();
        if block == Block::Treatment {
            let params = json!({"count": CONTROL_OPERATIONS});
            match leaky.request("sample", &params, bench.events) {
                Ok(_) => operations += u64::from(CONTROL_OPERATIONS.get()),
                // Without a descriptor there is no sample either: the look says which of the two it is.
                Err(RunError::Client(_)) => {}
                Err(stop) => return Err(stop.into()),
            }
        }
        let look = looker.look(&mut leaky, bench.events)?;
        note(bench.journal, block_name(block), operations, &look)?;
        if look.pegged() {
            let resource = tracked.resource.name.clone();
            return Ok(Control::RanOut { resource });
        }
        experiment.record(look.readings);
    }
    leaky.end(bench.events)?;
    Ok(Control::of(&experiment))
}

pub(super) fn block_name(block: Block) -> &'static str {
    match block {
        Block::Treatment => "treated",
        Block::Control => "idle",
    }
}

impl Bench<'_> {
    fn note(&mut self, tracked: &[Tracked], after: &str, operations: u64, look: &Look) -> Result<()> {
        let occasion = Occasion {
            tier: "exact",
            of: "samples",
            after,
            operations,
        };
        let resources = tracked.iter().map(|tracked| &tracked.resource);
        self.journal.write(&occasion, resources, look)
    }
}

//! The cost of a sample: warm, in one process that samples again and again, and first, in a process of its own each.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::entries::{self, entries};
use crate::population::{Activity, Population};
use crate::statistics::Measured;
use crate::subject::{Entry, Subject};

/// Extent of the measurement at one size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) threads: usize,
    /// Turns of each subject, warm.
    pub(crate) rounds: usize,
    /// Processes of each subject.
    pub(crate) processes: usize,
}

/// Samples of a turn, one after the other. Only the first of them finds the processor's caches as another left them.
const SAMPLES_A_TURN: usize = 5;

/// In µs of CPU time, by subject.
pub(crate) type Costs = BTreeMap<&'static str, Measured>;

/// How long those threads sleep that are active, and how long the window is in which each of them works: enough for a
/// core not to be filled by them.
fn active(threads: usize) -> (Activity, Duration) {
    let window = Duration::from_millis(if threads > 1000 { 300 } else { 50 });
    let activity = Activity {
        percent: 20,
        pause: window / 2,
    };
    (activity, window)
}

/// The activity and the window of a scenario: idle threads need no window to do nothing in.
fn scenario(threads: usize, is_active: bool) -> (Activity, Duration) {
    if is_active {
        active(threads)
    } else {
        (Activity::IDLE, Duration::ZERO)
    }
}

pub(crate) fn warm(size: Size, is_active: bool) -> Result<Costs> {
    let (activity, window) = scenario(size.threads, is_active);
    let _population = Population::start(size.threads, activity)?;
    let mut subjects = Vec::new();
    for entry in entries() {
        if let Some(subject) = started(&entry) {
            subjects.push((entry.name, subject, Vec::new()));
        }
    }
    for (name, subject, _) in &mut subjects {
        // Twice: what is kept may need one to be filled and one to settle.
        for _ in 0..2 {
            subject.sample(window).with_context(|| (*name).to_owned())?;
        }
    }
    for round in 0..size.rounds {
        // The order rotates, so that no subject always profits from the one before it.
        let count = subjects.len();
        for nth in 0..count {
            let (name, subject, costs) = &mut subjects[(round + nth) % count];
            for _ in 0..SAMPLES_A_TURN {
                let sampled = subject.sample(window).with_context(|| (*name).to_owned())?;
                costs.push(sampled.cost_ns as f64 / 1e3);
            }
        }
    }
    Ok(subjects
        .into_iter()
        .filter_map(|(name, _, costs)| Some((name, Measured::new(costs)?)))
        .collect())
}

/// `None`, said on standard error, for what is not installed.
pub(crate) fn started(entry: &Entry) -> Option<Box<dyn Subject>> {
    (entry.start)()
        .inspect_err(|why| eprintln!("  without {}: {why:#}", entry.name))
        .ok()
}

pub(crate) fn first(size: Size, is_active: bool) -> Result<Costs> {
    let mut costs: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    for _ in 0..size.processes {
        for entry in entries() {
            if entry.in_process {
                let activity = if is_active { "1" } else { "0" };
                let cost_us = first_of(entry.name, size.threads, activity)?;
                costs.entry(entry.name).or_default().push(cost_us);
            }
        }
    }
    Ok(costs
        .into_iter()
        .filter_map(|(name, costs)| Some((name, Measured::new(costs)?)))
        .collect())
}

fn first_of(name: &str, threads: usize, activity: &str) -> Result<f64> {
    let itself = std::env::current_exe()?;
    let run = Command::new(itself)
        .args(["--first", name, &threads.to_string(), activity])
        .output()?;
    let printed = String::from_utf8_lossy(&run.stdout);
    ensure!(
        run.status.success(),
        "{name}: {}",
        String::from_utf8_lossy(&run.stderr)
    );
    printed
        .trim()
        .parse()
        .with_context(|| format!("{name} printed {printed:?}"))
}

/// Takes one sample in a fresh process and prints its cost in µs.
pub(crate) fn print_first(name: &str, threads: usize, activity: u8) -> Result<()> {
    let (activity, window) = scenario(threads, activity == 1);
    let _population = Population::start(threads, activity)?;
    let sampled = entries::start(name)?.sample(window)?;
    println!("{}", sampled.cost_ns as f64 / 1e3);
    Ok(())
}

//! How far figures are off: threads of known duty keep a log of their own CPU clock, which says what they really used
//! between the beginning and the end of each call.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::unistd::gettid;

use crate::clock::{monotonic_ns, own_cpu_ns};
use crate::cost::started;
use crate::entries::entries;
use crate::population::{Activity, Population};
use crate::statistics::Measured;

/// Shares of a core. Together less than one, so that they can be had on two.
const DUTIES: [f64; 4] = [0.03, 0.1, 0.25, 0.5];

/// In which they work and sleep once.
const PERIOD_NS: u64 = 4_000_000;

/// How often a working thread writes down what it has used.
const LOG_EVERY_NS: u64 = 50_000;

/// Errors in points, absolute, by subject.
pub(crate) type Errors = BTreeMap<&'static str, Measured>;

/// A thread that works for its share of each period.
struct OnDuty {
    tid: u64,
    log: Arc<Mutex<Log>>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A CPU clock at moments of the monotonic clock, both in ns.
#[derive(Debug, Default)]
struct Log(Vec<(u64, u64)>);

impl Log {
    fn note(&mut self) -> u64 {
        let cpu_ns = own_cpu_ns();
        self.0.push((monotonic_ns(), cpu_ns));
        cpu_ns
    }

    /// What the clock showed at a moment: between two notes, as if it had gone evenly.
    fn cpu_ns_at(&self, at_ns: u64) -> Option<f64> {
        let next = self.0.partition_point(|(noted_ns, _)| *noted_ns < at_ns);
        let (end_ns, end_cpu_ns) = *self.0.get(next)?;
        let (start_ns, start_cpu_ns) = *self.0.get(next.checked_sub(1)?)?;
        let share = (at_ns - start_ns) as f64 / (end_ns - start_ns).max(1) as f64;
        Some(start_cpu_ns as f64 + (end_cpu_ns - start_cpu_ns) as f64 * share)
    }

    /// In percent of a core.
    fn percent(&self, start_ns: u64, end_ns: u64) -> Option<f64> {
        let used_ns = self.cpu_ns_at(end_ns)? - self.cpu_ns_at(start_ns)?;
        Some(used_ns * 100.0 / (end_ns - start_ns) as f64)
    }
}

impl OnDuty {
    fn start(share: f64) -> Result<Self> {
        let (log, end) = (Arc::new(Mutex::new(Log::default())), Arc::default());
        let (ready, readies) = mpsc::channel();
        let thread = {
            let (log, end) = (Arc::clone(&log), Arc::clone(&end));
            thread::spawn(move || {
                if ready.send(gettid().as_raw().unsigned_abs().into()).is_ok() {
                    on_duty(share, &log, &end);
                }
            })
        };
        Ok(Self {
            tid: readies.recv().context("a thread that ended at once")?,
            log,
            end,
            thread: Some(thread),
        })
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OnDuty {
    fn drop(&mut self) {
        self.end.store(true, Relaxed);
        // A panic has been reported where it happened.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn on_duty(share: f64, log: &Mutex<Log>, end: &AtomicBool) {
    let note = || log.lock().unwrap_or_else(PoisonError::into_inner).note();
    let work_ns = (PERIOD_NS as f64 * share) as u64;
    while !end.load(Relaxed) {
        let began_ns = monotonic_ns();
        let until_ns = note() + work_ns;
        let mut noted_ns = began_ns;
        while own_cpu_ns() < until_ns {
            if monotonic_ns() > noted_ns + LOG_EVERY_NS {
                note();
                noted_ns = monotonic_ns();
            }
        }
        note();
        thread::sleep(Duration::from_nanos(
            (began_ns + PERIOD_NS).saturating_sub(monotonic_ns()),
        ));
    }
}

/// Errors of every subject in windows of this length, beside idle threads, a hundred in all.
pub(crate) fn errors(window: Duration, rounds: usize) -> Result<Errors> {
    const THREADS: usize = 100;
    let duties = DUTIES
        .into_iter()
        .map(OnDuty::start)
        .collect::<Result<Vec<_>>>()?;
    let _idle = Population::start(THREADS - duties.len(), Activity::IDLE)?;
    let mut subjects = Vec::new();
    for entry in entries().into_iter().filter(|entry| entry.has_figures) {
        if let Some(mut subject) = started(&entry) {
            subject.sample(Duration::ZERO).context(entry.name)?;
            subjects.push((entry.name, subject, Vec::new()));
        }
    }
    for _ in 0..rounds {
        for (name, subject, errors) in &mut subjects {
            duties.iter().for_each(|duty| duty.log().0.clear());
            // Until the logs reach back before the call, and beyond it.
            thread::sleep(Duration::from_nanos(2 * PERIOD_NS));
            let sampled = subject.sample(window).context(*name)?;
            thread::sleep(Duration::from_nanos(4 * PERIOD_NS));
            let percents: BTreeMap<u64, f64> = subject.percents().into_iter().collect();
            for duty in &duties {
                // Where the machine let a thread wait for too long there is no truth to compare with.
                if let Some(truth) = duty.log().percent(sampled.start_ns, sampled.end_ns) {
                    let percent = percents
                        .get(&duty.tid)
                        .with_context(|| format!("{name} lost a thread"))?;
                    errors.push((percent - truth).abs());
                }
            }
        }
    }
    Ok(subjects
        .into_iter()
        .filter_map(|(name, _, errors)| Some((name, Measured::new(errors)?)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_truth_is_read_between_the_notes_of_a_log() {
        let log = Log(vec![(100, 0), (200, 100), (400, 100), (500, 200)]);
        assert_eq!(log.cpu_ns_at(150), Some(50.0));
        assert_eq!(log.cpu_ns_at(300), Some(100.0));
        assert_eq!(log.percent(150, 450), Some(100.0 * 100.0 / 300.0));
        assert_eq!(
            (log.cpu_ns_at(99), log.cpu_ns_at(501)),
            (None, None),
            "beyond the log nothing is known"
        );
    }

    #[test]
    fn a_thread_on_duty_logs_about_its_share() {
        let duty = OnDuty::start(0.25).expect("a thread");
        // As long as it takes for some periods to be logged, on however slow a machine.
        while duty.log().0.len() < 200 {
            thread::yield_now();
        }
        let log = duty.log();
        let (first, last) = (log.0[1].0, log.0[log.0.len() - 1].0);
        let percent = log.percent(first, last).expect("logged");
        assert!(percent > 0.0 && percent <= 100.0, "{percent}");
        assert!(log.0.is_sorted(), "both clocks advance");
    }
}

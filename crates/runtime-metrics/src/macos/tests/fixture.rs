//! A process whose every figure is known, and the checks of a report of it.

use std::sync::OnceLock;
use std::time::Duration;

use mach_model::{Call, Config, Cpu, Event, Model, Tid};

use super::{sample, snapshot};
use crate::macos::kernel::Kernel;
use crate::{ProcessReport, ThreadMetrics};

pub(super) const ASKED: Duration = Duration::from_secs(2);
/// What the sleep really takes: windows are never as long as asked.
pub(super) const ASLEEP: Duration = Duration::from_millis(2600);
const SECOND_NS: u64 = 1_000_000_000;

/// How far a percentage may be off. A call of the model takes 1 µs, and the window 2.6 s.
pub(super) const POINTS: f64 = 0.05;

pub(super) const PARKED: Cpu = Cpu { user: 0, system: 0 };
pub(super) const BUSY: Cpu = Cpu { user: 60, system: 30 };

/// Threads that idle, work, end and are born.
pub(super) struct Fixture {
    pub(super) model: Model,
}

impl Fixture {
    pub(super) fn new(config: Config) -> Self {
        let model = Model::new(config);
        model.spawn("busy", BUSY);
        for _ in 0..7 {
            model.spawn("parked", PARKED);
        }
        model.pass(1_700_000_000);
        Self { model }
    }

    /// Samples through `kernel`, which must be the fixture's model or something in front of it. Lists the faults of the
    /// report: the kind, a colon, and the details. `tamper` may change the report first, as a faulty backend would.
    pub(super) fn faults(
        &self,
        kernel: &dyn Kernel,
        pause: impl FnOnce(),
        tamper: impl FnOnce(&mut ProcessReport),
    ) -> Vec<String> {
        let model = &self.model;
        // The youngest thread is found to be ending when it is asked for its clock, in the first snapshot.
        let ending = *model.tids().last().expect("the model has threads");
        model.before(first_thread_info(), Event::Dying(0));
        let mut start = None;
        let report = sample(kernel, ASKED, || {
            start = Some((model.cpu(), model.now_ns()));
            self.live();
            pause();
        });
        let end = (model.cpu(), model.now_ns());

        let mut faults: Vec<String> = model
            .audit()
            .iter()
            .map(|fault| format!("books: {fault}"))
            .collect();
        let (Ok(mut report), Some(start)) = (report, start) else {
            faults.push("report: there is none".to_owned());
            return faults;
        };
        tamper(&mut report);
        let expected = Expected {
            window_ns: (end.1 - start.1) as f64,
            used_ns: (end.0.total() - start.0.total()) as f64,
            tids: model.tids().into_iter().filter(|tid| *tid != ending).collect(),
        };
        faults.extend(expected.faults_of(&report));
        faults
    }

    /// What happens in the window: a thread ends that was there before, another lives for all but the last
    /// second, and one is born that works through that.
    fn live(&self) {
        let model = &self.model;
        let parked = model.tids().len() - 2;
        model.exit(model.tids()[parked]);
        let ends = model.spawn("ends", Cpu { user: 100, system: 0 });
        model.pass(ASLEEP.as_nanos() as u64 - SECOND_NS);
        model.exit(ends);
        model.spawn("born", Cpu { user: 0, system: 50 });
        model.pass(SECOND_NS);
    }
}

/// The number of the call that asks the first thread for its clock: found by watching one snapshot.
pub(super) fn first_thread_info() -> usize {
    let model = Model::new(Config::default());
    snapshot(&model, &OnceLock::new()).expect("a snapshot");
    let is_it = |call: &Call| *call == Call::ThreadExtendedInfo;
    model
        .calls_made()
        .iter()
        .position(is_it)
        .expect("threads are asked for their clocks")
}

/// What a report must say.
struct Expected {
    window_ns: f64,
    used_ns: f64,
    /// Ascending.
    tids: Vec<Tid>,
}

impl Expected {
    fn faults_of(&self, report: &ProcessReport) -> Vec<String> {
        let mut faults = Vec::new();
        let window_ms = self.window_ns / 1e6;
        if !is_close(Some(report.measured_window_ms), window_ms, 1.0) {
            faults.push(format!(
                "window: is {} ms, not {window_ms}",
                report.measured_window_ms
            ));
        }
        let percent = self.used_ns * 100.0 / self.window_ns;
        if !is_close(report.process.cpu_percent, percent, POINTS) {
            faults.push(format!(
                "process: used {:?} %, not {percent}",
                report.process.cpu_percent
            ));
        }
        let mut listed: Vec<Tid> = report.threads.iter().map(|thread| thread.tid).collect();
        if !listed.is_sorted() {
            faults.push("order: threads do not ascend".to_owned());
        }
        listed.sort_unstable();
        if listed != self.tids {
            faults.push(format!("threads: {listed:?}, not {:?}", self.tids));
        }
        for thread in &report.threads {
            let load = self.load_of(thread);
            if !is_close(thread.cpu_percent, load, POINTS) {
                faults.push(format!("thread: {thread:?} should be at {load} %"));
            }
        }
        // Other tests of this process decide whether it knows when it started.
        for (path, why) in report
            .missing
            .iter()
            .filter(|(path, _)| *path != "process.uptime_secs")
        {
            faults.push(format!("missing: {path}: {why}"));
        }
        faults
    }

    /// In percent of the window.
    fn load_of(&self, thread: &ThreadMetrics) -> f64 {
        match thread.name.as_deref() {
            Some("main") => 10.0,
            Some("busy") => 90.0,
            Some("born") => 50.0 * SECOND_NS as f64 / self.window_ns,
            _ => 0.0,
        }
    }
}

fn is_close(is: Option<f64>, should: f64, tolerance: f64) -> bool {
    is.is_some_and(|is| (is - should).abs() <= tolerance)
}

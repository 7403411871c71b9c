//! What another process sees of the client, over exactly the window that a report claims.
//!
//! A thread reads the client's clocks, memory and tasks all the time; a window is cut out of the readings afterwards,
//! so neither the client nor the observer has to know beforehand when it will be.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
pub(crate) mod macos_tools;
mod resource_counts;
mod series;
mod ticks;

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::error::RunError;

#[cfg(target_os = "linux")]
use linux::Process;
#[cfg(target_os = "macos")]
use macos::Process;
pub(crate) use resource_counts::{Count, ResourceCounts};
use series::{ClockReading, DetailReading, Series};
pub(crate) use series::{Observation, Window, WindowBounds};

/// Between two readings of the process's CPU clock.
pub(crate) const CLOCK_INTERVAL: Duration = Duration::from_millis(5);

/// Tasks and memory are read every so many readings of the clock: they cost more.
const DETAIL_EVERY: u32 = 10;

/// A platform's way of reading another process. Each platform implements it once, for a type named `Process`.
trait Observer: Sized + Send + 'static {
    /// The monotonic clock that all processes of a machine share, in ns.
    fn monotonic_ns() -> u64;

    /// The resources that a process holds at this moment, as far as another process may count them.
    fn resource_counts(pid: u32) -> ResourceCounts;

    /// The process's parent.
    fn parent(pid: u32) -> Option<u32>;

    /// Checks that this process can observe others at all.
    ///
    /// # Errors
    /// If it cannot, with the remedy.
    fn check() -> Result<(), String>;

    /// Begins to observe a process.
    ///
    /// # Errors
    /// If the process does not exist or may not be observed.
    fn open(pid: u32) -> Result<Self>;

    /// The process's start as the kernel has it, on the monotonic clock, in ns.
    fn started_ns(&self) -> u64;

    /// The calls that CPU times come from.
    fn cpu_source(&self) -> &'static str;

    /// The process's CPU clock: living and ended threads.
    fn clock(&self) -> Result<ClockReading>;

    /// Memory and tasks.
    fn detail(&self) -> Result<DetailReading>;
}

/// The monotonic clock that all processes of a machine share, in ns.
pub(crate) fn monotonic_ns() -> u64 {
    Process::monotonic_ns()
}

/// Checks, before anything is started, that processes can be observed here: an observer that sees other processes than those
/// that it asks for would fail a true client.
pub(crate) fn check() -> Result<(), RunError> {
    Process::check().map_err(RunError::Environment)
}

/// True if a process is a child of another one, or a child's child, and so on.
pub(crate) fn is_descendant(pid: u32, ancestor: u32) -> bool {
    /// More generations than any wrapper makes: a chain that changes while it is read ends here.
    const MAX_GENERATIONS: usize = 64;
    let parents = std::iter::successors(Process::parent(pid), |parent| Process::parent(*parent));
    parents.take(MAX_GENERATIONS).any(|parent| parent == ancestor)
}

/// Counts the resources that a process holds at this moment.
pub(crate) fn resource_counts(pid: u32) -> ResourceCounts {
    Process::resource_counts(pid)
}

/// Watches one process until dropped.
pub(crate) struct Watch {
    series: Arc<Mutex<Series>>,
    started_ns: u64,
    cpu_source: &'static str,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(crate) fn begin(pid: u32) -> Result<Self> {
        let subject = Process::open(pid).with_context(|| format!("cannot observe process {pid}"))?;
        let series = Arc::new(Mutex::new(Series::default()));
        let (stop, stopped) = channel();
        let (started_ns, cpu_source) = (subject.started_ns(), subject.cpu_source());
        let shared = Arc::clone(&series);
        let thread = std::thread::Builder::new()
            .name("observer".to_owned())
            .spawn(move || observe(&subject, &shared, &stopped))
            .context("cannot start the observer's thread")?;
        Ok(Self {
            series,
            started_ns,
            cpu_source,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Watches no longer; what was seen stays.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    /// The process's start as the kernel has it, on the monotonic clock.
    pub(crate) fn started_ns(&self) -> u64 {
        self.started_ns
    }

    /// Where CPU times come from.
    pub(crate) fn cpu_source(&self) -> &'static str {
        self.cpu_source
    }

    /// Whether everything has been read after `moment_ns`, so that a window that ends by then can be cut out.
    pub(crate) fn has_passed(&self, moment_ns: u64) -> bool {
        self.series
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .reaches(moment_ns)
    }

    /// What was seen over a window, or why nothing can be said of it.
    pub(crate) fn over(&self, window: Window) -> Result<Observation, String> {
        self.series
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .over(window)
    }

    /// What was seen over a window whose place is not known, or why nothing can be said of it.
    pub(crate) fn between(&self, between: WindowBounds) -> Result<Observation, String> {
        self.series
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .between(between)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Reads until told to stop, or until the process is gone.
fn observe(subject: &impl Observer, series: &Mutex<Series>, stopped: &Receiver<()>) {
    for round in 0_u32.. {
        let clock = subject.clock();
        let detail = if round.is_multiple_of(DETAIL_EVERY) {
            subject.detail().ok()
        } else {
            None
        };
        let Ok(clock) = clock else { return };
        let mut series = series.lock().unwrap_or_else(PoisonError::into_inner);
        series.push_clock(clock);
        if let Some(detail) = detail {
            series.push_detail(detail);
        }
        drop(series);
        match stopped.recv_timeout(CLOCK_INTERVAL) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

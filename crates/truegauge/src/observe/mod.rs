//! What another process sees of the client, over exactly the window that a report claims.
//!
//! A thread reads the client's clocks, memory and tasks all the time; a window is cut out of the readings afterwards,
//! so neither the client nor the observer has to know beforehand when it will be.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(target_os = "macos", test))]
mod macos;
pub(crate) mod macos_tools;
mod resource_counts;
mod series;
mod ticks;

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use crate::error::RunError;
use crate::preflight::Probe;

#[cfg(target_os = "linux")]
use linux::Process;
#[cfg(target_os = "macos")]
use macos::Process;
pub(crate) use resource_counts::{Count, ResourceCounts};
use series::{ClockReading, MemoryReading, Series, TasksReading};
pub(crate) use series::{Observation, Window, WindowBounds};

/// Between two readings of the process's CPU clock and of its memory.
pub(crate) const CLOCK_INTERVAL: Duration = Duration::from_millis(5);

/// Tasks are read every so many readings of the clock: they cost more.
const TASKS_EVERY: u32 = 10;

/// Around the ends of a window that a report is about to claim, tasks are read as often as the clock.
const WINDOW_EDGE: Duration = Duration::from_millis(60);

/// A platform's way of reading another process. Each platform implements it once, for a type named `Process`.
trait Observer: Sized + Send + 'static {
    /// The monotonic clock that all processes of a machine share, in ns.
    fn monotonic_ns() -> u64;

    /// The resources that a process holds at this moment, as far as another process may count them.
    fn resource_counts(pid: u32) -> ResourceCounts;

    /// The process's parent.
    fn parent(pid: u32) -> Option<u32>;

    /// Finds the process that calls itself `own_pid`: the process of that id, or one in a pid namespace below this one.
    fn calling_itself(own_pid: u32) -> Vec<u32>;

    /// The descendants of a process that handle a signal, and whether the process does so itself. `None` where the platform
    /// does not say.
    fn handlers(pid: u32, signal: Signal) -> Option<SignalHandlers>;

    /// Checks that this process can observe others at all.
    ///
    /// # Errors
    /// If it cannot, with the remedy.
    fn check() -> Result<(), String>;

    /// Tries each call once on a process, for the preflight table.
    fn preflight(pid: u32) -> Vec<Probe>;

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

    /// The process's memory.
    fn memory(&self) -> Result<MemoryReading>;

    /// The process's tasks. A process whose tasks cannot be read can still be judged by its clock and its memory.
    fn tasks(&self) -> Result<TasksReading>;

    /// The process's id as the process itself knows it, which differs in a pid namespace of its own.
    fn own_pid(&self) -> u32;
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

/// Tries each of the observer's calls once on a process of this user.
pub(crate) fn preflight(pid: u32) -> Vec<Probe> {
    Process::preflight(pid)
}

/// The descendant of a process that calls itself `own_pid`, which is another number in a pid namespace of its own.
pub(crate) fn descendant(ancestor: u32, own_pid: u32) -> Option<u32> {
    let named = Process::calling_itself(own_pid);
    named.into_iter().find(|pid| is_descendant(*pid, ancestor))
}

/// The processes that handle a signal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SignalHandlers {
    pub(crate) process: bool,
    pub(crate) descendants: Vec<u32>,
    /// Those that do not handle it.
    pub(crate) other_descendants: Vec<u32>,
}

/// Finds out which of a process and its descendants handle a signal, as far as the platform says.
pub(crate) fn handlers(pid: u32, signal: Signal) -> Option<SignalHandlers> {
    Process::handlers(pid, signal)
}

/// When a process started, on the monotonic clock; `None` where there is no such process.
pub(crate) fn started_ns(pid: u32) -> Option<u64> {
    Process::open(pid).ok().map(|process| process.started_ns())
}

/// True if a process is a child of another one, or a child's child, and so on.
fn is_descendant(pid: u32, ancestor: u32) -> bool {
    /// More generations than any wrapper makes: a chain that changes while it is read ends here.
    const MAX_GENERATIONS: usize = 64;
    let parents = std::iter::successors(Process::parent(pid), |parent| Process::parent(*parent));
    parents.take(MAX_GENERATIONS).any(|parent| parent == ancestor)
}

/// Counts the resources that a process holds at this moment.
pub(crate) fn resource_counts(pid: u32) -> ResourceCounts {
    Process::resource_counts(pid).of_the_living()
}

/// Memory of a process that lives: 0 is what the system gives for one that has ended.
fn memory(subject: &impl Observer) -> Result<MemoryReading> {
    let reading = subject.memory()?;
    let sizes = [
        Some(reading.resident_kb),
        Some(reading.virtual_kb),
        reading.footprint_kb,
    ];
    ensure!(
        !sizes.contains(&Some(0)),
        "its memory reads as 0, which no living process has (resident, virtual, footprint: {sizes:?} KiB)"
    );
    Ok(reading)
}

/// Watches one process until dropped.
pub(crate) struct Watch {
    shared: Arc<Mutex<Shared>>,
    started_ns: u64,
    own_pid: u32,
    cpu_source: &'static str,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the observer's thread and its owner share.
#[derive(Default)]
struct Shared {
    series: Series,
    /// The window that the next report is expected to claim.
    expected: Option<Window>,
}

impl Shared {
    /// True near the ends of the expected window, and after it: the report may be late.
    fn is_near_an_edge(&self, now_ns: u64) -> bool {
        let edge = WINDOW_EDGE.as_nanos() as u64;
        self.expected
            .is_some_and(|window| now_ns < window.start_ns + edge || now_ns + edge > window.end_ns)
    }
}

impl Watch {
    /// Reads everything once, so that what cannot be read is known before the session starts, and then goes on reading.
    ///
    /// # Errors
    /// If the process's clock or memory cannot be read; the error names the call.
    pub(crate) fn begin(pid: u32) -> Result<Self> {
        Self::begin_with::<Process>(pid)
    }

    fn begin_with<P: Observer>(pid: u32) -> Result<Self> {
        let observed = || -> Result<(P, Series)> {
            let subject = P::open(pid)?;
            let mut series = Series::default();
            series.push_clock(Ok(subject.clock()?));
            series.push_memory(Ok(memory(&subject)?));
            series.push_tasks(subject.tasks());
            Ok((subject, series))
        };
        let (subject, series) = observed().with_context(|| format!("cannot observe process {pid}"))?;
        let (started_ns, own_pid, cpu_source) =
            (subject.started_ns(), subject.own_pid(), subject.cpu_source());
        let shared = Arc::new(Mutex::new(Shared {
            series,
            expected: None,
        }));
        let (stop, stopped) = channel();
        let thread_shared = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("observer".to_owned())
            .spawn(move || observe(&subject, &thread_shared, &stopped))
            .context("cannot start the observer's thread")?;
        Ok(Self {
            shared,
            started_ns,
            own_pid,
            cpu_source,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// The process's id as its own reports give it.
    pub(crate) fn own_pid(&self) -> u32 {
        self.own_pid
    }

    /// Where CPU times come from.
    pub(crate) fn cpu_source(&self) -> &'static str {
        self.cpu_source
    }

    /// Reads tasks more often around the ends of the window that begins about now, until [`Self::expect_nothing`].
    pub(crate) fn expect_window(&self, length: Duration) {
        let start_ns = monotonic_ns();
        self.shared().expected = Some(Window {
            start_ns,
            end_ns: start_ns + length.as_nanos() as u64,
        });
    }

    /// Reads at the usual intervals again.
    pub(crate) fn expect_nothing(&self) {
        self.shared().expected = None;
    }

    /// Whether everything has been read after `moment_ns`, so that a window that ends by then can be cut out.
    pub(crate) fn has_passed(&self, moment_ns: u64) -> bool {
        self.shared().series.reaches(moment_ns)
    }

    /// The last error of each reading that failed, for a person.
    pub(crate) fn errors(&self) -> Option<String> {
        let shared = self.shared();
        let errors = shared.series.errors().iter();
        let errors: Vec<String> = errors.map(|(kind, error)| format!("{kind}: {error}")).collect();
        (!errors.is_empty()).then(|| errors.join("; "))
    }

    /// What was seen over a window, or why nothing can be said of it.
    pub(crate) fn over(&self, window: Window) -> Result<Observation, String> {
        self.shared().series.over(window)
    }

    /// What was seen over a window that lies somewhere between two moments, or why nothing can be said of it.
    pub(crate) fn between(&self, between: WindowBounds) -> Result<Observation, String> {
        self.shared().series.between(between)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Reads until told to stop. A reading that fails is noted, and tried again in its turn.
fn observe(subject: &impl Observer, shared: &Mutex<Shared>, stopped: &Receiver<()>) {
    let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    for round in 1_u32.. {
        let clock = subject.clock();
        let memory = memory(subject);
        let near_an_edge = lock().is_near_an_edge(monotonic_ns());
        let tasks = (near_an_edge || round.is_multiple_of(TASKS_EVERY)).then(|| subject.tasks());
        let mut shared = lock();
        shared.series.push_clock(clock);
        shared.series.push_memory(memory);
        if let Some(tasks) = tasks {
            shared.series.push_tasks(tasks);
        }
        drop(shared);
        match stopped.recv_timeout(CLOCK_INTERVAL) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

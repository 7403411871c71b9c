//! Linux: `/proc/self/task` lists the threads, and each thread's CPU clock tells its time.
//!
//! | module | what it does |
//! |---|---|
//! | `thread_source` | the list of threads |
//! | `folder` | `/proc/self/task`, kept open |
//! | `clock` | the kernel's clocks |
//! | `tasks` | what threads used, from the best source there is |
//! | `names` | names, kept while they cannot have changed |
//! | `procfs` | the formats of files |
//! | `resource_counts` | what the process holds |
//!
//! The sampler keeps what would cost the most system calls. With N idle threads, a sample makes 2N + 9 calls; 2N of them
//! read the clocks.

mod clock;
mod folder;
mod names;
mod procfs;
mod resource_counts;
mod tasks;
mod thread_source;

use std::io;
use std::path::PathBuf;
use std::process;

use crate::backend::{Backend, Window};
use crate::resource_counts::ResourceCounts;
use crate::snapshot::{EndReadings, Reading, Snapshot, ThreadReading};
use crate::uptime::uptime;
use clock::Clocks;
use names::Names;
use procfs::Statm;
use tasks::Tasks;
use thread_source::ThreadSource;

/// The state that a sampler keeps between samples.
pub(crate) struct Linux {
    proc: PathBuf,
    clocks: Clocks,
    /// `None` before the first sample, and after one that failed.
    handles: Option<Handles>,
    /// The tids of the last snapshot, ascending.
    known: Vec<u32>,
    names: Names,
    before: Snapshot,
    after: Snapshot,
}

/// Open descriptors.
struct Handles {
    /// The process that opened them: in a child of a fork they go on telling of the parent.
    pid: u32,
    tasks: Tasks,
    statm: Reading<Statm>,
}

impl Backend for Linux {
    fn new() -> Self {
        Self::on("/proc".into(), Clocks::SYSTEM)
    }

    fn without_thread_clocks() -> Self {
        Self::on("/proc".into(), Clocks::WITHOUT_THREADS)
    }

    fn read_window(&mut self, pause: impl FnOnce()) -> Result<Window<'_>, String> {
        let mut handles = self.begin()?;
        pause();
        let end = self.finish(&mut handles)?;
        // Kept only if all went well: a new attempt may open and read more.
        self.handles = end.rss_kb.is_ok().then_some(handles);
        Ok(Window {
            before: &self.before,
            after: &self.after,
            end,
        })
    }

    fn resource_counts() -> ResourceCounts {
        resource_counts::count()
    }
}

impl Linux {
    fn on(proc: PathBuf, clocks: Clocks) -> Self {
        Self {
            proc,
            clocks,
            handles: None,
            known: Vec::new(),
            names: Names::default(),
            before: Snapshot::empty(),
            after: Snapshot::empty(),
        }
    }

    /// Takes the first snapshot. If the kept handles do not answer exactly and without fault, it opens new ones, so that a
    /// kept sampler never knows less than a new one.
    fn begin(&mut self) -> Result<Handles, String> {
        let pid = process::id();
        let usable = |kept: &Handles| kept.pid == pid && kept.tasks.is_exact();
        if let Some(mut kept) = self.handles.take().filter(usable) {
            let taken = take(&mut kept.tasks, self.clocks, &mut self.known, &mut self.before);
            if taken.is_ok() && is_without_fault(&self.before) {
                return Ok(kept);
            }
        }
        self.known.clear();
        self.names = Names::default();
        let mut handles = Handles {
            pid,
            tasks: Tasks::open(&self.proc, self.clocks)?,
            statm: Statm::open(&self.proc),
        };
        take(&mut handles.tasks, self.clocks, &mut self.known, &mut self.before)?;
        Ok(handles)
    }

    /// Takes the second snapshot. Names and memory take longer than the clocks, so they are read after them.
    fn finish(&mut self, handles: &mut Handles) -> Result<EndReadings, String> {
        let tasks = &mut handles.tasks;
        take(tasks, self.clocks, &mut self.known, &mut self.after)?;
        let name = |tid| u32::try_from(tid).ok().and_then(|tid| tasks.name(tid));
        self.names
            .fill_in(&mut self.after.threads, tasks.is_exact(), name);
        let memory = handles
            .statm
            .as_ref()
            .map_err(Clone::clone)
            .and_then(Statm::memory);
        Ok(EndReadings {
            rss_kb: memory
                .as_ref()
                .map(|memory| memory.resident_kb)
                .map_err(Clone::clone),
            vm_size_kb: memory.map(|memory| memory.virtual_kb),
            footprint_kb: None,
            uptime: uptime(),
        })
    }
}

/// Reads the clocks in one go. The process's comes last of them: the kernel brings a running thread's time up to date
/// only when somebody reads that thread's clock (`kernel/sched/cputime.c`, `thread_group_cputime`), so read first it
/// would lag behind the threads by up to a tick each.
fn take(
    tasks: &mut Tasks,
    clocks: Clocks,
    known: &mut Vec<u32>,
    snapshot: &mut Snapshot,
) -> Result<(), String> {
    snapshot.listed_at_ns = (clocks.monotonic_ns)().map_err(without_monotonic)?;
    let mut source = Clocked {
        tasks,
        threads: &mut snapshot.threads,
    };
    thread_source::refresh(&mut source, known)?;
    snapshot.process_cpu = clocks
        .process_cpu()
        .map_err(|e| format!("CLOCK_PROCESS_CPUTIME_ID: {e}"));
    snapshot.cpu_lag_ns = tasks.cpu_lag_ns();
    Ok(())
}

/// True if there are threads, and every clock could be read.
fn is_without_fault(snapshot: &Snapshot) -> bool {
    !snapshot.threads.is_empty()
        && snapshot.process_cpu.is_ok()
        && snapshot.threads.iter().all(|thread| thread.cpu.is_ok())
}

/// The process's own threads. A thread lives if its clock answers.
struct Clocked<'a> {
    tasks: &'a mut Tasks,
    threads: &'a mut Vec<ThreadReading>,
}

impl ThreadSource for Clocked<'_> {
    fn count(&self) -> Option<usize> {
        self.tasks.folder.count()
    }

    fn list(&mut self, known: &mut Vec<u32>) -> Result<(), String> {
        self.tasks.folder.list(known)
    }

    fn keep_living(&mut self, known: &mut Vec<u32>) -> Result<(), String> {
        self.tasks
            .read_clocks(known, self.threads)
            .map_err(without_monotonic)?;
        known.clear();
        known.extend(
            self.threads
                .iter()
                .filter_map(|thread| u32::try_from(thread.tid).ok()),
        );
        Ok(())
    }
}

fn without_monotonic(error: io::Error) -> String {
    format!("CLOCK_MONOTONIC: {error}")
}

#[cfg(test)]
mod budget;
#[cfg(test)]
mod tests;

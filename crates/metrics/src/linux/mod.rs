//! Linux: `/proc/self/task` says which threads there are, their CPU clocks say what they used.
//!
//! Nothing is kept between snapshots, so a fork needs no care.

mod census;
mod clock;
mod procfs;
mod tasks;

pub(crate) use census::census;

use std::path::Path;

use crate::snapshot::{Snapshot, ThreadReading};
use crate::uptime::uptime;
use tasks::{Tasks, ThreadClock};

pub(crate) fn snapshot() -> Result<Snapshot, String> {
    snapshot_of(Path::new("/proc"), clock::thread_cpu_ns)
}

/// The clocks are read in one go, and what takes longer (names, memory) after them. The process's comes last of
/// them: the kernel brings a running thread's time up to date only when somebody reads that thread's clock
/// (`kernel/sched/cputime.c`, `thread_group_cputime`), so read first it would lag behind the threads by up to a
/// tick each.
fn snapshot_of(proc: &Path, thread_clock: ThreadClock) -> Result<Snapshot, String> {
    let tasks = Tasks::open(proc, thread_clock)?;
    let listed_at_ns = clock::monotonic_ns().map_err(|e| format!("CLOCK_MONOTONIC: {e}"))?;
    let tids = tasks.list()?;
    let clocks: Vec<_> = tids
        .into_iter()
        .filter_map(|tid| Some((tid, tasks.cpu(tid)?)))
        .collect();
    let process_cpu =
        clock::stamped(clock::process_cpu_ns).map_err(|e| format!("CLOCK_PROCESS_CPUTIME_ID: {e}"));

    let threads = clocks.into_iter().filter_map(|(tid, cpu)| {
        let name = tasks.name(tid)?;
        Some(ThreadReading {
            tid: tid.into(),
            name,
            cpu,
        })
    });
    let threads = threads.collect();
    let memory = procfs::memory(proc);
    Ok(Snapshot {
        listed_at_ns,
        threads,
        process_cpu,
        cpu_lag_ns: tasks.cpu_lag_ns(),
        rss_kb: memory
            .as_ref()
            .map(|memory| memory.resident_kb)
            .map_err(Clone::clone),
        vm_size_kb: memory.map(|memory| memory.virtual_kb),
        footprint_kb: None,
        uptime: uptime(),
    })
}

#[cfg(test)]
mod tests;

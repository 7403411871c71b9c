//! A process seen through libproc by another process of the same user.
//!
//! Everything but `sys` is compiled for tests on every platform, where a model answers for libproc.

mod libproc;
#[cfg(target_os = "macos")]
mod sys;
#[cfg(test)]
mod tests;

use std::io;
use std::marker::PhantomData;

use anyhow::{Context, Result};
use rustix::process::{Resource, Signal, getrlimit};

use super::resource_counts::{Count, ResourceCounts};
use super::series::{ClockReading, MemoryReading, TaskReading, TasksReading};
use super::ticks::Timebase;
use super::{Observer, SignalHandlers};
use crate::preflight::Probe;
use libproc::{IpcTable, Libproc, call};

/// The observed process on this system.
#[cfg(target_os = "macos")]
pub(super) type Process = Observed<sys::System>;

/// The observed process.
pub(super) struct Observed<L> {
    pid: i32,
    timebase: Timebase,
    started_ns: u64,
    libproc: PhantomData<L>,
}

impl<L: Libproc> Observer for Observed<L> {
    /// The shared monotonic clock.
    fn monotonic_ns() -> u64 {
        L::uptime_ns()
    }

    /// The resources that a process holds, as far as another process of the same user may count them.
    fn resource_counts(pid: u32) -> ResourceCounts {
        let count = |read: fn(i32) -> io::Result<u64>| -> Option<Count> {
            let pid = i32::try_from(pid).map_err(|error| error.to_string());
            Some(pid.and_then(|pid| read(pid).map_err(|error| error.to_string())))
        };
        ResourceCounts {
            descriptors: count(|pid| Ok(L::descriptors(pid)? as u64)),
            // Another process's is not told; it has ours, which it was started with.
            descriptor_limit: count(|_| Ok(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))),
            threads: count(|pid| u64::try_from(L::task_info(pid)?.threads).map_err(io::Error::other)),
            mappings: None,
            port_names: count(|pid| L::ipc_table(pid).map(IpcTable::names_in_use).map(u64::from)),
            rss_kb: count(|pid| Ok(L::task_info(pid)?.resident_bytes / 1024)),
            vm_size_kb: count(|pid| Ok(L::task_info(pid)?.virtual_bytes / 1024)),
            footprint_kb: count(|pid| Ok(L::usage(pid)?.footprint_bytes / 1024)),
        }
    }

    fn parent(pid: u32) -> Option<u32> {
        L::parent(i32::try_from(pid).ok()?).ok()
    }

    /// There are no pid namespaces.
    fn calling_itself(own_pid: u32) -> Vec<u32> {
        vec![own_pid]
    }

    /// libproc does not say.
    fn handlers(_pid: u32, _signal: Signal) -> Option<SignalHandlers> {
        None
    }

    /// libproc needs no file system.
    fn check() -> Result<(), String> {
        Ok(())
    }

    fn preflight(pid: u32) -> Vec<Probe> {
        const DECIDES: &str = "every run: the CPU, memory and start of the client";
        const THREADS: &str = "the checks that compare the client's threads one by one";
        let pid = pid.cast_signed();
        let thread = || -> io::Result<()> {
            let ids = L::thread_ids(pid)?;
            let id = ids
                .first()
                .ok_or_else(|| io::Error::other("no thread is listed"))?;
            L::thread_info(pid, *id).map(drop)
        };
        vec![
            Probe::of(call::TIMEBASE, DECIDES, L::timebase()),
            Probe::of(call::USAGE, DECIDES, L::usage(pid)),
            Probe::of(call::TASK_INFO, DECIDES, L::task_info(pid)),
            Probe::of(call::THREAD_IDS, THREADS, L::thread_ids(pid)),
            Probe::of(call::THREAD_INFO, THREADS, thread()),
            Probe::of(
                call::BSD_INFO,
                "following the client of a wrapper that forks",
                L::parent(pid),
            ),
            Probe::of(
                call::DESCRIPTORS,
                "the soak's count of descriptors from outside",
                L::descriptors(pid),
            ),
            Probe::of(
                call::IPC_TABLE,
                "the soak's count of port names from outside",
                L::ipc_table(pid),
            ),
        ]
    }

    fn open(pid: u32) -> Result<Self> {
        let pid = i32::try_from(pid)?;
        let (numer, denom) = L::timebase().context(call::TIMEBASE)?;
        let timebase = Timebase::new(numer, denom, L::is_translated())?;
        let usage = L::usage(pid).context(call::USAGE)?;
        Ok(Self {
            pid,
            timebase,
            started_ns: timebase.ns(usage.started_ticks),
            libproc: PhantomData,
        })
    }

    fn started_ns(&self) -> u64 {
        self.started_ns
    }

    fn cpu_source(&self) -> &'static str {
        "proc_pid_rusage(RUSAGE_INFO_V4); tasks: proc_pidinfo(PROC_PIDTHREADID64INFO)"
    }

    /// The process's CPU clock: living and ended threads.
    fn clock(&self) -> Result<ClockReading> {
        let usage = L::usage(self.pid).context(call::USAGE)?;
        Ok(ClockReading {
            at_ns: Self::monotonic_ns(),
            cpu_ns: self.timebase.ns(usage.cpu_ticks),
        })
    }

    fn memory(&self) -> Result<MemoryReading> {
        let task = L::task_info(self.pid).context(call::TASK_INFO)?;
        let usage = L::usage(self.pid).context(call::USAGE)?;
        Ok(MemoryReading {
            resident_kb: task.resident_bytes / 1024,
            virtual_kb: task.virtual_bytes / 1024,
            footprint_kb: Some(usage.footprint_bytes / 1024),
            at_ns: Self::monotonic_ns(),
        })
    }

    fn tasks(&self) -> Result<TasksReading> {
        let ids = L::thread_ids(self.pid).context(call::THREAD_IDS)?;
        // A thread may end between any two calls: then it is not there. An error of all of them is the call's.
        let mut refused = None;
        let tasks: Vec<TaskReading> = ids
            .into_iter()
            .filter_map(|tid| {
                let info = L::thread_info(self.pid, tid)
                    .map_err(|error| refused = Some(error))
                    .ok()?;
                Some(TaskReading {
                    tid,
                    name: info.name,
                    cpu_ns: Some(info.cpu_ns),
                    waited_ns: None,
                })
            })
            .collect();
        if let (true, Some(error)) = (tasks.is_empty(), refused) {
            return Err(error).context(call::THREAD_INFO);
        }
        Ok(TasksReading {
            tasks,
            waited_ns: self.waited_ns(),
            port_names: L::ipc_table(self.pid).ok().map(IpcTable::names_in_use),
            at_ns: Self::monotonic_ns(),
        })
    }

    fn own_pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }
}

impl<L: Libproc> Observed<L> {
    /// The time in which threads were runnable and did not run.
    fn waited_ns(&self) -> Option<u64> {
        let usage = L::usage(self.pid).ok()?;
        let waited = usage.runnable_ticks.saturating_sub(usage.cpu_ticks);
        (usage.runnable_ticks > 0).then(|| self.timebase.ns(waited))
    }
}

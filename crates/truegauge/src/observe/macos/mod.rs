//! A process seen through libproc, by somebody else.

mod sys;

use std::io;

use anyhow::{Context, Result};
use rustix::process::{Resource, Signal, getrlimit};
use xshell::{Shell, cmd};

use super::resource_counts::{Count, ResourceCounts};
use super::series::{ClockReading, MemoryReading, TaskReading, TasksReading};
use super::ticks::Timebase;
use super::{Observer, SignalHandlers};

/// The table's first entry is never a name; this is what top prints as #PORTS.
fn names_in_use(table: sys::IpcTable) -> u32 {
    table.size.saturating_sub(table.free).saturating_sub(1)
}

/// The call that gives CPU times and the footprint, as errors name it.
const RUSAGE: &str = "proc_pid_rusage(RUSAGE_INFO_V4)";

/// The observed process.
pub(super) struct Process {
    pid: i32,
    timebase: Timebase,
    started_ns: u64,
}

impl Observer for Process {
    /// The shared monotonic clock.
    fn monotonic_ns() -> u64 {
        sys::uptime_ns()
    }

    /// What a process holds, as far as another process of the same user is told.
    fn resource_counts(pid: u32) -> ResourceCounts {
        let count = |read: fn(i32) -> io::Result<u64>| -> Option<Count> {
            let pid = i32::try_from(pid).map_err(|error| error.to_string());
            Some(pid.and_then(|pid| read(pid).map_err(|error| error.to_string())))
        };
        ResourceCounts {
            descriptors: count(|pid| Ok(sys::descriptors(pid)? as u64)),
            // Another process's is not told; it has ours, which it was started with.
            descriptor_limit: count(|_| Ok(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))),
            threads: count(|pid| u64::try_from(sys::task_info(pid)?.pti_threadnum).map_err(io::Error::other)),
            mappings: None,
            port_names: count(|pid| sys::ipc_table(pid).map(names_in_use).map(u64::from)),
            rss_kb: count(|pid| Ok(sys::task_info(pid)?.pti_resident_size / 1024)),
            vm_size_kb: count(|pid| Ok(sys::task_info(pid)?.pti_virtual_size / 1024)),
            footprint_kb: count(|pid| Ok(sys::rusage(pid)?.ri_phys_footprint / 1024)),
        }
    }

    fn parent(pid: u32) -> Option<u32> {
        Some(sys::bsd_info(i32::try_from(pid).ok()?).ok()?.pbi_ppid)
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

    fn open(pid: u32) -> Result<Self> {
        let pid = i32::try_from(pid)?;
        let sh = Shell::new()?;
        let translated = cmd!(sh, "sysctl -n sysctl.proc_translated")
            .quiet()
            .ignore_stderr()
            .read();
        let (numer, denom) = sys::timebase()?;
        let timebase = Timebase::new(numer, denom, translated.is_ok_and(|answer| answer.trim() == "1"))?;
        let usage = sys::rusage(pid).context(RUSAGE)?;
        Ok(Self {
            pid,
            timebase,
            started_ns: timebase.ns(usage.ri_proc_start_abstime),
        })
    }

    fn started_ns(&self) -> u64 {
        self.started_ns
    }

    fn cpu_source(&self) -> &'static str {
        "proc_pid_rusage(RUSAGE_INFO_V4); tasks: proc_pidinfo(PROC_PIDTHREADID64INFO)"
    }

    /// The process's CPU clock: living and ended threads, in mach ticks (`bsd/kern/kern_resource.c`, `gather_rusage_info`).
    fn clock(&self) -> Result<ClockReading> {
        let usage = sys::rusage(self.pid).context(RUSAGE)?;
        let cpu_ns = self.timebase.ns(usage.ri_user_time + usage.ri_system_time);
        Ok(ClockReading {
            at_ns: Self::monotonic_ns(),
            cpu_ns,
        })
    }

    fn memory(&self) -> Result<MemoryReading> {
        let task = sys::task_info(self.pid).context("proc_pidinfo(PROC_PIDTASKINFO)")?;
        let usage = sys::rusage(self.pid).context(RUSAGE)?;
        Ok(MemoryReading {
            resident_kb: task.pti_resident_size / 1024,
            virtual_kb: task.pti_virtual_size / 1024,
            footprint_kb: Some(usage.ri_phys_footprint / 1024),
            at_ns: Self::monotonic_ns(),
        })
    }

    fn tasks(&self) -> Result<TasksReading> {
        let ids = sys::thread_ids(self.pid).context("proc_pidinfo(PROC_PIDLISTTHREADIDS)")?;
        // A thread may end between any two calls: then it is not there. An error of all of them is the call's.
        let mut refused = None;
        let tasks: Vec<TaskReading> = ids
            .into_iter()
            .filter_map(|tid| {
                let info = sys::thread_info(self.pid, tid)
                    .map_err(|error| refused = Some(error))
                    .ok()?;
                let name: Vec<u8> = info
                    .pth_name
                    .iter()
                    .map(|c| *c as u8)
                    .take_while(|byte| *byte != 0)
                    .collect();
                Some(TaskReading {
                    tid,
                    name: String::from_utf8_lossy(&name).into_owned(),
                    // In ns, whatever the timebase.
                    cpu_ns: Some(info.pth_user_time + info.pth_system_time),
                    waited_ns: None,
                })
            })
            .collect();
        if let (true, Some(error)) = (tasks.is_empty(), refused) {
            return Err(error).context("proc_pidinfo(PROC_PIDTHREADID64INFO)");
        }
        Ok(TasksReading {
            tasks,
            waited_ns: self.waited_ns(),
            port_names: sys::ipc_table(self.pid).ok().map(names_in_use),
            at_ns: Self::monotonic_ns(),
        })
    }

    fn own_pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }
}

impl Process {
    /// The time in which threads were runnable and did not run. `ri_runnable_time` counts both, in mach ticks
    /// (`osfmk/kern/task.c`, `task_power_info_locked`, adds up each thread's `runnable_timer`).
    fn waited_ns(&self) -> Option<u64> {
        let usage = sys::rusage(self.pid).ok()?;
        let ran = usage.ri_user_time + usage.ri_system_time;
        (usage.ri_runnable_time > 0).then(|| self.timebase.ns(usage.ri_runnable_time.saturating_sub(ran)))
    }
}

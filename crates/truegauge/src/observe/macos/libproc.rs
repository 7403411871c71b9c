//! The system calls of the macOS observer, as a contract: the system answers on a Mac, a model in tests on every platform.

use std::io;

/// Resident and virtual size in bytes, and the number of threads (`proc_pidinfo`, `PROC_PIDTASKINFO`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::observe) struct TaskInfo {
    pub(in crate::observe) resident_bytes: u64,
    pub(in crate::observe) virtual_bytes: u64,
    pub(in crate::observe) threads: i32,
}

/// One thread (`PROC_PIDTHREADID64INFO`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::observe) struct ThreadInfo {
    pub(in crate::observe) name: String,
    /// User and system time in ns, whatever the timebase.
    pub(in crate::observe) cpu_ns: u64,
}

/// The table of port names (`struct proc_ipctableinfo`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::observe) struct IpcTable {
    pub(in crate::observe) size: u32,
    pub(in crate::observe) free: u32,
}

impl IpcTable {
    /// The table's first entry is never a name. `top` prints this as #PORTS.
    pub(in crate::observe) fn names_in_use(self) -> u32 {
        self.size.saturating_sub(self.free).saturating_sub(1)
    }
}

/// `proc_pid_rusage`, `RUSAGE_INFO_V4`; times in mach ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::observe) struct Usage {
    /// User and system time of living and ended threads (`bsd/kern/kern_resource.c`, `gather_rusage_info`).
    pub(in crate::observe) cpu_ticks: u64,
    /// The time in which threads ran or could have run (`osfmk/kern/task.c`, `task_power_info_locked`).
    pub(in crate::observe) runnable_ticks: u64,
    pub(in crate::observe) started_ticks: u64,
    pub(in crate::observe) footprint_bytes: u64,
}

/// The calls. Each may be refused.
pub(in crate::observe) trait Libproc: Send + 'static {
    fn task_info(pid: i32) -> io::Result<TaskInfo>;
    fn parent(pid: i32) -> io::Result<u32>;
    fn thread_ids(pid: i32) -> io::Result<Vec<u64>>;
    fn thread_info(pid: i32, tid: u64) -> io::Result<ThreadInfo>;
    fn ipc_table(pid: i32) -> io::Result<IpcTable>;
    /// The number of open descriptors.
    fn descriptors(pid: i32) -> io::Result<usize>;
    fn usage(pid: i32) -> io::Result<Usage>;
    /// Ns per mach tick, as a fraction. Wrong under Rosetta, where it is 1/1.
    fn timebase() -> io::Result<(u32, u32)>;
    /// Whether Rosetta translates this process.
    fn is_translated() -> bool;
    /// `mach_absolute_time` in ns (`CLOCK_UPTIME_RAW`): the clock that the kernel stamps a process's start with.
    fn uptime_ns() -> u64;
}

/// The names of the calls, as errors and the preflight table give them.
pub(in crate::observe) mod call {
    pub(in crate::observe) const TASK_INFO: &str = "proc_pidinfo(PROC_PIDTASKINFO)";
    pub(in crate::observe) const BSD_INFO: &str = "proc_pidinfo(PROC_PIDTBSDINFO)";
    pub(in crate::observe) const THREAD_IDS: &str = "proc_pidinfo(PROC_PIDLISTTHREADIDS)";
    pub(in crate::observe) const THREAD_INFO: &str = "proc_pidinfo(PROC_PIDTHREADID64INFO)";
    pub(in crate::observe) const IPC_TABLE: &str = "proc_pidinfo(PROC_PIDIPCTABLEINFO)";
    pub(in crate::observe) const DESCRIPTORS: &str = "proc_pidinfo(PROC_PIDLISTFDS)";
    pub(in crate::observe) const USAGE: &str = "proc_pid_rusage(RUSAGE_INFO_V4)";
    pub(in crate::observe) const TIMEBASE: &str = "mach_timebase_info";
}

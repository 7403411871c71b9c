//! macOS: Mach calls on the own task.
//!
//! | module | what it does |
//! |---|---|
//! | `kernel` | the calls, as a trait, undecoded |
//! | `xnu` | the trait on the real system: all unsafe code |
//! | `rights` | gives back what a call handed out, exactly once |
//! | `cpu` | process CPU; why `MACH_TASK_BASIC_INFO` alone is wrong |
//! | `threads`, `memory` | the other figures |
//! | `census` | what the process holds |
//!
//! Everything but `xnu` is compiled for tests on every platform, where a model kernel (`mach-model`) answers.

mod census;
mod cpu;
mod kernel;
mod memory;
mod rights;
mod threads;
#[cfg(target_os = "macos")]
mod xnu;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::OnceLock;

use self::cpu::Source;
use self::kernel::Kernel;
use crate::snapshot::{CpuReading, Snapshot};
use crate::stamp;
use crate::uptime::uptime;

#[cfg(target_os = "macos")]
pub(crate) fn snapshot() -> Result<Snapshot, String> {
    static CPU_SOURCE: OnceLock<Source> = OnceLock::new();
    take(&xnu::Xnu, &CPU_SOURCE)
}

#[cfg(target_os = "macos")]
pub(crate) fn census() -> crate::Census {
    census::take(&xnu::Xnu)
}

/// What `read` reads, and when.
fn stamped<T>(kernel: &dyn Kernel, read: impl Fn() -> T) -> (T, u64) {
    let Ok(stamped) = stamp::stamped(|| Ok::<_, Infallible>(kernel.monotonic_ns()), || Ok(read()));
    stamped
}

/// A running thread's counters move when it leaves its processor or its time slice ends, every 10 ms.
const CPU_LAG_NS: u64 = 10_000_000;

fn take(kernel: &dyn Kernel, cpu_source: &OnceLock<Source>) -> Result<Snapshot, String> {
    let listed_at_ns = kernel.monotonic_ns();
    let threads = threads::read(kernel)?;
    // After the threads' clocks, so that the process's never lags behind their sum.
    let (process_cpu, at_ns) = stamped(kernel, || cpu::process_cpu_ns(kernel, cpu_source));
    let process_cpu = process_cpu.map(|cpu_ns| CpuReading { cpu_ns, at_ns });
    let memory = memory::read(kernel);
    Ok(Snapshot {
        listed_at_ns,
        threads,
        process_cpu,
        cpu_lag_ns: CPU_LAG_NS,
        rss_kb: memory.rss_kb,
        vm_size_kb: memory.vm_size_kb,
        footprint_kb: Some(memory.footprint_kb),
        uptime: uptime(),
    })
}

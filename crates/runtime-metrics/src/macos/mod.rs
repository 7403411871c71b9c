//! macOS: Mach calls on the own task.
//!
//! | module | what it does |
//! |---|---|
//! | `kernel` | the calls, as a trait, undecoded |
//! | `xnu` | the trait on the real system: all unsafe code |
//! | `rights` | gives back what a call handed out, exactly once |
//! | `cpu` | process CPU; why `MACH_TASK_BASIC_INFO` alone is wrong |
//! | `threads`, `memory` | the other figures |
//! | `resource_counts` | what the process holds |
//!
//! Everything but `xnu` is compiled for tests on every platform, where a model kernel (`mach-model`) answers.

mod cpu;
mod kernel;
mod memory;
mod resource_counts;
mod rights;
mod threads;
#[cfg(target_os = "macos")]
mod xnu;

#[cfg(all(target_os = "macos", feature = "fault-injection"))]
pub(crate) use xnu::mach_port_names;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::OnceLock;

use self::cpu::Source;
use self::kernel::Kernel;
use self::threads::Listed;
#[cfg(target_os = "macos")]
use crate::backend::Backend;
use crate::backend::Window;
use crate::snapshot::{CpuReading, EndReadings, Snapshot};
use crate::stamp::{self, Stamp};
use crate::uptime::uptime;

/// Keeps memory between samples, to be used again. Rights to ports are held only during a sample.
pub(crate) struct MacOs {
    before: Snapshot,
    after: Snapshot,
}

#[cfg(target_os = "macos")]
impl Backend for MacOs {
    fn new() -> Self {
        Self::empty()
    }

    fn read_window(&mut self, pause: impl FnOnce()) -> Result<Window<'_>, String> {
        static CPU_SOURCE: OnceLock<Source> = OnceLock::new();
        self.window_of(&xnu::Xnu, &CPU_SOURCE, pause)
    }

    fn resource_counts() -> crate::ResourceCounts {
        resource_counts::count(&xnu::Xnu)
    }
}

impl MacOs {
    fn empty() -> Self {
        Self {
            before: Snapshot::empty(),
            after: Snapshot::empty(),
        }
    }

    /// [`Backend::read_window`] on any kernel.
    fn window_of(
        &mut self,
        kernel: &dyn Kernel,
        cpu_source: &OnceLock<Source>,
        pause: impl FnOnce(),
    ) -> Result<Window<'_>, String> {
        let listed = take(kernel, cpu_source, &Listed::nothing(), &mut self.before)?;
        pause();
        drop(take(kernel, cpu_source, &listed, &mut self.after)?);
        drop(listed);
        let memory = memory::read(kernel);
        Ok(Window {
            before: &self.before,
            after: &self.after,
            end: EndReadings {
                rss_kb: memory.rss_kb,
                vm_size_kb: memory.vm_size_kb,
                footprint_kb: Some(memory.footprint_kb),
                uptime: uptime(),
            },
        })
    }
}

/// The result of `read`, and the time of the reading.
fn stamped<T>(kernel: &dyn Kernel, read: impl Fn() -> T) -> (T, Stamp) {
    let Ok(stamped) = stamp::stamped(|| Ok::<_, Infallible>(kernel.monotonic_ns()), || Ok(read()));
    stamped
}

/// A running thread's counters move when it leaves its processor or its time slice ends, every 10 ms.
const CPU_LAG_NS: u64 = 10_000_000;

/// Reads the clocks; `earlier` is the listing of the snapshot before this one, whose rights are still held.
fn take<'k>(
    kernel: &'k dyn Kernel,
    cpu_source: &OnceLock<Source>,
    earlier: &Listed<'_>,
    snapshot: &mut Snapshot,
) -> Result<Listed<'k>, String> {
    snapshot.listed_at_ns = kernel.monotonic_ns();
    snapshot.cpu_lag_ns = CPU_LAG_NS;
    let listed = Listed::read(kernel, earlier, &mut snapshot.threads)?;
    // After the threads' clocks, so that the process's never lags behind their sum.
    let (process_cpu, stamp) = stamped(kernel, || cpu::process_cpu_ns(kernel, cpu_source));
    snapshot.process_cpu = process_cpu.map(|cpu_ns| CpuReading {
        cpu_ns,
        at_ns: stamp.middle_ns(),
    });
    snapshot.sort_by_tid();
    Ok(listed)
}

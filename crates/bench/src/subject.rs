//! A subject of the measurements: something that samples this process.

use std::time::Duration;

use anyhow::Result;

use crate::clock::{monotonic_ns, own_cpu_ns};

/// Something that samples this process: two snapshots, a window apart, and their difference.
pub(crate) trait Subject {
    fn sample(&mut self, window: Duration) -> Result<Sampled>;

    /// The last sample's figures: CPU in percent of a core, by tid.
    fn percents(&self) -> Vec<(u64, f64)>;
}

/// Cost and time of a sample.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sampled {
    /// CPU time of the thread that sampled: the window, which it slept, is not in it.
    pub(crate) cost_ns: u64,
    /// When the call began and returned, on the monotonic clock.
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
}

/// Measures `sample` on the calling thread.
pub(crate) fn timed(sample: impl FnOnce() -> Result<()>) -> Result<Sampled> {
    let (start_ns, cpu_ns) = (monotonic_ns(), own_cpu_ns());
    sample()?;
    let (cost_ns, end_ns) = (own_cpu_ns() - cpu_ns, monotonic_ns());
    Ok(Sampled {
        cost_ns,
        start_ns,
        end_ns,
    })
}

/// One row of the tables.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    /// True if it reports the threads' CPU; the floor only costs.
    pub(crate) has_figures: bool,
    /// True if it is part of this process and starts with it.
    pub(crate) in_process: bool,
    pub(crate) start: fn() -> Result<Box<dyn Subject>>,
}

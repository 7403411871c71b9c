//! What is measured: runtime-metrics itself, the floor, and others.

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use runtime_metrics::{RuntimeMetrics, Sampler};

use crate::clock::{monotonic_ns, own_cpu_ns, thread_cpu_ns};

/// Something that samples this process: two snapshots, a window apart, and their difference.
pub(crate) trait Subject {
    fn sample(&mut self, window: Duration) -> Result<Sampled>;

    /// What the last sample said: CPU in percent of a core, by tid.
    fn percents(&self) -> Vec<(u64, f64)>;
}

/// What a sample took.
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
    /// Whether it says what threads used, rather than only costing.
    pub(crate) has_figures: bool,
    /// Whether it is part of this process, and begins when the process does.
    pub(crate) in_process: bool,
    pub(crate) start: fn() -> Result<Box<dyn Subject>>,
}

/// Ours first and the floor last.
pub(crate) fn entries() -> Vec<Entry> {
    let mut entries = vec![Entry {
        name: OURS,
        has_figures: true,
        in_process: true,
        start: || Ok(Box::new(Ours::default())),
    }];
    #[cfg(feature = "peers")]
    entries.extend(crate::peers::entries());
    entries.push(Entry {
        name: FLOOR,
        has_figures: false,
        in_process: true,
        start: || Ok(Box::new(Floor::start()?)),
    });
    entries
}

pub(crate) const OURS: &str = "runtime-metrics";
pub(crate) const FLOOR: &str = "floor";

pub(crate) fn start(name: &str) -> Result<Box<dyn Subject>> {
    let entry = entries().into_iter().find(|entry| entry.name == name);
    (entry
        .with_context(|| format!("nothing of the name {name:?} is measured"))?
        .start)()
}

#[derive(Default)]
struct Ours {
    sampler: Sampler,
    metrics: Option<RuntimeMetrics>,
}

impl Subject for Ours {
    fn sample(&mut self, window: Duration) -> Result<Sampled> {
        let Self { sampler, metrics } = self;
        let sampled = timed(|| {
            match metrics {
                Some(metrics) => sampler.sample_into(window, metrics),
                None => *metrics = Some(sampler.sample(window)),
            }
            Ok(())
        })?;
        if let Some(RuntimeMetrics::Unavailable(unavailable)) = metrics {
            bail!("{}", unavailable.reason);
        }
        Ok(sampled)
    }

    fn percents(&self) -> Vec<(u64, f64)> {
        let report = self.metrics.as_ref().and_then(RuntimeMetrics::available);
        let threads = report.into_iter().flat_map(|report| &report.threads);
        threads
            .filter_map(|thread| Some((thread.tid, thread.cpu_percent?)))
            .collect()
    }
}

/// Reads the CPU clock of every thread twice, and does nothing else: not even learn which threads there are.
struct Floor(Vec<u32>);

impl Floor {
    fn start() -> Result<Self> {
        let tasks = std::fs::read_dir("/proc/self/task")?;
        let tid =
            |task: std::io::Result<std::fs::DirEntry>| Ok(task?.file_name().to_string_lossy().parse()?);
        Ok(Self(tasks.map(tid).collect::<Result<_>>()?))
    }
}

impl Subject for Floor {
    fn sample(&mut self, window: Duration) -> Result<Sampled> {
        let read_all = || {
            for tid in &self.0 {
                black_box(thread_cpu_ns(*tid));
            }
        };
        timed(|| {
            read_all();
            thread::sleep(window);
            read_all();
            Ok(())
        })
    }

    fn percents(&self) -> Vec<(u64, f64)> {
        Vec::new()
    }
}

//! The subjects of the tables: runtime-metrics, its peers, and the floor.

use std::hint::black_box;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use runtime_metrics::{RuntimeMetrics, Sampler};

use crate::clock::thread_cpu_ns;
use crate::subject::{Entry, Sampled, Subject, timed};

/// All subjects, runtime-metrics first and the floor last.
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

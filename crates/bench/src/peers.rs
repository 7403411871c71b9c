//! The peers. Each is used as its documentation says and reads the figures of a runtime-metrics sample: CPU and name of every
//! thread, CPU and memory of the process.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use shakenfist_spice_renderer::metrics::{self, RuntimeMetrics};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::psutil::Psutil;
use crate::subject::{Entry, Sampled, Subject, timed};

pub(crate) const PUBLISHED: &str = "shakenfist-spice-renderer 0.3.0";

pub(crate) fn entries() -> Vec<Entry> {
    let entry = |name, start| Entry {
        name,
        has_figures: true,
        in_process: true,
        start,
    };
    vec![
        entry(PUBLISHED, || Ok(Box::new(Published(None)))),
        entry("sysinfo 0.38", || Ok(Box::new(Sysinfo::start()?))),
        entry("procfs 0.18", || Ok(Box::new(Procfs::default()))),
        Entry {
            in_process: false,
            ..entry("psutil 7", || Ok(Box::new(Psutil::start()?)))
        },
    ]
}

/// The published client's sampling for its bug reports.
struct Published(Option<RuntimeMetrics>);

impl Subject for Published {
    fn sample(&mut self, window: Duration) -> Result<Sampled> {
        timed(|| {
            self.0 = Some(metrics::sample(window));
            Ok(())
        })
    }

    fn percents(&self) -> Vec<(u64, f64)> {
        match &self.0 {
            Some(RuntimeMetrics::Linux { threads, .. }) => threads
                .iter()
                .map(|thread| (thread.tid, thread.cpu_percent))
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// A `System` that is kept, as its documentation asks.
struct Sysinfo {
    system: System,
    own: Pid,
}

impl Sysinfo {
    fn start() -> Result<Self> {
        let own = sysinfo::get_current_pid().map_err(anyhow::Error::msg)?;
        Ok(Self {
            system: System::new(),
            own,
        })
    }

    /// All processes of the system: it reads the threads of a single one as if each were the whole process.
    fn refresh(&mut self) {
        let what = ProcessRefreshKind::nothing()
            .with_cpu()
            .with_memory()
            .with_tasks();
        self.system
            .refresh_processes_specifics(ProcessesToUpdate::All, true, what);
    }

    /// All but the main thread's.
    fn tids(&self) -> impl Iterator<Item = Pid> {
        let process = self.system.process(self.own);
        let tasks = process.and_then(sysinfo::Process::tasks);
        tasks.into_iter().flatten().copied()
    }
}

impl Subject for Sysinfo {
    fn sample(&mut self, window: Duration) -> Result<Sampled> {
        timed(|| {
            self.refresh();
            thread::sleep(window);
            self.refresh();
            Ok(())
        })
    }

    fn percents(&self) -> Vec<(u64, f64)> {
        let percent = |tid: Pid| {
            let thread = self.system.process(tid)?;
            Some((tid.as_u32().into(), thread.cpu_usage().into()))
        };
        self.tids().filter_map(percent).collect()
    }
}

/// The usual code on top of procfs: the threads' ticks before and after.
#[derive(Default)]
struct Procfs(Vec<(u64, f64, String)>);

impl Subject for Procfs {
    fn sample(&mut self, window: Duration) -> Result<Sampled> {
        let Self(threads) = self;
        timed(|| {
            let before = ticks()?;
            let started = std::time::Instant::now();
            thread::sleep(window);
            let after = ticks()?;
            let seconds = started.elapsed().as_secs_f64();
            let before: HashMap<i32, u64> = before.into_iter().map(|(tid, ticks, _)| (tid, ticks)).collect();
            let ticks_per_second = procfs::ticks_per_second() as f64;
            let used = |(tid, ticks, name): (i32, u64, String)| {
                let ticks = ticks - before.get(&tid).copied().unwrap_or(ticks);
                let percent = ticks as f64 / ticks_per_second / seconds * 100.0;
                (tid.unsigned_abs().into(), percent, name)
            };
            *threads = after.into_iter().map(used).collect();
            let process = procfs::process::Process::myself()?;
            let (_statm, _stat) = (process.statm()?, process.stat()?);
            Ok(())
        })
    }

    fn percents(&self) -> Vec<(u64, f64)> {
        self.0.iter().map(|(tid, percent, _)| (*tid, *percent)).collect()
    }
}

fn ticks() -> Result<Vec<(i32, u64, String)>> {
    let mut threads = Vec::new();
    for task in procfs::process::Process::myself()?.tasks()? {
        let stat = task?.stat().context("stat")?;
        threads.push((stat.pid, stat.utime + stat.stime, stat.comm));
    }
    if threads.is_empty() {
        bail!("no threads");
    }
    Ok(threads)
}

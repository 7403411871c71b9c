//! The threads of the process that is sampled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::clock::own_cpu_ns;

/// The threads' activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Activity {
    /// Percentage of the threads that work a little in every window.
    pub(crate) percent: usize,
    /// Sleep between two bursts.
    pub(crate) pause: Duration,
}

impl Activity {
    pub(crate) const IDLE: Self = Self {
        percent: 0,
        pause: Duration::MAX,
    };
}

/// Threads that end with it.
pub(crate) struct Population {
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Population {
    /// Until the process has `threads` threads, the calling one among them.
    pub(crate) fn start(threads: usize, activity: Activity) -> Result<Self> {
        let end = Arc::new(AtomicBool::new(false));
        let started = Arc::new(AtomicUsize::new(0));
        let mut population = Self {
            end: Arc::clone(&end),
            threads: Vec::new(),
        };
        for nth in 1..threads {
            let works = nth * activity.percent / 100 > (nth - 1) * activity.percent / 100;
            let (end, started) = (Arc::clone(&end), Arc::clone(&started));
            let run = move || {
                started.fetch_add(1, Relaxed);
                while !end.load(Relaxed) {
                    if works {
                        work();
                        thread::park_timeout(activity.pause);
                    } else {
                        thread::park();
                    }
                }
            };
            let builder = thread::Builder::new()
                .name(format!("worker-{nth}"))
                .stack_size(1 << 16);
            let thread = builder
                .spawn(run)
                .with_context(|| format!("thread {nth} of {threads}"))?;
            population.threads.push(thread);
        }
        while started.load(Relaxed) < threads - 1 {
            thread::sleep(Duration::from_millis(1));
        }
        // Until those that were counted have gone to sleep.
        thread::sleep(Duration::from_millis(50));
        Ok(population)
    }
}

/// 20 µs of it.
fn work() {
    let until_ns = own_cpu_ns() + 20_000;
    while own_cpu_ns() < until_ns {}
}

impl Drop for Population {
    fn drop(&mut self) {
        self.end.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            // A panic has been reported where it happened.
            let _ = thread.join();
        }
    }
}

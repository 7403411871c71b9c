//! A process that only samples itself on request: every resource that it gains was leaked by sampling.
//!
//! The soak drives it. Requests arrive on standard input and answers leave on standard output, one JSON object a line, as
//! on the control socket of `headless-client`. The process ends at end-of-file.
//!
//! ```text
//! → {"id": 1, "method": "sample", "params": {"count": 200}}          takes 200 samples, beside parked threads
//! → {"id": 2, "method": "thread_churn", "params": {"count": 50}}     50 times: spawns a thread, samples, joins it
//! → {"id": 3, "method": "resource_counts"}                       or "metrics", one sample's report
//! ← {"id": 3, "ok": true, "result": {…}}
//! ```
//!
//! `sampling_process` is the subject; `leaking_process` is the same program built with fault injection, the positive
//! control: `RUNTIME_METRICS_FAULT` names its leak.

use std::io::{self, BufRead, Write};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use runtime_metrics::{RuntimeMetrics, resource_counts, sample};
use serde_json::{Value, json};

/// As many as a real session has.
const PARKED_THREADS: usize = 12;

/// Long enough for a share of CPU.
const METRICS_WINDOW: Duration = Duration::from_millis(100);

/// Duration of a thread's first wait.
const FIRST_PARK: Duration = Duration::from_millis(1);

/// The kernel may take so long to remove threads that were joined.
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves requests until end-of-file.
///
/// # Errors
///
/// Fails if a line is not JSON, or if the pipes break.
pub fn run() -> io::Result<()> {
    runtime_metrics::init_at_startup();
    park_once();
    let _parked: Vec<_> = (0..PARKED_THREADS).map(|_| spawn_parked()).collect();
    for line in io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let count = request["params"]["count"].as_u64().unwrap_or(1);
        let answer = match request["method"].as_str() {
            Some("sample") => take_samples(count),
            Some("thread_churn") => churn_threads(count),
            Some("resource_counts") => Ok(json!(resource_counts())),
            Some("metrics") => Ok(json!(sample(METRICS_WINDOW))),
            _ => Err("the methods are sample, thread_churn, resource_counts and metrics".to_owned()),
        };
        let id = &request["id"];
        let answer = match answer {
            Ok(result) => json!({"id": id, "ok": true, "result": result}),
            Err(message) => {
                json!({"id": id, "ok": false, "error": {"code": "bad_request", "message": message}})
            }
        };
        writeln!(io::stdout(), "{answer}")?;
    }
    Ok(())
}

fn take_samples(count: u64) -> Result<Value, String> {
    for _ in 0..count {
        if let RuntimeMetrics::Unavailable(unavailable) = sample(Duration::ZERO) {
            return Err(unavailable.reason);
        }
    }
    Ok(json!({"count": count}))
}

/// A right to a thread that was listed and then ended is easily left unreleased.
fn churn_threads(count: u64) -> Result<Value, String> {
    let before = resource_counts().threads;
    for _ in 0..count {
        let (unpark, thread) = spawn_parked();
        take_samples(1)?;
        drop(unpark);
        thread.join().map_err(|_| "a parked thread panicked")?;
    }
    // A thread can be joined before the kernel has removed it. A thread that stays shows in the next resource counts.
    let deadline = Instant::now() + EXIT_TIMEOUT;
    while resource_counts().threads != before && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(json!({"count": count}))
}

/// Waits for the first time. On macOS a thread's first wait creates a semaphore, which has a port name
/// (`library/std/src/sys/sync/thread_parking/darwin.rs`, libdispatch's `_dispatch_semaphore_wait_slow`). Nothing can
/// unpark the thread before it has waited.
fn park_once() {
    thread::park_timeout(FIRST_PARK);
}

/// Spawns a thread that waits until the sender is dropped, and returns once the thread has run and waited. A thread maps
/// memory when it starts (its signal stack, an arena) and takes a name when it first waits; it must not do so between two
/// counts.
fn spawn_parked() -> (Sender<()>, JoinHandle<()>) {
    let (unpark, parked) = channel::<()>();
    let (started, starts) = channel();
    let wait = move || {
        park_once();
        let _ = started.send(());
        // Nothing is ever sent: dropping the sender ends the wait.
        let _ = parked.recv();
    };
    let thread = thread::spawn(wait);
    let _ = starts.recv();
    (unpark, thread)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// How often the calling thread has waited.
    fn waits() -> u64 {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("the thread's status");
        let count = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count.expect("a line of it").trim().parse().expect("a number")
    }

    #[test]
    fn a_first_park_waits_for_real() {
        // A thread that loses its processor for as long just before it waits does not wait.
        let waited = |_| {
            let before = waits();
            park_once();
            waits() > before
        };
        assert!((0..100).any(waited));
    }
}

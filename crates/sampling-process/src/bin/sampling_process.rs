//! A process that does nothing but sample itself when told to: whatever it gains, sampling has leaked.
//!
//! `cargo xtask soak` drives it. Requests come on standard input, answers go to standard output, one JSON object a line,
//! as on the control socket of `headless-client`; at end-of-file it ends.
//!
//! ```text
//! → {"id": 1, "method": "sample", "params": {"count": 200}}      samples, beside threads that are parked
//! → {"id": 2, "method": "births", "params": {"count": 50}}       so often: spawn a thread, sample, join it
//! → {"id": 3, "method": "census"}
//! ← {"id": 3, "ok": true, "result": {…}}
//! ```

use std::io::{self, BufRead, Write};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use runtime_metrics::{RuntimeMetrics, census, sample};
use serde_json::{Value, json};

/// As many as a real session has.
const PARKED: usize = 12;

/// How long the system may take to be rid of threads that were joined.
const SETTLE: Duration = Duration::from_secs(10);

pub(crate) fn main() -> io::Result<()> {
    runtime_metrics::init_at_startup();
    let _parked: Vec<_> = (0..PARKED).map(|_| park()).collect();
    for line in io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let count = request["params"]["count"].as_u64().unwrap_or(1);
        let answer = match request["method"].as_str() {
            Some("sample") => samples(count),
            Some("births") => births(count),
            Some("census") => Ok(json!(census())),
            _ => Err("the methods are sample, births and census".to_owned()),
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

fn samples(count: u64) -> Result<Value, String> {
    for _ in 0..count {
        if let RuntimeMetrics::Unavailable(unavailable) = sample(Duration::ZERO) {
            return Err(unavailable.reason);
        }
    }
    Ok(json!({"count": count}))
}

/// A thread that was listed and then ended is where a right to it would be left behind.
fn births(count: u64) -> Result<Value, String> {
    let before = census().threads;
    for _ in 0..count {
        let (unpark, thread) = park();
        samples(1)?;
        drop(unpark);
        thread.join().map_err(|_| "a parked thread panicked")?;
    }
    // Joining comes before the system has taken the thread away. One that never goes is for whoever compares
    // censuses to see.
    let deadline = Instant::now() + SETTLE;
    while census().threads != before && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(json!({"count": count}))
}

/// A thread that waits until the sender goes. It has begun to: what a thread maps when it starts (its signal stack, an arena),
/// it maps now, and not in mid-count when a busy machine gets round to it.
fn park() -> (Sender<()>, JoinHandle<()>) {
    let (unpark, parked) = channel::<()>();
    let (begun, begins) = channel();
    let wait = move || {
        let _ = begun.send(());
        // Nothing is ever sent: the end of the sender is what is waited for.
        let _ = parked.recv();
    };
    let thread = thread::spawn(wait);
    let _ = begins.recv();
    (unpark, thread)
}

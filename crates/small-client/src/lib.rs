//! A client without SPICE and without an asynchronous runtime, which files a bug report on each SIGUSR1.
//!
//! `small-client DIR` creates `DIR/ready` once it serves signals, computes while `DIR/busy` exists, writes
//! `DIR/small-client-N.zip`, and exits at end-of-file on standard input. It links against libSystem alone, so that
//! `truegauge verify --profile small-client --client-bin PATH` can run wherever a Mach-O program runs.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use signal_hook::consts::SIGUSR1;
use signal_hook::iterator::Signals;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Parked threads. With the main thread, the reporter and the worker, there are more than the ten that test 6 asks for.
const IDLE_THREADS: usize = 10;

/// Sample window of a report.
const WINDOW: Duration = Duration::from_secs(2);

/// Time for which a busy worker computes, then sleeps, in turn.
const BUSY_INTERVAL: Duration = Duration::from_millis(5);

/// Interval at which an idle worker looks for the file `busy`.
const IDLE_INTERVAL: Duration = Duration::from_millis(20);

/// Changes a report's metrics before they are written.
pub type Edit = fn(&mut Value);

/// Runs the client with the arguments of this process; `edit` changes the metrics of each report.
#[must_use]
pub fn run(edit: Edit) -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let result = match arguments.as_slice() {
        [flag] if flag == "--version" => {
            writeln!(
                io::stdout(),
                "{} {}",
                env!("CARGO_PKG_NAME"),
                env!("CARGO_PKG_VERSION")
            )
        }
        [dir] => serve(Path::new(dir), edit),
        _ => Err(io::Error::other(
            "usage: small-client DIR | small-client --version",
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("small-client: {error}");
            ExitCode::from(2)
        }
    }
}

/// Serves signals until end-of-file on standard input.
fn serve(dir: &Path, edit: Edit) -> io::Result<()> {
    let mut signals = Signals::new([SIGUSR1])?;
    let (started, starts) = channel();
    for n in 1..=IDLE_THREADS {
        let started = started.clone();
        spawn(format!("idle-{n}"), move || {
            let _ = started.send(());
            loop {
                thread::park();
            }
        })?;
    }
    let busy = dir.join("busy");
    spawn("worker".to_owned(), move || work(&busy))?;
    let reports = dir.to_owned();
    spawn("reporter".to_owned(), move || {
        for number in 1.. {
            signals.forever().next();
            if let Err(error) = file_report(&reports, number, edit) {
                eprintln!("small-client: cannot file report {number}: {error}");
            }
        }
    })?;
    starts.iter().take(IDLE_THREADS).for_each(drop);
    let ready = dir.join("ready");
    File::create(&ready).map_err(|error| {
        let message = format!("cannot create {}: {error}", ready.display());
        io::Error::new(error.kind(), message)
    })?;
    io::copy(&mut io::stdin().lock(), &mut io::sink())?;
    Ok(())
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name).spawn(work).map(drop)
}

/// Keeps about half a core busy while the file exists.
fn work(busy: &Path) {
    loop {
        if !busy.exists() {
            thread::sleep(IDLE_INTERVAL);
            continue;
        }
        let begun = Instant::now();
        while begun.elapsed() < BUSY_INTERVAL {
            std::hint::spin_loop();
        }
        thread::sleep(BUSY_INTERVAL);
    }
}

/// Samples, writes the zip under a temporary name, then renames it.
fn file_report(dir: &Path, number: u32, edit: Edit) -> io::Result<()> {
    let triggered = Stamp::now();
    let start = Stamp::now();
    let metrics = runtime_metrics::sample(WINDOW);
    let end = Stamp::now();
    let mut metrics = json!(metrics);
    edit(&mut metrics);
    let metadata = json!({
        "client": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "platform_os": std::env::consts::OS,
        "platform_arch": std::env::consts::ARCH,
        "report_type": "signal",
        "triggered_at": triggered.at,
        "triggered_monotonic_ns": triggered.monotonic_ns,
        "window": {
            "start_monotonic_ns": start.monotonic_ns,
            "end_monotonic_ns": end.monotonic_ns,
            "started_at": start.at,
            "ended_at": end.at,
        },
    });
    let members = [("metadata.json", metadata), ("runtime-metrics.json", metrics)];
    let name = dir.join(format!("small-client-{number}"));
    let (partial, complete) = (name.with_extension("partial"), name.with_extension("zip"));
    write_zip(&partial, &members)?;
    fs::rename(&partial, &complete)
}

fn write_zip(path: &Path, members: &[(&str, Value)]) -> io::Result<()> {
    let mut zip = ZipWriter::new(File::create(path)?);
    for (name, content) in members {
        zip.start_file(*name, SimpleFileOptions::default())?;
        serde_json::to_writer_pretty(&mut zip, content)?;
    }
    zip.finish()?;
    Ok(())
}

/// One instant on the monotonic clock that all processes share, and on the wall clock.
struct Stamp {
    monotonic_ns: i64,
    at: String,
}

impl Stamp {
    fn now() -> Self {
        // On macOS the kernel stamps a process's start with this clock.
        #[cfg(target_vendor = "apple")]
        const CLOCK: ClockId = ClockId::from_raw(nix::libc::CLOCK_UPTIME_RAW);
        #[cfg(not(target_vendor = "apple"))]
        const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;
        let now = clock_gettime(CLOCK).expect("every supported system has this clock");
        Self {
            monotonic_ns: now.tv_sec() * 1_000_000_000 + now.tv_nsec(),
            at: format!("{:.9}", Timestamp::now()),
        }
    }
}

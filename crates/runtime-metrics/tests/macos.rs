//! `sample` on the real system. (That it leaves nothing behind: see `no_leak.rs`.)
#![cfg(target_os = "macos")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use runtime_metrics::{ProcessReport, RuntimeMetrics, init_at_startup, resource_counts, sample};

/// Figures that a system which is only compatible with macOS may lack. It must say so.
const NOT_EVERYWHERE: &[&str] = &["process.footprint_kb"];

const WINDOW: Duration = Duration::from_millis(600);

fn report(window: Duration) -> ProcessReport {
    init_at_startup();
    match sample(window) {
        RuntimeMetrics::Available(report) => report,
        other => panic!("{other:?}"),
    }
}

/// Spins until it is told to stop.
struct Spinner(Arc<AtomicBool>, Option<JoinHandle<()>>);

impl Spinner {
    fn start(name: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let spin = move || {
            while !stopped.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        };
        let handle = thread::Builder::new()
            .name(name.to_owned())
            .spawn(spin)
            .expect("a thread");
        Self(stop, Some(handle))
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        self.1
            .take()
            .expect("dropped once")
            .join()
            .expect("it only spins");
    }
}

/// CPU time of all threads, living and ended.
fn used() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("getrusage");
    [usage.user_time(), usage.system_time()]
        .map(|time| Duration::from_micros(time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64))
        .iter()
        .sum()
}

#[test]
fn test_macos_sample_returns_populated_variant() {
    let _spinner = Spinner::start("spinner");
    let report = report(WINDOW);
    println!("{report:#?}");
    assert_eq!(report.platform, "macos");
    let unexpected: Vec<_> = report
        .missing
        .iter()
        .filter(|(path, _)| !NOT_EVERYWHERE.contains(&path.as_str()))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");

    let process = &report.process;
    let (rss, vm) = (
        process.rss_kb.expect("RSS"),
        process.vm_size_kb.expect("virtual size"),
    );
    assert!(rss > 256 && vm >= rss, "{process:?}");
    assert!(
        process.footprint_kb.is_none_or(|footprint| footprint > 256),
        "{process:?}"
    );
    assert!(
        process
            .uptime_secs
            .is_some_and(|uptime| uptime >= WINDOW.as_secs_f64()),
        "{process:?}"
    );
    assert!(
        process.cpu_percent.is_some_and(|percent| percent > 1.0),
        "a thread spins: {process:?}"
    );

    assert!(report.threads.len() >= 2, "{:?}", report.threads);
    assert!(
        report.threads.is_sorted_by(|one, next| one.tid < next.tid),
        "{:?}",
        report.threads
    );
    let spinner = report
        .threads
        .iter()
        .find(|thread| thread.name.as_deref() == Some("spinner"));
    let percent = spinner
        .and_then(|spinner| spinner.cpu_percent)
        .expect("the spinner has a clock");
    assert!((1.0..=105.0).contains(&percent), "{percent}");
}

#[test]
fn every_resource_is_counted_or_missing_with_a_reason() {
    let counts = resource_counts();
    println!("{counts:#?}");
    let json = serde_json::to_value(&counts).expect("JSON");
    for field in [
        "descriptors",
        "threads",
        "rss_kb",
        "vm_size_kb",
        "footprint_kb",
        "port_names",
        "excess_thread_references",
        "pegged_threads",
        "message_memory_bytes",
        "untagged_memory_bytes",
    ] {
        assert_ne!(
            json.get(field).is_some(),
            counts.missing.contains_key(field),
            "{field}: {json}"
        );
    }
    assert!(counts.threads.is_some_and(|threads| threads >= 2), "{counts:?}");
    assert!(
        counts.descriptors.is_none_or(|descriptors| descriptors >= 1),
        "{counts:?}"
    );
    if let Some(names) = counts.port_names {
        let typed = names.send + names.receive + names.send_receive + names.send_once + names.port_set;
        assert!(
            names.send >= 2 && typed + names.dead_names <= names.total,
            "{names:?}"
        );
    }
}

#[test]
fn the_window_is_the_one_that_was_measured() {
    let start = Instant::now();
    let report = report(WINDOW);
    let most_ms = start.elapsed().as_secs_f64() * 1000.0;
    assert_eq!(report.sample_window_ms, WINDOW.as_millis() as u64);
    let least_ms = WINDOW.as_secs_f64() * 1000.0;
    assert!(
        (least_ms..=most_ms).contains(&report.measured_window_ms),
        "{report:?}"
    );
}

/// Threads that live through the window, end in it and are born in it: a backend that reads only one kind
/// fails.
#[test]
fn process_cpu_is_what_getrusage_says() {
    let through = Spinner::start("through");
    let ends = Spinner::start("ends");
    let changes = thread::spawn(|| {
        thread::sleep(WINDOW / 3);
        drop(ends);
        let born = Spinner::start("born");
        thread::sleep(WINDOW);
        drop(born);
    });
    let (start, used_before) = (Instant::now(), used());
    let report = report(WINDOW);
    let (used, wall) = (used() - used_before, start.elapsed());
    changes.join().expect("it only waits");
    drop(through);

    let percent = report.process.cpu_percent.expect("process CPU");
    let sampled = Duration::from_secs_f64(percent / 100.0 * report.measured_window_ms / 1000.0);
    println!("sampled {sampled:?}, getrusage {used:?} in {wall:?}");
    // The counters of a running thread move every 10 ms, and getrusage's window is a little longer.
    let slack = Duration::from_millis(100) + 4 * wall.saturating_sub(WINDOW);
    assert!(
        sampled + slack >= used && sampled <= used + slack,
        "sampled {sampled:?}, getrusage {used:?}"
    );
    assert!(used > WINDOW / 10, "nothing ran: this judged nothing");
}

//! Snapshots of this very test process, with threads that come and go.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::gettid;

use super::*;
use crate::report::ProcessReport;
use crate::snapshot::{CpuReading, difference};

fn own_tid() -> u64 {
    gettid().as_raw().unsigned_abs().into()
}

/// Spins until the calling thread's clock shows `cpu_ns`; gives what it showed last.
fn spin_for(cpu_ns: u64) -> u64 {
    let tid = own_tid().try_into().expect("a tid");
    loop {
        let spun_ns = clock::thread_cpu_ns(tid).expect("own clock");
        if spun_ns >= cpu_ns {
            return spun_ns;
        }
    }
}

fn cpus() -> u64 {
    thread::available_parallelism().expect("a number of CPUs").get() as u64
}

fn cpu_of(thread: &ThreadReading) -> CpuReading {
    thread.cpu.clone().expect("a thread's clock")
}

fn process_cpu(snapshot: &Snapshot) -> CpuReading {
    snapshot.process_cpu.clone().expect("the process's clock")
}

/// What is wrong inside one snapshot. The process's clock is read after the threads' and counts every one of
/// them, so there is no slack: not a ns of theirs may be missing from it.
fn faults_of_snapshot(snapshot: &Snapshot) -> Vec<String> {
    let threads_ns: u64 = snapshot.threads.iter().map(|thread| cpu_of(thread).cpu_ns).sum();
    let process = process_cpu(snapshot);
    let mut faults = Vec::new();
    if threads_ns > process.cpu_ns {
        faults.push(format!(
            "the threads used {threads_ns} ns, the process {}",
            process.cpu_ns
        ));
    }
    if !snapshot
        .threads
        .iter()
        .all(|t| (snapshot.listed_at_ns..process.at_ns).contains(&cpu_of(t).at_ns))
    {
        faults.push("a thread was read outside the snapshot".to_owned());
    }
    if !snapshot.threads.iter().any(|thread| thread.tid == own_tid()) {
        faults.push("the sampling thread is not listed".to_owned());
    }
    faults
}

/// What is impossible in the difference of two snapshots.
fn faults_of_difference(before: &Snapshot, after: &Snapshot, report: &ProcessReport) -> Vec<String> {
    let mut faults = Vec::new();
    if !report.threads.is_sorted_by(|a, b| a.tid < b.tid) {
        faults.push("tids do not ascend".to_owned());
    }
    for thread in &report.threads {
        // 1 ms is what an interrupted reading may be off, three times in a row.
        let most = 105.0 + 100.0 / report.measured_window_ms;
        if !thread
            .cpu_percent
            .is_some_and(|percent| percent.is_finite() && (0.0..=most).contains(&percent))
        {
            faults.push(format!(
                "thread {}: {:?}, at most {most} %",
                thread.tid, thread.cpu_percent
            ));
        }
    }
    // The threads' windows begin up to one snapshot earlier than the process's, whose stamp can be 25 µs off. All
    // CPUs can be busy meanwhile.
    let used = |thread: &ThreadReading| {
        let start = before.threads.iter().find(|earlier| earlier.tid == thread.tid);
        cpu_of(thread)
            .cpu_ns
            .saturating_sub(start.map_or(0, |start| cpu_of(start).cpu_ns))
    };
    let threads_ns: u64 = after.threads.iter().map(used).sum();
    let process_ns = process_cpu(after).cpu_ns - process_cpu(before).cpu_ns;
    let slack_ns = (process_cpu(before).at_ns - before.listed_at_ns + 25_000) * cpus();
    if threads_ns > process_ns + slack_ns {
        faults.push(format!(
            "the threads used {threads_ns} ns, the process {process_ns} (+ {slack_ns})"
        ));
    }
    faults
}

/// Ends what waits for the flag even when a test panics.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Runs `work` while threads are born, work a little and end, thousands a second.
fn with_churn(work: impl FnOnce()) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    thread::scope(|brood| {
                        for spins in 0..16u64 {
                            brood.spawn(move || (0..spins * 500).map(std::hint::black_box).sum::<u64>());
                        }
                    });
                }
            });
        }
        let _end = SetOnDrop(&done);
        work();
    });
}

#[test]
fn threads_that_come_and_go_leave_nothing_impossible() {
    with_churn(|| {
        let started = Instant::now();
        let mut differences = 0;
        while started.elapsed() < Duration::from_secs(2) || differences < 50 {
            let asked = Duration::from_millis([0, 0, 1, 5, 20][differences % 5]);
            let before = snapshot().expect("a snapshot");
            thread::sleep(asked);
            let after = snapshot().expect("a snapshot");
            let report = difference(&before, after.clone(), asked).expect("a report");
            let faults = [
                faults_of_snapshot(&before),
                faults_of_snapshot(&after),
                faults_of_difference(&before, &after, &report),
            ];
            assert_eq!(
                faults.concat(),
                Vec::<String>::new(),
                "difference {differences}, {asked:?}"
            );
            differences += 1;
        }
    });
}

#[test]
fn the_checks_under_churn_see_what_is_impossible() {
    let sound = snapshot().expect("a snapshot");
    assert_eq!(faults_of_snapshot(&sound), Vec::<String>::new());

    let mut lagging = sound.clone();
    let threads_ns: u64 = sound.threads.iter().map(|thread| cpu_of(thread).cpu_ns).sum();
    lagging.process_cpu = Ok(CpuReading {
        cpu_ns: threads_ns - 1,
        ..process_cpu(&sound)
    });
    assert_eq!(
        faults_of_snapshot(&lagging).len(),
        1,
        "a process clock read too early"
    );

    let empty = Snapshot {
        threads: Vec::new(),
        ..sound.clone()
    };
    assert_eq!(faults_of_snapshot(&empty), ["the sampling thread is not listed"]);

    let mut late = snapshot().expect("a snapshot");
    let report = difference(&sound, late.clone(), Duration::ZERO).expect("a report");
    let mut twice = report.clone();
    twice
        .threads
        .push(report.threads.last().expect("a thread").clone());
    assert_eq!(
        faults_of_difference(&sound, &late, &twice),
        ["tids do not ascend"]
    );
    for impossible in [None, Some(-0.1), Some(f64::NAN), Some(f64::INFINITY), Some(1e6)] {
        let mut wrong = report.clone();
        wrong.threads[0].cpu_percent = impossible;
        assert_eq!(
            faults_of_difference(&sound, &late, &wrong).len(),
            1,
            "{impossible:?}"
        );
    }
    let second = 1_000_000_000;
    late.threads[0].cpu = Ok(CpuReading {
        cpu_ns: 100 * second,
        at_ns: 0,
    });
    let faults = faults_of_difference(&sound, &late, &report);
    assert!(
        faults.len() == 1 && faults[0].starts_with("the threads used"),
        "{faults:?}"
    );
}

#[test]
fn a_thread_born_in_the_window_is_charged_its_clock() {
    let (born, births) = mpsc::channel();
    let (end, ends) = mpsc::channel::<()>();
    let before = snapshot().expect("a snapshot");
    let (tid, spun_ns, after) = thread::scope(|scope| {
        scope.spawn(move || {
            born.send((own_tid(), spin_for(20_000_000)))
                .expect("the test waits");
            ends.recv().expect_err("the test only hangs up");
        });
        let (tid, spun_ns) = births
            .recv_timeout(Duration::from_secs(60))
            .expect("20 ms of CPU time");
        let after = snapshot().expect("a snapshot");
        drop(end);
        (tid, spun_ns, after)
    });
    let reading = after
        .threads
        .iter()
        .find(|thread| thread.tid == tid)
        .map(cpu_of)
        .expect("it lives");
    let report = difference(&before, after, Duration::ZERO).expect("a report");
    let thread = report
        .threads
        .iter()
        .find(|thread| thread.tid == tid)
        .expect("it was listed");
    let charged_ns =
        thread.cpu_percent.expect("a figure") / 100.0 * (reading.at_ns - before.listed_at_ns) as f64;
    let spun_ns = spun_ns as f64;
    // At most 5 ms more: what it took to send a message and begin to wait.
    assert!(
        (spun_ns - 1.0..spun_ns + 5e6).contains(&charged_ns),
        "charged {charged_ns}, spun {spun_ns}"
    );
}

#[test]
fn the_fallbacks_tell_of_real_threads_what_the_clocks_tell() {
    fn refuses(_: u32) -> std::io::Result<u64> {
        Err(Errno::EPERM.into())
    }
    // Use enough for the coarse sources to see it.
    spin_for(100_000_000);
    let exact = snapshot().expect("a snapshot");
    let coarse = snapshot_of(Path::new("/proc"), refuses).expect("a snapshot");
    let later = snapshot().expect("a snapshot");
    let own = |snapshot: &Snapshot| {
        snapshot
            .threads
            .iter()
            .find(|t| t.tid == own_tid())
            .map(cpu_of)
            .expect("own")
    };

    assert_eq!((exact.cpu_lag_ns, coarse.cpu_lag_ns), (0, 10_000_000));
    let allowed = own(&exact).cpu_ns - coarse.cpu_lag_ns..=own(&later).cpu_ns;
    assert!(
        allowed.contains(&own(&coarse).cpu_ns),
        "{allowed:?} without {:?}",
        own(&coarse)
    );
    coarse.process_cpu.expect("the process's clock needs no thread's");
}

#[test]
fn without_proc_there_is_a_reason() {
    let reason = snapshot_of(Path::new("/nowhere"), clock::thread_cpu_ns).expect_err("no /proc");
    assert_eq!(
        reason,
        "/nowhere/thread-self: No such file or directory (os error 2); is /proc mounted?"
    );
}

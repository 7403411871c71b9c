//! Snapshots of this very test process, with threads that come and go.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::gettid;

use super::*;
use crate::ProcessReport;
use crate::snapshot::{CpuReading, report_between};

fn own_tid() -> u64 {
    gettid().as_raw().unsigned_abs().into()
}

/// A snapshot by a backend that keeps nothing yet.
fn snapshot() -> Snapshot {
    snapshot_by(&mut Linux::new())
}

fn snapshot_by(backend: &mut Linux) -> Snapshot {
    backend.handles = Some(backend.begin().expect("a snapshot"));
    backend.before.clone()
}

/// A report of the clocks alone.
fn report(before: &Snapshot, after: &Snapshot) -> ProcessReport {
    let unread = || Err("not asked for".to_owned());
    let end_readings = EndReadings {
        rss_kb: unread(),
        vm_size_kb: unread(),
        footprint_kb: None,
        uptime: Err("not asked for".to_owned()),
    };
    let mut report = ProcessReport::empty();
    report_between(before, after, end_readings, Duration::ZERO, &mut report).expect("a report");
    report
}

/// Spins until the calling thread's clock shows `cpu_ns`; gives what it showed last.
fn spin_for(cpu_ns: u64) -> u64 {
    let tid = own_tid().try_into().expect("a tid");
    loop {
        let spun_ns = (Clocks::SYSTEM.thread_cpu_ns)(tid).expect("own clock");
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
fn faults_of_report(before: &Snapshot, after: &Snapshot, report: &ProcessReport) -> Vec<String> {
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

/// Threads that stay for as long as this.
pub(super) struct Parked {
    tids: Vec<u64>,
    _unpark: Vec<mpsc::Sender<()>>,
}

impl Parked {
    pub(super) fn start(count: usize) -> Self {
        let (born, births) = mpsc::channel();
        let park = |_| {
            let (unpark, parked) = mpsc::channel::<()>();
            let born = born.clone();
            thread::spawn(move || {
                born.send(own_tid()).expect("the test waits");
                parked.recv().expect_err("the test only hangs up");
            });
            unpark
        };
        let unpark = (0..count).map(park).collect();
        let tids = births.iter().take(count).collect();
        Self {
            tids,
            _unpark: unpark,
        }
    }

    /// Those that a snapshot has lost.
    fn faults_of_snapshot(&self, snapshot: &Snapshot) -> Vec<String> {
        let is_there = |tid: &&u64| {
            snapshot
                .threads
                .binary_search_by_key(*tid, |thread| thread.tid)
                .is_err()
        };
        self.tids
            .iter()
            .filter(is_there)
            .map(|tid| format!("{tid} is lost"))
            .collect()
    }
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

/// Differences of snapshots by backends that are new or kept, between births and deaths by the thousand.
fn differences_under_churn(mut backend_for: impl FnMut() -> Linux, mut put_back: impl FnMut(Linux)) {
    let parked = Parked::start(20);
    with_churn(|| {
        let started = Instant::now();
        let mut differences = 0;
        while started.elapsed() < Duration::from_secs(1) || differences < 50 {
            let asked = Duration::from_millis([0, 0, 1, 5, 20][differences % 5]);
            let mut backend = backend_for();
            let mut report = ProcessReport::empty();
            backend
                .sample(asked, || thread::sleep(asked), &mut report)
                .expect("a report");
            let (before, after) = (&backend.before, &backend.after);
            let faults = [
                parked.faults_of_snapshot(before),
                parked.faults_of_snapshot(after),
                faults_of_snapshot(before),
                faults_of_snapshot(after),
                faults_of_report(before, after, &report),
            ];
            assert_eq!(
                faults.concat(),
                Vec::<String>::new(),
                "difference {differences}, {asked:?}"
            );
            put_back(backend);
            differences += 1;
        }
    });
}

#[test]
fn threads_that_come_and_go_leave_nothing_impossible() {
    differences_under_churn(Linux::new, drop);
    let kept = Cell::new(None);
    differences_under_churn(
        || kept.take().unwrap_or_else(Linux::new),
        |backend| kept.set(Some(backend)),
    );
}

#[test]
fn the_checks_under_churn_see_what_is_impossible() {
    let sound = snapshot();
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

    let mut late = snapshot();
    let report = report(&sound, &late);
    let mut twice = report.clone();
    twice
        .threads
        .push(report.threads.last().expect("a thread").clone());
    assert_eq!(faults_of_report(&sound, &late, &twice), ["tids do not ascend"]);
    for impossible in [None, Some(-0.1), Some(f64::NAN), Some(f64::INFINITY), Some(1e6)] {
        let mut wrong = report.clone();
        wrong.threads[0].cpu_percent = impossible;
        assert_eq!(faults_of_report(&sound, &late, &wrong).len(), 1, "{impossible:?}");
    }
    let second = 1_000_000_000;
    late.threads[0].cpu = Ok(CpuReading {
        cpu_ns: 100 * second,
        at_ns: 0,
    });
    let faults = faults_of_report(&sound, &late, &report);
    assert!(
        faults.len() == 1 && faults[0].starts_with("the threads used"),
        "{faults:?}"
    );
}

#[test]
fn a_thread_born_in_the_window_is_charged_its_clock() {
    let (born, births) = mpsc::channel();
    let (end, ends) = mpsc::channel::<()>();
    let before = snapshot();
    let (tid, spun_ns, after) = thread::scope(|scope| {
        scope.spawn(move || {
            born.send((own_tid(), spin_for(20_000_000)))
                .expect("the test waits");
            ends.recv().expect_err("the test only hangs up");
        });
        let (tid, spun_ns) = births
            .recv_timeout(Duration::from_secs(60))
            .expect("20 ms of CPU time");
        let after = snapshot();
        drop(end);
        (tid, spun_ns, after)
    });
    let reading = after
        .threads
        .iter()
        .find(|thread| thread.tid == tid)
        .map(cpu_of)
        .expect("it lives");
    let report = report(&before, &after);
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

/// Refuses threads' clocks on threads that were told to.
fn can_refuse(tid: u32) -> io::Result<u64> {
    if REFUSED.get() {
        return Err(Errno::EPERM.into());
    }
    (Clocks::SYSTEM.thread_cpu_ns)(tid)
}

thread_local! {
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

fn that_can_refuse() -> Linux {
    let clocks = Clocks {
        thread_cpu_ns: can_refuse,
        ..Clocks::SYSTEM
    };
    Linux::on("/proc".into(), clocks)
}

#[test]
fn the_fallbacks_tell_of_real_threads_what_the_clocks_tell() {
    // Use enough for the coarse sources to see it.
    spin_for(100_000_000);
    let exact = snapshot();
    let coarse = snapshot_by(&mut Linux::without_thread_clocks());
    let later = snapshot();
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
fn clocks_that_stop_answering_are_replaced_by_the_fallback_and_come_back() {
    let mut backend = that_can_refuse();
    for (refused, lag_ns) in [
        (false, 0),
        (false, 0),
        (true, 10_000_000),
        (true, 10_000_000),
        (false, 0),
    ] {
        REFUSED.set(refused);
        let snapshot = snapshot_by(&mut backend);
        assert_eq!(snapshot.cpu_lag_ns, lag_ns, "refused: {refused}");
        assert!(is_without_fault(&snapshot), "{snapshot:?}");
    }
}

#[test]
fn births_and_deaths_between_samples_are_noticed() {
    let mut backend = Linux::new();
    let first = snapshot_by(&mut backend);
    let parked = Parked::start(5);
    assert_eq!(parked.faults_of_snapshot(&first).len(), 5, "not born yet");
    assert_eq!(parked.faults_of_snapshot(&snapshot_by(&mut backend)), [""; 0]);
    let tids = parked.tids.clone();
    drop(parked);
    let started = Instant::now();
    // They end in their own time.
    while snapshot_by(&mut backend)
        .threads
        .iter()
        .any(|thread| tids.contains(&thread.tid))
    {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "a thread that ended stays"
        );
    }
}

#[test]
fn a_thread_that_renames_itself_is_read_again() {
    let mut backend = Linux::new();
    let mut name = |name: &str| {
        std::fs::write("/proc/thread-self/comm", name).expect("a thread may rename itself");
        let mut report = ProcessReport::empty();
        backend
            .sample(Duration::ZERO, || (), &mut report)
            .expect("a report");
        let own = report.threads.into_iter().find(|thread| thread.tid == own_tid());
        own.expect("alive").name
    };
    for expected in ["one", "another", "one"] {
        assert_eq!(name(expected).as_deref(), Some(expected));
    }
}

#[test]
fn a_backend_that_failed_works_again_when_proc_is_back() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let proc = root.path().join("proc");
    let mut backend = Linux::on(proc.clone(), Clocks::SYSTEM);
    let mut report = ProcessReport::empty();
    let mut sample = || backend.sample(Duration::MAX, || (), &mut report);
    assert_eq!(
        sample(),
        Err(format!(
            "{}/thread-self: No such file or directory (os error 2); is /proc mounted?",
            proc.display()
        ))
    );
    std::os::unix::fs::symlink("/proc", &proc).expect("a link");
    assert_eq!(sample(), Ok(()));
}

#[test]
fn a_statm_that_was_not_there_is_found_later() {
    use std::os::unix::fs::symlink;

    let proc = tempfile::tempdir().expect("a temporary directory");
    let folder = proc.path().join("self");
    std::fs::create_dir(&folder).expect("self");
    symlink("/proc/self/task", folder.join("task")).expect("task");
    let own = std::fs::read_link("/proc/thread-self").expect("own");
    symlink(own, proc.path().join("thread-self")).expect("thread-self");

    let mut backend = Linux::on(proc.path().to_owned(), Clocks::SYSTEM);
    let mut report = ProcessReport::empty();
    let mut sample = || {
        backend
            .sample(Duration::ZERO, || (), &mut report)
            .expect("a report");
        report.process.rss_kb
    };
    assert_eq!((sample(), sample()), (None, None));
    symlink("/proc/self/statm", folder.join("statm")).expect("statm");
    assert!(sample().is_some());
}

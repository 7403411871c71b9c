//! Known loads on known threads, and what `sample` says of them.

#![cfg(target_os = "linux")]

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::gettid;
use runtime_metrics::{ProcessReport, RuntimeMetrics, ThreadMetrics, init_at_startup, sample};

const WINDOW: Duration = Duration::from_millis(300);
const TIMEOUT: Duration = Duration::from_secs(60);

fn available(metrics: RuntimeMetrics) -> ProcessReport {
    metrics.available().expect("Linux has a backend").clone()
}

fn own_tid() -> u64 {
    gettid().as_raw().unsigned_abs().into()
}

fn cpu_time(clock: ClockId) -> Duration {
    clock_gettime(clock).expect("an own CPU clock").into()
}

fn thread_of(report: &ProcessReport, tid: u64) -> &ThreadMetrics {
    report
        .threads
        .iter()
        .find(|thread| thread.tid == tid)
        .expect("the thread lives and is listed")
}

/// A sample, and what an oracle said just before and just after the call.
struct Bracketed {
    report: ProcessReport,
    cpu: Duration,
    wall: Duration,
}

fn bracketed(oracle: impl Fn() -> Duration) -> Bracketed {
    let (start, started) = (oracle(), Instant::now());
    let report = available(sample(WINDOW));
    let (wall, end) = (started.elapsed(), oracle());
    Bracketed {
        report,
        cpu: end - start,
        wall,
    }
}

/// Whether `percent` can be true of a window that lay inside the call. What the oracle saw may have been used
/// before or after that window, and on `cpus` at once; nothing else may differ but for `grain`, the oracle's own.
fn agrees(percent: f64, call: &Bracketed, cpus: u32, grain: Duration) -> bool {
    let outside = call.wall - WINDOW;
    let least = call.cpu.saturating_sub(outside * cpus + grain);
    let most = call.cpu + grain;
    let percent_of = |cpu: Duration, window: Duration| 100.0 * cpu.as_secs_f64() / window.as_secs_f64();
    (percent_of(least, call.wall)..=percent_of(most, WINDOW)).contains(&percent)
}

fn cpus() -> u32 {
    thread::available_parallelism()
        .expect("a number of CPUs")
        .get()
        .try_into()
        .expect("a small number")
}

/// Ends what waits for the flag even when a test panics.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Runs `work` beside a thread that spins; gives it the thread's tid and its CPU time as the thread itself reads it.
fn beside_a_spinner<T>(work: impl FnOnce(u64, &dyn Fn() -> Duration) -> T) -> T {
    let done = AtomicBool::new(false);
    let spun_ns = AtomicU64::new(0);
    let (ready, readies) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            ready.send(own_tid()).expect("the test waits");
            while !done.load(Relaxed) {
                let spun = cpu_time(ClockId::CLOCK_THREAD_CPUTIME_ID).as_nanos();
                spun_ns.store(spun.try_into().expect("less than centuries"), Relaxed);
            }
        });
        let _end = SetOnDrop(&done);
        let tid = readies.recv_timeout(TIMEOUT).expect("the spinner starts");
        work(tid, &|| Duration::from_nanos(spun_ns.load(Relaxed)))
    })
}

#[test]
fn the_oracles_bracket_can_be_missed() {
    let report = available(sample(Duration::ZERO));
    let (cpu, wall) = (Duration::from_millis(150), Duration::from_millis(310));
    let call = Bracketed { report, cpu, wall };
    let agreeing = |percent| agrees(percent, &call, 1, Duration::ZERO);
    assert!(agreeing(48.0) && agreeing(50.0));
    for wrong in [0.0, 25.0, 45.0, 50.1, 100.0, f64::NAN] {
        assert!(!agreeing(wrong), "{wrong} must not pass for 150 ms in 300 ms");
    }
}

#[test]
fn a_spinning_thread_reads_what_its_own_clock_says() {
    beside_a_spinner(|tid, spun| {
        let call = bracketed(spun);
        let percent = thread_of(&call.report, tid).cpu_percent.expect("a figure");
        let grain = Duration::from_millis(1);
        assert!(
            agrees(percent, &call, 1, grain),
            "{percent} %, own clock {:?} in {:?}",
            call.cpu,
            call.wall
        );
        assert!(
            !agrees(percent / 4.0, &call, 1, grain) || call.cpu < WINDOW / 10,
            "the check must bite"
        );
    });
}

#[test]
fn a_parked_thread_reads_nothing_and_a_dead_one_is_gone() {
    let (ready, readies) = mpsc::channel();
    let (end, ends) = mpsc::channel::<()>();
    let parked = thread::spawn(move || {
        ready.send(own_tid()).expect("the test waits");
        ends.recv().expect_err("the test only hangs up");
    });
    let tid = readies.recv_timeout(TIMEOUT).expect("the thread starts");
    let report = available(sample(WINDOW));
    let percent = thread_of(&report, tid).cpu_percent.expect("a figure");
    assert!((0.0..1.0).contains(&percent), "{percent} %");

    drop(end);
    parked.join().expect("it ends");
    // A join returns when the kernel has woken the joiner, a moment before the thread leaves the list.
    let started = Instant::now();
    while available(sample(Duration::ZERO))
        .threads
        .iter()
        .any(|thread| thread.tid == tid)
    {
        assert!(started.elapsed() < TIMEOUT, "a joined thread stays in the list");
    }
}

#[test]
fn names_are_the_kernels_whatever_bytes_they_hold() {
    for (name, reported) in [
        (&b"metrics-test"[..], "metrics-test"),
        (b"sixteen-or-more-bytes", "sixteen-or-more"),
        (b"a) S 1 (\n[b]\n", "a) S 1 (\n[b]\n"),
        (b"\xff\xfe", "\u{fffd}\u{fffd}"),
    ] {
        let report = thread::spawn(move || {
            fs::write("/proc/thread-self/comm", name).expect("a thread may rename itself");
            (own_tid(), available(sample(Duration::ZERO)))
        });
        let (tid, report) = report.join().expect("a report");
        assert_eq!(thread_of(&report, tid).name.as_deref(), Some(reported));
    }
}

#[test]
fn the_process_reads_what_its_clocks_say() {
    let rusage = || {
        let usage = getrusage(UsageWho::RUSAGE_SELF).expect("an own usage");
        let micros = (usage.user_time() + usage.system_time()).num_microseconds();
        Duration::from_micros(micros.try_into().expect("not negative"))
    };
    let clock = || cpu_time(ClockId::CLOCK_PROCESS_CPUTIME_ID);
    // Both lag by up to a tick for each thread that runs on another CPU.
    let grain = Duration::from_millis(10) * cpus();
    beside_a_spinner(|_, _| {
        for (name, call) in [
            ("getrusage", bracketed(rusage)),
            ("process clock", bracketed(clock)),
        ] {
            let percent = call.report.process.cpu_percent.expect("a figure");
            assert!(
                agrees(percent, &call, cpus(), grain),
                "{percent} %, {name} {:?} in {:?}",
                call.cpu,
                call.wall
            );
        }
    });
}

fn status_kb(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix(key)).expect(key);
    line.trim_start_matches(':')
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number")
}

#[test]
fn virtual_memory_is_that_of_proc_self_status() {
    let started = Instant::now();
    loop {
        let before_kb = status_kb("VmSize");
        let reported_kb = available(sample(Duration::ZERO)).process.vm_size_kb;
        // Other tests map and unmap stacks: only where they did not meanwhile is there something to compare.
        if status_kb("VmSize") == before_kb {
            assert_eq!(reported_kb, Some(before_kb));
            return;
        }
        assert!(started.elapsed() < TIMEOUT, "no quiet moment");
    }
}

#[test]
fn resident_memory_is_that_of_proc_self_status_and_follows_an_allocation() {
    const BLOCK_KB: u64 = 64 * 1024;
    const OTHER_TESTS_KB: u64 = 16 * 1024;
    let rss_kb = || {
        available(sample(Duration::ZERO))
            .process
            .rss_kb
            .expect("a figure")
    };

    let before_kb = rss_kb();
    let block = std::hint::black_box(vec![1u8; BLOCK_KB as usize * 1024]);
    let (with_block_kb, status_kb) = (rss_kb(), status_kb("VmRSS"));
    drop(block);
    assert!(
        with_block_kb.abs_diff(before_kb + BLOCK_KB) < OTHER_TESTS_KB,
        "{before_kb} → {with_block_kb}"
    );
    assert!(
        with_block_kb.abs_diff(status_kb) < OTHER_TESTS_KB,
        "{with_block_kb} beside {status_kb}"
    );
}

#[test]
fn uptime_advances_as_the_clock_does() {
    init_at_startup();
    let uptime = || {
        available(sample(Duration::ZERO))
            .process
            .uptime_secs
            .expect("a start was marked")
    };
    let outer = Instant::now();
    let first = uptime();
    let inner = Instant::now();
    thread::sleep(Duration::from_millis(50));
    let inner = inner.elapsed().as_secs_f64();
    let advanced = uptime() - first;
    let outer = outer.elapsed().as_secs_f64();
    assert!(
        (inner..=outer).contains(&advanced),
        "{inner} <= {advanced} <= {outer}"
    );
}

#[test]
fn a_window_of_zero_is_measured_all_the_same() {
    for _ in 0..100 {
        let started = Instant::now();
        let report = available(sample(Duration::ZERO));
        let elapsed_ms = started.elapsed().as_secs_f64() * 1e3;
        assert_eq!(report.sample_window_ms, 0);
        assert!(0.0 < report.measured_window_ms && report.measured_window_ms <= elapsed_ms);
        assert!(report.process.cpu_percent.is_some_and(f64::is_finite));
        assert!(!report.threads.is_empty());
    }
}

#[test]
fn the_measured_window_is_the_one_that_passed() {
    let call = bracketed(|| Duration::ZERO);
    let measured = Duration::from_secs_f64(call.report.measured_window_ms / 1e3);
    assert_eq!(call.report.sample_window_ms, 300);
    assert!(
        WINDOW <= measured && measured <= call.wall,
        "{measured:?} of {:?}",
        call.wall
    );
}

#[test]
fn the_json_of_a_sample_has_the_published_keys() {
    init_at_startup();
    let json = serde_json::to_value(sample(Duration::ZERO)).expect("JSON");
    let keys =
        |value: &serde_json::Value| Vec::from_iter(value.as_object().expect("an object").keys().cloned());
    assert_eq!(
        keys(&json),
        [
            "measured_window_ms",
            "platform",
            "process",
            "sample_window_ms",
            "threads"
        ]
    );
    assert_eq!(
        keys(&json["process"]),
        ["cpu_percent", "rss_kb", "uptime_secs", "vm_size_kb"]
    );
    assert_eq!(json["platform"], "linux");
    for thread in json["threads"].as_array().expect("an array") {
        assert_eq!(keys(thread), ["cpu_percent", "name", "tid"]);
    }
}

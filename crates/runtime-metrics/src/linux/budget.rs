//! The cost of a sample in system calls, counted by tracing (ptrace(2)) a process that samples itself.

use std::fs::DirEntry;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, gettid};

use super::tests::Parked;
use super::{Clocks, Linux};
use crate::backend::Backend;
use crate::report::ProcessReport;

const VARIABLE: &str = "RUNTIME_METRICS_BUDGET";

/// A clock on which nothing takes long. On a real one a traced process seems to be interrupted all the time, and reads
/// again what it read.
fn even_clock() -> std::io::Result<u64> {
    static NOW_NS: AtomicU64 = AtomicU64::new(0);
    Ok(NOW_NS.fetch_add(1, Relaxed))
}

/// The traced process: spawns threads, waits for a line, samples, and exits.
#[test]
#[ignore = "the other tests run it"]
fn inside() {
    let variable = std::env::var(VARIABLE).expect(VARIABLE);
    let (threads, samples) = variable.split_once(' ').expect("two numbers");
    // The runner has a thread besides the test's.
    let _parked = Parked::start(threads.parse::<usize>().expect("a number") - 2);
    let clocks = Clocks {
        monotonic_ns: even_clock,
        ..Clocks::SYSTEM
    };
    let mut backend = Linux::on("/proc".into(), clocks);
    let mut report = ProcessReport::empty();
    let mut sample = || {
        backend
            .sample(Duration::ZERO, || (), &mut report)
            .expect("a report")
    };
    while !all_others_wait() {
        std::thread::yield_now();
    }
    (0..3).for_each(|_| sample());
    println!("\nready {}", gettid());
    std::io::stdin()
        .lock()
        .read_line(&mut String::new())
        .expect("a line");
    (0..samples.parse().expect("a number")).for_each(|_| sample());
    assert_eq!(report.threads.len().to_string(), threads);
    // At once: waking the threads takes as many calls as it happens to.
    std::process::exit(0);
}

/// True if every other thread sleeps. The name of a thread that runs would be read again.
fn all_others_wait() -> bool {
    let waits = |task: std::io::Result<DirEntry>| {
        let stat = std::fs::read_to_string(task.expect("listed").path().join("stat")).expect("alive");
        stat.contains(") S ")
    };
    let tasks = std::fs::read_dir("/proc/self/task").expect("/proc");
    tasks.map(waits).filter(|waits| !waits).count() == 1
}

/// The system calls that the sampling thread makes from the line on.
fn system_calls(threads: usize, samples: usize) -> usize {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "linux::budget::inside", "--ignored", "--nocapture"])
        .env(VARIABLE, format!("{threads} {samples}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    let mut lines = output.lines().map(|line| line.expect("text"));
    let ready = lines.find_map(|line| line.strip_prefix("ready ").map(str::to_owned));
    let tid = Pid::from_raw(ready.expect("ready").parse().expect("a tid"));

    ptrace::seize(tid, ptrace::Options::PTRACE_O_TRACESYSGOOD).expect("a process may trace its children");
    ptrace::interrupt(tid).expect("interrupted");
    let wait = || waitpid(tid, Some(WaitPidFlag::__WALL)).expect("traced");
    assert!(matches!(wait(), WaitStatus::PtraceEvent(..)));
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(b"go\n")
        .expect("it reads");
    let mut stops = 0;
    loop {
        ptrace::syscall(tid, None).expect("it goes on");
        match wait() {
            // One as a call begins and one as it ends.
            WaitStatus::PtraceSyscall(_) => stops += 1,
            WaitStatus::Exited(..) => break,
            other => assert!(matches!(other, WaitStatus::PtraceEvent(..)), "{other:?}"),
        }
    }
    lines.for_each(drop);
    assert!(child.wait().expect("waited for").success());
    stops / 2
}

/// System calls of one sample by a kept sampler, next to idle threads.
fn calls_of_a_sample(threads: usize) -> usize {
    const SAMPLES: usize = 20;
    // The calls around the samples may differ by one between the two runs.
    system_calls(threads, SAMPLES)
        .saturating_sub(system_calls(threads, 0))
        .div_ceil(SAMPLES)
}

#[test]
fn budget_of_system_calls() {
    for threads in [3, 10, 100, 500] {
        let calls = calls_of_a_sample(threads);
        println!("{threads} threads: {calls} system calls");
        assert!(
            calls >= 2 * threads,
            "{calls} cannot have read every clock of {threads} threads twice"
        );
        assert!(
            calls <= 2 * threads + 12,
            "{threads} threads: {calls} system calls"
        );
    }
}

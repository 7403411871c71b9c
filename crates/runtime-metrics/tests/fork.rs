//! What is kept between samples is of no use in the child of a fork, which must not report its parent.
#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "fork")]

use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, gettid};
use runtime_metrics::{RuntimeMetrics, Sampler, sample};

const PARKED: usize = 12;

fn park(_: usize) -> Sender<()> {
    let (unpark, parked) = channel::<()>();
    thread::spawn(move || parked.recv().is_err());
    unpark
}

fn tids(metrics: &RuntimeMetrics) -> Vec<u64> {
    let report = metrics.available().expect("Linux has a backend");
    report.threads.iter().map(|thread| thread.tid).collect()
}

#[test]
fn in_a_child_of_a_fork_its_own_thread_is_sampled_and_the_parents_are_not() {
    let _parked: Vec<_> = (0..PARKED).map(park).collect();
    let mut sampler = Sampler::new();
    let parent = [sample(Duration::ZERO), sampler.sample(Duration::ZERO)];
    for metrics in &parent {
        assert!(tids(metrics).len() > PARKED, "{metrics:?}");
    }
    // SAFETY: the child allocates, which the C library allows after a fork, takes no lock that another thread can
    // have held, and ends without unwinding into the test's runner.
    match unsafe { fork() }.expect("forked") {
        ForkResult::Child => {
            let own = [u64::from(gettid().as_raw().unsigned_abs())];
            let same = |metrics: RuntimeMetrics| tids(&metrics) == own;
            let all = same(sample(Duration::ZERO)) && same(sampler.sample(Duration::ZERO));
            // SAFETY: ends the process, and runs nothing.
            unsafe { nix::libc::_exit(if all { 0 } else { 1 }) }
        }
        ForkResult::Parent { child } => {
            assert_eq!(
                waitpid(child, None).expect("waited for"),
                WaitStatus::Exited(child, 0)
            );
        }
    }
    // The parent's position in the listing is its own again.
    for metrics in [sample(Duration::ZERO), sampler.sample(Duration::ZERO)] {
        assert!(tids(&metrics).len() > PARKED, "{metrics:?}");
    }
}

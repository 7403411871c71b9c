//! A sampler that is kept allocates nothing: counted by the allocator. (System calls are counted in
//! `src/linux/budget.rs`, Mach calls in `src/macos/tests/budget.rs`.)
#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use runtime_metrics::{RuntimeMetrics, Sampler, init_at_startup};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as this was called.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as this was called.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: as this was called.
        unsafe { System.realloc(block, layout, new_size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as this was called.
        unsafe { System.dealloc(block, layout) }
    }
}

fn allocations_of(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Ends when the sender does.
fn park() -> Sender<()> {
    let (unpark, parked) = channel::<()>();
    thread::spawn(move || parked.recv().is_err());
    unpark
}

fn threads_of(metrics: &RuntimeMetrics) -> usize {
    let report = metrics.available().expect("Linux has a backend");
    assert!(report.missing.is_empty(), "{:?}", report.missing);
    report.threads.len()
}

#[test]
fn budget_of_allocations() {
    init_at_startup();
    for (nth, threads) in [10, 100, 500].into_iter().enumerate() {
        let _parked: Vec<_> = (0..threads).map(|_| park()).collect();
        let mut sampler = Sampler::new();
        let mut metrics = sampler.sample(Duration::ZERO);
        // Room for threads of the round before, should they be slow to end.
        (0..3).for_each(|_| sampler.sample_into(Duration::ZERO, &mut metrics));
        assert!(threads_of(&metrics) > threads);

        let allocations = allocations_of(|| {
            for _ in 0..20 {
                sampler.sample_into(Duration::ZERO, &mut metrics);
            }
            sampler.sample_into(Duration::from_millis(5), &mut metrics);
        });
        assert_eq!(allocations, 0, "{threads} threads, round {nth}");

        // The counter counts: a report of one's own takes a name for each thread, and what holds them.
        let allocations = allocations_of(|| drop(sampler.sample(Duration::ZERO)));
        assert!(
            (threads..threads + 20).contains(&allocations),
            "{allocations} for {threads} threads"
        );
    }
}

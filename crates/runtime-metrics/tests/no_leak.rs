//! Sampling leaks nothing: the resource counts of an otherwise idle process stay the same.
//!
//! One test alone, because it counts what the whole process holds.
#![cfg(any(target_os = "linux", target_os = "macos"))]
#![allow(unsafe_code, reason = "the control leaks by hand")]

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use runtime_metrics::{PortNames, ResourceCounts, RuntimeMetrics, resource_counts, sample};

const SAMPLES: usize = 200;
const CHURNED_THREADS: usize = 50;
const PARKED: usize = 12;
/// Duration of a thread's first wait.
const FIRST_PARK: Duration = Duration::from_millis(1);
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);

/// What must be the same to the unit. Not memory: that moves by itself.
#[derive(Debug, PartialEq)]
struct Exact {
    descriptors: Option<u64>,
    threads: u64,
    mappings: Option<u64>,
    port_names: Option<PortNames>,
    excess_thread_references: Option<i64>,
    message_memory_bytes: Option<u64>,
    /// The standard library maps untagged memory for each thread: the same while the threads are.
    untagged_memory_bytes: Option<u64>,
    release_failures: Option<u64>,
}

fn exact() -> Exact {
    let ResourceCounts {
        descriptors,
        threads,
        mappings,
        port_names,
        excess_thread_references,
        message_memory_bytes,
        untagged_memory_bytes,
        release_failures,
        missing,
        ..
    } = resource_counts();
    // A system that is only compatible with macOS may lack some of them.
    println!("missing: {missing:?}");
    Exact {
        descriptors,
        threads: threads.expect("threads can be counted everywhere"),
        mappings,
        port_names,
        excess_thread_references,
        message_memory_bytes,
        untagged_memory_bytes,
        release_failures,
    }
}

/// The counts once they equal `expected`, or the last ones before the timeout. The kernel may remove joined threads late.
fn settled(expected: &Exact) -> Exact {
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    loop {
        let now = exact();
        if now == *expected || Instant::now() > deadline {
            return now;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn sample_once() {
    let metrics = sample(Duration::ZERO);
    assert!(matches!(metrics, RuntimeMetrics::Available(_)), "{metrics:?}");
}

/// What is put to the test: samples among threads that stay, and samples among threads that come and go.
fn work() {
    (0..SAMPLES).for_each(|_| sample_once());
    for _ in 0..CHURNED_THREADS {
        let (park, passing) = spawn_parked();
        sample_once();
        drop(park);
        assert!(passing.join().expect("it only waits"));
    }
}

/// A thread that ends when the sender is dropped, and that has waited once: on macOS the first wait creates a semaphore,
/// which has a port name. Nothing can unpark the thread before it has waited.
fn spawn_parked() -> (Sender<()>, JoinHandle<bool>) {
    let (park, unpark) = channel::<()>();
    let (waited, has_waited) = channel();
    let wait = move || {
        std::thread::park_timeout(FIRST_PARK);
        waited.send(()).expect("the parent waits");
        unpark.recv().is_err()
    };
    let thread = std::thread::spawn(wait);
    has_waited.recv().expect("the thread waits once");
    (park, thread)
}

#[test]
fn samples_leave_nothing_behind_and_a_leak_would_show() {
    std::thread::park_timeout(FIRST_PARK);
    let parked: Vec<_> = (0..PARKED).map(|_| spawn_parked()).collect();
    work();
    exact(); // Whatever the first count sets up.
    let before = exact();
    assert!(before.threads > PARKED as u64, "{before:?}");

    work();
    let after = settled(&before);
    assert_eq!(after, before);

    // The control: the same comparison fails when something has leaked.
    let leaked = std::fs::File::open("/dev/null").expect("/dev/null");
    assert_eq!(exact().descriptors, before.descriptors.map(|count| count + 1));
    drop(leaked);
    #[cfg(target_os = "macos")]
    control_on_macos(&before);

    for (park, handle) in parked {
        drop(park);
        assert!(handle.join().expect("it only waits"));
    }
}

/// One list of threads of which neither the rights nor the array are released, and two of names.
#[cfg(target_os = "macos")]
fn control_on_macos(before: &Exact) {
    use mach2::kern_return::{KERN_SUCCESS, kern_return_t};
    use mach2::mach_types::ipc_space_t;
    use mach2::traps::mach_task_self;
    use mach2::vm::mach_vm_deallocate;

    // From <mach/mach_port.h>; mach2 has no such function. Names and types are 32 bits wide.
    unsafe extern "C" {
        fn mach_port_names(
            task: ipc_space_t,
            names: *mut *mut u32,
            names_count: *mut u32,
            types: *mut *mut u32,
            types_count: *mut u32,
        ) -> kern_return_t;
    }

    let (mut list, mut count) = (std::ptr::null_mut(), 0);
    // SAFETY: both pointers are to variables of the right types.
    let code = unsafe { mach2::task::task_threads(mach_task_self(), &raw mut list, &raw mut count) };
    assert_eq!(code, KERN_SUCCESS);
    let leaking = exact();
    let excess = before
        .excess_thread_references
        .map(|excess| excess + i64::from(count));
    assert_eq!(leaking.excess_thread_references, excess, "one reference a thread");
    assert_eq!(
        leaking.port_names, before.port_names,
        "which no count of names shows"
    );
    assert!(
        leaking.message_memory_bytes > before.message_memory_bytes,
        "{leaking:?} {before:?}"
    );

    for index in 0..count as usize {
        // SAFETY: the list has `count` names, each with a reference of this function's own.
        let code = unsafe {
            let name = *list.add(index);
            mach2::mach_port::mach_port_deallocate(mach_task_self(), name)
        };
        assert_eq!(code, KERN_SUCCESS);
    }
    // SAFETY: the list is this function's own and is not used any more.
    let code = unsafe { mach_vm_deallocate(mach_task_self(), list.addr() as u64, u64::from(count) * 4) };
    assert_eq!(code, KERN_SUCCESS);
    assert_eq!(settled(before), *before);

    let mut arrays = [(std::ptr::null_mut(), 0); 2];
    let [(names, name_count), (types, type_count)] = &mut arrays;
    // SAFETY: the four pointers are to variables of the right types.
    let code = unsafe { mach_port_names(mach_task_self(), names, name_count, types, type_count) };
    assert_eq!(code, KERN_SUCCESS);
    let leaking = exact();
    assert!(
        leaking.untagged_memory_bytes > before.untagged_memory_bytes,
        "{leaking:?} {before:?}"
    );
    assert_eq!(leaking.message_memory_bytes, before.message_memory_bytes);
    for (array, count) in arrays {
        // SAFETY: the array is this function's own and is not used any more.
        let code = unsafe { mach_vm_deallocate(mach_task_self(), array.addr() as u64, u64::from(count) * 4) };
        assert_eq!(code, KERN_SUCCESS);
    }
    assert_eq!(settled(before), *before);
}

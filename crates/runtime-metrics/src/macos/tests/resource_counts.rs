//! The resource counts show each kind of leak, and leak nothing themselves.

use mach_model::{Call, Config, Cpu, Event, Model, UREFS_MAX, kern};

use super::faulty::{Fault, Faulty};
use crate::ResourceCounts;
use crate::macos::kernel::{KernReturn, Kernel};
use crate::macos::resource_counts::count;
use crate::macos::rights;

const PARKED: Cpu = Cpu { user: 0, system: 0 };

/// A model with `threads` threads besides the calling one.
fn model(threads: usize) -> Model {
    let model = Model::new(Config::default());
    for _ in 0..threads {
        model.spawn("parked", PARKED);
    }
    model
}

/// Without the count of refused releases, which other tests in the process drive up.
fn counts(model: &Model) -> ResourceCounts {
    let mut counts = count(model);
    assert!(counts.release_failures.take().is_some());
    counts
}

#[test]
fn resource_counts_are_complete_and_change_nothing() {
    let model = model(3);
    model.allocate_receive();
    let first = counts(&model);
    let names = first.port_names.as_ref().expect("names");
    assert_eq!(
        (names.total, names.send, names.receive, names.dead_names),
        (5, 4, 1, 0)
    );
    assert_eq!(
        (first.threads, first.descriptors, first.mappings),
        (Some(4), Some(5), None)
    );
    assert_eq!(
        (first.excess_thread_references, first.pegged_threads),
        (Some(0), Some(0))
    );
    assert_eq!(
        (first.message_memory_bytes, first.untagged_memory_bytes),
        (Some(0), Some(0)),
        "mapped files and submaps are left out"
    );
    let kb = (8 * 16, (1 << 20) + 8 * 16, 8 * 16 + 4);
    assert_eq!(
        (first.rss_kb, first.vm_size_kb, first.footprint_kb),
        (Some(kb.0), Some(kb.1), Some(kb.2))
    );
    assert!(first.missing.is_empty(), "{:?}", first.missing);
    assert_eq!(counts(&model), first);
    assert_eq!(model.audit(), [""; 0]);
}

#[test]
fn rights_that_are_not_released_are_excess_references_and_then_dead_names() {
    let model = model(3);
    let before = counts(&model);
    for _ in 0..10 {
        rights::task_threads(&model)
            .expect("threads")
            .into_iter()
            .for_each(std::mem::forget);
    }
    let leaking = counts(&model);
    assert_eq!(leaking.excess_thread_references, Some(40), "10 calls, 4 threads");
    assert_eq!(
        leaking.port_names, before.port_names,
        "no count of names shows it"
    );
    assert_eq!(leaking.message_memory_bytes, Some(0));

    model.exit(model.tids()[1]);
    let after = counts(&model);
    assert_eq!(
        (after.threads, after.excess_thread_references),
        (Some(3), Some(30))
    );
    assert_eq!(
        after.port_names.expect("names").dead_names,
        1,
        "however many references it had"
    );
}

#[test]
fn one_release_too_many_is_less_than_nothing() {
    let model = model(3);
    let own = model.port_of(model.tids()[0]).expect("alive");
    assert_eq!(Kernel::mach_port_deallocate(&model, own), Ok(()));
    assert_eq!(counts(&model).excess_thread_references, Some(-1));
}

#[test]
fn arrays_that_are_not_freed_are_message_memory() {
    let model = model(3);
    let before = counts(&model);
    for _ in 0..10 {
        Kernel::task_threads(&model).expect("threads");
    }
    let after = counts(&model);
    assert_eq!(
        (before.message_memory_bytes, after.message_memory_bytes),
        (Some(0), Some(10 * 16_384))
    );
    assert_eq!(after.untagged_memory_bytes, before.untagged_memory_bytes);
}

#[test]
fn arrays_of_plain_data_that_are_not_freed_are_untagged_memory() {
    let model = model(3);
    for _ in 0..10 {
        Kernel::mach_port_names(&model).expect("names");
    }
    let counts = counts(&model);
    assert_eq!(
        (counts.untagged_memory_bytes, counts.message_memory_bytes),
        (Some(20 * 16_384), Some(0)),
        "names and types"
    );
}

#[test]
#[cfg_attr(miri, ignore = "65,535 lists take hours")]
fn references_that_no_longer_count_are_told() {
    let model = model(2);
    let leak = || {
        rights::task_threads(&model)
            .expect("threads")
            .into_iter()
            .for_each(std::mem::forget)
    };
    (0..UREFS_MAX - 3).for_each(|_| leak());
    assert_eq!(
        counts(&model).pegged_threads,
        Some(0),
        "one short of it, and one for the count itself"
    );
    leak();
    let counts = counts(&model);
    assert_eq!((counts.pegged_threads, counts.threads), (Some(3), Some(3)));
    assert_eq!(
        counts.excess_thread_references,
        Some(3 * i64::from(UREFS_MAX - 2))
    );
}

#[test]
fn descriptors_are_counted_beyond_any_buffer() {
    for descriptors in [1, 255, 256, 257, 100_000] {
        let model = Model::new(Config {
            descriptors,
            ..Config::default()
        });
        assert_eq!(count(&model).descriptors, Some(descriptors as u64));
    }
    let absurd = Model::new(Config {
        descriptors: usize::MAX,
        ..Config::default()
    });
    let missing = count(&absurd).missing;
    assert!(
        missing["descriptors"].contains("fills every buffer up to 16777216"),
        "{missing:?}"
    );
}

#[test]
fn what_cannot_be_counted_is_missing_and_the_rest_is_there() {
    for (call, fields, reason) in [
        (
            Call::TaskThreads,
            &["excess_thread_references", "pegged_threads", "threads"][..],
            "task_threads: ",
        ),
        (
            Call::MachPortGetRefs,
            &["excess_thread_references", "pegged_threads", "threads"],
            "mach_port_get_refs: ",
        ),
        (Call::MachPortNames, &["port_names"], "mach_port_names: "),
        (
            Call::ProcPidinfo,
            &["descriptors"],
            "proc_pidinfo(PROC_PIDLISTFDS): ",
        ),
        (
            Call::MachTaskBasicInfo,
            &["rss_kb", "vm_size_kb"],
            "MACH_TASK_BASIC_INFO: ",
        ),
        (Call::TaskVmInfo, &["footprint_kb"], "TASK_VM_INFO: "),
        (
            Call::MachVmRegionRecurse,
            &["message_memory_bytes", "untagged_memory_bytes"],
            "mach_vm_region_recurse(0x0): ",
        ),
    ] {
        let model = model(2);
        model.refuse(call, kern::NOT_SUPPORTED);
        let counts = count(&model);
        assert_eq!(counts.missing.keys().collect::<Vec<_>>(), fields, "{call:?}");
        assert!(
            counts.missing.values().all(|why| why.starts_with(reason)),
            "{:?}",
            counts.missing
        );
        let json = serde_json::to_value(&counts).expect("JSON");
        assert!(fields.iter().all(|field| json.get(field).is_none()), "{json}");
        assert_eq!(
            json.as_object().expect("an object").len(),
            13 - fields.len(),
            "{json}"
        );
        assert_eq!(model.audit(), [""; 0]);
    }
}

/// The number of a count's first call of this kind.
fn first(call: Call) -> usize {
    let rehearsal = model(3);
    count(&rehearsal);
    let is_it = |made: &Call| *made == call;
    rehearsal.calls_made().iter().position(is_it).expect("called")
}

#[test]
fn a_thread_that_ends_before_or_during_the_count_is_left_out() {
    for call in [first(Call::TaskThreads), first(Call::MachPortGetRefs)] {
        for event in [Event::Terminated(0), Event::Dying(0), Event::Death(0)] {
            let model = model(3);
            model.before(call, event.clone());
            let counts = counts(&model);
            assert_eq!(
                (counts.threads, counts.excess_thread_references),
                (Some(3), Some(0)),
                "{event:?} before call {call}"
            );
            assert_eq!(counts.port_names.expect("names").dead_names, 0);
            assert_eq!(model.audit(), [""; 0]);
        }
    }
}

#[test]
fn a_listing_without_a_living_thread_is_missing_with_the_reason() {
    let model = model(1);
    let counts = count(&Faulty::new(&model, Fault::NoReferences));
    for field in ["threads", "excess_thread_references", "pegged_threads"] {
        let why = &counts.missing[field];
        assert!(why.starts_with("task_threads lists no living thread"), "{why}");
    }
    assert_eq!((counts.threads, model.audit()), (None, vec![]));
}

#[test]
fn a_name_space_without_names_is_missing_with_the_reason() {
    let model = model(1);
    let counts = count(&Faulty::new(&model, Fault::NoNames));
    let why = &counts.missing["port_names"];
    assert!(why.starts_with("mach_port_names lists nothing"), "{why}");
    assert_eq!((counts.port_names, model.audit()), (None, vec![]));
}

#[test]
fn kernel_errors_name_themselves() {
    for (error, text) in [
        (KernReturn::INVALID_NAME, "KERN_INVALID_NAME (0xf)"),
        (
            KernReturn::SEND_INVALID_DEST,
            "MACH_SEND_INVALID_DEST (0x10000003)",
        ),
        (KernReturn(0x1234), "kern_return_t 0x1234"),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

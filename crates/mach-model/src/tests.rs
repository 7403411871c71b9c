//! The model's own rules. That they are XNU's is for the conformance suite of `runtime-metrics` to show,
//! which runs on both.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

const BUSY: Cpu = Cpu { user: 75, system: 25 };

fn names_in((address, count): (u64, u32), model: &Model) -> Vec<Name> {
    (0..count)
        .map(|index| model.word(address + u64::from(index) * 4))
        .collect()
}

#[test]
fn a_task_that_was_left_alone_is_in_balance() {
    let model = Model::new(Config::default());
    assert_eq!(model.audit(), [""; 0]);
    let parked = model.spawn("parked", Cpu::default());
    assert_eq!(model.audit(), [""; 0]);
    model.exit(parked);
    assert_eq!(model.audit(), [""; 0]);
}

#[test]
fn the_audit_names_references_arrays_and_pages_that_are_out_of_balance() {
    let model = Model::new(Config::default());
    let (address, count) = model.task_threads().expect("threads");
    let name = model.word(address);
    let faults = model.audit();
    assert_eq!((count, faults.len()), (1, 2), "{faults:?}");
    assert!(
        faults[0].contains("Send { urefs: 2 }, not Send { urefs: 1 }"),
        "{faults:?}"
    );
    assert!(
        faults[1].contains("16384 bytes of arrays are there, not 0"),
        "{faults:?}"
    );

    assert_eq!(model.mach_port_deallocate(name), Ok(()));
    assert_eq!(model.mach_vm_deallocate(address, 16_385), Ok(()));
    let faults = model.audit();
    assert_eq!(faults, ["1 of the process's own pages were freed"]);
}

#[test]
fn releasing_no_name_succeeds_and_is_told() {
    let model = Model::new(Config::default());
    for name in [MACH_PORT_NULL, MACH_PORT_DEAD] {
        assert_eq!(model.mach_port_deallocate(name), Ok(()));
    }
    assert_eq!(model.audit(), ["MACH_PORT_NULL or _DEAD was released 2 times"]);
}

#[test]
fn one_release_too_many_frees_the_name_or_is_fatal() {
    for hardened in [false, true] {
        let model = Model::new(Config {
            hardened,
            ..Config::default()
        });
        let own = model.port_of(model.tids()[0]).expect("main");
        let released = catch_unwind(AssertUnwindSafe(|| model.mach_port_deallocate(own)));
        assert_eq!(released.is_err(), hardened, "{released:?}");
        assert_eq!(model.names().contains_key(&own), hardened);
        assert_eq!(model.audit().is_empty(), hardened, "{:?}", model.audit());
    }
}

#[test]
fn an_ending_thread_is_listed_under_a_new_name_then_without_one_then_not_at_all() {
    let model = Model::new(Config::default());
    let thread = model.spawn("worker", BUSY);
    let port = model.port_of(thread).expect("alive");
    let list = || names_in(model.task_threads().expect("threads"), &model);

    model.before(0, Event::Terminated(0));
    let fresh = list()[1];
    assert_eq!(
        (model.names().get(&port), model.names().get(&fresh)),
        (None, Some(&Right::Send { urefs: 1 }))
    );
    assert_eq!(model.thread_identifier_info(fresh), Err(kern::TERMINATED));
    assert_eq!(list()[1], fresh, "the name is held: it gets one more reference");

    model.before(0, Event::Dying(0));
    assert_eq!(
        model.thread_identifier_info(fresh),
        Err(kern::INVALID_ARGUMENT),
        "the port denotes no thread"
    );
    assert!([MACH_PORT_NULL, MACH_PORT_DEAD].contains(&list()[1]));

    model.before(0, Event::Death(0));
    assert_eq!(model.thread_identifier_info(fresh), Err(kern::SEND_INVALID_DEST));
    assert_eq!(
        (list().len(), model.names().get(&fresh)),
        (1, Some(&Right::DeadName { urefs: 2 }))
    );
}

#[test]
fn a_refused_release_on_a_terminated_threads_name_is_expected_until_after_its_death() {
    let model = Model::new(Config::default());
    let thread = model.spawn("worker", BUSY);
    model.terminate(thread);
    let (address, count) = model.task_threads().expect("threads");
    let [main, fresh] = names_in((address, count), &model)[..] else {
        panic!("two threads are listed");
    };
    model.before(0, Event::Fail(kern::NOT_SUPPORTED));
    assert_eq!(model.mach_port_deallocate(fresh), Err(kern::NOT_SUPPORTED));
    assert_eq!(model.mach_port_deallocate(main), Ok(()));
    assert_eq!(model.mach_vm_deallocate(address, u64::from(count) * 4), Ok(()));
    assert_eq!(model.audit(), [""; 0]);
    model.exit(thread);
    assert_eq!(model.audit(), [""; 0]);
    assert_eq!(model.mach_port_deallocate(fresh), Ok(()));
    assert!(
        model.audit()[0].contains("should be DeadName { urefs: 1 }"),
        "{:?}",
        model.audit()
    );
}

#[test]
fn basic_info_counts_ended_threads_and_thread_times_living_ones() {
    let model = Model::new(Config::default());
    let before = model.mach_task_basic_info().expect("basic").0;
    let worker = model.spawn("worker", BUSY);
    model.pass(1_000_000_000);
    assert_eq!(
        model.mach_task_basic_info().expect("basic").0,
        before,
        "blind to the living"
    );
    let living = model.task_thread_times_info().expect("times");
    assert!(living.total() > 1_000_000, "{living:?}");
    let lifetime = model.cpu_of(worker).expect("alive").total();
    model.exit(worker);
    let ended = model.mach_task_basic_info().expect("basic").0;
    let landed = ended.total() - before.total();
    assert!(
        landed.abs_diff(lifetime / 1000) <= 4,
        "the whole lifetime at once: {landed} of {lifetime} ns"
    );
}

#[test]
fn all_sources_agree_up_to_their_resolution() {
    let model = Model::new(Config {
        call_ns: 0,
        ..Config::default()
    });
    model.spawn("worker", BUSY);
    model.pass(123_456_789);
    let ticks = model.task_absolutetime_info().expect("ticks");
    assert_eq!(model.task_power_info(), Ok(ticks));
    let ns = ticks.total() * 125 / 3;
    let us = model.mach_task_basic_info().expect("basic").0.total()
        + model.task_thread_times_info().expect("times").total();
    let truth = model.cpu().total();
    assert!(truth - ns < 100 && truth - us * 1000 < 4000, "{truth} {ns} {us}");
}

#[test]
fn a_lagging_counter_shows_whole_multiples() {
    let model = Model::new(Config {
        lag_ns: 10_000_000,
        call_ns: 0,
        ..Config::default()
    });
    let worker = model.spawn("worker", Cpu { user: 100, system: 0 });
    let port = model.port_of(worker).expect("alive");
    for (pass, shown) in [(9_999_999, 0), (1, 10_000_000), (15_000_000, 20_000_000)] {
        model.pass(pass);
        assert_eq!(model.thread_extended_info(port).expect("alive").0.user, shown);
    }
}

#[test]
fn under_rosetta_the_timebase_lies_and_the_frequency_does_not() {
    for (translated, timebase) in [(false, (125, 3)), (true, (1, 1))] {
        let model = Model::new(Config {
            translated,
            ..Config::default()
        });
        assert_eq!(model.is_translated(), translated);
        assert_eq!(model.mach_timebase_info(), Ok(timebase));
        assert_eq!(model.ticks_per_second(), Some(24_000_000));
    }
}

#[test]
fn scheduled_events_come_before_their_call_and_a_refused_release_is_on_the_books() {
    let model = Model::new(Config::default());
    model.before(1, Event::Birth);
    model.before(2, Event::Fail(kern::NOT_SUPPORTED));
    model.before(3, Event::Panic);
    model.before(3, Event::Fail(kern::INVALID_RIGHT));
    model.before(4, Event::Panic);
    let first = names_in(model.task_threads().expect("threads"), &model);
    let (address, count) = model.task_threads().expect("threads");
    assert_eq!((first.len(), count), (1, 2));
    assert_eq!(model.task_power_info(), Err(kern::NOT_SUPPORTED));
    assert_eq!(
        model.mach_port_deallocate(first[0]),
        Err(kern::INVALID_RIGHT),
        "releases do not unwind"
    );
    let panic = catch_unwind(AssertUnwindSafe(|| model.monotonic_ns())).expect_err("scheduled");
    assert_eq!(panic.downcast_ref(), Some(&ScheduledPanic(Call::MonotonicClock)));
    assert_eq!((model.failures(), model.panics()), (2, 1));
    assert!(model.mach_vm_deallocate(address, u64::from(count) * 4).is_ok());
    let calls = [
        Call::TaskThreads,
        Call::TaskThreads,
        Call::TaskPowerInfo,
        Call::MachPortDeallocate,
    ];
    assert_eq!(model.calls_made()[..4], calls);
    let faults = model.audit();
    assert!(
        faults
            .iter()
            .any(|fault| fault.contains("Send { urefs: 3 }, not Send { urefs: 2 }")),
        "{faults:?}"
    );
}

#[test]
fn refused_calls_stay_refused() {
    let model = Model::new(Config::default());
    model.refuse(Call::TaskAbsolutetimeInfo, kern::NOT_SUPPORTED);
    for _ in 0..2 {
        assert_eq!(model.task_absolutetime_info(), Err(kern::NOT_SUPPORTED));
    }
    assert!(model.task_power_info().is_ok());
}

#[test]
fn the_walk_over_regions_sees_every_byte_once_and_ends() {
    let model = Model::new(Config {
        page_size: 16,
        ..Config::default()
    });
    for _ in 0..20 {
        model.spawn("parked", Cpu::default());
    }
    model.task_threads().expect("threads");
    let (mut address, mut bytes) = (0, 0);
    while let Ok(region) = model.mach_vm_region_recurse(address) {
        if region.tag == TAG_MACH_MSG {
            bytes += region.size;
        }
        address = region.address + region.size;
    }
    assert_eq!(bytes, 96, "21 names");
    assert_eq!(model.mach_vm_region_recurse(address), Err(kern::INVALID_ADDRESS));
}

//! What a sample costs, in calls of the model.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use mach_model::{Call, Config, Cpu, Event, Model};

use super::super::cpu::Source;
use super::fixture::{ASKED, PARKED};
use super::{MacOs, sample};
use crate::ProcessReport;

/// Messages to the kernel, of which each costs as much as ten system calls: a window's two ends for each thread.
const MESSAGES_A_THREAD: usize = 3;
/// One for each right of either listing.
const RELEASES_A_THREAD: usize = 2;
/// Two listings with their memory, the process's clock twice with its unit, and memory.
const ONCE: usize = 12;

fn model(threads: usize) -> Model {
    let model = Model::new(Config::default());
    for nth in 1..threads {
        // One in five works.
        let busy = Cpu { user: 5, system: 1 };
        model.spawn("thread", if nth % 5 == 0 { busy } else { PARKED });
    }
    model
}

/// The calls of one sample by a sampler that is kept. Reading the monotonic clock takes no call on macOS.
fn calls_of_a_sample(model: &Model, work: impl FnOnce()) -> BTreeMap<Call, usize> {
    let source = OnceLock::from(Source::AbsoluteTime);
    let mut backend = MacOs::empty();
    let mut report = ProcessReport::empty();
    let mut sample = |pause: &mut dyn FnMut()| {
        backend
            .window_of(model, &source, pause)
            .and_then(|window| window.fill(ASKED, &mut report))
            .expect("a report");
    };
    sample(&mut || model.pass(2_000_000_000));
    let before = model.calls_made().len();
    let mut work = Some(work);
    sample(&mut || {
        model.pass(2_000_000_000);
        if let Some(work) = work.take() {
            work();
        }
    });
    let mut calls = BTreeMap::new();
    for call in &model.calls_made()[before..] {
        *calls.entry(*call).or_default() += 1;
    }
    calls.remove(&Call::MonotonicClock);
    calls
}

#[test]
fn budget_of_calls_a_thread() {
    for threads in [1, 10, 100, 1000] {
        let model = model(threads);
        let calls = calls_of_a_sample(&model, || ());
        let messages = calls[&Call::ThreadExtendedInfo] + calls[&Call::ThreadIdentifierInfo];
        assert_eq!(messages, MESSAGES_A_THREAD * threads, "{calls:?}");
        assert_eq!(calls[&Call::MachPortDeallocate], RELEASES_A_THREAD * threads);
        let total: usize = calls.values().sum();
        let budget = (MESSAGES_A_THREAD + RELEASES_A_THREAD) * threads + ONCE;
        assert!(total <= budget, "{total} calls, {budget} allowed: {calls:?}");
        assert_eq!(model.audit(), [""; 0]);
    }
}

#[test]
fn budget_of_births_and_deaths_in_the_window() {
    const THREADS: usize = 20;
    let model = model(THREADS);
    let calls = calls_of_a_sample(&model, || {
        model.spawn("born", PARKED);
        model.exit(model.tids()[3]);
    });
    // The one that was born is asked for its id too; the one that ended for nothing, as it is not listed.
    let messages = calls[&Call::ThreadExtendedInfo] + calls[&Call::ThreadIdentifierInfo];
    assert_eq!(messages, MESSAGES_A_THREAD * THREADS + 1, "{calls:?}");
    assert_eq!(model.audit(), [""; 0]);
}

/// The rights that are held through the window are what makes a port name tell the thread: without them a new
/// thread could be given the name, and the id, of one that ended.
#[test]
fn a_thread_that_is_given_a_freed_port_name_is_not_taken_for_the_one_before() {
    let model = Model::new(Config::default());
    let ends = model.spawn("ends", PARKED);
    let mut born = None;
    let report = sample(&model, ASKED, || {
        let freed = model.port_of(ends);
        model.exit(ends);
        // An entry's names repeat after 63 threads at most: one of these would be given the freed name.
        let is_given_it = |_| {
            let thread = model.spawn("passing", PARKED);
            let has_it = model.port_of(thread) == freed;
            if !has_it {
                model.exit(thread);
            }
            has_it.then_some(thread)
        };
        let same = (0..64).find_map(is_given_it);
        born = same.or_else(|| Some(model.spawn("born", PARKED)));
        model.pass(1_000_000_000);
    })
    .expect("a report");
    let listed: Vec<_> = report
        .threads
        .iter()
        .map(|thread| (thread.tid, thread.name.as_deref()))
        .collect();
    assert_eq!(listed[1..], [(born.expect("spawned"), Some("born"))]);
    assert_eq!(model.audit(), [""; 0]);
}

#[test]
fn a_thread_that_ends_while_it_is_read_again_is_asked_for_its_id_and_left_out() {
    let model = Model::new(Config::default());
    model.spawn("ends", PARKED);
    let first = super::fixture::first_thread_info();
    let report = sample(&model, ASKED, || {
        model.pass(1_000_000_000);
        model.before(first, Event::Dying(0));
    })
    .expect("a report");
    assert_eq!(report.threads.len(), 1, "{report:?}");
    assert_eq!(model.audit(), [""; 0]);
}

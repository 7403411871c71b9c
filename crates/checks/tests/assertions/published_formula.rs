//! What a client would report on a Mac whose process CPU comes from MACH_TASK_BASIC_INFO alone, as that of the published
//! ryll 0.3.0 does: such a figure must not pass.

use std::collections::BTreeSet;

use checks::Outcome;
use mach_model::{Config, Cpu, Model};

use crate::{assertions, checks, evidence, judge};

const WINDOW_NS: u64 = 2_000_000_000;

/// Percent of a core over the window, by a clock of the model.
fn percent(model: &Model, clock_ns: impl Fn(&Model) -> u64) -> f64 {
    let (before, from) = (clock_ns(model), model.now_ns());
    model.pass(WINDOW_NS);
    (clock_ns(model) - before) as f64 * 100.0 / (model.now_ns() - from) as f64
}

fn by_basic_info(model: &Model) -> u64 {
    let (ended, _, _) = model.mach_task_basic_info().expect("the model answers");
    ended.total()
}

fn by_every_thread(model: &Model) -> u64 {
    model.cpu().total()
}

/// A process with the load of the busy report, in threads that go on living, as a client's workers do.
fn under_load(busy_percent: f64) -> Model {
    let model = Model::new(Config::default());
    let user = busy_percent.round() as u64 - 10;
    model.spawn("tokio-rt-worker", Cpu { user, system: 10 });
    for _ in 0..9 {
        model.spawn("tokio-rt-worker", Cpu { user: 0, system: 0 });
    }
    model.pass(WINDOW_NS);
    model
}

/// Test 3's failures where the busy report's process figure is this one.
fn failures(figure: f64) -> BTreeSet<String> {
    let mut evidence = evidence::macos();
    evidence["reports"][1]["metrics"]["process"]["cpu_percent"] = figure.into();
    checks(&judge(&assertions(), &evidence), Outcome::Fail)
}

#[test]
fn ended_threads_alone_are_no_process() {
    let observed = evidence::macos()["reports"][1]["observer"]["cpu_percent"]
        .as_f64()
        .expect("a figure");
    let published = percent(&under_load(observed), by_basic_info);
    assert!(published < 0.1, "no thread ended: {published}");
    assert_eq!(
        failures(published),
        BTreeSet::from(["3.busy.process", "3.busy.sum", "3.rise"].map(str::to_owned))
    );

    let true_figure = percent(&under_load(observed), by_every_thread);
    assert_eq!(failures(true_figure), BTreeSet::new(), "{true_figure} % passes");
}

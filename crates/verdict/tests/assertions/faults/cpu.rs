use serde_json::{Value, json};

use super::{BUSY, IDLE, LATER, Table, add, exchange, list, metadata, process, remove, scale, threads};
use crate::evidence;

const NOTHING_OBSERVED_AT_IDLE: [&str; 8] = [
    "3.idle.process",
    "3.idle.threads",
    "3.rise",
    "4.idle.rss",
    "4.idle.vm",
    "6.idle.complete",
    "6.idle.names",
    "6.idle.seen",
];

pub(super) fn seed(table: &mut Table) {
    seed_window(table);
    seed_process(table);
    seed_threads(table);
    seed_load(table);
}

/// As of a client that claims no window: it is found from outside, which costs a quarter of a point.
fn found_from_outside(report: &mut Value) {
    remove(metadata(report), "window");
    remove(&mut report["metrics"], "measured_window_ms");
    report["observer"]["window"]["uncertainty_ms"] = json!(8.713);
    report["observer"]["cpu_uncertainty_points"] = json!(0.25);
    add(&mut report["observer"]["cpu_resolution_points"], 0.25);
}

fn seed_window(table: &mut Table) {
    table.each(
        "no window is claimed, and it is found from outside",
        found_from_outside,
        &["3.{}.window.inside", "3.{}.window.span"],
    );
    table.one(
        "a figure that is wrong by more than a window found from outside can cost",
        |e| {
            found_from_outside(&mut e["reports"][BUSY]);
            let expected = e["reports"][BUSY]["observer"]["cpu_percent"]
                .as_f64()
                .expect("a figure");
            let wide = (expected * 0.5).max(2.0)
                + e["reports"][BUSY]["observer"]["cpu_resolution_points"]
                    .as_f64()
                    .expect("a figure");
            process(&mut e["reports"][BUSY])["cpu_percent"] = json!(expected + wide + 0.1);
        },
        &["3.busy.window.inside", "3.busy.window.span", "3.busy.process"],
    );
    table.each(
        "the claimed window is a minute old",
        |r| shift_window(r, -60e9),
        &["3.{}.window.inside"],
    );
    table.each(
        "the claimed window is one that was still to come",
        |r| shift_window(r, 10e9),
        &["3.{}.window.inside"],
    );
    table.each(
        "the sampler overslept, and says so",
        |r| {
            oversleep(r);
            r["metrics"]["measured_window_ms"] = json!(2600.4);
        },
        &["3.{}.window.span"],
    );
    table.each(
        "the sampler overslept, and takes the nominal window for the measured one",
        |r| {
            oversleep(r);
            r["metrics"]["measured_window_ms"] = json!(2000.0);
        },
        &["3.{}.window.span", "3.{}.window.measured"],
    );
    table.one_in(
        evidence::linux(),
        "the claimed window ends before it starts",
        |e| {
            exchange(
                &mut metadata(&mut e["reports"][IDLE])["window"],
                "start_monotonic_ns",
                "end_monotonic_ns",
            );
            e["reports"][IDLE]["observer"] = json!({"unavailable": "the window is empty"});
        },
        &["3.idle.window.span", "3.idle.window.measured"],
        &NOTHING_OBSERVED_AT_IDLE,
    );
    table.one_in(
        evidence::linux(),
        "no time passed between two equal readings",
        |e| {
            let report = &mut e["reports"][IDLE];
            report["metrics"]["sample_window_ms"] = json!(0);
            report["metrics"]["measured_window_ms"] = json!(0.0);
            let window = &mut metadata(report)["window"];
            window["end_monotonic_ns"] = window["start_monotonic_ns"].clone();
            report["observer"] = json!({"unavailable": "the window is empty"});
        },
        &["3.idle.window.span", "3.idle.window.measured"],
        &NOTHING_OBSERVED_AT_IDLE,
    );
    table.each(
        "the window is empty",
        |r| r["metrics"]["sample_window_ms"] = json!(0),
        &["3.{}.window.span"],
    );
    table.each(
        "no window asked for",
        |r| remove(&mut r["metrics"], "sample_window_ms"),
        &["3.{}.window.span"],
    );
    table.each(
        "the measured window is text",
        |r| r["metrics"]["measured_window_ms"] = json!("2000"),
        &["3.{}.window.measured"],
    );
    table.one_in(
        evidence::macos(),
        "no window claimed, so that the observer has none either",
        |e| {
            remove(metadata(&mut e["reports"][LATER]), "window");
            e["reports"][LATER]["observer"] = json!({"unavailable": "metadata.json has no window"});
        },
        &[
            "3.later.window.inside",
            "3.later.window.span",
            "3.later.window.measured",
        ],
        &[
            "3.later.process",
            "3.later.threads",
            "4.later.rss",
            "4.later.vm",
            "4.later.footprint",
            "6.later.complete",
            "6.later.names",
            "6.later.seen",
        ],
    );
}

fn seed_process(table: &mut Table) {
    table.one(
        "the CPU of ended threads only",
        |e| *cpu(&mut e["reports"][BUSY]) = json!(0.0),
        &["3.busy.process", "3.busy.sum", "3.rise"],
    );
    table.one(
        "percentages of the nominal window, the real one being 1.6 times as long",
        |e| scale_cpu(&mut e["reports"][BUSY], 1.6),
        &["3.busy.process", "3.busy.threads"],
    );
    table.one(
        "CPU times 1000",
        |e| scale_cpu(&mut e["reports"][LATER], 1000.0),
        &["3.later.process", "3.later.threads"],
    );
    table.one(
        "mach ticks taken for nanoseconds",
        |e| scale_cpu(&mut e["reports"][BUSY], 3.0 / 125.0),
        &["3.busy.process", "3.busy.threads", "3.rise"],
    );
    table.one(
        "an old report's CPU under load",
        |e| {
            *cpu(&mut e["reports"][BUSY]) = cpu(&mut e["reports"][IDLE]).clone();
            for (i, old) in threads(&mut e["reports"][IDLE]).clone().into_iter().enumerate() {
                threads(&mut e["reports"][BUSY])[i]["cpu_percent"] = old["cpu_percent"].clone();
            }
        },
        &["3.busy.process", "3.busy.threads", "3.rise"],
    );
    table.one(
        "a load's CPU at rest",
        |e| *cpu(&mut e["reports"][IDLE]) = json!(20.0),
        &["3.idle.process", "3.idle.sum"],
    );
    table.one(
        "CPU is negative",
        |e| *cpu(&mut e["reports"][LATER]) = json!(-0.1),
        &["1.later.possible", "3.later.process"],
    );
    table.one(
        "CPU is text",
        |e| *cpu(&mut e["reports"][BUSY]) = json!("NaN"),
        &["3.busy.process", "3.busy.sum", "3.rise"],
    );
}

fn seed_threads(table: &mut Table) {
    table.each(
        "a thread's CPU is negative",
        |r| threads(r)[1]["cpu_percent"] = json!(-0.001),
        &["1.{}.possible", "3.{}.sum", "3.{}.threads"],
    );
    table.each(
        "a thread has no CPU",
        |r| remove(&mut threads(r)[2], "cpu_percent"),
        &["3.{}.sum", "3.{}.threads"],
    );
    table.each(
        "every thread a little too high",
        |r| {
            threads(r)
                .iter_mut()
                .for_each(|thread| add(&mut thread["cpu_percent"], 2.5))
        },
        &["3.{}.sum"],
    );
    table.one(
        "every thread at nothing",
        |e| {
            threads(&mut e["reports"][BUSY])
                .iter_mut()
                .for_each(|thread| thread["cpu_percent"] = json!(0.0))
        },
        &["3.busy.sum", "3.busy.threads"],
    );
    table.one(
        "two threads have each other's CPU",
        |e| {
            let threads = threads(&mut e["reports"][BUSY]);
            let first = threads[3]["cpu_percent"].take();
            threads[3]["cpu_percent"] = std::mem::replace(&mut threads[9]["cpu_percent"], first);
        },
        &["3.busy.threads"],
    );
}

fn seed_load(table: &mut Table) {
    table.one(
        "a constant inside both ranges",
        |e| {
            run_evenly(&mut e["reports"][IDLE], 10.0, 13.0);
            run_evenly(&mut e["reports"][BUSY], 20.0, 13.0);
        },
        &["3.rise"],
    );
    table.one_in(
        evidence::linux(),
        "the load fell away, and the report says so",
        |e| run_evenly(&mut e["reports"][BUSY], 4.0, 4.0),
        &[],
        &["3.rise"],
    );
    table.one_in(
        evidence::linux(),
        "there was as much load at rest",
        |e| run_evenly(&mut e["reports"][IDLE], 41.0, 41.0),
        &[],
        &["3.rise"],
    );
    table.one_in(
        evidence::linux(),
        "a window so short that the observer sees nothing in it",
        |e| e["reports"][LATER]["observer"]["cpu_resolution_points"] = json!(100.0),
        &[],
        &["3.later.process", "3.later.threads"],
    );
    table.one_in(
        evidence::linux(),
        "no busy report",
        |e| drop(list(&mut e["reports"]).remove(BUSY)),
        &["3.reports"],
        &["3.rise", "6.session.frames"],
    );
}

fn cpu(report: &mut Value) -> &mut Value {
    &mut process(report)["cpu_percent"]
}

fn scale_cpu(report: &mut Value, factor: f64) {
    scale(cpu(report), factor);
    threads(report)
        .iter_mut()
        .for_each(|thread| scale(&mut thread["cpu_percent"], factor));
}

/// A process whose load is even over its threads: what the observer sees of it, and what the report says.
fn run_evenly(report: &mut Value, observed: f64, reported: f64) {
    report["observer"]["cpu_percent"] = json!(observed);
    *cpu(report) = json!(reported);
    let share = json!(reported / threads(report).len() as f64);
    threads(report)
        .iter_mut()
        .for_each(|thread| thread["cpu_percent"] = share.clone());
    list(&mut report["observer"]["tasks"])
        .iter_mut()
        .for_each(|task| task["cpu_percent"] = share.clone());
}

fn shift_window(report: &mut Value, by_ns: f64) {
    let window = &mut metadata(report)["window"];
    add(&mut window["start_monotonic_ns"], by_ns);
    add(&mut window["end_monotonic_ns"], by_ns);
}

/// Lets the sampler sleep 0.6 s too long; everything but `measured_window_ms` fits the longer window.
fn oversleep(report: &mut Value) {
    add(&mut metadata(report)["window"]["end_monotonic_ns"], 0.6e9);
    add(&mut report["appeared_monotonic_ns"], 0.6e9);
    add(&mut process(report)["uptime_secs"], 0.6);
}

use serde_json::{Value, json};

use super::{BUSY, IDLE, LATER, Table, add, list, metadata, process, remove, scale};
use crate::evidence;

pub(super) fn seed(table: &mut Table) {
    table.one(
        "the first uptime in milliseconds",
        |e| scale(uptime(e, IDLE), 1000.0),
        &["5.idle.age", "5.busy.advance", "5.busy.order", "5.later.advance"],
    );
    table.one(
        "an uptime in milliseconds under load",
        |e| scale(uptime(e, BUSY), 1000.0),
        &["5.busy.advance", "5.later.order"],
    );
    table.one(
        "uptime is frozen",
        |e| {
            [BUSY, LATER]
                .into_iter()
                .for_each(|i| *uptime(e, i) = uptime(e, IDLE).clone())
        },
        &[
            "5.busy.advance",
            "5.busy.order",
            "5.later.advance",
            "5.later.order",
        ],
    );
    table.one(
        "uptime begins anew",
        |e| *uptime(e, LATER) = json!(1.2),
        &["5.later.advance", "5.later.order"],
    );
    table.one(
        "uptime counts from the first sample",
        |e| add_to_all(e, -3.0),
        &["5.idle.age"],
    );
    table.one(
        "uptime counts from the boot",
        |e| add_to_all(e, 13_042.0),
        &["5.idle.age"],
    );
    table.one(
        "uptime loses a second",
        |e| add(uptime(e, LATER), -1.0),
        &["5.later.advance"],
    );
    table.one(
        "no uptime at first",
        |e| remove(process(&mut e["reports"][IDLE]), "uptime_secs"),
        &[
            "5.idle.present",
            "5.idle.age",
            "5.busy.advance",
            "5.busy.order",
            "5.later.advance",
        ],
    );
    table.one(
        "uptime is text",
        |e| *uptime(e, BUSY) = json!("13.7"),
        &[
            "5.busy.present",
            "5.busy.advance",
            "5.busy.order",
            "5.later.order",
        ],
    );
    table.one(
        "no time has passed",
        |e| *uptime(e, LATER) = json!(0.0),
        &["5.later.present", "5.later.advance", "5.later.order"],
    );
    // Only the stamps are left to compare with; those of whole seconds are off by one, and more is told.
    for (name, lie, fails) in [
        ("by stamps: uptime is right", 0.0, &[][..]),
        ("by stamps: uptime is 2.5 s ahead", 2.5, &[]),
        ("by stamps: uptime is 4.6 s ahead", 4.6, &["5.later.advance"]),
        ("by stamps: uptime is 4.6 s behind", -4.6, &["5.later.advance"]),
    ] {
        let mut evidence = sent();
        add(uptime(&mut evidence, LATER), lie);
        let unasked = ["3.{}.window.span", "3.{}.window.measured"];
        table.one_in(
            evidence,
            name,
            |_| {},
            &[&unasked, fails].concat(),
            &["3.{}.window.inside", "5.idle.age"],
        );
    }
}

/// Reports that nobody observed when they were taken, with stamps of whole seconds and windows of two.
fn sent() -> Value {
    let mut evidence = evidence::linux();
    for report in list(&mut evidence["reports"]) {
        let appeared = report["appeared_monotonic_ns"].as_u64().expect("a time");
        report["stamped"] = json!({"unix_secs": appeared / 1_000_000_000, "within_secs": 3.0});
        remove(report, "triggered_monotonic_ns");
        remove(report, "appeared_monotonic_ns");
        remove(metadata(report), "window");
    }
    evidence
}

fn uptime(evidence: &mut Value, report: usize) -> &mut Value {
    &mut process(&mut evidence["reports"][report])["uptime_secs"]
}

fn add_to_all(evidence: &mut Value, secs: f64) {
    list(&mut evidence["reports"])
        .iter_mut()
        .for_each(|report| add(&mut process(report)["uptime_secs"], secs));
}

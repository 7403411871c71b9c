//! Lies so large that several tests find them.

use serde_json::{Value, json};

use super::{BUSY, IDLE, LATER, Table, list, remove};
use crate::evidence;

/// What fails wherever figures are altogether absent.
const NO_FIGURES: [&str; 15] = [
    "1.later.variant",
    "1.later.threads",
    "2.later.available",
    "3.later.window.span",
    "3.later.process",
    "3.later.sum",
    "4.later.rss",
    "4.later.vm",
    "4.later.order",
    "5.later.present",
    "5.later.advance",
    "5.later.order",
    "6.later.count",
    "6.later.worker",
    "6.later.complete",
];

pub(super) fn seed(table: &mut Table) {
    table.one(
        "the idle report's metrics once more, at rest",
        |e| e["reports"][LATER]["metrics"] = e["reports"][IDLE]["metrics"].clone(),
        &["5.later.advance", "5.later.order"],
    );
    // Both claims are false then, that of the CPU and that of the uptime.
    table.one(
        "the idle report's metrics once more, under load",
        |e| e["reports"][BUSY]["metrics"] = e["reports"][IDLE]["metrics"].clone(),
        &[
            "3.busy.process",
            "3.busy.threads",
            "3.rise",
            "5.busy.advance",
            "5.busy.order",
        ],
    );
    table.one(
        "threads, but no process",
        |e| remove(&mut e["reports"][LATER]["metrics"], "process"),
        &[
            "1.later.variant",
            "3.later.process",
            "3.later.sum",
            "4.later.rss",
            "4.later.vm",
            "4.later.order",
            "5.later.present",
            "5.later.advance",
            "5.later.order",
        ],
    );
    table.one_in(
        evidence::linux(),
        "the variant without figures",
        |e| {
            e["reports"][LATER]["metrics"] =
                json!({"platform": "linux", "available": false, "reason": "no backend"})
        },
        &[&NO_FIGURES[..], &["2.later.reason"]].concat(),
        &["3.later.threads"],
    );
    table.one_in(
        evidence::linux(),
        "no runtime-metrics.json",
        |e| e["reports"][LATER]["metrics"] = Value::Null,
        &[&NO_FIGURES[..], &["1.later.platform"]].concat(),
        &["3.later.threads"],
    );
    table.one_in(
        evidence::linux(),
        "zips alone, from a session that nobody observed",
        |e| {
            remove(e, "client");
            remove(e, "source");
            for report in list(&mut e["reports"]) {
                remove(report, "observer");
                remove(report, "triggered_monotonic_ns");
                remove(report, "appeared_monotonic_ns");
            }
        },
        &[],
        &[
            "3.{}.window.inside",
            "3.{}.process",
            "3.{}.threads",
            "3.rise",
            "4.{}.rss",
            "4.{}.vm",
            "5.idle.age",
            "6.{}.complete",
            "6.{}.names",
            "6.{}.seen",
            "6.session.{}.target",
            "6.session.{}.pid",
        ],
    );
}

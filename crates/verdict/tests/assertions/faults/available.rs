use serde_json::json;

use super::{Table, list, process, remove};

pub(super) fn seed(table: &mut Table) {
    table.each(
        "available is text",
        |r| r["metrics"]["available"] = json!("yes"),
        &["2.{}.available"],
    );
    table.each(
        "a reason beside the figures",
        |r| r["metrics"]["reason"] = json!("EPERM"),
        &["2.{}.reason"],
    );
    table.each(
        "a figure is said to be missing",
        |r| r["metrics"]["missing"] = json!({"threads.4250.name": "ESRCH"}),
        &["2.{}.missing"],
    );
    table.each(
        "missing is a list",
        |r| r["metrics"]["missing"] = json!([]),
        &["2.{}.missing"],
    );
    table.each(
        "a figure is absent, with its reason",
        |r| {
            remove(process(r), "vm_size_kb");
            r["metrics"]["missing"] = json!({"process.vm_size_kb": "statm is not readable"});
        },
        &["2.{}.missing", "4.{}.vm", "4.{}.order"],
    );
    table.each(
        "the old sentence in a text",
        |r| {
            r["members"]["notes.txt"] =
                json!({"bytes": 49, "text": "Note: Per-thread metrics not implemented on macOS"})
        },
        &["2.{}.old_sentence"],
    );
    table.each(
        "the old sentence deep in a member's JSON",
        |r| {
            r["members"]["channel-state.json"]["json"]["a"] =
                json!([{"b": "per-thread metrics not implemented"}])
        },
        &["2.{}.old_sentence"],
    );
    table.each(
        "the old sentence in the metrics themselves",
        |r| r["metrics"]["note"] = json!("per-thread metrics not implemented"),
        &["2.{}.old_sentence"],
    );
    table.one(
        "a platform without a table",
        |e| {
            e["environment"]["os"] = json!("freebsd");
            list(&mut e["reports"])
                .iter_mut()
                .for_each(|r| r["metrics"]["platform"] = json!("freebsd"));
        },
        &["2.{}.missing"],
    );
}

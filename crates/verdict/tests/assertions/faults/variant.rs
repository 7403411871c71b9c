use serde_json::json;

use super::{Table, remove};

pub(super) fn seed(table: &mut Table) {
    table.each(
        "the platform of another system",
        |r| r["metrics"]["platform"] = json!("macos"),
        &["1.{}.platform"],
    );
    table.each(
        "the platform in other letters",
        |r| r["metrics"]["platform"] = json!("Linux"),
        &["1.{}.platform"],
    );
    table.each(
        "the platform is a number",
        |r| r["metrics"]["platform"] = json!(1),
        &["1.{}.platform"],
    );
    table.each(
        "no platform",
        |r| remove(&mut r["metrics"], "platform"),
        &["1.{}.platform"],
    );
    table.each(
        "unavailable beside its figures",
        |r| r["metrics"]["available"] = json!(false),
        &["1.{}.variant", "2.{}.available"],
    );
    table.each(
        "a CPU past 2^64 in a thread",
        |r| r["metrics"]["threads"][0]["cpu_percent"] = json!(36_893_488_147_419_103_232.0),
        &["1.{}.possible", "3.{}.sum", "3.{}.threads"],
    );
    table.each(
        "a size past all addresses",
        |r| r["metrics"]["process"]["vm_size_kb"] = json!(1e15),
        &["1.{}.possible", "4.{}.vm"],
    );
    table.each_with_skips(
        "an empty list of threads",
        |r| r["metrics"]["threads"] = json!([]),
        &["1.{}.threads", "6.{}.count", "6.{}.worker", "6.{}.complete"],
        &["3.{}.threads"],
    );
    table.each_with_skips(
        "an object for the list of threads",
        |r| r["metrics"]["threads"] = json!({"1234": {"cpu_percent": 1.0}}),
        &[
            "1.{}.variant",
            "1.{}.threads",
            "6.{}.count",
            "6.{}.worker",
            "6.{}.complete",
        ],
        &["3.{}.threads"],
    );
}

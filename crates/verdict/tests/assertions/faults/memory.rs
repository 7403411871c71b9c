use serde_json::json;

use super::{BUSY, IDLE, LATER, Table, exchange, list, process, remove, scale};
use crate::evidence;

pub(super) fn seed(table: &mut Table) {
    table.each(
        "RSS in bytes",
        |r| scale(&mut process(r)["rss_kb"], 1024.0),
        &["4.{}.rss", "4.{}.order"],
    );
    table.each(
        "RSS in pages",
        |r| scale(&mut process(r)["rss_kb"], 0.25),
        &["4.{}.rss"],
    );
    table.each(
        "RSS is text",
        |r| process(r)["rss_kb"] = json!("61440"),
        &["4.{}.rss", "4.{}.order"],
    );
    table.each(
        "no RSS",
        |r| remove(process(r), "rss_kb"),
        &["4.{}.rss", "4.{}.order"],
    );
    table.each(
        "virtual size in pages",
        |r| scale(&mut process(r)["vm_size_kb"], 0.25),
        &["4.{}.vm"],
    );
    table.each(
        "virtual size in bytes",
        |r| scale(&mut process(r)["vm_size_kb"], 1024.0),
        &["4.{}.vm"],
    );
    table.each(
        "RSS and virtual size exchanged",
        |r| exchange(process(r), "rss_kb", "vm_size_kb"),
        &["4.{}.rss", "4.{}.vm", "4.{}.order"],
    );
    table.one(
        "no size at all, in a process so small that the floor would allow it",
        |e| {
            e["reports"][IDLE]["observer"]["resident_kb"] = json!(3000);
            process(&mut e["reports"][IDLE])["rss_kb"] = json!(0);
        },
        &["4.idle.rss"],
    );
    table.one_in(
        evidence::strict(),
        "RSS in units of 1024 KB, which narrow thresholds find",
        |e| scale(&mut process(&mut e["reports"][BUSY])["rss_kb"], 1.0 / 1.024),
        &["4.busy.rss"],
        &[],
    );
    table.one_in(
        evidence::macos(),
        "RSS and footprint exchanged",
        |e| {
            list(&mut e["reports"])
                .iter_mut()
                .for_each(|r| exchange(process(r), "rss_kb", "footprint_kb"))
        },
        &["4.{}.rss", "4.{}.footprint"],
        &[],
    );
    table.one_in(
        evidence::macos(),
        "no footprint on macOS",
        |e| remove(process(&mut e["reports"][LATER]), "footprint_kb"),
        &["4.later.footprint"],
        &[],
    );
}

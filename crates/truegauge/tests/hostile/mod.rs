//! Files as nobody should send them.

use std::fs::File;
use std::io::{BufWriter, Cursor, Write};
use std::path::Path;

use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::reports::{bare, ours, zipped};

pub(crate) const METRICS: &str = "runtime-metrics.json";

pub(crate) fn good() -> Vec<u8> {
    ours(12.0).zip()
}

pub(crate) fn metrics() -> Vec<u8> {
    bare().to_string().into_bytes()
}

pub(crate) fn cut(to: fn(usize) -> usize) -> Vec<u8> {
    let mut zip = good();
    zip.truncate(to(zip.len()));
    zip
}

/// Another byte in the first member's content.
pub(crate) fn torn() -> Vec<u8> {
    let mut zip = good();
    zip[60] ^= 0xff;
    zip
}

/// A member of this name beside the metrics.
pub(crate) fn named(name: &str) -> Vec<u8> {
    zipped(&[(name, b"{}"), (METRICS, &metrics())])
}

pub(crate) fn bomb() -> Vec<u8> {
    zipped(&[(METRICS, &metrics()), ("spaces.txt", &vec![b' '; 8 << 20])])
}

pub(crate) fn nested_bombs() -> Vec<u8> {
    let inner = zipped(&[("inner.zip", &bomb())]);
    zipped(&[("inner.zip", &inner), ("again.zip", &inner)])
}

pub(crate) fn too_many_members() -> Vec<u8> {
    let names: Vec<String> = (0..513).map(|n| n.to_string()).collect();
    let members: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), b"".as_slice())).collect();
    zipped(&members)
}

/// Each end record sends the reader to a directory of more members than there are.
pub(crate) fn end_records() -> Vec<u8> {
    let mut zip = good();
    let end = zip.split_off(zip.len() - 22);
    let mut another = end.clone();
    another[8..12].copy_from_slice(&[200, 0, 200, 0]);
    [zip, another.repeat(5000)].concat()
}

/// Zips in a zip whose members, together, are more than is read.
pub(crate) fn large_zips() -> Vec<u8> {
    let mut member: Vec<u8> = (0..20_u32 << 20).map(|n| ((n >> 7) % 251) as u8).collect();
    member[0] = 0xff;
    let inner: Vec<Vec<u8>> = (0..5)
        .map(|n| {
            zipped(&[
                (METRICS, format!("{{\"process\": {n}}}").as_bytes()),
                ("x.pcap", &member),
            ])
        })
        .collect();
    let names = ["0.zip", "1.zip", "2.zip", "3.zip", "4.zip"];
    let members: Vec<(&str, &[u8])> = names
        .iter()
        .zip(&inner)
        .map(|(name, zip)| (*name, zip.as_slice()))
        .collect();
    zipped(&members)
}

/// The directory of each zip inside takes megabytes once it is read, and next to nothing in the zip.
pub(crate) fn zips_of_long_names() -> Vec<u8> {
    let names: Vec<String> = (0..500).map(|n| format!("{n:0960}")).collect();
    let mut members = vec![(METRICS, b"{}".as_slice())];
    members.extend(names.iter().map(|name| (name.as_str(), b"".as_slice())));
    let inner = zipped(&members);
    let names: Vec<String> = (0..51).map(|n| format!("{n}.zip")).collect();
    let members: Vec<(&str, &[u8])> = names
        .iter()
        .map(|name| (name.as_str(), inner.as_slice()))
        .collect();
    zipped(&members)
}

pub(crate) fn link() -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.add_symlink(METRICS, "/etc/passwd", SimpleFileOptions::default())
        .expect("a link");
    zip.finish().expect("a zip").into_inner()
}

pub(crate) fn twins() -> Vec<u8> {
    patched(
        named("runtime-metrics.jsom"),
        b"runtime-metrics.jsom",
        METRICS.as_bytes(),
    )
}

pub(crate) fn declares_too_many() -> Vec<u8> {
    let mut zip = good();
    let end = zip.len() - 22;
    zip[end + 8..end + 12].fill(0xff);
    zip
}

/// The locator says that the zip64 record lies beyond the end of everything.
pub(crate) fn zip64_beyond_the_end() -> Vec<u8> {
    let mut zip = good();
    let end = zip.split_off(zip.len() - 22);
    zip.extend(b"PK\x06\x07\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\x7f\x01\0\0\0");
    [zip, end].concat()
}

pub(crate) fn deep_session() -> Vec<u8> {
    let deep = "{\"a\":".repeat(100_000);
    zipped(&[(METRICS, &metrics()), ("session.json", deep.as_bytes())])
}

/// Not compressed far enough to be taken for a bomb.
pub(crate) fn many_lists() -> Vec<u8> {
    zipped(&[
        (METRICS, &metrics()),
        ("channel-state.json", &list_of("[]", 300_000)),
    ])
}

/// Text that does not compress, nearly as much as may be kept.
pub(crate) fn long_text() -> Vec<u8> {
    let mut state = 1_u32;
    let letters = std::iter::from_fn(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some(b'a' + (state >> 24) as u8 % 26)
    });
    let text: Vec<u8> = letters.take(4_000_000).collect();
    zipped(&[(METRICS, &metrics()), ("one.txt", &text), ("two.txt", &text)])
}

pub(crate) fn list_of(item: &str, count: usize) -> Vec<u8> {
    let mut list = Vec::with_capacity(count * (item.len() + 1) + 2);
    list.push(b'[');
    for index in 0..count {
        if index > 0 {
            list.push(b',');
        }
        list.extend(item.as_bytes());
    }
    list.push(b']');
    list
}

/// Overwrites every occurrence of `from`, as an attacker would after zipping.
pub(crate) fn patched(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    let places: Vec<usize> = (0..bytes.len() - from.len())
        .filter(|at| bytes[*at..].starts_with(from))
        .collect();
    assert!(!places.is_empty() && from.len() == to.len());
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

/// Sets bits in a field of every local header and every directory entry (APPNOTE 4.3.7 and 4.3.12).
pub(crate) fn with_flags(mut bytes: Vec<u8>, bits: u8) -> Vec<u8> {
    for at in 0..bytes.len() - 10 {
        if bytes[at..].starts_with(b"PK\x03\x04") {
            bytes[at + 6] |= bits;
        } else if bytes[at..].starts_with(b"PK\x01\x02") {
            bytes[at + 8] |= bits;
        }
    }
    bytes
}

/// Metrics that can be read and cannot be right.
pub(crate) fn wrong_metrics() -> Vec<(&'static str, String)> {
    let with = |pointer: &str, value: Value| {
        let mut metrics = bare();
        *metrics.pointer_mut(pointer).expect(pointer) = value;
        metrics.to_string()
    };
    // Within the budget of memory, at its edge.
    let objects = vec![json!({"": 0}); 15_000];
    let threads: Vec<Value> = (0..6000)
        .map(|n| json!({"tid": n, "name": "x", "cpu_percent": -1.0}))
        .collect();
    vec![
        ("nothing", "{}".to_owned()),
        ("a list", "[]".to_owned()),
        ("no process", with("/process", json!({}))),
        ("no threads", with("/threads", json!([]))),
        ("NaN as text", with("/process/cpu_percent", json!("NaN"))),
        ("a figure as a list", with("/process/rss_kb", json!([1]))),
        (
            "a CPU past 2⁶⁴",
            bare()
                .to_string()
                .replace("\"cpu_percent\":6.0", "\"cpu_percent\":36893488147419103232"),
        ),
        (
            "a size past 2⁶⁴",
            bare()
                .to_string()
                .replace("\"rss_kb\":44876", "\"rss_kb\":36893488147419103232"),
        ),
        ("a negative CPU", with("/process/cpu_percent", json!(-5.0))),
        ("the largest number", with("/process/uptime_secs", json!(1.7e308))),
        (
            "the old sentence",
            with("/threads/0/name", json!("Per-Thread metrics not implemented")),
        ),
        (
            "unavailable",
            json!({"platform": "linux", "available": false, "reason": "x"}).to_string(),
        ),
        (
            "as many objects as can be judged",
            json!({"platform": "linux", "x": objects}).to_string(),
        ),
        ("thousands of threads", with("/threads", Value::Array(threads))),
    ]
}

/// A zip with so many members, all of one content, which stands there once, and names of that length. It is written as it is made:
/// what this process keeps counts as a child's.
pub(crate) fn write_members(path: &Path, members: u32, name_bytes: u16) {
    let mut file = BufWriter::new(File::create(path).expect("created"));
    let mut write = |bytes: &[u8]| file.write_all(bytes).expect("written");
    write(b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07\0\0\x000000000");
    let directory = 37_u64;
    for n in 0..members {
        write(b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        write(&name_bytes.to_le_bytes());
        write(&[0; 16]);
        write(format!("{n:0width$}", width = usize::from(name_bytes)).as_bytes());
    }
    let size = u64::from(members) * (46 + u64::from(name_bytes));
    let count = u64::from(members).to_le_bytes();
    write(b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x2d\0\x2d\0\0\0\0\0\0\0\0\0");
    for field in [count, count, size.to_le_bytes(), directory.to_le_bytes()] {
        write(&field);
    }
    write(b"PK\x06\x07\0\0\0\0");
    write(&(directory + size).to_le_bytes());
    write(b"\x01\0\0\0");
    write(b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0");
}

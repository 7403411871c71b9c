//! `truegauge verify-report` on what nobody should send: one clear line each, and little memory.
//!
//! A process by itself, and inputs made one after the other: what a child takes is measured by the kernel, which counts
//! what its parent had when it started. `--nocapture` shows what is said of each input.
#![cfg(unix)]

mod reports;

use std::fs::File;
use std::io::{BufWriter, Cursor, Write};
use std::path::Path;
use std::process::Command;

use reports::{bare, json_zip, ours, verify_report, zipped};
use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const METRICS: &str = "runtime-metrics.json";

/// One input: content, exit code, and what is said.
struct Input {
    name: &'static str,
    make: fn() -> Vec<u8>,
    code: i32,
    said: &'static str,
}

const fn input(name: &'static str, make: fn() -> Vec<u8>, code: i32, said: &'static str) -> Input {
    Input {
        name,
        make,
        code,
        said,
    }
}

const UNREADABLE: &[Input] = &[
    input("empty", Vec::new, 2, "it is empty"),
    input(
        "no zip",
        || b"\x89PNG\r\n\x1a\n0000".to_vec(),
        2,
        "this is a PNG picture",
    ),
    input(
        "text",
        || b"hello, this is a report".to_vec(),
        2,
        "this is text, neither a zip nor JSON",
    ),
    input("truncated", || cut(|length| length / 2), 2, "not a whole zip"),
    input("cut by one", || cut(|length| length - 1), 2, "not a whole zip"),
    input("headless", || good()[200..].to_vec(), 2, "not a whole zip"),
    input("torn", torn, 2, "damaged"),
    input("encrypted", || with_flags(good(), 1), 2, "is encrypted"),
    input(
        "declares too many",
        declares_too_many,
        2,
        "65535 members, at most 512",
    ),
    input(
        "too many members",
        too_many_members,
        2,
        "513 members, at most 512",
    ),
    input(
        "end records without end",
        end_records,
        2,
        "more than 4194304 bytes would have to be read",
    ),
    input("zip64", zip64_beyond_the_end, 2, "zip64"),
    input("a bomb", bomb, 2, "a bomb?"),
    input(
        "a bomb in a zip",
        || zipped(&[("report.zip", &bomb())]),
        2,
        "a bomb?",
    ),
    input("nested bombs", nested_bombs, 2, "there is no report in it"),
    input("many large zips in a zip", large_zips, 2, "at most"),
    input(
        "many zips of long names in a zip",
        zips_of_long_names,
        2,
        "more than 2048 members in the zips inside",
    ),
    input("an absolute name", || named("/etc/passwd"), 2, "path traversal"),
    input(
        "a name that climbs",
        || patched(named("aa/session.json"), b"aa/", b"../"),
        2,
        "path traversal",
    ),
    input("a link", link, 2, "is a link"),
    input("two of one name", twins, 2, "two members have one name"),
    input(
        "two of one name in other letters",
        || named("Runtime-Metrics.JSON"),
        2,
        "two members have one name",
    ),
    input(
        "a terminal's name",
        || patched(named("ab[2J.json"), b"ab[", b"a\x1b["),
        2,
        "control characters",
    ),
    input("deep", || vec![b'['; 100_000], 2, "recursion limit"),
    input(
        "deep in a zip",
        || zipped(&[(METRICS, &[b'['; 100_000])]),
        2,
        "recursion limit",
    ),
    input(
        "deep beside the metrics",
        deep_session,
        2,
        "\"session.json\" cannot be read as JSON: recursion limit",
    ),
    input(
        "NaN",
        || b"{\"process\": {\"cpu_percent\": NaN}}".to_vec(),
        1,
        "cannot be read as JSON",
    ),
    input(
        "infinite",
        || b"{\"process\": {\"cpu_percent\": 1e400}}".to_vec(),
        1,
        "out of range",
    ),
    input(
        "not UTF-8",
        || zipped(&[(METRICS, b"{\"platform\": \"\xff\"}")]),
        1,
        "\"runtime-metrics.json\" is not text",
    ),
    input(
        "half a document",
        || metrics()[..200].to_vec(),
        2,
        "JSON that was cut off",
    ),
    input(
        "many objects",
        || list_of("{\"\":0}", 400_000),
        2,
        "more than can be judged",
    ),
    input(
        "many numbers",
        || list_of("0", 1_900_000),
        2,
        "more than can be judged",
    ),
    input(
        "many numbers in UTF-16",
        || {
            list_of("0", 900_000)
                .into_iter()
                .flat_map(|byte| [byte, 0])
                .collect()
        },
        2,
        "more than can be judged",
    ),
    input(
        "a key twice",
        || b"{\"platform\": \"linux\", \"platform\": \"macos\"}".to_vec(),
        2,
        "the key \"platform\" occurs twice",
    ),
    input(
        "many lists beside the metrics",
        many_lists,
        2,
        "more than can be judged",
    ),
    input("too long", || list_of("0", 3_000_000), 2, "bytes of text"),
    input(
        "no metrics",
        || json_zip(&[("metadata.json", json!({})), ("session.json", json!({}))]),
        1,
        "has no runtime-metrics.json",
    ),
    input(
        "another zip",
        || json_zip(&[("package.json", json!({}))]),
        2,
        "there is no report in it, for it has no runtime-metrics.json (it holds \"package.json\")",
    ),
];

fn good() -> Vec<u8> {
    ours(12.0).zip()
}

fn metrics() -> Vec<u8> {
    bare().to_string().into_bytes()
}

fn cut(to: fn(usize) -> usize) -> Vec<u8> {
    let mut zip = good();
    zip.truncate(to(zip.len()));
    zip
}

/// Another byte in the first member's content.
fn torn() -> Vec<u8> {
    let mut zip = good();
    zip[60] ^= 0xff;
    zip
}

/// A member of this name beside the metrics.
fn named(name: &str) -> Vec<u8> {
    zipped(&[(name, b"{}"), (METRICS, &metrics())])
}

fn bomb() -> Vec<u8> {
    zipped(&[(METRICS, &metrics()), ("spaces.txt", &vec![b' '; 8 << 20])])
}

fn nested_bombs() -> Vec<u8> {
    let inner = zipped(&[("inner.zip", &bomb())]);
    zipped(&[("inner.zip", &inner), ("again.zip", &inner)])
}

fn too_many_members() -> Vec<u8> {
    let names: Vec<String> = (0..513).map(|n| n.to_string()).collect();
    let members: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), b"".as_slice())).collect();
    zipped(&members)
}

/// Each end record sends the reader to a directory of more members than there are.
fn end_records() -> Vec<u8> {
    let mut zip = good();
    let end = zip.split_off(zip.len() - 22);
    let mut another = end.clone();
    another[8..12].copy_from_slice(&[200, 0, 200, 0]);
    [zip, another.repeat(5000)].concat()
}

/// Zips in a zip whose members, together, are more than is read.
fn large_zips() -> Vec<u8> {
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
fn zips_of_long_names() -> Vec<u8> {
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

fn link() -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.add_symlink(METRICS, "/etc/passwd", SimpleFileOptions::default())
        .expect("a link");
    zip.finish().expect("a zip").into_inner()
}

fn twins() -> Vec<u8> {
    patched(
        named("runtime-metrics.jsom"),
        b"runtime-metrics.jsom",
        METRICS.as_bytes(),
    )
}

fn declares_too_many() -> Vec<u8> {
    let mut zip = good();
    let end = zip.len() - 22;
    zip[end + 8..end + 12].fill(0xff);
    zip
}

/// The locator says that the zip64 record lies beyond the end of everything.
fn zip64_beyond_the_end() -> Vec<u8> {
    let mut zip = good();
    let end = zip.split_off(zip.len() - 22);
    zip.extend(b"PK\x06\x07\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\x7f\x01\0\0\0");
    [zip, end].concat()
}

fn deep_session() -> Vec<u8> {
    let deep = "{\"a\":".repeat(100_000);
    zipped(&[(METRICS, &metrics()), ("session.json", deep.as_bytes())])
}

/// Not compressed far enough to be taken for a bomb.
fn many_lists() -> Vec<u8> {
    zipped(&[
        (METRICS, &metrics()),
        ("channel-state.json", &list_of("[]", 300_000)),
    ])
}

/// Text that does not compress, nearly as much as may be kept.
fn long_text() -> Vec<u8> {
    let mut state = 1_u32;
    let letters = std::iter::from_fn(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some(b'a' + (state >> 24) as u8 % 26)
    });
    let text: Vec<u8> = letters.take(4_000_000).collect();
    zipped(&[(METRICS, &metrics()), ("one.txt", &text), ("two.txt", &text)])
}

fn list_of(item: &str, count: usize) -> Vec<u8> {
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
fn patched(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
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
fn with_flags(mut bytes: Vec<u8>, bits: u8) -> Vec<u8> {
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
fn wrong_metrics() -> Vec<(&'static str, String)> {
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
fn write_members(path: &Path, members: u32, name_bytes: u16) {
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

/// No child of this test took more than 64 MB so far. `--nocapture` shows the last one's CPU time.
fn assert_modest(name: &str) {
    #[cfg(target_os = "linux")]
    {
        use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

        use nix::sys::resource::{UsageWho, getrusage};
        use nix::sys::time::TimeValLike;
        static CPU_MS_SO_FAR: AtomicI64 = AtomicI64::new(0);
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("usage");
        let kib = usage.max_rss();
        let cpu_ms = (usage.user_time() + usage.system_time()).num_milliseconds();
        let last_ms = cpu_ms - CPU_MS_SO_FAR.swap(cpu_ms, Relaxed);
        println!("    {last_ms} ms; the most memory so far: {kib} KiB");
        assert!(kib < 64 * 1000, "{name}: {kib} KiB");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = name;
}

#[test]
fn what_nobody_should_send_is_told_in_one_line_and_takes_little() {
    let desk = tempfile::tempdir().expect("a directory");
    let path = |name: &str| desk.path().join(name);
    let (fifo, many) = (path("fifo"), path("many.zip"));
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.is_ok_and(|status| status.success()));
    write_members(&many, 1_000_000, 7);
    refused("a named pipe", &fifo, 2, "named pipe");
    refused("a million members", &many, 2, "1000000 members, at most 512");
    refused(
        "a directory with a bad zip",
        desk.path(),
        2,
        "many.zip: 1000000 members",
    );
    write_members(&many, 500, 60_000);
    refused(
        "30 MB of names",
        &many,
        2,
        "more than 4194304 bytes would have to be read",
    );
    std::fs::remove_file(&many).expect("removed");
    refused(
        "a directory without a report",
        desk.path(),
        2,
        "a directory without a report",
    );
    refused("nothing there", &path("gone.zip"), 2, "No such file");
    refused("a device", Path::new("/dev/null"), 2, "not a regular file");
    for Input {
        name,
        make,
        code,
        said,
    } in UNREADABLE
    {
        let file = path("report.zip");
        std::fs::write(&file, make()).expect("written");
        refused(name, &file, *code, said);
    }
    let long = path("long.zip");
    std::fs::write(&long, long_text()).expect("written");
    let sent = verify_report([long.as_os_str(); 10], None);
    assert_eq!(sent.code, 2, "{sent:?}");
    assert!(sent.stderr.contains("more than can be judged"), "{sent:?}");
    assert_modest("many reports with long texts");
    for (name, metrics) in wrong_metrics() {
        let file = path("report.zip");
        std::fs::write(&file, zipped(&[(METRICS, metrics.as_bytes())])).expect("written");
        wrong(name, &file);
        std::fs::write(&file, &metrics).expect("written");
        // By itself, nothing says that it is a client's.
        match metrics.as_str() {
            "{}" | "[]" => refused(name, &file, 2, "not a runtime-metrics.json"),
            _ => wrong(name, &file),
        }
    }
}

fn refused(name: &str, path: &Path, code: i32, said: &str) {
    let sent = verify_report([path.as_os_str()], None);
    print!("{name}: exit code {}: {}", sent.code, sent.stderr);
    assert_eq!(sent.code, code, "{name}: {sent:?}");
    assert!(
        sent.stderr.starts_with("error: ") && sent.stderr.trim_end().lines().count() == 1,
        "{name}: one line: {sent:?}"
    );
    assert!(sent.stderr.contains(said), "{name}: wanted {said:?}: {sent:?}");
    assert!(sent.stderr.len() < 1000, "{name}: {sent:?}");
    assert_modest(name);
}

/// Readable, and not right.
fn wrong(name: &str, path: &Path) {
    let sent = verify_report([path.as_os_str()], None);
    println!("{name}: exit code {}: {}", sent.code, sent.last_line());
    assert_eq!(sent.code, 1, "{name}: {sent:?}");
    assert!(sent.last_line().starts_with("FAIL: "), "{name}: {sent:?}");
    assert_modest(name);
}

//! `truegauge verify-report` on what nobody should send: one clear line each, and little memory.
//!
//! A process by itself, and inputs made one after the other: what a child takes is measured by the kernel, which counts
//! what its parent had when it started. `--nocapture` shows what is said of each input.
#![cfg(unix)]

mod hostile;
mod reports;

use std::path::Path;
use std::process::Command;

use hostile::*;
use reports::{json_zip, verify_report, zipped};
use serde_json::json;

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
    input(
        "nested bombs",
        nested_bombs,
        2,
        "there are zips in this zip in a zip",
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
    refused("a named pipe without a writer", &fifo, 2, "it is empty");
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
    // Of some of these the figures are read, and are none: that is the client's fault.
    for (name, zip, said) in [
        ("many large zips in a zip", large_zips(), "bytes, at most"),
        (
            "many zips of long names in a zip",
            zips_of_long_names(),
            "more than 2048 members in the zips inside",
        ),
    ] {
        let file = path("large.zip");
        std::fs::write(&file, zip).expect("written");
        let sent = verify_report([file.as_os_str()], None);
        assert_eq!(sent.code, 1, "{name}: {sent:?}");
        assert!(sent.stdout.contains(said), "{name}: wanted {said:?}: {sent:?}");
        assert!(sent.last_line().contains("not read"), "{name}: {sent:?}");
        assert_modest(name);
    }
    let long = path("long.zip");
    std::fs::write(&long, long_text()).expect("written");
    let sent = verify_report([long.as_os_str(); 10], None);
    assert_eq!(sent.code, 2, "{sent:?}");
    assert!(sent.stdout.contains("more than can be judged"), "{sent:?}");
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
    // One line a file.
    let (last, others) = sent
        .stderr
        .trim_end()
        .rsplit_once('\n')
        .map_or((sent.stderr.as_str(), ""), |(others, last)| (last, others));
    assert!(
        last.starts_with("error: ") && others.lines().all(|line| line.starts_with("warning: ")),
        "{name}: {sent:?}"
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

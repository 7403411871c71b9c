//! What the files of a report say.

use super::*;

#[test]
fn a_report_is_read_whole() {
    let zip = zipped(&[
        (METRICS, br#"{"platform":"linux"}"#),
        ("metadata.json", br#"{"pid":1}"#),
        ("notes.txt", b"text"),
        ("screenshot.png", b"\x89PNG\xff"),
    ]);
    let mut archive = Archive::open(Cursor::new(&zip), SMALL).expect("a zip");
    let report = archive.read(0).expect("a report");
    let (metrics, members) = report.into_evidence(&mut Budget::default()).expect("good");
    assert_eq!(metrics, json!({"platform": "linux"}));
    assert_eq!(
        members,
        json!({
            METRICS: {"bytes": 20},
            "metadata.json": {"bytes": 9, "json": {"pid": 1}},
            "notes.txt": {"bytes": 4, "text": "text"},
            "screenshot.png": {"bytes": 5},
        })
    );
}

#[test]
fn text_is_kept_within_bounds_and_the_rest_scanned() {
    let text = |bytes: usize| "ü".repeat(bytes / 2).into_bytes();
    let mut capture = vec![0xff; 2 << 20];
    capture[..4].copy_from_slice(b"\xd4\xc3\xb2\xa1");
    let stored = |members: &[(&str, &[u8])]| zipped_by(CompressionMethod::Stored, members);
    let fits = stored(&[
        (METRICS, b"{}"),
        ("traffic.pcap", &capture),
        ("notes.txt", &text(100_000)),
    ]);
    let found = read(&fits).expect("read");
    let members = &found[0].1;
    assert_eq!(members["traffic.pcap"], json!({"bytes": 2 << 20}));
    assert_eq!(members["notes.txt"]["text"].as_str().map(str::len), Some(100_000));
    for members in [
        &[
            (METRICS, b"{}".as_slice()),
            ("long.txt", text((1 << 20) + 2).as_slice()),
        ][..],
        &[
            (METRICS, b"{}"),
            ("one.txt", &text(1 << 20)),
            ("two.txt", &text(1 << 20)),
        ],
    ] {
        let error = refusal(&stored(members));
        assert!(error.contains("too long to be judged"), "{error}");
    }
}

#[test]
fn the_client_is_at_fault_for_what_it_wrote_and_the_file_for_the_rest() {
    let deep = "[".repeat(100_000);
    for (members, is_clients_fault, reason) in [
        (
            vec![(METRICS, b"{".as_slice())],
            true,
            "runtime-metrics.json cannot be read as JSON",
        ),
        (vec![(METRICS, b"{\"a\": NaN}")], true, "cannot be read as JSON"),
        (vec![(METRICS, b"{\"\xff\": 1}")], true, "is not text"),
        (
            vec![("metadata.json", b"{}".as_slice()), ("session.json", b"{}")],
            true,
            "has no runtime-metrics.json",
        ),
        (vec![(METRICS, b"{} {}")], true, "text follows the JSON"),
        (
            vec![(METRICS, b"{}".as_slice()), ("session.json", b"nope")],
            true,
            "\"session.json\" cannot be read as JSON",
        ),
        (vec![(METRICS, b"<!DOCTYPE html>")], false, "is HTML"),
        (vec![(METRICS, deep.as_bytes())], false, "recursion limit"),
        (
            vec![(METRICS, b"{\"a\": 1, \"a\": 1}")],
            false,
            "the key \"a\" occurs twice",
        ),
    ] {
        let error = read(&zipped(&members)).expect_err(reason);
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(error.is_clients_fault(), is_clients_fault, "{error}");
    }
}

#[test]
fn other_files_of_json_next_to_the_reports_need_not_be_json() {
    let zip = zipped(&[
        (METRICS, b"{}"),
        ("log.json", b"{\"n\": 1}\n{\"n\": 2}\n"),
        ("x.json", b"\xff"),
    ]);
    let found = read(&zip).expect("read");
    assert_eq!(
        found[0].1,
        json!({
            METRICS: {"bytes": 2},
            "log.json": {"bytes": 18, "text": "{\"n\": 1}\n{\"n\": 2}\n"},
            "x.json": {"bytes": 1},
        })
    );
}

#[test]
fn json_members_are_read_in_every_encoding() {
    let wide: Vec<u8> = "\u{feff}{\"pid\": 7}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for text in [
        b"{\"pid\": 7}".as_slice(),
        b"\xef\xbb\xbf{\"pid\":\r\n7}\r\n",
        &wide,
    ] {
        let found = read(&zipped(&[(METRICS, text), ("session.json", text)])).expect("read");
        let members = &found[0].1;
        assert_eq!(
            members["session.json"],
            json!({"bytes": text.len(), "json": {"pid": 7}})
        );
    }
}

#[test]
fn what_is_forgiven_to_pasted_text_is_not_forgiven_to_a_client() {
    for text in [
        "```json\n{\"pid\": 7}\n```\n",
        "{\u{a0}\"pid\": 7}",
        "{\"pid\": 7}\0",
    ] {
        let error = read(&zipped(&[(METRICS, b"{}"), ("session.json", text.as_bytes())])).expect_err(text);
        assert!(error.is_clients_fault(), "{text:?}: {error}");
        let pasted = text.replace("pid", "platform").into_bytes();
        crate::bare_metrics(pasted, &mut Budget::default())
            .unwrap_or_else(|error| panic!("{text:?}: {error}"));
    }
}

#[test]
fn a_directory_is_a_report() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, content: &str| std::fs::write(dir.path().join(name), content).expect("written");
    write("Runtime-Metrics.json", "{\"platform\": \"linux\"}");
    write("notes.txt", "x");
    write(".DS_Store", "\0");
    std::fs::create_dir(dir.path().join("logs")).expect("created");
    #[cfg(unix)]
    std::os::unix::fs::symlink("/dev/zero", dir.path().join("session.json")).expect("a link");
    let files = ReportFiles::read_dir(dir.path(), &SMALL).expect("read");
    let (metrics, members) = files.into_evidence(&mut Budget::default()).expect("good");
    assert_eq!(metrics, json!({"platform": "linux"}));
    let names: Vec<&String> = members.as_object().expect("members").keys().collect();
    assert_eq!(names, ["notes.txt", METRICS]);
    for n in 0..3 {
        write(&n.to_string(), "");
    }
    let error = ReportFiles::read_dir(dir.path(), &SMALL).expect_err("too many");
    assert!(error.to_string().contains("more than 4 files"), "{error}");
}

#[test]
fn a_zip_without_metrics_is_opened_as_the_one_report_of_a_client() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.zip");
    std::fs::write(&path, zipped(&[("readme.txt", b"x")])).expect("written");
    let files = ReportFiles::open(&path).expect("opened");
    let error = files
        .into_evidence(&mut Budget::default())
        .expect_err("no metrics");
    assert!(error.is_clients_fault(), "{error}");
    let several = zipped(&[
        ("a/runtime-metrics.json", b"{}"),
        ("b/runtime-metrics.json", b"{}"),
    ]);
    std::fs::write(&path, several).expect("written");
    let error = described(&ReportFiles::open(&path).expect_err("several"));
    assert!(error.contains("2 reports in one zip"), "{error}");
}

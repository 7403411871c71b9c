//! `truegauge verify-report` on reports as people send them: packed again by common tools, in common ways.
//!
//! Each way is taken twice, for a true report, which passes, and for one with a false figure, which fails. What cannot be judged
//! ends with exit code 2, and says why.
#![cfg(unix)]

mod harness;
mod reports;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::skip::skip;
use reports::{Members, ours, verify_report};

/// What is expected of a file.
enum Expected {
    /// So many reports are found in it, and judged.
    Judged(usize),
    /// Exit code 2, and these words.
    Refused(&'static str),
}
use Expected::{Judged, Refused};

/// A name, a script for the shell that makes `out.zip` or another `out.*`, and what is expected of that.
type Way = (&'static str, &'static str, Expected);

/// Where scripts run: `idle` and `later` are directories with the files of a report, `idle.zip` is the first as a client writes it;
/// `notes.txt` and `client.log` lie next to them.
fn desk(idle: &Members) -> tempfile::TempDir {
    let desk = tempfile::tempdir().expect("a directory");
    let path = |name: &str| desk.path().join(name);
    idle.unzipped(&path("idle"));
    ours(42.0).uptime(44.1).unzipped(&path("later"));
    for (name, content) in [
        ("idle.zip", idle.zip()),
        ("notes.txt", b"It froze at noon.\n".to_vec()),
        ("client.log", b"[2026-11-22T19:42:50Z] connected\n".to_vec()),
    ] {
        std::fs::write(path(name), content).expect("written");
    }
    desk
}

/// Takes every way, where the tool is there.
fn take(tool: &str, probe: &[&str], ways: &[Way]) {
    let answers = Command::new(probe[0])
        .args(&probe[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !answers {
        skip(tool);
        return;
    }
    for (name, script, expected) in ways {
        for (report, code, verdict) in [(ours(12.0), 0, "PASS: "), (ours(12.0).lying(), 1, "FAIL: ")] {
            let desk = desk(&report);
            let output = Command::new("sh")
                .args(["-ec", script])
                .current_dir(desk.path())
                .stdin(Stdio::null())
                .output()
                .expect("sh");
            assert!(output.status.success(), "{tool}: {name}: {output:?}");
            let file = made(desk.path());
            let sent = verify_report([file.as_os_str()], None);
            match expected {
                Judged(count) => {
                    assert_eq!(sent.code, code, "{tool}: {name}: {sent:?}");
                    assert!(sent.last_line().starts_with(verdict), "{tool}: {name}: {sent:?}");
                    let found = sent.stdout.lines().filter(|line| line.starts_with("report"));
                    assert_eq!(found.count(), *count, "{tool}: {name}: {sent:?}");
                }
                Refused(words) => {
                    assert_eq!(sent.code, 2, "{tool}: {name}: {sent:?}");
                    assert!(
                        sent.stderr.contains(words),
                        "{tool}: {name}: wanted {words:?}: {sent:?}"
                    );
                    assert!(!sent.stderr.contains("damaged"), "{tool}: {name}: {sent:?}");
                    break;
                }
            }
        }
    }
}

/// The file that a script made.
fn made(dir: &Path) -> PathBuf {
    let entries = std::fs::read_dir(dir).expect("listed");
    let mut files = entries.map(|entry| entry.expect("listed").path());
    files
        .find(|path| path.file_stem().is_some_and(|stem| stem == "out"))
        .expect("a file is made")
}

#[test]
fn zips_of_info_zip_are_judged() {
    take(
        "zip",
        &["zip", "--version"],
        &[
            ("a folder", "zip -qr out.zip idle", Judged(1)),
            (
                "a folder without entries of its own",
                "zip -qrD out.zip idle",
                Judged(1),
            ),
            ("the files alone", "cd idle; zip -q ../out.zip *", Judged(1)),
            ("paths cut off", "zip -qj out.zip idle/*", Judged(1)),
            ("stored", "zip -qr0 out.zip idle", Judged(1)),
            ("without extra fields", "zip -qrX out.zip idle", Judged(1)),
            (
                "a deep folder",
                "mkdir -p a/b; mv idle a/b; zip -qr out.zip a",
                Judged(1),
            ),
            ("a folder named .", "cd idle; zip -qr ../out.zip .", Judged(1)),
            (
                "a Japanese folder",
                "mv idle 報告; zip -qr out.zip 報告",
                Judged(1),
            ),
            (
                "a name with a colon",
                "mv idle 'at 12:30'; zip -qr out.zip at*",
                Judged(1),
            ),
            (
                "upper case",
                "cd idle; for f in *; do mv $f $(echo $f | tr a-z A-Z); done; cd ..; zip -qr out.zip idle",
                Judged(1),
            ),
            ("lines that end as on Windows", "zip -qrl out.zip idle", Judged(1)),
            ("written to a pipe", "zip -qr - idle > out.zip", Judged(1)),
            (
                "written to a pipe as zip64",
                "zip -qr -fz - idle > out.zip",
                Judged(1),
            ),
            ("forced to zip64", "zip -qr -fz out.zip idle", Judged(1)),
            (
                "a comment",
                "zip -qr out.zip idle; echo 'See the notes.' | zip -qz out.zip",
                Judged(1),
            ),
            (
                "a newline behind the end",
                "zip -qr out.zip idle; echo >> out.zip",
                Judged(1),
            ),
            (
                "a script before it",
                "zip -qr x.zip idle; (echo '#!/bin/sh'; cat x.zip) > out.zip",
                Judged(1),
            ),
            (
                "a script that offsets count",
                "zip -qr x.zip idle; (echo '#!/bin/sh'; cat x.zip) > out.zip; zip -qA out.zip",
                Judged(1),
            ),
            ("twice", "zip -q out.zip idle.zip", Judged(1)),
            ("twice and stored", "zip -q0 out.zip idle.zip", Judged(1)),
            (
                "twice in folders",
                "zip -qr x.zip idle; mkdir mail; mv x.zip mail; zip -qr out.zip mail",
                Judged(1),
            ),
            (
                "beside notes and logs",
                "zip -q out.zip idle.zip notes.txt client.log",
                Judged(1),
            ),
            (
                "a folder beside notes and logs",
                "zip -qr out.zip idle notes.txt client.log",
                Judged(1),
            ),
            ("two reports", "zip -qr out.zip idle later", Judged(2)),
            (
                "two zips",
                "zip -qr later.zip later; zip -q out.zip idle.zip later.zip",
                Judged(2),
            ),
            ("a zip and a folder", "zip -qr out.zip idle.zip later", Judged(2)),
            (
                "the same report twice",
                "cp idle.zip 'idle (1).zip'; zip -q out.zip idle*.zip",
                Judged(2),
            ),
            (
                "as Finder does",
                "mkdir -p __MACOSX/idle; for f in idle/*; do printf '\\0\\5\\26\\7' > __MACOSX/idle/._$(basename $f); done; touch idle/.DS_Store; zip -qr out.zip idle __MACOSX",
                Judged(1),
            ),
            (
                "bzip2",
                "zip -qr -Z bzip2 out.zip idle",
                Refused("compressed with B"),
            ),
            (
                "encrypted",
                "zip -qr -P secret out.zip idle",
                Refused("is encrypted"),
            ),
            (
                "a link",
                "mv idle/session.json .; ln -s ../session.json idle; zip -qry out.zip idle",
                Refused("is a link"),
            ),
            (
                "no report",
                "zip -q out.zip notes.txt client.log",
                Refused("there is no report in it"),
            ),
            (
                "three zips deep",
                "zip -q a.zip idle.zip; zip -q b.zip a.zip; zip -q out.zip b.zip",
                Refused("there is no report in it"),
            ),
        ],
    );
}

#[test]
fn zips_of_python_are_judged() {
    take(
        "python3",
        &["python3", "-c", "import zipfile, zlib"],
        &[
            ("a folder", "python3 -m zipfile -c out.zip idle", Judged(1)),
            (
                "the files alone",
                "python3 -m zipfile -c out.zip idle/*",
                Judged(1),
            ),
            ("twice", "python3 -m zipfile -c out.zip idle.zip", Judged(1)),
            (
                "two reports",
                "python3 -m zipfile -c out.zip idle later",
                Judged(2),
            ),
            (
                "make_archive",
                "python3 -c \"import shutil; shutil.make_archive('out', 'zip', 'idle')\"",
                Judged(1),
            ),
            (
                "make_archive of a folder",
                "python3 -c \"import shutil; shutil.make_archive('out', 'zip', '.', 'idle')\"",
                Judged(1),
            ),
            (
                "backslashes",
                "python3 -c \"
import os, zipfile
with zipfile.ZipFile('out.zip', 'w', zipfile.ZIP_DEFLATED) as z:
    for f in os.listdir('idle'):
        info = zipfile.ZipInfo(f)
        info.filename = 'idle' + chr(92) + f
        z.writestr(info, open('idle/' + f).read())\"",
                Judged(1),
            ),
            (
                "zip64 headers",
                "python3 -c \"
import os, zipfile
with zipfile.ZipFile('out.zip', 'w', zipfile.ZIP_DEFLATED) as z:
    for f in os.listdir('idle'):
        with z.open('idle/' + f, 'w', force_zip64=True) as out:
            out.write(open('idle/' + f, 'rb').read())\"",
                Judged(1),
            ),
            (
                "a stream",
                "python3 -c \"
import os, sys, zipfile
with zipfile.ZipFile(sys.stdout.buffer, 'w') as z:
    for f in os.listdir('idle'):
        z.write('idle/' + f)\" | cat > out.zip",
                Judged(1),
            ),
            (
                "files appended",
                "cd idle; python3 -c \"
import os, zipfile
for f in sorted(os.listdir('.')):
    with zipfile.ZipFile('../out.zip', 'a') as z:
        z.write(f)\"",
                Judged(1),
            ),
            (
                "byte order marks",
                "python3 -c \"
import os, zipfile
with zipfile.ZipFile('out.zip', 'w') as z:
    for f in os.listdir('idle'):
        z.writestr(f, open('idle/' + f).read().encode('utf-8-sig'))\"",
                Judged(1),
            ),
            (
                "UTF-16",
                "python3 -c \"
import os, zipfile
with zipfile.ZipFile('out.zip', 'w') as z:
    for f in os.listdir('idle'):
        z.writestr(f, open('idle/' + f).read().encode('utf-16'))\"",
                Judged(1),
            ),
            (
                "indented",
                "for f in idle/*; do python3 -m json.tool $f x; mv x $f; done; python3 -m zipfile -c out.zip idle",
                Judged(1),
            ),
            (
                "LZMA",
                "python3 -c \"
import zipfile
with zipfile.ZipFile('out.zip', 'w', zipfile.ZIP_LZMA) as z:
    z.write('idle/runtime-metrics.json')\"",
                Refused("compressed with L"),
            ),
            (
                "a name that climbs",
                "python3 -c \"
import zipfile
with zipfile.ZipFile('out.zip', 'w') as z:
    z.write('idle/runtime-metrics.json', 'a/../../runtime-metrics.json')\"",
                Refused("path traversal"),
            ),
            (
                "two of one name",
                "python3 -W ignore -c \"
import zipfile
with zipfile.ZipFile('out.zip', 'w') as z:
    for _ in range(2):
        z.write('idle/runtime-metrics.json')\"",
                Refused("two members have one name"),
            ),
            (
                "an empty zip",
                "python3 -c \"import zipfile; zipfile.ZipFile('out.zip', 'w').close()\"",
                Refused("there is no report in it"),
            ),
            (
                "gzip",
                "python3 -m gzip idle/runtime-metrics.json; mv idle/runtime-metrics.json.gz out.gz",
                Refused("a gzip file"),
            ),
            (
                "tar",
                "python3 -m tarfile -c out.tar idle",
                Refused("a tar archive"),
            ),
        ],
    );
}

#[cfg(not(target_os = "macos"))]
#[test]
fn zips_of_jar_are_judged() {
    take(
        "jar",
        &["jar", "--version"],
        &[
            ("a folder with a manifest", "jar cf out.zip idle", Judged(1)),
            ("a folder without a manifest", "jar cMf out.zip idle", Judged(1)),
            ("the files alone", "jar cf out.zip -C idle .", Judged(1)),
            ("stored", "jar c0f out.zip idle", Judged(1)),
            ("twice", "jar cf out.jar idle.zip notes.txt", Judged(1)),
            ("two reports", "jar cMf out.zip idle later", Judged(2)),
            (
                "updated",
                "jar cf out.zip notes.txt; jar uf out.zip idle",
                Judged(1),
            ),
        ],
    );
}

#[cfg(not(target_os = "macos"))]
#[test]
fn zips_of_7_zip_are_judged() {
    take(
        "7z",
        &["7z", "i"],
        &[
            ("a folder", "7z a -tzip out.zip idle", Judged(1)),
            ("the files alone", "7z a -tzip out.zip ./idle/*", Judged(1)),
            ("stored", "7z a -tzip -mm=Copy out.zip idle", Judged(1)),
            ("as small as it gets", "7z a -tzip -mx=9 out.zip idle", Judged(1)),
            (
                "a German folder",
                "mv idle Prüfung; 7z a -tzip out.zip Prüfung",
                Judged(1),
            ),
            (
                "names in UTF-8",
                "mv idle Prüfung; 7z a -tzip -mcu=on out.zip Prüfung",
                Judged(1),
            ),
            ("twice", "7z a -tzip out.zip idle.zip", Judged(1)),
            (
                "two reports",
                "7z a -tzip out.zip idle later notes.txt",
                Judged(2),
            ),
            ("written to a pipe", "7z a -tzip -so x idle > out.zip", Judged(1)),
            (
                "Deflate64",
                "7z a -tzip -mm=Deflate64 out.zip idle",
                Refused("compressed with Deflate64"),
            ),
            (
                "bzip2",
                "7z a -tzip -mm=BZip2 out.zip idle",
                Refused("compressed with B"),
            ),
            (
                "LZMA",
                "7z a -tzip -mm=LZMA out.zip idle",
                Refused("compressed with L"),
            ),
            (
                "PPMd",
                "7z a -tzip -mm=PPMd out.zip idle",
                Refused("compressed with P"),
            ),
            (
                "encrypted",
                "7z a -tzip -psecret out.zip idle",
                Refused("is encrypted"),
            ),
            (
                "encrypted by AES",
                "7z a -tzip -psecret -mem=AES256 out.zip idle",
                Refused("is encrypted"),
            ),
            ("7z", "7z a out.7z idle", Refused("a 7z archive")),
        ],
    );
}

#[test]
fn zips_of_libarchive_are_judged() {
    take(
        "bsdtar",
        &["bsdtar", "--version"],
        &[
            ("a folder", "bsdtar -caf out.zip idle", Judged(1)),
            ("a folder named .", "bsdtar -caf out.zip -C idle .", Judged(1)),
            (
                "written to a pipe",
                "bsdtar -c --format zip -f - idle | cat > out.zip",
                Judged(1),
            ),
            (
                "stored",
                "bsdtar -c --format zip --options zip:compression=store -f out.zip idle",
                Judged(1),
            ),
            (
                "zip64",
                "bsdtar -c --format zip --options zip:zip64 -f out.zip idle",
                Judged(1),
            ),
            (
                "a Japanese folder",
                "mv idle 報告; bsdtar -caf out.zip 報告",
                Judged(1),
            ),
            ("twice", "bsdtar -caf out.zip idle.zip notes.txt", Judged(1)),
            ("two reports", "bsdtar -caf out.zip idle later", Judged(2)),
            ("tar", "bsdtar -cf out.tar idle", Refused("a tar archive")),
            (
                "a compressed tar",
                "bsdtar -czf out.tgz idle",
                Refused("a gzip file"),
            ),
        ],
    );
}

/// Finder's "Compress" is Archive Utility, and this is its command line.
#[cfg(target_os = "macos")]
#[test]
fn zips_of_finder_are_judged() {
    take(
        "ditto",
        &["ditto", "-h"],
        &[
            (
                "a folder",
                "ditto -c -k --sequesterRsrc --keepParent idle out.zip",
                Judged(1),
            ),
            ("the files alone", "ditto -c -k idle out.zip", Judged(1)),
            ("twice", "ditto -c -k idle.zip out.zip", Judged(1)),
        ],
    );
}

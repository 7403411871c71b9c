//! Files as people send them: made by real tools, and judged.
//!
//! Each list of ways is a text: a line `== NAME -> EXPECTED`, and the script that makes `out.zip`, another `out.*`, or the
//! directory `out`. A number is how many reports are judged; `refused: WORDS` is exit code 2 and these words.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::skip::skip;
use crate::reports::{Members, ours, verify_report};

/// One way to make a file.
struct Way<'a> {
    name: &'a str,
    script: &'a str,
    expected: Expected<'a>,
}

/// What is expected of a file.
enum Expected<'a> {
    /// So many reports are found in it, and judged.
    Judged(usize),
    /// Exit code 2, and these words.
    Refused(&'a str),
}

fn ways(list: &str) -> Vec<Way<'_>> {
    let ways = list.split("\n== ").map(|way| {
        let (head, script) = way.split_once('\n').expect("a script");
        let (name, expected) = head
            .trim_start_matches("== ")
            .split_once(" -> ")
            .expect("what is expected");
        let expected = match expected.strip_prefix("refused: ") {
            Some(words) => Expected::Refused(words),
            None => Expected::Judged(expected.parse().expect("a number of reports")),
        };
        Way {
            name,
            script,
            expected,
        }
    });
    ways.collect()
}

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

fn shell(script: &str, dir: &Path) -> std::process::Output {
    // fastjar is Debian's small jar.
    let jar = "command -v jar > /dev/null || jar() { fastjar \"$@\"; }";
    Command::new("sh")
        .args(["-ec", &format!("{jar}\n{script}")])
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .expect("sh")
}

/// Takes every way, if the tool is there: for a true report, which passes, and for one with a false figure, which fails. What cannot
/// be judged ends with exit code 2, and says why.
pub(crate) fn judge_each(tool: &str, probe: &str, list: &str) {
    let nowhere = tempfile::tempdir().expect("a directory");
    if !shell(probe, nowhere.path()).status.success() {
        skip(tool);
        return;
    }
    let ways = ways(list);
    for Way {
        name,
        script,
        expected,
    } in &ways
    {
        for (report, code, verdict) in [(ours(12.0), 0, "PASS: "), (ours(12.0).lying(), 1, "FAIL: ")] {
            let desk = desk(&report);
            let output = shell(script, desk.path());
            assert!(output.status.success(), "{tool}: {name}: {output:?}");
            let file = made(desk.path());
            let sent = verify_report([file.as_os_str()], None);
            match expected {
                Expected::Judged(count) => {
                    assert_eq!(sent.code, code, "{tool}: {name}: {sent:?}");
                    assert!(sent.last_line().starts_with(verdict), "{tool}: {name}: {sent:?}");
                    let is_found = |line: &&str| line.starts_with("report") && !line.contains(" again: ");
                    let found = sent.stdout.lines().filter(is_found).count();
                    assert_eq!(found, *count, "{tool}: {name}: {sent:?}");
                }
                Expected::Refused(words) => {
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
    println!("{tool}: {} files", ways.len());
}

/// What a script made.
fn made(dir: &Path) -> PathBuf {
    let entries = std::fs::read_dir(dir).expect("listed");
    let mut files = entries.map(|entry| entry.expect("listed").path());
    files
        .find(|path| path.file_stem().is_some_and(|stem| stem == "out"))
        .expect("a file is made")
}

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::Value;
use xshell::{Shell, cmd};

use crate::command::Requirements;
use crate::command::verify::{self, Judged, Variation};
use crate::error::Exit;
use crate::invocation::Invocation;
use crate::observe::macos_tools;
use crate::output::{Outputs, files};
use crate::results::Verdict;

/// On a Mac: verify, with macOS's own tools as witnesses, and write acceptance.md.
///
/// Does what `verify` does, on macOS alone. Beside the evidence it keeps what ps, top, lsmp and vmmap said of the
/// client, and writes acceptance.md, a dated note ready to append to the roadmap.
/// The page "Verifying runtime metrics on a Mac" is the runbook.
#[derive(clap::Args)]
#[group(skip)] // its name would be that of the flattened arguments' own group
pub(crate) struct Args {
    #[command(flatten)]
    verify: verify::Args,
    /// Run a copy of the client that is signed ad hoc with the hardened runtime.
    ///
    /// Proves that the client runs and is judged when it is signed so, and no more. The hardened runtime does not make an
    /// over-released port right fatal; the soak's count test finds one, by user references that fall.
    #[arg(long)]
    hardened: bool,
}

/// What there is to do elsewhere.
const ELSEWHERE: &str = "verify-macos runs on a Mac, and this is none. Here you can:\n  \
    cargo xtask verify          verify this machine's platform\n  \
    cargo xtask check-macos     build and lint the macOS code for both architectures\n  \
    cargo xtask verify-report   judge a report that a Mac sent";

impl Args {
    pub(crate) fn requirements(&self) -> Requirements {
        if cfg!(target_os = "macos") {
            self.verify.requirements()
        } else {
            Requirements::default()
        }
    }
}

pub(crate) fn run(args: &Args, invocation: &Invocation) -> Result<Exit> {
    if !cfg!(target_os = "macos") {
        for line in ELSEWHERE.lines() {
            invocation.doing(line);
        }
        return Ok(Exit::Environment);
    }
    let variation = Variation {
        preflight: true,
        prepare: args.hardened.then_some(sign_hardened),
        witness: Some(macos_tools::ask),
    };
    let judged = verify::verify(&args.verify, &variation, invocation)?;
    let note = judged.dir.path.join("acceptance.md");
    let text = acceptance(&judged, args.hardened, &invocation.command, Timestamp::now());
    let mut outputs = Outputs::to(&*invocation.reporter);
    outputs.attempt(files::write_text(&note, &text));
    let (exit, last_line) = outputs.conclude(judged.exit, "the verdict above");
    if exit != judged.exit {
        invocation.result(&last_line);
    }
    Ok(exit)
}

/// A copy of the client in a private directory outside of the results: an uploaded artifact holds no program.
fn sign_hardened(client: &Path, dir: &Path) -> Result<PathBuf> {
    let copy = dir.join("headless-client-hardened");
    std::fs::copy(client, &copy).with_context(|| format!("cannot copy {}", client.display()))?;
    let sh = Shell::new()?;
    cmd!(sh, "codesign --force --sign - --options runtime {copy}").run()?;
    Ok(copy)
}

/// A note for people: what was run where, and what it came to.
fn acceptance(judged: &Judged, hardened: bool, command: &str, at: Timestamp) -> String {
    let evidence = judged.evidence.as_value();
    let environment = |key: &str| {
        evidence["environment"][key]
            .as_str()
            .unwrap_or("unknown")
            .to_owned()
    };
    let tally = judged.tally();
    let mut note = format!(
        "### {}: {} on {}, {}\n\n- revision {}, {} ({}), SIP: {}{}\n- `{}`\n- {} passed, {} failed, {} skipped\n",
        at.strftime("%Y-%m-%d"),
        Verdict::from(judged.verdict()).word(),
        environment("os_version"),
        environment("cpu"),
        environment("git_revision"),
        environment("kernel"),
        environment("arch"),
        environment("sip"),
        if hardened {
            ", client signed with the hardened runtime"
        } else {
            ""
        },
        command,
        tally.passed,
        tally.failed,
        tally.skipped,
    );
    for row in judged.rows.iter().filter(|row| row.passed != Some(true)) {
        let outcome = match &row.relaxed {
            Some(reason) => format!("relaxed: {reason}"),
            None => row.outcome().to_string(),
        };
        note += &format!("- **{}**: measured {}, {outcome}\n", row.check, row.measured);
    }
    for probe in &judged.preflight {
        if let Some(reason) = &probe.refused {
            note += &format!(
                "- refused: {}: {reason}; needed for {}\n",
                probe.tried, probe.needed_for
            );
        }
    }
    if let Some(witnesses) = evidence["witnesses"].as_object() {
        for (name, entry) in witnesses {
            note += &match &entry["said"] {
                Value::Null => format!(
                    "- {name}: absent ({})\n",
                    entry["absent"].as_str().unwrap_or_default()
                ),
                said => format!("- {name}: {said}\n"),
            };
        }
    }
    note
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::evidence::Evidence;
    use crate::output::files::RunDir;
    use crate::preflight::Probe;

    #[test]
    fn the_note_says_what_ran_where_and_what_did_not_pass() {
        let row = |value| serde_json::from_value(value).expect("a row");
        let mut evidence = Evidence::of(json!({
            "environment": {"os_version": "macOS 26.1 (25B78)", "cpu": "Apple M1", "arch": "aarch64", "sip": "enabled"},
        }));
        evidence.add_witnesses(
            json!({"ps": {"said": {"resident_kb": 5}}, "lsmp": {"absent": "a password is required"}}),
        );
        let judged = Judged {
            exit: Exit::Inconclusive,
            evidence,
            rows: vec![
                row(json!({"check": "1.idle", "passed": true, "measured": 1, "allowed": 1})),
                row(
                    json!({"check": "3.busy.process", "passed": false, "measured": 0.5, "allowed": {"min": 10}}),
                ),
                row(
                    json!({"check": "6.busy.ascending", "passed": false, "measured": [7], "allowed": [],
                    "relaxed": "it sorts by CPU"}),
                ),
            ],
            soak: None,
            preflight: vec![Probe::of("vmmap -summary 7", "nothing", Err::<(), _>("a denial"))],
            dir: RunDir {
                id: "x".to_owned(),
                path: PathBuf::new(),
            },
        };
        let note = acceptance(
            &judged,
            true,
            "cargo xtask verify-macos",
            Timestamp::from_second(1_795_378_680).expect("a time"),
        );
        for part in [
            "### 2026-11-22: fail on macOS 26.1 (25B78), Apple M1",
            "SIP: enabled, client signed with the hardened runtime",
            "1 passed, 1 failed, 0 skipped",
            "- **3.busy.process**: measured 0.5, fail",
            "- **6.busy.ascending**: measured [7], relaxed: it sorts by CPU",
            "- refused: vmmap -summary 7: a denial; needed for nothing",
            "- lsmp: absent (a password is required)",
            "- ps: {\"resident_kb\":5}",
        ] {
            assert!(note.contains(part), "wanted {part:?} in:\n{note}");
        }
    }
}

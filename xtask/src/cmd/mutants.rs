mod explained;
mod outcome;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use anstream::println;
use anyhow::{Context, Result, bail, ensure};
use comfy_table::{Cell, CellAlignment};

use self::explained::{EXPLAINED, Explained};
use self::outcome::{Mutant, Outcomes, Sorted, file_of};
use crate::exit::{Exit, Stop};
use crate::present::{FAILED, steps, table};
use crate::workspace;

/// Change the judge in every small way, and see that its tests notice.
///
/// A mutant is crates/verdict with one change: a `<` that became `<=`, a `+` that became `-`, a function that returns 0. Tests
/// that pass all the same do not test that place. Each such survivor gets a test, or, where the change makes no difference that
/// a test should see, its reason in crates/verdict/mutants.toml. docs/mutants.md says how.
///
/// Every mutant is compiled and tested by itself: all seven hundred take hours on two cores, those of one file minutes. What
/// was run and printed stays in target/mutants/mutants.out.
///
/// The last line reads `N mutants: C caught, E explained, U unexplained, B unbuildable`. Exit code 0 means that none is
/// unexplained and that every explanation is still needed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only one part of N of all mutants, the parts being counted from 0: 0/8
    #[arg(long, value_name = "K/N")]
    shard: Option<String>,
    /// Only the mutants of files of this name: power.rs
    #[arg(long, value_name = "GLOB")]
    file: Vec<String>,
    /// Test so many mutants at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    jobs: u32,
}

/// What cargo-mutants exits with where it has tested every mutant: all were caught, some were missed, some took too long.
const TESTED: [i32; 3] = [0, 2, 3];
/// What it exits with where the tests fail without any mutant.
const BASELINE_FAILED: i32 = 4;

pub(crate) fn run(args: &Args) -> Result<Exit> {
    let explained = explained::read()?;
    let faults = explained::faults(&explained, |file| {
        std::fs::read_to_string(workspace::root().join(file)).ok()
    });
    if !faults.is_empty() {
        for fault in faults {
            println!("{FAILED}FAIL{FAILED:#} {EXPLAINED}: {fault}");
        }
        return Ok(Exit::Fail);
    }
    let all = list()?;
    ensure!(
        !all.is_empty(),
        "cargo-mutants finds nothing to change; .cargo/mutants.toml says where"
    );

    let dir = workspace::target_dir().join("mutants");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let written = dir.join("mutants.out/outcomes.json");
    forget(&written)?;
    let mut command = cargo_mutants();
    command.arg("--output").arg(&dir).args(passed_on(args));
    steps::running(&command);
    let status = command.status().context("cannot run cargo-mutants")?;
    match status.code() {
        Some(code) if TESTED.contains(&code) => {}
        Some(BASELINE_FAILED) => {
            println!("{FAILED}FAIL{FAILED:#} the tests fail without any mutant: cargo test -p verdict");
            return Ok(Exit::Fail);
        }
        _ => bail!(
            "cargo-mutants ended with {status} before it had tested every mutant; its messages are above"
        ),
    }
    ensure!(
        written.exists(),
        "no mutant was chosen: --shard or --file leaves none"
    );
    let tested = outcomes(&written)?.mutants();
    ensure!(!tested.is_empty(), "no mutant was tested");
    let partial = args.shard.is_some() || !args.file.is_empty();
    ensure!(
        partial || tested.len() == all.len(),
        "cargo-mutants tested {} of {} mutants",
        tested.len(),
        all.len()
    );

    let sorted = Sorted::of(&tested, &all, &explained);
    print(&sorted);
    println!("{}", sorted.sentence());
    Ok(if sorted.passed() { Exit::Pass } else { Exit::Fail })
}

/// cargo-mutants with everything that it finds in `.cargo/mutants.toml`.
fn cargo_mutants() -> Command {
    let mut command = Command::new(workspace::cargo());
    command
        .args(["mutants", "--package", "verdict"])
        .current_dir(workspace::root())
        // It builds in copies of the checkout, each with a target directory of its own.
        .env_remove("CARGO_TARGET_DIR")
        // The same random cases for each mutant, and none that an earlier one has left.
        .env("PROPTEST_RNG_SEED", "1")
        .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
    command
}

/// The names of all mutants, one for each place.
fn list() -> Result<Vec<String>> {
    let output = cargo_mutants().args(["--list", "--line-col", "false"]).output();
    let output = match output {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        other => Some(other.context("cannot run cargo")?),
    };
    let Some(output) = output.filter(|output| !is_absent(&output.stderr)) else {
        let remedy = "cargo-mutants is not installed; remedy: cargo install cargo-mutants --locked";
        return Err(Stop::Environment(remedy.to_owned()).into());
    };
    ensure!(
        output.status.success(),
        "cargo-mutants cannot list the mutants: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let names = String::from_utf8(output.stdout).context("cargo-mutants lists names that are no text")?;
    Ok(names.lines().map(str::to_owned).collect())
}

/// Whether cargo says that it has no such command.
fn is_absent(stderr: &[u8]) -> bool {
    String::from_utf8_lossy(stderr).contains("no such command")
}

/// The arguments that choose mutants, as cargo-mutants wants them.
fn passed_on(args: &Args) -> Vec<OsString> {
    let mut words = vec!["--jobs".into(), args.jobs.to_string().into()];
    if let Some(shard) = &args.shard {
        words.extend(["--shard".into(), shard.into()]);
    }
    for file in &args.file {
        words.extend(["--file".into(), file.into()]);
    }
    words
}

/// An earlier run's outcomes are not this one's.
fn forget(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", workspace::shown(path)))
        }
        _ => Ok(()),
    }
}

fn outcomes(path: &Path) -> Result<Outcomes> {
    let shown = workspace::shown(path);
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    serde_json::from_str(&text).with_context(|| format!("{shown} is not what cargo-mutants 27 writes"))
}

/// One line a file, then every survivor that nobody explains and every explanation that is not needed.
fn print(sorted: &Sorted<'_>) {
    let mut table = table::empty();
    table.set_header([
        "file",
        "mutants",
        "caught",
        "explained",
        "unexplained",
        "unbuildable",
    ]);
    for (file, count) in &sorted.files {
        let counts = [
            count.mutants(),
            count.caught,
            count.explained,
            count.unexplained,
            count.unbuildable,
        ];
        let counts = counts.map(|count| Cell::new(count).set_alignment(CellAlignment::Right));
        table.add_row(std::iter::once(Cell::new(file)).chain(counts));
    }
    println!("{table}");
    for Mutant { name, fate, .. } in &sorted.unexplained {
        println!("{FAILED}UNEXPLAINED{FAILED:#} {name}: {fate}");
        println!("    again: cargo xtask mutants --file {}", file_of(name));
    }
    if !sorted.unexplained.is_empty() {
        println!("    remedy: a test that notices; where none should, the reason in {EXPLAINED}");
    }
    for Explained { name, .. } in &sorted.stale {
        println!("{FAILED}STALE{FAILED:#} {name}");
    }
    if !sorted.stale.is_empty() {
        println!(
            "    remedy: the tests catch it, or it is gone: take it out of {EXPLAINED}, or lower its `places`"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cargo_without_the_command_is_told_from_one_that_fails() {
        assert!(is_absent(
            b"error: no such command: `mutants`\n\nhelp: view all installed commands"
        ));
        assert!(!is_absent(b"error: bad config in .cargo/mutants.toml"));
    }

    #[test]
    fn what_chooses_mutants_is_passed_on() {
        let args = Args {
            shard: Some("3/8".to_owned()),
            file: vec!["power.rs".to_owned(), "seed.rs".to_owned()],
            jobs: 2,
        };
        assert_eq!(
            passed_on(&args),
            [
                "--jobs", "2", "--shard", "3/8", "--file", "power.rs", "--file", "seed.rs"
            ]
        );
    }
}

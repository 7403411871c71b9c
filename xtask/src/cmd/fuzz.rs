mod outcome;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anstream::println;
use anyhow::{Context, Result};

use self::outcome::{Finding, Outcome};
use crate::exit::{Exit, Stop};
use crate::present::steps;
use crate::rig::{self, Events};
use crate::workspace;

/// Have libFuzzer look for input that the readers of strangers' words do not stand.
///
/// It starts from fuzz/corpus and fuzz/regressions, and keeps what it learns below target/fuzz for the next
/// run. Findings lie there too; docs/fuzzing.md tells what to do with one.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these targets [default: all]
    #[arg(value_name = "TARGET", value_parser = TARGETS)]
    targets: Vec<String>,
    /// How long each is fuzzed
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

/// The binaries of fuzz.
const TARGETS: [&str; 5] = [
    "bounded_json",
    "client_spice",
    "control_line",
    "report_zip",
    "source_spice",
];

/// One input that takes longer is a finding.
const LONGEST_INPUT_SECS: u32 = 20;
/// Inputs are small: what needs more than that is for the tests.
const MAX_INPUT_BYTES: u32 = 8192;
/// Of the whole process. AddressSanitizer takes three times what the program does, and the renderer may decode an image of
/// 256 MiB; what a single input may take is held to the byte by the targets themselves.
const MAX_MEMORY_MIB: u32 = 4096;
/// How long a fuzzer may take to start and to end, beside the time it was given.
const LAG: Duration = Duration::from_secs(120);

pub(crate) fn run(args: &Args) -> Result<Exit> {
    let targets: Vec<&str> = TARGETS
        .into_iter()
        .filter(|target| args.targets.is_empty() || args.targets.iter().any(|asked| asked == target))
        .collect();
    for (probe, remedy) in [
        (
            ["rustc", "+nightly", "--version"].as_slice(),
            "rustup toolchain install nightly",
        ),
        (
            &["cargo", "+nightly", "fuzz", "--version"],
            "cargo install cargo-fuzz --locked",
        ),
    ] {
        answers(probe).with_context(|| format!("fuzzing needs it: {remedy}"))?;
    }
    let mut events = Events::new()?;
    let binaries = build(&mut events)?;
    let mut findings = 0;
    for target in &targets {
        let outcome = fuzz(target, &binaries, args.seconds, &mut events)?;
        println!("{target}: {outcome}");
        if let Some(Finding { input, .. }) = &outcome.finding {
            findings += 1;
            let input = workspace::shown(Path::new(input));
            println!(
                "    again: cargo +nightly fuzz run --fuzz-dir fuzz --features libfuzzer {target} {input}"
            );
        }
    }
    println!(
        "{} target{}, {findings} finding{}",
        targets.len(),
        plural(targets.len()),
        plural(findings)
    );
    Ok(if findings == 0 { Exit::Pass } else { Exit::Fail })
}

fn plural(number: usize) -> &'static str {
    if number == 1 { "" } else { "s" }
}

fn answers(probe: &[&str]) -> Result<()> {
    let shown = probe.join(" ");
    let output = Command::new(probe[0])
        .args(&probe[1..])
        .output()
        .with_context(|| format!("`{shown}` cannot be run"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let said = said.lines().next().unwrap_or("nothing").to_owned();
        return Err(Stop::Environment(format!("`{shown}` says: {said}")).into());
    }
    Ok(())
}

/// Builds all targets, and returns the directory that holds them.
fn build(events: &mut Events) -> Result<PathBuf> {
    // The cargo that rustup puts first on PATH: the one that runs us does not choose among toolchains.
    let mut command = Command::new("cargo");
    command
        .args([
            "+nightly",
            "fuzz",
            "build",
            "--fuzz-dir",
            "fuzz",
            "--features",
            "libfuzzer",
        ])
        .current_dir(workspace::root());
    rig::run_build(command, events)?;
    let host = Command::new("rustc")
        .args(["+nightly", "--print", "host-tuple"])
        .output()?;
    let host = String::from_utf8(host.stdout).context("the host's name is text")?;
    Ok(workspace::target_dir().join(host.trim()).join("release"))
}

fn fuzz(target: &str, binaries: &Path, seconds: u64, events: &mut Events) -> Result<Outcome> {
    let ours = workspace::target_dir().join("fuzz");
    let learnt = ours.join("corpus").join(target);
    let findings = ours.join("findings").join(target);
    for dir in [&learnt, &findings] {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", workspace::shown(dir)))?;
    }
    let given =
        ["corpus", "regressions"].map(|kind| workspace::root().join("fuzz").join(kind).join(target));

    let mut command = Command::new(binaries.join(target));
    command
        // What is new goes to the first directory.
        .arg(&learnt)
        .args(given.iter().filter(|dir| dir.exists()))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={LONGEST_INPUT_SECS}"))
        .arg(format!("-rss_limit_mb={MAX_MEMORY_MIB}"))
        .arg(format!("-max_len={MAX_INPUT_BYTES}"))
        .arg("-print_final_stats=1")
        .arg(format!("-artifact_prefix={}/", findings.display()))
        // Freed memory is kept for a while to notice its use: of large images less is enough.
        .env("ASAN_OPTIONS", "quarantine_size_mb=64");
    steps::running(&command);
    let log = ours.join(format!("{target}.log"));
    let ended = rig::run_fuzzer(command, &log, Duration::from_secs(seconds) + LAG, events)?;
    let text = std::fs::read(&log).with_context(|| format!("cannot read {}", workspace::shown(&log)))?;
    let outcome = Outcome::read(&String::from_utf8_lossy(&text));
    match ended {
        Some(status) if status.success() || outcome.finding.is_some() => Ok(outcome),
        ended => {
            steps::log_tail(&log);
            let how = ended.map_or_else(|| "not at all".to_owned(), rig::worded);
            Err(Stop::Environment(format!(
                "the fuzzer of {target} ended without a finding, but {how}"
            ))
            .into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_targets_are_those_of_the_crate() {
        let manifest =
            std::fs::read_to_string(workspace::root().join("fuzz/Cargo.toml")).expect("its manifest");
        let manifest: toml::Table = manifest.parse().expect("TOML");
        let names: Vec<&str> = manifest["bin"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|binary| binary["name"].as_str())
            .collect();
        assert_eq!(names, TARGETS);
    }
}

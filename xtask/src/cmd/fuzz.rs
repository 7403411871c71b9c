use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo;
use crate::checkout::Checkout;
use crate::console::{self, println};
use crate::exit::Exit;

/// Fuzz the readers of untrusted input with libFuzzer.
///
/// Runs cargo-fuzz from fuzz/corpus and fuzz/regressions. New inputs stay in the target directory, in fuzz/corpus, for the
/// next run; findings in fuzz/findings. docs/fuzzing.md tells how to fix one.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these targets [default: all]
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// Seconds for each target
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

/// An input that takes longer is a finding.
const INPUT_TIMEOUT_SECS: u32 = 20;
/// Larger inputs are for the tests.
const MAX_INPUT_BYTES: u32 = 8192;
/// Limit of the whole process. AddressSanitizer takes three times the program's own memory, and the renderer may decode an
/// image of 256 MiB. The targets themselves hold a single input to its budget.
const MAX_MEMORY_MIB: u32 = 4096;

pub(crate) fn run(args: &Args, checkout: &Checkout) -> Result<Exit> {
    let mut targets = all_targets(checkout)?;
    if let Some(unknown) = args.targets.iter().find(|target| !targets.contains(target)) {
        bail!("there is no target {unknown}; there are {}", targets.join(", "));
    }
    targets.retain(|target| args.targets.is_empty() || args.targets.contains(target));
    let mut build = cargo_fuzz(checkout, "build");
    build.args(FEATURES);
    console::running(checkout, &build);
    if !build.status().context("cannot start cargo-fuzz")?.success() {
        bail!("the targets do not build");
    }
    let mut failed = Vec::new();
    for target in &targets {
        if !fuzz(checkout, target, args.seconds)? {
            failed.push(target);
        }
    }
    println!(
        "{} of {} targets without a finding",
        targets.len() - failed.len(),
        targets.len()
    );
    for target in &failed {
        println!("FAIL {target}: cargo xtask fuzz {target}");
    }
    Ok(Exit::passed(failed.is_empty()))
}

/// The entry points for libFuzzer stand behind this feature.
const FEATURES: [&str; 2] = ["--features", "libfuzzer"];

/// rustup's cargo: the cargo that runs xtask does not choose among toolchains.
fn cargo_fuzz(checkout: &Checkout, subcommand: &str) -> Command {
    let mut command = Command::new("cargo");
    command
        .args(["+nightly", "fuzz", subcommand, "--fuzz-dir", "fuzz"])
        .current_dir(checkout.root());
    command
}

fn all_targets(checkout: &Checkout) -> Result<Vec<String>> {
    let remedy = "fuzzing needs nightly Rust and cargo-fuzz: rustup toolchain install nightly --profile minimal; \
                  cargo install cargo-fuzz --locked";
    let output = cargo_fuzz(checkout, "list")
        .stderr(Stdio::inherit())
        .output()
        .context(remedy)?;
    if !output.status.success() {
        bail!(remedy);
    }
    let names = String::from_utf8(output.stdout).context("cargo-fuzz lists names that are not text")?;
    Ok(names.lines().map(str::to_owned).collect())
}

/// Runs a target, and returns whether it had no finding. cargo-fuzz's exit code tells, and its output shows the finding.
fn fuzz(checkout: &Checkout, target: &str, seconds: u64) -> Result<bool> {
    let ours = cargo::target_dir(checkout)?.join("fuzz");
    let learnt = ours.join("corpus").join(target);
    let findings = ours.join("findings").join(target);
    for dir in [&learnt, &findings] {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    let given = ["corpus", "regressions"].map(|kind| checkout.root().join("fuzz").join(kind).join(target));
    let mut command = cargo_fuzz(checkout, "run");
    command
        .args(FEATURES)
        .arg(target)
        // libFuzzer writes new inputs to the first directory.
        .arg(&learnt)
        .args(given.iter().filter(|dir| dir.exists()))
        .arg("--")
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={INPUT_TIMEOUT_SECS}"))
        .arg(format!("-rss_limit_mb={MAX_MEMORY_MIB}"))
        .arg(format!("-max_len={MAX_INPUT_BYTES}"))
        .arg("-print_final_stats=1")
        .arg(format!("-artifact_prefix={}/", findings.display()))
        // AddressSanitizer keeps freed memory to notice its use; large images need less of it.
        .env("ASAN_OPTIONS", "quarantine_size_mb=64");
    console::running(checkout, &command);
    let passed = command.status().context("cannot start cargo-fuzz")?.success();
    if !passed {
        println!(
            "{target}: inputs are in {}; to run one again: cargo +nightly fuzz run --fuzz-dir fuzz --features libfuzzer \
             {target} INPUT",
            findings.display()
        );
    }
    Ok(passed)
}

use std::ffi::OsString;

use anyhow::{Result, bail};

use crate::cargo;
use crate::checkout::Checkout;
use crate::console;
use crate::exit::Exit;

/// Change the checks and the leak test in every small way, and require that their tests notice.
///
/// Runs cargo-mutants, which reads .cargo/mutants.toml; docs/mutants.md explains. All mutants take hours on two cores, those
/// of one file minutes. The results stay in the target directory, in mutants/mutants.out.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Further arguments for cargo-mutants, such as `--file power.rs`, `--shard 0/8` or `--jobs 2`
    #[arg(value_name = "ARGUMENTS", trailing_var_arg = true, allow_hyphen_values = true)]
    passed_on: Vec<OsString>,
}

pub(crate) fn run(args: &Args, checkout: &Checkout) -> Result<Exit> {
    let mut probe = cargo::command(checkout);
    if !cargo::started(probe.args(["mutants", "--version"]).output())?
        .status
        .success()
    {
        bail!("cargo-mutants is missing; to install it: cargo install cargo-mutants --locked");
    }
    let output = cargo::target_dir(checkout)?.join("mutants");
    std::fs::create_dir_all(&output)?;
    let mut command = cargo::command(checkout);
    command
        .args([
            "mutants",
            "--package",
            "checks",
            "--package",
            "leak-test",
            "--output",
        ])
        .arg(output)
        .args(&args.passed_on)
        // cargo-mutants builds in copies of the checkout, each with a target directory of its own.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("CARGO_BUILD_TARGET_DIR")
        // Each mutant gets the same random cases, and none that an earlier one has left.
        .env("PROPTEST_RNG_SEED", "1")
        .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
    console::running(checkout, &command);
    let status = cargo::started(command.status())?;
    Ok(match status.code() {
        Some(0) => Exit::Pass,
        // Missed mutants; tests that do not end; tests that fail without any mutant.
        Some(2..=4) => Exit::Fail,
        _ => Exit::Environment,
    })
}

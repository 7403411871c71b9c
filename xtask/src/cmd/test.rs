use std::ffi::OsString;

use anyhow::Result;

use crate::checkout::Checkout;
use crate::cmd::ci::{Gate, run_steps};
use crate::exit::Exit;

/// Run every test of the workspace, or those of the packages that follow `--`.
///
/// Arguments after `--` go to `cargo test`:  cargo xtask test -- --package checks
#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(last = true, value_name = "CARGO TEST ARGUMENTS")]
    passed_on: Vec<OsString>,
}

pub(crate) fn run(args: &Args, checkout: &Checkout) -> Result<Exit> {
    run_steps(checkout, Gate::Test, &args.passed_on)
}

use std::ffi::OsString;

use anyhow::Result;

use crate::cmd::ci::{Gate, run_steps};
use crate::exit::Exit;

/// Run every test of the workspace.
///
/// What follows `--` goes to `cargo test`:  cargo xtask test -- -p verdict
#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(last = true, value_name = "CARGO TEST ARGUMENTS")]
    passed_on: Vec<OsString>,
}

pub(crate) fn run(args: Args) -> Result<Exit> {
    run_steps(Gate::Test, &args.passed_on)
}

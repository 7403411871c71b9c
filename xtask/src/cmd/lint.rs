use anyhow::Result;

use crate::cmd::ci::{Gate, run_steps};
use crate::exit::Exit;

/// Check formatting, lints, documentation, licences and sources of dependencies.
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: Args) -> Result<Exit> {
    run_steps(Gate::Lint, &[])
}

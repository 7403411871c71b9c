use anyhow::Result;

use crate::checkout::Checkout;
use crate::cmd::ci::{Gate, run_steps};
use crate::exit::Exit;

/// Check formatting, lints, documentation, workflows, and the licences and sources of dependencies.
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, checkout: &Checkout) -> Result<Exit> {
    run_steps(checkout, Gate::Lint, &[])
}

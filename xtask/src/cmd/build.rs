use anyhow::Result;

use crate::cargo;
use crate::checkout::Checkout;
use crate::exit::Exit;

/// Build everything.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build with optimisations
    #[arg(long)]
    release: bool,
}

pub(crate) fn run(args: &Args, checkout: &Checkout) -> Result<Exit> {
    let mut command = cargo::command(checkout);
    command
        .args(["build", "--workspace", "--locked"])
        .args(args.release.then_some("--release"));
    let status = cargo::started(command.status())?;
    Ok(Exit::passed(status.success()))
}

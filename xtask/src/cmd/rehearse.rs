use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cargo::{self, programs::REHEARSAL};
use crate::checkout::Checkout;
use crate::console;
use crate::exit::Exit;
use crate::tools;

/// Run every workflow on this machine with stand-ins, and see that each job reaches what it must reach.
///
/// nektos/act runs the jobs. cargo, rustup and all actions are stand-ins that note their calls. crates/rehearsal/src/table.rs
/// is the table of the calls: with every step green, with each step red in turn, with a verdict INCONCLUSIVE, and with the
/// jobs cancelled. No case needs a network, a Mac or a container. docs/ci.md explains it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rehearse the workflows of another directory against the table
    #[arg(long, value_name = "DIR")]
    workflows: Option<PathBuf>,
    /// Run the lines that need no tool of `setup` for real, in a fresh clone of the last commit with a compiler, git and
    /// coreutils alone on PATH; Linux only
    #[arg(long, conflicts_with = "workflows")]
    bare: bool,
}

pub(crate) fn run(args: &Args, checkout: &Checkout) -> Result<Exit> {
    let mut rehearsal = Command::new(REHEARSAL.build(checkout)?);
    rehearsal.arg("--checkout").arg(checkout.root());
    let scratch = cargo::target_dir(checkout)?.join("rehearsal");
    rehearsal.arg("--scratch").arg(scratch);
    if args.bare {
        rehearsal.arg("--bare");
    } else {
        let sh = tools::shell(checkout)?;
        if tools::named("act").answers(&sh).is_none() {
            bail!("act is missing: run `cargo xtask setup`");
        }
        rehearsal.env("PATH", sh.var_os("PATH").unwrap_or_default());
    }
    if let Some(dir) = &args.workflows {
        rehearsal.arg("--workflows").arg(dir);
    }
    console::running(checkout, &rehearsal);
    let status = rehearsal.status().context("cannot start the rehearsal")?;
    Ok(status.into())
}

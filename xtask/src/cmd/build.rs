use anyhow::Result;
use xshell::{Shell, cmd};

use crate::exit::Exit;
use crate::workspace;

/// Build everything.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build with optimisations.
    #[arg(long)]
    release: bool,
}

pub(crate) fn run(args: Args) -> Result<Exit> {
    let sh = Shell::new()?;
    sh.change_dir(workspace::root());
    let cargo = workspace::cargo();
    let release = args.release.then_some("--release");
    let built = cmd!(sh, "{cargo} build --workspace --locked {release...}")
        .run()
        .is_ok();
    Ok(if built { Exit::Pass } else { Exit::Fail })
}

use std::path::PathBuf;

use anstream::println;
use anyhow::{Context, Result};

use crate::exit::Exit;
use crate::marked::Marked;
use crate::present::steps::say;
use crate::selftest::{self, Live, Seeds, Tally};
use crate::workspace;

/// Seed every defect of the catalogue, and see that exactly the right test finds it; and that nothing finds one where none is.
///
/// Lies are told in recorded evidence, in the macOS backend on a model kernel, in simulated soaks, and by real clients that
/// are built to lie and to leak. xtask/selftest/catalogue.toml is the catalogue, docs/selftest.md explains.
///
/// The last line reads `N of N defects caught by the right test, F of R false alarms`; anything missed is a failure.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out what needs living clients: seconds instead of half an hour. All of the catalogue is judged all the same.
    #[arg(long)]
    quick: bool,
    /// Verify a client without a defect so often, at several loads and with several numbers of threads.
    #[arg(long, value_name = "N", default_value_t = 40, conflicts_with = "quick")]
    runs: usize,
    /// Write the tables into docs/selftest.md.
    #[arg(long, conflicts_with = "quick")]
    write: bool,
    /// Where the live runs' directories go [default: target/selftest, emptied before].
    #[arg(long, value_name = "DIR", conflicts_with = "quick")]
    out: Option<PathBuf>,
}

const TABLES: Marked = Marked {
    begin: "<!-- selftest: begin (written by `cargo xtask selftest --write`) -->\n",
    end: "<!-- selftest: end -->",
};

pub(crate) fn run(args: &Args) -> Result<Exit> {
    let seeds = Seeds::load()?;
    let mut tally = Tally::default();
    say("on recorded evidence, simulated soaks and the model kernel");
    selftest::run_quick(&seeds, &mut tally)?;
    if !args.quick {
        let dir = args
            .out
            .clone()
            .unwrap_or_else(|| workspace::target_dir().join("selftest"));
        if args.out.is_none() && dir.exists() {
            std::fs::remove_dir_all(&dir)
                .with_context(|| format!("cannot remove {}", workspace::shown(&dir)))?;
        }
        let mut live = Live::prepare(&dir)?;
        say("clients that lie and leak");
        live.defects(&seeds.catalogue, &mut tally)?;
        say("clients that do not");
        live.sound(args.runs, &mut tally)?;
    }
    tally.print(&seeds.catalogue);
    if args.write {
        write(&tally.markdown(&seeds.catalogue))?;
    }
    println!("{}", tally.sentence(&seeds.catalogue));
    Ok(tally.exit(&seeds.catalogue))
}

fn write(tables: &str) -> Result<()> {
    let page = workspace::root().join("docs/selftest.md");
    let shown = workspace::shown(&page);
    let old = std::fs::read_to_string(&page).with_context(|| format!("cannot read {shown}"))?;
    let new = TABLES
        .with(&old, tables)
        .with_context(|| format!("{shown} has lost its markers"))?;
    std::fs::write(&page, new).with_context(|| format!("cannot write {shown}"))?;
    say(&format!("written to {shown}"));
    Ok(())
}

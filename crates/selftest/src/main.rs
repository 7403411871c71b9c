//! Seeds every defect of the catalogue, and checks that exactly the right test finds it; then judges runs without a defect,
//! which must raise no alarm.
//!
//! | module | where defects are seeded |
//! |---|---|
//! | `recorded` | in the recorded evidence |
//! | `simulated` | in the readings of simulated soaks |
//! | `model` | in the macOS backend and its resource counts, on the model kernel: tests of `runtime-metrics` |
//! | `live` | in a client built to tamper and to leak, under `truegauge verify` and `truegauge soak` |

mod live;
mod model;
mod process;
mod recorded;
mod simulated;
mod tally;
mod trial;

use std::path::PathBuf;
use std::process::ExitCode;

use anstream::{eprintln, println};
use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result};
use clap::Parser;

use self::live::{Live, Programs};
use self::process::{Interrupted, Runner};
use self::tally::Tally;

pub(crate) const FAILED: Style = AnsiColor::Red.on_default().bold();

/// Seed every defect of the catalogue, and check that exactly the right test finds it, and nothing where there is none.
///
/// Defects are seeded in recorded evidence, in the macOS backend on a model kernel, in simulated soaks, and in real clients
/// that are built to tamper with their reports and to leak. crates/seeded-defects/catalogue.toml is the catalogue,
/// docs/selftest.md explains.
///
/// The last line reads `N of N defects caught by the right test, F of R false alarms`. Exit codes: 0 all found and no false
/// alarm, 1 otherwise, 2 the machine could not run it, 3 interrupted.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Leave out the live clients: seconds instead of half an hour. The whole catalogue is still judged.
    #[arg(long)]
    quick: bool,
    /// Runs of `verify` with a client without a defect, at several loads and with several numbers of threads.
    #[arg(long, value_name = "N", default_value_t = 40, conflicts_with = "quick")]
    clean_runs: usize,
    /// Write the tables to this file, in Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Where the live runs' directories go; those of an earlier selftest are replaced.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "truegauge-runs/selftest",
        conflicts_with = "quick"
    )]
    out: PathBuf,
    /// The checkout whose `runtime-metrics` is tested on the model kernel.
    #[arg(long, value_name = "DIR")]
    checkout: PathBuf,
    #[command(flatten)]
    programs: Option<Programs>,
}

fn main() -> ExitCode {
    run(&Args::parse()).unwrap_or_else(|error| {
        eprintln!("{FAILED}error:{FAILED:#} {error:#}");
        ExitCode::from(if error.is::<Interrupted>() { 3 } else { 2 })
    })
}

fn run(args: &Args) -> Result<ExitCode> {
    let catalogue = seeded_defects::catalogue();
    let mut tally = Tally::default();
    eprintln!("on recorded evidence and simulated soaks");
    recorded::run(&catalogue, &mut tally)?;
    simulated::run(&catalogue, &mut tally);
    let runner = Runner::new()?;
    eprintln!("on the model kernel");
    model::run(&args.checkout, &runner, &mut tally)?;
    if !args.quick {
        let programs = args
            .programs
            .as_ref()
            .context("the programs to run are not named")?;
        let mut live = Live::new(programs, &args.checkout, &args.out, &runner)?;
        eprintln!("clients that tamper and leak");
        live.defects(&catalogue, &mut tally)?;
        eprintln!("clients without a defect");
        live.clean_runs(args.clean_runs, &mut tally)?;
    }
    tally.print(&catalogue);
    if let Some(path) = &args.markdown {
        std::fs::write(path, tally.markdown(&catalogue))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("{}", tally.sentence(&catalogue));
    Ok(if tally.passes(&catalogue) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Args, String> {
        Args::try_parse_from(words.split(' ')).map_err(|error| error.to_string())
    }

    #[test]
    fn programs_are_required_unless_it_is_quick() {
        let quick = parse("selftest --quick --checkout .").expect("valid");
        assert!(quick.programs.is_none());
        let error = parse("selftest --checkout .").err().expect("incomplete");
        let named = "--truegauge a --client b --tampering-client c --sampling-process d";
        for option in named.split(' ').filter(|word| word.starts_with("--")) {
            assert!(error.contains(option), "{error}");
        }
        let error = parse(&format!("selftest --checkout . {named}"))
            .err()
            .expect("incomplete");
        assert!(
            error.contains("  --leaking-process") && !error.contains("  --client"),
            "{error}"
        );
        let all = parse(&format!("selftest --checkout . {named} --leaking-process e")).expect("valid");
        assert!(
            all.programs
                .is_some_and(|programs| programs.leaking_process.as_os_str() == "e")
        );
    }
}

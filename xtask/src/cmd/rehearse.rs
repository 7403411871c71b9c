use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail, ensure};

use crate::cargo;
use crate::checkout::Checkout;
use crate::console::{FAILED, println};
use crate::exit::Exit;
use crate::rehearsal::act::{Sandbox, files};
use crate::rehearsal::bare::{BareMachine, LINES};
use crate::rehearsal::{TABLE, lines, table};
use crate::tools;

/// Run every workflow on this machine with stand-ins, and see that each job reaches what it must reach.
///
/// nektos/act runs the jobs. cargo, rustup and all actions are stand-ins that print their calls. xtask/src/rehearsal/table.rs
/// is the table of the calls: with every step green, with each step red in turn, with a verdict INCONCLUSIVE, and with the
/// jobs cancelled. No case needs a network, a Mac or a container.
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
    if args.bare {
        return run_bare(checkout);
    }
    let begun = Instant::now();
    let sh = tools::shell(checkout)?;
    if tools::named("act").answers(&sh).is_none() {
        bail!("act is missing: run `cargo xtask setup`");
    }
    let own = checkout.root().join(".github/workflows");
    let dir = args.workflows.clone().unwrap_or(own);
    let table = table::workflows();
    let unknown: Vec<String> = files(&dir)?
        .into_iter()
        .filter(|file| !table.iter().any(|workflow| workflow.file == *file))
        .map(|file| format!("{file}: it is not in {TABLE}"))
        .collect();
    let mut faults = Vec::new();
    let sandbox = Sandbox::create(&own_dir(checkout)?, &dir, sh.var_os("PATH").unwrap_or_default())?;
    let mut cases = 0;
    for workflow in &table {
        let (ran, found) = sandbox.rehearse(workflow)?;
        cases += ran;
        faults.extend(found);
        println!(
            "{}, {}: {} jobs, {} legs, {ran} cases",
            workflow.file,
            workflow.event,
            workflow.jobs.len(),
            workflow.legs().count()
        );
    }
    let faults = [unknown, lines(faults)].concat();
    for fault in &faults {
        println!("{FAILED}FAILED{FAILED:#} {fault}");
    }
    let word = if faults.is_empty() { "PASS" } else { "FAIL" };
    println!(
        "{word}: {cases} cases, {} faults, in {:.1?}",
        faults.len(),
        begun.elapsed()
    );
    Ok(Exit::passed(faults.is_empty()))
}

fn run_bare(checkout: &Checkout) -> Result<Exit> {
    ensure!(
        cfg!(target_os = "linux"),
        "the bare rehearsal runs on Linux: its lines' exit codes are Linux's"
    );
    let begun = Instant::now();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let machine = BareMachine::create(&own_dir(checkout)?, &path)?;
    let tools = machine.tools()?;
    ensure!(
        tools.is_empty(),
        "the bare machine is not bare: it has {}",
        tools.join(", ")
    );
    machine.clone_of(checkout.root())?;
    let mut ends = Vec::new();
    for line in &LINES {
        println!("── {} ──", line.text);
        let begun = Instant::now();
        let status = machine.run(line.text)?;
        ends.push((line, status, begun.elapsed()));
    }
    let mut failures = 0;
    for (line, status, elapsed) in ends {
        let passed = status.code().is_some_and(|code| line.exits.contains(&code));
        failures += usize::from(!passed);
        let word = if passed { "passed" } else { "FAILED" };
        println!(
            "{word} in {elapsed:.0?}: `{}`: {status}, expected {:?}",
            line.text, line.exits
        );
    }
    let word = if failures == 0 { "PASS" } else { "FAIL" };
    println!(
        "{word}: {} lines, {failures} failures, in {:.0?}",
        LINES.len(),
        begun.elapsed()
    );
    Ok(Exit::passed(failures == 0))
}

/// A directory for this process alone.
fn own_dir(checkout: &Checkout) -> Result<PathBuf> {
    Ok(cargo::target_dir(checkout)?.join(format!("rehearsal/{}", std::process::id())))
}

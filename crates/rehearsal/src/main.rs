//! Rehearses the workflows on one machine: with stand-ins against a table of calls, and for real on a bare machine.
//!
//! | module | content |
//! |---|---|
//! | `table` | the calls that each job of each workflow must make |
//! | `expected` | the cases, the calls of a leg in each case, the comparison |
//! | `act` | nektos/act with stand-ins for cargo, rustup and all actions |
//! | `bare` | a fresh clone with a compiler and little else on PATH |

mod act;
mod bare;
mod expected;
mod table;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anstyle::{AnsiColor, Style};
use anyhow::{Result, ensure};
use clap::Parser;

use self::act::{Sandbox, files};
use self::bare::{BareMachine, LINES};
use self::expected::{TABLE, lines};

const FAILED: Style = AnsiColor::Red.on_default().bold();

/// Rehearse the workflows of a checkout. `cargo xtask rehearse --help` explains.
///
/// Exit codes: 0 all is as expected, 1 otherwise, 2 the rehearsal could not be held.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[arg(long, value_name = "DIR")]
    checkout: PathBuf,
    /// The parent of the directory that the rehearsal fills and removes.
    #[arg(long, value_name = "DIR")]
    scratch: PathBuf,
    /// Rehearse the workflows of another directory against the table.
    #[arg(long, value_name = "DIR")]
    workflows: Option<PathBuf>,
    /// Run the lines that need no tool of `setup`.
    #[arg(long, conflicts_with = "workflows")]
    bare: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let dir = args.scratch.join(std::process::id().to_string());
    let rehearsed = if args.bare {
        on_bare_machine(&args.checkout, &dir)
    } else {
        let own = args.checkout.join(".github/workflows");
        with_stand_ins(args.workflows.as_deref().unwrap_or(&own), &dir)
    };
    match rehearsed {
        Ok(passed) => ExitCode::from(u8::from(!passed)),
        Err(error) => {
            let _ = writeln!(anstream::stderr(), "{FAILED}error{FAILED:#}: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Prints a line, unless nothing takes it: the exit code tells the result.
fn say(line: &str) {
    let _ = writeln!(anstream::stdout(), "{line}");
}

fn with_stand_ins(workflows: &Path, dir: &Path) -> Result<bool> {
    let begun = Instant::now();
    let table = table::workflows();
    let unknown: Vec<String> = files(workflows)?
        .into_iter()
        .filter(|file| !table.iter().any(|workflow| workflow.file == *file))
        .map(|file| format!("{file}: it is not in {TABLE}"))
        .collect();
    let mut faults = Vec::new();
    let sandbox = Sandbox::create(dir, workflows, std::env::var_os("PATH").unwrap_or_default())?;
    let mut cases = 0;
    for workflow in &table {
        let (ran, found) = sandbox.rehearse(workflow)?;
        cases += ran;
        faults.extend(found);
        say(&format!(
            "{}, {}: {} jobs, {} legs, {ran} cases",
            workflow.file,
            workflow.event,
            workflow.jobs.len(),
            workflow.legs().count()
        ));
    }
    let faults = [unknown, lines(faults)].concat();
    for fault in &faults {
        say(&format!("{FAILED}FAILED{FAILED:#} {fault}"));
    }
    let word = if faults.is_empty() { "PASS" } else { "FAIL" };
    say(&format!(
        "{word}: {cases} cases, {} faults, in {:.1?}",
        faults.len(),
        begun.elapsed()
    ));
    Ok(faults.is_empty())
}

fn on_bare_machine(checkout: &Path, dir: &Path) -> Result<bool> {
    ensure!(
        cfg!(target_os = "linux"),
        "the bare rehearsal runs on Linux: its lines' exit codes are Linux's"
    );
    let begun = Instant::now();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let machine = BareMachine::create(dir, &path)?;
    machine.clone_of(checkout)?;
    let mut ends = Vec::new();
    for line in &LINES {
        let text = line.text();
        say(&format!("── {text} ──"));
        let begun = Instant::now();
        let status = machine.run(&text)?;
        ends.push((line, status, begun.elapsed()));
    }
    let mut failures = 0;
    for (line, status, elapsed) in ends {
        let passed = status.code().is_some_and(|code| line.exits.contains(&code));
        failures += usize::from(!passed);
        let word = if passed { "passed" } else { "FAILED" };
        say(&format!(
            "{word} in {elapsed:.0?}: `{}`: {status}, expected {:?}",
            line.call, line.exits
        ));
    }
    let word = if failures == 0 { "PASS" } else { "FAIL" };
    say(&format!(
        "{word}: {} lines, {failures} failures, in {:.0?}",
        LINES.len(),
        begun.elapsed()
    ));
    Ok(failures == 0)
}

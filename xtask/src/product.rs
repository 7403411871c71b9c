//! The product's commands: builds what they need, and hands over to `truegauge`.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::cargo::{self, programs};
use crate::checkout::Checkout;
use crate::console;
use crate::exit::Exit;

/// The names of truegauge's commands, and a line on each for `cargo xtask --help`.
pub(crate) const COMMANDS: [(&str, &str); 5] = [
    (
        "verify",
        "Hold a session, file bug reports, and judge whether their figures are true",
    ),
    (
        "verify-macos",
        "Verify on a Mac, with macOS's own tools as further witnesses",
    ),
    ("soak", "Find out by experiment whether sampling leaks"),
    ("verify-report", "Judge a bug report that somebody sent"),
    ("summary", "Put many machines' runs on one page"),
];

/// The command of this name.
pub(crate) fn command(name: &OsStr) -> Option<&'static str> {
    COMMANDS
        .iter()
        .map(|(command, _)| *command)
        .find(|command| name == *command)
}

/// The programs that a command line needs besides truegauge, which itself says so.
#[derive(Debug, Deserialize)]
struct Requirements {
    /// The workspace's package that holds the client.
    client_package: Option<String>,
    /// The sampling process, and its leaking variant as a positive control.
    sampling_process: bool,
}

/// Runs truegauge in place of this process: its signals and its exit code are the command's own. Returns where it cannot,
/// or where truegauge refuses the arguments.
pub(crate) fn forward(command: &'static str, arguments: &[OsString]) -> Result<Exit> {
    let checkout = Checkout::find()?;
    let truegauge = programs::TRUEGAUGE.build(&checkout)?;
    if asks_for_help(arguments) {
        return execute(Command::new(truegauge).arg(command).args(arguments));
    }
    let mut asking = Command::new(&truegauge);
    asking
        .args(["--requirements", command])
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let answer = asking.output().with_context(|| cannot_start(&truegauge))?;
    if !answer.status.success() {
        return Ok(answer.status.into());
    }
    let required: Requirements =
        serde_json::from_slice(&answer.stdout).context("truegauge does not say what it requires")?;

    let mut judging = Command::new(&truegauge);
    judging
        .arg("--runs-dir")
        .arg(cargo::target_dir(&checkout)?.join(command))
        .arg("--reproduce-with")
        .arg(typed(command, arguments))
        .arg("--checkout")
        .arg(checkout.root())
        .arg(command);
    for (option, path) in build(&checkout, &required)? {
        judging.arg(option).arg(path);
    }
    execute(judging.args(arguments))
}

/// Builds each program by itself: cargo would unify the features of packages that it builds together.
fn build(checkout: &Checkout, required: &Requirements) -> Result<Vec<(&'static str, PathBuf)>> {
    let mut built = Vec::new();
    if let Some(package) = &required.client_package {
        let client = cargo::build(checkout, &["--package", package, "--bins"])?;
        built.push(("--client-bin", client.program_of(package)?.to_owned()));
    }
    if required.sampling_process {
        built.push(("--sampling-process", programs::SAMPLING_PROCESS.build(checkout)?));
        built.push(("--leaking-process", programs::LEAKING_PROCESS.build(checkout)?));
    }
    Ok(built)
}

/// True if truegauge answers by itself, without anything to judge.
fn asks_for_help(arguments: &[OsString]) -> bool {
    let options = arguments.iter().take_while(|argument| *argument != "--");
    let asks = ["-h", "--help", "-V", "--version"];
    options
        .into_iter()
        .any(|option| asks.iter().any(|ask| option == ask))
}

/// The command line that was typed.
fn typed(command: &str, arguments: &[OsString]) -> String {
    let words = arguments.iter().map(console::quoted);
    let words = ["cargo", "xtask", command]
        .map(str::to_owned)
        .into_iter()
        .chain(words);
    words.collect::<Vec<_>>().join(" ")
}

/// Puts the program in the place of this process; returns only where that fails.
fn execute(command: &mut Command) -> Result<Exit> {
    let error = command.exec();
    Err(error).with_context(|| cannot_start(Path::new(command.get_program())))
}

fn cannot_start(program: &Path) -> String {
    format!("cannot start {}", program.display())
}

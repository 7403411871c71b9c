//! The command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};

use crate::command::{Requirements, soak, summary, verify, verify_macos, verify_report};
use crate::error::Exit;
use crate::invocation::Invocation;
use crate::output::{Console, console};
use crate::reporter::{Reporter, RunEvent};

/// Proves that the runtime metrics in a desktop client's bug report are true, and that taking them leaks nothing.
///
/// Runs go to ./truegauge-runs, or where --out says. The assertions and the profiles `headless-client` and `ryll` are part
/// of this program; --assertions and --profile name others.
///
/// Exit codes: 0 pass, 1 fail or leak, 2 usage or environment, 3 inconclusive.
#[derive(Parser)]
#[command(name = "truegauge", version)]
pub struct Cli {
    /// Print which binaries the command needs, as JSON, and do nothing else.
    #[arg(long, hide = true)]
    requirements: bool,
    /// The parent of run directories where --out names none.
    #[arg(long, hide = true, value_name = "DIR")]
    runs_dir: Option<PathBuf>,
    /// The command line that is recorded and shown for reproducing the run.
    #[arg(long, hide = true, value_name = "TEXT")]
    reproduce_with: Option<String>,
    /// The checkout that the client was built from.
    #[arg(long, hide = true, value_name = "DIR")]
    checkout: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Verify(Box<verify::Args>),
    VerifyMacos(Box<verify_macos::Args>),
    Soak(Box<soak::Args>),
    VerifyReport(Box<verify_report::Args>),
    Summary(summary::Args),
    /// The synthetic SPICE server, or a proxy in front of a real one.
    #[command(hide = true)]
    Source(spice_source::cli::Args),
}

impl Command {
    /// The binaries that the command needs and was not given.
    fn requirements(&self) -> Requirements {
        match self {
            Self::Verify(args) => args.requirements(),
            Self::VerifyMacos(args) => args.requirements(),
            Self::Soak(args) => args.requirements(),
            Self::VerifyReport(_) | Self::Summary(_) | Self::Source(_) => Requirements::default(),
        }
    }

    /// The directory that the command writes to below the parent of all runs. `--runs-dir` is a command's own already.
    fn default_dir(&self, runs: &Path) -> PathBuf {
        match self {
            Self::Summary(_) => runs.join("summary"),
            _ => runs.to_owned(),
        }
    }
}

/// Shows the help that was asked for, or why the command line is refused; returns the exit code.
#[must_use]
pub fn refuse(answer: &clap::Error) -> ExitCode {
    let text = answer.render().ansi().to_string();
    if answer.use_stderr() {
        console::err(text.trim_end());
        Exit::Environment.into()
    } else {
        console::out(text.trim_end());
        ExitCode::SUCCESS
    }
}

/// Runs a command line to its end, and returns the exit code.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    if cli.requirements {
        let requirements = cli.command.requirements();
        console::out(&serde_json::json!(requirements).to_string());
        return ExitCode::SUCCESS;
    }
    let console = Arc::new(Console::default());
    let invocation = match Invocation::of_this_process(console.clone()) {
        Ok(invocation) => invocation,
        Err(error) => {
            let error = anyhow::Error::from(error).context("cannot tell this program's own path");
            console.emit(&RunEvent::Error(&error));
            return Exit::Environment.into();
        }
    };
    let invocation = Invocation {
        runs_dir: cli
            .runs_dir
            .unwrap_or_else(|| cli.command.default_dir(&invocation.runs_dir)),
        command: cli.reproduce_with.unwrap_or(invocation.command),
        checkout: cli.checkout,
        ..invocation
    };
    let ended = match cli.command {
        Command::Verify(args) => verify::run(&args, &invocation),
        Command::VerifyMacos(args) => verify_macos::run(&args, &invocation),
        Command::Soak(args) => soak::run(&args, &invocation),
        Command::VerifyReport(args) => verify_report::run(&args, &invocation),
        Command::Summary(args) => summary::run(&args, &invocation),
        Command::Source(args) => return spice_source::cli::run(args),
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(error) => {
            invocation.emit(&RunEvent::Error(&error));
            Exit::of(&error).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Clap finds contradictions in a command's arguments only when that command is parsed.
    #[test]
    fn every_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn requirements_follow_the_profile_and_the_binaries_that_are_given() {
        let requirements = |words: &[&str]| {
            let words = std::iter::once(&"truegauge").chain(words);
            let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
            serde_json::json!(cli.command.requirements())
        };
        let json = |package: Option<&str>, sampling_process| serde_json::json!({"client_package": package, "sampling_process": sampling_process});
        assert_eq!(requirements(&["verify"]), json(Some("headless-client"), true));
        assert_eq!(requirements(&["soak"]), json(Some("headless-client"), true));
        assert_eq!(
            requirements(&["verify", "--client-bin", "x", "--sampling-process", "y"]),
            json(None, true)
        );
        let all = [
            "--client-bin",
            "x",
            "--sampling-process",
            "y",
            "--leaking-process",
            "z",
        ];
        assert_eq!(requirements(&[&["verify"], &all[..]].concat()), json(None, false));
        assert_eq!(requirements(&["verify", "--profile", "ryll"]), json(None, false));
        assert_eq!(requirements(&["summary", "."]), json(None, false));
    }
}

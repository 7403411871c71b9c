//! The repository's commands: `cargo xtask --help`.

mod cargo;
mod checkout;
mod cmd;
mod console;
mod darwin;
mod exit;
mod generated_section;
mod product;
mod tools;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, FromArgMatches, Parser};

use crate::checkout::Checkout;
use crate::exit::Exit;

/// Runs the product, truegauge, on what this checkout builds, and does the chores of the repository.
///
/// Exit codes: 0 pass, 1 fail, 2 usage or environment, 3 inconclusive.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true
)]
enum Chore {
    Build(cmd::build::Args),
    Test(cmd::test::Args),
    Lint(cmd::lint::Args),
    Ci(cmd::ci::Args),
    Setup(cmd::setup::Args),
    CheckMacos(cmd::check_macos::Args),
    Rehearse(cmd::rehearse::Args),
    Docs(cmd::docs::Args),
    Bench(cmd::bench::Args),
    Fuzz(cmd::fuzz::Args),
    Sanitize(cmd::sanitize::Args),
    Mutants(cmd::mutants::Args),
    SoakStudy(cmd::soak_study::Args),
    Selftest(cmd::selftest::Args),
}

impl Chore {
    fn run(self, checkout: &Checkout) -> Result<Exit> {
        match self {
            Self::Build(args) => cmd::build::run(&args, checkout),
            Self::Test(args) => cmd::test::run(&args, checkout),
            Self::Lint(args) => cmd::lint::run(&args, checkout),
            Self::Ci(args) => cmd::ci::run(&args, checkout),
            Self::Setup(args) => cmd::setup::run(&args, checkout),
            Self::CheckMacos(args) => cmd::check_macos::run(&args, checkout),
            Self::Rehearse(args) => cmd::rehearse::run(&args, checkout),
            Self::Docs(args) => cmd::docs::run(&args, checkout),
            Self::Bench(args) => cmd::bench::run(&args, checkout),
            Self::Fuzz(args) => cmd::fuzz::run(&args, checkout),
            Self::Sanitize(args) => cmd::sanitize::run(&args, checkout),
            Self::Mutants(args) => cmd::mutants::run(&args, checkout),
            Self::SoakStudy(args) => cmd::soak_study::run(&args, checkout),
            Self::Selftest(args) => cmd::selftest::run(&args, checkout),
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let outcome = match arguments.first().and_then(|name| product::command(name)) {
        // Unparsed: they are truegauge's to understand.
        Some(command) => product::forward(command, &arguments[1..]),
        None => {
            let matches = command_line().get_matches();
            let chore = Chore::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
            Checkout::find().and_then(|checkout| chore.run(&checkout))
        }
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => {
            console::error(&error);
            Exit::Environment.into()
        }
    }
}

/// All commands, with a help that lists the product's first.
fn command_line() -> clap::Command {
    let product = product::COMMANDS.map(|(name, about)| clap::Command::new(name).about(about));
    let chores = Chore::command();
    let mut help = "{about-section}\n{usage-heading} {usage}\n\nThe product:\n".to_owned();
    list(&mut help, product.iter());
    help += "\nChores of this repository:\n";
    list(&mut help, chores.get_subcommands());
    help += "\nOptions:\n{options}\n\nEach command has a --help of its own; the product's is truegauge's.\n";
    chores.subcommands(product).help_template(help)
}

fn list<'a>(text: &mut String, commands: impl Iterator<Item = &'a clap::Command>) {
    for command in commands {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(text, "  {:<14} {about}", command.get_name()).expect("a string takes all text");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clap finds contradictions in a command's arguments only when that command is used.
    #[test]
    fn every_command_line_is_consistent() {
        command_line().debug_assert();
    }

    #[test]
    fn help_lists_the_product_before_the_chores() {
        let help = command_line().render_help().to_string();
        let section = |from: &str, to: &str| {
            let (_, rest) = help.split_once(from).expect("the section begins");
            let (section, _) = rest.split_once(to).expect("the section ends");
            let lines = section
                .lines()
                .map(|line| line.trim().split_once(' ').unwrap_or_default());
            lines
                .filter(|(_, about)| !about.is_empty())
                .map(|(name, _)| name)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            section("The product:\n", "\n\nChores of this repository:\n"),
            "verify verify-macos soak verify-report summary"
        );
        assert_eq!(
            section("Chores of this repository:\n", "\n\nOptions:\n"),
            "build test lint ci setup check-macos rehearse docs bench fuzz sanitize mutants soak-study selftest"
        );
        assert!(!help.contains('{'), "{help}");
    }
}

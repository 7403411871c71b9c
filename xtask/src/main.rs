//! The harness: `cargo xtask --help`.

mod checks;
mod cmd;
mod core_dump;
mod darwin;
mod environment;
mod evidence;
mod exit;
mod marked;
mod observe;
mod plan;
mod present;
mod profile;
mod results;
mod rig;
mod selftest;
mod sent;
mod soak;
mod tools;
mod witnesses;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

/// Proves that the runtime metrics in a desktop client's bug report are true, and that taking them leaks nothing.
///
/// Exit codes: 0 pass, 1 fail, 2 usage or environment, 3 inconclusive.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    disable_version_flag = true
)]
enum Command {
    Verify(Box<cmd::verify::Args>),
    VerifyMacos(Box<cmd::verify_macos::Args>),
    VerifyReport(Box<cmd::verify_report::Args>),
    Summary(cmd::summary::Args),
    Build(cmd::build::Args),
    Test(cmd::test::Args),
    Lint(cmd::lint::Args),
    CheckMacos(cmd::check_macos::Args),
    Setup(cmd::setup::Args),
    Soak(Box<cmd::soak::Args>),
    SoakStudy(cmd::soak_study::Args),
    Bench(cmd::bench::Args),
    Docs(cmd::docs::Args),
    Selftest(cmd::selftest::Args),
    Sanitize(cmd::sanitize::Args),
    Mutants(cmd::mutants::Args),
    Fuzz(cmd::fuzz::Args),
    Ci(cmd::ci::Args),
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Verify(args) => cmd::verify::run(&args),
        Command::VerifyMacos(args) => cmd::verify_macos::run(&args),
        Command::VerifyReport(args) => cmd::verify_report::run(&args),
        Command::Summary(args) => cmd::summary::run(&args),
        Command::Build(args) => cmd::build::run(args),
        Command::Test(args) => cmd::test::run(args),
        Command::Lint(args) => cmd::lint::run(args),
        Command::CheckMacos(args) => cmd::check_macos::run(args),
        Command::Setup(args) => cmd::setup::run(args),
        Command::Soak(args) => cmd::soak::run(&args),
        Command::SoakStudy(args) => cmd::soak_study::run(&args),
        Command::Bench(args) => cmd::bench::run(&args),
        Command::Docs(args) => cmd::docs::run(args),
        Command::Selftest(args) => cmd::selftest::run(&args),
        Command::Sanitize(args) => cmd::sanitize::run(&args),
        Command::Mutants(args) => cmd::mutants::run(&args),
        Command::Fuzz(args) => cmd::fuzz::run(&args),
        Command::Ci(args) => cmd::ci::run(args),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => {
            present::error(&error);
            exit::Exit::of(&error).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    /// Clap finds contradictions in a command's arguments only when that command is asked for.
    #[test]
    fn every_command_line_is_sound() {
        super::Command::command().debug_assert();
    }
}

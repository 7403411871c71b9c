//! The synthetic SPICE server as a program.

use clap::Parser;
use spice_source::cli;

fn main() -> std::process::ExitCode {
    cli::run(cli::Args::parse())
}

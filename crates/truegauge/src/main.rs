//! The binary `truegauge`: see the library.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    truegauge::run(truegauge::Cli::parse())
}

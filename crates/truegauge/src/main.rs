//! The binary `truegauge`: see the library.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    truegauge::Cli::try_parse().map_or_else(|refused| truegauge::refuse(&refused), truegauge::run)
}

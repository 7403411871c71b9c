//! `headless-client`, built to leak what `RUNTIME_METRICS_FAULT` names, for the tests of `cargo xtask soak`.

use std::process::ExitCode;

use clap::Parser;
use headless_client::args::Args;

fn main() -> ExitCode {
    runtime_metrics::init_at_startup();
    match headless_client::run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("leaky_client: error: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

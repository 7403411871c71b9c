//! `headless-client`: see the library.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use headless_client::args::Args;

fn main() -> ExitCode {
    runtime_metrics::init_at_startup(); // first: uptime counts from here

    match headless_client::run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // `eprintln!` would panic if the reader of standard error is gone.
            let _ = writeln!(std::io::stderr(), "headless-client: error: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

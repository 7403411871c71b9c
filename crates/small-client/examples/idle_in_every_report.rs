//! The client with one wrong figure: each report claims that the process used no CPU. A verification must fail.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime_metrics::init_at_startup();
    small_client::run(|metrics| metrics["process"]["cpu_percent"] = 0.0.into())
}

//! The client, which reports the sampled metrics unchanged: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime_metrics::init_at_startup();
    small_client::run(|_| {})
}

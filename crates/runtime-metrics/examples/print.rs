//! Prints what one sample of this very process says: `cargo run --example print -- 500` samples 500 ms.

use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    runtime_metrics::init_at_startup();

    let argument = std::env::args().nth(1).unwrap_or_else(|| "2000".to_owned());
    let Ok(window_ms) = argument.parse() else {
        eprintln!("{argument:?} is no number of milliseconds; usage: print [WINDOW_MS]");
        return ExitCode::from(2);
    };
    let metrics = runtime_metrics::sample(Duration::from_millis(window_ms));
    println!(
        "{}",
        serde_json::to_string_pretty(&metrics).expect("metrics are plain data")
    );
    ExitCode::SUCCESS
}

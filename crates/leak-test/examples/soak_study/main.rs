//! Studies how often the soak's verdict is wrong, on simulated series, next to the tests in common use. Prints Markdown tables.
//!
//! It takes minutes, fewer with `cargo run --release --package leak-test --example soak_study`.

mod study;
mod trend;

use std::time::Instant;

use clap::Parser;
use leak_test::{SIGN_FLIPS, Seed};

use self::study::Study;

/// Study how often the soak's verdict is wrong, on simulated series, next to the tests in common use.
#[derive(Parser)]
struct Args {
    /// Experiments of each kind
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..))]
    series: u64,
}

const SEED: Seed = Seed(0x50a4_2026);

fn main() {
    let Args { series } = Args::parse();
    let begun = Instant::now();
    let study = Study {
        series,
        sign_flips: SIGN_FLIPS,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        seed: SEED,
    };
    let progress = |what: &str| eprintln!("{:>4.0} s  {what}", begun.elapsed().as_secs_f64());
    let tables = study.run(progress);
    progress("done");
    print!("{tables}");
}

//! How long the verdict on a resource takes: `cargo run --package leak-test --example time_verdict -- 400`, in pairs.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use leak_test::simulated::{Background, Effect, experiment};
use leak_test::{Analysis, Design, Resource, Seed};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pairs = std::env::args().nth(1).map_or(Ok(400), |pairs| pairs.parse())?;
    for background in Background::MOVING.into_iter().chain([Background::Still]) {
        let design = Design {
            seed: Seed(1),
            operation: "sample".to_owned(),
            operations_per_block: NonZeroU32::new(500).ok_or("not 0")?,
            resources: vec![Resource::exact("resource", "units", 0.05)],
        };
        let experiment = experiment(design, pairs, background, Effect::None, Seed(2));
        let begun = Instant::now();
        let analysis = Analysis::of(&experiment, Duration::ZERO);
        println!(
            "{:>6.0} ms  {background:?}, {pairs} pairs: {:?}",
            begun.elapsed().as_secs_f64() * 1e3,
            analysis.resources[0].finding
        );
    }
    Ok(())
}

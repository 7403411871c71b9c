//! Cost and error of a sample, next to peers that read the same figures: one run, interleaved.
//!
//! Prints Markdown on standard output, progress on standard error. `cargo xtask bench` builds it with the feature
//! `peers` and writes what it prints into `docs/performance.md`; without the feature only runtime-metrics and the floor
//! are measured.

#[cfg(target_os = "linux")]
mod accuracy;
#[cfg(target_os = "linux")]
mod clock;
#[cfg(target_os = "linux")]
mod cost;
#[cfg(target_os = "linux")]
mod entries;
#[cfg(target_os = "linux")]
mod page;
#[cfg(all(target_os = "linux", feature = "peers"))]
mod peers;
#[cfg(target_os = "linux")]
mod population;
#[cfg(all(target_os = "linux", feature = "peers"))]
mod psutil;
#[cfg(target_os = "linux")]
mod statistics;
#[cfg(target_os = "linux")]
mod subject;

#[cfg(target_os = "linux")]
fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => page::print(&page::Extent::FULL),
        ["--trial"] => page::print(&page::Extent::TRIAL),
        // A process of its own for each: nothing is colder.
        ["--first", subject, threads, activity] => {
            cost::print_first(subject, threads.parse()?, activity.parse()?)
        }
        _ => anyhow::bail!("usage: bench [--trial]"),
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("bench measures on Linux alone");
    std::process::exit(2);
}

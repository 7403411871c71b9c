use std::process::Stdio;

use anyhow::{Result, bail};

use crate::cargo;
use crate::checkout::Checkout;
use crate::console::{self, print};
use crate::exit::Exit;
use crate::generated_section::GeneratedSection;

/// Measure the cost and the error of a sample next to other crates, and write the tables into docs/performance.md.
///
/// Linux alone. It takes some ten minutes, and needs a machine that is otherwise idle.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print the tables, and leave the page as it is
    #[arg(long)]
    print: bool,
}

const TABLES: GeneratedSection = GeneratedSection {
    page: "docs/performance.md",
    begin: "<!-- bench: begin (written by `cargo xtask bench`) -->\n",
    end: "<!-- bench: end -->\n",
};

pub(crate) fn run(args: &Args, checkout: &Checkout) -> Result<Exit> {
    let mut command = cargo::command(checkout);
    command
        .args([
            "run",
            "--release",
            "--locked",
            "--package",
            "bench",
            "--features",
            "peers",
        ])
        .stderr(Stdio::inherit());
    console::running(checkout, &command);
    let output = cargo::started(command.output())?;
    if !output.status.success() {
        bail!("the benchmark ended with {}", output.status);
    }
    let tables = String::from_utf8(output.stdout)?;
    if args.print {
        print!("{tables}");
    } else {
        TABLES.write(checkout, &tables)?;
    }
    Ok(Exit::Pass)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_markers_and_tables_of_a_full_run() {
        let checkout = Checkout::find().expect("a checkout");
        let (page, _) = TABLES.update(&checkout, "").expect("it has markers");
        for part in [
            "| 10000 threads |",
            "shakenfist-spice-renderer 0.3.0",
            "| floor |",
            "| 2000 ms |",
        ] {
            assert!(
                page.contains(part),
                "{part}: cargo xtask bench, with psutil installed"
            );
        }
    }
}

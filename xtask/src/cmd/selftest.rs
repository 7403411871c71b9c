use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo;
use crate::cargo::programs::{
    CLIENT, LEAKING_PROCESS, SAMPLING_PROCESS, SELFTEST, TAMPERING_CLIENT, TRUEGAUGE,
};
use crate::checkout::Checkout;
use crate::console;
use crate::exit::Exit;
use crate::generated_section::GeneratedSection;

/// Seed every defect of the catalogue, and require that exactly the right test finds it.
///
/// Defects are seeded in recorded evidence, in the macOS backend on a model kernel, in simulated soaks, and in real clients
/// that are built to tamper and to leak. Runs without a defect must find none. crates/seeded-defects/catalogue.toml is the
/// catalogue; docs/selftest.md explains it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out the real clients: seconds instead of half an hour
    #[arg(long)]
    quick: bool,
    /// Runs of a client without a defect, at several loads and with several numbers of threads
    #[arg(long, value_name = "N", conflicts_with = "quick")]
    clean_runs: Option<usize>,
    /// Write the tables into docs/selftest.md
    #[arg(long, conflicts_with = "quick")]
    write: bool,
    /// Directory for the runs of real clients [default: selftest in the target directory, emptied before]
    #[arg(long, value_name = "DIR", conflicts_with = "quick")]
    out: Option<PathBuf>,
}

const TABLES: GeneratedSection = GeneratedSection {
    page: "docs/selftest.md",
    begin: "<!-- selftest: begin (written by `cargo xtask selftest --write`) -->\n",
    end: "<!-- selftest: end -->",
};

pub(crate) fn run(args: &Args, checkout: &Checkout) -> Result<Exit> {
    let mut selftest = Command::new(SELFTEST.build(checkout)?);
    selftest.arg("--checkout").arg(checkout.root());
    if args.quick {
        return ended(selftest.arg("--quick"), checkout);
    }
    for (option, program) in [
        ("--truegauge", TRUEGAUGE),
        ("--client", CLIENT),
        ("--tampering-client", TAMPERING_CLIENT),
        ("--sampling-process", SAMPLING_PROCESS),
        ("--leaking-process", LEAKING_PROCESS),
    ] {
        selftest.arg(option).arg(program.build(checkout)?);
    }
    if let Some(runs) = args.clean_runs {
        selftest.arg("--clean-runs").arg(runs.to_string());
    }
    let target_dir = cargo::target_dir(checkout)?;
    let default = target_dir.join("selftest");
    if args.out.is_none() && default.exists() {
        fs::remove_dir_all(&default).with_context(|| format!("cannot remove {}", default.display()))?;
    }
    selftest.arg("--out").arg(args.out.as_deref().unwrap_or(&default));
    if !args.write {
        return ended(&mut selftest, checkout);
    }
    let tables = target_dir.join("selftest.md");
    remove_if_there(&tables)?;
    let exit = ended(selftest.arg("--markdown").arg(&tables), checkout)?;
    // A failed selftest has tables too; one that could not be tried has none.
    if tables.exists() {
        let text =
            fs::read_to_string(&tables).with_context(|| format!("cannot read {}", tables.display()))?;
        TABLES.write(checkout, &text)?;
    }
    Ok(exit)
}

fn ended(selftest: &mut Command, checkout: &Checkout) -> Result<Exit> {
    console::running(checkout, selftest);
    let status = selftest.status().context("cannot start the selftest")?;
    Ok(status.into())
}

fn remove_if_there(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_its_markers() {
        let checkout = Checkout::find().expect("a checkout");
        let (_, emptied) = TABLES.update(&checkout, "").expect("it has markers");
        assert!(!emptied.contains("| defect |"), "the table stands between them");
    }
}

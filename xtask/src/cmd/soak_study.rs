use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo::Program;
use crate::checkout::Checkout;
use crate::console::{self, print, println};
use crate::exit::Exit;
use crate::generated_section::GeneratedSection;

/// Study how often the soak's verdict is wrong, on simulated series, next to the tests in common use.
///
/// It takes minutes. Without an option it prints the tables.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Experiments of each kind
    #[arg(long, value_name = "N", default_value_t = FULL_SERIES, value_parser = clap::value_parser!(u64).range(1..))]
    series: u64,
    /// Write the tables into docs/soak.md
    #[arg(long, conflicts_with = "check")]
    write: bool,
    /// Fail where the tables in docs/soak.md differ
    #[arg(long)]
    check: bool,
}

/// Experiments of each kind that the page rests on.
const FULL_SERIES: u64 = 2_000;

const STUDY: Program = Program::example("leak-test", "soak_study").with(&["--release"]);

const TABLES: GeneratedSection = GeneratedSection {
    page: "docs/soak.md",
    begin: "<!-- soak-study: begin (written by `cargo xtask soak-study --write`) -->\n",
    end: "<!-- soak-study: end -->",
};

pub(crate) fn run(args: &Args, checkout: &Checkout) -> Result<Exit> {
    let mut study = Command::new(STUDY.build(checkout)?);
    study
        .arg("--series")
        .arg(args.series.to_string())
        .stderr(Stdio::inherit());
    console::running(checkout, &study);
    let output = study.output().context("cannot start the study")?;
    if !output.status.success() {
        bail!("the study ended with {}", output.status);
    }
    let tables = String::from_utf8(output.stdout).context("the study's tables are not text")?;
    if args.write {
        TABLES.write(checkout, &tables)?;
        return Ok(Exit::Pass);
    }
    if !args.check {
        print!("{tables}");
        return Ok(Exit::Pass);
    }
    let (old, new) = TABLES.update(checkout, &tables)?;
    let page = TABLES.page;
    let Some((line, stale, fresh)) = first_difference(&old, &new) else {
        println!("PASS {page} is up to date");
        return Ok(Exit::Pass);
    };
    println!(
        "FAIL {page}:{line}\n  - {stale}\n  + {fresh}\n    remedy: cargo xtask soak-study --write, and give the reason in the change"
    );
    Ok(Exit::Fail)
}

/// The first line that differs: its number, and both.
fn first_difference<'a>(old: &'a str, new: &'a str) -> Option<(usize, &'a str, &'a str)> {
    let (mut old, mut new) = (old.lines(), new.lines());
    (1..)
        .map(|number| (number, old.next(), new.next()))
        .take_while(|(_, old, new)| old.is_some() || new.is_some())
        .find(|(_, old, new)| old != new)
        .map(|(number, old, new)| (number, old.unwrap_or_default(), new.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_line_is_named() {
        assert_eq!(first_difference("a\nb\nc", "a\nb\nc"), None);
        assert_eq!(first_difference("a\nb\nc", "a\nX\nc"), Some((2, "b", "X")));
        assert_eq!(first_difference("a", "a\nb"), Some((2, "", "b")));
    }

    #[test]
    fn the_page_holds_the_tables_of_the_full_study() {
        let checkout = Checkout::find().expect("a checkout");
        let (page, _) = TABLES.update(&checkout, "").expect("it has markers");
        assert!(
            page.contains(&format!("\n{FULL_SERIES} experiments of each kind with 30 pairs")),
            "the tables are of a shorter study: cargo xtask soak-study --write"
        );
    }
}

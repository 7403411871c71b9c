mod study;
mod trend;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use leak_test::{RELABELLINGS, Seed};

use self::study::Study;
use crate::exit::Exit;
use crate::marked::Marked;
use crate::present::steps::say;
use crate::workspace;

/// Study how often the soak's verdict is wrong, on simulated series, beside the tests in common use.
///
/// It takes minutes, fewer with `cargo run --release --package xtask -- soak-study`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Experiments of each kind
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..))]
    series: u64,
    /// Write the tables into docs/soak.md
    #[arg(long, conflicts_with = "check")]
    write: bool,
    /// Fail where the tables in docs/soak.md are others
    #[arg(long)]
    check: bool,
}

const SEED: Seed = Seed(0x50a4_2026);

const TABLES: Marked = Marked {
    begin: "<!-- soak-study: begin (written by `cargo xtask soak-study --write`) -->\n",
    end: "<!-- soak-study: end -->",
};

pub(crate) fn run(args: &Args) -> Result<Exit> {
    let begun = Instant::now();
    let study = Study {
        series: args.series,
        relabellings: RELABELLINGS,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        seed: SEED,
    };
    let progress = |what: &str| say(&format!("{:>4.0} s  {what}", begun.elapsed().as_secs_f64()));
    let tables = study.run(progress);
    progress("done");
    if !args.write && !args.check {
        println!("{tables}");
        return Ok(Exit::Pass);
    }
    let page = page();
    let shown = workspace::shown(&page);
    let old = std::fs::read_to_string(&page).with_context(|| format!("cannot read {shown}"))?;
    let new = TABLES
        .with(&old, &tables)
        .with_context(|| format!("{shown} has lost its markers"))?;
    if args.write {
        std::fs::write(&page, new).with_context(|| format!("cannot write {shown}"))?;
        say(&format!("written to {shown}"));
        return Ok(Exit::Pass);
    }
    let Some((line, stale, fresh)) = first_difference(&old, &new) else {
        say(&format!("{shown} is up to date"));
        return Ok(Exit::Pass);
    };
    println!(
        "FAIL {shown}:{line}\n  - {stale}\n  + {fresh}\n    remedy: cargo xtask soak-study --write, and say why in the change"
    );
    Ok(Exit::Fail)
}

fn page() -> PathBuf {
    workspace::root().join("docs/soak.md")
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
        let page = std::fs::read_to_string(page()).expect("docs/soak.md");
        assert!(TABLES.with(&page, "").is_some(), "it has markers");
        let head = format!(
            "2000 experiments of each kind with 30 pairs, 100 operations a treated block,\n{RELABELLINGS}"
        );
        assert!(
            page.contains(&head),
            "not those of a trial run: cargo xtask soak-study --write"
        );
    }
}

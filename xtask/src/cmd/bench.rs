use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::exit::Exit;
use crate::marked::Marked;
use crate::present::steps::say;
use crate::workspace;

/// Measure what a sample costs and how far it is off, beside others, and write the tables into docs/performance.md.
///
/// Linux alone. It takes some ten minutes, and a machine that does nothing else meanwhile.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print the tables, and leave the page as it is
    #[arg(long)]
    print: bool,
}

const TABLES: Marked = Marked {
    begin: "<!-- bench: begin (written by `cargo xtask bench`) -->\n",
    end: "<!-- bench: end -->\n",
};

pub(crate) fn run(args: &Args) -> Result<Exit> {
    let sh = Shell::new()?;
    sh.change_dir(workspace::root());
    let cargo = workspace::cargo();
    let tables = cmd!(
        sh,
        "{cargo} run --release --locked --package bench --features peers"
    )
    .read()?;
    if args.print {
        println!("{tables}");
        return Ok(Exit::Pass);
    }
    let page = workspace::root().join("docs/performance.md");
    let shown = workspace::shown(&page);
    let old = std::fs::read_to_string(&page).with_context(|| format!("cannot read {shown}"))?;
    let new = TABLES
        .with(&old, &tables)
        .with_context(|| format!("{shown} has lost its markers"))?;
    std::fs::write(&page, new).with_context(|| format!("cannot write {shown}"))?;
    say(&format!("written to {shown}"));
    Ok(Exit::Pass)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_markers_and_tables_of_a_full_run() {
        let page = workspace::root().join("docs/performance.md");
        let page = std::fs::read_to_string(page).expect("docs/performance.md");
        assert!(TABLES.with(&page, "").is_some(), "it has markers");
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

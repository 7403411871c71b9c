use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anstyle_svg::Term;
use anyhow::{Context, Result, bail, ensure};

use crate::cargo;
use crate::checkout::Checkout;
use crate::console::println;
use crate::exit::Exit;
use crate::tools;

/// Make the pictures in docs/ again: a run of verify on the terminal, and its page in a browser.
///
/// Runs `cargo xtask verify` and a headless browser, which `cargo xtask setup` installs. Look at the pictures before you commit
/// them: they show this machine.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// A reader's window, which shows the beginning of the page.
const WINDOW_SIZE: &str = "1180,900";

pub(crate) fn run(_: &Args, checkout: &Checkout) -> Result<Exit> {
    let docs = checkout.root().join("docs");
    let dir = cargo::target_dir(checkout)?.join("docs");
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let output = verify(checkout, &dir)?;
    let picture = docs.join("verify.svg");
    fs::write(&picture, Term::new().min_width_px(0).render_svg(&output))
        .with_context(|| format!("cannot write {}", picture.display()))?;
    println!("{}", checkout.shorten(&picture));
    let picture = docs.join("report.png");
    photograph(&newest_run(&dir)?.join("report.html"), &dir, &picture)?;
    println!("{}", checkout.shorten(&picture));
    Ok(Exit::Pass)
}

/// The output of a run, as on a terminal.
fn verify(checkout: &Checkout, dir: &Path) -> Result<String> {
    let log = dir.join("output");
    let file = File::create(&log)?;
    let mut command = cargo::command(checkout);
    command
        .args(["xtask", "verify", "--out"])
        .arg(dir.join("runs"))
        .env("CLICOLOR_FORCE", "1")
        .env_remove("GITHUB_ACTIONS")
        .stdout(file.try_clone()?)
        .stderr(file);
    let status = cargo::started(command.status())?;
    let output = fs::read_to_string(&log)?;
    if !status.success() {
        bail!("verify ended with {status}, which makes no picture:\n{output}");
    }
    Ok(as_typed(&output, dir, &cargo::target_dir(checkout)?))
}

/// The output as if the command had been typed without options, in a checkout without settings, and built before.
fn as_typed(output: &str, dir: &Path, target_dir: &Path) -> String {
    let runs = dir.join("runs").display().to_string();
    let output = output
        .replace(&format!("cargo xtask verify --out {runs}"), "cargo xtask verify")
        .replace(&runs, "target/verify")
        .replace(&target_dir.display().to_string(), "target");
    let is_build = |line: &&str| {
        ["cargo build ", "Compiling ", "Finished ", "Running ", "Blocking "]
            .iter()
            .any(|word| line.contains(word))
    };
    let lines = output.lines().filter(|line| !is_build(line));
    std::iter::once("$ cargo xtask verify")
        .chain(lines)
        .collect::<Vec<_>>()
        .join("\n")
}

fn newest_run(dir: &Path) -> Result<PathBuf> {
    let runs = fs::read_dir(dir.join("runs"))?;
    let newest = runs.map_while(Result::ok).map(|entry| entry.path()).max();
    newest.context("verify left no run")
}

fn photograph(page: &Path, dir: &Path, picture: &Path) -> Result<()> {
    let browser = tools::browser().context("no browser can show the page: cargo xtask setup")?;
    let shot = dir.join("page.png");
    let output = Command::new(browser)
        .args([
            "--headless",
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
            "--no-sandbox",
        ])
        .arg(format!("--window-size={WINDOW_SIZE}"))
        .arg(format!("--user-data-dir={}", dir.join("browser").display()))
        .arg(format!("--screenshot={}", shot.display()))
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {browser}"))?;
    ensure!(
        output.status.success() && shot.is_file(),
        "{browser} took no picture: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::copy(&shot, picture).with_context(|| format!("cannot write {}", picture.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_shows_neither_this_machine_nor_the_build() {
        let output = "$ cargo build --locked --package truegauge\n   Compiling checks v0.1.0\n    Finished `dev` profile\n\
                      $ /x/target/debug/client\npage: /x/target/docs/runs/R/report.html\n\
                      reproduce with: cargo xtask verify --out /x/target/docs/runs\nPASS: 93 passed";
        assert_eq!(
            as_typed(output, Path::new("/x/target/docs"), Path::new("/x/target")),
            "$ cargo xtask verify\n$ target/debug/client\npage: target/verify/R/report.html\n\
             reproduce with: cargo xtask verify\nPASS: 93 passed"
        );
    }
}

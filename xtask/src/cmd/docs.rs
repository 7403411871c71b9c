use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use anstream::println;
use anstyle_svg::Term;
use anyhow::{Context, Result, ensure};

use crate::exit::{Exit, Stop};
use crate::present::files;
use crate::tools;
use crate::workspace;

/// Make the pictures in docs/ again: a run of verify on the terminal, and its page in a browser.
///
/// Runs `cargo xtask verify`, which takes what it takes, and a headless browser (`cargo xtask setup` installs one). Look at
/// the pictures before they are committed: they show this machine.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Of the page: its beginning, as a reader's window shows it.
const WINDOW: &str = "1180,900";

pub(crate) fn run(_: Args) -> Result<Exit> {
    let docs = workspace::root().join("docs");
    let dir = tempfile::tempdir().context("cannot make a directory")?;
    let said = verify(dir.path())?;
    let picture = docs.join("verify.svg");
    files::write_text(&picture, &Term::new().min_width_px(0).render_svg(&said))?;
    println!("{}", workspace::shown(&picture));
    let picture = docs.join("report.png");
    photograph(&newest_run(dir.path())?.join("report.html"), &picture)?;
    println!("{}", workspace::shown(&picture));
    Ok(Exit::Pass)
}

/// Everything that a run says, as on a terminal.
fn verify(out: &Path) -> Result<String> {
    let log = out.join("said");
    let file = File::create(&log)?;
    let arguments = ["verify", "--out"];
    let status = Command::new(std::env::current_exe()?)
        .args(arguments)
        .arg(out.join("runs"))
        .env("CLICOLOR_FORCE", "1")
        .env_remove("GITHUB_ACTIONS")
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()?;
    let said = std::fs::read_to_string(&log)?;
    if !status.success() {
        return Err(Stop::Environment(format!(
            "verify ended with {status}, and is no picture to show:\n{said}"
        ))
        .into());
    }
    Ok(portrayed(&said, out))
}

/// As if it had been typed without options, in a checkout without settings.
fn portrayed(said: &str, out: &Path) -> String {
    let runs = out.join("runs").display().to_string();
    let target = workspace::target_dir().display().to_string();
    let said = said
        .replace(&format!("cargo xtask verify --out {runs}"), "cargo xtask verify")
        .replace(&runs, "target/verify")
        .replace(&target, "target");
    // How long cargo took to find that there was nothing to do.
    let lines = said.lines().filter(|line| !line.contains("Finished"));
    let lines: Vec<&str> = std::iter::once("$ cargo xtask verify").chain(lines).collect();
    lines.join("\n")
}

fn newest_run(out: &Path) -> Result<std::path::PathBuf> {
    let runs = std::fs::read_dir(out.join("runs"))?;
    let newest = runs.map_while(Result::ok).map(|entry| entry.path()).max();
    newest.context("verify left no run")
}

fn photograph(page: &Path, picture: &Path) -> Result<()> {
    let browser = tools::browser().ok_or_else(|| {
        Stop::Environment("there is no browser to show the page in: cargo xtask setup".to_owned())
    })?;
    let profile = tempfile::tempdir().context("cannot make a directory")?;
    let shot = profile.path().join("page.png");
    let output = Command::new(browser)
        .args([
            "--headless",
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
            "--no-sandbox",
        ])
        .arg(format!("--window-size={WINDOW}"))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--screenshot={}", shot.display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .with_context(|| format!("cannot start {browser}"))?;
    ensure!(
        output.status.success() && shot.is_file(),
        "{browser} took no picture: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::copy(&shot, picture).with_context(|| format!("cannot write {}", picture.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_shows_what_anybody_would_see() {
        let target = workspace::target_dir();
        let said = format!(
            "$ {0}/debug/client\n    Finished `dev` profile\npage: /tmp/x/runs/R/report.html\nsee it again: cargo xtask verify --out \
             /tmp/x/runs\nPASS: 93 passed",
            target.display()
        );
        assert_eq!(
            portrayed(&said, Path::new("/tmp/x")),
            "$ cargo xtask verify\n$ target/debug/client\npage: target/verify/R/report.html\nsee it again: cargo xtask verify\n\
             PASS: 93 passed"
        );
    }
}

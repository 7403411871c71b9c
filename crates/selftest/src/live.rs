//! Real clients that lie or leak, and real clients that do neither, judged by `cargo xtask verify` and `soak` as anybody
//! would run them.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use checks::Row;
use seeded_defects::{Catalogue, LABELS, Report, Simulated};

use super::recorded::wrong;
use super::{Ground, SoundRun, Tally, Trial, difference};
use crate::present::steps;
use crate::rig::{self, Events};
use crate::workspace;

/// The loads of runs without a defect, in percent of a core, and the client's worker threads.
const LOADS: [&str; 4] = ["20", "10", "35", "50"];
const WORKERS: [&str; 3] = ["8", "16", "40"];

/// A run of `verify` takes a quarter of a minute, one of `soak` as long as it is given; on a busy machine a while longer.
const LIMIT: Duration = Duration::from_secs(300);

/// What the live part needs.
pub(crate) struct Live {
    client: PathBuf,
    /// Lies and leaks on request.
    leaky: PathBuf,
    dir: PathBuf,
    events: Events,
    runs: usize,
}

/// How a run of the harness ended.
struct Judged {
    code: Option<i32>,
    /// `results.json`.
    results: Value,
    dir: PathBuf,
}

impl Live {
    /// Builds the clients; what the runs leave goes below `dir`.
    pub(crate) fn prepare(dir: &Path) -> Result<Self> {
        let mut events = Events::new()?;
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let built = rig::build(&["headless-client", "spice-source"], &mut events)?;
        let leaky = rig::build_leaky_client(&mut events)?;
        Ok(Self {
            client: built.join("headless-client"),
            leaky,
            dir: dir.to_owned(),
            events,
            runs: 0,
        })
    }

    /// Every defect of the catalogue that a living client can have.
    pub(crate) fn defects(&mut self, catalogue: &Catalogue, tally: &mut Tally) -> Result<()> {
        for row in catalogue.report.iter().filter(|row| !row.live.is_empty()) {
            let wrong = self.lie(catalogue, row)?;
            self.tell(&row.id, wrong.as_deref());
            tally.trial(Trial {
                defect: row.id.clone(),
                ground: Ground::Live,
                place: row.live.join(", "),
                wrong,
            });
        }
        for row in &catalogue.simulated {
            let Some(fault) = &row.fault else { continue };
            let wrong = self.leak(row, fault)?;
            self.tell(&row.id, wrong.as_deref());
            tally.trial(Trial {
                defect: row.id.clone(),
                ground: Ground::Live,
                place: fault.clone(),
                wrong,
            });
        }
        Ok(())
    }

    /// Runs without a defect, at several loads and with several numbers of threads.
    pub(crate) fn sound(&mut self, runs: usize, tally: &mut Tally) -> Result<()> {
        for run in 0..runs {
            let (load, workers) = (LOADS[run % LOADS.len()], WORKERS[run % WORKERS.len()]);
            let client = self.with_workers(workers)?;
            let judged = self.run("verify", &client, &["--busy", load, "--later", "0s"], &[])?;
            let alarm = if judged.code == Some(0) {
                None
            } else {
                let rows = wrong(&rows(&judged)?, &BTreeSet::new(), &BTreeSet::new());
                Some(rows.unwrap_or_else(|| judged.ended_without_rows()))
            };
            let what = format!("{load} % of a core, {workers} workers");
            self.tell(&what, alarm.as_deref());
            tally.sound(SoundRun {
                ground: Ground::Live,
                what,
                alarm,
            });
        }
        Ok(())
    }

    /// One lie; what is wrong with what was found.
    fn lie(&mut self, catalogue: &Catalogue, row: &Report) -> Result<Option<String>> {
        let number = |label: &String| {
            LABELS
                .iter()
                .position(|known| known == label)
                .map(|n| n.to_string())
        };
        let told_in: Vec<String> = row.live.iter().filter_map(number).collect();
        let env = [
            ("HEADLESS_CLIENT_LIE", catalogue.program(&row.lie)),
            ("HEADLESS_CLIENT_LIES_IN", told_in.join(",")),
        ];
        let judged = self.run("verify", &self.leaky.clone(), &["--later", "0s"], &env)?;
        let (fails, skips) = row.expected_live();
        let wrong = wrong(&rows(&judged)?, &fails, &skips);
        Ok(wrong.or_else(|| (judged.code != Some(1)).then(|| judged.ended_without_rows())))
    }

    fn leak(&mut self, row: &Simulated, fault: &str) -> Result<Option<String>> {
        let env = [("RUNTIME_METRICS_FAULT", fault.to_owned())];
        let judged = self.run("soak", &self.leaky.clone(), &["--duration", "90s"], &env)?;
        let leaks = judged.results.pointer("/soak/statistics/live/leaks");
        let leaks = leaks
            .or_else(|| judged.results.pointer("/live/leaks"))
            .and_then(Value::as_array);
        let Some(leaks) = leaks else {
            return Ok(Some(judged.ended_without_rows()));
        };
        let found = leaks
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        let expected = row.leaks.iter().cloned().collect();
        Ok(difference("leaking", &found, &expected))
    }

    /// Runs the harness itself, and reads what it came to.
    fn run(&mut self, command: &str, client: &Path, args: &[&str], env: &[(&str, String)]) -> Result<Judged> {
        self.runs += 1;
        let dir = self.dir.join(format!("{:03}-{command}", self.runs));
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let mut harness = Command::new(std::env::current_exe().context("where is this program?")?);
        harness.arg(command).args(args);
        harness.arg("--client-bin").arg(client).arg("--out").arg(&dir);
        harness.envs(env.iter().map(|(name, value)| (name, value)));
        // What it says to GitHub would be taken for ours.
        harness
            .env_remove("GITHUB_ACTIONS")
            .env_remove("GITHUB_STEP_SUMMARY");
        let status = rig::run_harness(harness, &dir.join("harness.log"), LIMIT, &mut self.events)?;
        let Some(status) = status else {
            bail!(
                "`cargo xtask {command}` did not end within {LIMIT:?}: see {}",
                workspace::shown(&dir)
            );
        };
        // 2 is the environment's fault: nothing was judged, and nothing can be said.
        ensure!(
            status.code() != Some(2),
            "`cargo xtask {command}` could not run here: see {}/harness.log",
            workspace::shown(&dir)
        );
        let results = results(&dir)?;
        Ok(Judged {
            code: status.code(),
            results,
            dir,
        })
    }

    /// The client with so many workers: a script that becomes it, and says so many in place of the harness.
    fn with_workers(&self, workers: &str) -> Result<PathBuf> {
        let path = self.dir.join(format!("client-of-{workers}"));
        let client = steps::quoted(self.client.as_os_str());
        let script = format!(
            "#!/bin/sh\nlast=\nfor word; do\n  shift\n  [ \"$last\" = --workers ] && word={workers}\n  \
             set -- \"$@\" \"$word\"\n  last=$word\ndone\nexec {client} \"$@\"\n"
        );
        std::fs::write(&path, script).with_context(|| format!("cannot write {}", path.display()))?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(path)
    }

    fn tell(&self, what: &str, wrong: Option<&str>) {
        steps::say(&format!(
            "  {:>3}  {what}: {}",
            self.runs,
            wrong.unwrap_or("as it should be")
        ));
    }
}

impl Judged {
    fn ended_without_rows(&self) -> String {
        let sentence = self.results["sentence"].as_str().unwrap_or("nothing was judged");
        format!(
            "exit code {:?}, {sentence}: see {}",
            self.code,
            workspace::shown(&self.dir)
        )
    }
}

/// The results of the only run below a directory.
fn results(dir: &Path) -> Result<Value> {
    let entries = std::fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    let run = entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.is_dir());
    let path = run
        .with_context(|| format!("no run in {}", dir.display()))?
        .join("results.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))
}

fn rows(judged: &Judged) -> Result<Vec<Row>> {
    let checks = judged.results["checks"].clone();
    serde_json::from_value(checks).with_context(|| format!("the rows of {}", workspace::shown(&judged.dir)))
}

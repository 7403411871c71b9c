//! Runs a workflow with act on this machine, with stand-ins for cargo, rustup and all actions, and reads what it called.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::expected::{Begins, Conduct, End, Fault, Observed, Plan, Workflow, normal};

/// The label of every runner in the copies. act evaluates `runs-on` once for all legs of a matrix, whichever comes first.
const RUNNER: &str = "rehearsal";

/// A directory that holds copies of the workflows and the stand-ins; deleted at the end.
pub(crate) struct Sandbox {
    dir: PathBuf,
    /// The directories of this machine's programs, act among them.
    path: OsString,
    /// Every action that the workflows use, as they name it.
    actions: Vec<String>,
    /// The `runs-on` of every job, by file and job.
    runs_on: BTreeMap<(String, String), String>,
    /// The number of runs so far.
    runs: AtomicUsize,
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Sandbox {
    /// Fills a new directory. `path` is the value of PATH.
    pub(crate) fn create(dir: &Path, workflows: &Path, path: OsString) -> Result<Self> {
        let mut sandbox = Self {
            dir: dir.to_owned(),
            path,
            actions: Vec::new(),
            runs_on: BTreeMap::new(),
            runs: AtomicUsize::new(0),
        };
        let copies = dir.join("repository/.github/workflows");
        for made in [&copies, &dir.join("bin"), &dir.join("action")] {
            fs::create_dir_all(made).with_context(|| format!("cannot create {}", made.display()))?;
        }
        let stand_in = dir.join("bin/stand-in");
        fs::write(&stand_in, include_str!("stand-in.sh"))?;
        fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755))?;
        for name in ["cargo", "rustup", "action"] {
            symlink("stand-in", dir.join("bin").join(name))?;
        }
        fs::write(dir.join("action/action.yml"), include_str!("action.yml"))?;
        for file in files(workflows)? {
            let text = fs::read_to_string(workflows.join(&file))?;
            sandbox
                .actions
                .extend(text.lines().filter_map(action).map(str::to_owned));
            fs::write(copies.join(&file), sandbox.on_this_machine(&file, &text))?;
        }
        sandbox.actions.sort();
        sandbox.actions.dedup();
        // act looks for a repository around the current directory, and would take this checkout.
        let mut git = Command::new("git");
        git.args(["init", "--quiet"]).arg(dir.join("repository"));
        ensure!(
            git.status().context("cannot start git")?.success(),
            "`git init` failed"
        );
        Ok(sandbox)
    }

    /// A workflow whose jobs all run on [`RUNNER`]; keeps their own `runs-on`.
    fn on_this_machine(&mut self, file: &str, text: &str) -> String {
        let mut job = "";
        let mut copy = String::new();
        for line in text.lines() {
            let key = line.strip_prefix("  ").and_then(|line| line.strip_suffix(':'));
            job = key.filter(|key| !key.starts_with([' ', '#'])).unwrap_or(job);
            match line.split_once("runs-on:") {
                Some((indentation, runner)) if indentation.trim().is_empty() => {
                    let id = (file.to_owned(), job.to_owned());
                    self.runs_on.insert(id, runner.trim().to_owned());
                    copy += &format!("{indentation}runs-on: {RUNNER}\n");
                }
                _ => copy += &format!("{line}\n"),
            }
        }
        copy
    }

    /// Runs every case of the workflow, some of them at a time, and returns their number and what is wrong.
    pub(crate) fn rehearse(&self, workflow: &Workflow) -> Result<(usize, Vec<Fault>)> {
        let cases = workflow.cases();
        let next = AtomicUsize::new(0);
        let found = Mutex::new(BTreeMap::new());
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(plan) = cases.get(number) else { break };
                let faults = self
                    .run(workflow, plan)
                    .map(|observed| workflow.faults(plan, &observed));
                found.lock().expect("no thread panics").insert(number, faults);
            }
        };
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for _ in 0..workers.min(cases.len()) {
                scope.spawn(work);
            }
        });
        let found = found.into_inner().expect("no thread panics");
        let mut faults = Vec::new();
        for of_case in found.into_values() {
            faults.extend(of_case?);
        }
        Ok((cases.len(), faults))
    }

    /// Runs the workflow once.
    pub(crate) fn run(&self, workflow: &Workflow, plan: &Plan) -> Result<Observed> {
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        let home = self.dir.join(format!("home-{number}"));
        fs::create_dir(&home)?;
        let (log, calls) = (home.join("log"), home.join("calls"));
        fs::create_dir(&calls)?;
        let mut act = Command::new("act");
        act.arg(workflow.event)
            .args(["--workflows", &format!(".github/workflows/{}", workflow.file)])
            .args(["--json", "--concurrent-jobs", "16", "--no-skip-checkout"])
            .args([
                "--action-offline-mode",
                "--no-cache-server",
                "--container-daemon-socket",
                "-",
            ]);
        act.args(["--platform", &format!("{RUNNER}=-self-hosted")]);
        for action in &self.actions {
            let stand_in = self.dir.join("action");
            act.arg("--local-repository")
                .arg(format!("{action}={}", stand_in.display()));
        }
        for (name, value) in workflow.inputs {
            act.args(["--input", &format!("{name}={value}")]);
        }
        let words: Vec<String> = plan
            .iter()
            .map(|((job, call), end)| format!("{job}:{call}:{end}"))
            .collect();
        for (name, value) in [
            ("PLAN", words.join(" ")),
            ("CALLS", calls.display().to_string()),
            ("LEG", "${{ matrix.leg || matrix.runner }}".to_owned()),
        ] {
            act.arg("--env").arg(format!("REHEARSAL_{name}={value}"));
        }
        let path = std::iter::once(self.dir.join("bin")).chain(std::env::split_paths(&self.path));
        // Settings of the user, or of a runner that this runs on, change nothing.
        act.env_clear()
            .env("PATH", std::env::join_paths(path)?)
            .env("HOME", &home)
            .current_dir(self.dir.join("repository"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?);
        let mut child = act.spawn().context("cannot start act")?;
        let lines = BufReader::new(child.stdout.take().context("act has no output")?).lines();
        let mut legs: BTreeMap<(String, String), Progress> = BTreeMap::new();
        let mut waits = plan.values().any(|end| *end == End::Cancelled);
        for line in lines {
            let Ok(line) = serde_json::from_str::<Line>(&line?) else {
                continue;
            };
            let leg = legs.entry((line.job.clone(), line.leg())).or_default();
            leg.runner = match self.runs_on.get(&(workflow.file.to_owned(), line.job.clone())) {
                Some(runner) if runner == "${{ matrix.runner }}" => line.matrix_value("runner"),
                Some(runner) => runner.clone(),
                None => String::new(),
            };
            leg.hangs |= line.raw_output && line.msg.trim() == "HANGS";
            leg.passed = line.result.map(|result| result == "success").or(leg.passed);
            if waits && self.all_hang(workflow, &legs) {
                waits = false;
                fs::write(calls.join("cancelled"), "")?;
                let interrupted = Command::new("kill")
                    .args(["-INT", &child.id().to_string()])
                    .status();
                ensure!(interrupted?.success(), "act has ended before it was cancelled");
            }
        }
        child.wait()?;
        if legs.is_empty() {
            let said = fs::read_to_string(&log)?;
            let last = said.lines().last().unwrap_or_default();
            bail!("no job of {} runs on {}: {last}", workflow.file, workflow.event);
        }
        let conduct = |(id, progress): ((String, String), Progress)| {
            let made = fs::read_to_string(calls.join(format!("{},{}", id.0, id.1))).unwrap_or_default();
            let conduct = Conduct {
                runner: progress.runner,
                calls: made.lines().map(normal).collect(),
                passed: progress.passed,
            };
            (id, conduct)
        };
        Ok(legs.into_iter().map(conduct).collect())
    }

    /// True once each job that begins at once has a leg in the call during which it is cancelled.
    fn all_hang(&self, workflow: &Workflow, legs: &BTreeMap<(String, String), Progress>) -> bool {
        let mut begun = workflow.jobs.iter().filter(|job| {
            let id = (workflow.file.to_owned(), job.id.to_owned());
            job.begins == Begins::AtOnce && self.runs_on.contains_key(&id)
        });
        begun.all(|job| {
            legs.iter()
                .any(|((id, _), progress)| id == job.id && progress.hangs)
        })
    }
}

/// How far a leg has come.
#[derive(Default)]
struct Progress {
    runner: String,
    hangs: bool,
    passed: Option<bool>,
}

/// The workflows in a directory, by name.
pub(crate) fn files(workflows: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(workflows).with_context(|| format!("cannot list {}", workflows.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".yml") || name.ends_with(".yaml") {
            files.push(name);
        }
    }
    files.sort();
    Ok(files)
}

/// The action that a line of a workflow uses.
fn action(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let value = line.strip_prefix("- ").unwrap_or(line).strip_prefix("uses:")?;
    value.split_whitespace().next()
}

/// One line of `act --json` about a job. Lines of other kinds lack some of these fields.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "jobID")]
    job: String,
    #[serde(default)]
    matrix: Map<String, Value>,
    msg: String,
    /// True for what a step prints.
    #[serde(default)]
    raw_output: bool,
    #[serde(rename = "jobResult")]
    result: Option<String>,
}

impl Line {
    fn matrix_value(&self, name: &str) -> String {
        let value = self.matrix.get(name).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    }

    fn leg(&self) -> String {
        let runner = || self.matrix_value("runner");
        Some(self.matrix_value("leg"))
            .filter(|leg| !leg.is_empty())
            .unwrap_or_else(runner)
    }
}

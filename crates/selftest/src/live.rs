//! Real clients that tamper or leak, and real clients that do neither, judged by `truegauge verify` and `truegauge soak`.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anstream::eprintln;
use anyhow::{Context, Result, ensure};
use checks::Row;
use seeded_defects::{Catalogue, LABELS, Report, Simulated};
use serde_json::Value;

use crate::process::Runner;
use crate::recorded::mismatch;
use crate::tally::Tally;
use crate::trial::{CleanRun, Level, Trial, difference};

/// The loads of runs without a defect, in percent of a core, and the client's worker threads.
const LOADS: [&str; 4] = ["20", "10", "35", "50"];
const WORKERS: [&str; 3] = ["8", "16", "40"];

/// A run of `verify` takes a quarter of a minute, one of `soak` as long as it is given; a busy machine takes longer.
const LIMIT: Duration = Duration::from_secs(300);

/// The programs of the live part.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Programs {
    /// The program that judges.
    #[arg(
        long,
        value_name = "PATH",
        required = false,
        required_unless_present = "quick"
    )]
    pub(crate) truegauge: PathBuf,
    /// The client without a defect.
    #[arg(
        long,
        value_name = "PATH",
        required = false,
        required_unless_present = "quick"
    )]
    pub(crate) client: PathBuf,
    /// The client that tampers with its reports and leaks on request.
    #[arg(
        long,
        value_name = "PATH",
        required = false,
        required_unless_present = "quick"
    )]
    pub(crate) tampering_client: PathBuf,
    /// The process of the count test.
    #[arg(
        long,
        value_name = "PATH",
        required = false,
        required_unless_present = "quick"
    )]
    pub(crate) sampling_process: PathBuf,
    /// The positive control of the count test.
    #[arg(
        long,
        value_name = "PATH",
        required = false,
        required_unless_present = "quick"
    )]
    pub(crate) leaking_process: PathBuf,
}

/// Runs truegauge, each run in a directory of its own.
pub(crate) struct Live<'a> {
    programs: Programs,
    checkout: &'a Path,
    dir: PathBuf,
    runner: &'a Runner,
    runs: usize,
}

/// How a run of truegauge ended.
struct Judged {
    code: Option<i32>,
    /// `results.json`.
    results: Value,
    /// The command that repeats it, and its directory.
    see: String,
}

impl<'a> Live<'a> {
    pub(crate) fn new(
        programs: &Programs,
        checkout: &'a Path,
        dir: &Path,
        runner: &'a Runner,
    ) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        // Clients run in directories of their own: a relative path would not name them there.
        let absolute = |path: &Path| {
            path.canonicalize()
                .with_context(|| format!("no program {}", path.display()))
        };
        Ok(Self {
            programs: Programs {
                truegauge: absolute(&programs.truegauge)?,
                client: absolute(&programs.client)?,
                tampering_client: absolute(&programs.tampering_client)?,
                sampling_process: absolute(&programs.sampling_process)?,
                leaking_process: absolute(&programs.leaking_process)?,
            },
            checkout,
            dir: absolute(dir)?,
            runner,
            runs: 0,
        })
    }

    /// Every defect of the catalogue that a live client can have.
    pub(crate) fn defects(&mut self, catalogue: &Catalogue, tally: &mut Tally) -> Result<()> {
        for row in catalogue.report.iter().filter(|row| !row.live.is_empty()) {
            let mismatch = self.tampered(catalogue, row)?;
            self.add_trial(tally, &row.id, row.live.join(", "), mismatch);
        }
        for row in &catalogue.simulated {
            let Some(fault) = &row.fault else { continue };
            let mismatch = self.leak(row, fault)?;
            self.add_trial(tally, &row.id, fault.clone(), mismatch);
        }
        Ok(())
    }

    /// Runs without a defect, at several loads and with several numbers of threads.
    pub(crate) fn clean_runs(&mut self, runs: usize, tally: &mut Tally) -> Result<()> {
        for run in 0..runs {
            let (load, workers) = (LOADS[run % LOADS.len()], WORKERS[run % WORKERS.len()]);
            let client = self.client_with_workers(workers)?;
            let args = ["--busy-cpu", load, "--later-delay", "0s"];
            let judged = self.run("verify", &client, &args, &[])?;
            let false_positive = if judged.code == Some(0) {
                None
            } else {
                let none = BTreeSet::new();
                Some(judged.shown(mismatch(&judged.rows()?, &none, &none)))
            };
            let description = format!("{load} % of a core, {workers} workers");
            self.report(&description, false_positive.as_deref());
            tally.add_clean_run(CleanRun {
                level: Level::Live,
                description,
                false_positive,
            });
        }
        Ok(())
    }

    /// A client that tampers with its reports; how the rows differ from the expected ones.
    fn tampered(&mut self, catalogue: &Catalogue, row: &Report) -> Result<Option<String>> {
        let number = |label: &String| {
            let known = LABELS.iter().position(|known| known == label);
            known.map(|number| number.to_string())
        };
        let reports: Vec<String> = row.live.iter().filter_map(number).collect();
        let env = [
            ("HEADLESS_CLIENT_TAMPERING", catalogue.program(&row.lie)),
            ("HEADLESS_CLIENT_TAMPERED_REPORTS", reports.join(",")),
        ];
        let client = self.programs.tampering_client.clone();
        let judged = self.run("verify", &client, &["--later-delay", "0s"], &env)?;
        let (fails, skips) = row.expected_live();
        let mismatch = mismatch(&judged.rows()?, &fails, &skips);
        Ok((mismatch.is_some() || judged.code != Some(1)).then(|| judged.shown(mismatch)))
    }

    fn leak(&mut self, row: &Simulated, fault: &str) -> Result<Option<String>> {
        let env = [("RUNTIME_METRICS_FAULT", fault.to_owned())];
        let client = self.programs.tampering_client.clone();
        let judged = self.run("soak", &client, &["--duration", "90s"], &env)?;
        let leaks = judged.results.pointer("/soak/statistics/live/leaks");
        let Some(leaks) = leaks.and_then(Value::as_array) else {
            return Ok(Some(judged.shown(None)));
        };
        let names = leaks.iter().filter_map(Value::as_str).map(str::to_owned);
        let expected = row.leaks.iter().cloned().collect();
        let mismatch = difference("leaking", &names.collect(), &expected);
        Ok(mismatch.map(|mismatch| judged.shown(Some(mismatch))))
    }

    /// Runs truegauge, and reads its results.
    fn run(&mut self, command: &str, client: &Path, args: &[&str], env: &[(&str, String)]) -> Result<Judged> {
        self.runs += 1;
        let dir = self.dir.join(format!("{:03}-{command}", self.runs));
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        }
        fs::create_dir(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let reproduce_with = reproduce_with(command, client, args, env);
        let see = format!("reproduce with: {reproduce_with}; see {}", dir.display());

        let log = dir.join("truegauge.log");
        let output = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
        let programs = &self.programs;
        let mut truegauge = Command::new(&programs.truegauge);
        truegauge.arg("--checkout").arg(self.checkout);
        truegauge.arg("--reproduce-with").arg(reproduce_with);
        truegauge.arg(command).args(args);
        truegauge.arg("--client-bin").arg(client);
        truegauge
            .arg("--sampling-process")
            .arg(&programs.sampling_process);
        truegauge.arg("--leaking-process").arg(&programs.leaking_process);
        truegauge.arg("--out").arg(&dir);
        truegauge.envs(env.iter().map(|(name, value)| (name, value)));
        // GitHub would take its annotations and its summary for the selftest's.
        truegauge
            .env_remove("GITHUB_ACTIONS")
            .env_remove("GITHUB_STEP_SUMMARY");
        truegauge.stdout(output.try_clone()?).stderr(output);
        let status = self.runner.run(truegauge, LIMIT).with_context(|| see.clone())?;
        // 2 is the environment's fault: nothing was judged.
        ensure!(
            status.code() != Some(2),
            "`truegauge {command}` could not run here: {see}"
        );
        let results = results(&dir).with_context(|| see.clone())?;
        Ok(Judged {
            code: status.code(),
            results,
            see,
        })
    }

    /// The client with another number of workers: a script that replaces the number in the arguments.
    fn client_with_workers(&self, workers: &str) -> Result<PathBuf> {
        let path = self.dir.join(format!("client-of-{workers}"));
        let client = quoted(&self.programs.client.to_string_lossy());
        let script = format!(
            "#!/bin/sh\nlast=\nfor word; do\n  shift\n  [ \"$last\" = --workers ] && word={workers}\n  \
             set -- \"$@\" \"$word\"\n  last=$word\ndone\nexec {client} \"$@\"\n"
        );
        fs::write(&path, script).with_context(|| format!("cannot write {}", path.display()))?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(path)
    }

    fn add_trial(&self, tally: &mut Tally, defect: &str, place: String, mismatch: Option<String>) {
        self.report(defect, mismatch.as_deref());
        tally.add_trial(Trial {
            defect: defect.to_owned(),
            level: Level::Live,
            place,
            mismatch,
        });
    }

    fn report(&self, what: &str, mismatch: Option<&str>) {
        eprintln!(
            "  {:>3}  {what}: {}",
            self.runs,
            mismatch.unwrap_or("as expected")
        );
    }
}

impl Judged {
    fn rows(&self) -> Result<Vec<Row>> {
        serde_json::from_value(self.results["checks"].clone()).with_context(|| self.see.clone())
    }

    /// A mismatch, or how the run ended where its rows show none; and how to see it again.
    fn shown(&self, mismatch: Option<String>) -> String {
        let mismatch = mismatch.unwrap_or_else(|| {
            let sentence = self.results["sentence"].as_str().unwrap_or("no result");
            format!("exit code {:?}, {sentence}", self.code)
        });
        format!("{mismatch}; {}", self.see)
    }
}

/// The results of the only run below a directory.
fn results(dir: &Path) -> Result<Value> {
    let mut entries = fs::read_dir(dir)?.flatten().map(|entry| entry.path());
    let run = entries.find(|path| path.is_dir()).context("no run")?;
    let path = run.join("results.json");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
}

/// The command line that repeats a run from a checkout.
fn reproduce_with(command: &str, client: &Path, args: &[&str], env: &[(&str, String)]) -> String {
    let env = env
        .iter()
        .map(|(name, value)| format!("{name}={}", quoted(value)));
    let client = client.to_string_lossy();
    let words = ["cargo", "xtask", command].into_iter();
    let words = words.chain(args.iter().copied()).chain(["--client-bin", &client]);
    env.chain(words.map(quoted)).collect::<Vec<_>>().join(" ")
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A truegauge that writes these rows to its results and exits with this code.
    fn fake_truegauge(dir: &Path, code: i32, rows: &str) -> Programs {
        let path = dir.join("truegauge");
        let script = format!(
            "#!/bin/sh\nwhile [ \"$1\" != --out ]; do shift; done\nmkdir \"$2/run\"\n\
             echo '{{\"checks\": [{rows}]}}' > \"$2/run/results.json\"\nexit {code}\n"
        );
        // Written by a child: a descriptor of this process might be inherited by another test's child, and then the
        // script cannot be executed (ETXTBSY).
        let write = r#"printf %s "$1" > "$0" && chmod +x "$0""#;
        let status = Command::new("/bin/sh")
            .args(["-c", write])
            .arg(&path)
            .arg(script)
            .status();
        assert!(status.is_ok_and(|status| status.success()));
        Programs {
            truegauge: path.clone(),
            client: path.clone(),
            tampering_client: path.clone(),
            sampling_process: path.clone(),
            leaking_process: path,
        }
    }

    #[test]
    fn a_clean_run_is_judged_by_exit_code_and_rows() {
        let dir = tempfile::tempdir().expect("a directory");
        let runner = Runner::new().expect("a runner");
        let run = |code, rows| {
            let programs = fake_truegauge(dir.path(), code, rows);
            let mut tally = Tally::default();
            Live::new(&programs, dir.path(), &dir.path().join("out"), &runner)?
                .clean_runs(1, &mut tally)
                .map(|()| tally.sentence(&seeded_defects::catalogue()))
        };
        let row = r#"{"check": "1.n", "passed": false, "measured": 1, "allowed": 2}"#;
        for (code, rows, false_alarms) in [(0, "", 0), (1, row, 1), (3, "", 1)] {
            let sentence = run(code, rows).expect("judged");
            assert!(
                sentence.ends_with(&format!(" {false_alarms} of 1 false alarms")),
                "{sentence}"
            );
        }
        let error = run(2, "").expect_err("not judged").to_string();
        assert!(
            error.contains("could not run here: reproduce with: cargo xtask verify"),
            "{error}"
        );
    }

    #[test]
    fn commands_survive_a_shell() {
        let env = [("HEADLESS_CLIENT_TAMPERING", ".name = \"it's\"".to_owned())];
        assert_eq!(
            reproduce_with("verify", Path::new("/a b/client"), &["--later-delay", "0s"], &env),
            r#"HEADLESS_CLIENT_TAMPERING='.name = "it'\''s"' cargo xtask verify --later-delay 0s --client-bin '/a b/client'"#
        );
        assert_eq!(quoted(""), "''");
    }
}

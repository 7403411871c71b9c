use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Result, bail};
use xshell::Shell;

use crate::cargo;
use crate::checkout::Checkout;
use crate::console::{self, DIMMED, FAILED, eprintln};
use crate::exit::Exit;
use crate::tools;

/// Everything that must pass before a change lands: lint, test, check-macos, verify.
///
/// All steps run, also after one that failed. The failures are repeated last, each with the command that reproduces it and,
/// without a terminal, the end of its output.
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args, checkout: &Checkout) -> Result<Exit> {
    run_steps(checkout, Gate::All, &[])
}

/// A selection of steps.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Lint,
    Test,
    All,
}

/// One step; adding one is one entry in [`STEPS`].
struct Step {
    name: &'static str,
    gate: Gate,
    /// Words that spaces separate. All words after `sh -c` are one.
    command: &'static str,
    env: Option<(&'static str, &'static str)>,
    remedy: &'static str,
}

impl Step {
    const fn new(gate: Gate, name: &'static str, command: &'static str, remedy: &'static str) -> Self {
        Self {
            name,
            gate,
            command,
            env: None,
            remedy,
        }
    }
}

const STEPS: &[Step] = &[
    Step::new(Gate::Lint, "format", "cargo fmt --all --check", "cargo fmt --all"),
    Step::new(
        Gate::Lint,
        "clippy",
        "cargo clippy --workspace --all-targets --locked -- -D warnings",
        "fix each finding; `#[expect(…, reason = …)]` where clippy is wrong",
    ),
    Step {
        env: Some(("RUSTDOCFLAGS", "-D warnings")),
        ..Step::new(
            Gate::Lint,
            "docs",
            "cargo doc --workspace --no-deps --locked",
            "fix the links and comments that it names",
        )
    },
    Step::new(
        Gate::Lint,
        "dependencies",
        "cargo deny --log-level warn check licenses bans sources",
        "deny.toml lists what is allowed, and why; `cargo xtask setup` installs cargo-deny",
    ),
    // actionlint has shellcheck, if it is installed, read the `run:` lines.
    Step::new(
        Gate::Lint,
        "workflows: actionlint",
        "actionlint",
        "fix each finding; `cargo xtask setup` installs it",
    ),
    Step::new(
        Gate::Lint,
        "workflows: zizmor",
        "zizmor --offline --quiet .github/workflows",
        "fix each finding; docs.zizmor.sh explains the audits",
    ),
    Step::new(
        Gate::Lint,
        "workflows: schema",
        "sh -c check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml",
        "fix each finding",
    ),
    Step::new(
        Gate::Lint,
        "workflows: policy",
        "sh -c check-jsonschema --schemafile .github/workflow-policy.json .github/workflows/*.yml",
        "give every job a timeout and every action a commit; a run line calls cargo or rustup",
    ),
    Step::new(
        Gate::Lint,
        "workflows: rehearsal",
        "cargo xtask rehearse",
        "crates/rehearsal/src/table.rs lists what each job must call; `cargo xtask setup` installs act",
    ),
    Step::new(
        Gate::Test,
        "tests",
        "cargo test --workspace --locked --no-fail-fast",
        "cargo test -p PACKAGE NAME runs one of them again",
    ),
    Step::new(
        Gate::All,
        "selftest",
        "cargo xtask selftest --quick",
        "docs/selftest.md tells how defects are seeded; crates/seeded-defects/catalogue.toml is their table",
    ),
    Step::new(
        Gate::All,
        "check-macos",
        "cargo xtask check-macos",
        "docs/cross-build.md lists the checks; `cargo xtask setup` installs their tools",
    ),
    Step::new(
        Gate::All,
        "verify",
        "cargo xtask verify",
        "docs/architecture.md describes the evidence; docs/troubleshooting.md lists causes",
    ),
    Step::new(
        Gate::All,
        "verify: a real server",
        "cargo xtask verify --source qemu",
        "`cargo xtask setup` installs QEMU; docs/troubleshooting.md lists other causes",
    ),
];

/// Runs the steps of a gate, with further arguments for each.
pub(crate) fn run_steps(checkout: &Checkout, gate: Gate, passed_on: &[OsString]) -> Result<Exit> {
    let sh = tools::shell(checkout)?;
    let mut failures: Vec<(&Step, String, VecDeque<String>)> = Vec::new();
    let mut skipped = BTreeSet::new();
    let mut ran = 0;
    for step in STEPS.iter().filter(|step| gate == Gate::All || gate == step.gate) {
        let words = step.words(passed_on);
        let shown = step.shown(&words);
        let begun = Instant::now();
        let group = console::Group::begin(step.name);
        eprintln!("── {} ──\n{DIMMED}$ {shown}{DIMMED:#}", step.name);
        ran += 1;
        let mut command = step.command(&sh, &words);
        let passed = if io::stderr().is_terminal() {
            ended(command.status())
                .inspect_err(|error| failures.push((step, shown.clone(), [format!("{error:#}")].into())))
                .is_ok()
        } else {
            let (passed, kept) = run_piped(command);
            skipped.extend(kept.skipped);
            if !passed {
                failures.push((step, shown, kept.end));
            }
            passed
        };
        let word = if passed { "passed" } else { "failed" };
        eprintln!("── {}: {word} in {:.0?} ──", step.name, begun.elapsed());
        drop(group);
    }
    for (step, shown, end) in &failures {
        for line in end {
            eprintln!("{DIMMED}{}: {line}{DIMMED:#}", step.name);
        }
        eprintln!(
            "{FAILED}FAILED{FAILED:#} {}: {shown}\n    remedy: {}",
            step.name, step.remedy
        );
    }
    for line in &skipped {
        eprintln!("{line}");
    }
    let skips = match skipped.len() {
        0 => String::new(),
        tests => format!(", {tests} tests skipped"),
    };
    eprintln!("{} of {ran} steps passed{skips}", ran - failures.len());
    Ok(Exit::passed(failures.is_empty()))
}

fn ended(status: io::Result<ExitStatus>) -> Result<()> {
    let status = status?;
    if !status.success() {
        bail!("it ended with {status}");
    }
    Ok(())
}

/// Lines of a failed step's output that are repeated at the end, where a reader of the log looks first.
const LAST_LINES: usize = 40;

/// The lines of a command's output that are repeated after all steps.
#[derive(Default)]
struct Kept {
    end: VecDeque<String>,
    /// Tests that were skipped because a program is missing.
    skipped: BTreeSet<String>,
}

impl Kept {
    fn line(&mut self, line: String) {
        if line.starts_with("SKIPPED: ") {
            self.skipped.insert(line.clone());
        }
        if self.end.len() == LAST_LINES {
            self.end.pop_front();
        }
        self.end.push_back(line);
    }
}

/// Passes on a command's output, and keeps the lines that matter later; if the command fails, the last one says how.
fn run_piped(mut command: Command) -> (bool, Kept) {
    let mut kept = Kept::default();
    match pipe_through(&mut command, &mut kept) {
        Ok(()) => (true, kept),
        Err(error) => {
            kept.end.push_back(format!("{error:#}"));
            (false, kept)
        }
    }
}

fn pipe_through(command: &mut Command, kept: &mut Kept) -> Result<()> {
    let (output, input) = io::pipe()?;
    command.stdout(input.try_clone()?).stderr(input);
    let mut child = command.spawn()?;
    // The command holds the pipe's other end, which must be closed before the output can end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    pass_on(output, kept)?;
    ended(child.wait())
}

fn pass_on(output: impl Read, kept: &mut Kept) -> io::Result<()> {
    let mut lines = BufReader::new(output);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        io::stderr().write_all(&line)?;
        kept.line(String::from_utf8_lossy(&line).trim_end().to_owned());
        line.clear();
    }
    Ok(())
}

impl Step {
    /// Program and arguments, with further ones at the end. A selection of packages replaces the whole workspace: cargo
    /// would take `--workspace --package checks` for the workspace.
    fn words(&self, passed_on: &[OsString]) -> Vec<OsString> {
        let selects = |argument: &OsString| {
            let argument = argument.to_string_lossy();
            argument.starts_with("--package") || (argument.starts_with("-p") && !argument.starts_with("--"))
        };
        let options = passed_on.iter().take_while(|argument| *argument != "--");
        let is_selection = options.into_iter().any(selects);
        let own: Vec<&str> = match self.command.strip_prefix("sh -c ") {
            Some(script) => vec!["sh", "-c", script],
            None => self.command.split(' ').collect(),
        };
        let own = own
            .into_iter()
            .filter(|word| !is_selection || *word != "--workspace");
        own.map(OsString::from).chain(passed_on.iter().cloned()).collect()
    }

    /// The command line as it would be typed from the checkout.
    fn shown(&self, words: &[OsString]) -> String {
        let env = self
            .env
            .map(|(name, value)| format!("{name}={}", console::quoted(value)));
        env.into_iter()
            .chain(words.iter().map(console::quoted))
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn command(&self, sh: &Shell, words: &[OsString]) -> Command {
        let program = if words[0] == "cargo" {
            cargo::program()
        } else {
            words[0].clone()
        };
        sh.cmd(program).args(&words[1..]).envs(self.env).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str, passed_on: &[&str]) -> String {
        let step = STEPS.iter().find(|step| step.name == name).expect("a step");
        let passed_on: Vec<OsString> = passed_on.iter().map(OsString::from).collect();
        step.shown(&step.words(&passed_on))
    }

    #[test]
    fn a_step_is_shown_as_it_would_be_typed() {
        assert_eq!(
            shown("docs", &[]),
            "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked"
        );
    }

    #[test]
    fn named_packages_replace_the_workspace() {
        let test = "cargo test --locked --no-fail-fast";
        for selection in [
            &["-p", "checks"][..],
            &["-pchecks"],
            &["--package", "checks"],
            &["--package=checks"],
        ] {
            assert_eq!(
                shown("tests", selection),
                format!("{test} {}", selection.join(" "))
            );
        }
        let test = "cargo test --workspace --locked --no-fail-fast";
        assert_eq!(shown("tests", &[]), test);
        for others in [&["--jobs", "1"][..], &["--", "-p"]] {
            assert_eq!(shown("tests", others), format!("{test} {}", others.join(" ")));
        }
    }

    #[test]
    fn a_failed_step_says_how_it_ended() {
        let run = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            run_piped(command)
        };
        assert!(run("echo fine; echo fine >&2").0);
        let (passed, kept) = run("seq 100; echo broken >&2; exit 7");
        let end: Vec<String> = kept.end.into();
        assert!(!passed && end.len() == LAST_LINES + 1, "{end:?}");
        assert_eq!(end[LAST_LINES - 2..LAST_LINES], ["100", "broken"]);
        assert!(end[LAST_LINES].contains("7"), "{end:?}");
        let (passed, kept) = run_piped(Command::new("/nonexistent/program"));
        assert!(!passed && kept.end[0].contains("No such file"), "{:?}", kept.end);
    }

    #[test]
    fn skipped_tests_are_kept_by_name_and_once() {
        let mut kept = Kept::default();
        for line in [
            "SKIPPED: a_test: jq is missing",
            "not SKIPPED: this",
            "SKIPPED: a_test: jq is missing",
        ] {
            kept.line(line.to_owned());
        }
        assert_eq!(Vec::from_iter(kept.skipped), ["SKIPPED: a_test: jq is missing"]);
        assert_eq!(kept.end.len(), 3);
    }

    #[test]
    fn every_gate_has_steps_and_names_are_distinct() {
        for gate in [Gate::Lint, Gate::Test, Gate::All] {
            assert!(STEPS.iter().any(|step| step.gate == gate));
        }
        let mut names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }
}

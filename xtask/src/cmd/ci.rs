use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use anstream::eprintln;
use anyhow::{Result, bail};
use xshell::{Cmd, Shell};

use crate::exit::Exit;
use crate::present::{self, DIMMED, FAILED, steps};
use crate::tools;
use crate::workspace;

/// Everything that must pass before a change lands: lint, test, check-macos, verify.
///
/// A failed step does not hide the next: all run, and the failures are repeated last, each with the command that shows
/// it again and, where nobody was watching a terminal, the end of what it printed.
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: Args) -> Result<Exit> {
    run_steps(Gate::All, &[])
}

/// Which steps run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    Lint,
    Test,
    All,
}

/// One step: adding one is one line here.
struct Step {
    name: &'static str,
    gate: Gate,
    /// Program and arguments.
    command: &'static [&'static str],
    env: Option<(&'static str, &'static str)>,
    remedy: &'static str,
}

const STEPS: &[Step] = &[
    Step {
        name: "format",
        gate: Gate::Lint,
        command: &["cargo", "fmt", "--all", "--check"],
        env: None,
        remedy: "cargo fmt --all",
    },
    Step {
        name: "clippy",
        gate: Gate::Lint,
        command: &[
            "cargo",
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
        env: None,
        remedy: "mend what it names; `#[expect(…, reason = …)]` where it is wrong",
    },
    Step {
        name: "docs",
        gate: Gate::Lint,
        command: &["cargo", "doc", "--workspace", "--no-deps", "--locked"],
        env: Some(("RUSTDOCFLAGS", "-D warnings")),
        remedy: "mend the links and comments that it names",
    },
    Step {
        name: "dependencies",
        gate: Gate::Lint,
        command: &[
            "cargo",
            "deny",
            "--log-level",
            "warn",
            "check",
            "licenses",
            "bans",
            "sources",
        ],
        env: None,
        remedy: "deny.toml says what is allowed, and why; `cargo xtask setup` installs cargo-deny",
    },
    // shellcheck, where it is there, reads the `run:` lines for actionlint.
    Step {
        name: "workflows: actionlint",
        gate: Gate::Lint,
        command: &["actionlint"],
        env: None,
        remedy: "mend what it names; `cargo xtask setup` installs it",
    },
    Step {
        name: "workflows: zizmor",
        gate: Gate::Lint,
        command: &["zizmor", "--offline", "--quiet", ".github/workflows"],
        env: None,
        remedy: "mend what it names; its audits are explained on docs.zizmor.sh",
    },
    Step {
        name: "workflows: schema",
        gate: Gate::Lint,
        command: &[
            "sh",
            "-c",
            "check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml",
        ],
        env: None,
        remedy: "mend what it names",
    },
    Step {
        name: "workflows: policy",
        gate: Gate::Lint,
        command: &[
            "sh",
            "-c",
            "check-jsonschema --schemafile .github/workflow-policy.json .github/workflows/*.yml",
        ],
        env: None,
        remedy: "every job has a timeout, every action a commit, every run line is cargo's or rustup's",
    },
    Step {
        name: "tests",
        gate: Gate::Test,
        command: &["cargo", "test", "--workspace", "--locked", "--no-fail-fast"],
        env: None,
        remedy: "cargo test -p PACKAGE NAME shows one of them again",
    },
    Step {
        name: "selftest",
        gate: Gate::All,
        command: &["cargo", "xtask", "selftest", "--quick"],
        env: None,
        remedy: "docs/selftest.md tells how defects are seeded; xtask/selftest/catalogue.toml is their table",
    },
    Step {
        name: "check-macos",
        gate: Gate::All,
        command: &["cargo", "xtask", "check-macos"],
        env: None,
        remedy: "docs/cross-build.md tells what is checked; `cargo xtask setup` installs what it needs",
    },
    Step {
        name: "verify",
        gate: Gate::All,
        command: &["cargo", "xtask", "verify"],
        env: None,
        remedy: "docs/architecture.md tells what the evidence holds",
    },
    Step {
        name: "verify: a real server",
        gate: Gate::All,
        command: &["cargo", "xtask", "verify", "--source", "qemu"],
        env: None,
        remedy: "`cargo xtask setup` installs QEMU; docs/troubleshooting.md tells what else may lack",
    },
];

/// Runs the steps of a gate, with further arguments for each.
pub(crate) fn run_steps(gate: Gate, passed_on: &[OsString]) -> Result<Exit> {
    let sh = tools::shell()?;
    let mut failures = Vec::new();
    let mut ran = 0;
    for step in STEPS.iter().filter(|step| gate == Gate::All || gate == step.gate) {
        let command = command(&sh, step, passed_on);
        let shown = step.shown(passed_on);
        let begun = Instant::now();
        let group = present::group(step.name);
        eprintln!("── {} ──\n{DIMMED}$ {shown}{DIMMED:#}", step.name);
        ran += 1;
        let outcome = if io::stderr().is_terminal() {
            command.quiet().run().map_err(|error| vec![error.to_string()])
        } else {
            run_keeping_the_end(command.into())
        };
        eprintln!(
            "── {}: {} in {:.0?} ──",
            step.name,
            if outcome.is_ok() { "passed" } else { "failed" },
            begun.elapsed()
        );
        drop(group);
        if let Err(end) = outcome {
            failures.push((step, shown, end));
        }
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
    eprintln!("{} of {ran} steps passed", ran - failures.len());
    Ok(if failures.is_empty() {
        Exit::Pass
    } else {
        Exit::Fail
    })
}

/// Of a failed step's output so many lines are repeated at the end, where somebody who reads a log looks first.
const LAST_LINES: usize = 40;

/// Passes on what a command prints; where it fails, returns the end of that, and how it failed.
fn run_keeping_the_end(mut command: Command) -> Result<(), Vec<String>> {
    let mut end = VecDeque::new();
    match run_piped(&mut command, &mut end) {
        Ok(()) => Ok(()),
        Err(error) => {
            end.push_back(format!("{error:#}"));
            Err(end.into())
        }
    }
}

fn run_piped(command: &mut Command, end: &mut VecDeque<String>) -> Result<()> {
    let (output, input) = io::pipe()?;
    command.stdout(input.try_clone()?).stderr(input);
    let mut child = command.spawn()?;
    // The command holds the pipe's other end, and it must be closed before the end of the output can come.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    pass_on(output, end)?;
    let status = child.wait()?;
    if !status.success() {
        bail!("it ended with {status}");
    }
    Ok(())
}

fn pass_on(output: impl Read, end: &mut VecDeque<String>) -> io::Result<()> {
    let mut lines = BufReader::new(output);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        io::stderr().write_all(&line)?;
        if end.len() == LAST_LINES {
            end.pop_front();
        }
        end.push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
        line.clear();
    }
    Ok(())
}

impl Step {
    /// As it would be typed from the checkout.
    fn shown(&self, passed_on: &[OsString]) -> String {
        let env = self
            .env
            .map(|(name, value)| format!("{name}={}", steps::quoted(OsStr::new(value))));
        let words = self
            .command
            .iter()
            .map(OsStr::new)
            .chain(passed_on.iter().map(OsString::as_os_str));
        env.into_iter()
            .chain(words.map(steps::quoted))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

fn command<'a>(sh: &'a Shell, step: &Step, passed_on: &[OsString]) -> Cmd<'a> {
    let program = if step.command[0] == "cargo" {
        workspace::cargo()
    } else {
        step.command[0].into()
    };
    let mut command = sh.cmd(program).args(&step.command[1..]).args(passed_on);
    if let Some((name, value)) = step.env {
        command = command.env(name, value);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_shown_as_it_would_be_typed() {
        let docs = STEPS.iter().find(|step| step.name == "docs").expect("a step");
        assert_eq!(
            docs.shown(&[]),
            "RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked"
        );
    }

    #[test]
    fn a_failed_step_says_how_it_ended() {
        let run = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            run_keeping_the_end(command)
        };
        assert_eq!(run("echo fine; echo fine >&2"), Ok(()));
        let end = run("seq 100; echo broken >&2; exit 7").expect_err("it failed");
        assert_eq!(end.len(), LAST_LINES + 1);
        assert_eq!(end[LAST_LINES - 2..LAST_LINES], ["100", "broken"]);
        assert!(end[LAST_LINES].contains("7"), "{end:?}");
        let never = run_keeping_the_end(Command::new("/nonexistent/program")).expect_err("it cannot start");
        assert!(never[0].contains("No such file"), "{never:?}");
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

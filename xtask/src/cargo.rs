//! Runs cargo, and reads from its messages what it has built and where.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::checkout::Checkout;
pub(crate) use crate::checkout::cargo_program as program;
use crate::console;

/// Cargo in the checkout, whose configuration it reads there.
pub(crate) fn command(checkout: &Checkout) -> Command {
    let mut command = Command::new(program());
    command.current_dir(checkout.root()).stdin(Stdio::null());
    // A relative directory is meant from where the user stands, as the cargo that runs xtask takes it.
    for name in [
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET_DIR",
        "CARGO_BUILD_BUILD_DIR",
    ] {
        let value = std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(Ok(dir)) = value.map(std::path::absolute) {
            command.env(name, dir);
        }
    }
    command
}

/// Explains a cargo that is missing.
pub(crate) fn started<T>(result: io::Result<T>) -> Result<T> {
    result.map_err(|error| {
        let program = program();
        let program = program.display();
        if error.kind() == ErrorKind::NotFound {
            anyhow::anyhow!("there is no `{program}`: install Rust (https://rustup.rs), or put cargo on PATH")
        } else {
            anyhow::Error::from(error).context(format!("cannot start {program}"))
        }
    })
}

/// Cargo's home: its registry, and the programs that it has installed.
pub(crate) fn home() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(std::env::home_dir()?.join(".cargo")))
}

/// Cargo's target directory, as cargo itself names it: environment and configuration can each move it.
pub(crate) fn target_dir(checkout: &Checkout) -> Result<PathBuf> {
    let mut command = command(checkout);
    command
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .stderr(Stdio::inherit());
    let output = started(command.output())?;
    if !output.status.success() {
        bail!("`cargo metadata` ended with {}", output.status);
    }
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("`cargo metadata` names no target directory")?;
    Ok(metadata.target_directory)
}

#[derive(Deserialize)]
struct Metadata {
    target_directory: PathBuf,
}

/// Builds in the checkout, with cargo's progress on standard error, and returns what cargo says that it has built.
pub(crate) fn build(checkout: &Checkout, arguments: &[&str]) -> Result<Artifacts> {
    let mut shown = command(checkout);
    shown.args(["build", "--locked"]).args(arguments);
    console::running(checkout, &shown);
    shown.arg("--message-format=json-render-diagnostics");
    artifacts(shown)
}

/// A program of this workspace, which cargo builds by itself.
pub(crate) struct Program {
    package: &'static str,
    kind: &'static str,
    name: &'static str,
    options: &'static [&'static str],
}

impl Program {
    pub(crate) const fn binary(package: &'static str, name: &'static str) -> Self {
        Self {
            package,
            kind: "bin",
            name,
            options: &[],
        }
    }

    pub(crate) const fn example(package: &'static str, name: &'static str) -> Self {
        Self {
            kind: "example",
            ..Self::binary(package, name)
        }
    }

    /// The program with further options for cargo.
    pub(crate) const fn with(self, options: &'static [&'static str]) -> Self {
        Self { options, ..self }
    }

    /// The arguments of `cargo build`.
    pub(crate) fn arguments(&self) -> Vec<&'static str> {
        let target = if self.kind == "example" {
            "--example"
        } else {
            "--bin"
        };
        [&["--package", self.package, target, self.name], self.options].concat()
    }

    /// Builds it, and returns the path that cargo names.
    pub(crate) fn build(&self, checkout: &Checkout) -> Result<PathBuf> {
        self.among(&build(checkout, &self.arguments())?)
    }

    /// Its path among the executables that cargo has built.
    pub(crate) fn among(&self, artifacts: &Artifacts) -> Result<PathBuf> {
        Ok(artifacts.named(self.kind, self.name)?.to_owned())
    }
}

/// The programs that product and selftest run.
pub(crate) mod programs {
    use super::Program;

    const FAULTY: &[&str] = &["--features", "fault-injection"];

    pub(crate) const TRUEGAUGE: Program = Program::binary("truegauge", "truegauge");
    pub(crate) const REHEARSAL: Program = Program::binary("rehearsal", "rehearsal");
    pub(crate) const SELFTEST: Program = Program::binary("selftest", "selftest");
    pub(crate) const CLIENT: Program = Program::binary("headless-client", "headless-client");
    pub(crate) const SAMPLING_PROCESS: Program = Program::binary("sampling-process", "sampling_process");
    pub(crate) const LEAKING_PROCESS: Program =
        Program::binary("sampling-process", "leaking_process").with(FAULTY);
    pub(crate) const SMALL_CLIENT: Program = Program::binary("small-client", "small-client");
    pub(crate) const TAMPERING_CLIENT: Program =
        Program::example("headless-client", "tampering_client").with(FAULTY);
}

/// Runs a cargo command whose standard output is messages in JSON.
pub(crate) fn artifacts(mut command: Command) -> Result<Artifacts> {
    let output = started(command.stderr(Stdio::inherit()).output())?;
    if !output.status.success() {
        bail!("the build failed: cargo ended with {}", output.status);
    }
    Ok(Artifacts::read(&String::from_utf8_lossy(&output.stdout)))
}

/// The executables that one cargo command has built, or found to be up to date.
#[derive(Debug)]
pub(crate) struct Artifacts(Vec<Artifact>);

/// One of cargo's executables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Artifact {
    pub(crate) package: String,
    /// `bin`, `lib`, `test` or `example`.
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

impl fmt::Display for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} {}", self.package, self.kind, self.name)
    }
}

/// One line of `cargo --message-format=json`. Lines of other kinds lack some of these fields.
#[derive(Deserialize)]
struct Message {
    package_id: String,
    target: Target,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Artifacts {
    pub(crate) fn read(messages: &str) -> Self {
        let messages = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<Message>(line).ok());
        let executable = |message: Message| {
            Some(Artifact {
                package: package_name(&message.package_id).to_owned(),
                kind: message.target.kind.join("+"),
                name: message.target.name,
                path: message.executable?,
            })
        };
        Self(messages.filter_map(executable).collect())
    }

    /// The one executable of this kind and name.
    pub(crate) fn named(&self, kind: &str, name: &str) -> Result<&Path> {
        self.only(|artifact| artifact.kind == kind && artifact.name == name)
            .with_context(|| format!("the {kind} `{name}` is not what cargo has built"))
    }

    /// The program of a package: the binary that has its name, or the only binary.
    pub(crate) fn program_of(&self, package: &str) -> Result<&Path> {
        let is_program = |artifact: &Artifact| artifact.kind == "bin" && artifact.package == package;
        self.only(|artifact| is_program(artifact) && artifact.name == package)
            .or_else(|_| self.only(is_program))
            .with_context(|| format!("the package {package} has not one program that is plainly the client"))
    }

    fn only(&self, wanted: impl Fn(&Artifact) -> bool) -> Result<&Path> {
        let mut found = self.0.iter().filter(|artifact| wanted(artifact));
        match (found.next(), found.next()) {
            (Some(artifact), None) => Ok(&artifact.path),
            _ => {
                let names: Vec<String> = self.0.iter().map(ToString::to_string).collect();
                bail!("cargo names these executables: [{}]", names.join("; "))
            }
        }
    }

    /// In the order of the paths, each once: cargo's own order differs from run to run.
    pub(crate) fn into_sorted(self) -> Vec<Artifact> {
        let mut artifacts = self.0;
        artifacts.sort_by(|a, b| a.path.cmp(&b.path));
        artifacts.dedup();
        artifacts
    }
}

/// The name in a package id: `path+file:///crates/metrics#runtime-metrics@0.1.0`, or `…/crates/checks#0.1.0` where the
/// directory has the package's name.
fn package_name(id: &str) -> &str {
    let (source, fragment) = id.split_once('#').unwrap_or((id, ""));
    match fragment.split_once('@') {
        Some((name, _)) => name,
        None => source.rsplit('/').next().unwrap_or(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: &str = r#"{"reason":"compiler-artifact","package_id":"registry+https://example.org/index#libc@0.2.1","target":{"kind":["lib"],"name":"libc"},"executable":null}
{"reason":"compiler-artifact","package_id":"path+file:///w/crates/metrics#runtime-metrics@0.1.0","target":{"kind":["lib"],"name":"runtime_metrics"},"executable":"/t/runtime_metrics-1"}
{"reason":"compiler-artifact","package_id":"path+file:///w/crates/client#0.1.0","target":{"kind":["bin"],"name":"client"},"executable":"/odd/client"}
{"reason":"compiler-artifact","package_id":"path+file:///w/crates/client#0.1.0","target":{"kind":["bin"],"name":"tool"},"executable":"/odd/tool"}
{"reason":"compiler-artifact","package_id":"path+file:///w/crates/client#0.1.0","target":{"kind":["example"],"name":"client"},"executable":"/odd/examples/client"}
{"reason":"compiler-artifact","package_id":"path+file:///w/crates/other#0.1.0","target":{"kind":["bin"],"name":"program"},"executable":"/odd/program"}
{"reason":"build-script-executed","package_id":"x"}
not JSON
{"reason":"build-finished","success":true}"#;

    #[test]
    fn executables_are_found_by_package_kind_and_name() {
        let artifacts = Artifacts::read(MESSAGES);
        assert_eq!(
            artifacts.named("bin", "client").expect("found"),
            Path::new("/odd/client")
        );
        let example = artifacts.named("example", "client").expect("found");
        assert_eq!(example, Path::new("/odd/examples/client"));
        let of = |package| artifacts.program_of(package).map(Path::to_owned).ok();
        assert_eq!(
            of("client"),
            Some("/odd/client".into()),
            "of two, the one with its name"
        );
        assert_eq!(of("other"), Some("/odd/program".into()), "the only one");
        let library = &artifacts.0[0];
        assert_eq!(library.to_string(), "runtime-metrics, lib runtime_metrics");
    }

    #[test]
    fn an_executable_that_cargo_does_not_name_is_an_error_that_lists_those_it_does() {
        let artifacts = Artifacts::read(MESSAGES);
        for error in [
            artifacts.named("bin", "absent").expect_err("absent"),
            artifacts.program_of("runtime-metrics").expect_err("a library"),
        ] {
            let error = format!("{error:#}");
            assert!(
                error.contains("client, bin tool; client, example client"),
                "{error}"
            );
        }
        let twice = Artifacts::read(&[MESSAGES, MESSAGES].join("\n"));
        assert!(twice.named("bin", "client").is_err(), "two of one name");
        assert_eq!(twice.into_sorted().len(), 5, "each once");
    }
}

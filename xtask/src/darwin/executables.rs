//! Test executables: what cargo linked, and whether each is what a Mac can use.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use memchr::memmem;
use serde::Deserialize;

use super::calls::Calls;
use super::macho::{Program, Version};
use super::{OLDEST_MACOS, Target};

/// The package whose programs sample.
pub(crate) const SAMPLER: &str = "runtime-metrics";

/// One line of `cargo --message-format=json`; other lines lack some of these fields.
#[derive(Deserialize)]
struct Artifact {
    package_id: String,
    target: CargoTarget,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct CargoTarget {
    name: String,
    kind: Vec<String>,
}

/// Something that cargo linked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Linked {
    package: String,
    /// `lib`, `test` or `example`.
    kind: String,
    name: String,
    pub(crate) path: PathBuf,
}

impl fmt::Display for Linked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} {}", self.package, self.kind, self.name)
    }
}

/// What cargo says that it has linked, in the order of the paths: cargo's own order differs from run to run.
pub(crate) fn linked(messages: &str) -> Vec<Linked> {
    let artifacts = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Artifact>(line).ok());
    let mut linked: Vec<Linked> = artifacts
        .filter_map(|artifact| {
            Some(Linked {
                package: package_name(&artifact.package_id).to_owned(),
                kind: artifact.target.kind.join("+"),
                name: artifact.target.name,
                path: artifact.executable?,
            })
        })
        .collect();
    linked.sort_by(|a, b| a.path.cmp(&b.path));
    linked
}

/// The name in a package id: `path+file:///crates/runtime-metrics#runtime-metrics@0.1.0`, or `…/crates/verdict#0.1.0` where the
/// directory has the package's name.
fn package_name(id: &str) -> &str {
    let (source, fragment) = id.split_once('#').unwrap_or((id, ""));
    match fragment.split_once('@') {
        Some((name, _)) => name,
        None => source.rsplit('/').next().unwrap_or(source),
    }
}

/// An executable that was read.
pub(crate) struct Examined {
    pub(crate) linked: Linked,
    pub(crate) minimum_macos: Version,
    /// Imports of the calls that the backend needs, and of others to Mach.
    pub(crate) calls: Calls,
    /// Paths of this machine that stand in it.
    pub(crate) local_paths: BTreeSet<String>,
    pub(crate) faults: Vec<String>,
}

impl Examined {
    /// Reads an executable and judges it.
    pub(crate) fn read(linked: Linked, target: &Target, local: &[PathBuf]) -> Result<Self> {
        let path = &linked.path;
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let program = Program::read(&bytes).with_context(|| format!("cannot use {}", path.display()))?;
        let calls = Calls::among(&program.imports);
        Ok(Self {
            faults: faults(&linked, &program, &calls, target),
            minimum_macos: program.minimum_macos,
            calls,
            local_paths: local_paths(&bytes, local),
            linked,
        })
    }

    /// Whether the whole backend must be in it: the library's own tests and the examples sample. An integration test may
    /// be for another platform, and is judged once it imports one of the calls.
    pub(crate) fn samples(&self) -> bool {
        samples(&self.linked, &self.calls)
    }
}

fn samples(linked: &Linked, calls: &Calls) -> bool {
    linked.package == SAMPLER && (linked.kind != "test" || !calls.present.is_empty())
}

fn faults(linked: &Linked, program: &Program, calls: &Calls, target: &Target) -> Vec<String> {
    let mut faults = Vec::new();
    if program.architecture != target.architecture {
        faults.push(format!(
            "is for {}, not for {}",
            program.architecture, target.architecture
        ));
    }
    if program.minimum_macos > OLDEST_MACOS {
        faults.push(format!(
            "needs macOS {}; allowed: {OLDEST_MACOS} or older",
            program.minimum_macos
        ));
    }
    if samples(linked, calls) && !calls.missing.is_empty() {
        faults.push(format!("does not import {}", calls.missing.join(", ")));
    }
    faults
}

/// Every path in `bytes` that begins with one of the directories.
fn local_paths(bytes: &[u8], directories: &[PathBuf]) -> BTreeSet<String> {
    const LONGEST: usize = 200;
    let end_of_path = |byte: &u8| !(byte.is_ascii_alphanumeric() || b"/._-+@".contains(byte));
    let mut paths = BTreeSet::new();
    for directory in directories {
        let directory = directory.as_os_str().as_encoded_bytes();
        for at in memmem::find_iter(bytes, directory) {
            let rest = &bytes[at + directory.len()..];
            let rest = &rest[..rest.len().min(LONGEST)];
            let length = rest.iter().position(end_of_path).unwrap_or(rest.len());
            let path = &bytes[at..at + directory.len() + length];
            paths.insert(String::from_utf8_lossy(path).into_owned());
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::darwin::{APPLE_SILICON, calls};

    fn executable(package: &str, kind: &str) -> Linked {
        Linked {
            package: package.to_owned(),
            kind: kind.to_owned(),
            name: "x".to_owned(),
            path: "/t/x".into(),
        }
    }

    fn program(imports: &[&str]) -> Program {
        Program {
            architecture: "aarch64",
            minimum_macos: Version { major: 11, minor: 0 },
            imports: imports.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    fn faults_of(linked: &Linked, program: &Program) -> Vec<String> {
        faults(linked, program, &Calls::among(&program.imports), &APPLE_SILICON)
    }

    #[test]
    fn executables_are_found_among_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","package_id":"registry+https://example.org/index#libc@0.2.1","target":{"kind":["lib"],"name":"libc"},"executable":null}
{"reason":"compiler-artifact","package_id":"path+file:///w/crates/runtime-metrics#runtime-metrics@0.1.0","target":{"kind":["lib"],"name":"runtime_metrics"},"executable":"/t/runtime_metrics-1"}
{"reason":"compiler-artifact","package_id":"path+file:///w/crates/verdict#0.1.0","target":{"kind":["test"],"name":"assertions"},"executable":"/t/assertions-2"}
{"reason":"build-script-executed","package_id":"x"}
not JSON
{"reason":"build-finished","success":true}"#;
        let linked: Vec<String> = linked(messages)
            .iter()
            .map(|linked| format!("{linked}: {}", linked.path.display()))
            .collect();
        assert_eq!(
            linked,
            [
                "verdict, test assertions: /t/assertions-2",
                "runtime-metrics, lib runtime_metrics: /t/runtime_metrics-1"
            ]
        );
    }

    #[test]
    fn a_sound_executable_has_no_faults() {
        let sampling = program(calls::REQUIRED);
        assert_eq!(faults_of(&executable(SAMPLER, "lib"), &sampling), [""; 0]);
        assert_eq!(faults_of(&executable("verdict", "lib"), &program(&[])), [""; 0]);
    }

    #[test]
    fn what_a_mac_cannot_use_is_a_fault() {
        let wrong = Program {
            architecture: "x86_64",
            minimum_macos: Version { major: 12, minor: 3 },
            imports: BTreeSet::new(),
        };
        assert_eq!(
            faults_of(&executable("verdict", "lib"), &wrong),
            [
                "is for x86_64, not for aarch64",
                "needs macOS 12.3; allowed: 11.0 or older"
            ]
        );
    }

    #[test]
    fn a_sampler_without_one_of_the_calls_is_a_fault() {
        let (absent, rest) = calls::REQUIRED.split_first().expect("calls");
        let expected = [format!("does not import {absent}")];
        for kind in ["lib", "test", "example"] {
            assert_eq!(
                faults_of(&executable(SAMPLER, kind), &program(rest)),
                expected,
                "{kind}"
            );
        }
        let nothing = program(&["malloc"]);
        assert_eq!(
            faults_of(&executable(SAMPLER, "test"), &nothing),
            [""; 0],
            "it does not sample"
        );
        for kind in ["lib", "example"] {
            let faults = faults_of(&executable(SAMPLER, kind), &nothing);
            assert_eq!(
                faults,
                [format!("does not import {}", calls::REQUIRED.join(", "))],
                "{kind}"
            );
        }
    }

    #[test]
    fn paths_of_this_machine_are_found() {
        let bytes = b"\0\0/home/me/project/a.rs\0cargo/registry/b.rs:/home/me\xff/home/me/.cargo/c";
        let found = local_paths(bytes, &["/home/me".into(), "/elsewhere".into()]);
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(found, ["/home/me", "/home/me/.cargo/c", "/home/me/project/a.rs"]);
    }
}

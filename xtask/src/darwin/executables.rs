//! Judges each test executable that cargo has linked: can a Mac use it?

use anyhow::{Context, Result};

use super::calls::Calls;
use super::macho::{Program, Version};
use super::{OLDEST_MACOS, Target};
use crate::cargo::Artifact;

/// The package whose executables sample.
pub(crate) const SAMPLER: &str = "runtime-metrics";

/// The package of the process that only samples.
pub(crate) const SAMPLING_PROCESS: &str = "sampling-process";

/// An executable that was read.
pub(crate) struct Examined {
    pub(crate) executable: Artifact,
    pub(crate) minimum_macos: Version,
    /// Imports of the calls that the backend needs, and of others to Mach.
    pub(crate) calls: Calls,
    pub(crate) faults: Vec<String>,
}

impl Examined {
    /// Reads an executable and judges it.
    pub(crate) fn read(executable: Artifact, target: &Target) -> Result<Self> {
        let path = &executable.path;
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let program = Program::read(&bytes).with_context(|| format!("cannot use {}", path.display()))?;
        let calls = Calls::among(&program.imports);
        Ok(Self {
            faults: faults(&executable, &program, &calls, target),
            minimum_macos: program.minimum_macos,
            calls,
            executable,
        })
    }

    /// Whether the executable must contain the whole backend. The library's own tests, the examples and the sampling process
    /// sample. An integration
    /// test may be for another platform, and is judged if it imports one of the calls.
    pub(crate) fn samples(&self) -> bool {
        samples(&self.executable, &self.calls)
    }
}

fn samples(executable: &Artifact, calls: &Calls) -> bool {
    match (executable.package.as_str(), executable.kind.as_str()) {
        (SAMPLER, "test") => !calls.present.is_empty(),
        (SAMPLER, _) | (SAMPLING_PROCESS, "bin") => true,
        _ => false,
    }
}

fn faults(executable: &Artifact, program: &Program, calls: &Calls, target: &Target) -> Vec<String> {
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
    if samples(executable, calls) && !calls.missing.is_empty() {
        faults.push(format!("does not import {}", calls.missing.join(", ")));
    }
    faults
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::darwin::{APPLE_SILICON, calls};

    fn executable(package: &str, kind: &str) -> Artifact {
        Artifact {
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

    fn faults_of(executable: &Artifact, program: &Program) -> Vec<String> {
        faults(
            executable,
            program,
            &Calls::among(&program.imports),
            &APPLE_SILICON,
        )
    }

    #[test]
    fn a_sound_executable_has_no_faults() {
        let sampling = program(calls::REQUIRED);
        assert_eq!(faults_of(&executable(SAMPLER, "lib"), &sampling), [""; 0]);
        assert_eq!(faults_of(&executable("leak-test", "lib"), &program(&[])), [""; 0]);
    }

    #[test]
    fn an_executable_that_a_mac_cannot_use_has_faults() {
        let wrong = Program {
            architecture: "x86_64",
            minimum_macos: Version { major: 12, minor: 3 },
            imports: BTreeSet::new(),
        };
        assert_eq!(
            faults_of(&executable("leak-test", "lib"), &wrong),
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
        assert_eq!(
            faults_of(&executable(SAMPLING_PROCESS, "bin"), &program(rest)),
            expected
        );
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
}

//! Judges each executable that cargo has linked: can a Mac use it?

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use memchr::memmem;

use super::calls::Calls;
use super::macho::{Program, Version};
use super::{OLDEST_MACOS, Target};
use crate::cargo::Artifact;

/// The package whose executables sample.
pub(crate) const SAMPLER: &str = "runtime-metrics";

/// The packages of the process that only samples, and of the client that is linked.
pub(crate) const SAMPLING_PROCESS: &str = "sampling-process";
pub(crate) const SMALL_CLIENT: &str = "small-client";

/// The only library that an executable may load: every system that runs Mach-O programs has it.
const LIBRARY: &str = "/usr/lib/libSystem.B.dylib";

/// An executable that was read.
pub(crate) struct Examined {
    pub(crate) executable: Artifact,
    pub(crate) minimum_macos: Version,
    /// Imports of the calls that the backend needs, and of others to Mach.
    pub(crate) calls: Calls,
    /// Whether it must import all of the former.
    pub(crate) samples: bool,
    pub(crate) faults: Vec<String>,
}

impl Examined {
    /// Reads an executable and judges it; `private` are the directories of this machine, which it must not contain.
    pub(crate) fn read(executable: Artifact, target: &Target, private: &[(PathBuf, &str)]) -> Result<Self> {
        let path = &executable.path;
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let program = Program::read(&bytes).with_context(|| format!("cannot use {}", path.display()))?;
        let calls = Calls::among(&program.imports);
        let mut faults = faults(&executable, &program, &calls, target);
        faults.extend(paths_in(&bytes, private));
        Ok(Self {
            faults,
            samples: samples(&executable, &calls),
            minimum_macos: program.minimum_macos,
            calls,
            executable,
        })
    }
}

/// Whether the executable must contain the whole backend. The library's own tests, the examples and the programs that sample
/// must. An integration test may be for another platform, and is judged if it imports one of the calls.
fn samples(executable: &Artifact, calls: &Calls) -> bool {
    match (executable.package.as_str(), executable.kind.as_str()) {
        (SAMPLER, "test") => !calls.present.is_empty(),
        (SAMPLER, _) | (SAMPLING_PROCESS | SMALL_CLIENT, "bin") => true,
        _ => false,
    }
}

fn faults(executable: &Artifact, program: &Program, calls: &Calls, target: &Target) -> Vec<String> {
    let mut faults = Vec::new();
    let (architecture, minimum_macos) = (program.architecture, program.minimum_macos);
    if architecture != target.architecture {
        faults.push(format!("is for {architecture}, not for {}", target.architecture));
    }
    if minimum_macos > OLDEST_MACOS {
        faults.push(format!(
            "needs macOS {minimum_macos}; allowed: {OLDEST_MACOS} or older"
        ));
    }
    if samples(executable, calls) && !calls.missing.is_empty() {
        faults.push(format!("does not import {}", calls.missing.join(", ")));
    }
    let others = program.libraries.iter().filter(|name| *name != LIBRARY);
    faults.extend(others.map(|name| format!("loads {name}; allowed: {LIBRARY} alone")));
    faults
}

/// Directories of this machine in an executable's bytes.
fn paths_in(bytes: &[u8], private: &[(PathBuf, &str)]) -> Vec<String> {
    let contains = |path: &&PathBuf| memmem::find(bytes, path.as_os_str().as_bytes()).is_some();
    let found = private.iter().map(|(path, _)| path).filter(contains);
    found
        .map(|path| format!("contains the path {} of this machine", path.display()))
        .collect()
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
            libraries: vec![LIBRARY.to_owned()],
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
            libraries: vec![LIBRARY.to_owned(), "/usr/lib/libiconv.2.dylib".to_owned()],
        };
        assert_eq!(
            faults_of(&executable("leak-test", "lib"), &wrong),
            [
                "is for x86_64, not for aarch64",
                "needs macOS 12.3; allowed: 11.0 or older",
                "loads /usr/lib/libiconv.2.dylib; allowed: /usr/lib/libSystem.B.dylib alone"
            ]
        );
    }

    #[test]
    fn a_path_of_this_machine_in_an_executable_is_a_fault() {
        let private = [
            ("/home/me/truegauge".into(), "truegauge"),
            ("/home/me/.cargo".into(), "cargo"),
        ];
        let bytes = b"\xcf\xfa\xed\xfe cargo/registry/a.c\0/home/me/.cargo/registry/b.c\0";
        let expected = ["contains the path /home/me/.cargo of this machine"];
        assert_eq!(paths_in(bytes, &private), expected);
        assert_eq!(paths_in(&bytes[..24], &private), [""; 0]);
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

//! Judges each executable that cargo has linked: can a Mac use it?

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::Target;
use super::calls::Calls;
use super::macho::{Program, Version};
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
        let samples = samples(&executable, &calls);
        let minimum_macos = program.minimum_macos;
        let mut faults = Vec::new();
        if program.architecture != target.architecture {
            let (is, expected) = (program.architecture, target.architecture);
            faults.push(format!("is for {is}, not for {expected}"));
        }
        if minimum_macos > target.oldest_macos {
            let allowed = target.oldest_macos;
            faults.push(format!(
                "needs macOS {minimum_macos}; allowed: {allowed} or older"
            ));
        }
        if samples && !calls.missing.is_empty() {
            faults.push(format!("does not import {}", calls.missing.join(", ")));
        }
        let others = program.libraries.iter().filter(|name| *name != LIBRARY);
        faults.extend(others.map(|name| format!("loads {name}; allowed: {LIBRARY} alone")));
        let text = String::from_utf8_lossy(&bytes);
        let paths = private.iter().map(|(path, _)| path.to_string_lossy());
        let contained = paths.filter(|path| text.contains(&**path));
        faults.extend(contained.map(|path| format!("contains the path {path} of this machine")));
        Ok(Self {
            executable,
            minimum_macos,
            calls,
            samples,
            faults,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::darwin::macho::tests::{ARM64, EXECUTE, LOAD_DYLIB, LOAD_WEAK_DYLIB, X86_64};
    use crate::darwin::macho::tests::{loads, needs_macos, program};
    use crate::darwin::{APPLE_SILICON, INTEL, calls};

    /// The faults of a file with these bytes on a machine with two private directories.
    fn faults(package: &str, kind: &str, target: &Target, bytes: &[u8]) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&file, bytes).expect("written");
        let executable = Artifact {
            package: package.to_owned(),
            kind: kind.to_owned(),
            name: "x".to_owned(),
            path: file.path().to_owned(),
        };
        let private = [("/home/me/truegauge".into(), ""), ("/home/me/.cargo".into(), "")];
        let examined = Examined::read(executable, target, &private).expect("a program");
        examined.faults
    }

    fn arm64(libraries: &[Vec<u32>], imports: &[&str]) -> Vec<u8> {
        let commands = [&[needs_macos(0x000b_0000)], libraries].concat();
        program(ARM64, EXECUTE, &commands, imports, &[])
    }

    fn intel(minimum_macos: u32) -> Vec<u8> {
        program(X86_64, EXECUTE, &[needs_macos(minimum_macos)], &[], &[])
    }

    #[test]
    fn a_sound_executable_has_no_faults() {
        assert_eq!(faults("leak-test", "lib", &INTEL, &intel(0x000a_0c00)), [""; 0]);
        let mut sampling = arm64(&[], calls::REQUIRED);
        sampling.extend(b" cargo/registry/a.c");
        assert_eq!(faults(SAMPLER, "lib", &APPLE_SILICON, &sampling), [""; 0]);
    }

    #[test]
    fn an_executable_that_a_mac_cannot_use_has_faults() {
        let faults = |target, bytes: &[u8]| faults("leak-test", "lib", target, bytes);
        let other_target = [
            "is for x86_64, not for aarch64",
            "needs macOS 12.3; allowed: 11.0 or older",
        ];
        assert_eq!(faults(&APPLE_SILICON, &intel(0x000c_0300)), other_target);
        let newer = ["needs macOS 10.13; allowed: 10.12 or older"];
        assert_eq!(faults(&INTEL, &intel(0x000a_0d00)), newer);
    }

    #[test]
    fn each_library_other_than_libsystem_is_a_fault() {
        let iconv = loads(LOAD_DYLIB, "/usr/lib/libiconv.2.dylib");
        let objc = loads(LOAD_WEAK_DYLIB, "/usr/lib/libobjc.A.dylib");
        let bytes = arm64(&[iconv, objc], &[]);
        let expected = ["libiconv.2", "libobjc.A"]
            .map(|name| format!("loads /usr/lib/{name}.dylib; allowed: /usr/lib/libSystem.B.dylib alone"));
        assert_eq!(faults("leak-test", "lib", &APPLE_SILICON, &bytes), expected);
    }

    #[test]
    fn a_path_of_this_machine_in_an_executable_is_a_fault() {
        let mut bytes = arm64(&[], &[]);
        bytes.extend(b"\xff/home/me/.cargo/registry/b.c\0");
        let expected = ["contains the path /home/me/.cargo of this machine"];
        assert_eq!(faults("leak-test", "lib", &APPLE_SILICON, &bytes), expected);
    }

    #[test]
    fn a_sampler_without_one_of_the_calls_is_a_fault() {
        let (absent, rest) = calls::REQUIRED.split_first().expect("calls");
        let [incomplete, nothing] = [rest, &["malloc"]].map(|names| arm64(&[], names));
        let one = [format!("does not import {absent}")];
        let all = [format!("does not import {}", calls::REQUIRED.join(", "))];
        for (package, kind, without_any) in [
            (SAMPLER, "lib", &all[..]),
            (SAMPLER, "example", &all),
            (SAMPLING_PROCESS, "bin", &all),
            (SMALL_CLIENT, "bin", &all),
            (SAMPLER, "test", &[]), // It does not sample.
        ] {
            let faults = |bytes| faults(package, kind, &APPLE_SILICON, bytes);
            assert_eq!(faults(&incomplete), one, "{package}, {kind}");
            assert_eq!(faults(&nothing), without_any, "{package}, {kind}");
        }
        assert_eq!(faults("leak-test", "lib", &APPLE_SILICON, &nothing), [""; 0]);
    }
}

//! The commands: one file each, with its arguments and its course.

mod load_search;
pub(crate) mod soak;
pub(crate) mod summary;
pub(crate) mod verify;
pub(crate) mod verify_macos;
pub(crate) mod verify_report;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::RunError;
use crate::profile::Profile;
use crate::soak::SamplingBinaries;

/// The binaries that a command needs and was not given.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Requirements {
    /// The package of a checkout that builds the client.
    pub(crate) client_package: Option<String>,
    /// Both the sampling process and its leaking twin.
    pub(crate) sampling_process: bool,
}

/// The binaries of a run, on the command line.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct BinaryArgs {
    /// The client, instead of the one that the profile names or builds.
    #[arg(long, value_name = "PATH")]
    pub(crate) client_bin: Option<PathBuf>,
    /// The sampling process of the count test (package sampling-process); `cargo xtask` builds and passes it.
    #[arg(long, value_name = "PATH")]
    sampling_process: Option<PathBuf>,
    /// Its leaking twin, the positive control; `cargo xtask` builds and passes it.
    #[arg(long, value_name = "PATH")]
    leaking_process: Option<PathBuf>,
}

impl BinaryArgs {
    pub(crate) fn requirements(&self, profile: &Profile) -> Requirements {
        let package = profile.client.package.clone();
        let given = self.sampling_process.is_some() && self.leaking_process.is_some();
        Requirements {
            client_package: package.filter(|_| self.client_bin.is_none()),
            sampling_process: profile.client.control_socket && !given,
        }
    }

    /// The options of binaries that the profile needs and that are not given: all of them are named at once.
    fn refuse_missing(&self, profile: &Profile) -> Result<(), RunError> {
        let requirements = self.requirements(profile);
        let missing = [
            (requirements.client_package.is_some(), "--client-bin"),
            (
                requirements.sampling_process && self.sampling_process.is_none(),
                "--sampling-process",
            ),
            (
                requirements.sampling_process && self.leaking_process.is_none(),
                "--leaking-process",
            ),
        ];
        let missing: Vec<&str> = missing
            .iter()
            .filter_map(|(is_missing, option)| is_missing.then_some(*option))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(RunError::Environment(format!(
            "{} missing: `cargo xtask verify` in a checkout builds and passes what the profile {} needs: its client, and of the \
             package sampling-process both binaries",
            match missing[..] {
                [one] => format!("{one} is"),
                _ => format!("{} are", missing.join(", ")),
            },
            profile.name
        )))
    }

    /// The client: the one on the command line, or the program that the profile names.
    pub(crate) fn client(&self, profile: &Profile) -> Result<PathBuf, RunError> {
        self.refuse_missing(profile)?;
        let client = match &self.client_bin {
            Some(client) => client.clone(),
            None => profile.find_binary()?,
        };
        executable(&client, "client")
    }

    /// The processes of the count test, for a client that samples with runtime-metrics.
    pub(crate) fn sampling(&self, profile: &Profile) -> Result<Option<SamplingBinaries>, RunError> {
        self.refuse_missing(profile)?;
        let (true, Some(sampling), Some(leaking)) = (
            profile.client.control_socket,
            &self.sampling_process,
            &self.leaking_process,
        ) else {
            return Ok(None);
        };
        Ok(Some(SamplingBinaries {
            sampling: executable(sampling, "sampling process")?,
            leaking: executable(leaking, "leaking process")?,
        }))
    }
}

/// The absolute path of a binary: starting a bare name would look for another one on PATH than the one whose hash is taken. A
/// binary that cannot be run is not the client's fault, and is named before anything is started.
fn executable(path: &Path, role: &str) -> Result<PathBuf, RunError> {
    let refused = |why: String| {
        Err(RunError::Environment(format!(
            "the {role} {} {why}",
            path.display()
        )))
    };
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match std::fs::metadata(&path) {
        Err(error) => refused(format!("cannot be run: {error}")),
        Ok(metadata) if !metadata.is_file() => refused("is not a file".to_owned()),
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => {
            refused("is not executable: chmod +x".to_owned())
        }
        Ok(_) => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_that_cannot_be_run_is_refused_with_the_reason() {
        let dir = tempfile::tempdir().expect("a directory");
        let plain = dir.path().join("plain");
        std::fs::write(&plain, "").expect("written");
        for (path, reason) in [
            (dir.path().join("absent"), "No such file"),
            (dir.path().to_owned(), "is not a file"),
            (plain, "is not executable"),
        ] {
            let error = executable(&path, "client").expect_err("refused").to_string();
            assert!(error.contains(reason), "{error}");
        }
        let own = std::env::current_exe().expect("this test's binary");
        assert_eq!(executable(&own, "client").expect("runs"), own);
        let relative = Path::new("Cargo.toml");
        let error = executable(relative, "client")
            .expect_err("not executable")
            .to_string();
        assert!(
            error.contains("is not executable"),
            "the path is the current directory's: {error}"
        );
    }
}

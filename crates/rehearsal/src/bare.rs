//! Runs the workflows' lines that need no tool of `setup`, in a fresh clone with a compiler and little else on PATH.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};

/// A call of the table as it is run here.
pub(crate) struct Line {
    pub(crate) call: &'static str,
    /// A text of the call, and its replacement.
    instead: (&'static str, &'static str),
    /// The exit codes that it may have on Linux.
    pub(crate) exits: &'static [i32],
}

impl Line {
    pub(crate) fn text(&self) -> String {
        let (from, to) = self.instead;
        self.call.replace(from, to)
    }
}

/// The calls of jobs that run no `setup`. A call that installs a toolchain is left out, because it would change this machine's
/// Rust.
pub(crate) const LINES: [Line; 4] = [
    // On Linux `setup` allows the namespaces that two tests make. No Mac has these tests.
    Line {
        call: "cargo xtask test -- --package runtime-metrics --package mach-model --package leak-test",
        instead: (
            "leak-test",
            "leak-test -- --skip the_proc_of_an_outer_pid_namespace --skip without_a_proc",
        ),
        exits: &[0],
    },
    // It builds truegauge, which says that it runs on a Mac.
    Line {
        call: "cargo xtask verify-macos",
        instead: ("", ""),
        exits: &[2],
    },
    // A stalling machine leaves it INCONCLUSIVE.
    Line {
        call: "cargo xtask soak --hours 1 --operation sample",
        instead: ("--hours 1", "--hours 0.05"),
        exits: &[0, 3],
    },
    // No leg has left any results.
    Line {
        call: "cargo xtask summary target/legs --expect soak-ubuntu-24.04,soak-macos-26,soak-macos-15,soak-macos-26-intel,\
               soak-macos-15-intel",
        instead: ("", ""),
        exits: &[2],
    },
];

/// The programs on PATH: Rust, compilers, git, a shell and coreutils.
const PROGRAMS: &str = "\
    cargo rustc rustdoc rustup cc c++ gcc g++ ar as ld nm ranlib strip git \
    sh bash awk basename cat chmod cp cut date dirname echo env expr false find grep head id install kill ln ls mkdir mkfifo \
    mktemp mv nproc printf pwd readlink realpath rm rmdir sed seq sleep sort stat tail tee test touch tr true uname uniq wc xargs";

/// Variables that say how to reach the network, and where Rust is.
const KEPT_VARIABLES: [&str; 8] = [
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "https_proxy",
];

/// A directory with the programs, a home and the clone; deleted at the end.
pub(crate) struct BareMachine {
    dir: PathBuf,
    env: Vec<(&'static str, OsString)>,
}

impl Drop for BareMachine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl BareMachine {
    /// Fills a new directory. `path` is the value of PATH.
    pub(crate) fn create(dir: &Path, path: &OsStr) -> Result<Self> {
        let of_user = |variable: &str, name: &str| {
            let set = std::env::var_os(variable).map(PathBuf::from);
            set.or_else(|| Some(std::env::home_dir()?.join(name)))
        };
        let (bin, home, cargo_home) = (dir.join("bin"), dir.join("home"), dir.join("cargo"));
        for made in [&bin, &home, &cargo_home] {
            fs::create_dir_all(made).with_context(|| format!("cannot create {}", made.display()))?;
        }
        let mut env: Vec<(&'static str, OsString)> = KEPT_VARIABLES
            .into_iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)))
            .collect();
        env.extend([
            ("PATH", bin.clone().into()),
            ("HOME", home.into()),
            ("CARGO_HOME", cargo_home.clone().into()),
            // Tests that miss a tool fail.
            ("CI", "true".into()),
        ]);
        if let Some(rustup_home) = of_user("RUSTUP_HOME", ".rustup") {
            env.push(("RUSTUP_HOME", rustup_home.into()));
        }
        let machine = Self {
            dir: dir.to_owned(),
            env,
        };
        for name in PROGRAMS.split_whitespace() {
            let places = std::env::split_paths(path).map(|dir| dir.join(name));
            if let Some(program) = places.into_iter().find(|program| program.is_file()) {
                symlink(program, bin.join(name))?;
            }
        }
        // Downloads are not what is rehearsed. The programs in CARGO_HOME stay out.
        let user = of_user("CARGO_HOME", ".cargo").context("there is no CARGO_HOME")?;
        for name in ["registry", "git", "config.toml"] {
            if user.join(name).exists() {
                symlink(user.join(name), cargo_home.join(name))?;
            }
        }
        Ok(machine)
    }

    /// Clones the last commit of a checkout.
    pub(crate) fn clone_of(&self, checkout: &Path) -> Result<()> {
        let mut git = Command::new("git");
        git.args(["clone", "--quiet"]).arg(checkout).arg(self.clone_dir());
        let status = git.status().context("cannot start git")?;
        ensure!(status.success(), "`git clone` ended with {status}");
        Ok(())
    }

    fn clone_dir(&self) -> PathBuf {
        self.dir.join("clone")
    }

    /// Runs a line in the clone.
    pub(crate) fn run(&self, line: &str) -> Result<ExitStatus> {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", line])
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.clone_dir())
            .stdin(Stdio::null());
        shell.status().context("cannot start sh")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;

    #[test]
    fn bare_machine_has_a_compiler_and_no_tool_of_setup() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = std::env::var_os("PATH").expect("a PATH");
        let machine = BareMachine::create(&dir.path().join("bare"), &path).expect("created");
        fs::create_dir(machine.clone_dir()).expect("created");
        let exit = |line: &str| machine.run(line).expect("it runs").code();
        let compiler = "(cargo --version && cc --version && git --version) >/dev/null";
        assert_eq!(exit(compiler), Some(0));
        for tool in [
            "jq",
            "xmllint",
            "chromium",
            "python3",
            "qemu-system-x86_64",
            "actionlint",
            "act",
        ] {
            assert_eq!(
                exit(&format!("{tool} --version 2>/dev/null")),
                Some(127),
                "{tool}"
            );
        }
        let cargo_tool = "cargo deny --version 2>/dev/null";
        assert_eq!(exit(cargo_tool), Some(101));
    }

    /// A line that the workflows no longer have would be rehearsed in vain.
    #[test]
    fn every_bare_line_is_a_call_of_a_job_without_setup() {
        let workflows = table::workflows();
        let jobs = workflows.iter().flat_map(|workflow| &workflow.jobs);
        let without_setup = jobs.filter(|job| !job.calls.iter().any(|call| call.text == "cargo xtask setup"));
        let calls: Vec<&str> = without_setup
            .flat_map(|job| job.calls.iter().map(|call| call.text))
            .collect();
        for line in &LINES {
            assert!(
                calls
                    .iter()
                    .any(|call| call.replace(" {arguments}", "") == line.call),
                "{} in {calls:#?}",
                line.call
            );
            assert_eq!(line.text() == line.call, line.instead.0 == line.instead.1);
        }
    }
}

//! What machine a run took place on: a verdict without it cannot be compared with another.

use std::path::Path;

use serde::Serialize;
use xshell::{Shell, cmd};

use crate::workspace;

/// The machine, as it stands in the evidence.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Environment {
    pub(crate) os: &'static str,
    arch: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    os_version: Option<String>,
    kernel: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<String>,
    logical_cpus: usize,
    /// System Integrity Protection, as csrutil words it; macOS only.
    #[serde(skip_serializing_if = "Option::is_none")]
    sip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    git_revision: Option<String>,
}

impl Environment {
    pub(crate) fn read() -> Self {
        let uname = rustix::system::uname();
        let text = |s: &std::ffi::CStr| s.to_string_lossy().into_owned();
        Self {
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            os_version: os_version(),
            kernel: format!("{} {}", text(uname.sysname()), text(uname.release())),
            cpu: cpu(),
            logical_cpus: std::thread::available_parallelism().map_or(1, usize::from),
            sip: sip(),
            git_revision: git_revision(),
        }
    }
}

/// os-release(5) on Linux, `sw_vers` on macOS.
fn os_version() -> Option<String> {
    if cfg!(target_os = "macos") {
        let sh = Shell::new().ok()?;
        let version = cmd!(sh, "sw_vers -productVersion").quiet().read().ok()?;
        let build = cmd!(sh, "sw_vers -buildVersion").quiet().read().ok()?;
        return Some(format!("macOS {version} ({build})"));
    }
    field(
        &std::fs::read_to_string("/etc/os-release").ok()?,
        "PRETTY_NAME",
        '=',
    )
    .map(|name| name.replace('"', ""))
}

fn cpu() -> Option<String> {
    if cfg!(target_os = "macos") {
        let sh = Shell::new().ok()?;
        return cmd!(sh, "sysctl -n machdep.cpu.brand_string").quiet().read().ok();
    }
    field(&std::fs::read_to_string("/proc/cpuinfo").ok()?, "model name", ':')
}

fn sip() -> Option<String> {
    if !cfg!(target_os = "macos") {
        return None;
    }
    let sh = Shell::new().ok()?;
    let said = cmd!(sh, "csrutil status").quiet().ignore_stderr().read().ok()?;
    Some(
        said.trim()
            .trim_start_matches("System Integrity Protection status: ")
            .trim_end_matches('.')
            .to_owned(),
    )
}

/// The value of the first `key<separator>value` line.
fn field(text: &str, key: &str, separator: char) -> Option<String> {
    let value = |line: &str| {
        let (found, value) = line.split_once(separator)?;
        (found.trim() == key).then(|| value.trim().to_owned())
    };
    text.lines().find_map(value)
}

/// The revision, with `+` where the work tree differs from it.
fn git_revision() -> Option<String> {
    let sh = Shell::new().ok()?;
    let root: &Path = workspace::root();
    let describe = cmd!(
        sh,
        "git -C {root} describe --always --dirty=+ --abbrev=12 --exclude *"
    );
    describe.quiet().ignore_stderr().read().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_key() {
        let text = "NAME=x\nPRETTY_NAME=\"Debian 12\"\nmodel name\t: A CPU: fast\nmodel name\t: another\n";
        assert_eq!(field(text, "PRETTY_NAME", '=').as_deref(), Some("\"Debian 12\""));
        assert_eq!(field(text, "model name", ':').as_deref(), Some("A CPU: fast"));
        assert_eq!(field(text, "ID", '='), None);
    }

    #[test]
    fn this_machine_is_told() {
        let environment = Environment::read();
        assert_eq!(environment.os, std::env::consts::OS);
        assert!(environment.logical_cpus > 0 && !environment.kernel.trim().is_empty());
    }
}

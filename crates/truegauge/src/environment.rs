//! What machine a run took place on: a verdict without it cannot be compared with another.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use xshell::{Shell, cmd};

/// The machine, as it stands in the evidence and in the results. What is not known is absent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Environment {
    pub(crate) os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) arch: Option<String>,
    /// With the build: `macOS 26.1 (25B78)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) os_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kernel: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cpu: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) logical_cpus: Option<usize>,
    /// System Integrity Protection, as csrutil words it; macOS only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sip: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) git_revision: Option<String>,
    /// The versions of what built the client, by program.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tools: BTreeMap<String, String>,
}

/// Programs whose versions are told.
const BUILDS_WITH: [&str; 4] = ["rustc", "cargo", "cc", "c++"];

impl Environment {
    /// Reads this machine, and the revision and tools of the checkout that the client was built from, where there is one.
    pub(crate) fn read(checkout: Option<&Path>) -> Self {
        let uname = rustix::system::uname();
        let text = |s: &std::ffi::CStr| s.to_string_lossy().into_owned();
        Self {
            os: std::env::consts::OS.to_owned(),
            arch: Some(std::env::consts::ARCH.to_owned()),
            os_version: os_version(),
            kernel: Some(format!("{} {}", text(uname.sysname()), text(uname.release()))),
            cpu: cpu(),
            logical_cpus: std::thread::available_parallelism().ok().map(usize::from),
            sip: sip(),
            git_revision: checkout.and_then(git_revision),
            tools: checkout.map(|_| tools()).unwrap_or_default(),
        }
    }

    /// Everything that is known, for people.
    pub(crate) fn told(&self) -> Vec<(&str, String)> {
        let text = |value: &Option<String>| value.clone();
        let known = [
            ("system", text(&self.os_version).or_else(|| Some(self.os.clone()))),
            ("kernel", text(&self.kernel)),
            ("architecture", text(&self.arch)),
            ("CPU", text(&self.cpu)),
            ("logical CPUs", self.logical_cpus.map(|cpus| cpus.to_string())),
            ("SIP", text(&self.sip)),
            ("revision", text(&self.git_revision)),
        ];
        let tools = self
            .tools
            .iter()
            .map(|(tool, version)| (tool.as_str(), version.clone()));
        known
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .chain(tools)
            .collect()
    }
}

/// The first line that each program says of itself; what is not there is not told.
fn tools() -> BTreeMap<String, String> {
    let Ok(sh) = Shell::new() else {
        return BTreeMap::new();
    };
    let version = |tool: &str| {
        let said = cmd!(sh, "{tool} --version").quiet().ignore_stderr().read().ok()?;
        Some((tool.to_owned(), said.lines().next()?.to_owned()))
    };
    BUILDS_WITH.into_iter().filter_map(version).collect()
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
fn git_revision(checkout: &Path) -> Option<String> {
    let sh = Shell::new().ok()?;
    let describe = cmd!(
        sh,
        "git -C {checkout} describe --always --dirty=+ --abbrev=12 --exclude *"
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
        let environment = Environment::read(Some(Path::new(".")));
        assert_eq!(environment.os, std::env::consts::OS);
        assert!(environment.logical_cpus > Some(0) && environment.kernel.is_some());
        assert!(
            environment.tools["rustc"].starts_with("rustc 1."),
            "{environment:?}"
        );
        assert!(
            environment
                .told()
                .iter()
                .any(|(name, value)| *name == "system" && !value.is_empty())
        );
    }
}

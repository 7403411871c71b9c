use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use xshell::{Shell, cmd};

use crate::cargo::{self, Program, programs};
use crate::checkout::Checkout;
use crate::console::{self, Group, eprintln, println};
use crate::exit::Exit;

/// Run the tests of the sampler and of the client under the compiler's sanitizers, with nightly Rust.
///
/// `address` finds invalid memory accesses, `thread` finds data races, `leak` finds memory that the sampling process still
/// holds when it ends. Each sanitizer must first find a seeded fault; one that does not is an error, not a pass. Linux alone.
/// `address` and `thread` take some ten minutes each; `thread` also builds the standard library.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these sanitizers [default: all]
    #[arg(value_name = "SANITIZER")]
    sanitizers: Vec<Sanitizer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sanitizer {
    Address,
    Thread,
    Leak,
}

/// Parts of the names of tests that mean nothing under any sanitizer.
const SKIPPED: [&str; 5] = [
    // The sanitizer makes system calls and allocations of its own.
    "budget",
    // Statistics of soaks on the model: minutes become hours, and they contain no unsafe code.
    "macos::tests::leaks",
    // The sanitizer must be loaded before every other library,
    "a_wall_clock_that_jumps",
    // and needs the /proc of its own process.
    "the_proc_of_an_outer_pid_namespace",
    "without_a_proc",
];

/// Further tests that mean nothing under ThreadSanitizer: it delays signals, has a thread of its own, and takes several times
/// the memory.
const SKIPPED_WITH_THREADS: [&str; 6] = [
    "signals_end",
    "a_signal_brings_a_report",
    "a_link_that_stalls",
    "resource_counts_follow_connections_and_extra_threads",
    "a_hundred_thousand_surfaces",
    "resident_memory_is_that_of_proc_self_status",
];

/// For tests of the process's own memory: hardly any freed memory is kept from reuse, and core dumps are not touched.
const OPTIONS: &str = "quarantine_size_mb=4:thread_local_quarantine_size_kb=64:disable_coredump=0";

/// Requests to the sampling process: samples, threads that start and end, and a count of its resources.
const REQUESTS: &str = concat!(
    r#"{"id": 1, "method": "sample", "params": {"count": 500}}"#,
    "\n",
    r#"{"id": 2, "method": "thread_churn", "params": {"count": 50}}"#,
    "\n",
    r#"{"id": 3, "method": "resource_counts"}"#,
    "\n"
);

pub(crate) fn run(args: &Args, checkout: &Checkout) -> Result<Exit> {
    ensure!(cfg!(target_os = "linux"), "the sanitizers run on Linux");
    let nightly = Nightly::find(checkout)?;
    let mut wanted = args.sanitizers.as_slice();
    if wanted.is_empty() {
        wanted = Sanitizer::value_variants();
    }
    let mut found = Vec::new();
    for &sanitizer in wanted {
        let _group = Group::begin(&format!("sanitize: {}", sanitizer.name()));
        let is_clean = match sanitizer {
            Sanitizer::Address => nightly.tests(sanitizer, "use_after_free", "heap-use-after-free")?,
            Sanitizer::Thread => nightly.tests(sanitizer, "data_race", "data race")?,
            Sanitizer::Leak => nightly.sampling_process()?,
        };
        if !is_clean {
            found.push(sanitizer.name());
        }
    }
    if found.is_empty() {
        println!("PASS: the sanitizers found nothing but the seeded faults");
    } else {
        let names = found.join(" ");
        println!("FAIL: {names}; reproduce with: cargo xtask sanitize {names}");
    }
    Ok(Exit::passed(found.is_empty()))
}

impl Sanitizer {
    fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Thread => "thread",
            Self::Leak => "leak",
        }
    }

    fn flag(self) -> String {
        format!("-Zsanitizer={}", self.name())
    }
}

/// The toolchain that has sanitizers.
struct Nightly<'a> {
    checkout: &'a Checkout,
    sh: Shell,
    host: String,
}

impl<'a> Nightly<'a> {
    fn find(checkout: &'a Checkout) -> Result<Self> {
        let sh = Shell::new()?;
        sh.change_dir(checkout.root());
        let host = cmd!(sh, "rustup run nightly rustc --print host-tuple")
            .quiet()
            .ignore_stderr()
            .read()
            .context("nightly Rust is missing: rustup toolchain install nightly --component rust-src")?;
        Ok(Self { checkout, sh, host })
    }

    /// A directory for this sanitizer's build.
    fn target_dir(&self, sanitizer: Sanitizer) -> Result<PathBuf> {
        Ok(cargo::target_dir(self.checkout)?
            .join("sanitize")
            .join(sanitizer.name()))
    }

    /// Cargo with a sanitizer in all code for the host, and in no build script.
    fn cargo(&self, sanitizer: Sanitizer, subcommand: &str) -> Result<Command> {
        let mut command = Command::new("rustup");
        command
            .args([
                "run", "nightly", "cargo", subcommand, "--locked", "--target", &self.host,
            ])
            .arg("--target-dir")
            .arg(self.target_dir(sanitizer)?)
            .current_dir(self.checkout.root())
            .env("RUSTFLAGS", sanitizer.flag())
            // Unoptimised, the sanitizers' checks take five times as long.
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
        if sanitizer == Sanitizer::Thread {
            // ThreadSanitizer sees the standard library's locks only if they are built with it.
            command.arg("-Zbuild-std");
        }
        Ok(command)
    }

    /// Runs the tests, after the sanitizer has found the seeded fault. Returns whether it found nothing else.
    fn tests(&self, sanitizer: Sanitizer, control: &str, finding: &str) -> Result<bool> {
        let output = self.control(sanitizer, control)?;
        ensure!(
            output.contains(finding),
            "the sanitizer does not work here: it did not find the {finding} in xtask/sanitize/{control}.rs; it printed: {output}"
        );
        eprintln!("{control}: found, as it must be");
        let suppressions = self
            .checkout
            .root()
            .join("xtask/sanitize/thread-suppressions.txt");
        let more: &[&str] = match sanitizer {
            Sanitizer::Thread => &SKIPPED_WITH_THREADS,
            Sanitizer::Address | Sanitizer::Leak => &[],
        };
        let mut tests = self.cargo(sanitizer, "test")?;
        tests
            .args(["--package", "runtime-metrics", "--package", "headless-client"])
            .args(["--tests", "--no-fail-fast", "--"])
            .args(SKIPPED.iter().chain(more).flat_map(|name| ["--skip", name]))
            .env("ASAN_OPTIONS", OPTIONS)
            .env(
                "TSAN_OPTIONS",
                format!("disable_coredump=0:suppressions={}", suppressions.display()),
            );
        console::running(self.checkout, &tests);
        Ok(tests.status().context("cannot start rustup")?.success())
    }

    /// The error output of a program with a seeded fault.
    fn control(&self, sanitizer: Sanitizer, name: &str) -> Result<String> {
        let sh = &self.sh;
        let source = Path::new("xtask/sanitize").join(name).with_extension("rs");
        let target_dir = self.target_dir(sanitizer)?;
        sh.create_dir(&target_dir)?;
        let program = target_dir.join(name);
        let flag = sanitizer.flag();
        // The installed standard library will do: the fault is in the program itself.
        cmd!(
            sh,
            "rustup run nightly rustc {flag} -Cunsafe-allow-abi-mismatch=sanitizer -g -o {program} {source}"
        )
        .run()?;
        let output = cmd!(sh, "{program}").quiet().ignore_status().output()?;
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Runs the sampling process, after its leaking variant. Returns whether it ended without a leak.
    fn sampling_process(&self) -> Result<bool> {
        let leaking = self.answer_requests(&programs::LEAKING_PROCESS, Some("memory,units=100"))?;
        ensure!(
            leaking.stderr.contains("detected memory leaks"),
            "the sanitizer does not work here: it did not find the leaks of leaking_process; it printed: {}",
            leaking.stderr
        );
        eprintln!("leaking_process: found, as it must be");
        let sampling = self.answer_requests(&programs::SAMPLING_PROCESS, None)?;
        if !sampling.is_clean {
            eprintln!("{}", sampling.stderr);
        }
        Ok(sampling.is_clean)
    }

    fn answer_requests(&self, program: &Program, fault: Option<&str>) -> Result<Ended> {
        let mut build = self.cargo(Sanitizer::Leak, "build")?;
        build.args(program.arguments());
        console::running(self.checkout, &build);
        build
            .arg("--message-format=json-render-diagnostics")
            .stdin(Stdio::null());
        let path = program.among(&cargo::artifacts(build)?)?;
        let mut process = cmd!(self.sh, "{path}").stdin(REQUESTS).ignore_status();
        if let Some(fault) = fault {
            process = process.env("RUNTIME_METRICS_FAULT", fault);
        }
        let output = process.output()?;
        let answers = String::from_utf8_lossy(&output.stdout);
        let answered = answers
            .lines()
            .filter(|line| line.contains("\"ok\":true"))
            .count();
        ensure!(
            answered == REQUESTS.lines().count(),
            "{} did not do what was asked of it: {answers}",
            path.display()
        );
        Ok(Ended {
            is_clean: output.status.success(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

struct Ended {
    is_clean: bool,
    stderr: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test that is renamed would no longer be skipped.
    #[test]
    fn every_skipped_name_is_that_of_a_test() {
        let sh = Shell::new().expect("a shell");
        let checkout = Checkout::find().expect("a checkout");
        sh.change_dir(checkout.root());
        for name in SKIPPED.iter().chain(&SKIPPED_WITH_THREADS) {
            let (place, pattern) = match name.strip_prefix("macos::tests::") {
                Some(module) => ("crates/runtime-metrics/src/macos/tests", format!("mod {module}")),
                None => ("crates", format!("fn {name}")),
            };
            let found = cmd!(sh, "grep --recursive --quiet --include=*.rs {pattern} {place}");
            assert!(found.quiet().run().is_ok(), "no test is named {name}");
        }
    }
}

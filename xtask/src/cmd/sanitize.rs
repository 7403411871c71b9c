use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anstream::println;
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use xshell::{Cmd, Shell, cmd};

use crate::exit::Exit;
use crate::present;
use crate::present::steps::say;
use crate::workspace;

/// Run the tests of the metrics and of the client under the compiler's sanitizers, with nightly Rust.
///
/// `address` finds accesses to memory that is not, or no longer, theirs; `thread` finds data races; `leak` finds memory that
/// the quiet process of the soak has lost when it ends. Each first finds a seeded fault: a sanitizer that does not work
/// here is an error, not a pass. Linux alone; `address` and `thread` each take some ten minutes, `thread` builds the
/// standard library as well.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which ones [default: all]
    #[arg(value_name = "SANITIZER")]
    sanitizers: Vec<Sanitizer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sanitizer {
    Address,
    Thread,
    Leak,
}

/// Tests that say nothing under any sanitizer, by parts of their names.
const SKIPPED: [&str; 5] = [
    // It makes system calls and allocations of its own.
    "budget",
    // Statistics of soaks on the model: minutes become hours, and there is no unsafe code in them.
    "macos::tests::leaks",
    // It wants to be loaded before every other library,
    "a_wall_clock_that_jumps",
    // and /proc to be this process's.
    "the_proc_of_an_outer_pid_namespace",
    "without_a_proc",
];

/// Nor under ThreadSanitizer: it hands signals on when it likes, has a thread of its own, and several times the memory.
const SKIPPED_WITH_THREADS: [&str; 6] = [
    "signals_end",
    "a_signal_brings_a_report",
    "a_link_that_stalls",
    "a_census_counts_what_the_process_holds",
    "a_hundred_thousand_surfaces",
    "resident_memory_is_that_of_proc_self_status",
];

/// For tests of what a process holds: hardly any freed memory is kept from use, and limits of core dumps are left alone.
const OPTIONS: &str = "quarantine_size_mb=4:thread_local_quarantine_size_kb=64:disable_coredump=0";

pub(crate) fn run(args: &Args) -> Result<Exit> {
    ensure!(
        cfg!(target_os = "linux"),
        "the tests are run under sanitizers on Linux"
    );
    let nightly = Nightly::find()?;
    let mut wanted = args.sanitizers.clone();
    if wanted.is_empty() {
        wanted = Sanitizer::value_variants().to_vec();
    }
    let mut found = Vec::new();
    for sanitizer in wanted {
        let _group = present::group(&format!("sanitize: {}", sanitizer.name()));
        let clean = match sanitizer {
            Sanitizer::Address => nightly.tests(sanitizer, "use_after_free", "heap-use-after-free")?,
            Sanitizer::Thread => nightly.tests(sanitizer, "data_race", "data race")?,
            Sanitizer::Leak => nightly.quiet_process()?,
        };
        if !clean {
            found.push(sanitizer.name());
        }
    }
    if found.is_empty() {
        println!("PASS: nothing was found, but for what was seeded");
        return Ok(Exit::Pass);
    }
    println!(
        "FAIL: {}; see it again: cargo xtask sanitize {}",
        found.join(", "),
        found.join(" ")
    );
    Ok(Exit::Fail)
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

    /// Of a build of this one's own.
    fn target_dir(self) -> PathBuf {
        workspace::target_dir().join("sanitize").join(self.name())
    }
}

/// The toolchain that has sanitizers.
struct Nightly {
    sh: Shell,
    host: String,
}

impl Nightly {
    fn find() -> Result<Self> {
        let sh = Shell::new()?;
        sh.change_dir(workspace::root());
        let host = cmd!(sh, "rustup run nightly rustc --print host-tuple")
            .quiet()
            .ignore_stderr()
            .read()
            .context("there is no nightly Rust: rustup toolchain install nightly --component rust-src")?;
        // Optimised a little: unoptimised, a sanitizer's checks take five times as long.
        sh.set_var("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
        Ok(Self { sh, host })
    }

    /// Cargo with everything that is for the host, and not for build scripts, sanitized.
    fn cargo(&self, sanitizer: Sanitizer, what: &[&str]) -> Cmd<'_> {
        let Self { sh, host } = self;
        let target_dir = sanitizer.target_dir();
        // A race in the standard library's own locks is found, or ruled out, only where it is sanitized too.
        let build_std = (sanitizer == Sanitizer::Thread).then_some("-Zbuild-std");
        cmd!(sh, "rustup run nightly cargo {what...} {build_std...} --locked --target {host} --target-dir {target_dir}")
            .env("RUSTFLAGS", sanitizer.flag())
    }

    /// The tests, once the sanitizer has found what is seeded. Whether it found nothing.
    fn tests(&self, sanitizer: Sanitizer, control: &str, finding: &str) -> Result<bool> {
        let said = self.control(sanitizer, control)?;
        ensure!(
            said.contains(finding),
            "the sanitizer does not work here: it did not find the {finding} in xtask/sanitize/{control}.rs, but said: {said}"
        );
        say(&format!("{control}: found, as it must be"));
        let what = [
            "test",
            "--package",
            "runtime-metrics",
            "--package",
            "headless-client",
            "--tests",
            "--no-fail-fast",
        ];
        let suppressions = workspace::root()
            .join("xtask/sanitize/thread-suppressions.txt")
            .display()
            .to_string();
        let more: &[&str] = match sanitizer {
            Sanitizer::Thread => &SKIPPED_WITH_THREADS,
            Sanitizer::Address | Sanitizer::Leak => &[],
        };
        let skipped = SKIPPED.iter().chain(more).flat_map(|name| ["--skip", name]);
        let tests = self
            .cargo(sanitizer, &what)
            .env("ASAN_OPTIONS", OPTIONS)
            .env(
                "TSAN_OPTIONS",
                format!("disable_coredump=0:suppressions={suppressions}"),
            )
            .arg("--")
            .args(skipped);
        Ok(tests.run().is_ok())
    }

    /// What a seeded fault's program says.
    fn control(&self, sanitizer: Sanitizer, name: &str) -> Result<String> {
        let sh = &self.sh;
        let source = Path::new("xtask/sanitize").join(name).with_extension("rs");
        let program = sanitizer.target_dir().join(name);
        sh.create_dir(sanitizer.target_dir())?;
        let flag = sanitizer.flag();
        // Of the standard library it takes what is there: what is seeded is in the program itself.
        cmd!(
            sh,
            "rustup run nightly rustc {flag} -Cunsafe-allow-abi-mismatch=sanitizer -g -o {program} {source}"
        )
        .run()?;
        let output = cmd!(sh, "{program}").quiet().ignore_status().output()?;
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// The quiet process, and before it the same one leaking. Whether the true one ends without a leak.
    fn quiet_process(&self) -> Result<bool> {
        let leaky = self.example(
            "leaky",
            &["--features", "fault-injection"],
            Some("memory,units=100"),
        )?;
        ensure!(
            leaky.said.contains("detected memory leaks"),
            "the sanitizer does not work here: it did not find what the leaky process leaks, but said: {}",
            leaky.said
        );
        say("leaky: found, as it must be");
        let quiet = self.example("quiet", &[], None)?;
        if !quiet.clean {
            say(&quiet.said);
        }
        Ok(quiet.clean)
    }

    fn example(&self, name: &str, features: &[&str], fault: Option<&str>) -> Result<Ended> {
        let what = [
            &["build", "--package", "runtime-metrics", "--example", name],
            features,
        ]
        .concat();
        self.cargo(Sanitizer::Leak, &what).run()?;
        let mut program = OsString::from(Sanitizer::Leak.target_dir());
        program.push(format!("/{}/debug/examples/{name}", self.host));
        let mut process = cmd!(self.sh, "{program}").stdin(REQUESTS).ignore_status();
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
            "the {name} process did not do what it was asked for: {answers}"
        );
        Ok(Ended {
            clean: output.status.success(),
            said: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

/// Samples beside threads that are parked and threads that end, and a census.
const REQUESTS: &str = concat!(
    r#"{"id": 1, "method": "sample", "params": {"count": 500}}"#,
    "\n",
    r#"{"id": 2, "method": "births", "params": {"count": 50}}"#,
    "\n",
    r#"{"id": 3, "method": "census"}"#,
    "\n"
);

struct Ended {
    clean: bool,
    said: String,
}

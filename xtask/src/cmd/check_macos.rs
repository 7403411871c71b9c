use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use xshell::Shell;

use crate::cargo::{Artifacts, Program, programs};
use crate::checkout::Checkout;
use crate::console::{FAILED, eprintln, println};
use crate::darwin::executables::{Examined, SAMPLER, SAMPLING_PROCESS};
use crate::darwin::toolchain::Toolchain;
use crate::darwin::{OLDEST_MACOS, TARGETS, Target};
use crate::exit::Exit;
use crate::tools;

/// Check the macOS build without a Mac: link the product and its tests, read their imports, lint everything.
///
/// Links truegauge, the sampling processes, the small client and the tests of packages without C code for Apple Silicon and
/// Intel. Reads from each executable which macOS and libraries it needs and which kernel calls it imports, and looks for paths
/// of this machine in it. Then runs clippy over the whole workspace. Nothing is executed: only `cargo xtask verify` on a Mac
/// can tell whether the figures are true (docs/cross-build.md).
///
/// On Linux it needs the tools that `cargo xtask setup` installs; on a Mac it uses the system's own. The first run compiles
/// C and C++ libraries, for minutes; later ones take seconds.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// The product, and a client that it can verify elsewhere. Each is built by itself, so that no feature is unified.
const PROGRAMS: [Program; 4] = [
    programs::SAMPLING_PROCESS,
    programs::LEAKING_PROCESS,
    programs::SMALL_CLIENT,
    programs::TRUEGAUGE,
];

/// Packages whose tests link without a Mac: they contain no C code, and use no framework.
const PACKAGES: &[&str] = &[SAMPLER, SAMPLING_PROCESS, "mach-model", "leak-test"];

pub(crate) fn run(_: &Args, checkout: &Checkout) -> Result<Exit> {
    let begun = Instant::now();
    let sh = tools::shell(checkout)?;
    let toolchain = Toolchain::prepare(&sh, checkout)?;
    for target in TARGETS {
        toolchain.probe_linker(&sh, target)?;
        toolchain.probe_c_compiler(&sh, target)?;
    }
    let mut steps = Vec::new();
    for target in TARGETS {
        let link = || link(&sh, &toolchain, target, checkout);
        steps.push(Step::run(format!("link for {}", target.triple), link));
        let lint = || lint(&sh, &toolchain, target);
        steps.push(Step::run(format!("clippy for {}", target.triple), lint));
    }

    steps.iter().for_each(|step| print(step, checkout));
    let failures: Vec<&Failure> = steps.iter().flat_map(|step| &step.found.failures).collect();
    for Failure { what, remedy } in &failures {
        println!("{FAILED}FAIL{FAILED:#} {what}\n    remedy: {remedy}");
    }
    println!("{}", conclusion(&steps, begun.elapsed()));
    Ok(Exit::passed(failures.is_empty()))
}

/// One step that has run.
struct Step {
    name: String,
    took: Duration,
    found: Findings,
}

impl Step {
    fn run(name: String, work: impl FnOnce() -> Findings) -> Self {
        eprintln!("── {name} ──");
        let begun = Instant::now();
        let found = work();
        let took = begun.elapsed();
        Self { name, took, found }
    }

    fn passed(&self) -> bool {
        self.found.failures.is_empty()
    }
}

#[derive(Default)]
struct Findings {
    examined: Vec<Examined>,
    failures: Vec<Failure>,
}

struct Failure {
    what: String,
    remedy: &'static str,
}

impl Findings {
    fn fail(&mut self, what: String, remedy: &'static str) {
        self.failures.push(Failure { what, remedy });
    }
}

/// Links the test executables and the programs for a target, and examines each.
fn link(sh: &Shell, toolchain: &Toolchain, target: &Target, checkout: &Checkout) -> Findings {
    let mut found = Findings::default();
    let mut messages = String::new();
    let packages = PACKAGES
        .iter()
        .flat_map(|package| ["--package", package])
        .collect();
    let tests = ("test", [vec!["--no-run"], packages].concat());
    let programs = PROGRAMS.iter().map(|program| ("build", program.arguments()));
    for (command, mut options) in std::iter::once(tests).chain(programs) {
        options.push("--message-format=json-render-diagnostics");
        let command = toolchain.cargo(sh, command, target, &options);
        eprintln!("$ {command}");
        match command.read() {
            Ok(more) => messages = messages + &more + "\n",
            Err(error) => found.fail(
                format!("{error}; cargo's messages are above"),
                "fix what the compiler or the linker names",
            ),
        }
    }
    let executables = Artifacts::read(&messages).into_sorted();
    for executable in executables {
        match Examined::read(executable, target, &toolchain.remapped) {
            Ok(examined) => {
                for fault in &examined.faults {
                    found.fail(
                        format!("{} {fault}", checkout.shorten(&examined.executable.path)),
                        "docs/cross-build.md explains each check",
                    );
                }
                found.examined.push(examined);
            }
            Err(error) => found.fail(
                format!("{error:#}"),
                "inspect the file: the linker has written no program",
            ),
        }
    }
    if !found.examined.iter().any(Examined::samples) {
        found.fail(
            format!("no executable of {SAMPLER} for {} was judged", target.triple),
            "PACKAGES in xtask/src/cmd/check_macos.rs lists the packages",
        );
    }
    found
}

/// Lints the workspace.
fn lint(sh: &Shell, toolchain: &Toolchain, target: &Target) -> Findings {
    let mut found = Findings::default();
    let options = ["--workspace", "--all-targets", "--", "-D", "warnings"];
    if toolchain.cargo(sh, "clippy", target, &options).run().is_err() {
        found.fail(
            format!("clippy for {}; its messages are above", target.triple),
            "fix each finding; `#[expect(…, reason = …)]` where clippy is wrong",
        );
    }
    found
}

/// Prints the findings of a step.
fn print(step: &Step, checkout: &Checkout) {
    let word = if step.passed() { "passed" } else { "failed" };
    println!("{}: {word} in {:.0?}", step.name, step.took);
    for examined in &step.found.examined {
        println!("{}", described(examined, checkout));
    }
    let imported: BTreeSet<&str> = step
        .found
        .examined
        .iter()
        .flat_map(|examined| &examined.calls.present)
        .copied()
        .collect();
    if !imported.is_empty() {
        println!("  kernel calls imported: {}", Vec::from_iter(imported).join(", "));
    }
}

/// An executable's path, the macOS that it needs, and its imports.
fn described(examined: &Examined, checkout: &Checkout) -> String {
    let Examined {
        executable,
        minimum_macos,
        calls,
        ..
    } = examined;
    let mut needs = format!("needs macOS {minimum_macos} (allowed: {OLDEST_MACOS} or older)");
    if examined.samples() {
        let (present, missing) = (calls.present.len(), calls.missing.len());
        needs += &format!(", imports {present} of {} kernel calls", present + missing);
    }
    let mut text = format!(
        "  {}\n    {executable}: {needs}",
        checkout.shorten(&executable.path)
    );
    if !calls.others.is_empty() {
        text += &format!(
            "\n    imports Mach calls that are not in the table: {}",
            calls.others.join(", ")
        );
    }
    text
}

/// The last line, which begins with PASS or FAIL.
fn conclusion(steps: &[Step], took: Duration) -> String {
    let executables: usize = steps.iter().map(|step| step.found.examined.len()).sum();
    let passed = steps.iter().filter(|step| step.passed()).count();
    let word = if passed == steps.len() { "PASS" } else { "FAIL" };
    format!(
        "{word}: {passed} of {} steps passed, {executables} executables examined, in {took:.0?}",
        steps.len()
    )
}

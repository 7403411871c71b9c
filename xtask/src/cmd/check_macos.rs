use std::time::{Duration, Instant};

use anyhow::Result;
use xshell::Shell;

use crate::cargo::{Artifacts, Program, programs};
use crate::checkout::Checkout;
use crate::console::{FAILED, eprintln, println};
use crate::darwin::executables::{Examined, SAMPLER, SAMPLING_PROCESS};
use crate::darwin::toolchain::Toolchain;
use crate::darwin::{TARGETS, Target};
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
        toolchain.probe(&sh, target)?;
    }
    let mut steps = Vec::new();
    for target in TARGETS {
        let (triple, tools) = (target.triple, &toolchain);
        let link = |step: &mut Step| link(step, &sh, tools, target, checkout);
        steps.push(Step::run(format!("link for {triple}"), link));
        let lint = |step: &mut Step| lint(step, &sh, tools, target);
        steps.push(Step::run(format!("clippy for {triple}"), lint));
    }

    steps.iter().for_each(|step| step.print(checkout));
    for (what, remedy) in steps.iter().flat_map(|step| &step.failures) {
        println!("{FAILED}FAIL{FAILED:#} {what}\n    remedy: {remedy}");
    }
    println!("{}", conclusion(&steps, begun.elapsed()));
    Ok(Exit::passed(steps.iter().all(Step::passed)))
}

/// One step that has run.
struct Step {
    name: String,
    took: Duration,
    examined: Vec<Examined>,
    /// Each with its remedy.
    failures: Vec<(String, &'static str)>,
}

impl Step {
    fn run(name: String, work: impl FnOnce(&mut Self)) -> Self {
        eprintln!("── {name} ──");
        let begun = Instant::now();
        let mut step = Self {
            name,
            took: Duration::ZERO,
            examined: Vec::new(),
            failures: Vec::new(),
        };
        work(&mut step);
        step.took = begun.elapsed();
        step
    }

    fn fail(&mut self, what: String, remedy: &'static str) {
        self.failures.push((what, remedy));
    }

    fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    fn print(&self, checkout: &Checkout) {
        let word = if self.passed() { "passed" } else { "failed" };
        println!("{}: {word} in {:.0?}", self.name, self.took);
        for examined in &self.examined {
            println!("{}", described(examined, checkout));
        }
    }
}

/// Links the test executables and the programs for a target, and examines each.
fn link(step: &mut Step, sh: &Shell, toolchain: &Toolchain, target: &Target, checkout: &Checkout) {
    let mut messages = String::new();
    let packages = PACKAGES.iter().flat_map(|package| ["--package", package]);
    let tests = ("test", ["--no-run"].into_iter().chain(packages).collect());
    let programs = PROGRAMS.iter().map(|program| ("build", program.arguments()));
    for (command, mut options) in [tests].into_iter().chain(programs) {
        options.push("--message-format=json-render-diagnostics");
        let command = toolchain.cargo(sh, command, target, &options);
        eprintln!("$ {command}");
        match command.read() {
            Ok(more) => messages += &(more + "\n"),
            Err(error) => step.fail(
                format!("{error}; cargo's messages are above"),
                "fix what the compiler or the linker names",
            ),
        }
    }
    for executable in Artifacts::read(&messages).into_sorted() {
        match Examined::read(executable, target, &toolchain.remapped) {
            Ok(examined) => {
                let path = checkout.shorten(&examined.executable.path);
                let remedy = "docs/cross-build.md explains each check";
                for fault in &examined.faults {
                    step.fail(format!("{path} {fault}"), remedy);
                }
                step.examined.push(examined);
            }
            Err(error) => step.fail(
                format!("{error:#}"),
                "inspect the file: the linker has written no program",
            ),
        }
    }
    if !step.examined.iter().any(|examined| examined.samples) {
        let what = format!("no executable for {} that samples was judged", target.triple);
        step.fail(what, "xtask/src/cmd/check_macos.rs lists the executables");
    }
}

/// Lints the workspace.
fn lint(step: &mut Step, sh: &Shell, toolchain: &Toolchain, target: &Target) {
    let options = ["--workspace", "--all-targets", "--", "-D", "warnings"];
    if toolchain.cargo(sh, "clippy", target, &options).run().is_err() {
        step.fail(
            format!("clippy for {}; its messages are above", target.triple),
            "fix each finding; `#[expect(…, reason = …)]` where clippy is wrong",
        );
    }
}

/// An executable's path, the macOS that it needs, and its imports.
fn described(examined: &Examined, checkout: &Checkout) -> String {
    let (executable, calls) = (&examined.executable, &examined.calls);
    let (path, minimum_macos) = (checkout.shorten(&executable.path), examined.minimum_macos);
    let mut text = format!("  {path}\n    {executable}: needs macOS {minimum_macos}");
    if examined.samples {
        let (present, missing) = (calls.present.len(), calls.missing.len());
        text += &format!(", imports {present} of {} kernel calls", present + missing);
    }
    if !calls.others.is_empty() {
        let others = calls.others.join(", ");
        text += &format!("\n    imports Mach calls that are not in the table: {others}");
    }
    text
}

/// The last line, which begins with PASS or FAIL.
fn conclusion(steps: &[Step], took: Duration) -> String {
    let executables: usize = steps.iter().map(|step| step.examined.len()).sum();
    let (all, passed) = (steps.len(), steps.iter().filter(|step| step.passed()).count());
    let word = if passed == all { "PASS" } else { "FAIL" };
    format!("{word}: {passed} of {all} steps passed, {executables} executables examined, in {took:.0?}")
}

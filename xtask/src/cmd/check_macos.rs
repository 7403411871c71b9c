use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anstream::{eprintln, println};
use anyhow::Result;
use xshell::Shell;

use crate::darwin::executables::{Examined, SAMPLER, linked};
use crate::darwin::toolchain::{LINTED, Toolchain, local_directories};
use crate::darwin::{APPLE_SILICON, INTEL, OLDEST_MACOS, Target};
use crate::exit::Exit;
use crate::present::FAILED;
use crate::tools;
use crate::workspace;

/// Check the macOS build without a Mac: link its test executables, read what they import, lint everything.
///
/// Links the test executables of the packages without C code for Apple Silicon and Intel; reads from each which macOS it
/// needs and which calls to the kernel it imports, beside those that the metrics backend must make; then runs clippy over
/// the whole workspace for Apple Silicon. Nothing is run: whether the figures are true, only `cargo xtask verify` on a
/// Mac can tell (docs/cross-build.md).
///
/// On Linux it needs what `cargo xtask setup` installs; on a Mac it uses the system's own tools. The first run compiles
/// the client's C and C++ libraries, for minutes; later ones take seconds.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// What is linked for.
const TARGETS: [&Target; 2] = [&APPLE_SILICON, &INTEL];

/// Packages whose tests link without a Mac: no C code, no framework.
const PACKAGES: &[&str] = &[SAMPLER, "mach-model", "verdict"];

pub(crate) fn run(_: Args) -> Result<Exit> {
    let begun = Instant::now();
    let sh = tools::shell()?;
    let toolchain = Toolchain::prepare(&sh)?;
    for target in TARGETS {
        toolchain.probe_linker(&sh, target)?;
    }
    toolchain.probe_c_compiler(&sh)?;

    let mut steps: Vec<Step> = TARGETS
        .iter()
        .map(|target| {
            Step::run(format!("link for {}", target.triple), || {
                link(&sh, &toolchain, target)
            })
        })
        .collect();
    steps.push(Step::run(format!("clippy for {}", LINTED.triple), || {
        lint(&sh, &toolchain)
    }));

    steps.iter().for_each(print);
    let failures: Vec<&Failure> = steps.iter().flat_map(|step| &step.found.failures).collect();
    for Failure { what, remedy } in &failures {
        println!("{FAILED}FAIL{FAILED:#} {what}\n    remedy: {remedy}");
    }
    println!("{}", conclusion(&steps, begun.elapsed()));
    Ok(if failures.is_empty() {
        Exit::Pass
    } else {
        Exit::Fail
    })
}

/// One thing that was done.
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

/// Links the test executables for a target, and examines each.
fn link(sh: &Shell, toolchain: &Toolchain, target: &Target) -> Findings {
    let mut found = Findings::default();
    let command = toolchain.cargo_test_executables(sh, target, PACKAGES);
    eprintln!("$ {command}");
    let Ok(messages) = command.read() else {
        found.fail(
            format!(
                "the tests do not build for {}; cargo's messages are above",
                target.triple
            ),
            "mend what the compiler or the linker names",
        );
        return found;
    };
    let local = local_directories();
    for linked in linked(&messages) {
        match Examined::read(linked, target, &local) {
            Ok(examined) => {
                for fault in &examined.faults {
                    found.fail(
                        format!("{} {fault}", workspace::shown(&examined.linked.path)),
                        "the calls that the backend makes are listed in xtask/src/darwin/calls.rs; the version is rustc's own \
                         unless MACOSX_DEPLOYMENT_TARGET is set",
                    );
                }
                found.examined.push(examined);
            }
            Err(error) => found.fail(format!("{error:#}"), "look at what the linker has written"),
        }
    }
    if !found.examined.iter().any(Examined::samples) {
        found.fail(
            format!("no executable of {SAMPLER} for {} was judged", target.triple),
            "PACKAGES in xtask/src/cmd/check_macos.rs says what is linked",
        );
    }
    found
}

/// Lints the workspace.
fn lint(sh: &Shell, toolchain: &Toolchain) -> Findings {
    let mut found = Findings::default();
    if toolchain.cargo_clippy(sh).run().is_err() {
        found.fail(
            format!("clippy for {}; its messages are above", LINTED.triple),
            "mend what it names; `#[expect(…, reason = …)]` where it is wrong",
        );
    }
    found
}

/// What a step did and found.
fn print(step: &Step) {
    let word = if step.passed() { "passed" } else { "failed" };
    println!("{}: {word} in {:.0?}", step.name, step.took);
    for examined in &step.found.examined {
        println!("{}", described(examined));
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

/// An executable: where it is, what it needs, what it calls.
fn described(examined: &Examined) -> String {
    let Examined {
        linked,
        minimum_macos,
        calls,
        local_paths,
        ..
    } = examined;
    let mut needs = format!("needs macOS {minimum_macos} (allowed: {OLDEST_MACOS} or older)");
    if examined.samples() {
        let (present, missing) = (calls.present.len(), calls.missing.len());
        needs += &format!(", imports {present} of {} kernel calls", present + missing);
    }
    let mut text = format!("  {}\n    {linked}: {needs}", workspace::shown(&linked.path));
    if !calls.others.is_empty() {
        text += &format!(
            "\n    imports Mach calls that the table has not: {}",
            calls.others.join(", ")
        );
    }
    if !local_paths.is_empty() {
        let paths: Vec<&str> = local_paths.iter().map(String::as_str).collect();
        text += &format!("\n    holds paths of this machine: {}", paths.join(", "));
    }
    text
}

/// The last line; it begins with the verdict's word.
fn conclusion(steps: &[Step], took: Duration) -> String {
    let executables: usize = steps.iter().map(|step| step.found.examined.len()).sum();
    let passed = steps.iter().filter(|step| step.passed()).count();
    let word = if passed == steps.len() { "PASS" } else { "FAIL" };
    format!(
        "{word}: {passed} of {} steps passed, {executables} executables examined, in {took:.0?}",
        steps.len()
    )
}

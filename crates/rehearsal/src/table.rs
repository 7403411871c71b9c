//! The table of what every job of every workflow must call.

use crate::expected::When::{AfterRed, Always, Cleanup, Green, Retry, Verdict};
use crate::expected::{Begins, Call, Job, Leg, When, Workflow};

const CHECKOUT: Call = call(Green, "actions/checkout");
const RUST: Call = call(
    Green,
    "rustup toolchain install --profile minimal --no-self-update",
);
const CACHE: Call = call(Green, "Swatinem/rust-cache");

/// All workflows, each with every event that changes its calls.
pub(crate) fn workflows() -> Vec<Workflow> {
    vec![
        Workflow {
            file: "ci.yml",
            event: "push",
            inputs: &[],
            verdict_only: false,
            jobs: ci(),
        },
        Workflow {
            file: "ci.yml",
            event: "pull_request",
            inputs: &[],
            verdict_only: true,
            jobs: ci(),
        },
        Workflow {
            file: "nightly.yml",
            event: "schedule",
            inputs: &[],
            verdict_only: false,
            jobs: nightly(),
        },
        Workflow {
            file: "soak.yml",
            event: "schedule",
            inputs: &[],
            verdict_only: false,
            jobs: soak(
                call(Verdict, "cargo xtask soak --hours 1 --operation sample"),
                Some(call(Retry, "cargo xtask soak --hours 1 --operation sample")),
            ),
        },
        // Two long runs exceed a job's limit: no retry.
        Workflow {
            file: "soak.yml",
            event: "workflow_dispatch",
            inputs: &[("hours", "5"), ("operation", "report")],
            verdict_only: true,
            jobs: soak(
                call(Verdict, "cargo xtask soak --hours 5 --operation report"),
                None,
            ),
        },
    ]
}

const fn call(when: When, text: &'static str) -> Call {
    Call { when, text }
}

/// A leg that has the name of its runner.
const fn on(runner: &'static str) -> Leg {
    Leg {
        name: runner,
        runner,
        arguments: "",
    }
}

const CI_LEGS: [Leg; 5] = [
    on("macos-26"),
    on("macos-15"),
    on("macos-26-intel"),
    on("macos-15-intel"),
    Leg {
        name: "macos-26-hardened",
        runner: "macos-26",
        arguments: "--hardened",
    },
];

const SOAK_LEGS: [Leg; 5] = [
    on("ubuntu-24.04"),
    on("macos-26"),
    on("macos-15"),
    on("macos-26-intel"),
    on("macos-15-intel"),
];

fn ci() -> Vec<Job> {
    let test = "cargo xtask test -- --package runtime-metrics --package mach-model --package leak-test";
    vec![
        Job::new(
            "linux",
            vec![
                CHECKOUT,
                RUST,
                CACHE,
                call(Green, "cargo xtask setup"),
                call(Green, "cargo xtask ci"),
                call(Cleanup, "actions/upload-artifact verify-linux target/verify"),
            ],
        ),
        Job::new(
            "advisories",
            vec![
                CHECKOUT,
                RUST,
                call(Green, "cargo xtask setup"),
                call(Green, "cargo deny check advisories"),
            ],
        ),
        Job::new(
            "rust-version",
            vec![
                CHECKOUT,
                call(
                    Green,
                    "rustup toolchain install 1.89 --profile minimal --no-self-update",
                ),
                call(Green, "cargo check --package runtime-metrics --locked"),
            ],
        ),
        Job {
            legs: &CI_LEGS,
            ..Job::new(
                "macos",
                vec![
                    CHECKOUT,
                    RUST,
                    CACHE,
                    call(Always, test),
                    call(Verdict, "cargo xtask verify-macos {arguments}"),
                    call(Retry, "cargo xtask verify-macos {arguments}"),
                    call(
                        Cleanup,
                        "actions/upload-artifact verify-{leg} target/verify-macos",
                    ),
                ],
            )
        },
        summary(
            "actions/download-artifact verify-* target/legs",
            "cargo xtask summary target/legs --expect verify-linux,verify-macos-26,verify-macos-15,verify-macos-26-intel,\
             verify-macos-15-intel,verify-macos-26-hardened",
        ),
        Job {
            begins: Begins::Concludes,
            ..Job::new("conclusion", vec![])
        },
    ]
}

fn summary(download: &'static str, summary: &'static str) -> Job {
    Job {
        begins: Begins::Later,
        ..Job::new(
            "summary",
            vec![
                CHECKOUT,
                RUST,
                CACHE,
                call(Green, download),
                call(Always, summary),
                call(Cleanup, "actions/upload-artifact summary target/summary"),
            ],
        )
    }
}

fn soak(verdict: Call, retry: Option<Call>) -> Vec<Job> {
    let mut calls = vec![CHECKOUT, RUST, CACHE, verdict];
    calls.extend(retry);
    calls.push(call(Cleanup, "actions/upload-artifact soak-{leg} target/soak"));
    vec![
        Job {
            legs: &SOAK_LEGS,
            ..Job::new("soak", calls)
        },
        summary(
            "actions/download-artifact soak-* target/legs",
            "cargo xtask summary target/legs --expect soak-ubuntu-24.04,soak-macos-26,soak-macos-15,soak-macos-26-intel,\
             soak-macos-15-intel",
        ),
    ]
}

fn nightly() -> Vec<Job> {
    vec![
        Job::new(
            "fuzz",
            vec![
                CHECKOUT,
                RUST,
                call(
                    Green,
                    "rustup toolchain install nightly --profile minimal --no-self-update",
                ),
                call(Green, "cargo install cargo-fuzz --version 0.13.2 --locked"),
                call(Green, "cargo xtask fuzz --seconds 300"),
                call(AfterRed, "actions/upload-artifact fuzz target/fuzz"),
            ],
        ),
        Job::new(
            "mutants",
            vec![
                CHECKOUT,
                RUST,
                call(Green, "cargo install cargo-mutants --version 27.1.0 --locked"),
                call(Green, "cargo xtask mutants"),
                call(AfterRed, "actions/upload-artifact mutants target/mutants"),
            ],
        ),
        Job::new(
            "newest-stable",
            vec![
                CHECKOUT,
                call(
                    Green,
                    "rustup toolchain install stable --profile minimal --component clippy --component rustfmt --no-self-update",
                ),
                call(Green, "cargo xtask setup"),
                call(Green, "cargo xtask lint"),
                call(Always, "cargo xtask test"),
            ],
        ),
        Job::new(
            "bare",
            vec![CHECKOUT, RUST, call(Green, "cargo xtask rehearse --bare")],
        ),
        Job::new(
            "sanitize",
            vec![
                CHECKOUT,
                RUST,
                call(
                    Green,
                    "rustup toolchain install nightly --profile minimal --component rust-src --no-self-update",
                ),
                call(Green, "cargo xtask sanitize"),
            ],
        ),
    ]
}

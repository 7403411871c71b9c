use std::io::Write as _;

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::act::Sandbox;
use crate::table;

/// A workflow with all that a table can say: a gate, two legs of a Mac's job, their summary and the conclusion.
const GOOD: &str = "\
on: push
jobs:
  gate:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1
      - run: cargo gate
      - run: cargo report
      - uses: actions/upload-artifact@043fb46d1a93c77aae656e7c1c64a875d1fc6a0a
        if: failure()
        with: {name: findings}
  macos:
    strategy:
      matrix:
        include: [{leg: one, runner: macos-26}, {leg: two, runner: macos-15, arguments: --hardened}]
    runs-on: ${{ matrix.runner }}
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1
      - run: rustup toolchain install
      - run: cargo test
        if: ${{ !cancelled() }}
      - run: cargo verdict ${{ matrix.arguments }}
        id: verdict
        if: ${{ !cancelled() }}
        continue-on-error: true
      - run: cargo verdict ${{ matrix.arguments }}
        id: retry
        if: ${{ !cancelled() && steps.verdict.outputs.verdict == 'inconclusive' }}
      - run: exit 1
        if: ${{ !cancelled() && steps.verdict.outcome != 'success' && steps.retry.outcome == 'skipped' }}
      - uses: actions/upload-artifact@043fb46d1a93c77aae656e7c1c64a875d1fc6a0a
        if: always()
        with: {name: 'of-${{ matrix.leg }}'}
  summary:
    if: ${{ !cancelled() }}
    needs: [gate, macos]
    runs-on: ubuntu-24.04
    steps:
      - run: cargo summary
  conclusion:
    if: always()
    needs: [gate, macos, summary]
    runs-on: ubuntu-24.04
    steps:
      - run: exit 1
        if: contains(needs.*.result, 'failure')
";

const ONE: Leg = Leg {
    name: "one",
    runner: "macos-26",
    arguments: "",
};
const TWO: Leg = Leg {
    name: "two",
    runner: "macos-15",
    arguments: "--hardened",
};

/// Its table.
fn workflow() -> Workflow {
    let call = |when, text| Call { when, text };
    let macos = Job {
        legs: &[ONE, TWO],
        ..Job::new(
            "macos",
            vec![
                call(Green, "actions/checkout"),
                call(Green, "rustup toolchain install"),
                call(Always, "cargo test"),
                call(Verdict, "cargo verdict {arguments}"),
                call(Retry, "cargo verdict {arguments}"),
                call(Cleanup, "actions/upload-artifact of-{leg}"),
            ],
        )
    };
    let gate = Job::new(
        "gate",
        vec![
            call(Green, "actions/checkout"),
            call(Green, "cargo gate"),
            call(Green, "cargo report"),
            call(AfterRed, "actions/upload-artifact findings"),
        ],
    );
    let summary = Job {
        begins: Begins::Later,
        ..Job::new("summary", vec![call(Green, "cargo summary")])
    };
    let conclusion = Job {
        begins: Begins::Concludes,
        ..Job::new("conclusion", vec![])
    };
    Workflow {
        file: "fixture.yml",
        event: "push",
        inputs: &[],
        jobs: vec![gate, macos, summary, conclusion],
        verdict_only: false,
    }
}

/// Calls of the fixture's jobs.
const GATE: (&str, usize) = ("gate", 1);
const CHECKOUT: (&str, usize) = ("macos", 0);
const TEST: (&str, usize) = ("macos", 2);
const VERDICT: (&str, usize) = ("macos", 3);

/// PATH with the tools that `cargo xtask setup` installs.
fn path_with_tools() -> OsString {
    let cargo = std::env::var_os("CARGO").expect("cargo names itself");
    let mut metadata = Command::new(cargo);
    metadata.args(["metadata", "--no-deps", "--format-version", "1"]);
    let output = metadata.output().expect("cargo runs").stdout;
    let metadata: serde_json::Value = serde_json::from_slice(&output).expect("JSON");
    let target_dir = metadata["target_directory"].as_str().expect("a path");
    let tools = Path::new(target_dir).join("tools/python/bin");
    let path = std::env::var_os("PATH").expect("a PATH");
    std::env::join_paths(std::iter::once(tools).chain(std::env::split_paths(&path))).expect("a PATH")
}

/// The faults of a text of the workflow in one case. `None` where act is missing, which CI does not accept.
fn rehearsed(text: &str, plan: &Plan) -> Option<Vec<String>> {
    let path = path_with_tools();
    let there = std::env::split_paths(&path).any(|dir| dir.join("act").is_file());
    if !there {
        assert!(
            std::env::var_os("CI").is_none(),
            "act is missing: cargo xtask setup"
        );
        return None;
    }
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("fixture.yml"), text).expect("written");
    let sandbox = Sandbox::create(&dir.path().join("sandbox"), dir.path(), path).expect("a sandbox");
    let observed = sandbox.run(&workflow(), plan).expect("act runs");
    Some(lines(workflow().faults(plan, &observed)))
}

fn skip(test: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: act is missing");
}

#[test]
fn every_case_of_a_right_workflow_is_without_fault() {
    let cases = workflow().cases();
    assert_eq!(
        cases.len(),
        9,
        "green, 5 red, inconclusive once and twice, cancelled: {cases:?}"
    );
    for plan in cases {
        let Some(faults) = rehearsed(GOOD, &plan) else {
            return skip("every_case_of_a_right_workflow_is_without_fault");
        };
        assert!(faults.is_empty(), "{plan:?}: {faults:#?}");
    }
}

#[test]
fn a_workflow_that_breaks_a_rule_of_its_table_is_refused() {
    let verdict = "        id: verdict\n        if: ${{ !cancelled() }}\n";
    let red_test = "fixture.yml, job macos (one): `cargo test` red: the verdict is unreachable: `cargo verdict` is not called";
    for (from, to, ends, said) in [
        (
            verdict,
            "        id: verdict\n",
            &[(TEST, End::Red)][..],
            red_test,
        ),
        (
            verdict,
            "        id: verdict\n        if: always()\n",
            &[(("macos", CANCELLED), End::Cancelled), (GATE, End::Cancelled)],
            "cancelled during `rustup toolchain install`: `cargo verdict",
        ),
        (
            " && steps.verdict.outputs.verdict == 'inconclusive'",
            " && false",
            &[(VERDICT, End::Inconclusive)],
            "`cargo verdict {arguments}` inconclusive: the verdict is unreachable: `cargo verdict` is not called",
        ),
        (
            " && steps.verdict.outputs.verdict == 'inconclusive'",
            "",
            &[],
            "every step green: `cargo verdict` is called",
        ),
        (
            "steps.verdict.outcome != 'success'",
            "false",
            &[(VERDICT, End::Red)],
            "`cargo verdict {arguments}` red: the job passes",
        ),
        (
            "        continue-on-error: true\n",
            "",
            &[(VERDICT, End::Inconclusive)],
            "`cargo verdict {arguments}` inconclusive: the job fails",
        ),
        (
            "        if: always()\n        with",
            "        with",
            &[(VERDICT, End::Red)],
            "`actions/upload-artifact of-one` is not called",
        ),
        (
            "needs: [gate, macos, summary]\n",
            "needs: [gate, summary]\n",
            &[(TEST, End::Red)],
            "job conclusion: other jobs red: the job passes",
        ),
        (
            "  macos:\n",
            "  macos:\n    needs: [gate]\n",
            &[(GATE, End::Red)],
            "job macos (one): other jobs red: it does not run",
        ),
        (
            "      - run: cargo test\n        if: ${{ !cancelled() }}\n",
            "      - run: cargo test\n",
            &[(CHECKOUT, End::Red)],
            "`actions/checkout` red: `cargo test` is not called",
        ),
        (
            "      - run: rustup toolchain install\n",
            "      - run: rustup toolchain install\n        if: always()\n",
            &[(CHECKOUT, End::Red)],
            "`actions/checkout` red: `rustup toolchain install` is called",
        ),
        (
            "      - run: cargo report\n",
            "      - run: cargo report\n        if: ${{ !cancelled() }}\n",
            &[(GATE, End::Red)],
            "job gate: `cargo gate` red: `cargo report` is called",
        ),
        (
            "        if: failure()\n        with: {name: findings}",
            "        with: {name: findings}",
            &[(GATE, End::Red)],
            "job gate: `cargo gate` red: `actions/upload-artifact findings` is not called",
        ),
        (
            "        if: failure()\n        with: {name: findings}",
            "        if: always()\n        with: {name: findings}",
            &[],
            "job gate: every step green: `actions/upload-artifact findings` is called",
        ),
        (
            "      - run: cargo gate\n      - run: cargo report\n",
            "      - run: cargo report\n      - run: cargo gate\n",
            &[],
            "job gate: every step green: the order of calls is",
        ),
        (
            "    if: ${{ !cancelled() }}\n    needs: [gate, macos]\n",
            "    needs: [gate, macos]\n",
            &[(TEST, End::Red)],
            "job summary: other jobs red: it does not run",
        ),
        (
            "${{ matrix.arguments }}\n        id: verdict",
            "\n        id: verdict",
            &[],
            "job macos (two): every step green: the verdict is unreachable: `cargo verdict --hardened` is not called",
        ),
        (
            "  macos:\n",
            "  macos:\n    if: false\n",
            &[],
            "every step green: it does not run",
        ),
        (
            "runner: macos-15",
            "runner: windows-2025",
            &[],
            "job macos (two): every step green: its runner is windows-2025",
        ),
        (
            "runs-on: ${{ matrix.runner }}",
            "runs-on: macos-26",
            &[],
            "job macos (two): every step green: its runner is macos-26",
        ),
        (
            "{leg: two",
            "{leg: three",
            &[],
            "job macos (three): always: it is not in crates/rehearsal/src/table.rs",
        ),
    ] {
        let text = GOOD.replace(from, to);
        assert_ne!(text, GOOD, "{from}");
        let Some(faults) = rehearsed(&text, &ends.iter().copied().collect()) else {
            return skip("a_workflow_that_breaks_a_rule_of_its_table_is_refused");
        };
        assert!(
            faults.iter().any(|fault| fault.contains(said)),
            "{said:?} for {to:?}: {faults:#?}"
        );
    }
}

#[test]
fn faults_that_many_legs_share_are_one_line_and_hidden_verdicts_come_first() {
    let conduct = |runner: &str, calls: &[&str]| Conduct {
        runner: runner.to_owned(),
        calls: calls.iter().map(|call| (*call).to_owned()).collect(),
        passed: Some(true),
    };
    let upload = |leg| format!("actions/upload-artifact of-{leg}");
    let mut observed: Observed = [ONE, TWO]
        .into_iter()
        .map(|leg| {
            let upload = upload(leg.name);
            let calls = [
                "actions/checkout",
                "cargo test",
                "cargo verdict --hardened",
                &upload,
            ];
            (
                ("macos".to_owned(), leg.name.to_owned()),
                conduct(leg.runner, &calls),
            )
        })
        .collect();
    for (job, calls) in [
        ("gate", &["actions/checkout", "cargo gate", "cargo report"][..]),
        ("summary", &["cargo summary"]),
        ("conclusion", &[]),
    ] {
        let id = (job.to_owned(), String::new());
        observed.insert(id, conduct("ubuntu-24.04", calls));
    }
    assert_eq!(
        lines(workflow().faults(&Plan::new(), &observed)),
        [
            "fixture.yml, job macos (one): every step green: the verdict is unreachable: `cargo verdict` is not called",
            "fixture.yml, job macos (one): every step green: `rustup toolchain install` is not called; also in 1 other cases \
             and legs",
            "fixture.yml, job macos (one): every step green: `cargo verdict --hardened` is called",
        ]
    );
}

#[test]
fn calls_in_another_order_are_a_fault() {
    let expected = workflow().jobs[1].conduct(ONE, &Plan::new());
    let mut seen = workflow().jobs[1].conduct(ONE, &Plan::new());
    assert!(differences(&expected, &seen, None).is_empty());
    seen.calls.swap(0, 1);
    assert!(differences(&expected, &seen, None)[0].starts_with("the order of calls is"));
    seen.calls.swap(0, 1);
    seen.passed = None;
    assert_eq!(differences(&expected, &seen, None), ["the job does not end"]);
}

/// A leg that no summary expects would not be missed.
#[test]
fn each_summary_expects_every_leg_of_its_workflow() {
    let mut summaries = 0;
    for workflow in table::workflows() {
        let texts = || {
            workflow.legs().flat_map(|(job, leg)| {
                let text = move |call: &Call| call.on(leg);
                job.calls.iter().map(text)
            })
        };
        let Some(expected) = texts().find_map(|text| Some(text.split_once(" --expect ")?.1.to_owned()))
        else {
            continue;
        };
        let uploaded = texts().filter_map(|text| {
            let name = text
                .strip_prefix("actions/upload-artifact ")?
                .split(' ')
                .next()?
                .to_owned();
            (name != "summary").then_some(name)
        });
        assert_eq!(
            uploaded.collect::<Vec<_>>().join(","),
            expected,
            "{}",
            workflow.file
        );
        summaries += 1;
    }
    assert_eq!(summaries, 4, "ci.yml twice and soak.yml twice");
}

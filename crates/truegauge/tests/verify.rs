//! `truegauge verify` as a user runs it: real processes, real exit codes, and nothing left behind.
#![cfg(unix)]

mod harness;

use std::os::unix::fs::PermissionsExt;

use harness::Harness;
use harness::formats::assert_files;
use rustix::process::Signal;
use serde_json::Value;

/// A run of half a second's windows that does not wait before the later report.
const QUICK: &[&str] = &["--window", "500ms", "--later-delay", "0s"];

#[test]
fn a_true_client_passes_and_leaves_its_evidence() {
    // The default window: 5 % of a shorter one is less than a busy machine oversleeps by.
    let run = Harness::start(&["--later-delay", "0s", "--preflight"], &[]).finish();
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.stdout
            .trim_end()
            .lines()
            .last()
            .is_some_and(|line| line.starts_with("PASS: ")),
        "{run:?}"
    );
    let results: Value = run.json("results.json");
    assert_eq!(results["verdict"], "pass");
    let rows = results["checks"].as_array().expect("rows");
    for test in ["1.", "2.", "3.", "4.", "5.", "6."] {
        assert!(
            rows.iter()
                .any(|row| row["check"].as_str().is_some_and(|id| id.starts_with(test))),
            "{test}"
        );
    }
    let probes = results["preflight"].as_array().expect("probes");
    assert!(
        probes.len() > 15 && probes.iter().all(|probe| probe.get("refused").is_none()),
        "{probes:?}"
    );
    let evidence = run.json("evidence.json");
    assert_eq!(results["binaries"], evidence["binaries"]);
    let judged = &results["binaries"]["client"];
    let client = std::fs::canonicalize(harness::client()).expect("built");
    assert_eq!(judged["path"], client.to_str().expect("UTF-8"));
    assert_eq!(judged["bytes"], client.metadata().expect("built").len());
    assert_eq!(judged["sha256"].as_str().map(str::len), Some(64));
    let busy = &evidence["reports"][1];
    assert!(
        busy["observer"]["cpu_percent"]
            .as_f64()
            .is_some_and(|cpu| cpu > 10.0),
        "{busy}"
    );
    for file in ["idle.zip", "busy.zip", "later.zip", "client.log", "source.log"] {
        assert!(run.dir().join(file).exists(), "{file}");
    }
    assert!(run.left_running().is_empty(), "{:?}", run.left_running());
    assert_files(&run.dir());

    let zip = |name: &str| run.dir().join(name).display().to_string();
    let (code, said) = harness::verify_report(&[&zip("idle.zip"), &zip("later.zip")]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("not judgeable from a zip") && said.contains("5.advance"),
        "{said}"
    );
    std::fs::write(run.dir().join("torn.zip"), b"PK\x03\x04 and then nothing").expect("written");
    let (code, said) = harness::verify_report(&[&zip("torn.zip")]);
    assert_eq!(code, 2, "what is no zip cannot be judged: {said}");
    assert!(
        said.contains("torn.zip") && said.contains("not a whole zip"),
        "{said}"
    );
}

#[test]
fn a_client_at_fault_is_a_failure_that_says_why() {
    for (fault, said) in [
        ("no-version", "--version ended with exit status 5"),
        ("dies-at-start", "ended before it was ready, with exit status 7"),
        ("dies", "ended in mid-run with exit status 9"),
        ("hangs", "did not answer `bug_report` within"),
        ("breaks-protocol", "no JSON"),
        ("refuses", "out of paper"),
        ("no-zip", "none appeared"),
        ("torn-zip", "not a whole zip"),
        ("two-zips", "one trigger must bring one zip"),
        ("wrong-path", "there.zip"),
    ] {
        let client = harness::misbehaving_client();
        let args = [QUICK, &["--client-bin", &client]].concat();
        let run = Harness::start(&args, &[("MISBEHAVE", fault)]).finish();
        assert_eq!(run.code, 1, "{fault}: {run:?}");
        assert!(run.stderr.contains(said), "{fault}: wanted {said:?}: {run:?}");
        assert!(
            run.stderr.contains("reproduce with: truegauge verify"),
            "{fault}: {run:?}"
        );
        let results = run.json("results.json");
        assert_eq!(results["verdict"], "fail", "{fault}: {results}");
        assert!(
            results["sentence"]
                .as_str()
                .is_some_and(|text| text.contains(said)),
            "{fault}: {results}"
        );
        if fault != "no-version" {
            assert!(
                run.stderr.contains("a client that will misbehave"),
                "{fault}: the log's tail: {run:?}"
            );
        }
        assert!(run.left_running().is_empty(), "{fault}: {:?}", run.left_running());
    }
}

/// Whatever is refused, the table names it, and the run goes on to the verdict or the error that follows from it.
#[test]
fn a_refusal_is_in_the_preflight_table_and_on_disk_whatever_follows() {
    let stand_ins = tempfile::tempdir().expect("a directory");
    let refusing = stand_ins.path().join("refusing");
    std::fs::write(&refusing, "#!/bin/sh\necho denied >&2\nexit 3\n").expect("written");
    std::fs::set_permissions(&refusing, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let refusing = refusing.display().to_string();
    for (option, role, code) in [
        ("--client-bin", "first execution of the client", 1),
        ("--sampling-process", "first execution of the sampling process", 1),
        ("--leaking-process", "first execution of the leaking process", 3),
    ] {
        let args = [QUICK, &["--preflight", option, &refusing]].concat();
        let run = Harness::start(&args, &[]).finish();
        assert_eq!(run.code, code, "{option}: {run:?}");
        assert!(run.stderr.contains("preflight"), "{option}: {run:?}");
        let on_disk = run.json("preflight.json");
        let refused: Vec<_> = on_disk
            .as_array()
            .expect("probes")
            .iter()
            .filter_map(|probe| Some((probe["tried"].as_str()?, probe["refused"].as_str()?)))
            .collect();
        assert!(
            matches!(refused[..], [(tried, reason)] if tried.contains(role) && reason.contains("exit status 3")),
            "{option}: {refused:?}"
        );
        assert_eq!(run.json("results.json")["preflight"], on_disk, "{option}");
        let judged = run.dir().join("evidence.json").exists();
        assert_eq!(
            judged,
            option != "--client-bin",
            "{option}: the session needs the client alone"
        );
        assert!(
            run.left_running().is_empty(),
            "{option}: {:?}",
            run.left_running()
        );
    }
}

/// Most often it is the server's or the command line's doing.
#[test]
fn a_session_without_a_surface_is_the_environments_fault() {
    let client = harness::misbehaving_client();
    let args = [QUICK, &["--client-bin", &client]].concat();
    let run = Harness::start(&args, &[("MISBEHAVE", "no-surface")]).finish();
    assert_eq!(run.code, 2, "{run:?}");
    assert!(
        run.stderr.contains("showed no surface") && !run.stderr.contains("--password-file"),
        "{run:?}"
    );
    assert!(run.left_running().is_empty(), "{:?}", run.left_running());
}

#[test]
fn github_can_fold_the_steps_and_is_told_why_there_is_no_verdict() {
    let client = harness::misbehaving_client();
    let args = [QUICK, &["--client-bin", &client]].concat();
    let run = Harness::start(&args, &[("MISBEHAVE", "dies"), ("GITHUB_ACTIONS", "true")]).finish();
    assert_eq!(run.code, 1, "{run:?}");
    let commands: Vec<&str> = run.stdout.lines().filter(|line| line.starts_with("::")).collect();
    let [group, end, error] = commands[..] else {
        panic!("{commands:?}")
    };
    assert_eq!([group, end], ["::group::session: three reports", "::endgroup::"]);
    assert!(error.starts_with("::error title=fail::FAIL: "), "{error}");
}

#[test]
fn a_client_killed_in_mid_run_is_a_failure() {
    let mut harness = Harness::start(&["--window", "20s"], &[]);
    let pid = harness.await_pid("client");
    harness.await_line("report 1 of 3");
    harness::kill(pid, Signal::KILL);
    let run = harness.finish();
    assert_eq!(run.code, 1, "{run:?}");
    assert!(
        run.stderr.contains("the client ended in mid-run with signal 9"),
        "{run:?}"
    );
    assert!(run.left_running().is_empty(), "{:?}", run.left_running());
}

#[test]
fn a_source_killed_in_mid_run_is_the_environments_fault() {
    let mut harness = Harness::start(&["--window", "20s"], &[]);
    let pid = harness.await_pid("source");
    harness.await_line("report 1 of 3");
    harness::kill(pid, Signal::KILL);
    let run = harness.finish();
    assert_eq!(run.code, 2, "{run:?}");
    assert!(
        run.stderr
            .contains("the SPICE source ended in mid-run with signal 9"),
        "{run:?}"
    );
    assert!(run.left_running().is_empty(), "{:?}", run.left_running());
}

#[test]
fn an_interrupt_ends_everything_and_is_no_verdict() {
    let mut harness = Harness::start(&["--window", "20s"], &[]);
    harness.await_line("report 1 of 3");
    harness::kill(harness.pid(), Signal::INT);
    let run = harness.finish();
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stderr.contains("interrupted"), "{run:?}");
    assert!(run.left_running().is_empty(), "{:?}", run.left_running());
    assert!(run.left_in_temp().is_empty(), "{:?}", run.left_in_temp());
}

#[test]
fn a_killed_harness_leaves_nothing() {
    let mut harness = Harness::start(&["--window", "20s"], &[]);
    harness.await_line("report 1 of 3");
    harness::kill(harness.pid(), Signal::KILL);
    let run = harness.finish();
    run.await_nothing_running();
    assert!(run.left_in_temp().is_empty(), "{:?}", run.left_in_temp());
}

#[test]
fn an_error_of_the_soak_is_one_row_beside_the_tests() {
    let dir = tempfile::tempdir().expect("a directory");
    let process = dir.path().join("process");
    std::fs::write(&process, "#!/bin/sh\nexit 9\n").expect("written");
    std::fs::set_permissions(&process, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("set");
    let args = [
        "--later-delay",
        "0s",
        "--sampling-process",
        process.to_str().expect("UTF-8"),
    ];
    let run = Harness::start(&args, &[]).finish();
    assert_eq!(run.code, 1, "{run:?}");
    let results = run.json("results.json");
    let rows = results["checks"].as_array().expect("rows");
    let failed: Vec<&Value> = rows.iter().filter(|row| row["passed"] == false).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["check"], "soak");
    assert!(
        failed[0]["measured"].to_string().contains("exit status 9"),
        "{failed:?}"
    );
    assert!(
        rows.iter()
            .any(|row| row["check"] == "6.busy.worker" && row["passed"] == true)
    );
    assert!(run.left_running().is_empty(), "{:?}", run.left_running());
}

#[test]
fn test_that_a_profile_relaxes_whole_leaves_the_verdict_open() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let manifest = std::env::var("CARGO_MANIFEST_DIR").expect("set by cargo");
    let own = std::fs::read_to_string(format!("{manifest}/profiles/headless-client.toml")).expect("read");
    let relaxed = format!("{own}\n[[relax]]\ncheck = \"4.*\"\nreason = \"it has no memory\"\n");
    std::fs::write(path("own.toml"), relaxed).expect("written");
    std::fs::create_dir(path("assertions")).expect("created");
    let rows = r#"{check: "1.own", passed: true, measured: 1, allowed: 1}, {check: "4.own", passed: false, measured: 0, allowed: 1}"#;
    std::fs::write(path("assertions/own.jq"), rows).expect("written");
    let (profile, assertions) = (path("own.toml"), path("assertions"));
    let binaries =
        [harness::sampling_process(), harness::leaking_process()].map(|path| path.display().to_string());
    let client = harness::client();
    let options = [
        "--profile",
        &profile,
        "--assertions",
        &assertions,
        "--client-bin",
        &client,
    ];
    let sampling = [
        "--sampling-process",
        &binaries[0],
        "--leaking-process",
        &binaries[1],
    ];
    let run = Harness::start(&[QUICK, &options, &sampling].concat(), &[]).finish();
    assert_eq!(run.code, 3, "{run:?}");
    let last = run.stdout.trim_end().lines().last().unwrap_or_default();
    for part in [
        "INCONCLUSIVE: ",
        ", 1 relaxed by the profile; the profile relaxes all of test 4, which judged nothing",
        &format!(", judged by the assertions of {assertions}"),
    ] {
        assert!(last.contains(part), "{part:?} in {last}");
    }
    assert_eq!(run.json("results.json")["verdict"], "inconclusive");
}

#[test]
fn what_cannot_be_is_a_usage_error() {
    let dir = tempfile::tempdir().expect("a directory");
    let profile = dir.path().join("own.toml");
    std::fs::write(&profile, "name = \"x\"\nnmae = 1\n").expect("written");
    for (option, value, why) in [
        ("--window", "nonsense", "no length of time"),
        ("--window", "0", "no length of time"),
        ("--window", "1ms", "between 200ms and 60s"),
        ("--cpu-relative", "2", "allows anything"),
        ("--cpu-floor", "1e9", "must be at most 4"),
        ("--thread-floor", "1e9", "must be at most 4"),
        ("--memory-floor", "99999999999", "must be at most 16384"),
        ("--uptime", "1e9", "must be at most 5"),
        ("--busy-cpu", "0", "between 5 and 90"),
        ("--source", "nowhere", "HOST:PORT"),
        ("--source", "1.2.3.4", "the port is missing"),
        ("--profile", "/", "Is a directory"),
        (
            "--profile",
            profile.to_str().expect("UTF-8"),
            "line 2: unknown field",
        ),
        ("--no-such-flag", "1", "unexpected argument"),
    ] {
        let run = Harness::start(&[option, value], &[]).finish();
        assert_eq!(run.code, 2, "{option} {value}: {run:?}");
        let first = run.stderr.lines().next().unwrap_or_default();
        assert!(
            first.contains(option) && first.contains(why),
            "{option} {value}: {run:?}"
        );
    }
}

#[test]
fn a_source_that_is_not_there_and_a_client_that_is_not_there_are_told() {
    let nobody = harness::unused_port();
    let run = Harness::start(&["--source", &format!("127.0.0.1:{nobody}")], &[]).finish();
    assert_eq!(run.code, 2, "{run:?}");
    assert!(
        run.stderr.contains("cannot reach a SPICE server at 127.0.0.1"),
        "{run:?}"
    );

    let run = Harness::start(&["--client-bin", "/no/such/client"], &[]).finish();
    assert_eq!(run.code, 2, "{run:?}");
    assert!(
        run.stderr
            .contains("the client /no/such/client cannot be run: No such file"),
        "{run:?}"
    );
    assert!(run.left_running().is_empty(), "{:?}", run.left_running());
}

#[cfg(not(target_os = "macos"))]
#[test]
fn verify_macos_elsewhere_says_what_there_is_instead() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_truegauge"))
        .arg("verify-macos")
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for command in [
        "cargo xtask verify ",
        "cargo xtask check-macos",
        "cargo xtask verify-report",
    ] {
        assert!(said.contains(command), "{said}");
    }
}

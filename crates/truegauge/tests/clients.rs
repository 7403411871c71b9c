//! Other people's clients, and what a profile can ask for.
#![cfg(unix)]

mod harness;

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::Harness;
use rustix::process::Signal;
use serde_json::Value;

/// A directory with programs of our own, found before the machine's.
struct Programs(tempfile::TempDir);

impl Programs {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn add(&self, name: &str, script: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
        path
    }

    fn path(&self) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        format!("{}:{path}", self.0.path().display())
    }
}

fn other_client() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo");
    Path::new(&manifest).join("tests/other_client")
}

/// A PATH on which python3 has psutil: that of `cargo xtask setup`, or the machine's. `None` where there is none.
fn path_with_psutil() -> Option<String> {
    let target = std::env::current_exe().expect("a path");
    let target = target.ancestors().nth(3).expect("target/PROFILE/deps/test");
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", target.join("tools/python/bin").display());
    let probe = Command::new("sh")
        .args(["-c", "python3 -c 'import psutil'"])
        .env("PATH", &path)
        .output();
    if probe.is_ok_and(|probe| probe.status.success()) {
        return Some(path);
    }
    harness::skip::skip("python3 with psutil");
    None
}

fn check<'a>(results: &'a Value, id: &str) -> &'a Value {
    let rows = results["checks"].as_array().expect("rows");
    rows.iter()
        .find(|row| row["check"] == id)
        .unwrap_or_else(|| panic!("no {id}"))
}

#[test]
fn the_example_is_verified_and_shares_nothing_with_our_client() {
    let Some(path) = path_with_psutil() else { return };
    let profile = other_client().join("report.toml").display().to_string();
    let args = ["--profile", &profile, "--later-delay", "0s"];
    let run = Harness::start(&args, &[("PATH", &path)]).finish();
    assert_eq!(run.code, 0, "{run:?}");
    let results = run.json("results.json");
    assert_eq!(results["profile"], "report.py");
    // What the profile relaxes stays said, with its reason; what it does not is judged.
    let relaxed = check(&results, "6.busy.worker");
    assert_eq!(relaxed["passed"], false);
    assert_eq!(relaxed["relaxed"], "it is no Tokio program");
    for judged in [
        "1.busy.platform",
        "3.busy.process",
        "4.busy.rss",
        "5.idle.age",
        "3.rise",
    ] {
        let row = check(&results, judged);
        assert_eq!(row["passed"], true, "{row}");
        assert!(row.get("relaxed").is_none(), "{row}");
    }
    let title = check(&results, "3.busy.process")["title"].to_string();
    assert!(title.contains("over a window whose place is known to"), "{title}");
    assert!(run.left_running().is_empty(), "{:?}", run.left_running());
}

#[test]
fn small_client_passes_and_its_example_with_a_wrong_figure_fails() {
    for (kind, name, code) in [
        ("--bin", "small-client", 0),
        ("--example", "idle_in_every_report", 1),
    ] {
        let client = harness::small_client(kind, name);
        let args = [
            "--profile",
            "small-client",
            "--client-bin",
            &client,
            "--later-delay",
            "0s",
        ];
        let run = Harness::start(&args, &[]).finish();
        assert_eq!(run.code, code, "{name}: {run:?}");
        let results = run.json("results.json");
        assert_eq!(check(&results, "3.busy.process")["passed"], code == 0, "{name}");
        for judged in [
            "1.busy.platform",
            "3.busy.window.span",
            "5.idle.age",
            "6.busy.count",
            "6.session.busy.pid",
        ] {
            let row = check(&results, judged);
            assert_eq!(row["passed"], true, "{row}");
        }
        for row in results["checks"].as_array().expect("rows") {
            let id = row["check"].as_str().expect("an id");
            let is_lacking = id.starts_with("6.session.") || id.ends_with(".worker");
            let is_relaxed = row.get("relaxed").is_some();
            assert!(is_lacking || !is_relaxed, "{name}: {row}");
            let is_wrong = code == 1 && id.starts_with("3.");
            assert!(is_relaxed || is_wrong || row["passed"] != false, "{name}: {row}");
        }
        run.await_nothing_running();
    }
}

/// A harness that passes a program whose figures are wrong proves nothing.
#[test]
fn a_wrong_figure_of_another_client_fails() {
    let Some(path) = path_with_psutil() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let text = std::fs::read_to_string(other_client().join("report.py")).expect("read");
    let wrong = text.replace("100 * (cpu_now - cpu) / span", "0.0");
    assert_ne!(text, wrong);
    let program = dir.path().join("report.py");
    std::fs::write(&program, wrong).expect("written");
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .expect("executable");
    let profile = other_client().join("report.toml").display().to_string();
    let client = program.display().to_string();
    let args = [
        "--profile",
        &profile,
        "--client-bin",
        &client,
        "--later-delay",
        "0s",
    ];
    let run = Harness::start(&args, &[("PATH", &path)]).finish();
    assert_eq!(run.code, 1, "{run:?}");
    assert_eq!(
        check(&run.json("results.json"), "3.busy.process")["passed"],
        false
    );
}

#[test]
fn the_harness_dies_and_so_does_a_client_that_minds_nothing() {
    let Some(path) = path_with_psutil() else { return };
    let profile = other_client().join("report.toml").display().to_string();
    let args = ["--profile", &profile, "--later-delay", "600s"];
    let mut harness = Harness::start(&args, &[("PATH", &path)]);
    harness.await_line("report 3 of 3");
    harness::kill(harness.pid(), Signal::KILL);
    harness.finish().await_nothing_running();
}

#[test]
fn the_client_behind_a_wrapper_that_forks_is_followed_and_judged() {
    let programs = Programs::new();
    let wrapper = programs.add("wrapper", &format!("'{}' \"$@\"\nexit $?", harness::client()));
    assert_followed(&wrapper, "");
}

#[test]
fn a_client_in_a_pid_namespace_of_its_own_is_followed_and_judged_by_its_own_ids() {
    const UNSHARE: &str = "unshare --user --map-root-user --pid --fork --kill-child --mount-proc";
    let allowed = Command::new("/bin/sh")
        .args(["-c", &format!("{UNSHARE} true")])
        .output();
    if !allowed.is_ok_and(|tried| tried.status.success()) {
        return harness::skip::skip("unshare, or the right to make namespaces,");
    }
    let programs = Programs::new();
    let client = harness::client();
    let wrapper = programs.add("wrapper", &format!("{UNSHARE} '{client}' \"$@\"\nexit $?"));
    assert_followed(&wrapper, "1");
}

/// A run with a wrapper passes, and judges the process that the wrapper started; `own_pid` is the pid that this process
/// gives itself, where it is known beforehand.
fn assert_followed(wrapper: &Path, own_pid: &str) {
    let wrapper = wrapper.display().to_string();
    let run = Harness::start(&["--client-bin", &wrapper, "--later-delay", "0s"], &[]).finish();
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.stderr.contains("is a child of the one that was started"),
        "{run:?}"
    );
    let pid = check(&run.json("results.json"), "6.session.idle.pid")["measured"].to_string();
    assert!(own_pid.is_empty() || pid == own_pid, "{pid}");
    run.await_nothing_running();
}

/// A shell does not handle SIGUSR1, and would end by it: the signal goes to the client behind the shell.
#[test]
fn a_client_behind_a_wrapper_is_triggered_by_its_signal_and_fails_by_its_own_wrong_figure() {
    let Some(path) = path_with_psutil() else { return };
    let text = std::fs::read_to_string(other_client().join("report.py")).expect("read");
    let wrong = text.replace("100 * (cpu_now - cpu) / span", "0.0");
    assert_ne!(text, wrong);
    let profile = other_client().join("report.toml").display().to_string();
    for (text, code) in [(text, 0), (wrong, 1)] {
        let programs = Programs::new();
        let program = programs.0.path().join("report.py");
        std::fs::write(&program, text).expect("written");
        let wrapper = programs.add(
            "wrapper",
            &format!("python3 '{}' \"$@\"\nexit $?", program.display()),
        );
        let wrapper = wrapper.display().to_string();
        let args = [
            "--profile",
            &profile,
            "--client-bin",
            &wrapper,
            "--later-delay",
            "0s",
        ];
        let run = Harness::start(&args, &[("PATH", &path)]).finish();
        assert_eq!(run.code, code, "{run:?}");
        assert!(
            run.stderr.contains("is a child of the one that was started"),
            "{run:?}"
        );
        let row = check(&run.json("results.json"), "3.busy.process").clone();
        assert_eq!(row["passed"], code == 0, "{row}");
        run.await_nothing_running();
    }
}

#[test]
fn a_wrapper_whose_signal_reaches_no_client_is_named_with_the_remedy() {
    let programs = Programs::new();
    let wrapper = programs.add("wrapper", "sleep 1000 &\ntouch \"$1/ready\"\nwait");
    let profile = other_client().join("report.toml").display().to_string();
    let wrapper = wrapper.display().to_string();
    let run = Harness::start(&["--profile", &profile, "--client-bin", &wrapper], &[]).finish();
    assert_eq!(run.code, 2, "{run:?}");
    assert!(
        run.stderr.contains("does not handle") && run.stderr.contains("`exec` the client"),
        "{run:?}"
    );
    run.await_nothing_running();
}

#[test]
fn each_of_our_clients_triggers_brings_reports_that_pass() {
    for trigger in ["protocol-gap", "signal", "interval"] {
        let run = Harness::start(&["--trigger", trigger, "--later-delay", "0s"], &[]).finish();
        assert_eq!(run.code, 0, "{trigger}: {run:?}");
        let evidence = run.json("evidence.json");
        let metadata = &evidence["reports"][0]["members"]["metadata.json"]["json"];
        let expected = match trigger {
            "protocol-gap" => "pedantic",
            "interval" => "auto-snapshot",
            other => other,
        };
        assert_eq!(metadata["report_type"], expected);
        assert!(run.left_running().is_empty(), "{:?}", run.left_running());
    }
}

#[test]
fn what_a_profile_cannot_be_is_a_usage_error_with_a_remedy() {
    let dir = tempfile::tempdir().expect("a directory");
    let profile = dir.path().join("x.toml");
    let good = std::fs::read_to_string(other_client().join("report.toml")).expect("read");
    std::fs::write(&profile, good.replace("spice = false", "spcie = false")).expect("written");
    let profile = profile.display().to_string();
    for (args, said) in [
        (vec!["--profile", &profile], "unknown field `spcie`"),
        (
            vec!["--profile", "nobody"],
            "embedded are headless-client, ryll, small-client",
        ),
        (vec!["--profile", "/no/such.toml"], "cannot read the profile"),
        (vec!["--trigger", "bell"], "it has control-socket, interval"),
        (vec!["--profile", "ryll", "--soak", "1m"], "does not speak"),
        (vec!["--password-file", "/dev/null"], "--source HOST:PORT"),
    ] {
        let run = Harness::start(&args, &[]).finish();
        assert_eq!(run.code, 2, "{args:?}: {run:?}");
        assert!(run.stderr.contains(said), "{args:?}: wanted {said:?}: {run:?}");
    }
}

#[test]
fn a_client_that_is_not_installed_is_named_with_how_to_install_it() {
    let programs = Programs::new();
    for tool in ["sh", "git"] {
        programs.add(
            tool,
            &format!(
                "PATH='{}' exec {tool} \"$@\"",
                std::env::var("PATH").unwrap_or_default()
            ),
        );
    }
    let only = programs.0.path().display().to_string();
    let run = Harness::start(&["--profile", "ryll"], &[("PATH", &only)]).finish();
    assert_eq!(run.code, 2, "{run:?}");
    assert!(
        run.stderr.contains("there is no ryll on PATH") && run.stderr.contains("cargo install ryll"),
        "{run:?}"
    );
}

#[test]
fn a_qemu_that_is_of_no_use_is_told_with_a_remedy() {
    for (script, said) in [
        (
            "echo 'qemu: -spice: invalid option' >&2; exit 1",
            "qemu-system-modules-spice",
        ),
        (
            "echo 'failed: Address already in use' >&2; exit 1",
            "its port is in use",
        ),
    ] {
        let programs = Programs::new();
        programs.add("qemu-system-x86_64", script);
        let run = Harness::start(&["--source", "qemu"], &[("PATH", &programs.path())]).finish();
        assert_eq!(run.code, 2, "{script}: {run:?}");
        assert!(run.stderr.contains(said), "{script}: {run:?}");
        assert!(run.left_running().is_empty(), "{:?}", run.left_running());
    }
}

#[test]
fn a_server_that_refuses_the_password_is_the_environments_fault() {
    let dir = tempfile::tempdir().expect("a directory");
    let (right, wrong) = (dir.path().join("right"), dir.path().join("wrong"));
    std::fs::write(&right, "open sesame\n").expect("written");
    std::fs::write(&wrong, "open barley\n").expect("written");
    let server = harness::PasswordedServer::start(&right);
    let address = format!("127.0.0.1:{}", server.port);
    let password = wrong.display().to_string();
    for args in [
        vec!["--source", &address],
        vec!["--source", &address, "--password-file", &password],
    ] {
        let run = Harness::start(&args, &[]).finish();
        assert_eq!(run.code, 2, "{args:?}: {run:?}");
        assert!(
            run.stderr.contains("refused the password") && run.stderr.contains("--password-file"),
            "{run:?}"
        );
        assert!(!run.stderr.contains("barley"), "{run:?}");
    }
    let password = right.display().to_string();
    let args = [
        "--source",
        &address,
        "--password-file",
        &password,
        "--later-delay",
        "0s",
    ];
    let run = Harness::start(&args, &[]).finish();
    assert!(run.dir().join("idle.zip").exists(), "it is let in: {run:?}");
}

//! Drives both binaries as the soak does: as processes, over pipes.
#![cfg(any(target_os = "linux", target_os = "macos"))]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

struct Process {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Process {
    /// Starts a binary by its place beside this test's directory: a path from `CARGO_BIN_EXE_…` would tie the test to the
    /// machine that built it.
    fn start(binary: &str, fault: Option<&str>) -> Self {
        let test = std::env::current_exe().expect("a path");
        let target = test.ancestors().nth(2).expect("target/PROFILE/deps/test");
        let mut command = Command::new(target.join(binary));
        command.env_remove("RUNTIME_METRICS_FAULT");
        command.envs(fault.map(|fault| ("RUNTIME_METRICS_FAULT", fault)));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        Self {
            requests: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().expect("piped")),
            child,
        }
    }

    fn answer(&mut self, request: &Value) -> Value {
        let requests = self.requests.as_mut().expect("still open");
        writeln!(requests, "{request}").expect("the process reads");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the process answers");
        serde_json::from_str(&line).expect("an answer is one line of JSON")
    }

    fn result(&mut self, method: &str, count: u64) -> Value {
        let request = json!({"id": method, "method": method, "params": {"count": count}});
        let answer = self.answer(&request);
        assert_eq!(
            (&answer["id"], &answer["ok"]),
            (&json!(method), &json!(true)),
            "{answer}"
        );
        answer["result"].clone()
    }

    /// Descriptors and threads after the first counts, which may set something up.
    fn counts(&mut self) -> (Value, Value) {
        self.result("resource_counts", 1);
        let counts = self.result("resource_counts", 1);
        (counts["descriptors"].clone(), counts["threads"].clone())
    }

    fn ends_at_end_of_file(mut self) {
        drop(self.requests.take());
        assert!(self.child.wait().expect("a child").success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn sampling_process_answers_every_method_and_gains_nothing() {
    let mut process = Process::start("sampling_process", None);
    assert_eq!(process.result("sample", 20), json!({"count": 20}));
    assert_eq!(process.result("thread_churn", 5), json!({"count": 5}));
    let before = process.counts();
    assert!(
        before.1.as_u64() > Some(12),
        "main and the parked threads: {before:?}"
    );
    process.result("sample", 100);
    process.result("thread_churn", 10);
    assert_eq!(process.counts(), before);
    process.ends_at_end_of_file();
}

#[test]
fn sampling_process_refuses_an_unknown_method_and_goes_on() {
    let mut process = Process::start("sampling_process", None);
    let answer = process.answer(&json!({"id": 7, "method": "census"}));
    let message = "the methods are sample, thread_churn, resource_counts and metrics";
    let expected = json!({"id": 7, "ok": false, "error": {"code": "bad_request", "message": message}});
    assert_eq!(answer, expected);
    assert_eq!(process.result("sample", 1), json!({"count": 1}));
    process.ends_at_end_of_file();
}

#[cfg(feature = "fault-injection")]
#[test]
fn leaking_process_gains_what_its_fault_names() {
    let mut process = Process::start("leaking_process", Some("descriptor"));
    process.result("sample", 1);
    let (before, threads) = process.counts();
    process.result("sample", 20);
    let expected = (json!(before.as_u64().expect("counted") + 20), threads);
    assert_eq!(process.counts(), expected);
    process.ends_at_end_of_file();
}

#[cfg(feature = "fault-injection")]
#[test]
fn leaking_process_gains_nothing_without_a_fault() {
    let mut process = Process::start("leaking_process", None);
    process.result("sample", 1);
    let before = process.counts();
    process.result("sample", 20);
    assert_eq!(process.counts(), before);
    process.ends_at_end_of_file();
}

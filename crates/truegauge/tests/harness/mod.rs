//! Runs the harness itself as a child, in a private temporary root, and looks for what it leaves.
#![allow(dead_code, reason = "each file of tests uses its own part")]

pub(crate) mod formats;
pub(crate) mod skip;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Nothing here takes longer, however busy the machine: the first run builds the client.
const LIMIT: Duration = Duration::from_secs(1800);

/// Marks every process of a run.
const MARK: &str = "TRUEGAUGE_TEST_RUN";

/// The product.
pub(crate) const TRUEGAUGE: &str = env!("CARGO_BIN_EXE_truegauge");

pub(crate) struct Harness {
    child: Child,
    lines: Receiver<String>,
    stderr: String,
    out: TempDir,
    temp: TempDir,
    mark: String,
}

impl Harness {
    /// Starts `truegauge verify` with a directory of its own for results and for temporary files, on the binaries of this
    /// workspace where `args` name no others.
    pub(crate) fn start(args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::start_command(Command::new(TRUEGAUGE).arg("verify"), args, env)
    }

    /// Starts `truegauge soak` likewise.
    pub(crate) fn start_soak(args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::start_command(Command::new(TRUEGAUGE).arg("soak"), args, env)
    }

    /// Starts `truegauge soak` where no more than so many descriptors can be open.
    pub(crate) fn start_soak_with_descriptors(limit: u32, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut shell = Command::new("/bin/sh");
        let script = format!("ulimit -n {limit} && exec \"$0\" soak \"$@\"");
        let command = shell.args(["-c", &script, TRUEGAUGE]);
        Self::start_command(command, args, env)
    }

    fn start_command(command: &mut Command, args: &[&str], env: &[(&str, &str)]) -> Self {
        let out = tempfile::tempdir().expect("a directory");
        let temp = tempfile::tempdir().expect("a directory");
        let mark = out.path().display().to_string();
        let mut child = command
            .args(binaries(args))
            .args(args)
            .arg("--out")
            .arg(out.path())
            // What a test's runs come to is not what the workflow came to.
            .env_remove("GITHUB_ACTIONS")
            .envs(env.iter().copied())
            .env(MARK, &mark)
            .env("TMPDIR", temp.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the harness starts");
        let stderr = child.stderr.take().expect("piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self {
            child,
            lines,
            stderr: String::new(),
            out,
            temp,
            mark,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that contains `text`.
    pub(crate) fn await_line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let line = self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("no line with {text:?} in:\n{}", self.stderr));
            self.stderr.push_str(&line);
            self.stderr.push('\n');
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Waits until the harness names a child's pid.
    pub(crate) fn await_pid(&mut self, who: &str) -> u32 {
        let line = self.await_line(&format!("{who}: pid "));
        let digits = line
            .split("pid ")
            .nth(1)
            .and_then(|rest| rest.split(',').next())
            .expect("a pid");
        digits.parse().expect("a pid")
    }

    /// Waits for its end, and looks at its processes as they come and go.
    pub(crate) fn finish_watched(self) -> (Run, Seen) {
        let mark = self.mark.clone();
        let (stop, stopped) = channel::<()>();
        let watch = std::thread::spawn(move || {
            let mut seen = Seen::new();
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(Duration::from_millis(20)) {
                for dir in processes_of(&mark) {
                    for kind in ["cmdline", "environ"] {
                        let bytes = std::fs::read(dir.join(kind)).unwrap_or_default();
                        seen.insert(format!("{kind} of {}", dir.display()), bytes);
                    }
                }
            }
            seen
        });
        let run = self.finish();
        drop(stop);
        (run, watch.join().expect("it watched"))
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Run {
        let stdout = self.child.stdout.take().expect("piped");
        let stdout = std::io::read_to_string(stdout).expect("text");
        let status = self.child.wait().expect("waited");
        while let Ok(line) = self.lines.recv() {
            self.stderr.push_str(&line);
            self.stderr.push('\n');
        }
        let code = status.code().unwrap_or(-1);
        Run {
            code,
            stdout,
            stderr: self.stderr,
            out: self.out,
            temp: self.temp,
            mark: self.mark,
        }
    }
}

/// What anybody may see of a run's processes, by process and kind.
pub(crate) type Seen = BTreeMap<String, Vec<u8>>;

#[derive(Debug)]
pub(crate) struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    out: TempDir,
    temp: TempDir,
    mark: String,
}

impl Run {
    /// The run's own directory.
    pub(crate) fn dir(&self) -> PathBuf {
        let mut entries = std::fs::read_dir(self.out.path()).expect("listed");
        entries.next().expect("a run").expect("listed").path()
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        let text = std::fs::read_to_string(self.dir().join(name)).expect("readable");
        serde_json::from_str(&text).expect("JSON")
    }

    /// The command lines of processes of this run that are still there.
    pub(crate) fn left_running(&self) -> Vec<String> {
        processes_of(&self.mark)
            .into_iter()
            .map(|dir| {
                String::from_utf8_lossy(&std::fs::read(dir.join("cmdline")).unwrap_or_default()).into_owned()
            })
            .collect()
    }

    /// A killed harness cannot wait for its children's end: they end by themselves, soon.
    pub(crate) fn await_nothing_running(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.left_running().is_empty() {
            assert!(
                Instant::now() < deadline,
                "still running: {:?}",
                self.left_running()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What lies in the run's temporary root.
    pub(crate) fn left_in_temp(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.temp.path())
            .expect("listed")
            .flatten()
            .map(|entry| entry.path())
            .collect()
    }
}

/// Where /proc shows the processes of a run.
fn processes_of(mark: &str) -> Vec<PathBuf> {
    let mark = format!("{MARK}={mark}");
    let of_this_run = |dir: &PathBuf| {
        let environ = std::fs::read(dir.join("environ")).unwrap_or_default();
        environ
            .split(|byte| *byte == 0)
            .any(|variable| variable == mark.as_bytes())
    };
    let processes = std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .map(|entry| entry.path());
    processes.filter(of_this_run).collect()
}

/// The options that name this workspace's binaries, where `args` name no others.
fn binaries(args: &[&str]) -> Vec<String> {
    let mut options = Vec::new();
    let mut add = |option: &str, path: PathBuf| {
        if !args.contains(&option) {
            options.extend([option.to_owned(), path.display().to_string()]);
        }
    };
    if !args.contains(&"--profile") {
        add("--client-bin", client().into());
        add("--sampling-process", sampling_process());
        add("--leaking-process", leaking_process());
    }
    options
}

/// The example client that misbehaves on request.
pub(crate) fn misbehaving_client() -> String {
    let path = executable(&["--package", "truegauge", "--example", "misbehaving_client"]);
    path.display().to_string()
}

/// The client that leaks what `RUNTIME_METRICS_FAULT` names.
pub(crate) fn tampering_client() -> String {
    let arguments = ["--package", "headless-client", "--example", "tampering_client"];
    executable(&[&arguments[..], &["--features", "fault-injection"]].concat())
        .display()
        .to_string()
}

/// The client as everybody builds it.
pub(crate) fn client() -> String {
    let path = executable(&["--package", "headless-client", "--bin", "headless-client"]);
    path.display().to_string()
}

/// The client without SPICE, and its example whose reports are wrong.
pub(crate) fn small_client(kind: &str, name: &str) -> String {
    let path = executable(&["--package", "small-client", kind, name]);
    path.display().to_string()
}

pub(crate) fn sampling_process() -> PathBuf {
    executable(&["--package", "sampling-process", "--bin", "sampling_process"])
}

pub(crate) fn leaking_process() -> PathBuf {
    let arguments = ["--package", "sampling-process", "--bin", "leaking_process"];
    executable(&[&arguments[..], &["--features", "fault-injection"]].concat())
}

/// Builds one executable into the target directory of this test, and takes its path from cargo's messages. Each is built
/// once a test process.
fn executable(arguments: &[&str]) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let key = arguments.join(" ");
    if let Some(path) = built.get(&key) {
        return path.clone();
    }
    let test = std::env::current_exe().expect("a path");
    let target = test.ancestors().nth(3).expect("target/PROFILE/deps/test");
    let output = Command::new(std::env::var_os("CARGO").expect("set by cargo"))
        .args(["build", "--quiet", "--message-format=json-render-diagnostics"])
        .args(arguments)
        .arg("--target-dir")
        .arg(target)
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "cargo build {key}: {}", output.status);
    let messages = String::from_utf8(output.stdout).expect("JSON");
    let path = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
        .unwrap_or_else(|| panic!("cargo build {key} names no executable"));
    built.insert(key, path.clone());
    path
}

/// Exit code and everything said of `verify-report`.
pub(crate) fn verify_report(zips: &[&str]) -> (i32, String) {
    let output = Command::new(TRUEGAUGE)
        .arg("verify-report")
        .args(zips)
        .output()
        .expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

pub(crate) fn kill(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, signal).unwrap_or_else(|error| panic!("{signal:?} to {pid:?}: {error}"));
}

/// A synthetic source that asks for a password, and draws.
pub(crate) struct PasswordedServer {
    child: Child,
    pub(crate) port: u64,
}

impl PasswordedServer {
    pub(crate) fn start(password_file: &Path) -> Self {
        let mut child = Command::new(TRUEGAUGE)
            .args(["source", "--draws-per-second", "2000", "--password-file"])
            .arg(password_file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let listening: Value = serde_json::from_str(&line).expect("JSON");
        let port = listening["port"].as_u64().expect("a port");
        Self { child, port }
    }
}

impl Drop for PasswordedServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port where nobody listens.
pub(crate) fn unused_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

//! Runs the harness itself as a child, in a private temporary root, and looks for what it leaves.
#![allow(dead_code, reason = "each file of tests uses its own part")]

pub(crate) mod formats;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Nothing here takes longer, however busy the machine: the first run builds the client.
const LIMIT: Duration = Duration::from_secs(1800);

/// Marks every process of a run.
const MARK: &str = "TRUEGAUGE_TEST_RUN";

pub(crate) struct Harness {
    child: Child,
    lines: Receiver<String>,
    stderr: String,
    out: TempDir,
    temp: TempDir,
    mark: String,
}

impl Harness {
    /// Starts `xtask verify` with a directory of its own for results and for temporary files.
    pub(crate) fn start(args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::start_command(Command::new(env!("CARGO_BIN_EXE_xtask")).arg("verify"), args, env)
    }

    /// Starts `xtask soak` likewise.
    pub(crate) fn start_soak(args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::start_command(Command::new(env!("CARGO_BIN_EXE_xtask")).arg("soak"), args, env)
    }

    /// Starts `xtask soak` where no more than so many descriptors can be open.
    pub(crate) fn start_soak_with_descriptors(limit: u32, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut shell = Command::new("/bin/sh");
        let script = format!("ulimit -n {limit} && exec \"$0\" soak \"$@\"");
        let command = shell.args(["-c", &script, env!("CARGO_BIN_EXE_xtask")]);
        Self::start_command(command, args, env)
    }

    fn start_command(command: &mut Command, args: &[&str], env: &[(&str, &str)]) -> Self {
        let out = tempfile::tempdir().expect("a directory");
        let temp = tempfile::tempdir().expect("a directory");
        let mark = out.path().display().to_string();
        let mut child = command
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

/// The example of that name, built when cargo was asked for one test alone.
pub(crate) fn misbehaving_client() -> String {
    example("xtask", "misbehaving_client", &[])
}

/// The client that leaks what `RUNTIME_METRICS_FAULT` names.
pub(crate) fn leaky_client() -> String {
    example(
        "headless-client",
        "leaky_client",
        &["--features", "fault-injection"],
    )
}

/// The client as everybody builds it.
pub(crate) fn client() -> String {
    build(&["--package", "headless-client"])
        .join("headless-client")
        .display()
        .to_string()
}

/// The synthetic server as everybody builds it.
pub(crate) fn source() -> PathBuf {
    build(&["--package", "spice-source"]).join("spice-source")
}

/// Builds an example and says where it is.
fn example(package: &str, name: &str, features: &[&str]) -> String {
    let built = build(&[&["--package", package, "--example", name], features].concat());
    built.join("examples").join(name).display().to_string()
}

/// Builds into the directory that this test was built into, and returns where what was built lies.
fn build(args: &[&str]) -> PathBuf {
    let exe = std::env::current_exe().expect("a path");
    let profile = exe.parent().and_then(Path::parent).expect("target/PROFILE/deps");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet"]).args(args);
    build
        .arg("--target-dir")
        .arg(profile.parent().expect("target/PROFILE"));
    assert!(build.status().is_ok_and(|status| status.success()), "{build:?}");
    profile.to_owned()
}

/// Exit code and everything said of `verify-report`.
pub(crate) fn verify_report(zips: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
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

pub(crate) fn kill(pid: u32, signal: &str) {
    let status = Command::new("kill")
        .args([&format!("-{signal}"), &pid.to_string()])
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "kill -{signal} {pid}"
    );
}

/// A synthetic source that asks for a password, and draws.
pub(crate) struct PasswordedServer {
    child: Child,
    pub(crate) port: u64,
}

impl PasswordedServer {
    pub(crate) fn start(password_file: &Path) -> Self {
        let binary = build(&["--package", "spice-source"]).join("spice-source");
        let mut child = Command::new(binary)
            .args(["--draws-per-second", "2000", "--password-file"])
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

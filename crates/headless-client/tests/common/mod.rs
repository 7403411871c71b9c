//! A real client process, its control socket, and a synthetic server.

#![allow(dead_code, unreachable_pub)] // each test file is a crate of its own, and uses a part

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use spice_source::{Channel, Config, DrawRate, Event, GapError, Source};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Long enough for a machine that is busy with other things. No test waits for it to pass.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// A synthetic SPICE server in this process.
pub struct Server {
    runtime: Runtime,
    source: Source,
}

impl Server {
    pub fn start(config: Config) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let source = runtime.block_on(Source::bind(config)).unwrap();
        Self { runtime, source }
    }

    /// One that draws so often.
    pub fn drawing(draws_per_second: u32) -> Self {
        Self::start(Config {
            rate: DrawRate::try_from(draws_per_second).unwrap(),
            ..Config::default()
        })
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.source.port())
    }

    pub fn port(&self) -> u16 {
        self.source.port()
    }

    /// Waits for the next session to start. By then its client has long bound its control socket.
    pub fn await_session(&mut self) {
        let started = async {
            // A client that was killed while it connected shows as refused: what counts is the next session.
            while !matches!(
                self.source.next_event().await.expect("the source runs"),
                Event::SessionStarted { .. }
            ) {}
        };
        self.runtime
            .block_on(async { tokio::time::timeout(TIMEOUT, started).await })
            .expect("a session in time");
    }

    /// Sends a message that no client knows, once the client has opened that channel and has room for it.
    pub fn send_gap(&self, channel: Channel, opcode: u16) {
        let deadline = Instant::now() + TIMEOUT;
        while let Err(error @ (GapError::NotOpen(_) | GapError::Full(_))) =
            self.source.send_gap(channel, Some(opcode))
        {
            assert!(Instant::now() < deadline, "{error}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn shut_down(&mut self) {
        self.runtime.block_on(self.source.shutdown());
    }
}

/// A fresh directory for a client: its control socket and its reports.
pub struct Place {
    dir: TempDir,
}

impl Place {
    /// Under /tmp rather than `TMPDIR`, which on macOS is too long for sockets in it.
    pub fn new() -> Self {
        Self {
            dir: tempfile::Builder::new().prefix("hc").tempdir_in("/tmp").unwrap(),
        }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn socket(&self) -> PathBuf {
        self.path().join("s")
    }

    pub fn reports(&self) -> PathBuf {
        self.path().join("reports")
    }

    /// A client with everything in this place.
    pub fn client(&self, server: &[&str]) -> Client {
        let mut command = Command::new(env!("CARGO_BIN_EXE_headless-client"));
        command.args(server).arg("--exit-on-stdin-eof");
        command.arg("--control-socket").arg(self.socket());
        command.arg("--bug-report-dir").arg(self.reports());
        Client::spawn(command)
    }

    pub fn connect(&self) -> Control {
        let mut control = self.connect_mutely();
        control.call("hello", json!({"client_name": "test", "protocol_version": "1.0"}));
        control
    }

    /// Connects without saying hello.
    pub fn connect_mutely(&self) -> Control {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        Control {
            stream: BufReader::new(stream),
            last_id: 0,
        }
    }
}

/// A client process, which does not outlive this.
pub struct Client {
    pid: Pid,
    stdin: Option<ChildStdin>,
    ended: mpsc::Receiver<Ended>,
}

/// What is left of a client.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Client {
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        let stdin = child.stdin.take();
        let (sender, ended) = mpsc::channel();
        thread::spawn(move || sender.send(reap(child)));
        Self { pid, stdin, ended }
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid, signal).unwrap();
    }

    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits for the process to end.
    pub fn ended(&self) -> Ended {
        self.ended.recv_timeout(TIMEOUT).expect("the client ends in time")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Already reaped when the channel is closed; then the number may be another process's.
        if let Err(mpsc::TryRecvError::Empty) = self.ended.try_recv() {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
    }
}

fn reap(mut child: Child) -> Ended {
    let mut stdout = child.stdout.take().unwrap();
    let reading = thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).unwrap();
        text
    });
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    let status = child.wait().unwrap();
    Ended {
        status,
        stdout: reading.join().unwrap(),
        stderr,
    }
}

/// A conversation with a client.
pub struct Control {
    stream: BufReader<UnixStream>,
    last_id: u64,
}

impl Control {
    /// Asks, without waiting for the answer.
    pub fn ask(&mut self, method: &str, params: Value) {
        self.last_id += 1;
        let line = json!({"id": self.last_id, "method": method, "params": params}).to_string() + "\n";
        self.stream.get_mut().write_all(line.as_bytes()).unwrap();
    }

    /// The next answer.
    pub fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the client hung up: {line:?}");
        serde_json::from_str(&line).unwrap()
    }

    /// Whether the client has closed the connection, once it has.
    pub fn hung_up(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0) | Err(_))
    }

    /// Asks, and returns the whole answer.
    pub fn exchange(&mut self, method: &str, params: Value) -> Value {
        self.ask(method, params);
        let answer = self.answer();
        assert_eq!(answer["id"], self.last_id);
        answer
    }

    /// Asks for what must succeed, and returns the result.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        let mut answer = self.exchange(method, params);
        assert_eq!(answer["ok"], true, "{method}: {answer}");
        answer["result"].take()
    }

    /// Waits for the session's first surface.
    pub fn await_surface(&mut self) -> Value {
        let status = self.call("status", json!({"await_surface_ms": 60_000}));
        assert_ne!(status["surfaces"], json!([]), "a surface in time");
        status
    }
}

//! The program as the harness runs it: requests in, answers and events out, and an end in every way that is promised.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use shakenfist_spice_protocol::{ChannelType, ConnectionConfig, SpiceClient};

const PATIENCE: Duration = Duration::from_secs(60);

struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut child = command(arguments).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            stdout
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
        }
    }

    /// Starts it and takes its first line.
    fn listening(arguments: &[&str]) -> (Self, u16) {
        let program = Self::start(arguments);
        let first = program.next();
        assert_eq!(first["event"], "listening");
        let port = first["port"].as_u64().unwrap().try_into().unwrap();
        (program, port)
    }

    fn send(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(line.as_bytes()).unwrap();
        stdin.write_all(b"\n").unwrap();
    }

    fn next(&self) -> Value {
        serde_json::from_str(&self.lines.recv_timeout(PATIENCE).expect("a line of output")).unwrap()
    }

    fn ask(&mut self, request: &Value) -> Value {
        self.send(&request.to_string());
        self.next()
    }

    /// The rest of its output and its exit status, once it has ended.
    fn end(mut self) -> (Vec<String>, ExitStatus) {
        let mut rest = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => rest.push(line),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                Err(timeout) => panic!("the program does not end: {timeout}"),
            }
        }
        (rest, self.child.wait().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spice-source"));
    command.args(arguments).env_remove("RUST_LOG");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[test]
fn it_answers_requests_of_all_kinds() {
    let (mut program, _) = Program::listening(&["--draws-per-second", "7"]);
    let stats = program.ask(&json!({"id": 1, "method": "stats"}));
    assert_eq!((&stats["id"], &stats["ok"]), (&json!(1), &json!(true)));
    for (counter, value) in [
        ("sessions", 0),
        ("active_sessions", 0),
        ("draws_sent", 0),
        ("draws_per_second", 7),
    ] {
        assert_eq!(stats["result"][counter], json!(value), "{counter}");
    }
    let set = program.ask(&json!({"id": 2, "method": "set_rate", "params": {"draws_per_second": 250}}));
    assert_eq!(
        set,
        json!({"id": 2, "ok": true, "result": {"draws_per_second": 250}})
    );
    let stats = program.ask(&json!({"id": 3, "method": "stats", "params": {}}));
    assert_eq!(stats["result"]["draws_per_second"], 250);

    for (line, id, code) in [
        ("nonsense".to_owned(), Value::Null, "bad_request"),
        ("x".repeat(1 << 20), Value::Null, "line_too_long"),
        (
            r#"{"id":4,"method":"sing"}"#.to_owned(),
            json!(4),
            "unknown_method",
        ),
        (
            r#"{"id":5,"method":"set_rate","params":{"draws_per_second":100001}}"#.to_owned(),
            json!(5),
            "bad_params",
        ),
    ] {
        program.send(&line);
        let answer = program.next();
        assert_eq!(
            (&answer["ok"], &answer["id"], &answer["error"]["code"]),
            (&json!(false), &id, &json!(code))
        );
    }

    assert_eq!(
        program.ask(&json!({"id": 6, "method": "quit"})),
        json!({"id": 6, "ok": true, "result": {}})
    );
    let (rest, status) = program.end();
    assert_eq!((rest.len(), status.code()), (0, Some(0)));
}

#[test]
fn it_ends_at_the_end_of_its_standard_input() {
    let (mut program, port) = Program::listening(&[]);
    drop(program.stdin.take());
    assert_eq!(program.end().1.code(), Some(0));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn it_ends_on_signals_even_when_nobody_reads_what_it_says() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (program, _) = Program::listening(&[]);
        program.signal(signal);
        assert_eq!(program.end().1.code(), Some(0), "{signal}");

        let mut child = command(&[]).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0]).unwrap(); // It runs.
        let mut stdin = child.stdin.take().unwrap();
        let requests =
            std::thread::spawn(
                move || while stdin.write_all(b"{\"id\":1,\"method\":\"stats\"}\n").is_ok() {},
            );
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}, unread");
        requests.join().unwrap();
    }
}

#[test]
fn a_busy_port_is_an_error_of_the_environment() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    let output = command(&["--port", &port]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    assert!(
        message.contains(&format!("port {port} of 127.0.0.1 is in use")),
        "{message}"
    );
}

#[test]
fn what_cannot_be_served_is_an_error_of_usage() {
    for (arguments, part_of_message) in [
        (["--draws-per-second", "100001"], "0 (idle) to 100000"),
        (["--width", "63"], "64 to 8192"),
        (["--height", "9000"], "64 to 8192"),
        (["--port", "65536"], "65536"),
        (
            ["--password-file", "/nonexistent/password"],
            "/nonexistent/password",
        ),
        (["--password", "secret"], "--password"),
    ] {
        let output = command(&arguments).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(message.contains(part_of_message), "{arguments:?}: {message}");
    }
}

#[test]
fn sessions_are_told_and_the_password_is_not() {
    const PASSWORD: &str = "xyzzy-plugh";
    const WRONG: &str = "plover-egg";
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{PASSWORD}").unwrap();
    let (mut program, port) = Program::listening(&["-vv", "--password-file", file.path().to_str().unwrap()]);
    let mut stderr = program.child.stderr.take().unwrap();

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let link = |password: &str| {
        let password = Some(password.to_owned());
        let config = ConnectionConfig {
            host: "127.0.0.1".into(),
            port,
            password,
            ..Default::default()
        };
        let client = SpiceClient::new(config).unwrap();
        runtime.block_on(client.connect_channel(0, ChannelType::Main, 0))
    };
    assert!(link(WRONG).is_err());
    assert_eq!(
        program.next(),
        json!({"event": "refused", "reason": "wrong password"})
    );
    let main = link(PASSWORD).unwrap();
    assert_eq!(program.next(), json!({"event": "session_started", "session": 1}));
    drop(main);
    assert_eq!(
        program.next(),
        json!({"event": "session_ended", "session": 1, "reason": "client disconnected"})
    );
    let _second = link(PASSWORD).unwrap();
    assert_eq!(program.next(), json!({"event": "session_started", "session": 2}));

    #[cfg(target_os = "linux")]
    {
        let shown = |name: &str| {
            let path = format!("/proc/{}/{name}", program.child.id());
            String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
        };
        let limits = shown("limits");
        let core = limits.lines().find(|line| line.starts_with("Max core file size"));
        let soft = core.and_then(|line| line.split_whitespace().nth(4));
        assert!(matches!(soft, Some("0" | "1")), "no core dumps: {core:?}");
        for name in ["cmdline", "environ"] {
            assert!(!shown(name).contains(PASSWORD), "{name}");
        }
    }

    drop(program.stdin.take());
    let (rest, status) = program.end();
    assert_eq!(status.code(), Some(0));
    assert!(rest.len() == 1 && rest[0].contains("shutting down"), "{rest:?}");
    let mut log = String::new();
    stderr.read_to_string(&mut log).unwrap();
    assert!(log.contains("wrong password"), "the log tells of it: {log}");
    assert!(!log.contains(PASSWORD) && !log.contains(WRONG), "{log}");
}

#[test]
fn it_listens_on_the_loopback_interface_only() {
    let (_program, port) = Program::listening(&[]);
    // The same port of another loopback address is free, which it would not be under 0.0.0.0.
    if cfg!(target_os = "linux") {
        TcpListener::bind(("127.0.0.2", port)).unwrap();
    }
    TcpStream::connect(("127.0.0.1", port))
        .unwrap()
        .shutdown(Shutdown::Both)
        .unwrap();
}

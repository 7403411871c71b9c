//! A real SPICE server: QEMU, with a guest that redraws all the time.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::boot_sector;
use super::check_reachable;
use super::child::{ChildGuard, Output};
use super::events::{Events, Role};
use super::kill_on_parent_exit::KillOnParentExit;
use crate::core_dump;
use crate::error::RunError;
use crate::output::console::shown_path;

/// The program, found on PATH.
const PROGRAM: &str = "qemu-system-x86_64";

/// How long it may take to answer.
const LIMIT: Duration = Duration::from_secs(20);

/// How often its monitor is tried while it starts.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Fresh ports that are tried: another process may take one before QEMU does.
const PORTS_TRIED: u32 = 3;

/// A running QEMU. Fields end in order: the leash lets go before the child ends.
pub(super) struct Qemu {
    _leash: KillOnParentExit,
    _child: ChildGuard,
    monitor: BufReader<UnixStream>,
    port: u16,
    password: String,
    version: String,
}

impl Qemu {
    /// Starts it on a fresh port, and waits until it listens. `scratch` is a private directory with a short path.
    pub(super) fn start(scratch: &Path, log: &Path, events: &mut Events) -> Result<Self> {
        let disk = scratch.join("disk");
        std::fs::write(&disk, boot_sector::disk()).context("cannot write the guest's disk")?;
        core_dump::forbid()?;
        let password = random_password()?;
        let secret = scratch.join("password");
        std::fs::write(&secret, &password).context("cannot write the password")?;
        std::fs::set_permissions(&secret, Permissions::from_mode(0o600))?;
        for attempt in 1.. {
            match Self::try_start(scratch, log, &password, events) {
                Err(StartError {
                    cause: Cause::PortInUse,
                    ..
                }) if attempt < PORTS_TRIED => {}
                started => return started.map_err(|failed| failed.error.into()),
            }
        }
        unreachable!("the last attempt returns")
    }

    fn try_start(
        scratch: &Path,
        log: &Path,
        password: &str,
        events: &mut Events,
    ) -> Result<Self, StartError> {
        let port = fresh_port().map_err(|error| RunError::Environment(format!("no free port: {error}")))?;
        let socket = scratch.join("monitor");
        let _ = std::fs::remove_file(&socket);
        let inside = |name: &str| scratch.join(name).display().to_string();
        let mut command = Command::new(PROGRAM);
        command.args([
            "-machine",
            "q35,accel=tcg",
            "-m",
            "64",
            "-display",
            "none",
            "-vga",
            "qxl",
        ]);
        // Without a network card its firmware does not try to boot from one.
        command.args(["-no-user-config", "-nic", "none"]);
        // By file: what stands in the command line, everybody reads.
        command.args([
            "-object",
            &format!("secret,id=ticket,file={}", inside("password")),
        ]);
        command.args([
            "-spice",
            &format!("addr=127.0.0.1,port={port},password-secret=ticket"),
        ]);
        command.args([
            "-drive",
            &format!("file={},format=raw,snapshot=on", inside("disk")),
        ]);
        command.args(["-qmp", &format!("unix:{},server=on,wait=off", inside("monitor"))]);
        events.starting(&command);
        let child = ChildGuard::spawn(Role::Guest, command, Output::Log, Some(log), events)
            .map_err(|error| missing(&error))?;
        let leash =
            KillOnParentExit::on(child.pid()).map_err(|error| RunError::Environment(format!("{error:#}")))?;
        events.doing(&format!("qemu: pid {}, log {}", child.pid(), shown_path(log)));
        let (monitor, version) = greet(&socket, events).map_err(|stop| explain(stop, log))?;
        check_reachable(&format!("127.0.0.1:{port}")).map_err(|stop| explain(stop, log))?;
        Ok(Self {
            _leash: leash,
            _child: child,
            monitor,
            port,
            password: password.to_owned(),
            version,
        })
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(super) fn password(&self) -> &str {
        &self.password
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Lets the guest run and draw, or holds it.
    pub(super) fn run(&mut self, running: bool) -> Result<()> {
        self.ask(if running { "cont" } else { "stop" })
    }

    /// One command of QEMU's monitor (QMP: qemu.org, "QEMU Machine Protocol Specification").
    fn ask(&mut self, command: &str) -> Result<()> {
        let asked = writeln!(self.monitor.get_mut(), "{}", json!({"execute": command}));
        let answered = asked.map_err(anyhow::Error::from).and_then(|()| {
            loop {
                let answer = read_line(&mut self.monitor)?;
                if answer.get("return").is_some() {
                    return Ok(());
                }
                // Events come in between.
                anyhow::ensure!(answer.get("error").is_none(), "{answer}");
            }
        });
        answered.map_err(|error| {
            RunError::Environment(format!("QEMU did not obey `{command}`: {error:#}")).into()
        })
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // It does not mind the end of its standard input. Whatever comes of this, the child's guard ends it.
        let _ = self.ask("quit");
    }
}

/// Connects to the monitor as soon as it listens, and says what must be said first.
fn greet(socket: &Path, events: &mut Events) -> Result<(BufReader<UnixStream>, String), RunError> {
    let failed = |error: anyhow::Error| RunError::Environment(format!("QEMU's monitor: {error:#}"));
    let deadline = Instant::now() + LIMIT;
    let stream = loop {
        match UnixStream::connect(socket) {
            Ok(stream) => break stream,
            Err(error) if Instant::now() > deadline => {
                return Err(RunError::Environment(format!(
                    "QEMU did not open its monitor within {LIMIT:?}: {error}"
                )));
            }
            Err(_) => events.sleep(RETRY_INTERVAL)?,
        }
    };
    let _ = stream.set_read_timeout(Some(LIMIT));
    let mut monitor = BufReader::new(stream);
    let greeting = read_line(&mut monitor).map_err(failed)?;
    let number = |part: &str| greeting["QMP"]["version"]["qemu"][part].as_u64().unwrap_or(0);
    let version = format!("{}.{}.{}", number("major"), number("minor"), number("micro"));
    writeln!(monitor.get_mut(), "{}", json!({"execute": "qmp_capabilities"}))
        .map_err(|error| failed(error.into()))?;
    read_line(&mut monitor).map_err(failed)?;
    Ok((monitor, version))
}

fn read_line(monitor: &mut BufReader<UnixStream>) -> Result<Value> {
    let mut line = String::new();
    anyhow::ensure!(monitor.read_line(&mut line)? > 0, "it hung up");
    serde_json::from_str(&line).with_context(|| format!("no JSON: {line:?}"))
}

fn missing(error: &anyhow::Error) -> RunError {
    let absent = error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    RunError::Environment(if absent {
        format!(
            "there is no {PROGRAM} on PATH: `cargo xtask setup` installs it (Debian and Ubuntu: apt-get install \
             qemu-system-x86); without one, --source synthetic"
        )
    } else {
        format!("{error:#}")
    })
}

/// A QEMU that did not start.
#[derive(Debug)]
struct StartError {
    cause: Cause,
    error: RunError,
}

impl From<RunError> for StartError {
    fn from(error: RunError) -> Self {
        Self {
            cause: Cause::Other,
            error,
        }
    }
}

/// The reason in QEMU's own words: it has no other way to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    NoSpice,
    PortInUse,
    Other,
}

impl Cause {
    fn in_log(log: &str) -> Self {
        const NO_SPICE: [&str; 4] = [
            "invalid option",
            "no option group",
            "spice support is disabled",
            "Parameter 'type'",
        ];
        if NO_SPICE.iter().any(|words| log.contains(words)) {
            Self::NoSpice
        } else if log.contains("in use") {
            Self::PortInUse
        } else {
            Self::Other
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::NoSpice => {
                "this QEMU has no SPICE server: on newer Debian and Ubuntu install qemu-system-modules-spice; Homebrew's \
                 QEMU has none at all, use --source synthetic there"
            }
            Self::PortInUse => "its port is in use: run it again, or end what listens there",
            Self::Other => "its log has the rest",
        }
    }
}

/// Adds QEMU's own last words, which say more than its exit status, and the remedy.
fn explain(error: RunError, log: &Path) -> StartError {
    let RunError::Environment(what) = error else {
        return error.into();
    };
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let last = text
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or("nothing");
    let cause = Cause::in_log(&text);
    let remedy = cause.remedy();
    StartError {
        cause,
        error: RunError::Environment(format!("{what}; QEMU said: {last}; {remedy}")),
    }
}

/// A port that was free a moment ago.
fn fresh_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Of characters that need no quoting in a virt-viewer file.
fn random_password() -> Result<String> {
    use std::io::Read;
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("cannot read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_it_from_starting_is_told_with_a_remedy() {
        let dir = tempfile::tempdir().expect("a directory");
        let log = dir.path().join("qemu.log");
        for (said, remedy) in [
            ("qemu: -spice: invalid option\n", "qemu-system-modules-spice"),
            (
                "qemu: -spice port=1: There is no option group 'spice'\n",
                "qemu-system-modules-spice",
            ),
            (
                "failed to initialize spice server: Address already in use\n\n",
                "its port is in use",
            ),
            ("", "QEMU said: nothing"),
        ] {
            std::fs::write(&log, said).expect("written");
            let stop = explain(RunError::Environment("it ended".to_owned()), &log);
            let RunError::Environment(text) = stop.error else {
                panic!("{stop:?}")
            };
            assert!(text.contains(remedy) && text.starts_with("it ended"), "{text}");
        }
    }

    #[test]
    fn passwords_differ_and_need_no_quotes() {
        let (one, other) = (
            random_password().expect("one"),
            random_password().expect("another"),
        );
        assert_ne!(one, other);
        assert!(one.len() == 32 && one.chars().all(|c| c.is_ascii_alphanumeric()));
    }
}

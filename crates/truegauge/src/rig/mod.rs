//! Builds, launches and triggers; holds everything that must not outlive a run.

mod boot_sector;
mod child;
mod client;
mod connection_file;
mod control;
mod events;
mod folder;
mod leash;
mod qemu;
mod quiet;
mod scratch;
mod server;
mod source;

use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

pub(crate) use child::worded;
use child::{ChildGuard, Output};
pub(crate) use client::Client;
pub(crate) use events::Events;
use events::Role;
pub(crate) use folder::Filed;
pub(crate) use quiet::Quiet;
use scratch::ScratchDir;
pub(crate) use server::Load;
use server::Server;

use crate::exit::Stop;
use crate::observe::Observer;
use crate::plan::SourceChoice;
use crate::present::steps;
use crate::profile::{By, Places, Profile, Trigger};
use crate::workspace;

/// A build that takes longer hangs.
const BUILD: Duration = Duration::from_secs(3600);

/// A client that takes longer to tell its version hangs.
const TRIAL: Duration = Duration::from_secs(30);

/// Between the announcement of a child's end and its status.
const LAG: Duration = Duration::from_secs(1);

/// Lets children open as many descriptors as the system allows, or enough: a leak that runs out of them would be less
/// well measured. A limit that cannot be raised stays.
pub(crate) fn raise_descriptor_limit() {
    /// On macOS more than OPEN_MAX is refused (setrlimit(2)).
    const ENOUGH: u64 = if cfg!(target_os = "macos") { 10_240 } else { 65_536 };
    let limit = getrlimit(Resource::Nofile);
    let raised = limit.maximum.map_or(ENOUGH, |most| most.min(ENOUGH));
    if limit.current.is_some_and(|current| current < raised) {
        let limit = Rlimit {
            current: Some(raised),
            ..limit
        };
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// Builds packages and returns the directory that holds them.
pub(crate) fn build(packages: &[&str], events: &mut Events) -> Result<PathBuf> {
    let arguments: Vec<&str> = packages
        .iter()
        .flat_map(|package| ["--package", package])
        .collect();
    cargo_build(&arguments, events)
}

/// Builds the quiet process of the exact tier and its leaking twin: apart, because one has a feature that the other must
/// not have. Returns the directory that holds them.
pub(crate) fn build_quiet(events: &mut Events) -> Result<PathBuf> {
    let package = ["--package", "runtime-metrics"];
    cargo_build(&[&package[..], &["--example", "quiet"]].concat(), events)?;
    let leaky = ["--example", "leaky", "--features", "fault-injection"];
    let built = cargo_build(&[&package[..], &leaky].concat(), events)?;
    Ok(built.join("examples"))
}

/// Builds the client that lies and leaks on request.
pub(crate) fn build_leaky_client(events: &mut Events) -> Result<PathBuf> {
    let arguments = [
        "--package",
        "headless-client",
        "--example",
        "leaky_client",
        "--features",
        "fault-injection",
    ];
    Ok(cargo_build(&arguments, events)?.join("examples/leaky_client"))
}

/// Runs the harness itself to its end, what it says going to a log; `None` where it does not end within `limit`.
pub(crate) fn run_harness(
    command: Command,
    log: &Path,
    limit: Duration,
    events: &mut Events,
) -> Result<Option<ExitStatus>> {
    let mut child = ChildGuard::spawn(Role::Harness, command, Output::Log, Some(log), events.sender())?;
    Ok(run_to_end(&mut child, Role::Harness, limit, events)?)
}

/// Runs a fuzzer to its end, what it says going to a log; `None` where it does not end within `limit`.
pub(crate) fn run_fuzzer(
    command: Command,
    log: &Path,
    limit: Duration,
    events: &mut Events,
) -> Result<Option<ExitStatus>> {
    let mut child = ChildGuard::spawn(Role::Fuzzer, command, Output::Log, Some(log), events.sender())?;
    Ok(run_to_end(&mut child, Role::Fuzzer, limit, events)?)
}

fn cargo_build(arguments: &[&str], events: &mut Events) -> Result<PathBuf> {
    let mut command = Command::new(workspace::cargo());
    command.arg("build").current_dir(workspace::root());
    command.args(arguments);
    run_build(command, events)?;
    Ok(workspace::target_dir().join("debug"))
}

/// Runs a build to its end, which must be a good one.
pub(crate) fn run_build(command: Command, events: &mut Events) -> Result<()> {
    steps::running(&command);
    let mut build = ChildGuard::spawn(Role::Build, command, Output::Inherited, None, events.sender())?;
    match run_to_end(&mut build, Role::Build, BUILD, events)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(Stop::Environment(format!("the build ended with {}", worded(status))).into()),
        None => Err(Stop::Environment(format!("the build did not end within {BUILD:?}")).into()),
    }
}

fn run_to_end(
    child: &mut ChildGuard,
    role: Role,
    limit: Duration,
    events: &mut Events,
) -> Result<Option<ExitStatus>, Stop> {
    Ok(if events.ended(role, limit)? {
        child.wait(LAG)
    } else {
        None
    })
}

/// A fresh binary's first execution can wait seconds for malware checks (macOS): that must not be part of the judged
/// process's age, so it is run once before. Its answer tells a binary that is none, too.
fn try_out(binary: &Path, arguments: &[String], events: &mut Events) -> Result<()> {
    if arguments.is_empty() {
        return Ok(());
    }
    let shown = arguments.join(" ");
    let mut command = Command::new(binary);
    command.args(arguments);
    steps::running(&command);
    let mut trial = ChildGuard::spawn(Role::Trial, command, Output::Inherited, None, events.sender())?
        .end_by(events.deadline());
    match run_to_end(&mut trial, Role::Trial, TRIAL, events)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => {
            Err(Stop::Client(format!("the client's {shown} ended with {}", worded(status))).into())
        }
        None => Err(Stop::Client(format!("the client's {shown} did not end within {TRIAL:?}")).into()),
    }
}

/// A server that is not there is not the client's fault.
fn reach(address: &str) -> Result<(), Stop> {
    const LIMIT: Duration = Duration::from_secs(5);
    let connect = || {
        let address = address
            .to_socket_addrs()?
            .next()
            .ok_or(std::io::ErrorKind::NotFound)?;
        TcpStream::connect_timeout(&address, LIMIT).map(drop)
    };
    connect().map_err(|error| {
        Stop::Environment(format!(
            "cannot reach a SPICE server at {address}: {error}; is it running and listening there?"
        ))
    })
}

/// A client in a session, and the observer beside it. Fields end in order: the client before its source, and the
/// socket's directory last.
pub(crate) struct Rig {
    pub(crate) client: Client,
    pub(crate) observer: Observer,
    pub(crate) pid: u32,
    /// Where the session goes to; none where there is no session.
    pub(crate) target: Option<String>,
    profile: Profile,
    trigger: Trigger,
    server: Option<Server>,
    _scratch: ScratchDir,
}

/// What a rig is made of.
pub(crate) struct Parts<'a> {
    pub(crate) client_binary: &'a Path,
    pub(crate) source_binary: &'a Path,
    pub(crate) source: &'a SourceChoice,
    /// Where logs go, and the reports below it.
    pub(crate) dir: &'a Path,
}

impl Parts<'_> {
    pub(crate) fn client_log(&self) -> PathBuf {
        self.dir.join("client.log")
    }

    pub(crate) fn source_log(&self) -> PathBuf {
        self.dir.join("source.log")
    }
}

impl Rig {
    /// A session of our own client, triggered over its control socket.
    pub(crate) fn start(parts: &Parts<'_>, events: &mut Events) -> Result<Self> {
        let profile = Profile::own()?;
        let trigger = profile.trigger(None)?.clone();
        Self::start_client(parts, profile, trigger, events)
    }

    /// A session of any client that has a profile.
    pub(crate) fn start_client(
        parts: &Parts<'_>,
        profile: Profile,
        trigger: Trigger,
        events: &mut Events,
    ) -> Result<Self> {
        let scratch = ScratchDir::create()?;
        let reports = parts.dir.join("reports");
        std::fs::create_dir_all(&reports).with_context(|| format!("cannot create {}", reports.display()))?;
        let reports = reports.canonicalize()?;

        // What is to be seen of a session from outside, a server or proxy of ours sees.
        let seen_by_us = trigger.by == By::ProtocolGap || !profile.client.control_socket;
        let mut server = if profile.client.spice {
            Some(Server::start(parts, seen_by_us, scratch.path(), events)?)
        } else {
            None
        };
        let target = server.as_ref().map(Server::address);
        let places = Places {
            target: target.as_deref().unwrap_or_default(),
            vv: &scratch.path().join("session.vv"),
            socket: &scratch.path().join("control"),
            reports: &reports,
        };
        if let Some(server) = &server {
            connection_file::write(places.vv, places.target, server.password())?;
        }
        try_out(parts.client_binary, &profile.client.version, events)?;
        if let Some(target) = &target {
            steps::say(&format!("client: a session with {target}"));
        }
        let log = parts.client_log();
        let child = client::launch(parts.client_binary, &profile, &trigger, &places, &log, events)?;
        let pid = child.id();
        steps::say(&format!("client: pid {pid}, log {}", workspace::shown(&log)));
        let observer = Observer::watch(pid);
        let source = server.as_mut().and_then(Server::observed);
        let client = Client::connect(child, &profile, &places, source, events)?;
        let mut rig = Self {
            client,
            observer: observer?,
            pid,
            target,
            profile,
            trigger,
            server,
            _scratch: scratch,
        };
        rig.set_rate(0, events)?;
        Ok(rig)
    }

    /// Triggers one bug report and waits for its zip.
    pub(crate) fn file_report(&mut self, window: Duration, events: &mut Events) -> Result<Filed> {
        let source = self.server.as_mut().and_then(Server::observed);
        self.client
            .file_report(&self.profile, &self.trigger, source, window, events)
    }

    /// Asks the client to end, before its server does.
    pub(crate) fn quit(self, events: &mut Events) -> Result<(), Stop> {
        self.client.quit(&self.profile, events)
    }

    /// Ends everything at once, whatever state it is in.
    pub(crate) fn kill(mut self) {
        self.client.kill();
        if let Some(server) = &mut self.server {
            server.kill();
        }
    }

    /// What the session is held with, as the evidence has it.
    pub(crate) fn describe_source(&self) -> Value {
        self.server
            .as_ref()
            .map_or_else(|| json!({"kind": "none"}), Server::describe)
    }

    /// Asks for so many draws a second, or for the nearest thing that there is.
    pub(crate) fn set_rate(&mut self, draws_per_second: u32, events: &mut Events) -> Result<Load> {
        match (&mut self.server, &self.profile.load) {
            (Some(server), _) => server.set_rate(draws_per_second, events),
            (None, Some(load)) => {
                let script = if draws_per_second > 0 { &load.on } else { &load.off };
                self.client.shell(script).map(|()| Load::Switched)
            }
            (None, None) => Ok(Load::Theirs),
        }
    }
}

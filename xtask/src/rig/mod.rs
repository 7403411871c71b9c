//! Builds, launches and triggers; holds everything that must not outlive a run.

mod child;
mod client;
mod control;
mod events;
mod quiet;
mod scratch;
mod source;

use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use child::{ChildGuard, Output, worded};
pub(crate) use client::{Client, Filed};
pub(crate) use events::Events;
use events::Role;
pub(crate) use quiet::Quiet;
use scratch::ScratchDir;
use source::{SURFACE, Source};

use crate::exit::Stop;
use crate::observe::Observer;
use crate::plan::SourceChoice;
use crate::present::steps;
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

fn cargo_build(arguments: &[&str], events: &mut Events) -> Result<PathBuf> {
    let mut command = Command::new(workspace::cargo());
    command.arg("build").current_dir(workspace::root());
    command.args(arguments);
    steps::running(&command);
    let mut build = ChildGuard::spawn(Role::Build, command, Output::Inherited, None, events.sender())?;
    match run_to_end(&mut build, Role::Build, BUILD, events)? {
        Some(status) if status.success() => Ok(workspace::target_dir().join("debug")),
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
fn try_out(binary: &Path, events: &mut Events) -> Result<()> {
    let mut command = Command::new(binary);
    command.arg("--version");
    steps::running(&command);
    let mut trial = ChildGuard::spawn(Role::Trial, command, Output::Inherited, None, events.sender())?
        .end_by(events.deadline());
    match run_to_end(&mut trial, Role::Trial, TRIAL, events)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => {
            Err(Stop::Client(format!("the client's --version ended with {}", worded(status))).into())
        }
        None => Err(Stop::Client(format!("the client's --version did not end within {TRIAL:?}")).into()),
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
    pub(crate) target: String,
    source: Option<Source>,
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
    pub(crate) fn start(parts: &Parts<'_>, events: &mut Events) -> Result<Self> {
        let scratch = ScratchDir::create()?;
        let socket = scratch.path().join("control");
        let reports = parts.dir.join("reports");
        std::fs::create_dir_all(&reports).with_context(|| format!("cannot create {}", reports.display()))?;

        let source = match parts.source {
            SourceChoice::Synthetic => Some(Source::start(parts.source_binary, &parts.source_log(), events)?),
            SourceChoice::Address(address) => {
                reach(address)?;
                None
            }
        };
        let target = match (&source, parts.source) {
            (Some(source), _) => source.address(),
            (None, SourceChoice::Address(address)) => address.clone(),
            (None, SourceChoice::Synthetic) => unreachable!("started above"),
        };
        steps::say(&format!("client: a session with {target}"));
        try_out(parts.client_binary, events)?;
        let log = parts.client_log();
        let child = client::launch(parts.client_binary, &target, &socket, &reports, &log, events)?;
        let pid = child.id();
        steps::say(&format!("client: pid {pid}, log {}", workspace::shown(&log)));
        let observer = Observer::watch(pid);
        let client = Client::connect(child, &socket, &reports, events)?;
        Ok(Self {
            client,
            observer: observer?,
            pid,
            target,
            source,
            _scratch: scratch,
        })
    }

    /// Ends everything at once, whatever state it is in.
    pub(crate) fn kill(mut self) {
        self.client.kill();
        if let Some(source) = &mut self.source {
            source.kill();
        }
    }

    /// The surface that the source shows, where we know it.
    pub(crate) fn surface(&self) -> Option<(u32, u32)> {
        self.source.as_ref().map(|_| SURFACE)
    }

    /// Asks the source for a draw rate; `false` where it is not ours to ask.
    pub(crate) fn set_rate(&mut self, draws_per_second: u32, events: &mut Events) -> Result<bool> {
        match &mut self.source {
            Some(source) => source.set_rate(draws_per_second, events).map(|()| true),
            None => Ok(false),
        }
    }
}

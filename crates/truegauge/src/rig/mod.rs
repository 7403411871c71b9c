//! Builds, launches and triggers; holds everything that must not outlive a run.

mod boot_sector;
mod child;
mod client;
mod connection_file;
mod control;
mod events;
mod kill_on_parent_exit;
mod machine;
mod qemu;
mod report_dir;
mod sampling_process;
mod scratch;
mod server;
mod source;

use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

pub(crate) use child::describe_status;
use child::{ChildGuard, Output};
pub(crate) use client::Client;
pub(crate) use events::Events;
use events::Role;
pub(crate) use machine::{blame, check_run_dir, prepare_limits};
pub(crate) use report_dir::FiledReport;
pub(crate) use sampling_process::SamplingProcess;
pub(crate) use scratch::ScratchDir;
pub(crate) use server::Load;
use server::Server;

use crate::error::RunError;
use crate::observe::{self, CLOCK_INTERVAL, Watch};
use crate::output::console::shown_path;
use crate::profile::{Action, Placeholders, Profile, SignalName, Trigger};
use crate::source::SourceChoice;

/// A program that takes longer to tell its version hangs. On macOS a new binary's first execution can wait for a malware scan.
const FIRST_EXECUTION_TIMEOUT: Duration = Duration::from_secs(60);

/// Between the announcement of a child's end and its status.
const STATUS_TIMEOUT: Duration = Duration::from_secs(1);

fn run_to_end(
    child: &mut ChildGuard,
    limit: Duration,
    events: &mut Events,
) -> Result<Option<ExitStatus>, RunError> {
    Ok(if events.wait_for_exit(child.id(), limit)? {
        child.wait(STATUS_TIMEOUT)
    } else {
        None
    })
}

/// Runs `client --version` once before the measured run, and returns its first line. On macOS a new binary's first launch
/// can wait seconds for a malware scan, which would distort the uptime check. It also catches a path that is not a program.
fn client_version(
    binary: &Path,
    arguments: &[String],
    log: &Path,
    events: &mut Events,
) -> Result<Option<String>, RunError> {
    if arguments.is_empty() {
        return Ok(None);
    }
    let mut command = Command::new(binary);
    command.args(arguments);
    first_execution(command, log, events).map_err(|error| match error {
        RunError::Client(why) => RunError::Client(format!("the client's {} {why}", arguments.join(" "))),
        other => other,
    })?;
    let output = std::fs::read(log).unwrap_or_default();
    let output = String::from_utf8_lossy(&output);
    Ok(output.lines().next().map(str::to_owned))
}

/// Runs a command that ends by itself, and awaits its success.
///
/// # Errors
/// If it does not start, does not end in time, or ends with a failure.
pub(crate) fn first_execution(command: Command, log: &Path, events: &mut Events) -> Result<(), RunError> {
    events.starting(&command);
    let mut trial = ChildGuard::spawn(Role::Trial, command, Output::Log, Some(log), events)
        .map_err(|error| RunError::Environment(format!("{error:#}")))?;
    match run_to_end(&mut trial, FIRST_EXECUTION_TIMEOUT, events)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(RunError::Client(format!(
            "ended with {}",
            describe_status(status)
        ))),
        None => Err(RunError::Client(format!(
            "did not end within {FIRST_EXECUTION_TIMEOUT:?}"
        ))),
    }
}

/// A server that is not there is not the client's fault.
fn check_reachable(address: &str) -> Result<(), RunError> {
    const LIMIT: Duration = Duration::from_secs(5);
    let connect = || {
        let address = address
            .to_socket_addrs()?
            .next()
            .ok_or(std::io::ErrorKind::NotFound)?;
        TcpStream::connect_timeout(&address, LIMIT).map(drop)
    };
    connect().map_err(|error| {
        RunError::Environment(format!(
            "cannot reach a SPICE server at {address}: {error}; is it running and listening there?"
        ))
    })
}

/// A client in a session, and the observer beside it. Fields end in order: the client before its source, and the
/// socket's directory last.
pub(crate) struct Rig {
    pub(crate) client: Client,
    followed: Option<FollowedProcess>,
    pub(crate) observer: Watch,
    /// The observed process: the one that was started, or the descendant of it that files the reports.
    pub(crate) pid: u32,
    /// The first line that the client's `--version` prints, where it has such an option.
    pub(crate) version: Option<String>,
    /// Where the session goes to; none where there is no session.
    pub(crate) target: Option<String>,
    profile: Profile,
    trigger: Trigger,
    server: Option<Server>,
    _scratch: ScratchDir,
}

/// A descendant of a wrapper, which may have left the wrapper's process group. Killed when dropped, if it is still there.
struct FollowedProcess {
    pid: u32,
    started_ns: u64,
}

impl Drop for FollowedProcess {
    fn drop(&mut self) {
        // Start times as the kernel counts them are clock ticks at best; another process of this pid started much later.
        const SAME_START_NS: u64 = 1_000_000_000;
        let same = observe::started_ns(self.pid)
            .is_some_and(|started_ns| started_ns.abs_diff(self.started_ns) < SAME_START_NS);
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let (true, Some(pid)) = (same, pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// What a rig is made of.
pub(crate) struct SessionConfig<'a> {
    pub(crate) client_binary: &'a Path,
    pub(crate) source_binary: &'a Path,
    pub(crate) source: &'a SourceChoice,
    /// Where logs go, and the reports below it.
    pub(crate) dir: &'a Path,
}

impl SessionConfig<'_> {
    pub(crate) fn client_log(&self) -> PathBuf {
        self.dir.join("client.log")
    }

    pub(crate) fn source_log(&self) -> PathBuf {
        self.dir.join("source.log")
    }
}

impl Rig {
    /// A session of our own client, triggered over its control socket.
    pub(crate) fn start(parts: &SessionConfig<'_>, events: &mut Events) -> Result<Self> {
        let profile = Profile::own()?;
        let trigger = profile.trigger(None)?.clone();
        Self::start_client(parts, profile, trigger, events)
    }

    /// A session of any client that has a profile.
    pub(crate) fn start_client(
        parts: &SessionConfig<'_>,
        profile: Profile,
        trigger: Trigger,
        events: &mut Events,
    ) -> Result<Self> {
        let scratch = ScratchDir::create()?;
        let reports = parts.dir.join("reports");
        std::fs::create_dir_all(&reports).with_context(|| format!("cannot create {}", reports.display()))?;
        let reports = reports.canonicalize()?;

        // What is to be seen of a session from outside, a server or proxy of ours sees.
        let seen_by_us =
            matches!(trigger.action, Action::ProtocolGap { .. }) || !profile.client.control_socket;
        let mut server = if profile.client.spice {
            Some(Server::start(parts, seen_by_us, scratch.path(), events)?)
        } else {
            None
        };
        let target = server.as_ref().map(Server::address);
        let places = Placeholders {
            target: target.as_deref().unwrap_or_default(),
            vv: &scratch.path().join("session.vv"),
            socket: &scratch.path().join("control"),
            reports: &reports,
        };
        if let Some(server) = &server {
            connection_file::write(places.vv, places.target, server.password())?;
        }
        let version_log = parts.dir.join("client-version.log");
        let version = client_version(parts.client_binary, &profile.client.version, &version_log, events)?;
        if let Some(target) = &target {
            events.doing(&format!("client: a session with {target}"));
        }
        let log = parts.client_log();
        events.client_starts();
        let child = client::launch(parts.client_binary, &profile, &trigger, &places, &log, events)?;
        let pid = child.pid();
        events.doing(&format!("client: pid {pid}, log {}", shown_path(&log)));
        let observer = Watch::begin(pid).map_err(|error| RunError::Environment(format!("{error:#}")));
        let source = server.as_mut().and_then(Server::observed);
        let hint = match parts.source {
            SourceChoice::Address { .. } => "; a password is given with --password-file",
            SourceChoice::Synthetic | SourceChoice::Qemu => "",
        };
        let client = Client::connect(child, &profile, &places, source, events)
            .map_err(|stop| client::no_session(stop, &profile, &log, hint))?;
        events.client_is_ready();
        let observer = observer?;
        if let Some(errors) = observer.errors() {
            events.doing(&format!("the observer cannot read everything: {errors}"));
        }
        let own_pid = client.own_pid();
        let mut rig = Self {
            client,
            followed: None,
            observer,
            pid,
            version,
            target,
            profile,
            trigger,
            server,
            _scratch: scratch,
        };
        if let Some(own_pid) = own_pid {
            rig.follow(own_pid, events)?;
        }
        if let Action::Signal(signal) = rig.trigger.action {
            rig.follow_handler(signal, events)?;
        }
        rig.set_rate(0, events)?;
        Ok(rig)
    }

    /// Observes the process that calls itself `own_pid`, if that is a descendant of the one that was started and not this
    /// itself: the started program is a wrapper. Returns whether the observed process is another one now.
    pub(crate) fn follow(&mut self, own_pid: u32, events: &mut Events) -> Result<bool> {
        if own_pid == self.observer.own_pid() {
            return Ok(false);
        }
        let Some(pid) = observe::descendant(self.pid, own_pid) else {
            // Another process's report is for test 6 to judge.
            return Ok(false);
        };
        self.observe_descendant(pid, events)?;
        Ok(true)
    }

    /// Observes the descendant that handles the trigger's signal, if the process that was started does not: most signals would
    /// end a wrapper.
    fn follow_handler(&mut self, signal: SignalName, events: &mut Events) -> Result<()> {
        let Some(handlers) = observe::handlers(self.pid, signal.into()) else {
            return Ok(());
        };
        match (handlers.process, handlers.descendants.as_slice()) {
            (true, _) => Ok(()),
            (false, [client]) => self.observe_descendant(*client, events),
            // A client that does not handle the signal is judged by what it does then.
            (false, []) if handlers.other_descendants.is_empty() => Ok(()),
            (false, several) => Err(RunError::Environment(format!(
                "the trigger is SIG{}, which the process that was started ({}) does not handle and {} of its \
                 descendants do: have the wrapper `exec` the client, or name the client itself with --client-bin",
                format!("{signal:?}").to_uppercase(),
                self.pid,
                several.len()
            ))
            .into()),
        }
    }

    fn observe_descendant(&mut self, pid: u32, events: &mut Events) -> Result<()> {
        events.doing(&format!(
            "the process that files reports ({pid}) is a child of the one that was started ({}): it is observed from now on",
            self.pid
        ));
        let observer = Watch::begin(pid).map_err(|error| RunError::Environment(format!("{error:#}")))?;
        self.followed = Some(FollowedProcess {
            pid,
            started_ns: observer.started_ns(),
        });
        self.observer = observer;
        self.client.follow(pid);
        self.pid = pid;
        Ok(())
    }

    /// Triggers one bug report and waits for its zip.
    pub(crate) fn file_report(&mut self, window: Duration, events: &mut Events) -> Result<FiledReport> {
        let source = self.server.as_mut().and_then(Server::observed);
        self.observer.expect_window(window);
        let filed = self
            .client
            .file_report(&self.profile, &self.trigger, source, window, events);
        self.observer.expect_nothing();
        filed
    }

    /// Asks the client to end, before its server does.
    pub(crate) fn quit(self, events: &mut Events) -> Result<(), RunError> {
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

    /// Waits until the observer has read everything once more after a moment: windows are cut out between readings.
    pub(crate) fn await_observer(&self, moment_ns: u64, events: &mut Events) -> Result<()> {
        const LIMIT: Duration = Duration::from_secs(5);
        let deadline = Instant::now() + LIMIT;
        while !self.observer.has_passed(moment_ns) {
            events.sleep(CLOCK_INTERVAL)?;
            if Instant::now() > deadline {
                let errors = self.observer.errors();
                let errors = errors.unwrap_or_else(|| "no reading failed".to_owned());
                return Err(RunError::Environment(format!(
                    "the observer has read nothing for {LIMIT:?}: {errors}"
                ))
                .into());
            }
        }
        Ok(())
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

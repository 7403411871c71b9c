//! The client under test, driven as a process.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::child::{ChildGuard, Output, describe_status};
use super::control::Control;
use super::events::{Events, Role};
use super::kill_on_parent_exit::KillOnParentExit;
use super::report_dir::{FiledReport, ReportDir};
use super::source::Source;
use crate::error::RunError;
use crate::observe::monotonic_ns;
use crate::output::format::plain;
use crate::profile::{Action, Placeholders, Profile, SignalName, Stop, Trigger};

/// How long the client may take to open its control socket.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// How long its session may take to show a surface.
const SURFACE_TIMEOUT: Duration = Duration::from_secs(15);

/// How often its session is looked at from outside until then.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How long a report may take beyond its window.
const FILING_TIMEOUT: Duration = Duration::from_secs(20);

/// A client with a session.
pub(crate) struct Client {
    // In this order: the connection closes, and the leash lets go, before the process ends.
    control: Option<Control>,
    _leash: KillOnParentExit,
    child: ChildGuard,
    reports: ReportDir,
    /// The process that files the reports: the child, or a descendant of a child that is a wrapper.
    pid: u32,
}

/// Starts a client; its session is still to come.
pub(super) fn launch(
    binary: &Path,
    profile: &Profile,
    trigger: &Trigger,
    places: &Placeholders<'_>,
    log: &Path,
    events: &mut Events,
) -> Result<ChildGuard, RunError> {
    let mut command = Command::new(binary);
    command.args(profile.arguments(trigger, places));
    command.envs(&profile.client.env);
    ChildGuard::spawn(Role::Client, command, Output::Log, Some(log), events)
        .map_err(|error| RunError::Environment(format!("{error:#}")))
}

impl Client {
    /// Waits until the session shows a surface, or a client without one can be triggered. `source` is the server or proxy
    /// of ours that sees the session.
    pub(super) fn connect(
        mut child: ChildGuard,
        profile: &Profile,
        places: &Placeholders<'_>,
        source: Option<&mut Source>,
        events: &mut Events,
    ) -> Result<Self, NoSession> {
        let leash = KillOnParentExit::on(child.pid()).map_err(NoSession::of)?;
        let shown = match (profile.client.control_socket, source) {
            (true, _) => surface_by_control(places.socket, events).map(Some),
            (false, Some(source)) => surface_from_outside(source, events).map(|()| None),
            (false, None) => Ok(None),
        };
        let ready = shown.and_then(|control| {
            if let Some(file) = profile.ready_file(places) {
                await_file(&file, events)?;
            }
            Ok(control)
        });
        match ready {
            Ok(control) => Ok(Self {
                control,
                _leash: leash,
                pid: child.pid(),
                child,
                reports: ReportDir::new(places.reports),
            }),
            Err(stop) => {
                let status = child.wait(Duration::from_millis(500));
                let status = status.and_then(|status| status.code());
                Err(NoSession {
                    stop: stop.into(),
                    status,
                })
            }
        }
    }

    /// Triggers one bug report and waits for its zip.
    pub(super) fn file_report(
        &mut self,
        profile: &Profile,
        trigger: &Trigger,
        source: Option<&mut Source>,
        window: Duration,
        events: &mut Events,
    ) -> Result<FiledReport> {
        match &trigger.action {
            Action::ControlSocket => return self.ask_for_report(window, events),
            Action::Interval { seconds } => {
                let limit = window + FILING_TIMEOUT + Duration::from_secs((*seconds).into());
                return self.next_of_interval(profile, trigger, limit, events);
            }
            Action::ProtocolGap { .. } | Action::Signal(_) | Action::Command(_) => {}
        }
        let limit = window + FILING_TIMEOUT;
        let before = self.reports.zips("*.zip")?;
        let triggered_ns = monotonic_ns();
        let opcode = self.fire_trigger(trigger, source, events)?;
        let names = profile.names(trigger, opcode);
        self.reports.await_new(
            &names,
            &before,
            profile.reports.whole,
            triggered_ns,
            limit,
            events,
        )
    }

    /// Fires the trigger; returns the number of the gap, where that is it.
    fn fire_trigger(
        &self,
        trigger: &Trigger,
        source: Option<&mut Source>,
        events: &mut Events,
    ) -> Result<Option<u64>> {
        match &trigger.action {
            Action::ProtocolGap { channel } => {
                let source = source.context("a protocol gap needs a server or proxy of this program")?;
                source.send_gap(channel, events).map(Some)
            }
            Action::Signal(signal) => self.signal(*signal).map(|()| None),
            Action::Command(command) => self.shell(command).map(|()| None),
            Action::ControlSocket | Action::Interval { .. } => Ok(None),
        }
    }

    /// The report after the next one: that one's sampling may have begun already.
    fn next_of_interval(
        &self,
        profile: &Profile,
        trigger: &Trigger,
        limit: Duration,
        events: &mut Events,
    ) -> Result<FiledReport> {
        let names = profile.names(trigger, None);
        let whole = profile.reports.whole;
        let mut before = self.reports.zips(&names)?;
        let first = self
            .reports
            .await_new(&names, &before, whole, monotonic_ns(), limit, events)?;
        before.insert(first.path);
        self.reports
            .await_new(&names, &before, whole, first.appeared_ns, limit, events)
    }

    fn ask_for_report(&mut self, window: Duration, events: &mut Events) -> Result<FiledReport> {
        let before = self.zips()?;
        let triggered_ns = monotonic_ns();
        let params = json!({"window_ms": window.as_millis() as u64});
        let answer = self.request("bug_report", params, window, events)?;
        let appeared_ns = monotonic_ns();
        let named = answer["path"].as_str().unwrap_or_default().to_owned();
        let mut new = self.zips()?.into_iter().filter(|zip| !before.contains(zip));
        let fault = |what: String| RunError::Client(format!("one trigger must bring one zip: {what}"));
        let Some(path) = new.next() else {
            return Err(fault(format!(
                "none appeared in {} (the client says {named:?})",
                self.reports.path().display()
            ))
            .into());
        };
        if let Some(second) = new.next() {
            return Err(fault(format!(
                "both {} and {} appeared",
                path.display(),
                second.display()
            ))
            .into());
        }
        if Path::new(&named).file_name() != path.file_name() {
            return Err(fault(format!(
                "{} appeared, but the client says {named:?}",
                path.display()
            ))
            .into());
        }
        Ok(FiledReport {
            path,
            triggered_ns,
            appeared_ns,
        })
    }

    fn zips(&self) -> Result<BTreeSet<PathBuf>> {
        self.reports.zips("*.zip")
    }

    /// Asks for anything that the control socket offers, which takes so long.
    pub(crate) fn request(
        &mut self,
        method: &str,
        params: Value,
        work: Duration,
        events: &mut Events,
    ) -> Result<Value, RunError> {
        let control = self.control.as_mut().ok_or_else(|| {
            RunError::Environment(format!(
                "`{method}` is asked for over our control protocol, which this client does not speak"
            ))
        })?;
        control.request(method, params, work, events)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Signals go to this descendant of the child from now on.
    pub(super) fn follow(&mut self, pid: u32) {
        self.pid = pid;
    }

    /// The pid that the client gives itself on its control socket.
    pub(super) fn own_pid(&self) -> Option<u32> {
        self.control.as_ref().and_then(Control::own_pid)
    }

    /// Runs a shell command that may look for `CLIENT_PID` and `REPORTS`.
    pub(super) fn shell(&self, script: &str) -> Result<()> {
        let status = Command::new("/bin/sh")
            .args(["-c", script])
            .env("CLIENT_PID", self.pid().to_string())
            .env("REPORTS", self.reports.path())
            .stdin(std::process::Stdio::null())
            .status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(RunError::Environment(format!(
                "the profile's command {script:?} ended with {}",
                describe_status(status)
            ))
            .into()),
            Err(error) => Err(RunError::Environment(format!("cannot start /bin/sh: {error}")).into()),
        }
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill();
    }

    /// Asks the client to end, and does not take no for an answer. How it ends is judged where it promised to quit.
    pub(super) fn quit(mut self, profile: &Profile, events: &mut Events) -> Result<(), RunError> {
        match profile.stop {
            Stop::Signal(signal) => {
                // A client that is gone already has ended, too.
                let _ = self.signal(signal);
                self.child.end();
                return Ok(());
            }
            Stop::Stdin => {
                self.child.end();
                return Ok(());
            }
            Stop::ControlSocket => {}
        }
        let answer: Result<Value, RunError> = self.request("quit", json!({}), Duration::ZERO, events);
        drop(self.control);
        match (answer, self.child.end()) {
            (_, Some(status)) if status.success() => Ok(()),
            (Err(stop), _) => Err(stop),
            (_, status) => {
                let status = status.map_or_else(|| "an unknown status".to_owned(), describe_status);
                Err(RunError::Client(format!(
                    "the client was asked to quit and ended with {status}"
                )))
            }
        }
    }

    fn signal(&self, signal: SignalName) -> Result<()> {
        let signal = Signal::from(signal);
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        let pid = pid.expect("a child has a pid");
        kill_process(pid, signal).map_err(|error| {
            RunError::Client(format!("the client cannot be sent {signal:?}: {error}")).into()
        })
    }
}

impl From<SignalName> for Signal {
    fn from(name: SignalName) -> Self {
        match name {
            SignalName::Usr1 => Self::USR1,
            SignalName::Usr2 => Self::USR2,
            SignalName::Hup => Self::HUP,
            SignalName::Int => Self::INT,
            SignalName::Term => Self::TERM,
        }
    }
}

fn surface_by_control(socket: &Path, events: &mut Events) -> Result<Control, RunError> {
    let mut control = Control::connect(socket, START_TIMEOUT, events)?;
    let params = json!({"await_surface_ms": SURFACE_TIMEOUT.as_millis() as u64});
    let status = control.request("status", params, SURFACE_TIMEOUT, events)?;
    if status["surfaces"].as_array().is_none_or(Vec::is_empty) {
        return Err(no_surface(&format!("it says {status}")));
    }
    Ok(control)
}

/// A session whose display channel is open is shown its surface at once.
fn surface_from_outside(source: &mut Source, events: &mut Events) -> Result<(), RunError> {
    let deadline = Instant::now() + SURFACE_TIMEOUT;
    loop {
        let shows = source
            .shows_display(events)
            .map_err(|error| match error.downcast() {
                Ok(stop) => stop,
                Err(other) => RunError::Environment(format!("{other:#}")),
            })?;
        if shows {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(no_surface("its display channel was never opened"));
        }
        events.sleep(POLL_INTERVAL)?;
    }
}

/// Without a surface there is nothing to judge, and most often it is the server's or the command line's doing.
fn no_surface(what: &str) -> RunError {
    RunError::Environment(format!(
        "the client's session showed no surface within {SURFACE_TIMEOUT:?}: {what}; does the server show one to another client? \
         The client's log may say more"
    ))
}

fn await_file(file: &Path, events: &mut Events) -> Result<(), RunError> {
    let deadline = Instant::now() + START_TIMEOUT;
    while !file.exists() {
        if Instant::now() > deadline {
            return Err(RunError::Client(format!(
                "the client did not make its ready-file {} within {START_TIMEOUT:?}",
                file.display()
            )));
        }
        events.sleep(POLL_INTERVAL)?;
    }
    Ok(())
}

/// Why a client has no session, and its exit status where it ended.
pub(super) struct NoSession {
    stop: anyhow::Error,
    status: Option<i32>,
}

impl NoSession {
    fn of(stop: anyhow::Error) -> Self {
        Self { stop, status: None }
    }
}

/// A client that says so by its exit status could not have a session: that is not its fault, and the log says what is. `hint`
/// is what may help with this server.
pub(super) fn no_session(
    NoSession { stop, status }: NoSession,
    profile: &Profile,
    log: &Path,
    hint: &str,
) -> anyhow::Error {
    match stop.downcast_ref() {
        Some(RunError::Client(what)) if status.is_some() && status == profile.client.environment_status => {
            let cause = last_error(&std::fs::read(log).unwrap_or_default());
            RunError::Environment(format!("{what}: it could not have a session: {cause}{hint}")).into()
        }
        Some(RunError::Environment(what)) => RunError::Environment(format!("{what}{hint}")).into(),
        _ => stop,
    }
}

/// The last line of a log that speaks of an error, or else its last one.
fn last_error(log: &[u8]) -> String {
    let log = String::from_utf8_lossy(log);
    let log = anstream::adapter::strip_str(&log).to_string();
    let mut lines = log.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let last = lines.clone().next();
    let error = lines.find(|line| line.to_ascii_lowercase().contains("error"));
    error
        .or(last)
        .map_or_else(|| "its log is empty".to_owned(), plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cause_is_the_last_error_of_the_log() {
        for (log, cause) in [
            ("", "its log is empty"),
            ("one\ntwo\n\n", "two"),
            (
                "error: first\n\u{1b}[31merror:\u{1b}[0m no route\nFor more, try --help\n",
                "error: no route",
            ),
        ] {
            assert_eq!(last_error(log.as_bytes()), cause);
        }
    }
}

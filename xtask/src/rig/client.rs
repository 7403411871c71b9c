//! The client under test, driven as a process.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::child::{ChildGuard, Output, worded};
use super::control::Control;
use super::events::{Events, Role};
use crate::exit::Stop;
use crate::observe::monotonic_ns;

/// How long the client may take to open its control socket.
const START: Duration = Duration::from_secs(20);

/// How long its session may take to show a surface.
const SURFACE: Duration = Duration::from_secs(15);

/// Tokio workers of the client: with the main thread they are the ten that a real session has at the least.
const WORKERS: &str = "10";

/// A client with a session.
pub(crate) struct Client {
    // In this order: the connection closes before the process ends.
    control: Control,
    child: ChildGuard,
    reports: PathBuf,
}

/// A zip that one trigger brought.
#[derive(Debug)]
pub(crate) struct Filed {
    pub(crate) path: PathBuf,
    pub(crate) triggered_ns: u64,
    pub(crate) appeared_ns: u64,
}

/// Starts a client; its session is still to come.
pub(crate) fn launch(
    binary: &Path,
    target: &str,
    socket: &Path,
    reports: &Path,
    log: &Path,
    events: &Events,
) -> Result<ChildGuard, Stop> {
    let mut command = Command::new(binary);
    command
        .args(["--direct", target])
        .arg("--control-socket")
        .arg(socket);
    command
        .arg("--bug-report-dir")
        .arg(reports)
        .args(["--workers", WORKERS, "--exit-on-stdin-eof"]);
    ChildGuard::spawn(Role::Client, command, Output::Log, Some(log), events.sender())
        .map(|child| child.end_by(events.deadline()))
        .map_err(|error| Stop::Environment(format!("{error:#}")))
}

impl Client {
    /// Waits until the session shows a surface.
    pub(crate) fn connect(
        child: ChildGuard,
        socket: &Path,
        reports: &Path,
        events: &mut Events,
    ) -> Result<Self, Stop> {
        let mut control = Control::connect(socket, START, events)?;
        let params = json!({"await_surface_ms": SURFACE.as_millis() as u64});
        let status = control.request("status", params, SURFACE, events)?;
        if status["surfaces"].as_array().is_none_or(Vec::is_empty) {
            return Err(Stop::Client(format!(
                "the client's session showed no surface within {SURFACE:?}: {status}"
            )));
        }
        Ok(Self {
            control,
            child,
            reports: reports.to_owned(),
        })
    }

    /// Triggers one bug report and waits for its zip.
    pub(crate) fn file_report(&mut self, window: Duration, events: &mut Events) -> Result<Filed> {
        let before = self.zips()?;
        let triggered_ns = monotonic_ns();
        let params = json!({"window_ms": window.as_millis() as u64});
        let answer = self.control.request("bug_report", params, window, events)?;
        let appeared_ns = monotonic_ns();
        let named = answer["path"].as_str().unwrap_or_default().to_owned();
        let mut new = self.zips()?.into_iter().filter(|zip| !before.contains(zip));
        let fault = |what: String| Stop::Client(format!("one trigger must bring one zip: {what}"));
        let Some(path) = new.next() else {
            return Err(fault(format!(
                "none appeared in {} (the client says {named:?})",
                self.reports.display()
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
        Ok(Filed {
            path,
            triggered_ns,
            appeared_ns,
        })
    }

    /// Asks for anything that the control socket offers, which takes so long.
    pub(crate) fn request(
        &mut self,
        method: &str,
        params: Value,
        work: Duration,
        events: &mut Events,
    ) -> Result<Value, Stop> {
        self.control.request(method, params, work, events)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill();
    }

    fn zips(&self) -> Result<BTreeSet<PathBuf>> {
        let dir = &self.reports;
        let entries = std::fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
        let paths = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(paths
            .into_iter()
            .filter(|path| path.extension().is_some_and(|ext| ext == "zip"))
            .collect())
    }

    /// Asks the client to end, and does not take no for an answer.
    pub(crate) fn quit(mut self, events: &mut Events) -> Result<(), Stop> {
        let answer: Result<Value, Stop> = self.control.request("quit", json!({}), Duration::ZERO, events);
        drop(self.control);
        match (answer, self.child.end()) {
            (_, Some(status)) if status.success() => Ok(()),
            (Err(stop), _) => Err(stop),
            (_, status) => {
                let status = status.map_or_else(|| "an unknown status".to_owned(), worded);
                Err(Stop::Client(format!(
                    "the client was asked to quit and ended with {status}"
                )))
            }
        }
    }
}
